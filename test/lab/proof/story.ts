// Owns the proof's order of events: what is changed while the load is on, and what that must not do to any connection.
// Played by a test and by the demo.
import type { Account, Check } from '../demo/act.ts';
import { check, count } from '../demo/act.ts';
import type { Lab } from '../lab.ts';
import {
  documentWith,
  firstHalf,
  jumpClocks,
  makeNextVersion,
  replaceBackend,
  restartEtcd,
  successions,
  upgradeAll,
  weigh,
} from './changes.ts';
import { healthy } from './cluster.ts';
import { Load, type Totals } from './load.ts';
import { hangMux, killMux, leaveAndJoin, stopMux } from './muxes.ts';

export type Teller = {
  /** Says what happens now. */
  now(what: string): void;
  begins(number: number, title: string): void;
  ends(account: Account): void;
};

export type Proof = {
  readonly acts: readonly Account[];
  readonly totals: Totals;
  /** A line for each connection that broke and each request that failed. */
  readonly losses: readonly string[];
};

type Act = { readonly title: string; readonly events: readonly (readonly [string, () => Promise<void>])[] };

/** What the lab has to be for this, at least. */
export const PROOF_MUXES_MIN = 3;
/** Half of them succeed the others, one with each of the first three acts. */
export const PROOF_BACKENDS_MIN = 6;

/** How many acts there are in such a lab. */
export function proofActs(lab: Lab): number {
  return actsOf(lab, '', () => undefined).length;
}

/** The load has ended when this returns. */
export async function playProof(lab: Lab, connections: number, teller: Teller): Promise<Proof> {
  const now = (what: string): void => teller.now(what);
  await lab.apply(documentWith(lab, firstHalf(lab)));
  await healthy(lab);
  now('the next version of Holdfast, with other layouts of its tables, is compiled');
  const nextMain = makeNextVersion();
  now(`${count(connections)} connections are made`);
  const load = await Load.start(lab, connections);
  try {
    const acts = actsOf(lab, nextMain, now);
    const accounts: Account[] = [];
    for (const [index, act] of acts.entries()) {
      teller.begins(index + 1, act.title);
      const account = await play(act, load);
      accounts.push(account);
      for (const { seen } of account.checks) now(seen);
      teller.ends(account);
      // What follows an act that went wrong would be blamed on the wrong change.
      if (account.checks.some(({ kept }) => !kept)) break;
    }
    return { acts: accounts, totals: await load.totals(), losses: await load.losses() };
  } finally {
    await load.stop();
  }
}

/** Events of one act begin together, so that a mux dies in the middle of a change. */
function actsOf(lab: Lab, nextMain: string, now: (what: string) => void): Act[] {
  const [first, second, third] = lab.muxes;
  const replace = (step: number) => {
    const [old, next] = successions(lab)[step]!.map((number) => lab.backends[number]!.node.name);
    const what = `${old} is replaced by ${next}`;
    return [
      what,
      async () => {
        now(what);
        await replaceBackend(lab, step);
      },
    ] as const;
  };
  const others = successions(lab)
    .map((_, step) => step)
    .slice(3);
  return [
    {
      title: 'A backend is replaced, and a mux is killed in the middle of it',
      events: [replace(0), [`kill of ${third!.node.name}`, () => killMux(lab, third!, now)]],
    },
    {
      title: 'A backend is replaced, and a mux hangs',
      events: [replace(1), [`hang of ${second!.node.name}`, () => hangMux(lab, second!, now)]],
    },
    {
      title: 'A backend is replaced, and a mux is stopped and resumed',
      events: [replace(2), [`stop of ${first!.node.name}`, () => stopMux(lab, first!, now)]],
    },
    ...others.map((step) => ({ title: 'A backend is replaced', events: [replace(step)] })),
    { title: 'etcd is killed, and starts again', events: [['restart of etcd', () => restartEtcd(lab)]] },
    {
      title: 'A weight changes, and a mux leaves and joins again',
      events: [
        ['a weight of 3', () => weigh(lab, 3)],
        [`leave of ${third!.node.name}`, () => leaveAndJoin(lab, third!, now)],
      ],
    },
    {
      title: 'Every daemon is upgraded, one node after the other, and a weight changes',
      events: [
        ['upgrade', () => upgradeAll(lab, nextMain, now)],
        ['a weight of 1', () => weigh(lab, 1)],
      ],
    },
    {
      title: 'Clocks jump, of one mux and of all',
      events: [
        [
          'clock of one mux',
          async () => {
            now(`the clock of ${first!.node.name} jumps by 26 hours, and back`);
            await jumpClocks(lab, [first!.node.name]);
            now('the clocks of all nodes jump by 26 hours, and back');
            await jumpClocks(
              lab,
              [...lab.muxes, ...lab.backends].map(({ node }) => node.name),
            );
          },
        ],
      ],
    },
  ];
}

async function play({ title, events }: Act, load: Load): Promise<Account> {
  const startedMs = performance.now();
  const before = await load.totals();
  const outcomes = await Promise.allSettled(events.map(([what, work]) => load.during(what, work)));
  const doubts = outcomes.flatMap((it) => (it.status === 'rejected' ? [(it.reason as Error).message] : []));
  await load.everyoneAnswers();
  const checks = [
    check(
      'what was to happen has happened',
      doubts.length === 0,
      doubts.join('; ') || events.map(([what]) => what).join('; '),
    ),
    ...heldChecks(before, await load.totals()),
  ];
  return { title, checks, durationMs: Math.round(performance.now() - startedMs) };
}

function heldChecks(before: Totals, after: Totals): Check[] {
  const { held, broken, corrupted, requests, failed, rounds, fewestRounds } = after;
  return [
    check(
      'no connection breaks, and each brings what it should',
      broken === 0 && corrupted === 0 && fewestRounds >= before.fewestRounds + 2,
      `${count(held)} held, ${broken} broken, ${corrupted} corrupted; ${count(rounds - before.rounds)} chunks checked`,
    ),
    check(
      'no request fails',
      failed === 0 && requests > before.requests,
      `${count(requests - before.requests)} answered, ${failed} failed`,
    ),
  ];
}
