import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HeldConnections } from '../../../control/affinity/held_connections.ts';
import type { FlowTuple } from '../../../control/dataplane/flow_tuple.ts';
import { tcpConnections } from '../../../control/io/tcp_connections.ts';

const connection = (sourcePort: number, destination = '198.51.100.1'): FlowTuple => ({
  ...{ protocol: 'tcp', source: '203.0.113.7', sourcePort, destination, destinationPort: 80 },
});

function rig(pieces: () => AsyncIterable<readonly FlowTuple[]>) {
  const outcomes: unknown[] = [];
  const elsewhere = new Set([1, 2, 9]);
  const held = new HeldConnections({
    read: pieces,
    name: ({ sourcePort, destination }) =>
      destination === '198.51.100.1' ? { fingerprint: 1n, poolId: 7, slot: sourcePort } : undefined,
    slots: () => 12,
    isElsewhere: (_, slot) => elsewhere.has(slot),
    onOutcome: (error) => void outcomes.push(error),
  });
  return { held, outcomes };
}

async function* given(...pieces: readonly (readonly FlowTuple[])[]) {
  for (const piece of pieces) yield piece;
}

describe('slots that are held by connections', () => {
  it('are those of connections here whose slot another server has', async () => {
    const { held } = rig(() =>
      given([connection(1), connection(3)], [connection(9), connection(2, '198.51.100.9')]),
    );
    expect(held.held(7)).toBeUndefined();
    await held.read();
    expect([...held.held(7)!]).toEqual([0b10, 0b10]);
    expect([...held.held(8)!]).toEqual([0, 0]);
  });

  it('are not known by a reading that began before the version, or that failed', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    async function* slow() {
      yield [connection(1)];
      await promise;
      yield [connection(2)];
    }
    let reads = 0;
    const { held, outcomes } = rig(() => {
      reads++;
      if (reads === 3) throw new Error('no such file');
      return reads === 1 ? slow() : given([connection(9)]);
    });
    const first = held.read();
    held.forget();
    resolve();
    await first;
    expect(held.held(7)).toBeUndefined();
    await held.read();
    expect([...held.held(7)!]).toEqual([0, 0b10]);
    await held.read();
    expect(held.held(7)).toBeUndefined();
    expect(outcomes.map((it) => (it as Error | undefined)?.message)).toEqual([undefined, 'no such file']);
  });
});

describe('the connections of a host', () => {
  it('are read from the kernel’s lists, without listeners and what has ended', async () => {
    // 198.18.0.10 and 2001:db8::10, as a machine of this byte order shows them.
    const word = (text: string) =>
      new Uint32Array(Uint8Array.from(Buffer.from(text, 'hex')).buffer)[0]!
        .toString(16)
        .padStart(8, '0')
        .toUpperCase();
    const words = (text: string) => (text.match(/.{8}/g) ?? []).map(word).join('');
    const six = words('20010db8000000000000000000000010');
    const mapped = words('00000000000000000000ffffc612000a');
    const own = words('c612000a');
    const lines = [
      '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
      `   0: ${own}:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0`,
      `   1: ${own}:0050 ${words('cb007107')}:9C40 01 00000000:00000000 00:00000000 00000000     0`,
      `   2: ${own}:0050 ${words('cb007108')}:9C41 06 00000000:00000000 00:00000000 00000000     0`,
      `   3: ${six}:01BB ${words('20010db800000000000000000000000c')}:9C42 08 00000000:00000000 00:0000`,
      `   4: ${mapped}:0050 ${words('00000000000000000000ffffcb007109')}:9C43 03 00000000:00000000 00:0`,
    ];
    const file = join(tmpdir(), `tcp-${process.pid}`);
    writeFileSync(file, `${lines.join('\n')}\n`);
    const found = (await Array.fromAsync(tcpConnections([file]))).flat();
    expect(found).toEqual([
      { ...connection(40_000), destination: '198.18.0.10' },
      {
        ...connection(40_002),
        ...{ source: '2001:db8::c', destination: '2001:db8::10', destinationPort: 443 },
      },
      { ...connection(40_003), source: '203.0.113.9', destination: '198.18.0.10' },
    ]);
  });
});
