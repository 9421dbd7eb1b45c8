// A cluster that nobody has made a certificate for: it begins, nodes join with tokens, daemons ask each other over TLS,
// certificates and the authority change while they do, and who is removed is refused.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parse, stringify } from 'yaml';
import type { Members, Status } from '../../control/api/schema.ts';
import { type CommandOptions, holdfast } from './command.ts';
import { documentOf, WEIGHT } from './configuration.ts';
import { etcdUrl } from './etcd.ts';
import type { Lab, LabMux } from './lab.ts';
import { runIn } from './shell.ts';
import { labDirectory } from './state.ts';
import { eventually, muxPackets, raiseTestLab, removeTestLab } from './support.ts';

const CONNECTIONS = 40;
const PORT = 7443;
/** Of the services: slots stay tracked for as long as connections are held. */
const IDLE_MS = 2_000;
const LIMIT_MS = 40_000;

let lab: Lab;
let profile: string;

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1, muxes: 3, backends: 2, store: 'etcd' });
  for (const { node, daemon } of lab.muxes) {
    const config = parse(readFileSync(daemon.configPath, 'utf8')) as { api: object };
    await daemon.end('SIGTERM');
    daemon.configure(stringify({ ...config, api: { ...config.api, listen: `${node.address4}:${PORT}` } }));
    await daemon.start();
  }
  profile = join(labDirectory(lab.plan.name), 'alice.holdfast');
});
afterAll(async () => {
  await removeTestLab(lab);
});

const muxAt = (index: number): LabMux => lab.muxes[index]!;
const backend = () => lab.backends[0]!;

/** As root there. */
async function run(at: { readonly daemon: LabMux['daemon'] }, line: string, options: CommandOptions = {}) {
  const outcome = await holdfast(line, { socket: at.daemon.place.socket, ...options });
  expect(outcome, `${line}: ${outcome.stderr}`).toMatchObject({ exit: 0 });
  return outcome.stdout;
}

const members = async (at = muxAt(0)): Promise<Members> =>
  JSON.parse(await run(at, 'cluster members --json'));
const serials = ({ nodes }: Members) => new Map(nodes.map(({ name, serial }) => [name, serial]));

/** From the host of a mux, over its network. */
const there = ({ node }: LabMux): CommandOptions => ({ prefix: ['ip', 'netns', 'exec', node.netns] });

/** Who keeps flows, by the word of all muxes, which this one asks. */
async function keepersAt({ daemon }: LabMux) {
  const { groups, unanswered } = await daemon.client.topFlows({ by: 'mux' });
  return {
    names: groups.map(({ name }) => name),
    unanswered: unanswered.map(({ failure }) => `${failure.message} ${failure.cause}`),
  };
}

it('begins on one mux, and the others join with a token each', { timeout: 90_000 }, async () => {
  const before = await Promise.all(lab.muxes.map(({ daemon }) => daemon.client.status()));
  expect(before.map(({ problems }) => problems.map(({ message }) => message))).toEqual(
    Array(3).fill(['The API does not listen on the network yet.']),
  );
  await run(muxAt(0), 'cluster init');
  for (const mux of lab.muxes.slice(1)) {
    const token = (await run(muxAt(0), 'cluster token')).trim();
    await run(mux, 'cluster join', { input: token });
    const again = await holdfast('cluster join', { socket: muxAt(2).daemon.place.socket, input: token });
    if (mux !== muxAt(2)) {
      expect(again).toMatchObject({
        exit: 77,
        stderr: expect.stringContaining('The join token was used already.'),
      });
    }
  }
  const token = (await run(muxAt(1), 'cluster token --role backend')).trim();
  await run(backend(), 'cluster join', { input: token });
  const { nodes, tokens } = await members();
  expect(nodes.map(({ name }) => name)).toEqual(['backend1', 'mux1', 'mux2', 'mux3']);
  expect(tokens.map(({ state }) => state)).toEqual(['used', 'used', 'used']);
  for (const { daemon } of lab.muxes) await daemon.answers(({ problems }) => problems.length === 0);
  // As somebody reads it who may read etcd.
  const range = JSON.stringify({ key: btoa('/'), range_end: btoa('0') });
  const answer = runIn(
    lab.plan.etcd!.netns,
    'curl',
    '-sf',
    '-d',
    range,
    `${etcdUrl(lab.plan.etcd!)}/v3/kv/range`,
  );
  const { kvs } = JSON.parse(answer) as { kvs: { key: string; value?: string }[] };
  const values = new Map(kvs.map(({ key, value = '' }) => [atob(key), atob(value)]));
  expect(values.get('/holdfast/trust/authority-keys')).toMatch(/^sealed1:/);
  expect(values.get('/holdfast/mux/keys/ask')).toMatch(/^sealed1:/);
  const all = [...values.values()].join('\n');
  expect(all).not.toContain('PRIVATE KEY');
});

it('asks the others for flows over TLS, with its own certificate', { timeout: 90_000 }, async () => {
  const document = documentOf(lab.plan);
  const weighted = (weight: number) => ({
    ...document,
    services: document.services.map((it) => ({ ...it, idleTimeoutMs: IDLE_MS })),
    backends: document.backends.map((it, index) => (index === 0 ? { ...it, weight } : it)),
  });
  await lab.apply(weighted(WEIGHT));
  const agent = await lab.client();
  await agent.call('hold', {
    addresses: lab.plan.services4,
    connections: CONNECTIONS,
    chunkBytes: 500,
    intervalMs: 50,
  });
  await lab.apply(weighted(WEIGHT / 100));
  for (const mux of lab.muxes) {
    const { unanswered } = await eventually(
      async () => {
        const found = await keepersAt(mux);
        return found.names.length === 3 ? found : undefined;
      },
      `flows of others at ${mux.node.name}`,
      LIMIT_MS,
    );
    expect(unanswered).toEqual([]);
  }
});

it('lets a user in from another host, for what the role allows', { timeout: 60_000 }, async () => {
  await run(muxAt(0), `users add alice --role view --out ${profile}`);
  const by = there(muxAt(1));
  expect(await holdfast(`--profile ${profile} status`, by)).toMatchObject({
    exit: 0,
    stdout: expect.stringMatching(/^node +mux1 /),
  });
  const other = `--url https://${muxAt(2).node.address4}:${PORT}`;
  expect(await holdfast(`--profile ${profile} ${other} status`, by)).toMatchObject({
    exit: 0,
    stdout: expect.stringMatching(/^node +mux3 /),
  });
  expect(await holdfast(`--profile ${profile} pools add mine`, by)).toEqual({
    exit: 77,
    stdout: '',
    stderr:
      'error:  This needs the role admin.\ncause:  alice has the role view.\n' +
      'remedy: An admin can change that: holdfast users set alice --role admin\n',
  });
  await run(muxAt(2), 'users set alice --role admin');
  expect(await holdfast(`--profile ${profile} pools add mine`, by)).toMatchObject({ exit: 0 });
});

describe('while everybody asks', () => {
  it('certificates and the authority change: nobody is refused, and no packet', {
    timeout: 120_000,
  }, async () => {
    const wrong: string[] = [];
    let count = 0;
    let isDone = false;
    onTestFinished(() => {
      isDone = true;
    });
    const asking = lab.muxes.map(async (mux) => {
      while (!isDone) {
        const { unanswered } = await keepersAt(mux);
        count++;
        wrong.push(...unanswered);
      }
    });
    const commands = (async () => {
      while (!isDone) {
        const outcome = await holdfast(`--profile ${profile} nodes list`, there(muxAt(1)));
        if (outcome.exit !== 0) wrong.push(outcome.stderr);
      }
    })();
    const refused = await muxPackets(lab, 'DROP_ASK_TAG');
    const before = serials(await members());
    await run(muxAt(1), 'cluster rotate');
    await run(muxAt(1), 'nodes rotate-key');
    await eventually(
      async () => {
        const now = serials(await members());
        return [...before].every(([name, serial]) => now.get(name) !== serial) ? true : undefined;
      },
      'another certificate of every node',
      LIMIT_MS,
    );
    await run(muxAt(2), 'cluster rotate --new-authority');
    await eventually(
      async () => {
        const { authority } = await members();
        return authority?.waitsFor.join() === 'user alice' ? true : undefined;
      },
      'certificates of the next authority',
      LIMIT_MS,
    );
    isDone = true;
    await Promise.all([...asking, commands]);
    expect(wrong).toEqual([]);
    expect(count).toBeGreaterThan(10);
    expect(await muxPackets(lab, 'DROP_ASK_TAG')).toBe(refused);
    // Until alice has another certificate, the one before is believed.
    const next = profile.replace('alice', 'alice-next');
    await run(muxAt(0), `users add alice --role admin --out ${next}`);
    await eventually(
      async () => ((await members()).authority?.isReplacing === false ? true : undefined),
      'the end of the former authority',
      LIMIT_MS,
    );
    expect(await holdfast(`--profile ${next} status`, there(muxAt(1)))).toMatchObject({ exit: 0 });
    expect((await holdfast(`--profile ${profile} status`, there(muxAt(1)))).exit).not.toBe(0);
  });
});

it('survives restarts of its daemons', { timeout: 60_000 }, async () => {
  for (const { daemon } of lab.muxes) {
    await daemon.end('SIGKILL');
    await daemon.start();
  }
  const isMember = ({ problems, cluster, appliedRevision }: Status) =>
    problems.length === 0 && cluster?.state === 'member' && appliedRevision > 0;
  for (const { daemon } of lab.muxes) await daemon.answers(isMember);
  for (const mux of lab.muxes) expect((await keepersAt(mux)).unanswered).toEqual([]);
});

it('refuses a node at once that was removed', { timeout: 60_000 }, async () => {
  const last = muxAt(2);
  const identity = JSON.parse(readFileSync(join(last.daemon.place.directory, 'identity.json'), 'utf8'));
  const files = Object.fromEntries(
    (['certificate', 'key', 'authority'] as const).map((name) => {
      const path = join(labDirectory(lab.plan.name), `mux3-${name}.pem`);
      const pem = name === 'authority' ? identity.authorities[0].certificate : identity[name];
      writeFileSync(path, pem, { mode: 0o600 });
      return [name, path];
    }),
  );
  const as = `--url https://${muxAt(0).node.address4}:${PORT} --certificate ${files.certificate} --key ${files.key} --authority ${files.authority}`;
  expect(await holdfast(`${as} flows list`, there(last))).toMatchObject({ exit: 0 });
  expect(await holdfast(`${as} nodes list`, there(last))).toMatchObject({
    exit: 77,
    stderr: expect.stringContaining('This needs the role view.'),
  });
  await run(muxAt(0), 'nodes remove mux3 --force --yes');
  expect(await holdfast(`${as} flows list`, there(last))).toMatchObject({
    exit: 77,
    stderr: expect.stringContaining('This certificate does not count in the cluster.'),
  });
  await last.daemon.answers(({ problems }) =>
    problems.some(({ message }) => message === 'mux3 is no node of the cluster any more.'),
  );
});
