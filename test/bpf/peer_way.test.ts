// Where the kernel's FIB is asked about what goes between muxes: peers without a known next hop, and answers to senders
// whose packet came from a peer. In a network namespace of the test.
import { withNetns } from '@holdfast/linux';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Attachments } from '../../control/dataplane/attachment.ts';
import { Lab, run } from '../native/linux/lab.ts';
import { ClusterMux, RELAYED, tcpPacket } from './lib/cluster_mux.ts';
import { frame, mac, payload } from './lib/packets.ts';
import { hex, moved, runOn } from './lib/rig.ts';
import { CLIENT, SELF, SERVICE } from './lib/tracked_mux.ts';
import { carrying, OP, queueOf, wireFrame } from './lib/wire_frames.ts';

const NEIGHBOUR = '02:00:00:00:00:99';
const NEAR = '02:00:00:00:00:11';

describe('the way by the FIB', () => {
  const lab = new Lab();
  const attachments = new Attachments();
  let mux: ClusterMux;
  let netns: string;
  let ifindex: number;

  beforeAll(() => {
    netns = lab.netns('peerway');
    lab.ip(netns, `link add near address ${NEAR} type veth peer name far`);
    for (const name of ['near', 'far']) lab.ip(netns, `link set ${name} up`);
    lab.ip(netns, 'addr add 192.0.2.1/24 dev near');
    lab.ip(netns, `neigh add 192.0.2.99 lladdr ${NEIGHBOUR} dev near nud permanent`);
    lab.ip(netns, `neigh add 192.0.2.203 lladdr ${NEIGHBOUR} dev near nud permanent`);
    lab.ip(netns, 'route add default via 192.0.2.99');
    run(
      'ip',
      'netns',
      'exec',
      netns.replace('/run/netns/', ''),
      'sysctl',
      '-qw',
      'net.ipv4.conf.all.forwarding=1',
    );
    ifindex = Number(lab.ipJson(netns, 'link show near')[0]!.ifindex);
    mux = ClusterMux.make();
    // A test run can come in by an interface only once its queues are ready for XDP.
    attachments.attach(mux.object.program('mux'), { interface: 'near', mode: 'native', netns });
  });
  beforeEach(() => mux.reset());
  afterAll(() => {
    attachments.close();
    mux?.close();
    lab.remove();
  });

  function send(packet: Uint8Array) {
    const before = mux.counts();
    const program = mux.object.program('mux');
    const { verdict, output } = withNetns(netns, () =>
      runOn({ testRun: ({ data }) => program.testRun({ data, ctx: { ingressIfindex: ifindex } }) }, packet),
    );
    const reasons = Object.keys(moved(before, mux.counts())).filter((it) => !it.startsWith('PASS_'));
    return { verdict, output, reasons };
  }

  it('leads to a peer whose next hop is not known', () => {
    const { datagram, hash } = tcpPacket(4001);
    mux.changePeer(RELAYED, { flags: 1 });
    mux.setPeerState(RELAYED, { heard_ns: mux.nowNs });
    mux.setDeadline(-1);
    const { verdict, output, reasons } = send(frame(datagram));
    expect({ verdict, reasons }).toEqual({ verdict: 'TX', reasons: ['RELAY_DEADLINE'] });
    const outer = mux.to(RELAYED, { ...queueOf(hash), toMac: mac(NEIGHBOUR), fromMac: mac(NEAR) });
    const header = mux.sign({ operation: OP.relay, asker: SELF }, hash);
    expect(hex(output)).toBe(hex(wireFrame(outer, carrying(header, datagram))));
  });

  it('leads back to the sender of what does not fit, not to the peer that relayed it', () => {
    const { datagram, hash } = tcpPacket(4001, { data: payload(1445) });
    const { verdict, output, reasons } = send(
      wireFrame(mux.from(RELAYED), carrying(mux.sign({ operation: OP.relay }, hash), datagram)),
    );
    expect({ verdict, reasons }).toEqual({ verdict: 'TX', reasons: ['REPLY_TOO_BIG'] });
    expect(hex(output.subarray(0, 14))).toBe(hex(Buffer.from([...mac(NEIGHBOUR), ...mac(NEAR), 8, 0])));
    expect(output.subarray(26, 34).join('.')).toBe(`${SERVICE}.${CLIENT}`);
    expect([output[34], output[35], output[40]! * 256 + output[41]!]).toEqual([3, 4, 1480]);
    expect(hex(output.subarray(42))).toBe(hex(datagram.bytes.subarray(0, output.length - 42)));
  });
});
