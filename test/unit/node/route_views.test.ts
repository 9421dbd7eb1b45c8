import { describe, expect, it } from 'vitest';
import { routesSchema as configSchema } from '../../../control/config/routes.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { routeProblem, routesView } from '../../../control/node/routes/views.ts';
import type { BirdState } from '../../../control/route/bird/announcing.ts';

const STATE: BirdState = {
  version: '2.0.12',
  sessions: [{ name: 'router4', kind: 'BGP', state: 'up', session: 'Established' }],
  exported: new Map([['router4', 2]]),
  bfd: [{ peer: '10.0.0.1', interface: 'eth0', state: 'Up', intervalMs: 50, timeoutMs: 150 }],
  imported: new Map([['holdfast4', 1]]),
  disabled: [],
};
const SEEN = {
  announcement: { level: 'normal', addresses: ['192.0.2.1'] },
  isDone: true,
  isWatched: true,
  sight: { state: STATE },
} as const;
const LATER_MS = 10_000;
const withState = (more: Partial<BirdState>) => ({ ...SEEN, sight: { state: { ...STATE, ...more } } });

describe('what status says of routes', () => {
  it('is the mode alone where routers have static routes', () => {
    expect(routesView(configSchema.parse({}), undefined)).toEqual({ mode: 'static' });
  });

  it('is what is announced, whether BIRD has it, and its sessions', () => {
    const bird = configSchema.parse({ mode: 'bird' });
    expect(routesView(bird, SEEN)).toEqual({
      mode: 'bird',
      announced: 'normal',
      addresses: ['192.0.2.1'],
      inEffect: true,
      supervised: true,
      bird: {
        state: 'up',
        version: '2.0.12',
        sessions: [{ name: 'router4', state: 'Established', exported: 2 }],
        bfd: [{ peer: '10.0.0.1', interface: 'eth0', state: 'Up', timeoutMs: 150 }],
      },
    });
    const failure = new Failure('unavailable', 'BIRD does not run');
    expect(routesView(bird, { ...SEEN, sight: { failure }, isDone: false })).toMatchObject({
      inEffect: false,
      bird: { state: 'failed', error: 'BIRD does not run' },
    });
  });
});

describe('routes', () => {
  it('are no problem where routers hear of them', () => {
    expect(routeProblem(SEEN, LATER_MS)).toBeUndefined();
  });

  it.each<[string, Parameters<typeof routeProblem>[0], string, RegExp]>([
    [
      'nobody would withdraw them',
      { ...SEEN, isWatched: false },
      'nobody would withdraw the routes of this mux',
      /supervisor does not run/,
    ],
    [
      'BIRD has no session',
      withState({ sessions: [] }),
      'BIRD has no BGP session, so no router hears of this mux',
      /no protocol bgp/,
    ],
    [
      'none is established',
      withState({
        sessions: [{ name: 'r', kind: 'BGP', state: 'start', session: 'Active', detail: 'Refused' }],
      }),
      'no BGP session of BIRD is established',
      /^r is Active \(Refused\)\.$/,
    ],
    [
      'none sends anything',
      withState({ exported: new Map([['router4', 0]]) }),
      'BIRD sends the service addresses to nobody',
      /^router4 export no route\.$/,
    ],
  ])('are a problem where %s, after a while', (_, seen, message, reason) => {
    expect(routeProblem(seen, LATER_MS - 1)).toBeUndefined();
    const problem = routeProblem(seen, LATER_MS);
    expect(problem?.message).toBe(message);
    expect(problem?.reason).toMatch(reason);
  });

  it('are none twice where BIRD does not answer: that is told already', () => {
    const failure = new Failure('unavailable', 'BIRD does not run');
    expect(routeProblem({ ...SEEN, sight: { failure } }, LATER_MS)).toBeUndefined();
  });
});
