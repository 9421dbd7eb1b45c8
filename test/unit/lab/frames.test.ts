// The channel to guests: frames arrive however the pieces are cut, and no length is believed.
import { expect, it } from 'vitest';
import { encodeFrame, encodeRun, FRAME, FRAME_BYTES_MAX, FrameReader } from '../../lab/vm/frames.ts';

it('reads frames from pieces of any size', () => {
  const bytes = Buffer.concat([
    encodeFrame(1, FRAME.out, Buffer.from('one')),
    encodeFrame(2, FRAME.exit, Buffer.alloc(4)),
    encodeFrame(3, FRAME.err),
  ]);
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new FrameReader();
    const frames = [];
    for (let at = 0; at < bytes.length; at += size)
      frames.push(...reader.push(bytes.subarray(at, at + size)));
    expect(frames.map(({ id, kind, body }) => [id, kind, body.toString('latin1')])).toEqual([
      [1, FRAME.out, 'one'],
      [2, FRAME.exit, '\0\0\0\0'],
      [3, FRAME.err, ''],
    ]);
  }
});

it('writes a script as the agent reads it', () => {
  const bytes = encodeRun(7, 'ls', Buffer.from('in'));
  expect(bytes.toString('hex')).toBe('07000000' + '01000000' + '08000000' + '02000000' + '6c73' + '696e');
});

it('refuses lengths above the limit, on either side', () => {
  const header = encodeFrame(1, FRAME.out);
  header.writeUInt32LE(FRAME_BYTES_MAX + 1, 8);
  expect(() => new FrameReader().push(header)).toThrow('announces');
  expect(() => encodeFrame(1, FRAME.run, { length: FRAME_BYTES_MAX + 1 } as Uint8Array)).toThrow(RangeError);
});
