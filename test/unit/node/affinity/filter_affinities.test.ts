// What a server that hears every packet answers about clients, from its own table and those of others, and how it lets one
// go.
import { describe, expect, it } from 'vitest';
import type { Client } from '../../../../control/api/client.ts';
import type { AffinityServer } from '../../../../control/api/schema.ts';
import type { Version } from '../../../../control/cluster/version.ts';
import type { ClusterState } from '../../../../control/config/cluster_state.ts';
import { Failure } from '../../../../control/lib/failure.ts';
import { FilterAffinities, type FilterClients } from '../../../../control/node/affinity/filter_affinities.ts';
import type { PeerApis } from '../../../../control/node/tracking/peer_apis.ts';
import { member, OWN, PERIOD, picture, placement, SLOTS, STATE, version } from '../tracking/support.ts';

const CLIENT = '203.0.113.7';
const TIMEOUT_MS = 60_000;
/** Moves from server s65 to s66. */
const MOVED = 3;
const CLEAN = 40;
const ids = [65, 66, 67];
const servers = ids.map((id) => ({ ...member(id), name: `s${id}` }));

const INTENT: ClusterState = {
  ...STATE,
  pools: new Map([['web', { ...STATE.pools.get('web')!, delivery: 'filter' }]]),
  services: new Map([
    [
      'www',
      {
        ...STATE.services.get('www')!,
        affinity: { prefixLength4: 32, prefixLength6: 128 },
        idleTimeoutMs: TIMEOUT_MS,
      },
    ],
  ]),
  backends: new Map(
    ids.map((id, index) => [
      `web/b${index + 1}`,
      {
        ...STATE.backends.get('web/b1')!,
        name: `b${index + 1}`,
        address: `192.0.2.${id}`,
        index: index + 1,
      },
    ]),
  ),
  tables: new Map([
    ['web', { slots: Uint16Array.from({ length: SLOTS }, (_, slot) => (slot < 16 ? 2 : 1)), modRevision: 1 }],
  ]),
};
const MOVES = placement({ ...PERIOD, candidates: [servers.slice(0, 1)] });
const HEAD: Version = version(6, {
  members: servers,
  objects: { ...INTENT, revision: 20 },
  placements: new Map([[7, MOVES]]),
});

const held = { isProven: true, seenAgoMs: 20_000, leftMs: 40_000 };
const remote = (node: string, part: AffinityServer['part'], more: Partial<AffinityServer> = {}) => ({
  affinity: async () => ({
    client: CLIENT,
    items: [{ service: 'www', address: '198.51.100.1', servers: [{ node, part, holds: false, ...more }] }],
    unanswered: [],
  }),
  releaseAffinity: async () => ({}),
});

/** This is s66, the current server of the moved slots. */
function affinities({
  slot = MOVED,
  here = {},
  peers = {},
}: {
  readonly slot?: number;
  readonly here?: ReturnType<FilterClients['lookUp']>;
  readonly peers?: Readonly<Record<string, object>>;
}) {
  const done: string[] = [];
  const tables: FilterClients = {
    name: (_, client) => ({
      fingerprint: BigInt(Math.ceil((slot * 2 ** 32) / SLOTS)) << 32n,
      ...{ poolId: 7, slot, client, prefixLength: 32 },
    }),
    lookUp: () => here,
    list: () => ({
      next: undefined,
      items: [{ fingerprint: 0xabn, poolId: 7, slot: CLEAN, ...held }],
    }),
    release: () => {
      done.push('s66');
      return true;
    },
  };
  const apis: PeerApis = {
    ask: async ({ node }, command, question) => {
      const found = peers[node];
      if (found !== undefined) {
        if (command.includes('release')) done.push(node);
        return { answer: await question(found as Client) };
      }
      return { node, failure: new Failure('unavailable', `node ${node} could not be asked`, {}).body };
    },
  };
  const made = new FilterAffinities({
    head: () => HEAD,
    picture: () => ({
      ...picture({ head: HEAD, intent: INTENT }),
      self: 's66',
      own: { ...OWN, id: 66 },
    }),
    ages: { sinceMs: () => undefined, beganMs: 1_000 },
    tables,
    peers: () => ['s65', 's67'].map((node) => ({ node, api: `${node}:7443` })),
    apis,
    tell: () => {},
  });
  return { made, done };
}

const explained = async (setting: Parameters<typeof affinities>[0], without?: string) =>
  (await affinities(setting).made.explain(CLIENT, { without, local: false })).items[0]!;

describe('a client of servers that all hear', () => {
  it('is answered by the hash alone where its slot is clean', async () => {
    const found = await explained({ slot: CLEAN });
    expect(found).toMatchObject({ rule: 'clean', source: 'filter', backend: 'web/b1', current: 'web/b1' });
    expect(found.leaving).toMatchObject({ backend: 'web/b1', drained: 'kept', dead: 'moved' });
    expect(found.conclusions[0]).toBe(
      'Slot 40 of pool web is clean: web/b1 answers this client, and every other server drops it by its hash alone.',
    );
  });

  it('is answered by the holder that has it, which says until when', async () => {
    const peers = {
      s65: remote('s65', 'holder', { holds: true, state: 'proven', seenAgoMs: 20_000, leftMs: 40_000 }),
    };
    const found = await explained({ peers });
    expect(found).toMatchObject({
      ...{ rule: 'recorded', backend: 'web/b1', current: 'web/b2', timeoutLeftMs: 40_000 },
      leaving: { backend: 'web/b1', to: 'web/b2', drained: 'kept', dead: 'moved' },
    });
    expect(found.servers).toHaveLength(2);
    expect(found.conclusions.join(' ')).toContain('s65 (may have clients of before) has a session of it');
  });

  it('is where another server has learnt that it is', async () => {
    const found = await explained({ here: { foreign: { server: 65, leftMs: 9_000 } } });
    expect(found).toMatchObject({ rule: 'recorded', backend: 'web/b1' });
    expect(found.conclusions.join(' ')).toContain('s66 has learnt that s65 has it');
  });

  it('goes to the current server where nobody has it, and is not known where not all could be asked', async () => {
    expect(await explained({ peers: { s65: remote('s65', 'base') } })).toMatchObject({
      rule: 'base',
      backend: 'web/b2',
    });
    const { rule, backend } = await explained({});
    expect([rule, backend]).toEqual(['unknown', undefined]);
  });

  it('is let go by who has it first, and forgotten by who has learnt of that', async () => {
    const peers = {
      s65: remote('s65', 'holder', { holds: true, state: 'proven', seenAgoMs: 1, leftMs: 2 }),
      s67: remote('s67', 'other'),
    };
    const { made, done } = affinities({ peers });
    const options = { service: undefined, dryRun: false, local: false };
    await expect(made.release(CLIENT, { ...options, force: false })).rejects.toThrow(
      'may have a session, which would be lost',
    );
    expect(done).toEqual([]);
    const answer = await made.release(CLIENT, { ...options, force: true });
    expect(done).toEqual(['s65', 's67', 's66']);
    expect(answer.items).toEqual([
      { service: 'www', address: '198.51.100.1', from: 'web/b1', to: 'web/b2', outcome: 'released' },
    ]);
  });

  it('is listed by its hash, by each server its own', async () => {
    const list = async (after?: string) =>
      await affinities({}).made.list({}, { limit: 10, local: false, ...(after !== undefined && { after }) });
    const first = await list();
    expect(first).toMatchObject({
      items: [{ client: '#00000000000000ab', slot: CLEAN, backend: 'web/b2', isOld: true, node: 's66' }],
      next: '1.',
    });
    expect((await list(first.next)).unanswered).toMatchObject([{ node: 's65' }]);
    expect((await list('2.')).next).toBeUndefined();
  });
});
