// Holds one link of the lab impaired (impairment.ts): attaches the program, sends on what waited long enough, and puts
// the link back as it was when it is told to end. Packets that still wait then leave at once.
//
// Started in the router's namespace as: pump.ts LAB NODE; says {"ready":true} when the program is in place.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Rtnetlink } from '@holdfast/linux';
import { type LoadedObject, type Program, XdpLink } from 'libbpf-ts';
import {
  detourOf,
  ImpairTable,
  impairDirectory,
  portsDirectory,
  removeDetour,
  SLOTS,
  straighten,
} from './impairment.ts';
import { type LabNode, type LabPlan, nodesOf, planLab } from './plan.ts';
import { openTestObject } from './programs.ts';
import { ipBatch, run, runIn } from './shell.ts';
import { readState } from './state.ts';

const TICK_MS = 1;
/** What is due within this time leaves: a tick too late and a tick too early are equally likely then. */
const EARLY_NS = 500_000n;
const BATCH_PACKETS = 64;
/** At the end, packets that were being copied when it came. */
const LAST_ROUNDS = 3;
// As in bpf/impair.bpf.c.
const RELEASE_MAX = 1_024;
const FRAME_BYTES = 2_040;
const SLOT_FILLED = 1n;
// Words of struct releases.
const [COUNT, NEXT, FIRST] = [0, 1, 2];

/** What waits, and letting it go. */
class Pump {
  readonly #program: Program;
  readonly #portIfindex: number;
  readonly #due: BigUint64Array;
  /** The upper halves of #due, which are zero for slots that are free or being filled: quicker to look through. */
  readonly #dueHigh: Uint32Array;
  readonly #releases: BigUint64Array;
  readonly #frame = new Uint8Array(FRAME_BYTES);

  constructor(object: LoadedObject, portIfindex: number) {
    this.#program = object.program('release');
    this.#portIfindex = portIfindex;
    const due = object.map('.data.due').mmap();
    this.#due = new BigUint64Array(due, 0, SLOTS);
    this.#dueHigh = new Uint32Array(due, 0, 2 * SLOTS);
    this.#releases = new BigUint64Array(object.map('.data.releases').mmap(), 0, FIRST + RELEASE_MAX);
  }

  /** In the order in which they are due. */
  releaseDue(untilNs: bigint): void {
    const due: { slot: number; ns: bigint }[] = [];
    for (let slot = 0; slot < SLOTS; slot += 1) {
      if (this.#dueHigh[2 * slot + 1] === 0) continue;
      const ns = this.#due[slot]!;
      if (ns > SLOT_FILLED && ns <= untilNs) due.push({ slot, ns });
    }
    due.sort((a, b) => Number(a.ns - b.ns));
    for (let at = 0; at < due.length; at += RELEASE_MAX) {
      this.#release(due.slice(at, at + RELEASE_MAX).map(({ slot }) => slot));
    }
  }

  #release(slots: readonly number[]): void {
    for (const [place, slot] of slots.entries()) this.#releases[FIRST + place] = BigInt(slot);
    this.#releases[NEXT] = 0n;
    this.#releases[COUNT] = BigInt(slots.length);
    this.#program.testRun({
      data: this.#frame,
      ctx: { ingressIfindex: this.#portIfindex },
      repeat: slots.length,
      liveFrames: true,
      batchSize: Math.min(slots.length, BATCH_PACKETS),
    });
  }
}

const [labName = '', nodeName = ''] = process.argv.slice(2);
const { plan, node } = find(labName, nodeName);
// What a pump that was killed left.
straighten(plan, node);
removeDetour(plan, node);
const grants = grantReceiving(node);
// All of it until the end: a link that nobody refers to would be collected, and with it the attachment.
const { object, links, table, pump } = attach(plan, node);
const ticking = setInterval(() => pump.releaseDue(process.hrtime.bigint() + EARLY_NS), TICK_MS);
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, end);
process.stdout.write('{"ready":true}\n');

function find(lab: string, name: string): { plan: LabPlan; node: LabNode } {
  const state = readState(lab);
  if (state === undefined) throw new Error(`there is no lab "${lab}"`);
  const found = planLab(state.size);
  const linked = nodesOf(found).find((it) => it.name === name);
  if (linked === undefined) throw new Error(`lab "${lab}" has no node ${name}`);
  return { plan: found, node: linked };
}

// An end of a veth pair takes frames of XDP only while it has a program or receives in batches (GRO); clients have
// neither, and a mux may be without its program for a moment.
function grantReceiving({ netns }: LabNode): { withdraw(): void } {
  const was = /generic-receive-offload: (on|off)/.exec(runIn(netns, 'ethtool', '-k', 'eth0'))?.[1];
  runIn(netns, 'ethtool', '-K', 'eth0', 'gro', 'on');
  return { withdraw: () => was === 'off' && runIn(netns, 'ethtool', '-K', 'eth0', 'gro', 'off') };
}

function attach({ name, router }: LabPlan, { name: port, mtuBytes }: LabNode) {
  const { wire, hold } = detourOf(port);
  // No address of any kind: nothing but what is redirected passes here.
  ipBatch(router.netns, [
    `link add ${wire} mtu ${mtuBytes} type veth peer name ${hold} mtu ${mtuBytes}`,
    `link set ${wire} addrgenmode none`,
    `link set ${hold} addrgenmode none`,
    `link set ${wire} up`,
    `link set ${hold} up`,
  ]);
  run('ethtool', ['-K', wire, 'tx', 'off']);
  using rtnetlink = new Rtnetlink();
  const portIfindex = rtnetlink.link(port)!.ifindex;
  const open = openTestObject('impair');
  open.setConstants({ port_ifindex: portIfindex });
  const object = open.load();
  // The kernel enters attached programs into a table of direct calls, and waits for RCU when it does so for a test run
  // of one that is not in it: 16 ms. Nothing arrives at this end of the pair.
  const links = [
    object.program('release').attachXdp({ interface: wire, mode: 'native' }),
    object.program('impair_to').attachXdp({ interface: hold, mode: 'native' }),
  ];
  const directory = impairDirectory(name, port);
  mkdirSync(directory, { recursive: true });
  object.map('.data.directions').pin(join(directory, 'directions'));
  using link = XdpLink.openPinned(join(portsDirectory(name), port));
  link.update(object.program('impair_from'));
  run('tc', ['qdisc', 'add', 'dev', port, 'clsact']);
  run('tc', [
    ...['filter', 'add', 'dev', port, 'egress', 'protocol', 'all', 'u32', 'match', 'u32', '0', '0'],
    ...['action', 'mirred', 'egress', 'redirect', 'dev', wire],
  ]);
  const table = new ImpairTable(object.map('.data.directions').mmap());
  return { object, links, table, pump: new Pump(object, portIfindex) };
}

async function end(): Promise<void> {
  clearInterval(ticking);
  table.set({});
  straighten(plan, node);
  for (let round = 0; round < LAST_ROUNDS; round += 1) {
    pump.releaseDue(2n ** 63n);
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  removeDetour(plan, node);
  grants.withdraw();
  for (const link of links) link.close();
  object.close();
  process.exit(0);
}
