// Owns the shape of what is read from the host before anything is judged. Reading it is ../facts.ts.
import type { Role } from '../../config/node.ts';
import type { IpVersion, PortRange } from '../../lib/address.ts';

/** Something read, or why it could not be. */
export type Fact<T> =
  | { readonly known: true; readonly value: T }
  | { readonly known: false; readonly reason: string };

export type Facts = {
  readonly roles: readonly Role[];
  /** What the node's configuration asks for. */
  readonly xdpMode: 'auto' | 'native' | 'generic';
  readonly host: HostFacts;
  readonly interfaces: readonly InterfaceFacts[];
  readonly services: readonly ServiceFacts[];
  readonly backends: readonly BackendFacts[];
  /** XDP of the interfaces that backends are reached over, by name. */
  readonly exits: ReadonlyMap<string, Fact<XdpSupport | undefined>>;
  /** Of a mux that takes part in a cluster. */
  readonly cluster?: ClusterFacts | undefined;
  /** Of a mux whose daemon runs. */
  readonly routes?: RouteFacts | undefined;
};

/** How routers know this mux. */
export type RouteFacts = {
  readonly mode: 'static' | 'bird';
  readonly announced?: 'normal' | 'lastResort' | 'withdrawn' | undefined;
  readonly addresses?: readonly string[] | undefined;
  readonly inEffect?: boolean | undefined;
  readonly supervised?: boolean | undefined;
  readonly bird?:
    | {
        readonly state: 'up' | 'failed' | 'unknown';
        readonly error?: string | undefined;
        readonly sessions: readonly {
          readonly name: string;
          readonly state: string;
          readonly detail?: string | undefined;
          readonly exported?: number | undefined;
        }[];
        readonly bfd: readonly {
          readonly peer: string;
          readonly interface: string;
          readonly state: string;
          readonly timeoutMs: number;
        }[];
      }
    | undefined;
};

/** What a mux knows of its cluster. */
export type ClusterFacts = {
  readonly node: string;
  readonly isMember: boolean;
  readonly members: number;
  readonly leader: string | undefined;
  readonly hasDeadlinePassed: boolean;
  readonly askPort: number;
  /** By name. */
  readonly tables: Readonly<Record<string, { readonly used: number; readonly max: number }>>;
  /** Other members. */
  readonly peers: readonly PeerFacts[];
  /** Of in-band headers; undefined: none are known. */
  readonly keys: KeyFacts | undefined;
  /** Of pools that services use. */
  readonly health: readonly PoolHealthFacts[];
  /** Those that are open. */
  readonly changes: readonly ChangeFacts[];
};

export type PoolHealthFacts = {
  readonly pool: string;
  readonly isChecked: boolean;
  readonly backends: number;
  /** Found dead, and kept as the pool would have too little left. `pool/name` */
  readonly kept: readonly string[];
  /** Some muxes find it alive and others dead. */
  readonly disputed: readonly {
    readonly backend: string;
    readonly up: readonly string[];
    readonly down: readonly string[];
  }[];
  /** No mux has a result, and why where that is known. */
  readonly unknown: readonly { readonly backend: string; readonly reason: string | undefined }[];
};

export type KeyFacts = {
  readonly step: number;
  /** Members that do not have this step, and for how long as far as this node saw. */
  readonly lacking: readonly { readonly name: string; readonly forMs: number }[];
};

export type ChangeFacts = {
  /** POOL@VERSION */
  readonly id: string;
  readonly step: 'track' | 'commit' | 'settle';
  /** It has been at the step for so long, as this node saw; and what that takes where nothing is wrong. */
  readonly forMs: number;
  readonly lastsMs: number;
  /** Its settle window. */
  readonly windowMs: number;
  readonly slots: number;
  readonly withoutBackup: number;
  /** Members that copy what they own to a new backup, and for how long as far as this node saw. */
  readonly copying: readonly { readonly name: string; readonly forMs: number }[];
  /** Members that answered without a record. */
  readonly unrecorded: readonly { readonly name: string; readonly agoMs: number }[];
  readonly oldFlows: number;
  /** As the leader says: "until …". */
  readonly waitsFor: readonly string[];
};

export type PeerFacts = {
  readonly name: string;
  readonly address: string;
  readonly version: IpVersion;
  readonly askPort: number;
  /** Undefined: never. */
  readonly heardAgoMs: number | undefined;
  /** Its cluster time less that of this mux; undefined: not known. */
  readonly timeAheadMs: number | undefined;
  readonly isPastDeadline: boolean;
  readonly way: Fact<Way>;
};

export type Support = { readonly supported: true } | { readonly supported: false; readonly reason: string };

export type HostFacts = {
  readonly kernelRelease: string;
  readonly features: Fact<Readonly<Record<'btf' | 'xdp' | 'xdpLinks' | 'ringBuffer', Support>>>;
  readonly jit: Fact<number>;
  readonly jitHarden: Fact<number>;
  readonly bpfDirectory: string;
  readonly bpfMounted: Fact<boolean>;
  /** Whether the command is installed: offloads, queues and rings come from it. */
  readonly ethtool: boolean;
  readonly cpuCount: number;
  readonly interfaceNames: Fact<readonly string[]>;
  readonly multipathHash: Readonly<Record<IpVersion, Fact<number>>>;
  /** Ports that health checks ask from, through the tunnel, and what is kept free for them. */
  readonly probePorts: Fact<{
    readonly ports: PortRange;
    /** Connections of this host may have one of them. */
    readonly mayBeOwn: boolean;
    readonly local: PortRange;
    readonly reserved: readonly PortRange[];
  }>;
  /** Tunnel devices that are up, by name. */
  readonly tunnels: Fact<readonly string[]>;
  readonly defaultRoutes: Fact<readonly DefaultRoute[]>;
};

export type DefaultRoute = {
  readonly version: IpVersion;
  readonly interface: string;
  readonly gateway: string | undefined;
  /** The route's own. */
  readonly mtuBytes: number | undefined;
  readonly metric: number | undefined;
  /** It came from a router advertisement. */
  readonly advertised: boolean;
  /** One of several paths, which a command about one of them would undo. */
  readonly multipath: boolean;
};

export type InterfaceFacts = {
  readonly name: string;
  /** Undefined: there is none of this name, and nothing else was read. */
  readonly link: Fact<LinkFacts | undefined>;
  readonly xdp: Fact<XdpSupport | undefined>;
  readonly programs: Fact<readonly AttachedProgram[]>;
  /** By ethtool's names. */
  readonly offloads: Fact<ReadonlyMap<string, Offload>>;
  /** Undefined: the driver does not tell. */
  readonly queues: Fact<Queues | undefined>;
  readonly rings: Fact<Rings | undefined>;
  readonly addresses: Fact<readonly InterfaceAddress[]>;
  readonly settings: Readonly<Record<SettingName, Fact<number>>>;
};

export type LinkFacts = {
  readonly ethernet: boolean;
  readonly loopback: boolean;
  readonly up: boolean;
  readonly carrier: boolean;
  readonly mtuBytes: number;
  /** `veth`, `bond`, `vlan`, …; undefined for devices of hardware. */
  readonly kind: string | undefined;
  readonly driver: string | undefined;
  readonly master: { readonly name: string; readonly kind: string | undefined } | undefined;
  /** What a VLAN and the like stands on, or the peer of a veth, where it is in this namespace. */
  readonly lower: string | undefined;
  /** Whose master this is. */
  readonly members: readonly string[];
  /** VLAN interfaces that stand on this one. */
  readonly vlans: readonly string[];
};

/** What the driver says of itself; the kernel has told since 6.3. */
export type XdpSupport = {
  readonly native: boolean;
  readonly redirect: boolean;
  /** Whether frames may be redirected to it, now. */
  readonly takesRedirected: boolean;
};

export type AttachedProgram = {
  readonly mode: 'native' | 'generic' | 'offloaded';
  readonly programId: number;
  readonly name: string | undefined;
  /** Whether its link is pinned where this node pins. */
  readonly own: boolean;
};

export type Offload = { readonly on: boolean; readonly fixed: boolean };

export type Queues = {
  readonly rx: number;
  readonly tx: number;
  readonly combined: number;
  readonly rxMax: number;
  readonly txMax: number;
  readonly combinedMax: number;
};

export type Rings = {
  readonly rx: number;
  readonly rxMax: number;
  readonly tx: number;
  readonly txMax: number;
};

export type InterfaceAddress = {
  readonly address: string;
  readonly prefixLength: number;
  readonly version: IpVersion;
};

/** Settings of an interface, by their path below /proc/sys/net; `*` stands for its name. */
export const SETTINGS = {
  rpFilterAll: 'ipv4/conf/all/rp_filter',
  dropUnicastInMulticastAll: 'ipv4/conf/all/drop_unicast_in_l2_multicast',
  dropUnicastInMulticast: 'ipv4/conf/*/drop_unicast_in_l2_multicast',
  rpFilter: 'ipv4/conf/*/rp_filter',
  arpIgnoreAll: 'ipv4/conf/all/arp_ignore',
  arpIgnore: 'ipv4/conf/*/arp_ignore',
  arpAnnounceAll: 'ipv4/conf/all/arp_announce',
  arpAnnounce: 'ipv4/conf/*/arp_announce',
  forwarding4: 'ipv4/conf/*/forwarding',
  forwarding6: 'ipv6/conf/*/forwarding',
  acceptRa: 'ipv6/conf/*/accept_ra',
  disableIpv6: 'ipv6/conf/*/disable_ipv6',
} as const;
export type SettingName = keyof typeof SETTINGS;

export type ServiceFacts = {
  readonly address: string;
  readonly version: IpVersion;
  /** Whether the kernel takes packets to it for this host's own. */
  readonly local: Fact<boolean>;
  /** Interfaces that have it, with its prefix length there. */
  readonly on: Fact<readonly { readonly interface: string; readonly prefixLength: number }[]>;
};

export type BackendFacts = {
  readonly address: string;
  readonly version: IpVersion;
  /** What the tunnel adds to a packet. */
  readonly outerBytes: number;
  /** Upper bound of an outer packet that its configuration sets. */
  readonly mtuBytes: number | undefined;
  readonly way: Fact<Way>;
};

export type Way =
  | { readonly kind: 'none'; readonly reason: string }
  /** It is an address of this host. */
  | { readonly kind: 'local' }
  | {
      readonly kind: 'path';
      readonly interface: string;
      /** The gateway, or the backend itself where it is on the link. */
      readonly nextHop: string;
      readonly mtuBytes: number;
      readonly interfaceMtuBytes: number;
      /** Whether the next hop's hardware address is known, by now. */
      readonly resolved: Fact<boolean>;
    };
