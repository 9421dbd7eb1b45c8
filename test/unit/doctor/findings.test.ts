// What is checked at all, in which order, and that nothing unreadable ends the examination.
import { describe, expect, it } from 'vitest';
import { findingSchema } from '../../../control/api/schema.ts';
import type { InterfaceFacts } from '../../../control/doctor/core/facts.ts';
import { findings } from '../../../control/doctor/findings_core.ts';
import { backend, backendFacts, ETH0, muxFacts, PATH, unread } from './lib/facts.ts';

const checks = (facts: Parameters<typeof findings>[0]) => findings(facts).map(({ check }) => check);

describe('a host with which nothing is wrong', () => {
  it('is told all that was checked, of a mux', () => {
    const all = findings(muxFacts());
    expect(all.filter(({ severity }) => severity !== 'ok')).toEqual([]);
    expect(checks(muxFacts())).toEqual([
      'kernel',
      'bpf',
      'bpf-jit',
      'bpf-jit-harden',
      'bpffs',
      'ethtool',
      'interface',
      'stacking',
      'xdp-driver',
      'xdp-attached',
      'mtu',
      'lro',
      'gro-hw',
      'vlan-offload',
      'queues',
      'rings',
      'forwarding4',
      'accept-ra',
      'ecmp-hash',
      'health-ports',
      'backend-route',
      'backend-next-hop',
      'backend-mtu',
      'redirect',
    ]);
  });

  it('is told all that was checked, of a backend', () => {
    const all = findings(backendFacts());
    expect(all.filter(({ severity }) => severity !== 'ok')).toEqual([]);
    expect(checks(backendFacts()).slice(checks(backendFacts()).indexOf('rings') + 1)).toEqual([
      'accept-ra',
      'rp-filter',
      'arp',
      'tunnel-room',
      'answer-mtu',
      'service-address',
      'tunnel-device',
    ]);
  });
});

it('tells of everything that could not be read, and goes on', () => {
  const unreadable: InterfaceFacts = {
    ...ETH0,
    xdp: unread,
    programs: unread,
    offloads: unread,
    queues: unread,
    rings: unread,
    addresses: unread,
    settings: Object.fromEntries(Object.keys(ETH0.settings).map((name) => [name, unread])) as never,
  };
  const host = {
    features: unread,
    jit: unread,
    jitHarden: unread,
    bpfMounted: unread,
    interfaceNames: unread,
    multipathHash: { 4: unread, 6: unread },
    probePorts: unread,
    tunnels: unread,
    defaultRoutes: unread,
  };
  const facts = {
    host,
    interfaces: [unreadable, { ...ETH0, name: 'eth1', link: unread }],
    roles: ['mux', 'backend'] as const,
    services: [{ address: '203.0.113.1', version: 4, local: unread, on: unread } as const],
    backends: [backend('10.0.0.2', { resolved: unread }), { ...backend('10.0.0.3'), way: unread }],
    exits: new Map([[PATH.interface, unread]]),
  };
  const notes = findings(muxFacts(facts)).filter(({ message }) => message.includes('the disk is on fire'));
  expect(notes.every(({ severity, cure }) => severity === 'note' && cure === undefined)).toBe(true);
  expect(notes.map(({ interface: name, message }) => [name ?? '', message])).toEqual([
    ['', 'what the kernel has of BPF cannot be read: the disk is on fire'],
    ['', 'net.core.bpf_jit_enable cannot be read: the disk is on fire'],
    ['', 'net.core.bpf_jit_harden cannot be read: the disk is on fire'],
    ['', 'what file system /sys/fs/bpf/holdfast is on cannot be read: the disk is on fire'],
    ['eth0', 'what the driver has of XDP cannot be read: the disk is on fire'],
    ['eth0', 'what is attached cannot be read: the disk is on fire'],
    ['eth0', 'offloads cannot be read: the disk is on fire'],
    ['eth0', 'the number of queues cannot be read: the disk is on fire'],
    ['eth0', 'ring sizes cannot be read: the disk is on fire'],
    ['eth0', 'net.ipv4.conf.eth0.forwarding cannot be read: the disk is on fire'],
    ['eth0', 'net.ipv6.conf.eth0.forwarding cannot be read: the disk is on fire'],
    ['eth0', 'net.ipv4.conf.all.rp_filter cannot be read: the disk is on fire'],
    ['eth0', 'addresses cannot be read: the disk is on fire'],
    ['eth1', 'the interface cannot be read: the disk is on fire'],
    ['', 'net.ipv4.fib_multipath_hash_policy cannot be read: the disk is on fire'],
    ['', 'what ports connections of this host may have cannot be read: the disk is on fire'],
    ['', 'whether 203.0.113.1 is an address of this host cannot be read: the disk is on fire'],
    ['', 'tunnel devices cannot be read: the disk is on fire'],
    ['', 'the route to 10.0.0.3 cannot be read: the disk is on fire'],
    ['', 'whether 10.0.0.254 answers cannot be read: the disk is on fire'],
  ]);
});

it('answers what the API promises', () => {
  for (const finding of [...findings(muxFacts()), ...findings(backendFacts())]) {
    expect(findingSchema.strict().parse(finding)).toEqual(finding);
  }
});
