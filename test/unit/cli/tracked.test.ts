// Commands about muxes and changes, against a daemon that answers by the schemas: what they print, and as JSON.
import { describe, expect, it } from 'vitest';
import type { Changes } from '../../../control/api/schema.ts';
import { CHANGES, MUX1, MUX2, POOL_PLAN } from '../api/lib/tracked.ts';
import * as answers from './lib/answers.ts';
import { asking, lines } from './lib/asking.ts';
import { answerJson, failure } from './lib/fake_daemon.ts';

process.env.TZ = 'UTC';

const its = asking();
const { ask, asked, expectJson } = its;
const TERMINAL = { columns: 110, rows: 40 };
// biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal gets
const plain = (text: string) => text.replace(/\x1b\[[?0-9;]*[a-zA-Z]/g, '').replaceAll('\r', '');

describe('nodes list', () => {
  it('says who takes part, how far each is, and what is wrong', async () => {
    const gone = {
      ...MUX2,
      name: 'mux3',
      id: 3,
      state: 'gone',
      heard: [
        { by: 'mux1', suspects: true },
        { by: 'mux2', suspects: true },
      ],
      problems: ['mux1 and mux2 do not hear it.'],
    };
    its.daemon.reply({ 'GET /v1/nodes': { items: [MUX1, MUX2, gone] } });
    expect(await ask('nodes list')).toEqual({
      exit: 0,
      stderr: '',
      stdout: lines(
        'NODE   ROLES  STATE                 ID  ADDRESS      VERSION      HEARD  LEASE    OWNS   BACKS  FLOWS',
        'mux1*  mux    member                 1  192.0.2.201       12             2.4 s  10,923  10,922    812',
        'mux2   mux    member                 2  192.0.2.202  11 (-1)  32 ms ago         10,923  10,922    812',
        'mux3   mux    gone, suspected by 2   3  192.0.2.202  11 (-1)      never         10,923  10,922    812',
        '',
        'mux3  mux1 and mux2 do not hear it.',
        '',
        '* answers this command: how long ago it heard others, and its lease, are its own knowledge',
      ),
    });
    await expectJson('nodes list', { items: [MUX1, MUX2, gone] });
  });

  it('shows who hears whom', async () => {
    const deaf = { ...MUX1, heard: [{ by: 'mux2', suspects: true }] };
    its.daemon.reply({ 'GET /v1/nodes': { items: [deaf, MUX2] } });
    expect((await ask('nodes list --matrix')).stdout).toBe(
      lines(
        'HEARS    mux1   mux2',
        'mux1*       -  32 ms',
        'mux2   silent      -',
        '',
        '* answers this command; of the others it is known whom they do not hear',
      ),
    );
    its.daemon.reply({ 'GET /v1/nodes': { items: [{ ...MUX1, heard: [] }] } });
    expect((await ask('nodes list --matrix')).stdout).toBe(
      lines('there are no two muxes, so nobody hears anybody'),
    );
  });
});

describe('nodes show', () => {
  it('says all that is known of one', async () => {
    its.daemon.reply({ 'GET /v1/nodes/mux2': MUX2 });
    expect((await ask('nodes show mux2')).stdout).toBe(
      lines(
        'node      mux2 (mux)',
        'state     member',
        'software  holdfastd 0.1.0',
        'mux       id 2, incarnation 77',
        'address   192.0.2.202, UDP port 7445',
        'api       192.0.2.202:7443',
        'version   11, 1 version behind',
        'heard by  mux1 32 ms ago',
        'keeps     10,923 slots as owner, 10,922 as backup',
        'flows     812, 40 on an old backend',
      ),
    );
    await expectJson('nodes show mux2', MUX2);
  });

  it('says what to do where there is no such node', async () => {
    its.daemon.reply({
      'GET /v1/nodes/mux9': failure(404, {
        code: 'not_found',
        message: 'There is no node mux9.',
        remedy: 'See those there are: holdfast nodes list',
      }),
    });
    expect(await ask('nodes show mux9')).toEqual({
      exit: 66,
      stdout: '',
      stderr: lines('error:  There is no node mux9.', 'remedy: See those there are: holdfast nodes list'),
    });
  });
});

describe('nodes drain and remove', () => {
  const drained = { dryRun: false, action: 'drain', node: MUX2, effects: ['It hands over.'] };

  it('say what follows', async () => {
    its.daemon.reply({ 'POST /v1/nodes/mux2/drain': drained });
    expect(await ask('nodes drain mux2')).toEqual({
      exit: 0,
      stderr: '',
      stdout: lines('It hands over.', '', 'mux2 drains'),
    });
    expect(asked()).toEqual([{ method: 'POST', path: '/v1/nodes/mux2/drain', query: {}, body: {} }]);
    await expectJson('nodes drain mux2', drained);
  });

  it('take a drain back without a question', async () => {
    its.daemon.reply({
      'POST /v1/nodes/mux2/drain': { ...drained, action: 'undo drain', effects: [] },
    });
    const outcome = await ask('nodes drain --undo mux2', { terminal: TERMINAL, env: { NO_COLOR: '1' } });
    expect(outcome).toEqual({ exit: 0, stderr: '', stdout: lines('mux2 is not drained any more') });
    expect(asked().at(-1)).toMatchObject({ body: { undo: true } });
  });

  it('ask first in a terminal, and do nothing where the answer is no', async () => {
    its.daemon.reply({ 'DELETE /v1/nodes/mux2': { ...drained, action: 'remove', dryRun: true } });
    const outcome = await ask('nodes remove mux2', {
      terminal: TERMINAL,
      input: 'n\n',
      env: { NO_COLOR: '1' },
    });
    expect(outcome).toMatchObject({ exit: 130, stdout: '' });
    expect(outcome.stderr).toContain('It hands over.');
    expect(outcome.stderr).toContain('Forget mux2? [y/N]');
    expect(asked()).toEqual([
      { method: 'DELETE', path: '/v1/nodes/mux2', query: { dryRun: 'true' }, body: undefined },
    ]);
  });

  it('show on a dry run what would follow', async () => {
    its.daemon.reply({ 'DELETE /v1/nodes/mux2': { ...drained, action: 'remove', dryRun: true } });
    expect((await ask('nodes remove mux2 --dry-run --force')).stdout).toBe(
      lines('It hands over.', '', 'dry run, nothing was changed: mux2 would be forgotten'),
    );
    expect(asked().at(-1)).toMatchObject({ query: { dryRun: 'true', force: 'true' } });
  });

  it('are refused in the words of the daemon', async () => {
    its.daemon.reply({
      'DELETE /v1/nodes/mux2': failure(409, {
        code: 'unsafe',
        message: 'Mux2 is not gone.',
        cause: 'it is a member of the cluster',
        remedy: 'drain it first: holdfast nodes drain mux2; or force it',
      }),
    });
    expect(await ask('nodes remove mux2')).toEqual({
      exit: 73,
      stdout: '',
      stderr: lines(
        'error:  Mux2 is not gone.',
        'cause:  it is a member of the cluster',
        'remedy: Drain it first: holdfast nodes drain mux2; or force it',
      ),
    });
  });
});

describe('changes', () => {
  it('are a line each', async () => {
    its.daemon.reply({ 'GET /v1/changes': CHANGES });
    expect((await ask('changes')).stdout).toBe(
      lines(
        'version  12, in effect here',
        'edits    up to revision 18',
        'leader   mux1',
        '',
        'POOL   SLOTS   CLEAN  TRACK  COMMIT  SETTLE',
        'web   65,537  43,692      0  21,845       0',
        '',
        'CHANGE  STEP    SINCE   SLOTS  FLOWS  OLD  NEXT STEP  WAITS',
        'web@11  commit  1 min  21,845    812   40  in 10 min  The settle window lasts another 10 min.',
      ),
    );
    await expectJson('changes', CHANGES);
  });

  it('are told in full where one is named', async () => {
    its.daemon.reply({ 'GET /v1/changes': CHANGES });
    expect((await ask('changes web@11')).stdout).toBe(
      lines(
        'change     web@11, since 1 min 3 s',
        'edits      revision 18',
        'steps      done     track   3.1 s',
        '           now      commit  for 1 min, 10 min left',
        '           next     settle',
        'slots      21,845 of 65,537 tracked, 21,845 with another base',
        '           web/b1 -> web/b2  21,845',
        'flows      812 recorded, 40 on an old backend',
        'waits      The settle window lasts another 10 min.',
        'next step  in 10 min at the earliest',
        '',
        'MUX   ACKNOWLEDGED  COPIED  FLOWS  OLD  UNRECORDED',
        'mux1  yes           yes       812   40',
        'mux2  no            yes         ?    ?',
      ),
    );
  });

  it('that have ended are there, too', async () => {
    its.daemon.reply({ 'GET /v1/changes': { ...CHANGES, open: [] } });
    expect((await ask('changes --finished')).stdout).toContain(
      lines(
        'no change is open: every slot is clean',
        '',
        'ENDED                CHANGE         TOOK  SLOTS  STEPS        EDITS',
        '2025-12-31 23:50:00  web@3   11 min 40 s    100  track 3.1 s  revision 9',
      ),
    );
    expect((await ask('changes web@3')).stdout).toContain('web@3');
  });

  it('says what two muxes that went at once may have lost, and one that went while another left', async () => {
    const [first] = CHANGES.open;
    const open = [{ ...first!, lostSlots: 1_200, lostBriefly: 200 }];
    its.daemon.reply({ 'GET /v1/changes': { ...CHANGES, open } });
    const { stdout: out } = await ask('changes web@11');
    expect(out).toContain('owner and backup of 1,000 slots at once: flows may have lost their server');
    expect(out).toContain('an owner while a mux left: flows of 200 slots that began in those seconds');
  });

  it('say why nothing goes on', async () => {
    const { leader: _, ...leaderless } = CHANGES;
    its.daemon.reply({ 'GET /v1/changes': { ...leaderless, waitsFor: ['No node makes versions now.'] } });
    expect((await ask('changes')).stdout).toContain(
      lines('leader   none', 'note     No node makes versions now.'),
    );
  });

  it('that there are not are an error', async () => {
    its.daemon.reply({ 'GET /v1/changes': CHANGES });
    expect(await ask('changes web@99')).toEqual({
      exit: 66,
      stdout: '',
      stderr: lines(
        'error:  There is no change web@99.',
        'cause:  A node forgets those that have ended when its holdfastd begins again.',
        'remedy: See those there are: holdfast changes --finished',
      ),
    });
  });

  it('have a bar of slots by state in a terminal', async () => {
    its.daemon.reply({ 'GET /v1/changes': CHANGES });
    const { stdout } = await ask('changes', { terminal: TERMINAL, env: { NO_COLOR: '1' } });
    expect(stdout).toContain(`  ${'█'.repeat(27)}${'▓'.repeat(13)}\n`);
  });

  /** The next one at each question; the last again and again. */
  const oneAfterTheOther = (...all: readonly Changes[]) => {
    let at = 0;
    return () => all[Math.min(at++, all.length - 1)]!;
  };
  const [first] = CHANGES.open;
  const settled: Changes = { ...CHANGES, open: [{ ...first!, step: 'settle', waitsFor: [] }] };
  const clean: Changes = { ...CHANGES, open: [] };

  it('are followed to their end, a line for each thing that is new', async () => {
    const next = oneAfterTheOther(CHANGES, CHANGES, settled, clean);
    its.daemon.reply({ 'GET /v1/changes': next });
    expect(await ask('changes --watch 0.1')).toEqual({
      exit: 0,
      stderr: '',
      stdout: lines(
        '2026-01-01 00:00:00  web@11: commit, 21,845 slots tracked, 40 flows on old backends; The settle window lasts another 10 min.',
        '2026-01-01 00:00:00  web@11: settle, 21,845 slots tracked, 40 flows on old backends',
        '2026-01-01 00:00:00  web@11: has ended, all its slots are clean',
      ),
    });
    expect(its.daemon.seen).toHaveLength(4);
  });

  it('are followed as lines of JSON', async () => {
    const next = oneAfterTheOther(CHANGES, clean);
    its.daemon.reply({ 'GET /v1/changes': next });
    const { exit, stdout } = await ask('changes --watch 0.1 --json');
    expect(exit).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([CHANGES, clean]);
  });

  it('are followed on a live screen, which stays readable', async () => {
    const next = oneAfterTheOther(CHANGES, clean);
    its.daemon.reply({ 'GET /v1/changes': next });
    const { exit, stdout } = await ask('changes --watch 0.1', { terminal: TERMINAL });
    expect(exit).toBe(0);
    expect(stdout.startsWith('\x1b[?1049h')).toBe(true);
    expect(plain(stdout)).toContain('▶ commit  █▉                    for 1 min, 10 min left');
    expect(plain(stdout.slice(stdout.indexOf('\x1b[?1049l')))).toContain('every slot is clean');
  });

  it('go on without the daemon, which is waited for', async () => {
    let at = 0;
    its.daemon.reply({
      'GET /v1/changes': (_, response) => {
        at++;
        if (at !== 2) return at === 1 ? CHANGES : clean;
        return answerJson(response, 503, { code: 'unavailable', message: 'Not now.' });
      },
    });
    expect(await ask('changes --watch 0.1')).toMatchObject({ exit: 0, stderr: lines('Not now.') });
  });

  it('are no longer followed once somebody presses Ctrl-C', async () => {
    const stop = new AbortController();
    its.daemon.reply({
      'GET /v1/changes': () => {
        setTimeout(() => stop.abort(), 50);
        return CHANGES;
      },
    });
    expect((await ask('changes --watch 5', { signal: stop.signal })).exit).toBe(130);
  });

  it.each(['0', 'x', '4000'])('cannot be followed every "%s" seconds', async (seconds) => {
    expect(await ask(`changes --watch ${seconds}`)).toEqual({
      exit: 2,
      stdout: '',
      stderr: lines(`error:  --watch takes 0.1 to 3600 seconds, not "${seconds}".`),
    });
  });
});

describe('nodes rotate-key', () => {
  const keys = { step: 5, state: 'learning', lacking: ['mux1'] };

  it('begins a change of the key, and says what to look at', async () => {
    its.daemon.reply({ 'POST /v1/keys/rotate': keys });
    expect(await ask('nodes rotate-key')).toMatchObject({
      stdout: lines('the key is being changed: step 5'),
      stderr: lines('if it does not come to its end, holdfast doctor says which mux it waits for'),
    });
    expect(JSON.parse((await ask('nodes rotate-key --json')).stdout)).toEqual(keys);
  });
});

describe('an edit', () => {
  const change = { ...answers.DRAINED, revision: 20 };

  it('shows on a dry run how slots would move', async () => {
    its.daemon.reply({ 'PATCH /v1/backends/web/b1': { ...change, dryRun: true, plan: [POOL_PLAN] } });
    expect((await ask('backends drain web/b1 --dry-run')).stdout).toBe(
      lines(
        '~ backend web/b1',
        '    weight: 100 → 0',
        '',
        'pool web: 21,845 of 65,537 slots get another backend (33.3 %)',
        '    web/b1 -> web/b2  21,845',
        '    in steps, and each flow stays where it is',
        '    track   3.0 s at least  Every mux has it.',
        '    commit  11 min at least',
        '    settle',
        '    no flow is at risk; all is clean after 11 min 3 s at the earliest',
        '',
        'dry run, nothing was changed: 1 to change',
      ),
    );
  });

  it('shows whose flows are at risk', async () => {
    const plan = {
      ...POOL_PLAN,
      flows: { known: 40, atRisk: 12 },
      risks: [
        { kind: 'given-up', slots: 5_041, known: 12, why: 'Flows of 5,041 slots end: web/b1 is given up.' },
        { kind: 'copying', slots: 1, known: 0, why: 'Flows of 1 slot are being copied.' },
      ],
    };
    its.daemon.reply({ 'PATCH /v1/backends/web/b1': { ...change, dryRun: true, plan: [plan] } });
    expect((await ask('backends drain web/b1 --dry-run')).stdout).toContain(
      lines(
        '    Flows of 5,041 slots end: web/b1 is given up. Recorded: 12 flows.',
        '    Flows of 1 slot are being copied. None is recorded yet.',
        '    flows of 5,042 slots are at risk, 40 live flows of the pool recorded by now; all is clean after 11 min 3 s at the earliest',
      ),
    );
  });

  it('waits for its own slots where asked: not before its version, and not for others', async () => {
    const [open] = CHANGES.open;
    const other = { ...open!, id: 'dns@4', pool: 'dns' };
    const states: Changes[] = [
      { ...CHANGES, publishedRevision: 19, open: [other] },
      { ...CHANGES, publishedRevision: 20, open: [open!, other] },
      { ...CHANGES, publishedRevision: 21, open: [{ ...open!, id: 'web@30' }, other] },
    ];
    let at = 0;
    its.daemon.reply({
      'PATCH /v1/backends/web/b1': change,
      'GET /v1/changes': () => states[Math.min(at++, 2)],
    });
    const outcome = await ask('backends drain web/b1 --wait');
    expect(outcome).toMatchObject({
      exit: 0,
      stderr: lines('back with: holdfast backends set web/b1 --weight 100'),
    });
    expect(outcome.stdout).not.toContain('web@11');
    expect(at).toBe(3);
  });

  it('is not waited for where it is only planned', async () => {
    expect(await ask('backends drain web/b1 --dry-run --wait')).toEqual({
      exit: 2,
      stdout: '',
      stderr: lines('error:  --dry-run changes nothing, so there is nothing to wait for.'),
    });
  });
});

describe('plan', () => {
  it('says what a file would do, and changes nothing', async () => {
    its.daemon.reply({ 'POST /v1/plan': { ...answers.DRAINED, dryRun: true, plan: [POOL_PLAN] } });
    const outcome = await ask('plan -f -', { input: 'services: []\npools: []\n' });
    expect(outcome).toMatchObject({ exit: 0, stderr: '' });
    expect(outcome.stdout).toContain('all is clean after 11 min 3 s at the earliest');
    expect(asked()).toMatchObject([{ method: 'POST', path: '/v1/plan', query: {} }]);
  });

  it('says without a file what is still to be done', async () => {
    its.daemon.reply({ 'GET /v1/changes': CHANGES });
    expect((await ask('plan')).stdout).toContain('now      commit  for 1 min, 10 min left');
    await expectJson('plan', CHANGES);
  });

  it('needs a file that says something', async () => {
    expect(await ask('plan -f -', { input: '# nothing\n' })).toMatchObject({
      exit: 65,
      stderr: expect.stringContaining('Standard input is empty.'),
    });
  });
});
