import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FORWARD } from './cases/forward.ts';
import { type Case, flowOf, forwards, passes, plain } from './lib/case.ts';
import { payload } from './lib/packets.ts';
import { hex, loadMux, Rig, runOn } from './lib/rig.ts';
import { CLIENT4, CLIENT6, PLAIN, PORT, SERVICE4, SERVICE6, TCP, UDP } from './lib/site.ts';

type Filter = Parameters<Rig['mux']['startCapture']>[0];

describe('capture', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.load();
  });
  afterAll(() => rig?.close());

  const row = (
    version: 4 | 6,
    protocol: number,
    clientPort: number,
    port: number = PORT.of(PLAIN.v4),
  ): Case => {
    const flow = flowOf({ version, protocol, port, clientPort });
    return forwards({ name: `${version} ${protocol} ${clientPort} ${port}`, flow }, plain(flow, payload(10)));
  };
  const unknown = (): Case =>
    passes(
      { name: 'unknown port' },
      plain(flowOf({ version: 4, protocol: TCP, port: 999 }), payload(10)),
      'PASS_NO_SUCH_PORT',
    );
  const rows: readonly Case[] = [
    row(4, TCP, 1111),
    row(4, UDP, 1111),
    row(6, TCP, 1111),
    row(4, TCP, 2222),
    row(4, TCP, 1111, PORT.pool),
    unknown(),
  ];

  function captured(filter: Filter): number[] {
    rig.mux.startCapture(filter);
    try {
      return rows.flatMap(({ input }, i) => {
        runOn(rig.mux.capturingProgram!, input);
        return rig.mux.drainCapture().map(() => i);
      });
    } finally {
      rig.mux.stopCapture();
    }
  }

  it.each<[string, Filter, number[]]>([
    ['a reason', { reasons: ['PASS_NO_SUCH_PORT'] }, [5]],
    ['two reasons', { reasons: ['PASS_NO_SUCH_PORT', 'FORWARD'] }, [0, 1, 2, 3, 4, 5]],
    ['no reason', { reasons: [] }, []],
    ['a client of IPv4', { reasons: ['FORWARD'], client: CLIENT4 }, [0, 1, 3, 4]],
    ['a client of IPv6', { reasons: ['FORWARD'], client: CLIENT6 }, [2]],
    ['an address of IPv4', { reasons: ['FORWARD'], address: SERVICE4 }, [0, 1, 3, 4]],
    ['an address of IPv6', { reasons: ['FORWARD'], address: SERVICE6 }, [2]],
    ['a client port', { reasons: ['FORWARD'], clientPort: 2222 }, [3]],
    ['a port', { reasons: ['FORWARD'], port: PORT.pool }, [4]],
    ['a protocol', { reasons: ['FORWARD'], protocol: UDP }, [1]],
    [
      'all of it',
      {
        reasons: ['FORWARD'],
        client: CLIENT4,
        address: SERVICE4,
        clientPort: 1111,
        port: PORT.of(1),
        protocol: TCP,
      },
      [0],
    ],
    ['nothing that matches', { reasons: ['DROP_TRUNCATED'], client: CLIENT4 }, []],
  ])('copies by %s', (_, filter, expected) => {
    expect(captured(filter)).toEqual(expected);
  });

  it('copies the frame as it left, with its reason and interface, up to the limit of a record', () => {
    rig.mux.startCapture({ reasons: ['FORWARD'] });
    for (const bytes of [0, 10, 1900, 1931, 1932, 1933]) {
      const flow = flowOf({ version: 4, protocol: UDP, port: PORT.of(PLAIN.v4) });
      const { input, output } = forwards({ name: '', flow }, plain(flow, payload(bytes)));
      runOn(rig.mux.capturingProgram!, input);
      const [record, ...others] = rig.mux.drainCapture();
      expect(others).toEqual([]);
      expect({ reason: record!.reason, ifindex: record!.ifindex, length: record!.length }).toEqual({
        reason: 'FORWARD',
        ifindex: 1,
        length: output!.length,
      });
      expect(hex(record!.bytes)).toBe(hex(output!.slice(0, 1984)));
    }
    rig.mux.stopCapture();
  });

  it('does not disturb: every form is forwarded as without', () => {
    rig.mux.startCapture({ reasons: ['FORWARD'] });
    for (const { name, input, verdict, output } of Object.values(FORWARD).flat()) {
      const run = runOn(rig.mux.capturingProgram!, input);
      expect(run.verdict, name).toBe(verdict);
      if (Buffer.compare(run.output, output!) !== 0) expect(hex(run.output), name).toBe(hex(output!));
      expect(rig.mux.drainCapture()).toHaveLength(1);
    }
    rig.mux.stopCapture();
  });

  it('can be compiled in from the start', () => {
    const mux = loadMux({ capture: true });
    try {
      expect(runOn(mux.program, rows[0]!.input).verdict).toBe('PASS');
      expect(mux.counters().reasons.PASS_NOT_A_SERVICE).toBe(1n);
    } finally {
      mux.close();
    }
  });

  it('goes on forwarding when nobody reads the copies', () => {
    rig.mux.startCapture({ reasons: ['FORWARD'] });
    const { input, verdict } = row(4, TCP, 4444);
    for (let i = 0; i < 3000; i++)
      if (runOn(rig.mux.capturingProgram!, input).verdict !== verdict) expect.fail(`run ${i}`);
    expect(rig.mux.drainCapture().length).toBeGreaterThan(100);
    rig.mux.stopCapture();
  });
});
