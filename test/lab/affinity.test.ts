// A client with affinity, with several connections and ports, while backends come and go: one server has all of it, and
// any mux says which, why, and for how long.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AffinityReport } from '../../control/api/schema.ts';
import { holdfast, told } from './command.ts';
import { documentOf, POOL, WEIGHT } from './configuration.ts';
import type { Lab, LabMux } from './lab.ts';
import { PeerApis } from './peer_apis.ts';
import { eventually, raiseTestLab, removeTestLab } from './support.ts';

const CONNECTIONS = 24;
const REQUESTS = 40;
/** Of the services. */
const TIMEOUT_MS = 3_000;
const CHANGE_LIMIT_MS = 60_000;
/** Every port: echo connections and requests have one key. */
const SERVICE = 'whole';

let lab: Lab;
/** Of each family: where the client is, and what it talks to. */
let ends: readonly { readonly client: string; readonly address: string }[];

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1, muxes: 2, backends: 4 });
  await PeerApis.open(lab);
  const [client] = lab.plan.clients;
  ends = [
    { client: client!.address4, address: lab.plan.services4[1]! },
    { client: client!.address6, address: lab.plan.services6[1]! },
  ];
  // Another flow key is another slot for every flow there may be.
  await lab.apply(weighted({}), { force: true });
  // The last one comes later. What it had is tracked for the timeout of before, so that comes first.
  await lab.apply(weighted({ [nameOf(3)]: 0 }));
  for (const { daemon } of lab.muxes)
    await eventually(
      async () => ((await daemon.client.changes()).open.length === 0 ? true : undefined),
      `${daemon.place.name} without slots that are tracked`,
      CHANGE_LIMIT_MS,
    );
  const agent = await lab.client();
  const addresses = ends.map(({ address }) => address);
  await agent.call('hold', { addresses, connections: CONNECTIONS, chunkBytes: 500, intervalMs: 50 });
});
afterAll(async () => {
  await removeTestLab(lab);
});

const first = (): LabMux => lab.muxes[0]!;
const second = (): LabMux => lab.muxes[1]!;
const nameOf = (index: number): string => lab.plan.backends[index]!.name;

function weighted(weights: Readonly<Record<string, number>>) {
  const document = documentOf(lab.plan);
  return {
    ...document,
    services: document.services.map((it) => ({
      ...it,
      affinity: { prefixLength4: 32, prefixLength6: 128 },
      idleTimeoutMs: TIMEOUT_MS,
    })),
    backends: document.backends.map((it) => ({ ...it, weight: weights[it.name] ?? WEIGHT })),
  };
}

/** The client's backend at an address, by its open connections and by new ones. There is only one. */
async function backendOf({ address }: (typeof ends)[number]): Promise<string> {
  const agent = await lab.client();
  const held = await agent.call('heldConnections', {});
  const open = new Set(held.filter((it) => it.destination === address).map(({ backend }) => backend));
  const { failures, perBackend } = await agent.call('requests', {
    addresses: [address],
    count: REQUESTS,
    concurrency: 4,
    timeoutMs: 5_000,
  });
  expect(failures).toEqual({});
  const all = new Set([...open, ...Object.keys(perBackend)]);
  expect([...all], `${address} has one backend`).toHaveLength(1);
  return [...all][0]!;
}

async function explained(mux: LabMux, { client, address }: (typeof ends)[number]): Promise<AffinityReport> {
  const { items, unanswered } = await mux.daemon.client.affinity(client, { service: SERVICE });
  expect(unanswered).toEqual([]);
  return items.find((it) => it.address === address)!;
}

/** As soon as both muxes say so. */
const explains = (end: (typeof ends)[number], wanted: Partial<AffinityReport>) =>
  eventually(
    async () => {
      const found = await Promise.all(lab.muxes.map((mux) => explained(mux, end)));
      const isSo = (it: AffinityReport) =>
        Object.entries(wanted).every(([key, value]) => it[key as keyof AffinityReport] === value);
      return found.every(isSo) ? found : undefined;
    },
    `${end.client} explained as ${JSON.stringify(wanted)}`,
    CHANGE_LIMIT_MS,
  );

describe('a client with several ports and connections', () => {
  let own: readonly string[];

  it('has one backend, which its hash says on every mux', async () => {
    own = [await backendOf(ends[0]!), await backendOf(ends[1]!)];
    for (const [index, end] of ends.entries())
      for (const mux of lab.muxes)
        expect(await explained(mux, end)).toMatchObject({
          client: end.client,
          rule: 'clean',
          backend: `${POOL}/${own[index]}`,
          leaving: { backend: `${POOL}/${own[index]}`, drained: 'kept', dead: 'moved' },
        });
  });

  it('keeps it while that is drained and others come, for connections that it opens later too', async () => {
    const drained = Object.fromEntries(own.map((name) => [name, 0]));
    await lab.apply(weighted(drained));
    for (const [index, end] of ends.entries()) {
      const backend = `${POOL}/${own[index]}`;
      expect(await backendOf(end)).toBe(own[index]);
      const found = await explains(end, { rule: 'recorded', backend, step: 'settle' });
      for (const it of found) {
        expect(it.current).not.toBe(backend);
        expect(it.timeoutLeftMs).toBeGreaterThan(0);
        expect(it.timeoutLeftMs).toBeLessThanOrEqual(TIMEOUT_MS);
        expect(it.known.map(({ role }) => role).sort()).toEqual(['backup', 'owner']);
      }
      expect(await backendOf(end)).toBe(own[index]);
    }
    const agent = await lab.client();
    expect(await agent.call('heldStatus', {})).toMatchObject({ held: CONNECTIONS, broken: 0 });
  });

  it('is listed at either mux, with its backend', async () => {
    const backend = `${POOL}/${own[0]}`;
    for (const { daemon } of lab.muxes) {
      const { stdout } = await holdfast(
        `affinity list --service ${SERVICE} --backend ${backend} --json --socket ${daemon.place.socket}`,
      );
      const { items, unanswered } = JSON.parse(stdout);
      expect(unanswered).toEqual([]);
      expect(items).toContainEqual(
        expect.objectContaining({ client: ends[0]!.client, services: [SERVICE], backend, isOld: true }),
      );
      const one = await holdfast(`affinity list --client ${ends[1]!.client} --socket ${daemon.place.socket}`);
      expect(one.stdout).toContain(`${POOL}/${own[1]} (old)`);
    }
  });

  it('keeps it when a second change comes before the first has ended', async () => {
    const [mine, other] = [own[0]!, lab.plan.backends.find(({ name }) => !own.includes(name))!.name];
    await lab.apply(weighted({ ...Object.fromEntries(own.map((name) => [name, 0])), [other]: WEIGHT / 10 }));
    await explains(ends[0]!, { rule: 'recorded', backend: `${POOL}/${mine}` });
    for (const [index, end] of ends.entries()) expect(await backendOf(end)).toBe(own[index]);
    const agent = await lab.client();
    expect(await agent.call('heldStatus', {})).toMatchObject({ held: CONNECTIONS, broken: 0 });
  });
});

describe('a client that is let go', () => {
  const release = (more = '') =>
    holdfast(
      `affinity release ${ends[0]!.client} --service ${SERVICE}${more} --socket ${second().daemon.place.socket}`,
    );

  it('is not where that may break connections, unless it is forced', async () => {
    const { backend, current } = await explained(first(), ends[0]!);
    const what = `For service ${SERVICE} at ${ends[0]!.address} it goes from ${backend} to ${current}: its next new connection opens there, and open ones break.`;
    expect(await release()).toEqual({
      exit: 73,
      stdout: '',
      stderr: told(
        `Client ${ends[0]!.client} may have open connections, which would break.`,
        what,
        'Wait until it is silent for the timeout (holdfast affinity explain), or force it',
      ),
    });
    expect((await release(' --dry-run --force')).stdout).toContain(what);
    expect((await explained(first(), ends[0]!)).backend).toBe(backend);
  });

  it('goes to where new ones go, at every mux; its other address stays', async () => {
    const before = await explained(first(), ends[0]!);
    const outcome = await release(' --force');
    expect(outcome).toMatchObject({ exit: 0, stderr: '' });
    expect(outcome.stdout).toContain(`${ends[0]!.client} is let go`);
    for (const mux of lab.muxes)
      expect(await explained(mux, ends[0]!)).toMatchObject({ rule: 'recorded', backend: before.current });
    const agent = await lab.client();
    const requests = await agent.call('requests', {
      addresses: [ends[0]!.address],
      count: REQUESTS,
      concurrency: 4,
      timeoutMs: 5_000,
    });
    expect(Object.keys(requests.perBackend)).toEqual([before.current!.split('/')[1]]);
    // The other server knows nothing of what was open.
    const half = CONNECTIONS / 2;
    await eventually(
      async () => ((await agent.call('heldStatus', {})).broken === half ? true : undefined),
      'connections that break',
      CHANGE_LIMIT_MS,
    );
    const held = await agent.call('heldConnections', {});
    const broken = new Set(held.filter(({ failure }) => failure).map(({ destination }) => destination));
    expect([...broken]).toEqual([ends[0]!.address]);
    expect((await release()).stdout).toContain('nothing to change');
  });
});

describe('a client that is silent for its timeout', () => {
  it('is forgotten, and its slot is clean', async () => {
    const agent = await lab.client();
    await agent.call('release', {});
    for (const end of ends) {
      const found = await explains(end, { rule: 'clean' });
      expect(`${POOL}/${await backendOf(end)}`).toBe(found[0]!.backend);
      expect(found[0]!.since).toMatchObject({ what: 'the slot went to that backend' });
    }
    const { items } = await first().daemon.client.affinities({ service: SERVICE });
    expect(items).toEqual([]);
  });
});
