// Random histories of one bucket of the flow table, against a model that is a map and a few sentences.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flowOf, packetOf, STATES } from './lib/tracked_case.ts';
import {
  ASK_KEY,
  GENERATION,
  hashOf,
  hopFrom,
  IDLE,
  INCARNATION,
  SELF,
  slotInPool,
  TrackedMux,
} from './lib/tracked_mux.ts';
import { askFrame, FLAG, readHeader } from './lib/wire_reference.ts';

const FLOWS = 10;
const PLACES = 7;
const NASCENT_LIFETIME = 250;
const REFUSED_TIME = 12;
const QUOTA = { [STATES.nascent]: 3, [STATES.unproven]: 5, [STATES.trusted]: PLACES } as const;
const [CURRENT, BASE] = [1, 2];
const EPOCH = 20;

type State = (typeof STATES)[keyof typeof STATES];
type Entry = {
  backend: number;
  generation: number;
  seen: number;
  state: State;
  track: number;
  chain: number;
};
type Question = { flow: number; isNew: boolean; track: number; chain: number };
/** undefined: dropped. */
type Said = { backend: number; generation: number; isUnrecorded: boolean } | undefined;

/** What a mux knows of flows, as the design says it. */
class Model {
  readonly entries = new Map<number, Entry>();
  readonly generations = new Map([1, 2, 3].map((backend) => [backend, GENERATION]));
  now = 0;

  isAlive({ seen, state }: Entry): boolean {
    return this.now - seen <= (state === STATES.nascent ? NASCENT_LIFETIME : 4 * IDLE);
  }

  isThere({ backend, generation }: { backend: number; generation: number }): boolean {
    return this.generations.get(backend) === generation;
  }

  hasPlace(flow: number, state: State): boolean {
    const others = [...this.entries].filter(([it, entry]) => it !== flow && this.isAlive(entry));
    return others.length < PLACES && others.filter(([, it]) => it.state === state).length < QUOTA[state];
  }

  ask({ flow, isNew, track, chain }: Question): Said {
    const known = this.entries.get(flow);
    if (known !== undefined && this.isAlive(known)) {
      if (known.track > track) return undefined;
      if (known.track === track && this.isThere(known)) {
        known.seen = this.now;
        if (!(known.state === STATES.nascent && isNew)) known.chain = Math.max(known.chain, chain);
        if (known.state === STATES.nascent && !isNew) known.state = STATES.trusted;
        return { backend: known.backend, generation: known.generation, isUnrecorded: false };
      }
    }
    const isOwn = known !== undefined && known.track === track && this.isAlive(known);
    const backend = isNew && (isOwn || !this.mayBeRefused) ? CURRENT : BASE;
    const generation = this.generations.get(backend);
    if (generation === undefined) return undefined;
    let state: State = isNew ? STATES.nascent : STATES.unproven;
    if (isOwn && known.state === STATES.trusted) state = STATES.trusted;
    if (!isOwn && !this.hasPlace(flow, state)) {
      if (isNew) this.refusedAt = this.now;
      const base = this.generations.get(BASE);
      return { backend: BASE, generation: base ?? this.lastGeneration(BASE), isUnrecorded: true };
    }
    this.entries.set(flow, { backend, generation, seen: this.now, state, track, chain });
    return { backend, generation, isUnrecorded: false };
  }

  record({ flow, isNew, track, chain }: Question, backend: number, generation: number): Said {
    const known = this.entries.get(flow);
    const isOwn = known !== undefined && known.track === track && this.isAlive(known);
    if (known !== undefined && this.isAlive(known) && known.track > track) return undefined;
    if (isOwn && this.isThere(known) && known.chain > chain) {
      known.seen = this.now;
      if (known.state === STATES.nascent && !isNew) known.state = STATES.trusted;
      return { backend: known.backend, generation: known.generation, isUnrecorded: false };
    }
    let state: State = isNew ? STATES.nascent : STATES.unproven;
    if (isOwn) {
      const isSame = known.backend === backend && known.generation === generation;
      if (known.state === STATES.trusted) state = STATES.trusted;
      else if (isSame) state = known.state === STATES.nascent && !isNew ? STATES.trusted : known.state;
    } else if (!this.hasPlace(flow, state) || (isNew && backend !== BASE && this.mayBeRefused)) {
      if (isNew) this.refusedAt = this.now;
      return { backend, generation, isUnrecorded: true };
    }
    this.entries.set(flow, { backend, generation, seen: this.now, state, track, chain });
    return { backend, generation, isUnrecorded: false };
  }

  /** What the owner decided was of no use to its backup. */
  takeBack({ flow, track, chain }: Question, decided: number): Said {
    const known = this.entries.get(flow);
    if (known !== undefined && this.isAlive(known) && known.track > track) return undefined;
    const generation = this.generations.get(BASE);
    if (generation === undefined) return undefined;
    const isOwn = known !== undefined && known.track === track && this.isAlive(known);
    if (isOwn && known.state === STATES.nascent && known.backend === decided && known.chain === chain) {
      this.entries.set(flow, { ...known, backend: BASE, generation });
      this.refusedAt = this.now;
    } else if (isOwn && this.isThere(known))
      return { backend: known.backend, generation: known.generation, isUnrecorded: true };
    return { backend: BASE, generation, isUnrecorded: true };
  }

  /** When a new flow last found no place. */
  refusedAt = -Infinity;
  get mayBeRefused(): boolean {
    return this.generations.has(BASE) && this.now - this.refusedAt <= REFUSED_TIME;
  }

  readonly removed = new Map<number, number>();
  lastGeneration(backend: number): number {
    return this.removed.get(backend) ?? GENERATION;
  }
}

const question = {
  flow: fc.nat({ max: FLOWS - 1 }),
  isNew: fc.boolean(),
  track: fc.nat({ max: 1 }),
  chain: fc.nat({ max: 2 }),
};
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('ask' as const), ...question }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('record' as const),
      ...question,
      backend: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('returned' as const),
      ...question,
      isNew: fc.constant(true),
      backend: fc.constantFrom(CURRENT, 3),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('sweep' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), units: fc.nat({ max: 90 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('backend' as const),
      backend: fc.integer({ min: 1, max: 3 }),
      isThere: fc.boolean(),
    }),
  },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

describe('one bucket of the flow table', () => {
  let mux: TrackedMux;
  beforeAll(() => {
    mux = new TrackedMux({ flowBuckets: 1, cacheBuckets: 1 });
  });
  afterAll(() => mux?.close());

  const hashes = Array.from({ length: FLOWS }, (_, i) => hashOf('tcp', flowOf('tcp', 50_000 + i)));

  /** Sends an ask, a record or one that comes back of an asker elsewhere; what the next hop is told. */
  function send(it: Extract<Operation, { kind: 'ask' | 'record' | 'returned' }>, generation: number): Said {
    const flow = flowOf('tcp', 50_000 + it.flow);
    const hash = hashes[it.flow]!;
    const isAsk = it.kind !== 'record';
    const hops = { ask: 1, record: 2, returned: 3 }[it.kind];
    const header = mux.header({
      operation: isAsk ? 'ask' : 'record',
      asker: 4,
      askerIncarnation: INCARNATION(4),
      slot: slotInPool('tcp', hash),
      owner: isAsk ? SELF : 1,
      ownerIncarnation: INCARNATION(isAsk ? SELF : 1),
      backup: isAsk ? 3 : SELF,
      backupIncarnation: INCARNATION(isAsk ? 3 : SELF),
      trackEpoch: EPOCH + it.track,
      chainEpoch: EPOCH + it.chain,
      flags: (it.isNew ? FLAG.newFlow : 0) | (it.kind === 'returned' ? FLAG.unrecorded : 0),
      hops,
      backend: it.kind === 'ask' ? 0 : it.backend,
      generation,
    });
    const packet = packetOf({ name: '', reason: '', packet: it.isNew ? 'syn' : 'data' }, flow);
    const { verdict, output } = mux.run(askFrame(hopFrom(4), header, ASK_KEY, hash, packet));
    if (verdict === 'DROP') return undefined;
    const said = readHeader(output)!;
    const isUnrecorded = (said.flags & FLAG.unrecorded) !== 0;
    const isReturned = it.kind === 'record' && isUnrecorded && it.isNew && it.backend !== BASE;
    const next = isReturned ? 'ask' : isAsk && !isUnrecorded ? 'record' : 'answer';
    expect(said.operation, 'the next hop').toBe(next);
    return { backend: said.backend, generation: said.generation, isUnrecorded };
  }

  function play(history: readonly Operation[]): void {
    mux.clearTables();
    // Clean here: the header's epochs count. Flow time goes round within the history.
    mux.setSlots('tcp', CURRENT, BASE);
    mux.advance((65_400 - mux.now + 65_536) % 65_536);
    for (const backend of [1, 2, 3]) mux.setBackend(backend, { present: true, generation: GENERATION });
    const model = new Model();
    history.forEach((it, step) => {
      const at = `step ${step}: ${JSON.stringify(it)}`;
      if (it.kind === 'wait') {
        mux.advance(it.units);
        model.now += it.units;
      } else if (it.kind === 'sweep') {
        const ended = [...model.entries].filter(([, entry]) => !model.isAlive(entry));
        for (const [flow] of ended) {
          model.entries.delete(flow);
          mux.removeEntry(hashes[flow]!);
        }
      } else if (it.kind === 'backend') {
        const before = model.generations.get(it.backend) ?? model.lastGeneration(it.backend);
        model.generations.delete(it.backend);
        model.removed.set(it.backend, before + 1);
        if (it.isThere) model.generations.set(it.backend, before + 1);
        mux.setBackend(it.backend, { present: it.isThere, generation: before + 1 });
      } else {
        const asked: Question = { ...it, track: EPOCH + it.track, chain: EPOCH + it.chain };
        const generation = it.kind === 'ask' ? 0 : (model.generations.get(it.backend) ?? GENERATION);
        const wanted =
          it.kind === 'ask'
            ? model.ask(asked)
            : it.kind === 'record'
              ? model.record(asked, it.backend, generation)
              : model.takeBack(asked, it.backend);
        expect(send(it, generation), at).toEqual(wanted);
      }
      const standing = mux.entries();
      for (const [flow, entry] of model.entries) {
        if (!model.isAlive(entry)) continue;
        expect(standing.get(hashes[flow]!), `${at}: flow ${flow}`).toMatchObject({
          backend: entry.backend,
          generation: entry.generation,
          state: entry.state,
          track_epoch: entry.track,
          chain_epoch: entry.chain,
        });
      }
      const known = [...model.entries]
        .filter(([, entry]) => model.isAlive(entry))
        .map(([flow]) => hashes[flow]);
      for (const [fingerprint, { seen, state }] of standing) {
        const age = (mux.now - seen) & 0xffff;
        if (age <= (state === STATES.nascent ? NASCENT_LIFETIME : 4 * IDLE))
          expect(known, `${at}: ${fingerprint}`).toContain(fingerprint);
      }
    });
  }

  it('answers and remembers as the model does, in every history', () => {
    fc.assert(fc.property(fc.array(operation, { minLength: 1, maxLength: 60 }), play), { numRuns: 600 });
  }, 60_000);
});
