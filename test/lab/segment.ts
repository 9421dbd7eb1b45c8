// Owns a lab without a load balancer: servers on one bridge that all hear every packet for the service address, each with a
// holdfastd of role filter, and clients behind the same bridge. What is asked of them is the test's.
//
//        crowd              2,000 and more clients, an address each
//          │ witness        sees every answer before the clients' stack does
//     ── bridge ──          floods what is sent to the shared link address
//      │  │  │  │
//     server1 … server6     XDP filter, then the stack and a server of lines (segment/server.c)
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { z } from 'zod';
import type { Status } from '../../control/api/schema.ts';
import type { nodeConfigSchema } from '../../control/config/node.ts';
import type { Document } from '../../control/config/objects.ts';
import { LabDaemon } from './daemon.ts';
import { leftovers, removeLab } from './lab.ts';
import { netnsPath } from './plan.ts';
import { identify, isAlive, leaveRunning, ready, type Started, startProgram } from './processes.ts';
import { Crowd } from './segment/crowd.ts';
import { Witness } from './segment/witness.ts';
import { ip, ipBatch, run, runIn, setSysctls } from './shell.ts';
import {
  type LabState,
  labDirectory,
  mountPins,
  type ProcessIdentity,
  pinDirectory,
  writeState,
} from './state.ts';

export const SERVICE = '198.18.0.10';
export const PORTS = [80, 8080] as const;
export const POOL = 'web';
/** Of clients: so many addresses as are asked for. */
export const FIRST_CLIENT = '198.19.0.1';
const CLIENTS_NETWORK = '198.19.0.0/16';
const CROWD_ADDRESS = '198.18.64.250';
/** Weights of the tests divide it. */
const SLOTS = 4_096;

type NodeFile = z.input<typeof nodeConfigSchema>;
const source = (name: string): string => new URL(`segment/${name}.c`, import.meta.url).pathname;

export type SegmentOptions = { readonly name: string; readonly servers: number; readonly timeoutMs: number };

/** A server of a segment, from outside: its host, its daemon, and what it serves. */
export class SegmentServer {
  readonly name: string;
  readonly number: number;
  readonly netns: string;
  readonly address: string;
  readonly mac: string;
  readonly daemon: LabDaemon;
  /** What answers clients. */
  serving: ProcessIdentity | undefined;

  constructor(lab: string, number: number, daemon: (server: SegmentServer) => LabDaemon) {
    this.number = number;
    this.name = `server${number}`;
    this.netns = `hf-${lab}-${this.name}`;
    this.address = `198.18.64.${number}`;
    this.mac = `02:48:46:40:00:0${number}`;
    this.daemon = daemon(this);
  }
}

export class Segment {
  readonly name: string;
  readonly directory: string;
  readonly servers: readonly SegmentServer[];
  readonly #options: SegmentOptions;
  readonly #state: LabState;
  readonly #bridge: string;
  readonly #crowd: string;
  #witness: Witness | undefined;

  private constructor(options: SegmentOptions) {
    this.#options = options;
    this.name = options.name;
    this.directory = labDirectory(options.name);
    this.#bridge = `hf-${options.name}-bridge`;
    this.#crowd = `hf-${options.name}-crowd`;
    this.#state = stateOf(options);
    this.servers = Array.from(
      { length: options.servers },
      (_, index) => new SegmentServer(options.name, index + 1, (server) => this.#daemonOf(server)),
    );
  }

  /** The network, and what servers serve; daemons are the test's to start. */
  static async raise(options: SegmentOptions): Promise<Segment> {
    const segment = new Segment(options);
    mkdirSync(segment.directory, { recursive: true });
    writeState(segment.#state);
    try {
      mountPins(options.name);
      for (const name of ['server', 'crowd', 'probe'])
        execFileSync('gcc', [
          '-O2',
          '-Wall',
          '-Wextra',
          '-Werror',
          '-o',
          segment.#program(name),
          source(name),
        ]);
      segment.#raiseNetwork();
    } catch (error) {
      await segment.down();
      throw error;
    }
    return segment;
  }

  /** Starts the daemons of servers, and what they serve once they are members; the first of all makes the store. */
  async join(servers: readonly SegmentServer[]): Promise<void> {
    for (const [index, server] of servers.entries()) {
      server.daemon.configure(this.#nodeFile(server));
      server.daemon.launch();
      if (index === 0) await server.daemon.answers();
    }
    await Promise.all(servers.map(({ daemon }) => daemon.answers(isAnswering)));
    for (const server of servers) await this.#serve(server);
  }

  /** Has these servers answer, by weight; daemons of all of them run. */
  document(
    weights: Readonly<Record<string, number>>,
    more: Partial<Document['services'][number]> = {},
  ): Document {
    const { timeoutMs } = this.#options;
    return {
      pools: [{ name: POOL, slots: SLOTS, delivery: 'filter' }],
      backends: this.servers
        .filter(({ name }) => weights[name] !== undefined)
        .map(({ name, address }) => ({ pool: POOL, name, address, weight: weights[name]!, encap: 'ip' })),
      services: [
        {
          name: 'web',
          addresses: [SERVICE],
          pool: POOL,
          affinity: { prefixLength4: 32, prefixLength6: 128 },
          idleTimeoutMs: timeoutMs,
          ...more,
        },
      ],
    };
  }

  /** Clients of their own addresses, with so many requests a second in all; they go on until they are told to stop. */
  async crowd(clients: number, rate: number): Promise<Crowd> {
    const started = startProgram(
      this.#crowd,
      [this.#program('crowd'), SERVICE, ...PORTS.map(String), FIRST_CLIENT, String(clients), String(rate)],
      { detached: false, logPath: join(this.directory, 'crowd.log') },
    );
    this.#record(started.identity);
    await ready(started, 'the crowd');
    return new Crowd(started);
  }

  /** Runs probe.c among the clients; what it says is the caller's to read. */
  async probe(
    mode: 'latency' | 'crash',
    first: string,
    clients: number,
    ...more: readonly string[]
  ): Promise<Started> {
    const started = startProgram(
      this.#crowd,
      [this.#program('probe'), mode, SERVICE, String(PORTS[0]), first, String(clients), ...more],
      { detached: false, logPath: join(this.directory, 'probe.log') },
    );
    this.#record(started.identity);
    return started;
  }

  get witness(): Witness {
    return this.#witness!;
  }

  get crowdNetns(): string {
    return this.#crowd;
  }

  /** A host that is switched off, as the network sees it; `isDown` false: as before. */
  cut(server: SegmentServer, isDown: boolean): void {
    ip(this.#bridge, `link set ${server.name} ${isDown ? 'down' : 'up'}`);
  }

  /** A host that hangs: its daemon and what it serves stop where they are, and its kernel does not. */
  hang(server: SegmentServer, hangs: boolean): void {
    const pids = [server.daemon.pid, server.serving?.pid].filter((pid) => pid !== undefined);
    for (const pid of pids) process.kill(pid, hangs ? 'SIGSTOP' : 'SIGCONT');
  }

  /** What is left of a host that was switched off and comes back: nothing that ran on it. */
  async reset(server: SegmentServer): Promise<void> {
    await server.daemon.end('SIGKILL');
    if (server.serving !== undefined && isAlive(server.serving)) process.kill(server.serving.pid, 'SIGKILL');
    // As a boot does it: no address, no program, no pins, and no connections of before.
    ip(server.netns, `addr del ${SERVICE}/32 dev lo`);
    run('rm', ['-rf', join(pinDirectory(this.name), server.name)]);
    runIn(server.netns, 'ss', '-K', 'src', SERVICE);
  }

  async down(): Promise<void> {
    this.#witness?.close();
    for (const server of this.servers) {
      // Who is stopped does not end.
      const pids = [server.daemon, server.serving].map((it) =>
        it === undefined
          ? undefined
          : 'isRunning' in it
            ? it.isRunning
              ? it.pid
              : undefined
            : isAlive(it)
              ? it.pid
              : undefined,
      );
      for (const pid of pids) if (pid !== undefined) process.kill(pid, 'SIGCONT');
    }
    await removeLab(this.name);
    const left = leftovers(this.name);
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  }

  /** Before its program is there, a host that has the service address would answer every client. */
  async #serve(server: SegmentServer): Promise<void> {
    ip(server.netns, `addr replace ${SERVICE}/32 dev lo`);
    if (server.serving !== undefined && isAlive(server.serving)) return;
    const started = startProgram(
      server.netns,
      [this.#program('server'), server.name, SERVICE, ...PORTS.map(String)],
      { detached: true, logPath: join(this.directory, `${server.name}.log`) },
    );
    this.#record(started.identity);
    await ready(started, `what ${server.name} serves`);
    leaveRunning(started);
    server.serving = started.identity;
  }

  #program(name: string): string {
    return join(this.directory, name);
  }

  #daemonOf({ name, netns }: SegmentServer): LabDaemon {
    const directory = join(this.directory, name);
    const place = { name, netns, directory, socket: join(directory, 'holdfast.sock') };
    return new LabDaemon(place, (identity) => this.#record(identity));
  }

  #nodeFile({ name, address, daemon }: SegmentServer): string {
    const { directory, socket } = daemon.place;
    return stringify({
      node: name,
      roles: ['filter'],
      interface: 'eth0',
      cluster: { address },
      flowTable: { entries: 65_536 },
      slotCapacity: 65_537,
      store: `sqlite=${join(this.directory, 'store.db')}`,
      stateDirectory: directory,
      bpfDirectory: join(pinDirectory(this.name), name),
      api: { socket },
    } satisfies NodeFile);
  }

  #raiseNetwork(): void {
    const hosts = [...this.servers.map(({ netns }) => netns), this.#crowd];
    for (const netns of [this.#bridge, ...hosts]) {
      run('ip', ['netns', 'add', netns]);
      setSysctls(netns, {
        'ipv4/conf/all/rp_filter': 0,
        'ipv4/conf/default/rp_filter': 0,
        'ipv6/conf/all/disable_ipv6': 1,
        'ipv6/conf/default/disable_ipv6': 1,
        // The service address is on every server's lo, and none answers for it but the program.
        'ipv4/conf/all/arp_ignore': 1,
        'ipv4/conf/all/arp_announce': 2,
      });
    }
    setSysctls(this.#crowd, { 'ipv4/tcp_max_tw_buckets': 262_144 });
    // It knows of no groups: everything for one goes to every port.
    ipBatch(this.#bridge, ['link set lo up', 'link add br0 type bridge mcast_snooping 0', 'link set br0 up']);
    const ports = [
      ...this.servers.map(({ name, netns, mac }) => ({ name, netns, mac })),
      { name: 'crowd', netns: this.#crowd, mac: '02:48:46:40:00:fa' },
    ];
    ipBatch(
      this.#bridge,
      ports.flatMap(({ name, netns, mac }) => [
        `link add ${name} type veth peer name eth0 address ${mac} netns ${netns}`,
        `link set ${name} master br0`,
        `link set ${name} up`,
      ]),
    );
    for (const { netns, address } of this.servers)
      ipBatch(netns, [
        'link set lo up',
        `addr add ${address}/24 dev eth0`,
        'link set eth0 up',
        `route add ${CLIENTS_NETWORK} via ${CROWD_ADDRESS}`,
      ]);
    ipBatch(this.#crowd, [
      'link set lo up',
      `addr add ${CROWD_ADDRESS}/24 dev eth0`,
      'link set eth0 up',
      `route add local ${CLIENTS_NETWORK} dev lo`,
      `route add ${SERVICE} dev eth0`,
    ]);
    // What servers send on to each other is to be whole, with its checksum.
    for (const netns of hosts) runIn(netns, 'ethtool', '-K', 'eth0', 'tx', 'off');
    for (const { name } of ports) runIn(this.#bridge, 'ethtool', '-K', name, 'tx', 'off');
    this.#witness = Witness.begin(SERVICE, netnsPath(this.#crowd));
  }

  #record(identity: ProcessIdentity): void {
    this.#state.processes.push(identity);
    writeState(this.#state);
  }
}

/** Before, a filter drops everything. */
function isAnswering({ cluster, attachments }: Status): boolean {
  return cluster?.state === 'member' && !cluster.pastDeadline && attachments.length > 0;
}

function stateOf({ name, servers }: SegmentOptions): LabState {
  const owner = identify(process.pid);
  if (owner === undefined) throw new Error('the lab needs /proc');
  return {
    version: 1,
    size: { name, clients: 1, muxes: 0, backends: servers },
    owner,
    complete: false,
    processes: [],
    pumps: {},
  };
}
