// Flows of another mux, asked for at this one: the daemons ask each other over TLS, each with its own certificate.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { FlowEntry } from '../../control/api/schema.ts';
import { formatFlowName } from '../../control/lib/flow_name.ts';
import { holdfast } from './command.ts';
import { documentOf, WEIGHT } from './configuration.ts';
import type { Lab, LabMux } from './lab.ts';
import { PeerApis } from './peer_apis.ts';
import { eventually, raiseTestLab, removeTestLab } from './support.ts';

const CONNECTIONS = 40;
/** Of the services: slots stay tracked for as long as connections are held. */
const IDLE_MS = 2_000;
const JOIN_LIMIT_MS = 30_000;
const PAGES_MAX = 50;

let lab: Lab;
let apis: PeerApis;

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1, muxes: 2 });
  apis = await PeerApis.open(lab);
  await lab.apply(weighted(WEIGHT));
  const agent = await lab.client();
  await agent.call('hold', {
    addresses: lab.plan.services4,
    connections: CONNECTIONS,
    chunkBytes: 500,
    intervalMs: 50,
  });
  await lab.apply(weighted(WEIGHT / 100));
  await eventually(
    async () => ((await flowsAt(first())).items.length > 0 ? true : undefined),
    'recorded flows',
    JOIN_LIMIT_MS,
  );
});
afterAll(async () => {
  await removeTestLab(lab);
});

const first = (): LabMux => lab.muxes[0]!;
const second = (): LabMux => lab.muxes[1]!;

function weighted(weight: number) {
  const document = documentOf(lab.plan);
  return {
    ...document,
    services: document.services.map((it) => ({ ...it, idleTimeoutMs: IDLE_MS })),
    backends: document.backends.map((it, index) => (index === 0 ? { ...it, weight } : it)),
  };
}

/** All pages. */
async function flowsAt({ daemon }: LabMux, local = false) {
  const items: FlowEntry[] = [];
  const unanswered: string[] = [];
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const found = await daemon.client.flows({ local, ...(after !== undefined && { after }) });
    items.push(...found.items);
    unanswered.push(...found.unanswered.map(({ failure }) => `${failure.message} ${failure.cause}`));
    if (found.next === undefined) return { items, unanswered };
    after = found.next;
  }
  throw new Error(`more than ${PAGES_MAX} pages`);
}

it('lists flows of both muxes at either, each as the mux that keeps it says', async () => {
  const own = await Promise.all(lab.muxes.map((mux) => flowsAt(mux, true)));
  expect(own.map(({ items }) => new Set(items.map(({ node }) => node)))).toEqual([
    new Set(['mux1']),
    new Set(['mux2']),
  ]);
  for (const mux of lab.muxes) {
    const { items, unanswered } = await flowsAt(mux);
    expect(unanswered).toEqual([]);
    expect(new Set(items.map(({ node }) => node))).toEqual(new Set(['mux1', 'mux2']));
  }
});

it('shows a flow that another mux owns, by the word of its owner', async () => {
  const agent = await lab.client();
  const held = await agent.call('heldConnections', {});
  const reports = await Promise.all(
    held.map(({ source, sourcePort, destination, destinationPort }) => {
      const flow = { protocol: 'tcp' as const, source, sourcePort, destination, destinationPort };
      return first().daemon.client.flow(formatFlowName(flow));
    }),
  );
  const tracked = reports.map((report, index) => ({ report, backend: held[index]!.backend }));
  const others = tracked.filter(({ report }) => report.tracked && report.owner?.node === 'mux2');
  expect(others.length).toBeGreaterThan(0);
  for (const { report } of others) {
    expect(report.unanswered).toEqual([]);
    const word = report.known.find(({ node }) => node === 'mux2');
    expect(word).toMatchObject({ role: 'owner', entry: { node: 'mux2', role: 'owner' } });
    // Both have recorded the same.
    const copy = report.known.find(({ node }) => node === 'mux1');
    expect(copy?.entry?.backend).toBe(word!.entry!.backend);
  }
});

it('counts those of both for the top', async () => {
  const { groups, unanswered } = await first().daemon.client.topFlows({ by: 'mux' });
  expect(unanswered).toEqual([]);
  expect(groups.map(({ name }) => name).sort()).toEqual(['mux1', 'mux2']);
});

it('goes by commands as well, with the owner named', async () => {
  const outcome = await holdfast(`flows list --socket ${first().daemon.place.socket}`);
  expect(outcome).toMatchObject({ exit: 0 });
  for (const name of ['mux1', 'mux2']) expect(outcome.stdout).toContain(name);
});

it('says who could not be asked, and why', async () => {
  await apis.listen(second(), apis.stranger());
  await apis.membersAre(2);
  const { items, unanswered } = await flowsAt(first());
  expect(new Set(items.map(({ node }) => node))).toEqual(new Set(['mux1']));
  expect(unanswered).toHaveLength(1);
  expect(unanswered[0]).toMatch(/^Node mux2 could not be asked\. .*Nobody known here signed its certificate/);
  await second().daemon.end('SIGTERM');
  expect((await flowsAt(first())).unanswered[0]).toMatch(
    /^Node mux2 could not be asked\. .*Nobody listens there/,
  );
});
