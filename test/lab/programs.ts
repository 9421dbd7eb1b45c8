// Owns the lab's own XDP programs, on the router's ends and on the reflector. Those of muxes and backends are their
// daemons'.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type LoadedObject, type OpenObject, openObject, type Program, type XdpLink } from 'libbpf-ts';
import { GUE_PORT, type LabPlan, netnsPath, nodesOf } from './plan.ts';

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
