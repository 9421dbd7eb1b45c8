import { afterEach, describe, expect, it } from 'vitest';
import { DecapProgram } from '../../control/dataplane/decap.ts';
import { DECAP, MUX_PREFIXES } from './cases/decap.ts';
import { flowOf, plain } from './lib/case.ts';
import { frame, gue, inner, ip, ipv4, payload } from './lib/packets.ts';
import { type Judged, judge, type Run, runOn } from './lib/rig.ts';
import { SERVICE4, SERVICE6, TCP } from './lib/site.ts';
import { describeTables } from './lib/tables.ts';

class DecapRig implements Judged {
  readonly decap: DecapProgram;

  private constructor(decap: DecapProgram) {
    this.decap = decap;
  }

  static async load(options: { guePort?: number } = {}): Promise<DecapRig> {
    const objectPath = process.env.HOLDFAST_TEST_DECAP;
    const decap = DecapProgram.load({ ...options, ...(objectPath === undefined ? {} : { objectPath }) });
    const rig = new DecapRig(decap);
    await rig.use(MUX_PREFIXES, [SERVICE4, SERVICE6]);
    return rig;
  }

  async use(muxSources: readonly string[], serviceAddresses: readonly string[]): Promise<void> {
    await this.decap.apply({ muxSources, serviceAddresses });
  }

  run(input: Uint8Array): Run {
    return runOn(this.decap.program, input);
  }

  reasons(): Record<string, bigint> {
    return this.decap.counters().reasons;
  }

  close(): void {
    this.decap.close();
  }
}

describeTables('takes the tunnel off', DECAP, () => DecapRig.load());

describe('decap configuration', () => {
  let rig: DecapRig | undefined;
  afterEach(() => {
    rig?.close();
    rig = undefined;
  });

  const packet = plain(flowOf({ version: 4, protocol: TCP, port: 80 }), payload(20));
  const from = (source: string): Uint8Array =>
    frame(ipv4({ source, destination: '192.0.2.1' }, inner(packet)));
  const expectReason = (input: Uint8Array, reason: string): void => {
    const verdict = reason === 'DECAP' || reason.startsWith('PASS') ? 'PASS' : 'DROP';
    judge(rig!, { name: reason, input, end: input.length, verdict, reason });
  };

  it('takes GUE at the configured port only', async () => {
    rig = await DecapRig.load({ guePort: 7000 });
    const at = (destinationPort: number): Uint8Array =>
      frame(
        ip(
          { source: '198.18.64.9', destination: '192.0.2.1' },
          gue({ sourcePort: 50000, destinationPort }, packet),
        ),
      );
    expectReason(at(7000), 'DECAP');
    expectReason(at(6080), 'PASS_NOT_TUNNELLED');
  });

  it('follows a change of mux sources and of service addresses', async () => {
    rig = await DecapRig.load();
    expectReason(from('198.18.64.1'), 'DECAP');
    const others = ['10.0.0.1', '10.1.0.0/16'];
    await rig.use(others, [SERVICE4, SERVICE6]);
    expectReason(from('198.18.64.1'), 'DROP_FOREIGN_TUNNEL');
    expectReason(from('10.0.0.1'), 'DECAP');
    expectReason(from('10.0.0.2'), 'DROP_FOREIGN_TUNNEL');
    expectReason(from('10.1.255.255'), 'DECAP');
    await rig.use(others, [SERVICE6]);
    expectReason(from('10.0.0.1'), 'DROP_NOT_FOR_SERVICE');
    await rig.use(others, [SERVICE4]);
    expectReason(from('10.0.0.1'), 'DECAP');
    await rig.use([], [SERVICE4]);
    expectReason(from('10.0.0.1'), 'DROP_FOREIGN_TUNNEL');
  });

  it('writes nothing where nothing changes', async () => {
    rig = await DecapRig.load();
    const desired = { muxSources: MUX_PREFIXES, serviceAddresses: [SERVICE4, SERVICE6] };
    expect(await rig.decap.apply(desired)).toEqual({ muxSources: false, added: 0, removed: 0 });
  });

  it('knows 64 mux sources, and refuses more', async () => {
    rig = await DecapRig.load();
    const sources = Array.from({ length: 64 }, (_, i) => `10.9.${i}.0/24`);
    await rig.use(sources, [SERVICE4]);
    for (let i = 0; i < 64; i++) expectReason(from(`10.9.${i}.77`), 'DECAP');
    expectReason(from('10.9.64.77'), 'DROP_FOREIGN_TUNNEL');
    await expect(rig.use([...sources, '10.8.0.0/24'], [])).rejects.toMatchObject({ code: 'limit' });
    expectReason(from('10.9.0.77'), 'DECAP');
  });

  it('takes every source for a mux where the prefix is of no length', async () => {
    rig = await DecapRig.load();
    await rig.use(['::/0'], [SERVICE4]);
    const wrapped = ip({ source: '2001:db8:dead::1', destination: '2001:db8:b::2' }, inner(packet));
    expectReason(frame(wrapped), 'DECAP');
  });
});
