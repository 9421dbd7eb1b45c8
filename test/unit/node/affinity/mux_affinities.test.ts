// What a mux answers about clients with affinity, from its own table and those of others, and how it lets one go.
import { describe, expect, it } from 'vitest';
import type { Client } from '../../../../control/api/client.ts';
import type { AffinityRelease, FlowKnowledge } from '../../../../control/api/schema.ts';
import type { Version } from '../../../../control/cluster/version.ts';
import type { ClusterState } from '../../../../control/config/cluster_state.ts';
import { slotOf } from '../../../../control/dataplane/flow_table.ts';
import { Failure } from '../../../../control/lib/failure.ts';
import { KnownAffinities } from '../../../../control/node/affinity/affinities.ts';
import type { ClientTables } from '../../../../control/node/affinity/client_keys.ts';
import {
  MuxAffinities,
  type MuxAffinitiesOptions,
} from '../../../../control/node/affinity/mux_affinities.ts';
import { slotPlaceOf } from '../../../../control/node/tracking/flow_report.ts';
import type { FlowRow, FlowTables } from '../../../../control/node/tracking/flow_table.ts';
import type { PeerApis } from '../../../../control/node/tracking/peer_apis.ts';
import { PERIOD, picture, placement, SLOTS, STATE, version } from '../tracking/support.ts';

const TIMEOUT_MS = 1_200_000;
const affinity = { prefixLength4: 32, prefixLength6: 64 };
const www = STATE.services.get('www')!;
const services: ClusterState['services'] = new Map([
  ['www', { ...www, addresses: ['198.51.100.1', '2001:db8::1'], affinity, idleTimeoutMs: TIMEOUT_MS }],
  ['plain', { ...www, name: 'plain', addresses: ['198.51.100.2'] }],
]);
const INTENT: ClusterState = { ...STATE, services };
const head = (changes: Partial<Version> = {}): Version =>
  version(6, { objects: { ...STATE, services, revision: 20 }, ...changes });
const HEAD = head();

/** A fingerprint that falls into a slot. */
const hashIn = (slot: number): bigint => (BigInt(Math.ceil((slot * 2 ** 32) / SLOTS)) << 32n) | 0xabcn;
const owned = (owner: number, backup: number) =>
  Array.from({ length: 16 }, (_, slot) => slot).find((slot) => {
    const chain = slotPlaceOf(HEAD, 7, slot)!.chain!;
    return chain.owner.id === owner && chain.backup!.id === backup;
  })!;
/** Of a slot that is moved: who owns it. */
const MINE = owned(1, 2);
const THEIRS = owned(2, 3);
const CLEAN_SLOT = 60;

const row = (changes: Partial<FlowRow> = {}): FlowRow => ({
  fingerprint: hashIn(MINE),
  poolId: 7,
  slot: MINE,
  trackEpoch: 5,
  client: '203.0.113.7',
  backend: 1,
  seenAgoMs: 60_000,
  idleTime: Math.ceil((TIMEOUT_MS * 1e6) / 2 ** 28),
  state: 'trusted',
  protocol: 'tcp',
  isOfClient: true,
  ...changes,
});

type Setting = {
  /** That the client has at every service. */
  readonly slot?: number;
  readonly rows?: readonly FlowRow[];
  readonly peers?: Record<string, object>;
  readonly outcome?: AffinityRelease['items'][number]['outcome'];
  readonly changes?: Partial<MuxAffinitiesOptions>;
  readonly head?: Version;
};

function affinities({
  slot = MINE,
  rows = [],
  peers = {},
  outcome = 'released',
  changes = {},
  head = HEAD,
}: Setting = {}) {
  const told: string[] = [];
  const done: string[] = [];
  const clients: ClientTables = {
    name: ({ address }, client) => {
      if (address.includes(':') !== client.includes(':')) return undefined;
      return address.includes(':')
        ? { fingerprint: hashIn(slot), poolId: 7, slot, client: '2001:db8:c::', prefixLength: 64 }
        : { fingerprint: hashIn(slot), poolId: 7, slot, client, prefixLength: 32 };
    },
    release: ({ fingerprint, client, ipVersion }) => {
      done.push(`mux1 ${slotOf(fingerprint, SLOTS)} ${[...client].join('.')} ${ipVersion}`);
      return outcome;
    },
  };
  const flowTables: FlowTables = {
    list: () => ({ rows, next: undefined }),
    lookUp: (fingerprint) => ({ row: rows.find((it) => it.fingerprint === fingerprint), cached: undefined }),
  };
  const apis: PeerApis = {
    ask: async ({ node }, command, question) => {
      const found = peers[node];
      if (found === undefined) {
        const failure = new Failure('unavailable', `node ${node} could not be asked`, {
          reason: 'its API is not on the network',
          remedy: `ask on ${node}: holdfast ${command}`,
        });
        return { node, failure: failure.body };
      }
      done.push(`${node} ${command}`);
      return { answer: await question(found as Client) };
    },
  };
  const others = ['mux2', 'mux3'].map((node) => ({ node, api: `${node}:7443` }));
  const muxes = new MuxAffinities({
    place: () => ({ version: head, node: { name: 'mux1', id: 1 }, tables: flowTables, others, apis }),
    picture: () => picture({ head, intent: INTENT }),
    history: { seen: () => ({ sinceMs: 4_000, isWhole: true, steps: [], slots: 16 }) },
    ages: { sinceMs: (_, slot) => (slot === CLEAN_SLOT ? 2_000 : undefined), beganMs: 1_000 },
    tables: clients,
    peers: () => others,
    apis,
    tell: ({ kind, message }) => void told.push(`${kind}: ${message}`),
    ...changes,
  });
  const made = new KnownAffinities(() => [muxes]);
  return { made, told, done };
}

const HERE = { local: false };
const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: Failure) => error.body,
  );
const answering = (known: readonly FlowKnowledge[]) => ({
  affinity: async () => ({
    client: '203.0.113.7',
    items: [{ service: 'www', address: '198.51.100.1', known }],
    unanswered: [],
  }),
});
const saying = (node: string, role: FlowKnowledge['role'], backend?: string): FlowKnowledge => ({
  node,
  role,
  ...(backend !== undefined && {
    entry: { backend, isOld: true, state: 'trusted', seenAgoMs: 1_000, idleTimeoutMs: TIMEOUT_MS } as never,
  }),
});

describe('a client that is explained', () => {
  it('of a clean slot is answered by its hash, and by another backend if that one left', async () => {
    const { items } = await affinities({ slot: CLEAN_SLOT }).made.explain('203.0.113.7', HERE);
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({
      client: '203.0.113.7',
      service: 'www',
      address: '198.51.100.1',
      rule: 'clean',
      backend: 'web/b1',
      timeoutMs: TIMEOUT_MS,
      since: { what: 'the slot went to that backend', agoMs: 8_000 },
      known: [],
      leaving: { backend: 'web/b1', to: 'web/b2', drained: 'kept', dead: 'moved' },
    });
    expect(items[0]).not.toHaveProperty('timeoutLeftMs');
    expect(items[0]!.conclusions).toEqual([
      'Slot 60 of pool web is clean: nothing is recorded, and every mux sends this client to web/b1, by its hash alone.',
      'That lasts until the slot gets another backend: nobody counts a timeout.',
      'If web/b1 were drained, it would keep the client until that has been silent for 20 min; then web/b2 answers it.',
      'If web/b1 died, or were removed at once, web/b2 answers it at once, and its open connections are lost.',
    ]);
  });

  it('has had its backend for longer than this node looks, where the slot has not moved since', async () => {
    const { items } = await affinities({ slot: CLEAN_SLOT + 1 }).made.explain('203.0.113.7', HERE);
    expect(items[0]!.since).toEqual({ what: 'longer than this node looks, which began', agoMs: 9_000 });
  });

  it('is not touched by a backend that is not its own', async () => {
    const { items } = await affinities({ slot: CLEAN_SLOT }).made.explain('203.0.113.7', {
      ...HERE,
      without: 'web/b2',
    });
    expect(items[0]!.leaving).toEqual({
      backend: 'web/b2',
      to: 'web/b1',
      drained: 'unchanged',
      dead: 'unchanged',
    });
    expect(items[0]!.conclusions.at(-1)).toBe(
      'If web/b2 left, nothing would change for it. It stays with web/b1.',
    );
  });

  it('is where this mux has recorded it, for as long as its timeout says', async () => {
    const peers = { mux2: answering([saying('mux2', 'backup', 'web/b1')]) };
    const { items, unanswered } = await affinities({ rows: [row()], peers }).made.explain(
      '203.0.113.7',
      HERE,
    );
    expect(unanswered).toEqual([]);
    expect(items[0]).toMatchObject({
      rule: 'recorded',
      backend: 'web/b1',
      current: 'web/b2',
      base: 'web/b1',
      change: 'web@5',
      step: 'commit',
      since: { what: 'change web@5 began', agoMs: 6_000 },
      // The backup has seen it since.
      timeoutLeftMs: TIMEOUT_MS - 1_000,
      owner: { node: 'mux1', self: true },
      backup: { node: 'mux2' },
      known: [{ node: 'mux1', role: 'owner' }, { node: 'mux2' }],
    });
    expect(items[0]!.conclusions).toContain(
      'web/b1 keeps it for as long as it is not silent for 20 min: for 20 min more, if it sends nothing.',
    );
  });

  it('is where its owner says, or the backup where the owner cannot be asked', async () => {
    const owner = {
      mux2: answering([saying('mux2', 'owner', 'web/b1')]),
      mux3: answering([saying('mux3', 'backup')]),
    };
    const { items } = await affinities({ slot: THEIRS, peers: owner }).made.explain('203.0.113.7', HERE);
    expect(items[0]).toMatchObject({ rule: 'recorded', backend: 'web/b1' });
    const backup = { mux3: answering([saying('mux3', 'backup', 'web/b1')]) };
    const found = await affinities({ slot: THEIRS, peers: backup }).made.explain('203.0.113.7', HERE);
    expect(found.items[0]).toMatchObject({ rule: 'recorded', backend: 'web/b1' });
    expect(found.unanswered).toMatchObject([
      { node: 'mux2', failure: { remedy: 'Ask on mux2: holdfast affinity explain 203.0.113.7' } },
    ]);
    const nobody = await affinities({ slot: THEIRS }).made.explain('203.0.113.7', HERE);
    expect(nobody.items[0]).toMatchObject({ rule: 'unknown' });
    expect(nobody.items[0]).not.toHaveProperty('backend');
    expect(nobody.unanswered).toHaveLength(2);
  });

  it('that nobody has recorded goes to base: it may have been there before', async () => {
    const { items } = await affinities({ peers: { mux2: answering([]) } }).made.explain('203.0.113.7', HERE);
    expect(items[0]).toMatchObject({ rule: 'base', backend: 'web/b1', current: 'web/b2' });
    expect(items[0]!.conclusions).toContain(
      'Nobody has recorded it yet. It may have been there before, so it goes to web/b1, and is recorded there with its next packet.',
    );
  });

  it('of a settled slot is new once nobody has recorded it', async () => {
    const settled = { ...placement({ ...PERIOD, step: 'settle' }), base: placement(PERIOD).current };
    const { items } = await affinities({
      head: head({ placements: new Map([[7, settled]]) }),
      peers: { mux2: answering([]) },
    }).made.explain('203.0.113.7', HERE);
    expect(items[0]).toMatchObject({ rule: 'base', backend: 'web/b2' });
  });

  it('shares its prefix where the service has it', async () => {
    const { made } = affinities({ slot: CLEAN_SLOT });
    for (const client of ['2001:db8:c::9', '2001:db8:c::/64']) {
      const { items } = await made.explain(client, HERE);
      expect(items, client).toMatchObject([{ client: '2001:db8:c::/64', address: '2001:db8::1' }]);
    }
    expect(await failureOf(made.explain('2001:db8:c::/56', HERE))).toMatchObject({ code: 'not_found' });
  });

  it.each([
    ['not_found', '203.0.113.7', { service: 'nope' }, 'There is no service nope in the version in effect.'],
    ['unsupported', '203.0.113.7', { service: 'plain' }, 'Service plain has no client affinity.'],
    ['not_found', '203.0.113.7', { without: 'web/b9' }, 'There is no backend web/b9.'],
    ['invalid', '203.0.113.256', {}, '"203.0.113.256" is no client.'],
    ['invalid', '203.0.113.7/33', {}, '"203.0.113.7/33" is no client.'],
    ['invalid', '203.0.113.7/0', {}, '"203.0.113.7/0" is no client.'],
    ['invalid', 'www', {}, '"www" is no client.'],
  ])('is refused, %s: %s %j', async (code, client, options, message) => {
    const { made } = affinities({ slot: CLEAN_SLOT });
    expect(await failureOf(made.explain(client, { ...HERE, ...options }))).toMatchObject({ code, message });
  });

  it('is asked for at a mux where this node is none', async () => {
    const there = { client: '203.0.113.7', items: [], unanswered: [] };
    const { made } = affinities({
      changes: { tables: undefined },
      peers: {
        mux3: { affinity: async (client: string, options: object) => ({ ...there, client, options }) },
      },
    });
    expect(await made.explain('203.0.113.7', { ...HERE, service: 'www' })).toMatchObject({
      client: '203.0.113.7',
    });
    expect(
      await failureOf(affinities({ changes: { tables: undefined } }).made.explain('203.0.113.7', HERE)),
    ).toMatchObject({
      code: 'unavailable',
      message: 'This node is no mux, and no mux could be asked.',
      remedy: 'Ask on mux2: holdfast affinity explain 203.0.113.7',
    });
  });
});

describe('clients that are listed', () => {
  it('are those of tables, each with the service whose key it has', async () => {
    const rows = [
      row(),
      row({ fingerprint: hashIn(MINE) ^ 1n, client: '203.0.113.8' }),
      row({ isOfClient: false }),
    ];
    const { items, next } = await affinities({ rows }).made.list({}, { limit: 10, local: true });
    expect(items).toMatchObject([
      {
        client: '203.0.113.7',
        services: ['www'],
        address: '198.51.100.1',
        rule: 'recorded',
        backend: 'web/b1',
        isOld: true,
        seenAgoMs: 60_000,
        node: 'mux1',
      },
      // Of another address of the service, or one that this node does not have yet.
      { client: '203.0.113.8', services: ['www'] },
    ]);
    expect(items[1]).not.toHaveProperty('address');
    expect(next).toBeUndefined();
  });

  it('are of other muxes on further pages', async () => {
    const flows = async ({ key, role }: { key: string; role: string }) => {
      expect({ key, role }).toEqual({ key: 'client', role: 'owner' });
      return { items: [], unanswered: [] };
    };
    const { made } = affinities({ rows: [row()], peers: { mux2: { flows }, mux3: { flows } } });
    const first = await made.list({}, { limit: 10, local: false });
    expect(first.next).toBe('mux.mux2:');
    expect((await made.list({}, { limit: 10, local: false, after: first.next! })).next).toBe('mux.mux3:');
    expect(await failureOf(made.list({}, { limit: 10, local: false, after: 'filter.' }))).toMatchObject({
      code: 'invalid',
    });
  });

  it('are looked up where one is named, recorded or not', async () => {
    const { made } = affinities({ slot: CLEAN_SLOT });
    expect((await made.list({ client: '203.0.113.7' }, { limit: 10, local: false })).items).toMatchObject([
      { client: '203.0.113.7', rule: 'clean', backend: 'web/b1', isOld: false, services: ['www'] },
    ]);
    const other = await made.list({ client: '203.0.113.7', backend: 'web/b2' }, { limit: 10, local: false });
    expect(other.items).toEqual([]);
  });
});

describe('a client that is let go', () => {
  const FORCED = { dryRun: false, force: true, local: false };
  const released = {
    releaseAffinity: async () => ({
      items: [{ service: 'www', address: '198.51.100.1', outcome: 'released' }],
    }),
  };
  const peers = {
    mux2: { ...answering([saying('mux2', 'owner', 'web/b1')]), ...released },
    mux3: { ...answering([saying('mux3', 'backup', 'web/b1')]), ...released },
  };

  it('goes there at its owner first, then at the backup, then in every cache', async () => {
    const { made, done, told } = affinities({ slot: THEIRS, peers });
    const answer = await made.release('203.0.113.7', FORCED);
    expect(answer).toMatchObject({
      action: 'release',
      items: [{ service: 'www', from: 'web/b1', to: 'web/b2', outcome: 'released' }],
      unanswered: [],
    });
    const order = done.filter((it) => !it.includes('explain')).map((it) => it.split(' ')[0]);
    expect(order).toEqual(['mux2', 'mux3', 'mux1', 'mux2', 'mux3']);
    expect(done).toContain(`mux1 ${THEIRS} 203.0.113.7 4`);
    expect(told).toEqual(['affinity: client 203.0.113.7 was let go: www from web/b1 to web/b2']);
  });

  it('needs force, for its connections break; and changes nothing on a dry run', async () => {
    const { made, done } = affinities({ slot: THEIRS, peers });
    const reason =
      'For service www at 198.51.100.1 it goes from web/b1 to web/b2: its next new connection opens there, and open ones break.';
    expect(await failureOf(made.release('203.0.113.7', { ...FORCED, force: false }))).toEqual({
      code: 'unsafe',
      message: 'Client 203.0.113.7 may have open connections, which would break.',
      cause: reason,
      remedy: 'Wait until it is silent for the timeout (holdfast affinity explain), or force it',
    });
    expect(await made.release('203.0.113.7', { ...FORCED, dryRun: true })).toMatchObject({
      dryRun: true,
      action: 'release',
      effects: [reason],
    });
    expect(done.filter((it) => !it.includes('explain'))).toEqual([]);
  });

  it('needs no force where it has been silent for its timeout', async () => {
    const { made } = affinities({
      rows: [row({ seenAgoMs: TIMEOUT_MS + 1 })],
      peers: { mux2: { ...answering([]), ...released } },
    });
    expect(await made.release('203.0.113.7', { ...FORCED, force: false })).toMatchObject({
      action: 'release',
    });
  });

  it('stays where it is where its owner cannot be asked; others are named', async () => {
    const backup = { mux3: peers.mux3 };
    const away = affinities({ slot: THEIRS, peers: backup });
    expect(await failureOf(away.made.release('203.0.113.7', FORCED))).toMatchObject({
      code: 'unavailable',
      message: 'The client stays where it is: mux2, which decides about it, could not be asked.',
    });
    expect(away.done.filter((it) => !it.includes('explain'))).toEqual([]);
    const owner = { mux2: peers.mux2 };
    const { unanswered } = await affinities({ slot: THEIRS, peers: owner }).made.release(
      '203.0.113.7',
      FORCED,
    );
    expect(unanswered).toMatchObject([{ node: 'mux3' }]);
  });

  it('has nothing to be let go of where it is with the current backend', async () => {
    for (const setting of [{ slot: CLEAN_SLOT }, { rows: [row({ backend: 2 })] }]) {
      const { made, done } = affinities(setting);
      const answer = await made.release('203.0.113.7', { ...FORCED, force: false });
      expect(answer).toMatchObject({ action: 'none', items: [] });
      expect(done.filter((it) => it.startsWith('mux1'))).toEqual([]);
    }
  });

  it('is not where there is no place to remember it', async () => {
    const { made } = affinities({
      rows: [row()],
      outcome: 'full',
      peers: { mux2: { ...answering([]), ...released } },
    });
    expect(await failureOf(made.release('203.0.113.7', FORCED))).toMatchObject({ code: 'limit' });
  });

  it('at another node: only its own part, and only for muxes of the cluster', async () => {
    const { made, done } = affinities({ rows: [row()] });
    const part = { dryRun: false, force: true, local: true };
    expect(await failureOf(made.release('203.0.113.7', { ...part, peer: 'server1' }))).toMatchObject({
      code: 'forbidden',
      message: 'Node server1 is no mux of the cluster.',
    });
    expect(done).toEqual([]);
    expect(await made.release('203.0.113.7', { ...part, peer: 'mux2' })).toMatchObject({
      items: [{ service: 'www', address: '198.51.100.1', outcome: 'released' }],
    });
    expect(done).toEqual([`mux1 ${MINE} 203.0.113.7 4`]);
  });

  it('is let go by muxes alone', async () => {
    const { made } = affinities({ changes: { tables: undefined } });
    expect(await failureOf(made.release('203.0.113.7', FORCED))).toMatchObject({
      code: 'unsupported',
      remedy: 'On a mux (mux2, mux3): holdfast affinity release 203.0.113.7',
    });
  });
});
