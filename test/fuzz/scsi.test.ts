// Random CDBs, parameter lists and sense data: whatever an initiator sends, there is a result, and it is well formed.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { COMMANDS } from '../../control/disk/scsi/codec/commands.ts';
import { decodeSense } from '../../control/disk/scsi/codec/sense.ts';
import { BLOCK, rig } from '../unit/disk/scsi/support.ts';

const SECONDS = process.env.HOLDFAST_LONG === '1' ? 120 : 8;
const STATUSES = [0x00, 0x02, 0x18, 0x28, 0x40];

/** One that exists, with some of the bits that count; or anything. */
const known = fc.constantFrom(...COMMANDS).chain((form) =>
  fc.uint8Array({ minLength: form.usage.length, maxLength: form.usage.length }).chain((noise) =>
    fc.constantFrom(0xff, 0x0f, 0x01, 0x00).map((sparse) => {
      const cdb = form.usage.map((mask, at) => mask & (noise[at] ?? 0) & sparse);
      cdb[0] = form.operationCode;
      if (form.serviceAction !== undefined) cdb[1] = ((cdb[1] ?? 0) & 0xe0) | form.serviceAction;
      // Lengths that fit the data now and then.
      if (form.length !== undefined && sparse !== 0xff)
        cdb[form.length[0] + form.length[1] - 1] = noise[0] ?? 0;
      return cdb;
    }),
  ),
);
const anything = fc.uint8Array({ maxLength: 32 });
const list = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => bytes.map((byte) => (byte > 200 ? byte : 0))),
  fc.integer({ min: 0, max: 4 }).map((blocks) => new Uint8Array(blocks * BLOCK)),
);
const command = fc.record({
  cdb: fc.oneof({ weight: 5, arbitrary: known }, { weight: 1, arbitrary: anything }),
  dataOut: list,
  dataInMax: fc.constantFrom(0, 1, 7, 255, 512, 70_000),
  name: fc.constantFrom('a', 'b'),
  attribute: fc.constantFrom('simple' as const, 'ordered' as const, 'head' as const),
});

it('every command has a result, and the unit lives on', async () => {
  const decoded = { good: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 24 }), async (commands) => {
      const { unit, image } = rig({ atomicWriteBytesMax: 8192 }, { startedBy: 'power on' });
      const results = await Promise.all(
        commands.map(({ name, ...rest }, at) =>
          unit.execute({ ...rest, initiator: { name }, reference: BigInt(at) }),
        ),
      );
      for (const [at, result] of results.entries()) {
        expect(STATUSES).toContain(result.status);
        expect(result.sense !== undefined).toBe(result.status === 0x02);
        if (result.sense !== undefined) expect(decodeSense(result.sense)).toBeDefined();
        expect(result.dataIn?.length ?? 0).toBeLessThanOrEqual(commands[at]!.dataInMax);
        expect(Number.isSafeInteger(result.residual)).toBe(true);
        decoded[result.status === 0 ? 'good' : 'refused'] += 1;
      }
      await unit.drained();
      expect([unit.depth, image.sizeBytes % BLOCK]).toEqual([0, 0]);
    }),
    { numRuns: 1_000_000, interruptAfterTimeLimit: SECONDS * 1000, markInterruptAsFailure: false },
  );
  // It would prove nothing if all were refused at the door.
  expect(decoded.good).toBeGreaterThan(decoded.refused / 20);
});

it('sense data is read without harm, whatever it is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void decodeSense(bytes)),
    { numRuns: 20_000 },
  );
});
