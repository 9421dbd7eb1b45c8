// The file service of a node: its server, its clients, and what becomes of them when processes die and storages go. Clients
// are Debian's libnfs-utils at the other end of the link.
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fileClientSchema, filesStatsSchema, itemsSchema, type Status } from '../../control/api/schema.ts';
import { Operator } from './operator.ts';
import { run } from './shell.ts';
import { NEIGHBOUR_ADDRESS, NODE_ADDRESS, raiseTestSingle, type SingleLab } from './single.ts';
import { eventually } from './support.ts';
import { LibnfsClient, missingForLibnfs } from './vm/libnfs.ts';
import { describeUnlessMissing } from './vm/skip.ts';

/** Takes libnfs some seconds: long enough to be interrupted. */
const LARGE_BYTES = 192 << 20;

let lab: SingleLab;
let operator: Operator;
/** Of this test: what storages are below, and files of clients. */
let place: string;

beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  place = mkdtempSync('/var/tmp/holdfast-files-');
  for (const name of ['data/web', 'away']) mkdirSync(join(place, name), { recursive: true });
  // In memory, and mounted where it can be taken away and come back with what it has.
  run('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'holdfast-files', mkdir('memory')]);
  mkdirSync(join(place, 'memory', 'inside'));
  run('mount', AWAY());
  await lab.start({
    roles: ['file'],
    file: {
      storages: { data: join(place, 'data'), away: join(place, 'away'), missing: join(place, 'missing') },
      portmapper: true,
    },
  });
  await serves();
  for (const name of ['data', 'away', 'missing']) await operator.done(`storages add ${name}`);
  for (const [path, target] of [
    ['/web', 'data:web'],
    ['/away', 'away:inside'],
  ])
    await operator.done(`namespace link ${path} ${target} --client ${NEIGHBOUR_ADDRESS}=rw,none`);
});

afterAll(async () => {
  await lab?.down();
  for (const name of ['away', 'memory']) {
    try {
      run('umount', ['-l', join(place, name)]);
    } catch {
      // A test has done it.
    }
  }
  if (place !== undefined) rmSync(place, { recursive: true, force: true });
});

function mkdir(name: string): string {
  const path = join(place, name);
  mkdirSync(path);
  return path;
}

const AWAY = () => ['--bind', join(place, 'memory'), join(place, 'away')];

/** Where the server sees it: what runs in a network namespace has mounts of its own. */
async function inServer(...command: readonly string[]): Promise<void> {
  const { file } = await serves();
  run('nsenter', ['--mount', '--target', String(file!.pid), ...command]);
}

async function serves(condition: (status: Status) => boolean = () => true): Promise<Status> {
  return await lab.daemon.answers(
    (status) =>
      status.file?.pid !== undefined && status.file.listening.includes('*:2049') && condition(status),
  );
}

const problemOf = ({ problems }: Status, message: string) => problems.find((it) => it.message === message);

function client(): LibnfsClient {
  return new LibnfsClient(lab.neighbour, { address: NODE_ADDRESS });
}

const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Copies a large file to the link, does `meanwhile` when some of it is there, and compares the two. */
async function copyDuring(name: string, meanwhile: () => Promise<void>): Promise<void> {
  const local = join(place, `${name}.local`);
  const there = join(place, 'data', 'web', name);
  const piece = randomBytes(1 << 20);
  writeFileSync(local, Buffer.concat(Array.from({ length: LARGE_BYTES / piece.length }, () => piece)));
  let isDone = false;
  const copying = client()
    .put(local, `/web/${name}`)
    .finally(() => {
      isDone = true;
    });
  copying.catch(() => {});
  await eventually(() => (sizeOf(there) > 4 << 20 ? true : undefined), 'the beginning of the copy');
  expect(isDone).toBe(false);
  await meanwhile();
  await copying;
  expect(digest(there)).toBe(digest(local));
  for (const path of [local, there]) rmSync(path);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

describeUnlessMissing('a file node', missingForLibnfs(), () => {
  it('says where it serves, and what is wrong with a storage', async () => {
    const status = await serves(({ file }) => file!.revision > 0);
    expect(status.file).toMatchObject({
      listening: ['*:2049', '*:111'],
      storages: [
        { name: 'data', directory: join(place, 'data') },
        { name: 'away', type: 'tmpfs' },
        { name: 'missing' },
      ],
    });
    expect(status.problems).toMatchObject([
      {
        code: 'unavailable',
        message: 'Storage missing is not served.',
        cause: expect.stringMatching(/^cannot serve files of .*\/missing: .*ENOENT/),
        remedy: 'See that the directory exists and that its file system is mounted',
      },
    ]);
    expect(await operator.done('namespace tree')).toContain(
      `mount -t nfs -o vers=3,nolock,proto=tcp,port=2049,mountport=2049 ${NODE_ADDRESS}:/web /mnt`,
    );
    const doctor = await operator.run('doctor');
    expect(doctor.stdout).toContain('Storage missing is not served.');
  });

  it('takes files, lists them and gives them back', async () => {
    const local = join(place, 'local');
    writeFileSync(local, 'what a client wrote\n'.repeat(1_000));
    await client().put(local, '/web/there');
    expect(readFileSync(join(place, 'data/web/there'), 'utf8')).toBe(readFileSync(local, 'utf8'));
    expect(await client().list('/web')).toMatchObject([{ name: 'there', sizeBytes: sizeOf(local) }]);
    await client().get('/web/there', `${local}.again`);
    expect(digest(`${local}.again`)).toBe(digest(local));
    expect((await client().list('/')).map(({ name }) => name).sort()).toEqual(['away', 'web']);
    await expect(client().read('/web/nothing')).rejects.toThrow('nfs-cat');
  });

  it('tells its port to clients that ask a port mapper', async () => {
    const url = `nfs://${NODE_ADDRESS}/web/there?version=3`;
    const { exit, stdout } = await client().run('nfs-cat', url);
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: readFileSync(join(place, 'local'), 'utf8') });
  });

  it('tells nobody else anything: a client without a rule is refused', async () => {
    await operator.done('namespace set /web --client 192.0.2.1=rw');
    await expect(client().read('/web/there')).rejects.toThrow(/ACCES|denied/i);
    await operator.done(`namespace set /web --client ${NEIGHBOUR_ADDRESS}=rw,none`);
    expect(await client().read('/web/there')).toContain('what a client wrote');
  });

  it('tells who its clients are and what they do', async () => {
    const { items } = await operator.json(itemsSchema(fileClientSchema), 'files clients');
    expect(items).toMatchObject([{ address: NEIGHBOUR_ADDRESS, connections: 0, inFlight: 0 }]);
    expect(items[0]!.requests).toBeGreaterThan(10);
    const stats = await operator.json(filesStatsSchema, 'files stats');
    const written = stats.procedures.find(({ procedure }) => procedure === 'WRITE')!;
    expect(written).toMatchObject({ program: 'nfs', errors: 0, statuses: {} });
    expect(written.inBytes).toBeGreaterThan(20_000);
    const looked = stats.procedures.find(({ procedure }) => procedure === 'LOOKUP')!;
    expect(looked.statuses).toHaveProperty('NFS3ERR_NOENT');
    expect(stats.links.map(({ path }) => path)).toContain('/web');
    expect(await operator.done('files clients')).toMatch(
      new RegExp(`^CLIENT .*\\n${NEIGHBOUR_ADDRESS.replaceAll('.', '\\.')} +0 +0 `),
    );
    expect(await operator.done('files stats')).toMatch(/^WRITE +\d+ +0 /m);
    const metrics = await operator.done('metrics');
    expect(metrics).toMatch(/^holdfast_file_requests_total\{program="nfs",procedure="WRITE"\} \d+$/m);
    expect(metrics).toMatch(/^holdfast_file_link_bytes_total\{link="\/web",direction="out"\} \d{5,}$/m);
    expect(metrics).toMatch(
      new RegExp(`^holdfast_file_client_requests_total\\{client="${NEIGHBOUR_ADDRESS}"\\} \\d+$`, 'm'),
    );
    expect(metrics).toMatch(
      /^holdfast_file_duration_seconds_bucket\{program="nfs",procedure="WRITE",le="\+Inf"\} \d+$/m,
    );
  });

  it('is back at once when its server is killed, and clients go on with the handles that they have', async () => {
    const before = await serves();
    await copyDuring('killed', async () => {
      process.kill(before.file!.pid!, 'SIGKILL');
      const after = await serves(({ file }) => file!.pid !== before.file!.pid);
      expect(problemOf(after, 'The file server of this node does not run.')).toBeUndefined();
    });
  });

  it('serves on while its daemon is dead, and the next one finds the server', async () => {
    const before = await serves();
    await copyDuring('alone', async () => {
      await lab.daemon.end('SIGKILL');
      expect(await client().read('/web/there')).toContain('what a client wrote');
      lab.daemon.launch();
      const after = await serves(({ file }) => file!.revision === before.file!.revision);
      expect(after.file!.pid).toBe(before.file!.pid);
    });
    await operator.done(`namespace mkdir /later`);
    await serves(({ file }) => file!.revision > before.file!.revision);
  });

  it('says that a storage was unmounted, and serves it again when it is back', async () => {
    const path = join(place, 'away');
    writeFileSync(join(path, 'inside', 'kept'), 'kept\n');
    expect(await client().read('/away/kept')).toBe('kept\n');
    await inServer('umount', '-l', path);
    const message = 'Storage away is not mounted.';
    const status = await serves((it) => problemOf(it, message) !== undefined);
    expect(problemOf(status, message)).toEqual({
      code: 'unavailable',
      message,
      cause: `the file system that was mounted on ${path} is gone from there`,
      remedy: 'Mount it again: it is served from then on, and clients that have it mounted go on',
    });
    expect(status.file!.storages).toContainEqual({ name: 'away', directory: path });
    await expect(client().read('/away/kept')).rejects.toThrow('nfs-cat');
    await inServer('mount', ...AWAY());
    await serves((it) => problemOf(it, message) === undefined);
    expect(await client().read('/away/kept')).toBe('kept\n');
  });

  it('says which link leads nowhere, until it leads somewhere', async () => {
    const message = 'Link /later/new cannot be served.';
    await operator.done('namespace link /later/new data:new');
    const status = await serves((it) => problemOf(it, message) !== undefined);
    expect(problemOf(status, message)).toMatchObject({
      code: 'unavailable',
      cause: expect.stringContaining('new of storage data is no directory that can be reached: ENOENT'),
    });
    mkdirSync(join(place, 'data', 'new'));
    await serves((it) => problemOf(it, message) === undefined);
  });

  it('says who has its port, and takes it when it is free', async () => {
    const other = lab.daemonCalled('other');
    other.configure(
      lab.nodeFile(other, { roles: ['file'], file: { storages: { data: join(place, 'data') } } }),
    );
    other.launch();
    const message = 'Files are not served at *:2049.';
    const status = await other.answers((it) => problemOf(it, message) !== undefined);
    expect(problemOf(status, message)).toMatchObject({
      code: 'unavailable',
      cause: 'another program has the port',
      remedy: expect.stringContaining("ss -ltnp 'sport = 2049'"),
    });
    await other.end('SIGTERM');
  });
});
