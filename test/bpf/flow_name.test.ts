// The name of a flow in user space is the hash that the program computes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FlowTuple } from '../../control/dataplane/flow_tuple.ts';
import { frameOf } from '../../control/dataplane/frame.ts';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { MUX_OPTIONS } from './lib/state.ts';

let mux: MuxProgram;

beforeAll(async () => {
  mux = MuxProgram.load(MUX_OPTIONS);
  const range = (pool: number) => ({ slotBase: pool * 1000, slotCount: 997, pool });
  await mux.setService({ address: '203.0.113.1', protocol: 'tcp', port: 80, ...range(1) });
  const affinity = { prefixLength4: 24, prefixLength6: 56 };
  await mux.setService({ address: '203.0.113.1', protocol: 'udp', port: 53, ...range(2), affinity });
  await mux.setService({ address: '203.0.113.2', ...range(3), ignoreSourcePort: true });
  await mux.setService({ address: '2001:db8:5::1', protocol: 'tcp', port: 443, ...range(4) });
  await mux.setService({ address: '2001:db8:5::2', ...range(5), affinity });
});
afterAll(() => mux?.close());

const flow = (protocol: 'tcp' | 'udp', destination: string, destinationPort: number): FlowTuple => ({
  protocol,
  source: destination.includes(':') ? '2001:db8:77:1234:5678::9' : '198.51.100.77',
  sourcePort: 40_001,
  destination,
  destinationPort,
});

describe('the name of a flow', () => {
  it.each([
    ['by the 5-tuple', flow('tcp', '203.0.113.1', 80)],
    ['by the client', flow('udp', '203.0.113.1', 53)],
    ['without the source port', flow('udp', '203.0.113.2', 9_999)],
    ['over IPv6', flow('tcp', '2001:db8:5::1', 443)],
    ['by the client over IPv6, of an address', flow('udp', '2001:db8:5::2', 1)],
  ])('is the hash of the program: %s', (_, tuple) => {
    const { hash, slot, poolId } = mux.explain(frameOf(tuple));
    expect(hash).not.toBe(0n);
    expect(mux.nameFlow(tuple)).toEqual({ fingerprint: hash, slot, poolId });
  });

  it('is none where no service takes it', () => {
    expect(mux.nameFlow(flow('tcp', '203.0.113.1', 81))).toBeUndefined();
    expect(mux.nameFlow(flow('tcp', '203.0.113.9', 80))).toBeUndefined();
    expect(mux.nameFlow({ ...flow('tcp', '203.0.113.1', 80), source: '2001:db8::1' })).toBeUndefined();
  });
});
