// Random histories of persistent reservations against a second, slow statement of SPC-4 section 5.13: one object that is
// changed in place, keys as numbers, initiators by letter. It shares no code with what it judges.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { cdb, expectGood, filled, keys, reserveOut, rig, send } from './support.ts';

const CONFLICT = 0x18;
const NAMES = ['a', 'b', 'c'] as const;
const TYPES = [1, 3, 5, 6, 7, 8] as const;

class Model {
  keyOf = new Map<string, number>();
  type = 0;
  holder = '';

  get all(): boolean {
    return this.type === 7 || this.type === 8;
  }

  isHolder(name: string): boolean {
    if (this.type === 0 || !this.keyOf.has(name)) return false;
    return this.all || this.holder === name;
  }

  free(): void {
    this.type = 0;
    this.holder = '';
  }

  take(name: string, type: number): void {
    this.type = type;
    this.holder = type >= 7 ? '' : name;
  }

  drop(name: string): void {
    this.keyOf.delete(name);
    if (this.type !== 0 && (this.all ? this.keyOf.size === 0 : this.holder === name)) this.free();
  }

  /** What the command is answered: 0, conflict, or 2 for CHECK CONDITION. */
  act(name: string, action: number, type: number, key: number, other: number): number {
    const own = this.keyOf.get(name);
    if (action === 0 && key !== (own ?? 0)) return CONFLICT;
    if (action === 0 || action === 6) {
      if (other !== 0) this.keyOf.set(name, other);
      else if (own !== undefined) this.drop(name);
      return 0;
    }
    if (own === undefined || own !== key) return CONFLICT;
    if (action === 1) {
      if (this.type === 0) this.take(name, type);
      else if (!this.isHolder(name) || this.type !== type) return CONFLICT;
      return 0;
    }
    if (action === 2) {
      if (!this.isHolder(name)) return 0;
      if (this.type !== type) return 2;
      this.free();
      return 0;
    }
    if (action === 3) {
      this.keyOf.clear();
      this.free();
      return 0;
    }
    return this.preempt(name, type, other);
  }

  preempt(name: string, type: number, victim: number): number {
    if (victim === 0 && !this.all) return 2;
    const named = [...this.keyOf].filter(([, key]) => key === victim).map(([each]) => each);
    if (this.all && victim === 0) {
      for (const each of [...this.keyOf.keys()]) if (each !== name) this.keyOf.delete(each);
      this.take(name, type);
      return 0;
    }
    if (named.length === 0) return CONFLICT;
    if (!this.all && this.type !== 0 && this.keyOf.get(this.holder) === victim) {
      for (const each of named) if (each !== name) this.keyOf.delete(each);
      this.take(name, type);
    } else for (const each of named) this.drop(each);
    return 0;
  }

  mayRead(name: string): boolean {
    if (this.mayWrite(name)) return true;
    return this.type === 1 || this.type === 5 || this.type === 7;
  }

  mayWrite(name: string): boolean {
    if (this.type === 0 || this.isHolder(name)) return true;
    return this.type >= 5 && this.keyOf.has(name);
  }
}

const step = fc.record({
  name: fc.constantFrom(...NAMES),
  action: fc.constantFrom(0, 0, 1, 1, 2, 3, 4, 5, 6),
  type: fc.constantFrom(...TYPES),
  /** Usually the right key, sometimes another one. */
  isRight: fc.integer({ min: 0, max: 9 }),
  other: fc.integer({ min: 0, max: 3 }),
});

it('are what the model says, after every command, for every initiator', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const r = rig();
      const model = new Model();
      for (const { name, action, type, isRight, other } of steps) {
        const key = isRight === 0 ? 9 : (model.keyOf.get(name) ?? 0);
        const result = await reserveOut(r.unit, name, action, type, keys(key, other));
        expect(result.status, `${name}: action ${action}, type ${type}, keys ${key}, ${other}`).toBe(
          model.act(name, action, type, key, other),
        );
        await agree(r, model);
      }
    }),
    { numRuns: 150 },
  );
});

async function agree(r: ReturnType<typeof rig>, model: Model): Promise<void> {
  const data = Buffer.from(expectGood(await send(r.unit, 'reader', '5e 03 0000000000 4000 00')).dataIn!);
  const seen: string[] = [];
  for (let at = 8; at < data.length; at += 24 + data.readUInt32BE(at + 20)) {
    const name = data.subarray(at + 28, data.indexOf(0, at + 28)).toString();
    seen.push(`${name} ${data.readBigUInt64BE(at)} ${(data[at + 12]! & 1) === 1 ? data[at + 13] : 'no'}`);
  }
  const expected = [...model.keyOf].map(
    ([name, key]) => `${name} ${key} ${model.isHolder(name) ? model.type : 'no'}`,
  );
  expect(seen.toSorted()).toEqual(expected.toSorted());
  for (const name of [...NAMES, 'reader']) {
    // Attentions first, or they would be what is answered.
    while (Buffer.from(expectGood(await send(r.unit, name, '03 000000ff00')).dataIn!)[2] === 6);
    const read = await send(r.unit, name, cdb.ten('28', 0, 1));
    const write = await send(r.unit, name, cdb.ten('2a', 0, 1), { dataOut: filled(1, 1) });
    expect([name, read.status, write.status]).toEqual([
      name,
      model.mayRead(name) ? 0 : CONFLICT,
      model.mayWrite(name) ? 0 : CONFLICT,
    ]);
  }
}
