// What a node answers about flows, and what it does when a mux is to leave or to be forgotten.
import { describe, expect, it } from 'vitest';
import type { Client } from '../../../../control/api/client.ts';
import type { Explanation, Flows } from '../../../../control/api/schema.ts';
import { rotate } from '../../../../control/cluster/member_keys_core.ts';
import { Failure } from '../../../../control/lib/failure.ts';
import { slotPlaceOf } from '../../../../control/node/tracking/flow_report.ts';
import type { FlowRow, FlowTables } from '../../../../control/node/tracking/flow_table.ts';
import type { PeerApis } from '../../../../control/node/tracking/peer_apis.ts';
import { CertifiedPeerApis, identityIn } from '../../../../control/node/tracking/peer_apis.ts';
import { keepingOf } from '../../../../control/node/tracking/picture.ts';
import { LeaderWords, muxOrders } from '../../../../control/node/tracking/sources.ts';
import { type MuxOrders, Tracking, type TrackingOptions } from '../../../../control/node/tracking.ts';
import { MUXES, member, OWN, PERIOD, placement, STATE, version } from './support.ts';

const HEAD = version(6);
const ownedBy = (id: number) =>
  Array.from({ length: 16 }, (_, slot) => slot).find(
    (slot) => slotPlaceOf(HEAD, 7, slot)!.chain!.owner.id === id,
  )!;

const row = (changes: Partial<FlowRow> = {}): FlowRow => ({
  fingerprint: 0xabcn,
  poolId: 7,
  slot: ownedBy(1),
  trackEpoch: 5,
  client: '203.0.113.7',
  backend: 1,
  seenAgoMs: 300,
  idleTime: 19,
  state: 'trusted',
  protocol: 'tcp',
  ...changes,
});

/** Two rows a part. */
const tables = (rows: readonly FlowRow[]): FlowTables => ({
  list: (from) => ({
    rows: rows.slice(from, from + 2),
    next: from + 2 < rows.length ? from + 2 : undefined,
  }),
  lookUp: (fingerprint) => ({ row: rows.find((it) => it.fingerprint === fingerprint), cached: undefined }),
});

const ask = (answers: Record<string, object>): PeerApis => ({
  ask: async ({ node }, command, question) => {
    const found = answers[node];
    if (found === undefined) {
      return { node, failure: new Failure('unavailable', `${node} is away`, { remedy: command }).body };
    }
    return { answer: await question(found as Client) };
  },
});

const EXPLANATION: Explanation = {
  verdict: 'ASK',
  reason: 'ASK',
  meaning: 'the owner is asked',
  service: 'www',
  pool: 'web',
  slot: ownedBy(2),
  hash: '0x0000000000000abc',
  steps: [],
};

function tracking(changes: Partial<TrackingOptions> = {}) {
  const done: unknown[] = [];
  const orders: MuxOrders = {
    drain: async (name) => void done.push(['drain', name]),
    rotateKeys: async () => {
      done.push(['rotateKeys']);
      return rotate(MUXES.ring!, 'BAAAAAAAAAAAAAAAAAAAAA==', 9_500)!;
    },
    undrain: async (name) => void done.push(['undrain', name]),
    forget: async (name, options) => void done.push(['forget', name, options]),
    trusted: (name) => (name === 'joined' ? ['backend'] : undefined),
  };
  const told: string[] = [];
  const made = new Tracking({
    self: 'mux1',
    intent: () => STATE,
    editedRevision: () => 20,
    head: () => HEAD,
    muxes: () => MUXES,
    own: () => OWN,
    refresh: async () => {},
    progress: () => undefined,
    tables: tables([]),
    clients: undefined,
    explain: async () => EXPLANATION,
    askPort: 7445,
    fill: () => ({ flows: { used: 1, max: 2 } }),
    health: () => [],
    apis: ask({}),
    orders,
    times: { handshakeHoldMs: 3_000, settleIdles: 1.1 },
    tell: ({ message }) => void told.push(message),
    nowMs: () => 10_000,
    wallMs: () => 10_000,
    ...changes,
  });
  return { made, done, told };
}

const LOCAL = { limit: 100, local: true };
const check = () => {};
const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: Failure) => error.body,
  );

describe('flows', () => {
  it('are those that this mux owns, in the words of the configuration', async () => {
    const rows = [
      row(),
      row({ slot: ownedBy(2) }),
      row({ trackEpoch: 4 }),
      row({ backend: 2, state: 'nascent' }),
    ];
    const { made } = tracking({ tables: tables(rows) });
    const { items } = await made.flows({ role: 'owner' }, LOCAL);
    expect(items).toMatchObject([
      { services: ['www'], pool: 'web', backend: 'web/b1', isOld: true, role: 'owner', node: 'mux1' },
      { backend: 'web/b2', isOld: false, state: 'nascent' },
    ]);
    expect((await made.flows({}, LOCAL)).items.map(({ role }) => role)).toContain('former');
  });

  it('are selected', async () => {
    const rows = [row(), row({ client: '192.0.2.9' }), row({ backend: 2 }), row({ client: '2001:db8::/32' })];
    const { made } = tracking({ tables: tables(rows) });
    const clients = async (selection: Parameters<typeof made.flows>[0]) =>
      (await made.flows(selection, LOCAL)).items.map(({ client }) => client);
    expect(await clients({ client: '192.0.2.0/24' })).toEqual(['192.0.2.9']);
    expect(await clients({ client: '2001:db8:1::7' })).toEqual(['2001:db8::/32']);
    expect(await clients({ backend: 'web/b2' })).toEqual(['203.0.113.7']);
    expect(await clients({ pool: 'web', slot: 63 })).toEqual([]);
    expect(await clients({ service: 'www', old: true })).toHaveLength(3);
    expect(await failureOf(made.flows({ service: 'nope' }, LOCAL))).toMatchObject({ code: 'not_found' });
    expect(await failureOf(made.flows({ client: '192.0.2.0/33' }, LOCAL))).toMatchObject({
      code: 'invalid',
      message: '"192.0.2.0/33" is no address or prefix of a client.',
    });
  });

  it('come page by page, from one mux after the other', async () => {
    const page: Flows = { items: [], next: 'mux2:9', unanswered: [] };
    const asked: unknown[] = [];
    const mux2 = {
      flows: async (query: object) => {
        asked.push(query);
        return page;
      },
    };
    const { made } = tracking({ tables: tables([row(), row(), row()]), apis: ask({ mux2 }) });
    const first = await made.flows({}, { limit: 2, local: false });
    expect(first).toMatchObject({ items: [{}, {}], next: 'mux1:2' });
    const second = await made.flows({}, { limit: 2, local: false, after: first.next! });
    expect(second).toMatchObject({ items: [{}], next: 'mux2:' });
    expect((await made.flows({}, { limit: 2, local: false, after: 'mux2:' })).next).toBe('mux2:9');
    expect(asked).toEqual([{ limit: 2, local: true }]);
    expect(await made.flows({}, { limit: 2, local: false, after: 'mux3:' })).toMatchObject({
      items: [],
      unanswered: [{ node: 'mux3', failure: { message: 'mux3 is away.', remedy: 'Flows list' } }],
    });
    for (const after of [
      'nonsense',
      'mux9:',
      'mux1:x',
      'mux1:-5',
      'mux1:1e3',
      'mux1:0x10',
      'mux1:99999999999',
    ]) {
      expect(await failureOf(made.flows({}, { limit: 2, local: false, after })), after).toMatchObject({
        code: 'invalid',
      });
    }
  });

  it('are counted, with those of others', async () => {
    const mux2 = {
      topFlows: async () => ({
        groups: [{ name: 'web/b1', flows: 5, old: 5, nascent: 0 }],
        others: { groups: 1, flows: 2 },
      }),
    };
    const { made } = tracking({ tables: tables([row(), row({ backend: 2 })]), apis: ask({ mux2 }) });
    expect(await made.topFlows('backend', {}, { limit: 1, local: false })).toMatchObject({
      flows: 9,
      groups: [{ name: 'web/b1', flows: 6, old: 6 }],
      others: { groups: 2, flows: 3 },
      unanswered: [{ node: 'mux3' }],
    });
  });

  it('need a version', async () => {
    const { made } = tracking({ head: () => undefined });
    expect(await failureOf(made.flows({}, LOCAL))).toMatchObject({ code: 'unavailable' });
  });
});

describe('one flow', () => {
  const NAME = {
    protocol: 'tcp',
    source: '203.0.113.7',
    sourcePort: 5,
    destination: '198.51.100.1',
    destinationPort: 80,
  } as const;

  it('is asked about at its owner and backup', async () => {
    const known = {
      node: 'mux2',
      role: 'owner',
      entry: { backend: 'web/b1', isOld: true, state: 'trusted', seenAgoMs: 1_000 },
    };
    const mux2 = { flow: async () => ({ known: [known] }) };
    const { made } = tracking({ apis: ask({ mux2, mux3: { flow: async () => ({ known: [] }) } }) });
    const found = await made.flow(NAME, { local: false });
    expect(found).toMatchObject({
      flow: '203.0.113.7:5>198.51.100.1:80/tcp',
      tracked: true,
      change: 'web@5',
      step: 'commit',
      current: 'web/b2',
      base: 'web/b1',
      owner: { node: 'mux2', self: false },
      known: [{ node: 'mux1' }, { node: 'mux2' }],
    });
    expect(found.conclusions).toContain(
      'mux2 (owner) has it at web/b1, an old backend: trusted, last seen 1.0 s ago.',
    );
    expect(found.conclusions.at(-1)).toBe('Its next packet here asks mux2 on its way, and goes to web/b1.');
  });

  it('of a clean slot is nowhere', async () => {
    const explain = async (): Promise<Explanation> => ({ ...EXPLANATION, slot: 60, backend: 'web/b1' });
    const found = await tracking({ explain }).made.flow(NAME, { local: false });
    expect(found).toMatchObject({ tracked: false, known: [] });
    expect(found.conclusions).toEqual([
      'Slot 60 of pool web is clean: no state is kept of it, and every mux sends the flow to web/b1.',
    ]);
  });

  it('of no service is not found', async () => {
    const explain = async (): Promise<Explanation> => ({
      verdict: 'PASS',
      reason: 'PASS_NOT_A_SERVICE',
      meaning: 'not ours',
      steps: [],
    });
    expect(await failureOf(tracking({ explain }).made.flow(NAME, { local: true }))).toEqual({
      code: 'not_found',
      message: 'Flow 203.0.113.7:5>198.51.100.1:80/tcp has no slot here.',
      cause: 'PASS_NOT_A_SERVICE: not ours',
      remedy: 'See holdfast services list; holdfast explain says what becomes of the packet',
    });
  });
});

describe('a mux', () => {
  const drain = { undo: false, dryRun: false, force: false, check };

  it('is drained, with what follows; not on a dry run, and not twice', async () => {
    const { made, done } = tracking();
    const { owned, backed } = keepingOf(HEAD).get(2)!;
    expect((await made.drainNode('mux2', drain)).effects[0]).toBe(
      `It hands the flows of ${owned + backed} tracked slots to other muxes before it goes.`,
    );
    await made.drainNode('mux3', { ...drain, dryRun: true });
    expect((await made.drainNode('mux3', { ...drain, undo: true })).action).toBe('none');
    expect(done).toEqual([['drain', 'mux2']]);
  });

  it('that is the last is not drained unless forced', async () => {
    const drains = new Set(['mux2', 'mux3']);
    const { made, done } = tracking({ muxes: () => ({ ...MUXES, drains }) });
    expect(await failureOf(made.drainNode('mux1', drain))).toEqual({
      code: 'unsafe',
      message: 'Node mux1 is the last mux that serves.',
      cause: 'nobody is there to hand its flows to',
      remedy: 'Let another mux join first, or force it',
    });
    await made.drainNode('mux1', { ...drain, force: true });
    expect((await made.drainNode('mux2', { ...drain, undo: true })).action).toBe('undo drain');
    expect(done).toEqual([
      ['drain', 'mux1'],
      ['undrain', 'mux2'],
    ]);
  });

  it('is forgotten where it is gone, or by force', async () => {
    const head = version(7, { members: HEAD.members.slice(0, 2) });
    const registrations = new Map([...MUXES.registrations].slice(0, 2));
    const { made, done } = tracking({ head: () => head, muxes: () => ({ ...MUXES, registrations }) });
    expect(await made.removeNode('mux3', { dryRun: false, force: false, check })).toMatchObject({
      action: 'remove',
      effects: ['mux3 is forgotten, and its id 3 is free.'],
    });
    expect(await failureOf(made.removeNode('mux2', { dryRun: false, force: false, check }))).toEqual({
      code: 'unsafe',
      message: 'Node mux2 is not gone.',
      cause: 'it is a member of the cluster',
      remedy: 'Drain it first: holdfast nodes drain mux2; or force it',
    });
    await made.removeNode('mux2', { dryRun: false, force: true, check });
    expect(done).toEqual([
      ['forget', 'mux3', { id: 3, force: false }],
      ['forget', 'mux2', { id: 2, force: true }],
    ]);
    expect(await failureOf(made.removeNode('nobody', { dryRun: true, force: true, check }))).toMatchObject({
      code: 'not_found',
    });
  });

  it('that has joined, and of which nothing else is known, is forgotten', async () => {
    const { made, done } = tracking();
    expect(await made.removeNode('joined', { dryRun: false, force: false, check })).toMatchObject({
      node: { name: 'joined', roles: ['backend'], state: 'gone' },
      effects: ['joined is forgotten.'],
    });
    expect(done).toEqual([['forget', 'joined', { id: undefined, force: false }]]);
  });

  it('is shut out before the rest of it is deleted, and all of that can be repeated', async () => {
    const done: string[] = [];
    const away = async () => {
      done.push('the rest');
      throw new Failure('unavailable', 'it is away', {});
    };
    const orders = muxOrders(
      { get: away, list: away, txn: away },
      { forget: async (name) => void done.push(`trust in ${name}`), rolesOf: () => undefined },
    );
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(orders.forget('mux3', { id: 3, force: true })).rejects.toThrow('it is away');
    }
    expect(done).toEqual(['trust in mux3', 'the rest', 'trust in mux3', 'the rest']);
  });

  it('that may decide without a deadline is forgotten only by force, which says that it is off', async () => {
    const { name, id, incarnation } = HEAD.members[2]!;
    const gone = [{ name, id, incarnation, isFenced: false, leaseMs: 4_000, aloneAt: 5 }];
    const head = version(7, { members: HEAD.members.slice(0, 2), gone });
    const registrations = new Map([...MUXES.registrations].slice(0, 2));
    const { made, done } = tracking({ head: () => head, muxes: () => ({ ...MUXES, registrations }) });
    expect(await failureOf(made.removeNode('mux3', { dryRun: false, force: false, check }))).toMatchObject({
      code: 'unsafe',
      message: 'Node mux3 was the only mux, and may decide as long as it runs.',
    });
    await made.removeNode('mux3', { dryRun: false, force: true, check });
    expect(done).toEqual([
      ['forget', 'mux3', { id: 3, force: true, isOff: { id, incarnation, leaseMs: 4_000 } }],
    ]);
  });

  it('that is not heard, and heard again, is told of', () => {
    let suspicions = [{ observer: 'mux1', suspect: 'mux2' }];
    const { made, told } = tracking({ muxes: () => ({ ...MUXES, suspicions }) });
    made.look();
    suspicions = [];
    made.look();
    expect(told).toEqual(['mux mux1 does not hear mux2', 'mux mux1 hears mux2']);
  });

  it('is summed up for the status', () => {
    expect(tracking().made.summary()).toMatchObject({
      id: 1,
      state: 'member',
      version: 6,
      head: 6,
      leader: 'mux1',
      members: 3,
      heard: 2,
      changes: [{ id: 'web@5', step: 'commit' }],
    });
    expect(tracking({ own: () => undefined }).made.summary()).toBeUndefined();
  });
});

describe('what the leader says', () => {
  it('is old where it cannot be read, whatever the reason, and that kills nobody', async () => {
    const words = new LeaderWords({
      get: () => Promise.reject(new TypeError('a bug')),
      leader: async () => ({ value: 'mux1', epoch: 1 }),
    });
    await words.refresh();
    expect(words.stale).toContain('a bug');
  });
});

describe('asking another node', () => {
  const question = async () => 'never asked';

  it('needs its API on the network, and a certificate here', async () => {
    const apis = new CertifiedPeerApis(async () => undefined, '0.1.0');
    expect(await apis.ask({ node: 'mux2', api: undefined }, 'flows list', question)).toEqual({
      node: 'mux2',
      failure: {
        code: 'unavailable',
        message: 'Node mux2 could not be asked.',
        cause: 'its API is not on the network',
        remedy:
          'Ask on mux2: holdfast flows list; or give it api.listen with certificates in its holdfastd.yaml',
      },
    });
    expect(await apis.ask({ node: 'mux2', api: '192.0.2.2:7443' }, 'flows list', question)).toMatchObject({
      failure: { cause: 'this node has no certificate to ask with' },
    });
  });

  it('says why it failed', async () => {
    const missing = { certificate: '/nonexistent', key: '/nonexistent', authority: '/nonexistent' };
    const asked = await new CertifiedPeerApis(identityIn(missing), '0').ask(
      { node: 'mux2', api: '192.0.2.2:7443' },
      'x',
      question,
    );
    expect(asked).toMatchObject({ failure: { cause: expect.stringContaining('ENOENT') } });
  });
});

it('says how long steps last by the leader that makes them', async () => {
  const progress = { open: [], more: 0, problems: [], times: { handshakeHoldMs: 70, settleIdles: 2 } };
  const steps = (await tracking({ progress: () => progress }).made.changes()).open[0]!.steps;
  expect(steps.map(({ leastMs }) => leastMs)).toEqual([70, 10_000, 0]);
});

it('says how far a change of keys is, and whom it waits for', async () => {
  const { made, done } = tracking();
  expect(await made.keys()).toEqual({ step: 4, state: 'steady', ageMs: 1_000, lacking: [] });
  expect(await made.rotateKeys()).toEqual({
    step: 5,
    state: 'learning',
    ageMs: 500,
    lacking: ['mux1', 'mux2', 'mux3'],
  });
  expect(done).toEqual([['rotateKeys']]);
  const muxes = () => ({ ...MUXES, ring: undefined });
  expect(await failureOf(tracking({ muxes }).made.keys())).toMatchObject({
    message: 'This node knows of no key yet.',
  });
});

describe('what the doctor is told', () => {
  const of = (made: Tracking) => made.clusterQuestion()!;

  it('is what waits in a change, and for how long', () => {
    let nowMs = 10_000;
    let head = version(6);
    const { made } = tracking({ head: () => head, nowMs: () => nowMs });
    made.look();
    nowMs += 4_000;
    expect(of(made).changes).toMatchObject([
      { id: 'web@5', step: 'commit', forMs: 4_000, lastsMs: 5_500, slots: 16, withoutBackup: 0, copying: [] },
    ]);
    // Its chains change: mux2 is a member no more, and the others have not copied yet.
    const period = { ...PERIOD, chainEpoch: 7 };
    head = version(7, {
      members: [1, 3].map(member),
      placements: new Map([[7, placement({ ...period, candidates: [[{ id: 1, incarnation: 101 }]] })]]),
    });
    made.look();
    nowMs += 3_000;
    expect(of(made).changes).toMatchObject([
      { withoutBackup: 16, copying: [{ name: 'mux1', forMs: 3_000 }] },
    ]);
  });

  it('is who has older keys than the others, and since when', () => {
    let nowMs = 10_000;
    const knownKeys = new Map([...MUXES.knownKeys]).set('mux2', { incarnation: 102, step: 3 });
    const { made } = tracking({ muxes: () => ({ ...MUXES, knownKeys }), nowMs: () => nowMs });
    made.look();
    nowMs += 4_000;
    expect(of(made).keys).toEqual({ step: 4, lacking: [{ name: 'mux2', forMs: 4_000 }] });
    knownKeys.set('mux2', { incarnation: 102, step: 4 });
    made.look();
    expect(of(made).keys).toEqual({ step: 4, lacking: [] });
  });

  it('is who registers and has older keys, for whom the leader waits as for a member', async () => {
    let nowMs = 10_000;
    const next = { ...member(4), leaseMs: 3_000 };
    const muxes = { ...MUXES, registrations: new Map([...MUXES.registrations, ['mux4', next]]) };
    const { made } = tracking({ muxes: () => muxes, nowMs: () => nowMs });
    made.look();
    nowMs += 4_000;
    expect(of(made).keys).toEqual({ step: 4, lacking: [{ name: 'mux4', forMs: 4_000 }] });
    expect((await made.keys()).lacking).toEqual(['mux4']);
  });

  it('does not follow from the time of day, which may be set meanwhile', async () => {
    let nowMs = 10_000;
    let wallMs = 1_700_000_000_000;
    let head = version(6);
    const { made } = tracking({ head: () => head, nowMs: () => nowMs, wallMs: () => wallMs });
    made.look();
    nowMs += 4_000;
    wallMs -= 3_600_000;
    expect(of(made).changes).toMatchObject([{ id: 'web@5', forMs: 4_000 }]);
    head = version(7, { placements: new Map([[7, placement()]]) });
    made.look();
    const { atMs, finished } = await made.changes();
    expect(atMs).toBe(wallMs);
    expect(finished).toMatchObject([{ id: 'web@5', tookMs: 4_000, finishedAtMs: wallMs }]);
  });
});
