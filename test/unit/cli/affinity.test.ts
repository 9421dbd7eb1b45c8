// Commands about clients with affinity, against a daemon that answers by the schemas: what they print, and as JSON.
import { describe, expect, it } from 'vitest';
import { AFFINITIES, AFFINITY, AFFINITY_RELEASE } from '../api/lib/tracked.ts';
import { asking, lines } from './lib/asking.ts';

process.env.TZ = 'UTC';

const its = asking();
const { ask, asked, expectJson } = its;
const TERMINAL = { columns: 100 };
const PATH = '/v1/affinities/203.0.113.7';

describe('affinity list', () => {
  it('shows who answers whom, by which rule', async () => {
    its.daemon.reply({
      'GET /v1/affinities': {
        ...AFFINITIES,
        items: [
          ...AFFINITIES.items,
          {
            ...AFFINITIES.items[0]!,
            client: '203.0.113.8',
            rule: 'clean',
            isOld: false,
            seenAgoMs: undefined,
            node: undefined,
          },
        ],
      },
    });
    expect((await ask('affinity list --service www --backend web/b1')).stdout).toBe(
      lines(
        'CLIENT       SERVICE  BACKEND       RULE             SLOT           SEEN  TIMEOUT  NODE',
        '203.0.113.7  www      web/b1 (old)  recorded    web:40213  1 min 1 s ago   20 min  mux1',
        '203.0.113.8  www      web/b1        clean slot  web:40213                  20 min',
      ),
    );
    expect(asked()[0]!.query).toEqual({ service: 'www', backend: 'web/b1', limit: '100' });
  });

  it('is JSON for who wants it', async () => {
    its.daemon.reply({ 'GET /v1/affinities': AFFINITIES });
    await expectJson('affinity list', AFFINITIES);
  });

  it('goes on from page to page until there are enough, and says whom it could not ask', async () => {
    const unanswered = [
      {
        node: 'mux3',
        failure: {
          code: 'unavailable',
          message: 'Node mux3 could not be asked.',
          cause: 'its API is not on the network',
          remedy: 'Ask on mux3: holdfast flows list',
        },
      },
    ];
    its.daemon.reply({
      'GET /v1/affinities': ({ query }) =>
        query.after === undefined
          ? { ...AFFINITIES, next: 'mux.mux2:' }
          : { items: [], unanswered, next: undefined },
    });
    const { stdout } = await ask('affinity list --limit 50');
    expect(stdout).toContain(lines('missing  what mux3 keeps', 'cause    its API is not on the network'));
    expect(asked().map(({ query }) => query)).toEqual([{ limit: '50' }, { limit: '49', after: 'mux.mux2:' }]);
    expect((await ask('affinity list --limit 1')).stdout).toContain('there are more than 1: give --limit');
  });

  it('says where one is to be looked for that is recorded nowhere', async () => {
    its.daemon.reply({ 'GET /v1/affinities': { items: [], unanswered: [] } });
    expect((await ask('affinity list')).stdout).toBe(
      lines(
        'no such client is recorded: of clean slots nothing is, and the hash says who answers (--client ADDRESS)',
      ),
    );
  });

  it.each([
    ['--backend b1', '"b1" names no backend.'],
    ['--limit 0', '--limit cannot be "0".'],
  ])('refuses %s', async (options, message) => {
    const outcome = await ask(`affinity list ${options}`);
    expect(outcome).toMatchObject({ exit: 2, stdout: '' });
    expect(outcome.stderr.split('\n')[0]).toBe(`error:  ${message}`);
    expect(its.daemon.seen).toEqual([]);
  });
});

describe('affinity explain', () => {
  it('says who answers, by which rule, since when, until when, and what would change', async () => {
    its.daemon.reply({ [`GET ${PATH}`]: AFFINITY });
    expect((await ask('affinity explain 203.0.113.7 --service www')).stdout).toBe(
      lines(
        'client   203.0.113.7',
        'service  www at 198.51.100.10',
        'backend  web/b1',
        'rule     recorded',
        'since    change web@11 began, 1 min 3 s ago',
        'until    silent for 20 min: 18 min 58 s left',
        'slot     40,213 of pool web',
        'change   web@11, step commit',
        'current  web/b2',
        'base     web/b1',
        'owner    mux1 (192.0.2.201), this node',
        'backup   mux2 (192.0.2.202)',
        'without  web/b1: web/b2, at once if it is dead, after the timeout if it is drained',
        '',
        '1  It stays with web/b1.',
      ),
    );
    expect(asked()[0]!.query).toEqual({ service: 'www' });
    await expectJson('affinity explain 203.0.113.7', AFFINITY);
  });

  it('takes a prefix, and whoever is to leave', async () => {
    its.daemon.reply({ 'GET /v1/affinities/203.0.113.0%2F24': AFFINITY });
    expect(await ask('affinity explain 203.0.113.0/24 --without web/b1')).toMatchObject({ exit: 0 });
    expect(asked()[0]!.query).toEqual({ without: 'web/b1' });
  });

  it('refuses what is no backend', async () => {
    expect(await ask('affinity explain 203.0.113.7 --without b1')).toMatchObject({ exit: 2 });
  });
});

describe('affinity release', () => {
  it('asks in a terminal, and forces what was agreed to', async () => {
    its.daemon.reply({
      [`DELETE ${PATH}`]: ({ query }) => ({ ...AFFINITY_RELEASE, dryRun: query.dryRun === 'true' }),
    });
    const no = await ask('affinity release 203.0.113.7', { input: 'n\n', terminal: TERMINAL });
    expect(no.exit).toBe(130);
    expect(asked().map(({ query }) => query)).toEqual([{ dryRun: 'true', force: 'true' }]);
    const yes = await ask('affinity release 203.0.113.7', { input: 'y\n', terminal: TERMINAL });
    expect(yes.stdout).toContain('203.0.113.7 is let go');
    expect(asked().at(-1)!.query).toEqual({ force: 'true' });
  });

  it('elsewhere does what it is told, and needs force for more', async () => {
    its.daemon.reply({ [`DELETE ${PATH}`]: AFFINITY_RELEASE });
    await expectJson('affinity release 203.0.113.7 --service www', AFFINITY_RELEASE);
    expect(asked()[0]!.query).toEqual({ service: 'www' });
    await ask('affinity release 203.0.113.7 --force');
    expect(asked().at(-1)!.query).toEqual({ force: 'true' });
  });

  it('says what a dry run would do, and when there is nothing to do', async () => {
    its.daemon.reply({ [`DELETE ${PATH}`]: { ...AFFINITY_RELEASE, dryRun: true } });
    expect((await ask('affinity release 203.0.113.7 --dry-run')).stdout).toBe(
      lines(
        'For service www at 198.51.100.10 it goes from web/b1 to web/b2.',
        '',
        'dry run, nothing was changed: 203.0.113.7 would be let go',
      ),
    );
    its.daemon.reply({
      [`DELETE ${PATH}`]: { ...AFFINITY_RELEASE, action: 'none', effects: ['It is there.'] },
    });
    expect((await ask('affinity release 203.0.113.7')).stdout).toBe(
      lines('It is there.', '', 'nothing to change'),
    );
  });
});

describe('the timeout of a service', () => {
  it('is given as a span of time, and taken away', async () => {
    its.daemon.reply({ 'PATCH /v1/services/www': { dryRun: false, revision: 3, changes: [], moved: [] } });
    await ask('services set www --idle-timeout 4h');
    await ask('services set www --unset idle-timeout');
    expect(asked().map(({ body }) => body)).toEqual([{ idleTimeoutMs: 14_400_000 }, { idleTimeoutMs: null }]);
    expect(await ask('services set www --idle-timeout long')).toMatchObject({ exit: 2 });
  });
});
