// Owns the checks of how routers know a mux: what is lost where routes are static; BIRD, its sessions and BFD; whether
// somebody would withdraw the routes of a dead daemon.
import type { Facts, RouteFacts } from './facts.ts';
import { type Finding, subject } from './finding.ts';

/** A mux that hangs is to be found as soon (issue 5's figure for a gap, in all). */
const BFD_SLOW_MS = 300;

export function routeFindings({ roles, routes }: Facts): Finding[] {
  if (!roles.includes('mux') || routes === undefined) return [];
  if (routes.mode === 'static') {
    return [
      subject('routes').note(
        'routers have static routes to this mux: they send to it whether or not it is there, and nothing withdraws it ' +
          'when it fails, hangs or is drained',
        'set routes.mode: bird, and have BIRD 2 announce the service addresses with BFD',
      ),
    ];
  }
  const bird = routes.bird ?? { state: 'unknown', sessions: [], bfd: [] };
  if (bird.state !== 'up') {
    return [
      subject('bird').error(
        `BIRD cannot be asked: ${bird.error ?? 'it has not been yet'}`,
        'systemctl status bird; birdc show status',
      ),
      ...supervisor(routes),
    ];
  }
  return [announced(routes), ...sessions(bird), ...bfd(bird), ...supervisor(routes)];
}

type Bird = NonNullable<RouteFacts['bird']>;

function announced({ announced: level, addresses = [], inEffect }: RouteFacts): Finding {
  const check = subject('routes');
  if (!inEffect) {
    return check.error(
      'BIRD does not have the routes that it is to have',
      'holdfast status; birdc configure check; birdc show protocols all holdfast4',
    );
  }
  if (level === 'withdrawn') {
    return check.warning('this mux announces nothing: it is no member, or drained', 'holdfast status');
  }
  if (level === 'lastResort') {
    return check.warning(
      'this mux announces as the last resort: it leaves, or it hears neither the store nor another mux',
      'holdfast status',
    );
  }
  return check.ok(`${addresses.length} service addresses are announced`);
}

function sessions({ sessions: all }: Bird): Finding[] {
  const check = subject('bgp');
  if (all.length === 0) {
    return [
      check.error(
        'BIRD has no BGP session, so no router hears of this mux',
        'add protocol bgp to bird.conf that exports proto "holdfast4" and "holdfast6"; then birdc configure',
      ),
    ];
  }
  const down = all.filter(({ state }) => state !== 'Established');
  const silent = all.filter(({ state, exported }) => state === 'Established' && exported === 0);
  if (down.length + silent.length === 0) return [check.ok(`${all.length} BGP sessions are established`)];
  return [
    ...down.map(({ name, state, detail }) =>
      (down.length === all.length ? check.error : check.warning)(
        `BGP session ${name} is ${state}${detail === undefined ? '' : `: ${detail}`}`,
        `birdc show protocols all ${name}`,
      ),
    ),
    ...silent.map(({ name }) =>
      check.warning(
        `BGP session ${name} sends no route: its export filter lets none of Holdfast through`,
        `in bird.conf, protocol bgp ${name}: export where proto = "holdfast4" (ipv4), proto = "holdfast6" (ipv6)`,
      ),
    ),
  ];
}

function bfd({ bfd: all }: Bird): Finding[] {
  const check = subject('bfd');
  if (all.length === 0) {
    return [
      check.warning(
        'BIRD has no BFD session: routers send to a mux that hangs until the hold time of BGP has passed',
        'add protocol bfd to bird.conf, and bfd on to its protocols bgp; the same on the routers',
      ),
    ];
  }
  const down = all.filter(({ state }) => state !== 'Up');
  const slow = all.filter(({ state, timeoutMs }) => state === 'Up' && timeoutMs > BFD_SLOW_MS);
  if (down.length + slow.length === 0) return [check.ok(`${all.length} BFD sessions are up`)];
  return [
    ...down.map(({ peer, interface: on, state }) =>
      check.warning(
        `BFD to ${peer} on ${on} is ${state}: the router finds a mux that hangs by the hold time of BGP alone`,
        `birdc show bfd sessions; tcpdump -ni ${on} udp port 3784`,
      ),
    ),
    ...slow.map(({ peer, timeoutMs }) =>
      check.note(
        `BFD to ${peer} takes ${timeoutMs} ms to find a mux that hangs`,
        'in protocol bfd: interface "..." { interval 100 ms; multiplier 3; };',
      ),
    ),
  ];
}

function supervisor({ supervised }: RouteFacts): Finding[] {
  const check = subject('supervisor');
  if (supervised === undefined) return [];
  if (supervised) return [check.ok('holdfast-supervisor would withdraw the routes of a dead daemon')];
  return [
    check.error(
      'nobody would withdraw the routes of this mux if its daemon died',
      'systemctl enable --now holdfast-supervisor',
    ),
  ];
}
