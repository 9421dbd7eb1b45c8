// Owns putting in words and shapes what is known of a mux's routes: for status, and what of it is a problem. Pure.
import type { Status } from '../../api/schema.ts';
import type { RoutesConfig } from '../../config/routes.ts';
import { Failure } from '../../lib/failure.ts';
import type { Announcer } from '../../route/announcer.ts';
import type { BirdState } from '../../route/bird/announcing.ts';

/** A session takes seconds to come up, and a supervisor to start. */
const PATIENCE_MS = 10_000;
/** Sessions that a problem names. */
const NAMED_MAX = 4;

type RoutesView = NonNullable<Status['routes']>;
type Seen = Pick<Announcer, 'announcement' | 'isDone' | 'sight' | 'isWatched'>;

export function routesView({ mode }: RoutesConfig, announcer: Seen | undefined): RoutesView {
  if (announcer === undefined) return { mode };
  const { announcement, isDone, sight, isWatched } = announcer;
  return {
    mode,
    announced: announcement.level,
    addresses: [...announcement.addresses],
    inEffect: isDone,
    ...(isWatched !== undefined && { supervised: isWatched }),
    bird: birdView(sight),
  };
}

function birdView(sight: Seen['sight']): NonNullable<RoutesView['bird']> {
  if (sight === undefined) return { state: 'unknown', sessions: [], bfd: [] };
  if ('failure' in sight) return { state: 'failed', error: sight.failure.message, sessions: [], bfd: [] };
  const { version, sessions, bfd, exported } = sight.state;
  return {
    state: 'up',
    version,
    sessions: sessions.map(({ name, state, session, detail }) => ({
      name,
      state: session ?? state,
      ...(detail !== undefined && { detail }),
      ...(exported.has(name) && { exported: exported.get(name)! }),
    })),
    bfd: bfd.map(({ peer, interface: on, state, timeoutMs }) => ({ peer, interface: on, state, timeoutMs })),
  };
}

/** What needs somebody although BIRD has taken what it was told. */
export function routeProblem(
  { announcement, isDone, sight, isWatched }: Seen,
  ranMs: number,
): Failure | undefined {
  if (ranMs < PATIENCE_MS) return undefined;
  if (isWatched === false) {
    return new Failure('configuration', 'nobody would withdraw the routes of this mux', {
      reason: 'holdfast-supervisor does not run, which does so when this daemon is dead.',
      remedy: 'start it with systemctl enable --now holdfast-supervisor',
    });
  }
  if (sight === undefined || 'failure' in sight) return undefined;
  const { sessions } = sight.state;
  const established = sessions.filter(({ session }) => session === 'Established');
  if (announcement.level !== 'withdrawn' && isDone && established.length > 0 && sendsNothing(sight.state)) {
    return new Failure('configuration', 'BIRD sends the service addresses to nobody', {
      reason: `${established.map(({ name }) => name).join(', ')} export no route.`,
      remedy: 'have them export proto "holdfast4" and "holdfast6" in bird.conf; then birdc configure',
    });
  }
  if (established.length > 0) return undefined;
  if (sessions.length === 0) {
    return new Failure('configuration', 'BIRD has no BGP session, so no router hears of this mux', {
      reason: 'Its configuration has no protocol bgp.',
      remedy: 'add one to bird.conf that exports proto "holdfast4" and "holdfast6"; then birdc configure',
    });
  }
  const named = sessions
    .slice(0, NAMED_MAX)
    .map(
      ({ name, state, session, detail }) =>
        `${name} is ${session ?? state}${detail === undefined ? '' : ` (${detail})`}`,
    );
  const more = sessions.length > NAMED_MAX ? ` and ${sessions.length - NAMED_MAX} more` : '';
  return new Failure('unavailable', 'no BGP session of BIRD is established', {
    reason: `${named.join(', ')}${more}.`,
    remedy: 'see birdc show protocols all, the router, and the network to it',
  });
}

function sendsNothing({ exported }: BirdState): boolean {
  return exported.size > 0 && [...exported.values()].every((count) => count === 0);
}
