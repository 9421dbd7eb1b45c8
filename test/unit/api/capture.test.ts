// Captures: what a client asks for and gets, as pcapng and as JSON, and how they end.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CapturedPacket } from '../../../control/api/node_port.ts';
import { PcapngWriter } from '../../../control/api/pcapng.ts';
import { capturedPacketSchema } from '../../../control/api/schema.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { type TestApi, testApi, told } from './lib/api.ts';
import { readPcapng } from './lib/pcapng_reader.ts';

const AT_NS = 1_767_225_600_123_456_789n;
/** UDP from 203.0.113.1 port 1000 to 198.51.100.1 port 53, four bytes. */
const FRAME = Buffer.from(
  '020000000001020000000002080045000020000040004011a4d2cb007101c633640103e80035000c000074657374',
  'hex',
);

const packet = (fields: Partial<CapturedPacket> = {}): CapturedPacket => ({
  atNs: AT_NS,
  reason: 'FORWARD',
  ifindex: 2,
  lengthBytes: FRAME.length,
  bytes: FRAME,
  ...fields,
});

async function* batches(...all: (readonly CapturedPacket[])[]): AsyncGenerator<readonly CapturedPacket[]> {
  yield* all;
}

async function capture({ app }: TestApi, accept?: string, body: object = {}): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...(accept === undefined ? {} : { accept }) };
  return await app.request('/v1/capture', { method: 'POST', body: JSON.stringify(body), headers }, {});
}

const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());

describe('asking for a capture', () => {
  it('passes on what is asked, with defaults filled in', async () => {
    const api = testApi();
    await capture(api);
    await capture(api, undefined, {
      reasons: ['DROP'],
      client: '203.0.113.1',
      port: 53,
      protocol: 'udp',
      packets: 5,
    });
    const asked = api.node.calls.filter(({ method }) => method === 'capture').map(({ argument }) => argument);
    expect(asked).toEqual([
      { reasons: [], seconds: 60, packets: 10_000 },
      { reasons: ['DROP'], client: '203.0.113.1', port: 53, protocol: 'udp', seconds: 60, packets: 5 },
    ]);
  });

  it.each([
    [{ seconds: 0 }, 'seconds: must be more than 0.'],
    [{ seconds: 3_601 }, 'seconds: must be at most 3600.'],
    [{ packets: 0.5 }, 'packets: must be an integer, not number.'],
    [{ protocol: 6 }, 'protocol: must be "tcp" or "udp" or "icmp" or "icmp6".'],
    [{ reason: 'DROP' }, 'there is no field "reason".'],
  ])('refuses %j', async (body, cause) => {
    const { ask, node } = testApi();
    expect(told(await ask('POST', '/v1/capture', body))).toMatchObject({ status: 400, cause });
    expect(node.calls).toEqual([]);
  });

  it('answers in the type that is wanted', async () => {
    const api = testApi();
    const typeFor = async (accept?: string) => (await capture(api, accept)).headers.get('content-type');
    expect(await typeFor()).toBe('application/x-pcapng');
    expect(await typeFor('*/*')).toBe('application/x-pcapng');
    expect(await typeFor('text/html, */*;q=0.1')).toBe('application/x-pcapng');
    expect(await typeFor('application/x-pcapng')).toBe('application/x-pcapng');
    expect(await typeFor('application/x-ndjson')).toBe('application/x-ndjson');
    expect(await typeFor('application/x-ndjson, application/x-pcapng;q=0.5')).toBe('application/x-ndjson');
  });

  it.each(['application/json', 'text/plain, image/*', ''])('cannot answer in %s', async (accept) => {
    const api = testApi();
    const response = await capture(api, accept);
    expect([response.status, await response.json()]).toEqual([
      406,
      {
        code: 'invalid',
        message: 'A capture cannot be answered in the types that Accept names.',
        cause: 'There are application/x-pcapng and application/x-ndjson.',
        remedy: 'Name one of them.',
      },
    ]);
    expect(api.node.calls).toEqual([]);
  });

  it('is answered with what prevents it', async () => {
    const { ask, node } = testApi();
    node.failure = new Failure('conflict', 'A capture is running.', { remedy: 'Wait for its end.' });
    expect(told(await ask('POST', '/v1/capture', {}))).toEqual({
      status: 409,
      code: 'conflict',
      message: 'A capture is running.',
      remedy: 'Wait for its end.',
    });
  });
});

describe('a capture as pcapng', () => {
  it('has the packets with time, interface, lengths and reason', async () => {
    const api = testApi();
    api.node.batches = batches(
      [packet()],
      [],
      [
        packet({ ifindex: 9, reason: 'DROP_NO_BACKEND', bytes: FRAME.subarray(0, 21), lost: 3 }),
        packet({ atNs: AT_NS + 1n, lengthBytes: 9_000 }),
      ],
    );
    const file = readPcapng(await bytesOf(await capture(api)));
    expect(file.application).toBe('holdfastd 0.1.0');
    expect(file.interfaces).toEqual([
      { linktype: 1, snaplen: 0, name: 'eth0', tsresol: 9 },
      { linktype: 1, snaplen: 0, name: 'ifindex 9', tsresol: 9 },
    ]);
    const [first, second, third] = file.packets;
    expect(first).toMatchObject({
      interfaceName: 'eth0',
      ticks: AT_NS,
      capturedBytes: 46,
      originalBytes: 46,
    });
    expect(Buffer.from(first!.data)).toEqual(FRAME);
    expect([...first!.options]).toEqual([[1, [Buffer.from('FORWARD')]]]);
    expect(second).toMatchObject({ interfaceName: 'ifindex 9', capturedBytes: 21, originalBytes: 46 });
    expect(second!.options.get(1)).toEqual([Buffer.from('DROP_NO_BACKEND')]);
    expect(second!.options.get(4)![0]!.readBigUInt64LE()).toBe(3n);
    expect(third).toMatchObject({ interfaceName: 'eth0', ticks: AT_NS + 1n, originalBytes: 9_000 });
  });

  it('is a file from the first moment on, also without packets', async () => {
    const api = testApi();
    expect(readPcapng(await bytesOf(await capture(api)))).toMatchObject({ interfaces: [], packets: [] });
  });

  it('is read by an independent parser whatever the packets', () => {
    const anyPacket = fc.record({
      atNs: fc.bigInt(0n, (1n << 64n) - 1n),
      reason: fc.string({ unit: 'binary', maxLength: 80 }),
      ifindex: fc.nat(3),
      lengthBytes: fc.nat(65_535),
      bytes: fc.uint8Array({ maxLength: 100 }),
      lost: fc.option(fc.maxSafeNat(), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(fc.array(anyPacket, { maxLength: 5 }), { maxLength: 5 }), (all) => {
        const writer = new PcapngWriter((ifindex) => `if${ifindex}`);
        const packets: CapturedPacket[][] = all.map((batch) =>
          batch.map(({ lost, ...it }) => (lost ? { ...it, lost } : it)),
        );
        const file = readPcapng(
          Buffer.concat([writer.header('x'), ...packets.map((it) => writer.packets(it))]),
        );
        const expected = packets.flat();
        expect(file.packets).toHaveLength(expected.length);
        for (const [at, { atNs, reason, ifindex, bytes, lengthBytes, lost }] of expected.entries()) {
          const read = file.packets[at]!;
          expect(read.ticks).toBe(atNs);
          expect(read.interfaceName).toBe(`if${ifindex}`);
          expect([...read.data]).toEqual([...bytes]);
          expect(read.originalBytes).toBe(Math.max(lengthBytes, bytes.length));
          expect(read.options.get(1)![0]).toEqual(Buffer.from(reason));
          const [dropped] = read.options.get(4) ?? [];
          expect(dropped?.readBigUInt64LE()).toBe(lost === undefined ? undefined : BigInt(lost));
        }
      }),
    );
  });

  it('is read by tcpdump', async () => {
    const api = testApi();
    api.node.batches = batches([packet(), packet({ atNs: AT_NS + 1_000n, bytes: FRAME.subarray(0, 43) })]);
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-api-'));
    try {
      const file = join(directory, 'capture.pcapng');
      writeFileSync(file, await bytesOf(await capture(api)));
      const text = execFileSync('tcpdump', ['-n', '-tt', '--nano', '-r', file], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const lines = text.trimEnd().split('\n');
      expect(lines).toHaveLength(2);
      expect(lines[0]).toMatch(/^1767225600\.123456789 .*IP 203\.0\.113\.1\.1000 > 198\.51\.100\.1\.53/);
      expect(lines[1]).toMatch(/^1767225600\.123457789 /);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('a capture as JSON', () => {
  const linesOf = async (response: Response) =>
    (await response.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));

  it('has a line a packet', async () => {
    const api = testApi();
    api.node.batches = batches([packet(), packet({ ifindex: 9, lost: 2, bytes: Uint8Array.of(1, 255) })]);
    const lines = await linesOf(await capture(api, 'application/x-ndjson'));
    expect(lines).toEqual([
      {
        atMs: 1_767_225_600_123.456,
        reason: 'FORWARD',
        ifindex: 2,
        interface: 'eth0',
        lengthBytes: 46,
        frame: FRAME.toString('hex'),
      },
      { atMs: 1_767_225_600_123.456, reason: 'FORWARD', ifindex: 9, lengthBytes: 46, frame: '01ff', lost: 2 },
    ]);
    for (const line of lines) expect(capturedPacketSchema.strict().safeParse(line).error).toBeUndefined();
  });

  it.each([
    [new Failure('unavailable', 'The program is gone.', { remedy: 'holdfast attach' }), 'unavailable'],
    [new Error('a bug'), 'internal'],
  ])('says in its last line why it broke off: %s', async (error, code) => {
    const api = testApi();
    api.node.batches = (async function* () {
      yield [packet()];
      throw error;
    })();
    const lines = await linesOf(await capture(api, 'application/x-ndjson'));
    expect(lines).toHaveLength(2);
    expect(lines[1].code).toBe(code);
    if (code === 'internal') {
      const id = api.logged.find(({ level }) => level === 'error')!.record.bugId;
      expect(lines[1].cause).toBe(`The log has it under ${id}.`);
    } else {
      expect(lines[1]).toEqual({ code, message: 'The program is gone.', remedy: 'holdfast attach' });
    }
  });
});

describe('the end of a capture', () => {
  const endless = () => {
    const state = { taken: 0, ended: false };
    const source = (async function* () {
      try {
        for (;;) {
          state.taken++;
          yield [packet()];
        }
      } finally {
        state.ended = true;
      }
    })();
    return { state, source };
  };

  it('breaks the answer where pcapng cannot say what went wrong', async () => {
    const api = testApi();
    api.node.batches = (async function* () {
      yield [packet()];
      throw new Error('a bug');
    })();
    await expect(bytesOf(await capture(api))).rejects.toThrow();
    expect(api.logged.some(({ level }) => level === 'error')).toBe(true);
    expect(api.node.captureSignal!.aborted).toBe(true);
  });

  it('comes when the client goes, for the node too', async () => {
    const api = testApi();
    const { state, source } = endless();
    api.node.batches = source;
    const reader = (await capture(api)).body!.getReader();
    await reader.read();
    await reader.read();
    expect(api.node.captureSignal!.aborted).toBe(false);
    await reader.cancel();
    expect(api.node.captureSignal!.aborted).toBe(true);
    expect(state.ended).toBe(true);
  });

  it('comes when the daemon stops', async () => {
    const api = testApi();
    api.node.capture = async (_request, signal) =>
      (async function* () {
        yield [packet()];
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      })();
    const response = await capture(api);
    const bytes = bytesOf(response);
    await new Promise((resolve) => setImmediate(resolve));
    api.stop();
    expect(readPcapng(await bytes).packets).toHaveLength(1);
  });

  it('comes when the client takes nothing any more, and nothing is taken from the node for it', async () => {
    const api = testApi({ stallMs: 20 });
    const { state, source } = endless();
    api.node.batches = source;
    const reader = (await capture(api)).body!.getReader();
    await reader.read();
    await reader.read();
    expect(state.taken).toBe(1);
    await expect(reader.closed).rejects.toThrow('stalled');
    expect(api.node.captureSignal!.aborted).toBe(true);
    expect(state).toEqual({ taken: 1, ended: true });
  });
});
