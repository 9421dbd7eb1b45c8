// The driver of checks: time limits on what never returns, telling everybody, and a store that does not take it.
import { describe, expect, it, onTestFinished } from 'vitest';
import { poolSchema } from '../../../control/config/objects.ts';
import { Checking, type CheckingOptions } from '../../../control/health/checking.ts';
import { decodeVerdicts, subjectOf } from '../../../control/health/verdicts_codec.ts';
import { change, cluster, putPool, SLOTS } from '../pool/lib/cluster.ts';

const FAST = { type: 'tcp', via: 'direct', intervalMs: 50, timeoutMs: 20, rise: 1, fall: 1 };
const site = (health: Record<string, unknown> | undefined = FAST) =>
  change(cluster(2), putPool(poolSchema.parse({ name: 'web', slots: SLOTS, health })));

function checking(changes: Partial<CheckingOptions> = {}) {
  const failures: unknown[] = [];
  const told: (string | undefined)[] = [];
  const listeners = new Set<() => void>();
  const made = new Checking({
    probe: async () => ({ isGood: true, reason: 'fine' }),
    tunnel: {
      versions: new Set([4]),
      want: () => {},
      close: () => {},
      open: () => {
        throw new Error('no port is free');
      },
    },
    commands: undefined,
    publish: async (value) => {
      told.push(value);
      for (const listener of listeners) listener();
    },
    onOutcome: () => {},
    onOpinion: () => {},
    onFailure: (error) => failures.push(error),
    onSuccess: () => {},
    ...changes,
  });
  onTestFinished(() => made.close());
  /** Resolves with what was told when it holds. */
  const until = (holds: (value: string | undefined) => boolean) =>
    new Promise<string | undefined>((resolve) => {
      const look = () => {
        if (!holds(told.at(-1))) return;
        listeners.delete(look);
        resolve(told.at(-1));
      };
      listeners.add(look);
    });
  return { made, told, failures, until };
}

const votes = (state: ReturnType<typeof site>, value: string | undefined) => {
  const verdicts = value === undefined ? undefined : decodeVerdicts({ value });
  return [...state.backends.values()].map((it) => verdicts?.get(subjectOf(it))?.isUp);
};
const all = (state: ReturnType<typeof site>, isUp: boolean) => (value: string | undefined) =>
  votes(state, value).every((it) => it === isUp);

describe('checks', () => {
  it('tell everybody what they find, and that they are no more', async () => {
    const { made, told, until } = checking();
    const state = site();
    made.follow(state);
    await until(all(state, true));
    made.follow(change(state, putPool(poolSchema.parse({ name: 'web', slots: SLOTS }))));
    await until((value) => value === undefined && told.length > 1);
  });

  it('that never return are failures, and aborted', async () => {
    const aborted: string[] = [];
    let isFirst = true;
    const { made, until } = checking({
      probe: ({ backend }, signal) => {
        if (isFirst) {
          isFirst = false;
          return Promise.resolve({ isGood: true, reason: 'fine' });
        }
        return new Promise(() => signal.addEventListener('abort', () => aborted.push(backend.name)));
      },
    });
    const state = site();
    made.follow(state);
    const value = await until(all(state, false));
    expect([...decodeVerdicts({ value: value! }).values()].map(({ reason }) => reason)).toEqual([
      'timeout: no answer within 20 ms',
      'timeout: no answer within 20 ms',
    ]);
    expect(aborted).toEqual(expect.arrayContaining(['b1', 'b2']));
  });

  it('that no backend has passed say nothing about any: a first pass has all of them count', async () => {
    let passes = false;
    const { made, told, until } = checking({
      probe: async ({ backend }) =>
        passes && backend.name === 'b1'
          ? { isGood: true, reason: 'fine' }
          : { isGood: false, reason: 'not found' },
      onOutcome: () => {
        outcomes++;
        if (outcomes === 6) passes = true;
      },
    });
    let outcomes = 0;
    const state = site();
    made.follow(state);
    const value = await until((it) => votes(state, it).includes(false));
    expect(votes(state, value).filter((it) => it === false)).toHaveLength(1);
    // All that was told before the first pass.
    for (const before of told.slice(0, -1)) expect(votes(state, before)).not.toContain(false);
    // Another question is another check.
    passes = false;
    const other = site({ ...FAST, port: 81 });
    made.follow(other);
    await until((it) => votes(other, it).every((vote) => vote === undefined));
  });

  it.each([
    ['no backend ever passes', () => false, 'no backend of the pool has passed this check yet: not found'],
    ['never come out alike in a row', (at: number) => at % 2 === 0, undefined],
  ])('that %s end with no part in the verdict, and not at once', async (_, passes, reason) => {
    const asked = new Map<string, number>();
    let fallsAt = Infinity;
    const { made, told, until } = checking({
      probe: async ({ backend: { name } }) => {
        const at = asked.get(name) ?? 0;
        asked.set(name, at + 1);
        return passes(at) || at >= fallsAt
          ? { isGood: true, reason: 'fine' }
          : { isGood: false, reason: 'not found' };
      },
    });
    const state = site({ ...FAST, rise: 2, fall: 2 });
    const abstaining = (value: string | undefined) =>
      value === undefined ? [] : [...decodeVerdicts({ value }).values()].filter((it) => it.isAbstaining);
    made.follow(state);
    const value = await until((it) => abstaining(it).length === 2);
    for (const it of asked.values()) expect(it).toBeGreaterThanOrEqual(4);
    expect(abstaining(told[0])).toEqual([]);
    if (reason !== undefined) expect(abstaining(value)[0]).toMatchObject({ isUp: undefined, reason });
    // It takes part again as soon as it has an opinion.
    fallsAt = 0;
    await until(all(state, true));
  });

  it('that this mux cannot make have no part in the verdict', async () => {
    const { made, told } = checking();
    made.follow(site({ ...FAST, via: 'tunnel' }));
    const reasons = () => made.targets().map(({ opinion }) => opinion?.reason);
    await expect.poll(reasons).toEqual(['no port is free', 'no port is free']);
    await expect.poll(() => told.at(-1)).toBeUndefined();
  });

  it('that do not leave this host are none of the backend, and end at once', async () => {
    const aborted: string[] = [];
    const closed: number[] = [];
    const { made, told } = checking({
      probe: ({ backend }, signal) =>
        new Promise(() => signal.addEventListener('abort', () => aborted.push(backend.name))),
      tunnel: {
        versions: new Set([4]),
        want: () => {},
        close: () => {},
        open: (_target, _to, _protocol, onTrouble) => {
          setImmediate(() => onTrouble('network is down'));
          return { address: '192.0.2.1', port: 61_000, close: () => closed.push(61_000) };
        },
      },
    });
    made.follow(site({ ...FAST, via: 'tunnel' }));
    const reasons = () => made.targets().map(({ opinion }) => opinion?.reason);
    const words = 'the check did not leave this host: network is down';
    await expect.poll(reasons).toEqual([words, words]);
    expect(aborted).toEqual(expect.arrayContaining(['b1', 'b2']));
    expect(closed.length).toBeGreaterThanOrEqual(2);
    await expect.poll(() => told.at(-1)).toBeUndefined();
  });

  it('are not ended by what a probe throws', async () => {
    const { made, told } = checking({
      probe: async () => {
        throw new Error('a bug');
      },
    });
    made.follow(site());
    await expect.poll(() => made.targets().map(({ opinion }) => opinion?.reason)).toEqual(['a bug', 'a bug']);
    await expect.poll(() => told.at(-1)).toBeUndefined();
  });

  it('are told again where the store did not take them', async () => {
    let attempts = 0;
    const { promise: taken, resolve } = Promise.withResolvers<string | undefined>();
    const { made, failures } = checking({
      publish: async (value) => {
        attempts++;
        if (attempts <= 2) throw new Error('the store is away');
        if (value !== undefined && all(state, true)(value)) resolve(value);
      },
    });
    const state = site();
    made.follow(state);
    await taken;
    expect(failures).toHaveLength(2);
  });

  it('are aborted when it is closed, and nothing is told any more', async () => {
    const signals: AbortSignal[] = [];
    const { promise: started, resolve } = Promise.withResolvers<void>();
    const { made, told } = checking({
      probe: (_, signal) => {
        signals.push(signal);
        resolve();
        return new Promise(() => {});
      },
    });
    made.follow(site());
    await started;
    made.close();
    const count = told.length;
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
    made.follow(site());
    expect(told).toHaveLength(count);
  });
});
