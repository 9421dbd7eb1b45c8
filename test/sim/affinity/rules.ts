// Owns the rules of the filter protocol that can be taken out one by one. What a rule does is where it is asked for:
// server.ts, tables.ts, leader.ts, world.ts. Which histories break without it: ../affinity.test.ts.

/** `design`: of the page; `contract`: added to it before; `found`: added because a history of this model broke without it. */
export const RULES = {
  q5: 'design: where a bucket is tracked, data of unknown clients is asked for, too',
  tomb: 'design: a holder that does not know the client remembers who asked',
  rehome:
    'design: what comes home counts only while the bucket is still mine and nothing was learnt meanwhile',
  twostep: 'design: acquire first, then release',
  barrier: 'design: a step waits until every member has the step before',
  norel: 'design: the acquiring server does not remember the server that is being released',
  nofrefresh: 'design: foreign entries have a short life that packets do not renew',
  inc: 'design: a foreign entry ends with the incarnation of its server',
  newIncarnation:
    'design: a server that was taken for dead comes back with empty tables, as another incarnation',
  deadline: 'design: past its deadline a server passes nothing',
  joinTables: 'design: who joins has the tables of now before it hears anything',
  cleanReport: 'design: clean only once no holder reports a live affinity',
  push: 'design: what does not fit into the list of holders is handed over before the bucket moves',
  witness: 'contract: where the table does not know a connection of a tracked bucket, the kernel may',
  reportsVersion: 'contract: a report counts if it was made at the version of the release or later',
  witnessFirst: 'found: the kernel is asked before a foreign entry is believed',
  witnessOnlyPasses: 'found: what only the kernel knows is passed, and recorded nowhere',
  connectionIsNotClient:
    'found: that only the kernel knows a connection says nothing of other packets of its client',
  cleanRecords:
    'found: data of an unknown client in a clean bucket of ours is recorded where the kernel has the connection',
  reportsSockets:
    'found: connections that only the kernel knows count, too, in reports and in what is handed over',
  ownSocket:
    'found: data of a client of ours that is of no connection of ours is asked for where the bucket is tracked',
  queryRefreshes: 'found: a query refreshes what it finds, as the packet would',
  tombOfMine: 'found: who would not answer remembers nobody',
  tombNotMine:
    'found: who asked is not who answers: a current server with that version asks, whoever asked before',
  tombOutlivesLag: 'found: who asked with a version that is newer than ours is remembered until we have it',
  sameRecord: 'found: what comes home to another list of holders is asked anew',
  releaseBarrier: 'found: a bucket moves again only when every member has the release before',
  releasingAsks: 'found: the server that is being released asks the acquiring one, too, in the list or not',
  incByVersion:
    'found: an asker that we do not know yet, and whose version we do not have, is remembered all the same',
  queryEnds: 'found: a query ends before what was remembered on its way',
  releasingRecords:
    'found: the server that is being released answers a new client only if it has a place for it',
  releaseHold: 'found: between barrier and release packets that are under way arrive',
  pushOnlyHints: 'found: what was handed over is asked for; by itself it has nothing dropped',
  pushedAsks: 'found: what was handed over tells whom to ask, for as long as the affinity may live',
} as const satisfies Record<string, string>;
export type Rule = keyof typeof RULES;
export type Rules = Readonly<Record<Rule, boolean>>;

const NAMES = Object.keys(RULES) as Rule[];

export function rulesWithout(...names: readonly Rule[]): Rules {
  return Object.fromEntries(NAMES.map((name) => [name, !names.includes(name)])) as Rules;
}
