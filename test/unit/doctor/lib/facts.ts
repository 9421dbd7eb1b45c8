// Facts of a host with which nothing is wrong, for tests to change; and what is found of them.
import {
  type Fact,
  type Facts,
  type InterfaceFacts,
  type LinkFacts,
  SETTINGS,
  type SettingName,
} from '../../../../control/doctor/core/facts.ts';
import { type Finding, findings } from '../../../../control/doctor/findings_core.ts';

export const known = <T>(value: T): Fact<T> => ({ known: true, value });
export const unread = { known: false, reason: 'the disk is on fire' } as const;

export const LINK: LinkFacts = {
  ethernet: true,
  loopback: false,
  up: true,
  carrier: true,
  mtuBytes: 1548,
  kind: undefined,
  driver: 'ice',
  master: undefined,
  lower: undefined,
  members: [],
  vlans: [],
};

const XDP = { native: true, redirect: true, takesRedirected: true };

const SETTING_VALUES: Record<SettingName, number> = {
  rpFilterAll: 0,
  dropUnicastInMulticastAll: 0,
  dropUnicastInMulticast: 0,
  rpFilter: 0,
  arpIgnoreAll: 0,
  arpIgnore: 0,
  arpAnnounceAll: 0,
  arpAnnounce: 0,
  forwarding4: 1,
  forwarding6: 1,
  acceptRa: 0,
  disableIpv6: 0,
};

export function settings(changes: Partial<Record<SettingName, number>> = {}): InterfaceFacts['settings'] {
  const values = { ...SETTING_VALUES, ...changes };
  const names = Object.keys(SETTINGS) as SettingName[];
  return Object.fromEntries(names.map((name) => [name, known(values[name])])) as InterfaceFacts['settings'];
}

export const OFF = { on: false, fixed: false };
export const ON = { on: true, fixed: false };
export const FIXED_ON = { on: true, fixed: true };

export const ETH0: InterfaceFacts = {
  name: 'eth0',
  link: known(LINK),
  xdp: known(XDP),
  programs: known([{ mode: 'native', programId: 7, name: 'mux', own: true }]),
  offloads: known(new Map([['large-receive-offload', OFF]])),
  queues: known({ rx: 0, tx: 0, combined: 8, rxMax: 0, txMax: 0, combinedMax: 16 }),
  rings: known({ rx: 2048, rxMax: 8160, tx: 2048, txMax: 8160 }),
  addresses: known([{ address: '10.0.0.1', prefixLength: 24, version: 4 }]),
  settings: settings(),
};

/** `eth0` with other facts about its link. */
export const withLink = (changes: Partial<LinkFacts>): InterfaceFacts => ({
  ...ETH0,
  link: known({ ...LINK, ...changes }),
});

const HOST: Facts['host'] = {
  kernelRelease: '6.1.0-18-amd64',
  features: known({
    btf: { supported: true },
    xdp: { supported: true },
    xdpLinks: { supported: true },
    ringBuffer: { supported: true },
  }),
  jit: known(1),
  jitHarden: known(0),
  bpfDirectory: '/sys/fs/bpf/holdfast',
  bpfMounted: known(true),
  ethtool: true,
  cpuCount: 8,
  interfaceNames: known(['lo', 'eth0', 'eth1']),
  multipathHash: { 4: known(1), 6: known(1) },
  probePorts: known({
    ports: { from: 61_000, to: 65_534 },
    mayBeOwn: false,
    local: { from: 32_768, to: 60_999 },
    reserved: [],
  }),
  tunnels: known([]),
  defaultRoutes: known([
    {
      version: 4,
      interface: 'eth0',
      gateway: '10.0.0.254',
      mtuBytes: 1500,
      metric: undefined,
      advertised: false,
      multipath: false,
    },
  ]),
};

export type Changes = Partial<Omit<Facts, 'host'>> & { host?: Partial<Facts['host']> };

export function muxFacts({ host, ...changes }: Changes = {}): Facts {
  return {
    roles: ['mux'],
    xdpMode: 'auto',
    host: { ...HOST, ...host },
    interfaces: [ETH0],
    services: [],
    backends: [backend('10.0.0.2')],
    exits: new Map([['eth0', known(XDP)]]),
    ...changes,
  };
}

export function backendFacts({ host, ...changes }: Changes = {}): Facts {
  return {
    roles: ['backend'],
    xdpMode: 'auto',
    host: { ...HOST, ...host },
    interfaces: [ETH0],
    services: [
      {
        address: '203.0.113.1',
        version: 4,
        local: known(true),
        on: known([{ interface: 'lo', prefixLength: 32 }]),
      },
    ],
    backends: [],
    exits: new Map(),
    ...changes,
  };
}

type Backend = Facts['backends'][number];
type Path = Extract<Extract<Backend['way'], { known: true }>['value'], { kind: 'path' }>;

export const PATH: Path = {
  kind: 'path',
  interface: 'eth0',
  nextHop: '10.0.0.254',
  mtuBytes: 1548,
  interfaceMtuBytes: 1548,
  resolved: known(true),
};

export function backend(address: string, path: Partial<Path> = {}, more: Partial<Backend> = {}): Backend {
  const version = address.includes(':') ? 6 : 4;
  return {
    address,
    version,
    outerBytes: version === 4 ? 20 : 40,
    mtuBytes: undefined,
    way: known({ ...PATH, ...path }),
    ...more,
  };
}

/** Findings of one check without its name, the shortest way to write them. */
export function found(facts: Facts, check: string): Omit<Finding, 'check'>[] {
  return findings(facts)
    .filter((it) => it.check === check)
    .map(({ check: _, ...rest }) => rest);
}
