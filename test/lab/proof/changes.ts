// Owns what an operator does to backends, the store and the daemons while traffic flows.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Document } from '../../../control/config/objects.ts';
import { makeVariant, NEXT_VERSION } from '../../bpf/lib/variant.ts';
import { documentOf, WEIGHT } from '../configuration.ts';
import type { Lab } from '../lab.ts';
import { eventually } from '../support.ts';
import { healthy } from './cluster.ts';
import { IDLE_MS } from './load.ts';

const CLOCK = new URL('../jumping_clock.ts', import.meta.url).pathname;
/** What goes by the wall clock looks this often. */
const JUMP_SEEN_MS = 3_000;

/** The lab's objects with these backends, by number from 0, and weights of them where they differ. */
export function documentWith(
  lab: Lab,
  numbers: readonly number[],
  weights: Readonly<Record<number, number>> = {},
): Document {
  const document = documentOf(lab.plan);
  return {
    ...document,
    services: document.services.map((it) => ({ ...it, idleTimeoutMs: IDLE_MS })),
    backends: numbers.map((number) => ({
      ...document.backends[number]!,
      weight: weights[number] ?? WEIGHT,
    })),
  };
}

/** The first half of the backends serves; each has a successor in the second. */
export function successions(lab: Lab): readonly (readonly [number, number])[] {
  const half = Math.floor(lab.backends.length / 2);
  return Array.from({ length: half }, (_, number) => [number, number + half] as const);
}

export function firstHalf(lab: Lab): number[] {
  return successions(lab).map(([old]) => old);
}

/** One edit: the successor is there, and the old one is no more. New connections go by it when this returns. */
export async function replaceBackend(lab: Lab, step: number): Promise<void> {
  const now = successions(lab).map(([old, next], index) => (index <= step ? next : old));
  await edit(lab, documentWith(lab, now));
}

export async function weigh(lab: Lab, factor: number): Promise<void> {
  const now = successions(lab).map(([, next]) => next);
  await edit(lab, documentWith(lab, now, { [now[0]!]: WEIGHT * factor }));
}

/** By whichever mux answers, as an operator would: any of them may be the one that is dead. */
async function edit(lab: Lab, document: Document): Promise<void> {
  const { revision } = await eventually(
    async () => {
      for (const { daemon } of lab.muxes) {
        const change = await daemon.client.apply(document, {}).catch(() => undefined);
        if (change !== undefined) return change;
      }
      return undefined;
    },
    'an edit',
    30_000,
  );
  await committed(lab, revision);
}

/** No slot waits for its commit, at any mux that answers; those that are away catch up. */
async function committed(lab: Lab, revision: number): Promise<void> {
  await eventually(
    async () => {
      let answered = 0;
      for (const { daemon } of lab.muxes) {
        const found = await daemon.client.changes().catch(() => undefined);
        if (found === undefined) continue;
        const { version, applied, publishedRevision, open } = found;
        // A mux that is cut off says so by standing still; the others do not wait for it here.
        if (publishedRevision < revision || applied !== version) continue;
        if (open.some(({ parts }) => parts.some(({ step }) => step === 'track'))) return undefined;
        answered += 1;
      }
      return answered >= lab.muxes.length - 1 ? true : undefined;
    },
    `the commit of revision ${revision}`,
    60_000,
  );
}

export async function restartEtcd(lab: Lab): Promise<void> {
  const daemons = [...lab.muxes, ...lab.backends].map(({ daemon }) => daemon);
  await lab.etcd!.end('SIGKILL');
  await Promise.all(daemons.map((it) => it.answers(({ store }) => !store.connected)));
  await lab.etcd!.start();
  await Promise.all(daemons.map((it) => it.answers(({ store }) => store.connected)));
  await healthy(lab);
}

/** Where the daemon of a version begins that has other layouts of nearly all tables. */
export function makeNextVersion(): string {
  return join(makeVariant('proof', NEXT_VERSION), 'control/main.ts');
}

/** One node after the other; their clocks can be made to jump from then on. */
export async function upgradeAll(lab: Lab, nextMain: string, now: (what: string) => void): Promise<void> {
  for (const { node, daemon } of [...lab.muxes, ...lab.backends]) {
    now(`holdfastd of ${node.name} is upgraded`);
    await daemon.end('SIGTERM');
    daemon.launch(nextMain, CLOCK);
    const { adopted } = await daemon.answers(
      ({ appliedRevision, problems }) => appliedRevision > 0 && problems.length === 0,
    );
    if (adopted === 'fresh') throw new Error(`the new holdfastd of ${node.name} took nothing over`);
  }
  await healthy(lab);
}

/** The wall clocks of these nodes are a day and more ahead for a while: keys look old, waits look over. */
export async function jumpClocks(lab: Lab, names: readonly string[]): Promise<void> {
  const jumping = [...lab.muxes, ...lab.backends].filter(({ node }) => names.includes(node.name));
  const jump = () => {
    for (const { daemon } of jumping) process.kill(daemon.pid!, 'SIGUSR2');
  };
  jump();
  await sleep(JUMP_SEEN_MS);
  await healthy(lab);
  jump();
  await sleep(JUMP_SEEN_MS);
  await healthy(lab);
}
