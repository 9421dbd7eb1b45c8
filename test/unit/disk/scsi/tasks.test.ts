import { describe, expect, it } from 'vitest';
import {
  allSettled,
  BLOCK,
  be,
  cdb,
  expectGood,
  expectSense,
  filled,
  type Rig,
  rig,
  type Sent,
  send,
} from './support.ts';

const A = 'iqn.a';
const B = 'iqn.b';
const ABORTED = 0x40;
const TASK_SET_FULL = 0x28;

/** A storage that answers when it is told, and what began in which order. */
function slow(): Rig & { begun: string[]; go(): void; went: Promise<void> } {
  const r = rig();
  const gate = Promise.withResolvers<void>();
  const begun: string[] = [];
  const { read, write } = r.image;
  r.image.gate = gate.promise;
  r.image.read = (offset, into) => {
    begun.push(`read ${offset / BLOCK}`);
    return read.call(r.image, offset, into);
  };
  r.image.write = (offset, bytes, options) => {
    begun.push(`write ${offset / BLOCK}`);
    return write.call(r.image, offset, bytes, options);
  };
  const go = () => {
    r.image.gate = undefined;
    gate.resolve();
  };
  return { ...r, begun, go, went: gate.promise };
}

const write = (r: Rig, lba: number, sent: Sent & { name?: string } = {}) =>
  send(r.unit, sent.name ?? A, cdb.ten('2a', lba, 1), { dataOut: filled(1, lba), ...sent });
const read = (r: Rig, lba: number, sent: Sent & { name?: string } = {}) =>
  send(r.unit, sent.name ?? A, cdb.ten('28', lba, 1), sent);

describe('the order of tasks', () => {
  it('is free where they touch different blocks, and reads pass reads', async () => {
    const r = slow();
    const all = [write(r, 0), write(r, 1), read(r, 2), read(r, 2)];
    expect(r.begun).toEqual(['write 0', 'write 1', 'read 2', 'read 2']);
    r.go();
    for (const result of await Promise.all(all)) expectGood(result);
  });

  it('is that of arrival where they touch the same blocks and one writes', async () => {
    const r = slow();
    const all = [read(r, 0), write(r, 0), read(r, 0), write(r, 0, { name: B }), write(r, 5)];
    expect(r.begun).toEqual(['read 0', 'write 5']);
    r.go();
    await Promise.all(all);
    expect(r.begun).toEqual(['read 0', 'write 5', 'write 0', 'read 0', 'write 0']);
  });

  it('lets nothing pass an ORDERED task, and it passes nothing', async () => {
    const r = slow();
    const all = [write(r, 0), write(r, 1, { attribute: 'ordered' }), write(r, 2)];
    expect(r.begun).toEqual(['write 0']);
    r.go();
    await Promise.all(all);
    expect(r.begun).toEqual(['write 0', 'write 1', 'write 2']);
  });

  it('begins with HEAD OF QUEUE', async () => {
    const r = slow();
    const all = [write(r, 0), write(r, 1, { attribute: 'ordered' }), read(r, 7, { attribute: 'head' })];
    expect(r.begun).toEqual(['write 0', 'read 7']);
    r.go();
    await Promise.all(all);
  });

  it('has a limit for all of one initiator, and leaves room for the others', async () => {
    const r = slow();
    const many = Array.from({ length: 512 }, () => read(r, 0));
    expect((await read(r, 0)).status).toBe(TASK_SET_FULL);
    const other = read(r, 0, { name: B });
    r.go();
    expectGood(await other);
    for (const result of await Promise.all(many)) expectGood(result);
    expectGood(await read(r, 0));
    expect(r.unit.depth).toBe(0);
  });

  it('judges what waited by the reservation of the day', async () => {
    const r = slow();
    const first = write(r, 0, { name: B });
    const second = write(r, 0);
    expectGood(
      await send(r.unit, B, `5f 06 00 0000 00000018 00`, {
        dataOut: new Uint8Array(Buffer.from(`${be(0, 8)}${be(1, 8)}${be(0, 8)}`, 'hex')),
      }),
    );
    expectGood(
      await send(r.unit, B, `5f 01 01 0000 00000018 00`, {
        dataOut: new Uint8Array(Buffer.from(`${be(1, 8)}${be(0, 8)}${be(0, 8)}`, 'hex')),
      }),
    );
    r.go();
    expectGood(await first);
    expect((await second).status).toBe(0x18);
  });
});

describe('task management', () => {
  it('ABORT TASK ends one task, and answers when it touches the medium no more', async () => {
    const r = slow();
    const running = write(r, 0, { reference: 1000n });
    const waiting = write(r, 0, { reference: 1001n });
    expect(await r.unit.abortTask({ name: A }, 1001n)).toBe(true);
    expect((await waiting).status).toBe(ABORTED);
    expect(await r.unit.abortTask({ name: A }, 1001n)).toBe(false);
    expect(await r.unit.abortTask({ name: B }, 1000n)).toBe(false);
    let answered = false;
    const abort = r.unit.abortTask({ name: A }, 1000n).then(() => {
      answered = true;
    });
    await allSettled();
    expect(answered).toBe(false);
    r.go();
    await abort;
    expect((await running).status).toBe(ABORTED);
  });

  it('ABORT TASK SET ends those of one initiator, CLEAR TASK SET those of all, who hear of it', async () => {
    const r = slow();
    const held = write(r, 0, { name: B });
    const own = write(r, 0);
    await r.unit.abortTaskSet({ name: A });
    expect((await own).status).toBe(ABORTED);
    const others = [write(r, 0), write(r, 0, { name: B })];
    const cleared = r.unit.clearTaskSet({ name: A });
    for (const result of await Promise.all(others)) expect(result.status).toBe(ABORTED);
    r.go();
    await cleared;
    expect((await held).status).toBe(ABORTED);
    expectSense(await read(r, 0, { name: B }), 6, 0x2f00);
    expectGood(await read(r, 0));
  });

  it('a reset ends all, and everybody hears of it, also who asked', async () => {
    const r = slow();
    const all = [write(r, 0), write(r, 0, { name: B }), read(r, 0)];
    const reset = r.unit.reset('logical unit');
    r.go();
    await reset;
    expect((await Promise.all(all)).map(({ status }) => status)).toEqual([ABORTED, ABORTED, ABORTED]);
    for (const name of [A, B]) expectSense(await read(r, 0, { name }), 6, 0x2903);
    for (const name of [A, B]) expectGood(await read(r, 0, { name }));
  });

  it('a lost nexus ends its tasks alone, and hears of it when it comes back', async () => {
    const r = slow();
    const own = write(r, 0);
    const other = write(r, 1, { name: B });
    const lost = r.unit.nexusLost({ name: A });
    r.go();
    await lost;
    expect((await own).status).toBe(ABORTED);
    expectGood(await other);
    expectSense(await read(r, 0), 6, 0x2907);
    expectGood(await read(r, 0, { name: B }));
  });

  it('a long command ends between two steps', async () => {
    const r = rig({ sizeBytes: 16 * 1024 * 1024 });
    const same = send(r.unit, A, cdb.ten('41', 0, 32_768), { dataOut: filled(1, 1), reference: 5000n });
    await r.unit.abortTask({ name: A }, 5000n);
    expect((await same).status).toBe(ABORTED);
    expect(r.image.writes.length).toBeLessThan(16);
  });
});
