// Owns the checks of what a mux needs of the others: that they hear each other, room between them for asks, clocks, room in
// the tables of flows, a leader.
import { changeFindings } from './change.ts';
import type { ClusterFacts, Facts, PeerFacts } from './facts.ts';
import { counted, type Finding, grouped, listed, subject } from './finding.ts';
import { healthFindings } from './health.ts';
import { CLIENT_MTU_BYTES } from './service.ts';

/** UDP and the in-band header, before the IP header that the address decides. */
const ASK_BYTES = 8 + 56;
const OUTER_BYTES = { 4: 20, 6: 40 } as const;
/** Heartbeats of 50 ms: three of them lost, and time for the answer. */
const SILENT_MS = 1_000;
/** In-band headers are refused beyond 4.3 s. */
const TIME_WARNING_MS = 1_000;
const TIME_ERROR_MS = 4_000;
const FILL_WARNING = 0.75;
const FILL_ERROR = 0.95;

export function clusterFindings({ roles, cluster }: Facts): Finding[] {
  if (!roles.includes('mux') || cluster === undefined) return [];
  return [
    membership(cluster),
    leader(cluster),
    ...deadline(cluster),
    ...heard(cluster),
    ...rooms(cluster),
    ...times(cluster),
    ...tables(cluster),
    ...healthFindings(cluster),
    ...changeFindings(cluster),
  ];
}

function membership({ isMember, members, node }: ClusterFacts): Finding {
  const check = subject('mux-members');
  if (!isMember) {
    return check.warning(
      `${node} is no member of the cluster: it decides about no flow`,
      'holdfast nodes list; holdfast events',
    );
  }
  if (members === 1) {
    return check.warning(
      'this is the only mux: what is recorded of flows has no second copy, and no other mux takes over where it fails',
    );
  }
  return check.ok(`${members} muxes are members`);
}

function leader({ leader }: ClusterFacts): Finding {
  const check = subject('leader');
  if (leader !== undefined) return check.ok(`${leader} makes versions of the configuration`);
  return check.error(
    'no node makes versions of the configuration: edits wait, and a mux that fails is not replaced',
    'holdfast nodes list',
  );
}

function deadline({ hasDeadlinePassed }: ClusterFacts): Finding[] {
  const check = subject('mux-deadline');
  if (!hasDeadlinePassed) return [];
  return [
    check.error(
      'the lease of this mux has run out: it decides nothing, and relays what comes to others',
      'holdfast status; holdfast nodes list --matrix',
    ),
  ];
}

function heard({ peers, askPort }: ClusterFacts): Finding[] {
  const check = subject('mux-heard');
  const silent = peers.filter(({ heardAgoMs }) => heardAgoMs === undefined || heardAgoMs > SILENT_MS);
  const others = peers.length - silent.length;
  return [
    ...silent.map(({ name, address, heardAgoMs, askPort: port }) => {
      const since =
        heardAgoMs === undefined ? 'has never answered' : `has not answered for ${seconds(heardAgoMs)}`;
      return check.error(
        `${name} (${address}) ${since}: it is down, or UDP port ${port} is blocked on the way there or back (here: ${askPort})`,
        `ping -c 3 ${address}; tcpdump -ni any udp port ${port} or udp port ${askPort}; nft list ruleset`,
      );
    }),
    ...(others > 0 ? [check.ok(`${counted(others, 'other mux', 'other muxes')} answer`)] : []),
  ];
}

/** A packet of a client travels to another mux inside of an ask. */
function rooms({ peers }: ClusterFacts): Finding[] {
  const check = subject('mux-room');
  const tight = peers.flatMap((it) => {
    const path = pathOf(it);
    if (path === undefined) return [];
    const wantedBytes = CLIENT_MTU_BYTES + ASK_BYTES + OUTER_BYTES[it.version];
    return path.mtuBytes >= wantedBytes ? [] : [{ ...it, path, wantedBytes }];
  });
  const unknown = peers.flatMap(({ name, way }) =>
    check.known(`the path to ${name}`, way, (found) =>
      found.kind === 'none' ? [check.error(`there is no route to ${name}: ${found.reason}`)] : [],
    ),
  );
  const groups = grouped(
    tight,
    ({ path, wantedBytes }) => `${path.interface} ${path.mtuBytes} ${wantedBytes}`,
  );
  const findings = groups.map((group) => {
    const { path, wantedBytes } = group[0]!;
    return check.warning(
      `packets of ${CLIENT_MTU_BYTES} bytes need ${wantedBytes} to be asked about at ${listed(group.map(({ name }) => name))}, and ` +
        `the path takes ${path.mtuBytes}: large packets of slots that move go unrecorded, and hold their change`,
      `ip link set dev ${path.interface} mtu ${wantedBytes}`,
    );
  });
  const fine = peers.filter((it) => pathOf(it) !== undefined).length - tight.length;
  return [
    ...unknown,
    ...findings,
    ...(fine > 0 ? [check.ok(`asks fit on the way to ${counted(fine, 'mux', 'muxes')}`)] : []),
  ];
}

function pathOf({ way }: PeerFacts) {
  return way.known && way.value.kind === 'path' ? way.value : undefined;
}

function times({ peers }: ClusterFacts): Finding[] {
  const check = subject('mux-time');
  const apart = peers.flatMap(({ name, timeAheadMs }) =>
    timeAheadMs === undefined || Math.abs(timeAheadMs) <= TIME_WARNING_MS ? [] : [{ name, timeAheadMs }],
  );
  return apart.map(({ name, timeAheadMs }) => {
    const way = timeAheadMs > 0 ? 'ahead of' : 'behind';
    const message = `the cluster's time at ${name} is ${seconds(Math.abs(timeAheadMs))} ${way} that of this mux`;
    return Math.abs(timeAheadMs) > TIME_ERROR_MS
      ? check.error(`${message}: they refuse each other's asks`, `on ${name}: systemctl restart holdfastd`)
      : check.warning(`${message}; beyond 4.3 s they refuse each other's asks`);
  });
}

function tables({ tables: found }: ClusterFacts): Finding[] {
  const check = subject('flow-table');
  return Object.entries(found).map(([name, { used, max }]) => {
    const share = max === 0 ? 0 : used / max;
    const message = `${name}: ${Math.round(share * 100)} % of ${counted(max, 'entry', 'entries')} are used`;
    if (share < FILL_WARNING) return check.ok(message);
    const what = `${message}; flows for which there is no room go unrecorded, and hold their change`;
    const cure = 'set flowTable.entries in holdfastd.yaml higher; holdfast flows top --by client';
    return share < FILL_ERROR ? check.warning(what, cure) : check.error(what, cure);
  });
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
