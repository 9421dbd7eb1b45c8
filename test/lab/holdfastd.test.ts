// holdfastd as its operator meets it: its command line, configurations that do not work, hosts that lack something, and
// a second daemon beside the first.
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type CommandOptions, holdfast, holdfastd, type Outcome, told } from './command.ts';
import type { LabDaemon } from './daemon.ts';
import { Operator } from './operator.ts';
import { netnsPath } from './plan.ts';
import { openTestObject } from './programs.ts';
import { ip } from './shell.ts';
import { NEIGHBOUR_ADDRESS, raiseTestSingle, type SingleLab } from './single.ts';

const SERVICE = '198.18.0.10';

let lab: SingleLab;
let operator: Operator;
let daemon: LabDaemon;
beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  daemon = lab.daemon;
  await lab.start();
  await operator.restore();
});
afterAll(() => lab?.down());

const inNode = (...prefix: readonly string[]): CommandOptions => ({
  prefix: ['ip', 'netns', 'exec', lab.netns, ...prefix],
});

/** A daemon that is to end by itself: of another node, beside the one that runs. */
async function beginning(fields: Parameters<SingleLab['nodeFile']>[1], options = inNode()): Promise<Outcome> {
  const other = lab.daemonCalled('other');
  other.configure(lab.nodeFile(other, fields));
  return await holdfastd(`--config ${other.configPath}`, options);
}

describe('the command line', () => {
  it('tells the version, and how it is used', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(await holdfastd('--version')).toEqual({ exit: 0, stdout: `holdfastd ${version}\n`, stderr: '' });
    expect((await holdfastd('--help')).stdout).toMatch(/^holdfastd: keeps the programs of this node /);
  });

  it('is refused where it says nothing', async () => {
    expect(await holdfastd('--nope')).toEqual({
      exit: 65,
      stdout: '',
      stderr: told(
        'holdfastd does not understand its arguments.',
        "Unknown option '--nope'",
        'holdfastd --help',
      ),
    });
  });

  it('needs root', async () => {
    const prefix = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    // Reading what there is to run, wherever that is, is no question here.
    const reading = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
    expect(await holdfastd(`--config ${daemon.configPath}`, { prefix: [...prefix, ...reading] })).toEqual({
      exit: 77,
      stdout: '',
      stderr: told(
        'holdfastd needs root: it loads programs into the kernel.',
        undefined,
        'Start it with sudo or as a service',
      ),
    });
  });
});

describe('a configuration', () => {
  const checked = async (text: string | Buffer) => {
    const path = join(lab.directory, 'checked.yaml');
    writeFileSync(path, text);
    return { path, ...(await holdfastd(`--check --config ${path}`)) };
  };

  it('may be good', async () => {
    const path = daemon.configPath;
    expect(await holdfastd(`--check --config ${path}`)).toEqual({
      exit: 0,
      stdout: `${path} is as it should be\n`,
      stderr: '',
    });
  });

  it('has all its mistakes told, with line and column', async () => {
    const { path, exit, stderr } = await checked(
      'roles: [muxx]\ninterfaces: eth0\nxdpMode: fast\napi:\n  listen: foo\nstore: etcd=x\n',
    );
    expect(exit).toBe(78);
    expect(stderr).toBe(
      told(
        `${path} has 5 mistakes.`,
        [
          `${path}:1:9: roles[0]: expected one of 'mux'|'backend'|'filter'|'file'; did you mean mux?`,
          `${path}:2:1: interfaces: unknown; did you mean interface?`,
          `${path}:3:10: xdpMode: expected one of 'auto'|'native'|'generic'`,
          `${path}:5:11: api.listen: must be ADDRESS:PORT, IPv6 addresses in brackets`,
          `${path}:6:8: store: must be etcd=URL[,URL...], up to 9, each https://HOST[:PORT] or http://HOST[:PORT]`,
        ].join(`\n${' '.repeat(8)}`),
      ),
    );
  });

  it('keeps a daemon from starting, in the same words', async () => {
    const { path, stderr } = await checked('node: a\nnode: b\n');
    expect(stderr).toBe(told(`${path} has a mistake.`, `${path}:2:1: node: is there twice`));
    expect(await holdfastd(`--config ${path}`)).toEqual({ exit: 78, stdout: '', stderr });
  });

  it('is text in UTF-8, of a length that somebody wrote', async () => {
    const latin = await checked(Buffer.from('node: a\n# caf\xe9\n', 'latin1'));
    expect(latin).toMatchObject({
      exit: 78,
      stderr: told(
        `${latin.path} is not UTF-8.`,
        `${latin.path}:2:1: this line has bytes that are no characters of UTF-8`,
        `Write it again in UTF-8, such as iconv -f latin1 -t utf8 ${latin.path} does`,
      ),
    });
    expect(await holdfastd('--check --config /dev/zero')).toEqual({
      exit: 78,
      stdout: '',
      stderr: told(
        '/dev/zero is longer than 1048576 bytes.',
        undefined,
        'Name the configuration of this node, which is a short file',
      ),
    });
  });

  it('that is named must be there', async () => {
    const path = join(lab.directory, 'missing.yaml');
    expect(await holdfastd(`--config ${path}`)).toEqual({
      exit: 78,
      stdout: '',
      stderr: told(`${path} cannot be read.`, 'There is no such file.'),
    });
  });
});

describe('a second daemon', () => {
  const untouched = async () => {
    const { pid, attachments } = await daemon.client.status();
    return { pid, attachments };
  };

  it('of the same node is refused, and the first goes on', async () => {
    const before = await untouched();
    const refused = {
      exit: 73,
      stdout: '',
      stderr: told(
        'Another holdfastd looks after this node.',
        `It holds ${daemon.place.directory}/holdfastd.lock.`,
        'Stop it first (systemctl stop holdfastd); a second one needs its own stateDirectory, bpfDirectory and api.socket',
      ),
    };
    expect(await holdfastd(`--config ${daemon.configPath}`, inNode())).toEqual(refused);
    expect(await holdfastd(`--detach --config ${daemon.configPath}`, inNode())).toEqual(refused);
    expect(await untouched()).toEqual(before);
    expect(lab.isEchoing(SERVICE)).toBe(true);
  });

  it('on the same socket is refused, before it has touched an interface', async () => {
    lab.addLink('own0');
    expect(await beginning({ interface: 'own0', api: { socket: daemon.place.socket } })).toEqual({
      exit: 73,
      stdout: '',
      stderr: told(
        `Another process listens on ${daemon.place.socket} already.`,
        'Probably a holdfastd that still runs.',
        'Stop it, or set api.socket of one of them to another path.',
      ),
    });
    expect(ip(lab.netns, '-d link show own0')).not.toContain('xdp');
    lab.removeLink('own0');
  });
});

describe('a host', () => {
  it('without a BPF file system there', async () => {
    const bpfDirectory = join(lab.directory, 'no-bpf');
    expect(await beginning({ bpfDirectory })).toEqual({
      exit: 78,
      stdout: '',
      stderr: told(
        `${bpfDirectory}/mux is not on a BPF file system.`,
        undefined,
        'Mount one (mount -t bpf bpf /sys/fs/bpf), or set bpfDirectory to a path on one',
      ),
    });
    expect(existsSync(bpfDirectory)).toBe(false);
  });

  it('without a default route to take the interface from', async () => {
    const other = lab.daemonCalled('other');
    const text = lab.nodeFile(other).replace(/^interface: .*\n/m, '');
    other.configure(text);
    expect(await holdfastd(`--config ${other.configPath}`, inNode())).toEqual({
      exit: 78,
      stdout: '',
      stderr: told(
        'No interface is configured, and there is no default route to take one from.',
        undefined,
        'Name it in the configuration: interface: eth0',
      ),
    });
  });

  const stores: readonly [what: string, prepare: (path: string) => string, told: (path: string) => string][] =
    [
      [
        'whose store is in no directory',
        () => '/proc/store.db',
        (path) =>
          told(
            `The store ${path} cannot be opened.`,
            `ENOENT: no such file or directory, open '${path}'`,
            'Name a file as the store that holdfastd may write, in a directory that it may write',
          ),
      ],
      [
        'whose store is damaged',
        (path) => {
          writeFileSync(path, Buffer.alloc(5_000, 'damaged'));
          return path;
        },
        (path) =>
          told(
            `${path} is damaged, or no SQLite database at all.`,
            'file is not a database',
            'Stop every holdfastd of this host, put back a copy of the file or move it away with its -wal and -shm, start again and apply what was exported last',
          ),
      ],
      [
        'whose store is of another program',
        (path) => {
          const database = new DatabaseSync(path);
          database.exec('CREATE TABLE theirs (x); PRAGMA application_id = 7');
          database.close();
          return path;
        },
        (path) =>
          told(
            `${path} is not a store of Holdfast.`,
            'it is a SQLite database of another application (application_id 7, 1 tables)',
            'Name another file as the store; this one was not changed',
          ),
      ],
    ];
  it.each(stores)('%s', async (what, prepare, text) => {
    const path = prepare(join(lab.directory, `${what.replaceAll(' ', '-')}.db`));
    const outcome = await beginning({ store: `sqlite=${path}` });
    expect(outcome).toEqual({ exit: 78, stdout: '', stderr: text(path) });
  });

  it('whose store may not be written', async () => {
    const directory = join(lab.directory, 'read-only');
    mkdirSync(directory);
    for (const end of ['', '-wal', '-shm']) {
      copyFileSync(join(lab.directory, `store.db${end}`), join(directory, `store.db${end}`));
    }
    const path = join(directory, 'store.db');
    // Read-only for the daemon that is started, and nobody else.
    const script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"';
    const readOnly = inNode('unshare', '--mount', 'sh', '-c', script, 'sh', directory);
    // A node that the store knows already has nothing to write, and starts.
    const outcome = await beginning({ node: 'unknown', store: `sqlite=${path}` }, readOnly);
    expect(outcome).toEqual({
      exit: 69,
      stdout: '',
      stderr: told(
        `The store ${path} does not answer.`,
        'attempt to write a readonly database',
        `Let the user that runs holdfastd write ${path}, its directory and their file system`,
      ),
    });
  });
});

describe('an interface', () => {
  let other: LabDaemon;
  afterEach(async () => {
    await other.client.detach({});
    await other.end('SIGTERM');
  });

  it('that comes late is attached when it is there, and its address is sent from', async () => {
    other = lab.daemonCalled('late');
    other.configure(lab.nodeFile(other, { interface: 'late0' }));
    other.launch();
    const waiting = await other.answers(({ appliedRevision }) => appliedRevision > 0);
    expect(waiting).toMatchObject({
      attachments: [],
      problems: expect.arrayContaining([
        {
          code: 'not_found',
          message: 'There is no interface late0.',
          cause: 'The program is to be on late0, and is attached once it is there.',
          remedy: 'If the name is wrong, correct it in the configuration: choose one of: lo, eth0',
        },
        {
          code: 'configuration',
          message: 'Packets for web/b1, web/b2 are dropped.',
          cause: 'This node has no IPv4 address to send tunnels from.',
          remedy: 'Set tunnel.source4 in its configuration, or give its interface an address',
        },
      ]),
    });
    const shown = await holdfast('status', { socket: other.place.socket });
    expect(shown.stdout).toContain('\n\n2 problems\n\nerror:  There is no interface late0.\n');

    lab.addLink('late0', '198.18.201.1/24');
    // Once others can reach it, it becomes a member, and decides.
    const settled = await other.answers(
      ({ cluster }) => cluster?.state === 'member' && !cluster.pastDeadline,
    );
    expect(settled).toMatchObject({
      attachments: [{ interface: 'late0', mode: 'native' }],
      pid: waiting.pid,
    });
    // No way leads from this link to the mux on eth0, which is told when it is noticed.
    const left = settled.problems.filter(({ message }) => message !== 'No other mux is heard.');
    expect(left).toEqual([]);
    const flow = { source: '192.0.2.7', destination: SERVICE, destinationPort: 80, protocol: 'tcp' } as const;
    expect(await other.client.explain({ flow })).toMatchObject({ verdict: 'FORWARD' });
  });

  it('that has another program is attached when that is gone', async () => {
    lab.addLink('busy0', '198.18.202.1/24');
    const object = openTestObject('port').load();
    const netns = netnsPath(lab.netns);
    const link = object.program('port').attachXdp({ interface: 'busy0', netns, mode: 'native' });
    other = lab.daemonCalled('busy');
    other.configure(lab.nodeFile(other, { interface: 'busy0' }));
    other.launch();
    const { problems } = await other.answers(({ appliedRevision }) => appliedRevision > 0);
    expect(problems).toMatchObject([
      {
        code: 'conflict',
        message: 'The program cannot be attached to busy0.',
        cause: `it has another XDP program: id ${object.program('port').info().id}`,
      },
    ]);
    link.close();
    object.close();
    const settled = await other.answers(({ attachments }) => attachments.length === 1);
    expect(settled).toMatchObject({ problems: [], attachments: [{ interface: 'busy0' }] });
  });

  it('is that of the default route, unless the configuration names one', async () => {
    lab.addLink('main0', '198.18.203.1/24');
    ip(lab.netns, 'route add default via 198.18.203.2 dev main0');
    other = lab.daemonCalled('main');
    other.configure(lab.nodeFile(other).replace(/^interface: .*\n/m, ''));
    other.launch();
    const { attachments } = await other.answers((status) => status.attachments.length > 0);
    expect(attachments).toMatchObject([{ interface: 'main0' }]);
    ip(lab.netns, 'route del default');
  });
});

describe('the end', () => {
  it('leaves forwarding on, which --detach ends', async () => {
    await daemon.end('SIGTERM');
    expect(existsSync(daemon.place.socket)).toBe(false);
    expect(readFileSync(daemon.logPath, 'utf8')).toContain('"msg":"holdfastd ends; forwarding goes on"}\n');
    expect(lab.isEchoing(SERVICE)).toBe(true);
    const detach = () => holdfastd(`--detach --config ${daemon.configPath}`, inNode());
    expect(await detach()).toEqual({ exit: 0, stdout: 'mux is off eth0\n', stderr: '' });
    expect(lab.isEchoing(SERVICE)).toBe(false);
    expect(await detach()).toEqual({ exit: 0, stdout: 'nothing was attached\n', stderr: '' });
    expect(await daemon.start()).toMatchObject({ adopted: 'fresh' });
    expect(lab.isEchoing(NEIGHBOUR_ADDRESS)).toBe(true);
  });

  it('leaves a store that only its owner reads', () => {
    expect(statSync(join(lab.directory, 'store.db')).mode & 0o777).toBe(0o600);
  });
});
