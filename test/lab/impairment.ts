// Owns what can go wrong on purpose on a link of the lab: loss, delay, packets out of order, packets twice; what that
// is set to, and what it has done. The program is bpf/impair.bpf.c; holding it in place is pump.ts's, a process of its
// own for each impaired link, so that a lab that was kept goes on being impaired.
//
// What the node sends meets the program at the router's port, in the place of bpf/port.bpf.c. What the router sends is
// led around: a tc filter at the port redirects it into one end of a veth pair, at whose other end the program stands.
//
//   node ─▶ port: impair_from ─▶ router's stack ─▶ port, tc ─▶ wire-NODE ═ hold-NODE: impair_to ─▶ port ─▶ node
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BpfMap, Program, XdpLink } from 'libbpf-ts';
import type { LabNode, LabPlan } from './plan.ts';
import { run } from './shell.ts';
import { pinDirectory } from './state.ts';

/** As the node sees it: what it sends, what is sent to it. */
export const DIRECTIONS = ['from', 'to'] as const;
export type Direction = (typeof DIRECTIONS)[number];

export type ImpairOptions = {
  /** Default: both. What is not given for a direction is not impaired there. */
  readonly direction?: Direction | 'both';
  readonly lossPercent?: number;
  readonly delayMs?: number;
  /** The delay is evenly spread over so much less to so much more: packets closer together than that change places. */
  readonly jitterMs?: number;
  /** Of the packets, so many wait REORDER_WAIT_MS longer than the others. */
  readonly reorderPercent?: number;
  readonly duplicatePercent?: number;
  /** The same seed, settings and packets: the same losses. */
  readonly seed?: number;
};

export type ImpairSettings = Required<Omit<ImpairOptions, 'direction'>>;

export type ImpairCounts = {
  readonly packets: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Waited at all. */
  readonly delayed: number;
  /** Lost because too many were waiting (SLOTS), or for being longer than any frame of the lab. */
  readonly overflowed: number;
};

export type ImpairStatus = Readonly<Record<Direction, ImpairSettings & ImpairCounts>>;

/** Packets under way on one link, both directions together: 8 MiB. The same in bpf/impair.bpf.c. */
export const SLOTS = 4_096;
export const REORDER_WAIT_MS = 5;
export const DELAY_MS_MAX = 1_000;

const CHANCE_ONE = 2 ** 32;
const NS_PER_MS = 1e6;
/** Between the seeds of the directions. */
const SEED_STEP = 2 ** 31;
// Words of struct direction in bpf/impair.bpf.c.
const SETTINGS = ['seed', 'loss', 'duplicate', 'reorder', 'delay', 'jitter', 'reorderWait'] as const;
const COUNTS = ['packets', 'lost', 'duplicated', 'reordered', 'delayed', 'overflowed'] as const;
export const DIRECTION_WORDS = SETTINGS.length + COUNTS.length;

/** The directions' settings and counters of one link, in the program's own memory. */
export class ImpairTable {
  readonly #words: BigUint64Array;

  constructor(memory: ArrayBuffer) {
    this.#words = new BigUint64Array(memory, 0, DIRECTIONS.length * DIRECTION_WORDS);
  }

  /** From the next packet on, which has number 0. */
  set(options: ImpairOptions): void {
    checkImpairOptions(options);
    const { direction = 'both' } = options;
    for (const [index, each] of DIRECTIONS.entries()) {
      if (direction !== 'both' && direction !== each) continue;
      const words = wordsOf(options, index);
      for (const [word, value] of words.entries()) this.#words[index * DIRECTION_WORDS + word] = value;
      this.#words.fill(0n, index * DIRECTION_WORDS + SETTINGS.length, (index + 1) * DIRECTION_WORDS);
    }
  }

  read(): ImpairStatus {
    return { from: this.#read(0), to: this.#read(1) };
  }

  #read(index: number): ImpairSettings & ImpairCounts {
    const word = (place: number): number => Number(this.#words[index * DIRECTION_WORDS + place]);
    const percent = (name: (typeof SETTINGS)[number]): number =>
      round((word(SETTINGS.indexOf(name)) / CHANCE_ONE) * 100);
    const ms = (name: (typeof SETTINGS)[number]): number => word(SETTINGS.indexOf(name)) / NS_PER_MS;
    const count = (name: (typeof COUNTS)[number]): number => word(SETTINGS.length + COUNTS.indexOf(name));
    return {
      seed: word(0) % SEED_STEP,
      lossPercent: percent('loss'),
      duplicatePercent: percent('duplicate'),
      reorderPercent: percent('reorder'),
      delayMs: ms('delay'),
      jitterMs: ms('jitter'),
      packets: count('packets'),
      lost: count('lost'),
      duplicated: count('duplicated'),
      reordered: count('reordered'),
      delayed: count('delayed'),
      overflowed: count('overflowed'),
    };
  }
}

/** @throws RangeError */
export function checkImpairOptions(options: ImpairOptions): void {
  const check = (name: keyof ImpairOptions, limit: number, whole = false): void => {
    const value = options[name] ?? 0;
    const fits = typeof value === 'number' && value >= 0 && value <= limit;
    if (!fits || (whole && !Number.isInteger(value))) {
      throw new RangeError(
        `${name} must be ${whole ? 'a whole number from ' : ''}0 to ${limit}, got ${value}`,
      );
    }
  };
  for (const name of ['lossPercent', 'reorderPercent', 'duplicatePercent'] as const) check(name, 100);
  for (const name of ['delayMs', 'jitterMs'] as const) check(name, DELAY_MS_MAX);
  check('seed', SEED_STEP - 1, true);
}

export function impairDirectory(labName: string, node: string): string {
  return join(pinDirectory(labName), `impair-${node}`);
}

/** The names of the veth pair that what the router sends is led through. */
export function detourOf(nodeName: string): { readonly wire: string; readonly hold: string } {
  return { wire: `wire-${nodeName}`, hold: `hold-${nodeName}` };
}

export function portsDirectory(labName: string): string {
  return join(pinDirectory(labName), 'ports');
}

/** The table of a link that a pump holds; undefined where none does. */
export function openImpairTable(plan: LabPlan, node: LabNode): ImpairTable | undefined {
  const path = join(impairDirectory(plan.name, node.name), 'directions');
  if (!existsSync(path)) return undefined;
  // The memory stays mapped when the handle is closed.
  using map = BpfMap.openPinned(path);
  return new ImpairTable(map.mmap());
}

/** The link as it was: both ways past the program. Repeating it does nothing, also where a pump left half of it. */
export function straighten(plan: LabPlan, node: LabNode): void {
  const inRouter = (command: string, ...args: readonly string[]): string =>
    run('ip', ['netns', 'exec', plan.router.netns, command, ...args]);
  if (inRouter('tc', 'qdisc', 'show', 'dev', node.name).includes('clsact')) {
    inRouter('tc', 'qdisc', 'del', 'dev', node.name, 'clsact');
  }
  const ports = portsDirectory(plan.name);
  if (existsSync(ports)) {
    using link = XdpLink.openPinned(join(ports, node.name));
    using port = Program.openPinned(join(ports, 'program'));
    link.update(port);
  }
}

/** What straighten() leaves: the detour, empty by then, and the pins. */
export function removeDetour(plan: LabPlan, node: LabNode): void {
  const { wire } = detourOf(node.name);
  const links = JSON.parse(run('ip', ['-n', plan.router.netns, '-j', 'link', 'show', 'type', 'veth'])) as {
    ifname: string;
  }[];
  if (links.some(({ ifname }) => ifname === wire)) run('ip', ['-n', plan.router.netns, 'link', 'del', wire]);
  rmSync(impairDirectory(plan.name, node.name), { recursive: true, force: true });
}

function wordsOf(options: ImpairOptions, index: number): bigint[] {
  const chance = (percent = 0): bigint => BigInt(Math.round((percent / 100) * CHANCE_ONE));
  const ns = (ms = 0): bigint => BigInt(Math.round(ms * NS_PER_MS));
  return [
    // Directions do not share their losses.
    BigInt((options.seed ?? 0) + index * SEED_STEP),
    chance(options.lossPercent),
    chance(options.duplicatePercent),
    chance(options.reorderPercent),
    ns(options.delayMs),
    ns(options.jitterMs),
    ns(REORDER_WAIT_MS),
  ];
}

function round(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
