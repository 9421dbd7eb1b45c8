// Owns the smallest lab: one namespace with a holdfastd, and a neighbour at the other end of its only link that is every
// client and every backend. Nothing answers there but the kernel; what is tested is the daemon, not the traffic's way.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadedObject, XdpLink } from 'libbpf-ts';
import { stringify } from 'yaml';
import type { z } from 'zod';
import type { Status } from '../../control/api/schema.ts';
import type { nodeConfigSchema } from '../../control/config/node.ts';
import { LabDaemon } from './daemon.ts';
import { leftovers, removeLab } from './lab.ts';
import { netnsPath } from './plan.ts';
import { identify, leaveRunning, ready, startScript } from './processes.ts';
import { openTestObject } from './programs.ts';
import { ipBatch, run, runIn, setSysctls } from './shell.ts';
import { type LabState, labDirectory, mountPins, pinDirectory, writeState } from './state.ts';
import { eventually, TEST_LAB } from './support.ts';

const BRIDGE = new URL('bridge.ts', import.meta.url).pathname;

/** Of the link: the daemon's end, and the neighbour's, which has more for backends. */
export const NODE_ADDRESS = '198.18.200.1';
export const NEIGHBOUR_ADDRESS = '198.18.200.2';
/** Of backends: the neighbour answers for .11 to .19, and nobody for the rest. */
export const backendAddress = (number: number): string => `198.18.200.${10 + number}`;
const BACKENDS = 9;
export const SERVICE_NETWORK = '198.18.0.0/24';

export function raiseTestSingle(): SingleLab {
  return SingleLab.raise(TEST_LAB);
}

type NodeFile = z.input<typeof nodeConfigSchema>;

export class SingleLab {
  readonly name: string;
  readonly netns: string;
  readonly neighbour: string;
  readonly directory: string;
  readonly daemon: LabDaemon;
  readonly #state: LabState;
  #port: { readonly object: LoadedObject; readonly link: XdpLink } | undefined;

  private constructor(name: string) {
    this.name = name;
    this.netns = `hf-${name}-node`;
    this.neighbour = `hf-${name}-neighbour`;
    this.directory = labDirectory(name);
    this.#state = stateOf(name);
    this.daemon = this.daemonCalled('node');
  }

  /** Without a daemon: `daemon.configure()` and `daemon.start()` are the test's. */
  static raise(name: string): SingleLab {
    const lab = new SingleLab(name);
    mkdirSync(lab.directory, { recursive: true });
    writeState(lab.#state);
    mountPins(name);
    raiseLink(lab);
    // Any program there makes what XDP sends at the other end arrive.
    const object = openTestObject('port').load();
    const netns = netnsPath(lab.neighbour);
    const link = object.program('port').attachXdp({ interface: 'eth0', netns, mode: 'native' });
    lab.#port = { object, link };
    return lab;
  }

  /** Starts the daemon of the node, with these fields in its file. */
  async start(fields: NodeFile = {}): Promise<Status> {
    this.daemon.configure(this.nodeFile(this.daemon, fields));
    this.daemon.launch();
    return await this.daemon.answers(({ appliedRevision }) => appliedRevision > 0);
  }

  /** Waits until the daemon knows the next hops to these addresses. */
  async reaches(...addresses: readonly string[]): Promise<void> {
    await eventually(
      async () => {
        const backends = await this.daemon.client.backends();
        const known = backends.filter(({ path }) => path?.state === 'known').map(({ address }) => address);
        return addresses.every((address) => known.includes(address)) ? true : undefined;
      },
      `a next hop to each of ${addresses.join(', ')}`,
    );
  }

  /** A daemon in the node's namespace, with a directory and a socket of its own. */
  daemonCalled(name: string): LabDaemon {
    const directory = join(this.directory, name);
    const place = { name, netns: this.netns, directory, socket: join(directory, 'holdfast.sock') };
    return new LabDaemon(place, (identity) => this.#record(identity));
  }

  /** The file of a daemon, with these fields in place of what it would say. */
  nodeFile(daemon: LabDaemon, fields: NodeFile = {}): string {
    const { name, directory, socket } = daemon.place;
    return stringify({
      node: name,
      roles: ['mux'],
      interface: 'eth0',
      store: `sqlite=${join(this.directory, 'store.db')}`,
      stateDirectory: directory,
      bpfDirectory: join(pinDirectory(this.name), name),
      ...fields,
      api: { socket, ...fields.api },
    } satisfies NodeFile);
  }

  /** Datagrams from the neighbour, each from a port of its own. */
  sendDatagrams(address: string, port: number, count: number): void {
    const script = `for i in $(seq ${count}); do echo x >/dev/udp/${address}/${port}; done`;
    runIn(this.neighbour, 'bash', '-c', script);
  }

  /** Whether an echo request of the neighbour is answered. */
  isEchoing(address: string): boolean {
    try {
      runIn(this.neighbour, 'ping', '-c', '1', '-W', '1', address);
      return true;
    } catch {
      return false;
    }
  }

  /** Adds a link to the node, which it did not have. */
  addLink(name: string, address?: string): void {
    ipBatch(this.netns, [
      `link add ${name} type veth peer name ${name} netns ${this.neighbour}`,
      ...(address === undefined ? [] : [`addr add ${address} dev ${name}`]),
      `link set ${name} up`,
    ]);
    ipBatch(this.neighbour, [`link set ${name} up`]);
  }

  removeLink(name: string): void {
    ipBatch(this.netns, [`link del ${name}`]);
  }

  /** The path of a socket whose clients are connected to an address in the node's namespace. */
  async bridge(host: string, port: number): Promise<string> {
    const path = join(this.directory, `bridge-${port}.sock`);
    const logPath = join(this.directory, 'bridge.log');
    const started = startScript(this.netns, BRIDGE, [path, host, String(port)], { detached: true, logPath });
    this.#record(started.identity);
    await ready(started, 'the bridge');
    leaveRunning(started);
    return path;
  }

  async down(): Promise<void> {
    this.#port?.link.close();
    this.#port?.object.close();
    await removeLab(this.name);
    const left = leftovers(this.name);
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  }

  #record(identity: LabState['processes'][number]): void {
    this.#state.processes.push(identity);
    writeState(this.#state);
  }
}

function raiseLink({ netns, neighbour }: SingleLab): void {
  for (const name of [netns, neighbour]) {
    run('ip', ['netns', 'add', name]);
    setSysctls(name, { 'ipv6/conf/all/disable_ipv6': 1, 'ipv6/conf/default/disable_ipv6': 1 });
  }
  ipBatch(netns, [
    'link set lo up',
    `link add eth0 type veth peer name eth0 netns ${neighbour}`,
    `addr add ${NODE_ADDRESS}/24 dev eth0`,
    'link set eth0 up',
  ]);
  ipBatch(neighbour, [
    'link set lo up',
    `addr add ${NEIGHBOUR_ADDRESS}/24 dev eth0`,
    ...Array.from({ length: BACKENDS }, (_, index) => `addr add ${backendAddress(index + 1)}/24 dev eth0`),
    'link set eth0 up',
    `route add ${SERVICE_NETWORK} via ${NODE_ADDRESS}`,
  ]);
  // A checksum left to the device would leave the veth unfinished once XDP sends the packet on.
  runIn(neighbour, 'ethtool', '-K', 'eth0', 'tx', 'off');
}

function stateOf(name: string): LabState {
  const owner = identify(process.pid);
  if (owner === undefined) throw new Error('the lab needs /proc');
  return {
    version: 1,
    size: { name, clients: 1, muxes: 1, backends: 1 },
    owner,
    complete: false,
    processes: [],
    pumps: {},
  };
}
