// holdfast against a holdfastd: this node, its interfaces, its events; and daemons that do not answer.
import { readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  attachmentSchema,
  eventSchema,
  failureSchema,
  findingSchema,
  itemsSchema,
  statusSchema,
} from '../../control/api/schema.ts';
import { readMetrics } from '../unit/api/lib/prometheus_reader.ts';
import { HOLDFAST, holdfast, lines, startBash, startHoldfast, told } from './command.ts';
import type { LabDaemon } from './daemon.ts';
import { Operator } from './operator.ts';
import { netnsPath } from './plan.ts';
import { openTestObject } from './programs.ts';
import { raiseTestSingle, type SingleLab } from './single.ts';
import { eventually } from './support.ts';

const SERVICE = '198.18.0.10';
const COMMANDS = readFileSync(new URL('../../control/cli/COMMANDS.md', import.meta.url), 'utf8');

let lab: SingleLab;
let operator: Operator;
beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  await lab.start();
  await operator.restore();
});
afterAll(() => lab?.down());

const attached = (...names: readonly string[]) =>
  eventually(
    async () => {
      const { attachments } = await lab.daemon.client.status();
      return attachments.map((it) => it.interface).join() === names.join() || undefined;
    },
    `attachment to ${names.join(', ')}`,
  );

describe('status', () => {
  it('is what somebody wants to know who was woken up', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    const text = (await operator.done('status'))
      .replace(/process \d+, up .*/, 'process N, up T')
      .replace(/kernel {4}.*/, 'kernel    K')
      .replace(/revision \d+/, 'revision N')
      .replace(/version {3}\d+/, 'version   V')
      .replace(/deadline {2}(?:in|none).*/, 'deadline  in T')
      .replace(/; leader .*/, '; leader L')
      .replace(/changes {3}(?:.*\n {10})*.*/, 'changes   C')
      .replace(/\d+ {2}[0-9a-f]{16}/, 'PROGRAM  TAG');
    expect(text).toBe(
      lines(
        'node      node (mux)',
        `daemon    holdfastd ${version}, process N, up T`,
        'kernel    K',
        'tables    new',
        `store     sqlite ${lab.directory}/store.db, revision N, applied`,
        'objects   1 service, 2 pools, 2 backends',
        'version   V, the newest',
        'mux       id 1, member; the only one; leader L',
        'deadline  in T',
        'changes   C',
        'routes    static: nothing takes them away from routers where this mux fails',
        '',
        'INTERFACE  ROLE  MODE    PROGRAM  TAG               PINNED',
        'eth0       mux   native   PROGRAM  TAG  yes',
        '',
        'LIMIT       USED         OF',
        'pools          2      1,024   0.2 %',
        'backends       2      4,095  <0.1 %',
        'services       2      1,024   0.2 %',
        'slots      1,000  1,048,592   0.1 %',
        'serverIds      0     32,768   0.0 %',
        'chains         0     65,535   0.0 %',
        'flows          0     65,541   0.0 %',
        'muxes          1         63   1.6 %',
        '',
        'no problems',
      ),
    );
  });

  it('as JSON', async () => {
    const found = await operator.json(statusSchema, 'status');
    expect(found).toMatchObject({
      node: 'node',
      roles: ['mux'],
      adopted: 'fresh',
      attachments: [{ interface: 'eth0', role: 'mux', mode: 'native', pinned: true }],
      problems: [],
    });
  });
});

describe('detach and attach', () => {
  afterEach(async () => {
    await operator.run('detach lo');
    await lab.daemon.client.attach({});
  });
  const row = /^eth0 {7}mux {3}native +\d+ {2}[0-9a-f]{16} {2}yes$/m;

  it('take the program off and put it back', async () => {
    expect(lab.isEchoing(SERVICE)).toBe(true);
    expect(await operator.done('detach eth0')).toBe('no program is attached any more\n');
    expect(lab.isEchoing(SERVICE)).toBe(false);
    expect(await operator.done('status')).toContain('\n\nno program is attached\n\n');
    expect(await operator.done('attach')).toMatch(row);
    expect(lab.isEchoing(SERVICE)).toBe(true);
  });

  it('twice are the same as once', async () => {
    await operator.done('detach');
    expect(await operator.done('detach')).toBe('no program is attached any more\n');
    await operator.done('attach eth0');
    expect(await operator.done('attach eth0')).toMatch(row);
  });

  it('are of one interface or of all', async () => {
    const both = await operator.json(itemsSchema(attachmentSchema), 'attach lo --mode generic');
    expect(both.items).toMatchObject([
      { interface: 'eth0', mode: 'native' },
      { interface: 'lo', mode: 'generic' },
    ]);
    expect(await operator.done('detach lo')).toMatch(/^still attached:\n\nINTERFACE .*\neth0 /);
    await operator.done('attach lo');
    expect(await operator.json(itemsSchema(attachmentSchema), 'detach')).toEqual({ items: [] });
  });

  it('a detached interface stays detached when its link changes', async () => {
    lab.addLink('late0');
    await operator.done('attach late0');
    await operator.done('detach late0');
    lab.removeLink('late0');
    lab.addLink('late0');
    await sleep(1_500);
    await attached('eth0');
    lab.removeLink('late0');
  });

  it('refuse what cannot be', async () => {
    expect(await operator.run('attach eth9')).toEqual({
      exit: 66,
      stdout: '',
      stderr: told('There is no interface eth9.', undefined, 'Choose one of: lo, eth0'),
    });
    expect(await operator.run('attach eth/0')).toEqual({
      exit: 65,
      stdout: '',
      stderr: told(
        'What was given is not valid.',
        'interface: an interface name is 1 to 15 characters without space, / and :.',
        'See holdfast attach --help',
      ),
    });
    expect(await operator.run('attach eth0 --mode generic')).toEqual({
      exit: 73,
      stdout: '',
      stderr: told(
        'The program is on eth0 already, in native mode.',
        undefined,
        'Detach it first (holdfast detach eth0): its traffic is not balanced until it is attached again',
      ),
    });
    expect(await operator.run('detach lo')).toEqual({
      exit: 66,
      stdout: '',
      stderr: told('Nothing of Holdfast is attached to lo.', 'It is on eth0.', 'See holdfast status'),
    });
  });

  it('name the program that is there already', async () => {
    lab.addLink('busy0');
    const object = openTestObject('port').load();
    const link = object
      .program('port')
      .attachXdp({ interface: 'busy0', netns: netnsPath(lab.netns), mode: 'native' });
    const id = object.program('port').info().id;
    expect(await operator.run('attach busy0')).toEqual({
      exit: 73,
      stdout: '',
      stderr: told(
        'The program cannot be attached to busy0.',
        `it has another XDP program: id ${id}`,
        `See \`bpftool prog show id ${id}\` whose it is, and end that, or \`ip link set dev busy0 xdp off\``,
      ),
    });
    link.close();
    object.close();
    lab.removeLink('busy0');
  });
});

describe('an interface that goes away', () => {
  it('is a problem until it is back, and then attached again', async () => {
    lab.addLink('flap0');
    await operator.done('attach flap0');
    lab.removeLink('flap0');
    const shown = await eventually(async () => {
      const text = await operator.done('status');
      return text.includes('1 problem') ? text : undefined;
    }, 'a problem');
    expect(shown).toContain(
      told(
        'There is no interface flap0.',
        'The program is to be on flap0, and is attached once it is there.',
        'If the name is wrong, correct it in the configuration: choose one of: lo, eth0',
      ),
    );
    lab.addLink('flap0');
    await attached('eth0', 'flap0');
    expect(await operator.done('status')).toContain('no problems');
    await operator.done('detach flap0');
    lab.removeLink('flap0');
  });
});

describe('events', () => {
  it('are told as they happen', async () => {
    const text = startHoldfast('events', { socket: operator.socket });
    const json = startHoldfast('events --json', { socket: operator.socket });
    // Nothing says that they listen: changes are made until both have told of one.
    let isTold = false;
    const telling = Promise.all([text.said(/applied .*\n/), json.said(/"applied".*\n/)]).finally(() => {
      isTold = true;
    });
    for (let weight = 1; !isTold; weight++) {
      await lab.daemon.client.changeBackend('web', 'b1', { weight });
      await sleep(100);
    }
    const [shown, objects] = await telling;
    // An edit is told as a revision, as versions and steps made of it, and as being in the program; who listens may come
    // in between.
    const lines = shown.trimEnd().split('\n');
    const [kinds, texts] = [lines.map((it) => it.slice(21, 31).trim()), lines.map((it) => it.slice(31))];
    for (const it of lines) expect(it).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}[a-z ]{10}\S/);
    expect(['changed', 'version', 'step', 'applied']).toEqual(expect.arrayContaining(kinds));
    expect(kinds.at(-1)).toBe('applied');
    expect(texts.at(-1)).toMatch(/^revision \d+ is in the program, by version \d+$/);
    const events = objects
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(events.map((event) => eventSchema.parse(event))).toEqual(events);
    for (const listening of [text, json]) {
      expect(await listening.signal('SIGINT')).toMatchObject({ exit: 130, stderr: '' });
    }
  });
});

describe('doctor', () => {
  it('finds nothing wrong here', async () => {
    const text = await operator.done('doctor');
    expect(text).toMatch(/^ok +kernel +Linux /);
    const { items } = await operator.json(itemsSchema(findingSchema), 'doctor');
    expect(items.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('finds that an interface is missing', async () => {
    const { exit, stdout } = await operator.run('doctor eth9');
    expect(exit).toBe(69);
    expect(stdout).toMatch(/^error +interface eth9 +there is no interface eth9; there are lo, eth0$/m);
    expect(await operator.run('doctor eth9 --json')).toMatchObject({ exit: 69 });
  });
});

describe('metrics', () => {
  it('are what Prometheus reads', async () => {
    const families = readMetrics(await operator.done('metrics'));
    expect(families.get('holdfast_attached')?.samples).toMatchObject([{ labels: { interface: 'eth0' } }]);
    const { text } = await operator.json(z.object({ text: z.string() }), 'metrics');
    expect([...readMetrics(text).keys()]).toEqual([...families.keys()]);
  });
});

describe('completion', () => {
  /** What bash offers at the end of a line. */
  const offered = async (line: string): Promise<string[]> => {
    const words = line.split(' ');
    const script = [
      `source <('${HOLDFAST}' completion bash)`,
      `COMP_WORDS=('${HOLDFAST}' ${words
        .slice(1)
        .map((word) => `'${word}'`)
        .join(' ')})`,
      `COMP_CWORD=${words.length - 1} COMP_LINE='${line}' COMP_POINT=${line.length}`,
      '_holdfast',
      `printf '%s\\n' "\${COMPREPLY[@]}"`,
    ].join('\n');
    const { exit, stdout, stderr } = await startBash(script, { socket: operator.socket }).ended;
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    return stdout.trimEnd().split('\n');
  };

  it.each([
    ['holdfast sta', ['status', 'stats']],
    ['holdfast services show ', ['web']],
    ['holdfast backends drain web/', ['web/b1', 'web/b2']],
    ['holdfast services add x --pool s', ['spare']],
    ['holdfast backends set web/b1 --encap ', ['ip', 'gue']],
    [
      'holdfast capture --reason REPLY_',
      ['REPLY_NEIGHBOUR', 'REPLY_PROBE', 'REPLY_FLOWS', 'REPLY_ECHO', 'REPLY_TOO_BIG'],
    ],
  ])('of %j offers %j', async (line, words) => {
    expect(await offered(line)).toEqual(words);
  });

  it('has a script for each shell', async () => {
    expect(await operator.done('completion zsh')).toMatch(/^#compdef holdfast\n/);
    expect(
      await operator.json(z.object({ shell: z.string(), script: z.string() }), 'completion bash'),
    ).toMatchObject({ shell: 'bash' });
  });
});

describe('config', () => {
  it('checks and shows the file of a node, without a daemon', async () => {
    const good = lab.daemon.configPath;
    expect(await operator.done(`config check ${good}`)).toBe(`${good} has no mistakes\n`);
    expect(await operator.done(`config show ${good}`)).toContain('\nguePort: 6080\n');
    const bad = operator.file('bad.yaml', 'roles: [muxx]\nnode: a\nnode: b\n');
    expect(await operator.run(`config check ${bad}`)).toEqual({
      exit: 78,
      stdout: '',
      stderr: told(`${bad} has a mistake.`, `${bad}:3:1: node: is there twice`),
    });
  });
});

describe('the reference', () => {
  it('has every exit code that these tests meet, with its meaning', () => {
    for (const code of [0, 2, 65, 66, 69, 73, 74, 75, 77, 78, 130])
      expect(COMMANDS).toContain(`| ${code} | `);
  });
});

describe('a daemon that does not answer', () => {
  const start = (socket: string) =>
    [`Cannot talk to holdfastd at ${socket}.`, 'Start holdfastd, or name its socket with --socket.'] as const;

  it('because there is none', async () => {
    const socket = join(lab.directory, 'nobody.sock');
    const [message, remedy] = start(socket);
    const stderr = told(message, 'There is no such socket.', remedy);
    expect(await holdfast('status', { socket })).toEqual({ exit: 69, stdout: '', stderr });
    expect(await holdfast(`status --socket ${socket}`)).toEqual({ exit: 69, stdout: '', stderr });
    const json = await holdfast('services list --json', { socket });
    expect(failureSchema.parse(JSON.parse(json.stderr))).toEqual({
      code: 'unavailable',
      message,
      cause: 'There is no such socket.',
      remedy,
    });
  });

  it('because the caller is not root', async () => {
    // It may read what there is to run, wherever that is; a socket must be written to.
    const capability = '+dac_read_search';
    const prefix = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const more = [`--inh-caps=${capability}`, `--ambient-caps=${capability}`];
    expect(await operator.run('status', { prefix: [...prefix, ...more] })).toEqual({
      exit: 77,
      stdout: '',
      stderr: told(
        `Cannot talk to holdfastd at ${operator.socket}.`,
        'Only root may open this socket.',
        'Run it as root.',
      ),
    });
  });

  describe('because it', () => {
    const signal = (daemon: LabDaemon, name: NodeJS.Signals) => process.kill(daemon.pid!, name);

    it('hangs', async () => {
      signal(lab.daemon, 'SIGSTOP');
      try {
        expect(await operator.run('status --timeout 0.3')).toEqual({
          exit: 75,
          stdout: '',
          stderr: told(
            `No answer from holdfastd at ${operator.socket}.`,
            'It did not answer GET /v1/status within 0.3 s.',
            'Give it more time with --timeout. Look at its log: journalctl -u holdfastd',
          ),
        });
        const change = await operator.run('backends drain web/b1 --timeout 0.3');
        expect(change.stderr).toContain('within 0.3 s. The change may have been made, or not.\n');
      } finally {
        signal(lab.daemon, 'SIGCONT');
      }
    });

    it('was killed, and left its socket', async () => {
      await lab.daemon.end('SIGKILL');
      const [message, remedy] = start(operator.socket);
      expect(await operator.run('status')).toEqual({
        exit: 69,
        stdout: '',
        stderr: told(message, 'Nobody listens on this socket.', remedy),
      });
      expect(lab.isEchoing(SERVICE)).toBe(true);
      await lab.daemon.start();
      expect(await operator.done('status')).toContain('taken over from the pins of the run before');
    });

    it('was ended, while somebody watched', async () => {
      const watching = startHoldfast('events', { socket: operator.socket });
      await sleep(500);
      await lab.daemon.end('SIGTERM');
      expect(await watching.ended).toEqual({
        exit: 69,
        stdout: '',
        stderr: told(
          'There are no more events.',
          'holdfastd has ended, or begins again.',
          'See holdfast status, and ask for events again.',
        ),
      });
      expect(await operator.run('status')).toMatchObject({
        exit: 69,
        stderr: expect.stringContaining('There is no such socket.'),
      });
      expect(lab.isEchoing(SERVICE)).toBe(true);
      await lab.daemon.start();
    });

    it('has lost its store', async () => {
      unlinkSync(join(lab.directory, 'store.db'));
      const lost = `The store ${lab.directory}/store.db was removed.`;
      await eventually(
        async () => ((await operator.done('status')).includes('not connected') ? true : undefined),
        'the loss of the store',
      );
      expect(await operator.done('status')).toContain(`error:  ${lost}`);
      expect(await operator.run('backends drain web/b2')).toMatchObject({
        exit: 69,
        stdout: '',
        stderr: expect.stringContaining(`error:  ${lost}\n`),
      });
      // What is in the program goes on.
      expect(await operator.done('services list')).toContain('web');
      expect(lab.isEchoing(SERVICE)).toBe(true);
    });
  });
});
