// Owns the lab's routing by BGP: a BIRD on the router, one on each mux with its supervisor, their configurations, and
// what the router has of the muxes. Written as an operator would: the file of holdfastd is included.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { converse } from '../../control/route/bird/client.ts';
import { type Reply, textOf } from '../../control/route/bird/reply_codec.ts';
import { NativeProcess } from './native_process.ts';
import type { LabPlan, MuxNode } from './plan.ts';
import { ip } from './shell.ts';
import { labDirectory, type ProcessIdentity } from './state.ts';

/** Debian has it where only root looks by itself. */
export const BIRD = '/usr/sbin/bird';
const DEADMAN = fileURLToPath(new URL('../../build/Release/deadman', import.meta.url));
const ROUTER_AS = 64_500;
/** Of all muxes; each router's neighbour. */
const MUX_AS = 64_512;
export const BFD_INTERVAL_MS = 50;
export const BFD_MULTIPLIER = 3;
const START_LIMIT_MS = 10_000;
const CONVERGE_LIMIT_MS = 20_000;
const POLL_MS = 10;

type Record = (identity: ProcessIdentity) => void;

export function routesDirectoryOf(plan: LabPlan, node: MuxNode): string {
  return join(labDirectory(plan.name), node.name, 'routes');
}

export function birdSocketOf(plan: LabPlan, name: string): string {
  return join(labDirectory(plan.name), name, 'bird.ctl');
}

export class LabBird {
  readonly process: NativeProcess;
  readonly socket: string;
  readonly #directory: string;
  readonly #configuration: string;

  constructor(plan: LabPlan, node: { name: string; netns: string }, configuration: string, record: Record) {
    this.#directory = join(labDirectory(plan.name), node.name);
    this.socket = birdSocketOf(plan, node.name);
    this.#configuration = configuration;
    const args = ['-f', '-c', this.configPath, '-s', this.socket, '-P', join(this.#directory, 'bird.pid')];
    const logPath = join(this.#directory, 'bird.log');
    this.process = new NativeProcess({ netns: node.netns, file: BIRD, args, logPath }, record);
  }

  get configPath(): string {
    return join(this.#directory, 'bird.conf');
  }

  /** `extra`: text behind the configuration. Takes effect when BIRD reads it. */
  configure(extra = ''): void {
    mkdirSync(this.#directory, { recursive: true });
    this.replace(`${this.#configuration}${extra}`);
  }

  replace(configuration: string): void {
    writeFileSync(this.configPath, configuration);
  }

  async start(): Promise<void> {
    rmSync(this.socket, { force: true });
    this.process.launch();
    const deadline = Date.now() + START_LIMIT_MS;
    for (;;) {
      try {
        await this.ask('show status');
        return;
      } catch (cause) {
        if (Date.now() > deadline || !this.process.isRunning)
          throw new Error(`BIRD does not answer; see ${this.#directory}/bird.log`, { cause });
        await sleep(POLL_MS);
      }
    }
  }

  async ask(command: string): Promise<Reply> {
    return (await converse(this.socket, [command]))[0]!;
  }

  async say(command: string): Promise<string> {
    return textOf(await this.ask(command));
  }
}

/** Of one mux. */
export class LabRouting {
  readonly bird: LabBird;
  readonly supervisor: NativeProcess;

  constructor(plan: LabPlan, node: MuxNode, record: Record) {
    this.bird = new LabBird(plan, node, muxConfiguration(plan, node), record);
    const logPath = join(labDirectory(plan.name), node.name, 'supervisor.log');
    const args = [join(routesDirectoryOf(plan, node), 'will')];
    this.supervisor = new NativeProcess({ netns: node.netns, file: DEADMAN, args, logPath }, record);
  }

  async start(): Promise<void> {
    this.bird.configure();
    await this.bird.start();
    this.supervisor.launch();
  }
}

export function routerBird(plan: LabPlan, record: Record): LabBird {
  return new LabBird(plan, { name: 'router', netns: plan.router.netns }, routerConfiguration(plan), record);
}

/** Names of the muxes that the router's kernel sends packets for this address to, sorted. */
export function muxesOnRoute(plan: LabPlan, address: string): string[] {
  const family = address.includes(':') ? '-6 ' : '';
  const prefix = `${address}/${address.includes(':') ? 128 : 32}`;
  const found = ip(plan.router.netns, `${family}route show ${prefix}`);
  return [...new Set([...found.matchAll(/\bdev (mux\d+)\b/g)].map(([, name]) => name!))].sort();
}

export function routedMuxes(plan: LabPlan): string[][] {
  return [...plan.services4, ...plan.services6].map((address) => muxesOnRoute(plan, address));
}

/** Until every service address goes to exactly these; how long that took. */
export async function routed(
  plan: LabPlan,
  names: readonly string[],
  limitMs = CONVERGE_LIMIT_MS,
): Promise<number> {
  const startedMs = performance.now();
  const wanted = JSON.stringify([...names].sort());
  for (;;) {
    const found = routedMuxes(plan);
    if (found.every((it) => JSON.stringify(it) === wanted)) return performance.now() - startedMs;
    if (performance.now() - startedMs > limitMs)
      throw new Error(`the router sends to ${JSON.stringify(found)}, not to ${wanted}, after ${limitMs} ms`);
    await sleep(POLL_MS);
  }
}

/** Which mux the router sends a UDP flow to. */
export function muxOfFlow(
  plan: LabPlan,
  flow: { from: string; sourcePort: number; to: string; port: number; client: string },
): string | undefined {
  const { from, sourcePort, to, port, client } = flow;
  const args = ['-n', plan.router.netns, 'route', 'get', to, 'from', from, 'iif', client];
  const ports = ['ipproto', 'udp', 'sport', `${sourcePort}`, 'dport', `${port}`];
  const { stdout } = spawnSync('ip', [...args, ...ports], { encoding: 'utf8' });
  return /\bdev (mux\d+)\b/.exec(stdout)?.[1];
}

const TIMERS =
  'connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 9; keepalive time 3;';

function bfd(interfaces: string): string {
  return `protocol bfd {
  accept direct;
  interface "${interfaces}" { interval ${BFD_INTERVAL_MS} ms; idle tx interval ${BFD_INTERVAL_MS} ms; multiplier ${BFD_MULTIPLIER}; };
}
`;
}

function muxConfiguration(plan: LabPlan, node: MuxNode): string {
  return `router id ${node.address4};
log stderr all;
protocol device { scan time 10; }
include "${routesDirectoryOf(plan, node)}*/bird.conf";
${bfd('eth0')}protocol bgp router4 {
  local ${node.address4} as ${MUX_AS};
  neighbor ${node.gateway4} as ${ROUTER_AS};
  ${TIMERS}
  bfd on;
  ipv4 { import none; export where proto = "holdfast4"; };
}
protocol bgp router6 {
  local ${node.address6} as ${MUX_AS};
  neighbor ${node.gateway6} as ${ROUTER_AS};
  ${TIMERS}
  bfd on;
  ipv6 { import none; export where proto = "holdfast6"; };
}
`;
}

function routerConfiguration(plan: LabPlan): string {
  const accept = (addresses: readonly string[], bits: number) =>
    addresses.map((it) => `${it}/${bits}`).join(', ');
  const filter = (version: 4 | 6, prefixes: string) => `filter services${version} {
  if ! (net ~ [ ${prefixes} ]) then reject;
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
  accept;
}
protocol kernel kernel${version} {
  scan time 10;
  merge paths on;
  ipv${version} { import none; export where source = RTS_BGP; };
}
`;
  const session = (mux: MuxNode, version: 4 | 6) => `protocol bgp ${mux.name}_${version} {
  local ${version === 4 ? mux.gateway4 : mux.gateway6} as ${ROUTER_AS};
  neighbor ${version === 4 ? mux.address4 : mux.address6} as ${MUX_AS};
  ${TIMERS}
  bfd on;
  ipv${version} { import filter services${version}; export none; };
}
`;
  return `router id ${plan.reflector.gateway4};
log stderr all;
protocol device { scan time 10; }
${filter(4, accept(plan.services4, 32))}${filter(6, accept(plan.services6, 128))}${bfd('mux*')}${plan.muxes
  .flatMap((mux) => [session(mux, 4), session(mux, 6)])
  .join('')}`;
}
