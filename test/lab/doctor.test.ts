// The doctor on real interfaces: it finds what was broken on purpose, and its cures, pasted into a shell, cure.
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { openObject } from 'libbpf-ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { examine, type Finding, type Question } from '../../control/doctor/facts.ts';
import type { Request } from './doctor_child.ts';
import { ip, ipBatch, run, runIn, setSysctls } from './shell.ts';

const NODE = `hf-doctor-${process.pid}-node`;
const PEER = `hf-doctor-${process.pid}-peer`;
const CHILD = fileURLToPath(new URL('doctor_child.ts', import.meta.url));
/** Lets what is not for it pass. */
const OWN = fileURLToPath(new URL('../../out/bpf/decap.bpf.o', import.meta.url));
const FOREIGN = fileURLToPath(new URL('../../out/test-bpf/reflector.bpf.o', import.meta.url));
const SERVICE = '203.0.113.1';
const EXAMINATION_LIMIT_MS = 10_000;

const MUX: Question = {
  interfaces: ['eth0'],
  roles: ['mux'],
  serviceAddresses: [SERVICE],
  backends: [{ address: '10.99.0.2' }, { address: 'fd99::2', encap: 'gue' }, { address: '10.98.0.7' }],
};
const BACKEND: Question = {
  interfaces: ['eth0'],
  roles: ['backend'],
  serviceAddresses: [SERVICE, '2001:db8::80'],
  backends: [],
};

beforeEach(() => {
  for (const netns of [NODE, PEER]) {
    run('ip', ['netns', 'add', netns]);
    setSysctls(netns, {
      'ipv4/conf/all/rp_filter': 0,
      'ipv4/conf/default/rp_filter': 0,
      'ipv6/conf/default/accept_dad': 0,
    });
  }
  ipBatch(NODE, [
    'link set lo up',
    `link add eth0 mtu 1548 type veth peer name eth0 mtu 1548 netns ${PEER}`,
    'addr add 10.99.0.1/24 dev eth0',
    'addr add fd99::1/64 dev eth0 nodad',
    'link set eth0 up',
    '-6 route add default via fd99::2 mtu 1500',
    `addr add ${SERVICE}/32 dev lo`,
    'addr add 2001:db8::80/128 dev lo nodad',
  ]);
  ipBatch(PEER, ['addr add 10.99.0.2/24 dev eth0', 'addr add fd99::2/64 dev eth0 nodad', 'link set eth0 up']);
  // Not before the peer is up: a route needs a carrier.
  ip(NODE, 'route add default via 10.99.0.2 mtu 1500');
  ip(NODE, 'route add 10.98.0.0/24 via 10.99.0.2 mtu 1548');
  setSysctls(NODE, { 'ipv4/ip_forward': 1, 'ipv6/conf/eth0/accept_ra': 0, 'ipv6/conf/all/forwarding': 1 });
});

afterEach(() => {
  for (const netns of [NODE, PEER]) run('ip', ['netns', 'del', netns]);
});

function examineNode(question: Question, more: Partial<Request> = {}): Finding[] {
  const request: Request = { question, mountBpf: true, ...more };
  const text = runIn(NODE, process.execPath, '--conditions=source', CHILD, JSON.stringify(request));
  return JSON.parse(text) as Finding[];
}

const of = (findings: readonly Finding[], check: string) => findings.filter((it) => it.check === check);
const complaints = (findings: readonly Finding[]) =>
  findings.filter(({ severity }) => severity === 'warning' || severity === 'error');

/** One complaint of this check, whose cure, pasted into a shell of the node, leaves none. */
function expectCure(question: Question, check: string, expected: Omit<Finding, 'check'>): void {
  const found = of(examineNode(question), check);
  expect(found).toContainEqual({ check, ...expected });
  runIn(NODE, 'sh', '-c', `{ ${expected.cure}; } >/dev/null`);
  expect(complaints(of(examineNode(question), check))).toEqual([]);
}

describe('a node with which nothing is wrong', () => {
  // A veth starts with one queue; how many it needs depends on the machine.
  beforeEach(() => {
    for (const { cure } of of(examineNode(BACKEND), 'queues')) {
      if (cure !== undefined) runIn(NODE, 'sh', '-c', cure);
    }
  });

  it('is a mux', () => {
    const findings = examineNode(MUX, { attach: { object: OWN, program: 'decap', mode: 'native' } });
    expect(complaints(findings)).toEqual([]);
    expect(of(findings, 'xdp-attached')[0]!.message).toMatch(
      /^Holdfast's program \(id \d+\) is attached in native/,
    );
    expect(of(findings, 'xdp-driver')[0]!.message).toContain('the driver veth ');
    expect(of(findings, 'backend-next-hop')).toEqual([
      { check: 'backend-next-hop', severity: 'ok', message: '2 next hops of 3 backends known' },
    ]);
    expect(of(findings, 'backend-mtu')[0]!.message).toBe(
      'packets of up to 1500 bytes fit on the way to 3 backends',
    );
  });

  it('is a backend', () => {
    const findings = examineNode(BACKEND, {
      attach: { object: OWN, program: 'decap', mode: 'native' },
    });
    expect(complaints(findings)).toEqual([]);
    expect(of(findings, 'service-address')[0]!.message).toBe(
      `2 service addresses of this host: ${SERVICE} and 2001:db8::80`,
    );
  });
});

describe('finds, and cures', () => {
  it('an MTU without room for the tunnel, at a mux', () => {
    ip(NODE, 'link set eth0 mtu 1500');
    expectCure(MUX, 'backend-mtu', {
      severity: 'warning',
      message:
        'packets of clients above 1480 bytes do not fit on the way to 10.99.0.2 (1500 bytes, of which the tunnel ' +
        'takes 20) and are answered with Packet Too Big',
      cure: 'ip link set dev eth0 mtu 1548',
    });
  });

  it('a route without room for the tunnel', () => {
    ip(NODE, 'route replace 10.98.0.0/24 via 10.99.0.2 mtu 1400');
    expectCure(MUX, 'backend-mtu', {
      severity: 'warning',
      message:
        'packets of clients above 1380 bytes do not fit on the way to 10.98.0.7 (1400 bytes, of which the tunnel ' +
        'takes 20) and are answered with Packet Too Big; the route says so',
      cure: 'ip route replace 10.98.0.7 via 10.99.0.2 dev eth0 mtu 1520',
    });
  });

  it('an MTU without room for the tunnel, at a backend', () => {
    ip(NODE, 'link set eth0 mtu 1500');
    ip(NODE, 'route replace default via 10.99.0.2');
    expectCure(BACKEND, 'tunnel-room', {
      interface: 'eth0',
      severity: 'warning',
      message:
        'packets of 1500 bytes take 1520 to 1548 in a tunnel, and the MTU is 1500: large packets of clients may not arrive',
      cure: 'ip link set dev eth0 mtu 1548 && ip -4 route replace default via 10.99.0.2 dev eth0 mtu 1500',
    });
    expect(ip(NODE, 'route show default').trim()).toBe('default via 10.99.0.2 dev eth0 mtu 1500');
  });

  it('an MTU above one buffer', () => {
    ip(PEER, 'link set eth0 mtu 9000');
    ip(NODE, 'link set eth0 mtu 9000');
    expectCure(MUX, 'mtu', {
      interface: 'eth0',
      severity: 'error',
      message:
        'the MTU of 9000 is more than one XDP buffer holds (3498 bytes with pages of 4 KiB): drivers refuse the ' +
        'native mode',
      cure: 'ip link set dev eth0 mtu 3498',
    });
  });

  it('a strict reverse path filter', () => {
    ipBatch(NODE, [
      'link add eth1 type veth peer name eth2',
      'addr add 10.97.0.1/24 dev eth1',
      'link set eth2 up',
      'link set eth1 up',
      'route replace default via 10.97.0.2 mtu 1500',
    ]);
    setSysctls(NODE, { 'ipv4/conf/all/rp_filter': 1 });
    expectCure(BACKEND, 'rp-filter', {
      interface: 'eth0',
      severity: 'error',
      message:
        'unwrapped packets arrive on eth0 from clients to whom the way goes out of eth1: the strict check drops them ' +
        '(rp_filter: all 1, eth0 0)',
      cure: 'sysctl -w net.ipv4.conf.eth0.rp_filter=2',
    });
  });

  it('a service address that is missing', () => {
    ip(NODE, `addr del ${SERVICE}/32 dev lo`);
    expectCure(BACKEND, 'service-address', {
      severity: 'error',
      message: `the service address ${SERVICE} is not an address of this host: what is unwrapped is dropped or sent on`,
      cure: `ip addr add ${SERVICE}/32 dev lo`,
    });
  });

  it('a service address that neighbours are answered for', () => {
    ip(NODE, 'addr add 10.99.0.80/32 dev lo');
    expectCure({ ...BACKEND, serviceAddresses: ['10.99.0.80'] }, 'arp', {
      interface: 'eth0',
      severity: 'warning',
      message:
        '10.99.0.80 is of the segment that eth0 is on, and this host answers for it or shows it (arp_ignore 0, ' +
        'arp_announce 0): neighbours then pass by the muxes',
      cure: 'sysctl -w net.ipv4.conf.eth0.arp_ignore=1 net.ipv4.conf.eth0.arp_announce=2',
    });
  });

  it('forwarding that is off while next hops are unknown', () => {
    setSysctls(NODE, { 'ipv4/ip_forward': 0 });
    const silent = { ...MUX, backends: [{ address: '10.99.0.66' }] };
    expectCure(silent, 'forwarding4', {
      interface: 'eth0',
      severity: 'warning',
      message:
        'IPv4 forwarding is off, so packets for backends whose next hop is not known are dropped; now 10.99.0.66',
      cure: 'sysctl -w net.ipv4.conf.eth0.forwarding=1',
    });
  });

  it('an interface that is down', () => {
    ip(NODE, 'link set eth0 down');
    expectCure(BACKEND, 'interface', {
      interface: 'eth0',
      severity: 'error',
      message: 'eth0 is down',
      cure: 'ip link set dev eth0 up',
    });
  });

  it.each(['generic', 'native'] as const)('a foreign program in %s mode', (mode) => {
    // Over netlink, as `ip` attaches: what a link holds, only its owner takes off.
    const flag = mode === 'generic' ? 'xdpgeneric' : 'xdpdrv';
    ip(NODE, `link set dev eth0 ${flag} obj ${FOREIGN} sec xdp`);
    const [found] = of(examineNode(MUX), 'xdp-attached');
    expect(found).toMatchObject({ severity: 'error', cure: `ip link set dev eth0 ${flag} off` });
    expect(found!.message).toMatch(
      new RegExp(`^another XDP program reflect \\(id \\d+\\) is attached in ${mode} mode and in the way;`),
    );
    runIn(NODE, 'sh', '-c', found!.cure!);
    expect(of(examineNode(MUX), 'xdp-attached')).toEqual([
      {
        check: 'xdp-attached',
        interface: 'eth0',
        severity: 'note',
        message: 'no XDP program is attached to eth0',
        cure: 'holdfast attach eth0',
      },
    ]);
  });
});

describe('finds', () => {
  it('that a BPF file system is missing', () => {
    expect(of(examineNode(MUX, { mountBpf: false }), 'bpffs')).toEqual([
      {
        check: 'bpffs',
        severity: 'error',
        message: '/sys/fs/bpf/holdfast is not on a BPF file system, so nothing can be pinned there',
        cure: 'mount -t bpf bpf /sys/fs/bpf',
      },
    ]);
  });

  it('its own program in generic mode although the driver could do better', () => {
    const attach = { object: OWN, program: 'decap', mode: 'generic' } as const;
    expect(of(examineNode(MUX, { attach }), 'xdp-attached')).toMatchObject([
      {
        severity: 'warning',
        cure: 'holdfast detach eth0 --yes && holdfast attach eth0 --mode native',
      },
    ]);
  });

  it('a program that is held by the link of another process', () => {
    using object = openObject(FOREIGN).load();
    using _link = object
      .program('reflect')
      .attachXdp({ interface: 'eth0', netns: `/run/netns/${NODE}`, mode: 'native' });
    expect(of(examineNode(MUX), 'xdp-attached')).toMatchObject([{ severity: 'error' }]);
  });

  it('backends without a route, and next hops that do not answer', () => {
    ip(NODE, 'route del default');
    const findings = examineNode({
      ...MUX,
      backends: [{ address: '10.50.0.1' }, { address: '10.99.0.66' }, { address: '10.99.0.1' }],
    });
    expect([...of(findings, 'backend-route'), ...of(findings, 'backend-next-hop')]).toEqual([
      {
        check: 'backend-route',
        severity: 'error',
        message: 'there is no route to 10.50.0.1 (unreachable)',
        cure: 'ip route add 10.50.0.1 via GATEWAY',
      },
      {
        check: 'backend-route',
        severity: 'error',
        message:
          '10.99.0.1 is an address of this host: a mux cannot send to itself, so backends must be other hosts',
      },
      { check: 'backend-route', severity: 'ok', message: 'there are routes to 1 backend' },
      {
        check: 'backend-next-hop',
        severity: 'error',
        message: '10.99.0.66 does not answer on eth0',
        cure: 'ping -c 3 -I eth0 10.99.0.66',
      },
    ]);
  });

  it('a bridge below and above, and an interface that is not there', () => {
    ipBatch(NODE, ['link add br0 type bridge', 'link set eth0 master br0']);
    const findings = examineNode({ ...BACKEND, interfaces: ['eth0', 'br0', 'eth9'] });
    expect(of(findings, 'stacking').map(({ message, cure }) => [message, cure])).toEqual([
      [
        'eth0 is a port of br0 (bridge): addresses and routes are those of br0, to which frames cannot be redirected',
        'ip link set dev eth0 nomaster',
      ],
      [
        'br0 is a bridge: programs run on it in generic mode only, so attach to eth0 instead',
        'holdfast attach eth0',
      ],
    ]);
    expect(of(findings, 'interface').at(-1)!.message).toMatch(
      /^there is no interface eth9; there are lo, .*eth0/,
    );
  });
});

it('examines this host as it is, in limited time, and throws nothing', async () => {
  const startedMs = performance.now();
  const findings = await examine({
    interfaces: [...Object.keys(networkInterfaces()), 'eth9'],
    roles: ['mux', 'backend'],
    serviceAddresses: [SERVICE],
    backends: [{ address: '192.0.2.99' }, { address: '2001:db8::99' }],
  });
  expect(performance.now() - startedMs).toBeLessThan(EXAMINATION_LIMIT_MS);
  expect(findings.map(({ check }) => check)).toEqual(
    expect.arrayContaining(['kernel', 'bpffs', 'interface', 'backend-route']),
  );
});
