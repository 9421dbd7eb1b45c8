// Owns the lab's XDP programs: a mux's on every mux, decap on every backend, a program of the lab's own on the router's
// ends and on the reflector; and filling their tables.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Rtnetlink } from '@holdfast/linux';
import { type LoadedObject, type OpenObject, openObject, type Program, type XdpLink } from 'libbpf-ts';
import { DecapProgram } from '../../control/dataplane/decap.ts';
import { MuxProgram, SLOT_COUNT } from '../../control/dataplane/mux.ts';
import { evenSlots } from '../../control/pool/even.ts';
import { NextHops, type Path } from '../../control/route/next_hop.ts';
import {
  type BackendNode,
  ECHO_PORT,
  GUE_PORT,
  HTTP_PORT,
  type LabPlan,
  type MuxNode,
  netnsPath,
  nodesOf,
  TUNNEL_PREFIXES,
} from './plan.ts';

const NEXT_HOP_LIMIT_MS = 5_000;
const POLL_MS = 5;

/** The mux of one node: its program, and following the ways to the backends. */
export class LabMux {
  readonly node: MuxNode;
  readonly program: MuxProgram;
  readonly #rtnetlink: Rtnetlink;
  readonly #nextHops: NextHops;
  readonly #backends: readonly BackendNode[];
  /** Narrower than the path is, for tests of path MTUs. */
  #mtuLimitBytes: number | undefined;

  constructor(node: MuxNode, plan: LabPlan, hashKey: Uint8Array) {
    this.node = node;
    this.#backends = plan.backends;
    this.program = MuxProgram.load({
      hashKey,
      tunnelSource4: node.tunnelSource4,
      tunnelSource6: node.tunnelSource6,
      slotCapacity: SLOT_COUNT,
    });
    this.program.setSlots(0, evenSlots(plan.backends.map(({ number }) => number)));
    this.#rtnetlink = new Rtnetlink({ netns: netnsPath(node.netns) });
    this.#nextHops = new NextHops({
      rtnetlink: this.#rtnetlink,
      onChange: (address, path) => this.#setBackends(address, path),
      onFailure: (error) => process.emitWarning(error),
    });
    for (const { tunnelAddress } of plan.backends) this.#nextHops.follow(tunnelAddress);
    setServices(this.program, plan);
  }

  attach(): void {
    this.program.attach({ interface: 'eth0', netns: netnsPath(this.node.netns), mode: 'native' });
  }

  /** Whether every backend has a next hop. */
  async reachesBackends(): Promise<void> {
    const deadline = Date.now() + NEXT_HOP_LIMIT_MS;
    const missing = () =>
      this.#backends.find(({ tunnelAddress }) => this.#nextHops.path(tunnelAddress)?.nextHop === undefined);
    for (let backend = missing(); backend !== undefined; backend = missing()) {
      if (Date.now() > deadline) throw new Error(`${this.node.name} finds no next hop to ${backend.name}`);
      await sleep(POLL_MS);
    }
  }

  /** Has the mux believe that no path carries more than this; undefined: what the paths are. */
  limitMtu(mtuBytes: number | undefined): void {
    this.#mtuLimitBytes = mtuBytes;
    for (const { tunnelAddress } of this.#backends) {
      this.#setBackends(tunnelAddress, this.#nextHops.path(tunnelAddress) ?? {});
    }
  }

  pin(directory: string): void {
    this.program.pin(directory);
  }

  close(): void {
    this.#nextHops.close();
    this.#rtnetlink.close();
    this.program.close();
  }

  #setBackends(address: string, { nextHop, mtuBytes }: Path): void {
    for (const backend of this.#backends.filter((it) => it.tunnelAddress === address)) {
      this.program.setBackend(backend.number, {
        address,
        encap: backend.encap,
        guePort: GUE_PORT,
        mtuBytes: this.#mtuLimitBytes ?? mtuBytes ?? backend.mtuBytes,
        ...(nextHop && { nextHop }),
      });
    }
  }
}

// Both forms of a service: the first address has its ports listed, the others balance every port.
function setServices(program: MuxProgram, plan: LabPlan): void {
  const pool = { slotBase: 0, slotCount: SLOT_COUNT, pool: 1 };
  for (const addresses of [plan.services4, plan.services6]) {
    const [listed, ...whole] = addresses;
    program.setService({ address: listed!, protocol: 'tcp', port: HTTP_PORT, ...pool });
    program.setService({ address: listed!, protocol: 'tcp', port: ECHO_PORT, ...pool });
    program.setService({ address: listed!, protocol: 'udp', port: ECHO_PORT, ...pool });
    for (const address of whole) program.setService({ address, ...pool });
  }
}

export class LabDecap {
  readonly node: BackendNode;
  readonly program: DecapProgram;

  constructor(node: BackendNode, plan: LabPlan) {
    this.node = node;
    this.program = DecapProgram.load({ guePort: GUE_PORT });
    this.program.setMuxSources(TUNNEL_PREFIXES);
    this.program.setServiceAddresses([...plan.services4, ...plan.services6]);
  }

  attach(): void {
    this.program.attach({ interface: 'eth0', netns: netnsPath(this.node.netns), mode: 'native' });
  }
}

export type ReturnedCount = { tunnelled: number; bare: number };

/** The programs on the router's ends and on the reflector. */
export class LabPorts {
  readonly #objects: LoadedObject[] = [];
  readonly #links = new Map<string, XdpLink>();
  readonly #ports: LoadedObject;

  constructor(plan: LabPlan) {
    const port = openTestObject('port');
    port.setConstants({ gue_port: swap16(GUE_PORT) });
    this.#ports = port.load();
    const reflector = openTestObject('reflector').load();
    this.#objects.push(this.#ports, reflector);
    const program = this.#ports.program('port');
    for (const node of nodesOf(plan)) this.#attach(node.name, program, plan.router.netns, node.name);
    this.#attach('reflector eth0', reflector.program('reflect'), plan.reflector.netns, 'eth0');
  }

  /** Packets of the generator that came back to the router so far. */
  returned(): ReturnedCount {
    const counts = this.#ports.map('returned').lookupPerCpu(new Uint8Array(4)) ?? [];
    const words = counts.map((bytes) => new BigUint64Array(bytes.slice().buffer));
    const sum = (index: number) => Number(words.reduce((total, each) => total + each[index]!, 0n));
    return { tunnelled: sum(0), bare: sum(1) };
  }

  /** Links by node, and the router's program, for those who put another in its place. Repeating it does nothing. */
  pin(directory: string): void {
    if (existsSync(directory)) return;
    mkdirSync(directory, { recursive: true });
    for (const [name, link] of this.#links) link.pin(join(directory, name.replaceAll(' ', '_')));
    this.#ports.program('port').pin(join(directory, 'program'));
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
    for (const object of this.#objects) object.close();
  }

  #attach(name: string, program: Program, netns: string, device: string): void {
    this.#links.set(name, program.attachXdp({ interface: device, netns: netnsPath(netns), mode: 'native' }));
  }
}

export function openTestObject(name: string): OpenObject {
  const path = fileURLToPath(new URL(`../../out/test-bpf/${name}.bpf.o`, import.meta.url));
  if (!existsSync(path)) throw new Error(`${path} is missing: build it with scripts/build`);
  return openObject(path);
}

/** Network order, as a number that this machine stores. */
function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}
