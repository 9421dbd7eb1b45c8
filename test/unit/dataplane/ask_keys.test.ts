import { expect, it } from 'vitest';
import { AskKeys } from '../../../control/dataplane/ask_keys.ts';
import { askKeyCodec, Limit, muxSelfCodec } from '../../../control/dataplane/generated/layout.ts';
import { GracePeriods } from '../../../control/dataplane/grace.ts';
import { SelfRecord } from '../../../control/dataplane/self.ts';

const key = (byte: number): Uint8Array => new Uint8Array(16).fill(byte);
const words = (byte: number): bigint[] =>
  [0, 1].map(() => BigInt(`0x${byte.toString(16).padStart(2, '0').repeat(8)}`));

function build(atGrace: () => void = () => {}) {
  const memory = new ArrayBuffer(Limit.LIMIT_ASK_KEYS * askKeyCodec.sizeBytes);
  const self = new SelfRecord(new ArrayBuffer(muxSelfCodec.sizeBytes));
  const keys = new AskKeys(memory, self, new GracePeriods(async () => atGrace()));
  const at = (place: number) => askKeyCodec.read(new DataView(memory), place * askKeyCodec.sizeBytes);
  return { keys, self, at };
}

it('are there whole, one a place, and another only takes a place that nobody looks at', async () => {
  const seen: number[] = [];
  const { keys, at, self } = build(() => seen.push(at(2).present));
  await keys.install(6, key(0xab));
  expect(at(2)).toMatchObject({ key: words(0xab), present: 1 });
  keys.use(6);
  expect([self.keyId, keys.used]).toEqual([6, 6]);
  await keys.install(6, key(0xab));
  expect(seen, 'the same again').toEqual([]);
  await keys.install(10, key(0xcd));
  expect(seen, 'while programs may read the one before').toEqual([0]);
  expect(at(2)).toMatchObject({ key: words(0xcd), present: 1 });
  expect(keys.places()).toEqual([2]);
});

it('are forgotten, and not used before they are there', async () => {
  const { keys, at } = build();
  await keys.install(3, key(1));
  await keys.remove(3);
  expect(at(3)).toMatchObject({ key: [0n, 0n], present: 0 });
  expect(() => keys.use(3)).toThrow(/not installed/);
  await expect(keys.install(256, key(1))).rejects.toThrow(RangeError);
  await expect(keys.install(1, new Uint8Array(15))).rejects.toThrow(/16 bytes/);
});
