// Commands about flows, and the status of a mux, against a daemon that answers by the schemas: what they print, and as JSON.
import { describe, expect, it } from 'vitest';
import { FLOW_REPORT, FLOWS, FLOWS_TOP } from '../api/lib/tracked.ts';
import * as answers from './lib/answers.ts';
import { asking, lines } from './lib/asking.ts';

process.env.TZ = 'UTC';

const its = asking();
const { ask, asked, expectJson } = its;

describe('flows list', () => {
  it('shows whom they are of and where they go', async () => {
    its.daemon.reply({ 'GET /v1/flows': FLOWS });
    expect((await ask('flows list --old --client 203.0.113.0/24')).stdout).toBe(
      lines(
        'CLIENT       SERVICE  BACKEND       STATE         SLOT       SEEN  IDLE AFTER  MUX',
        '203.0.113.7  www      web/b1 (old)  trusted  web:40213  1.3 s ago      10 min  mux1',
      ),
    );
    expect(asked()[0]!.query).toEqual({ old: 'true', client: '203.0.113.0/24', limit: '100' });
    await expectJson('flows list', FLOWS);
  });

  it('goes on from page to page until there are enough, and says whom it could not ask', async () => {
    const [item] = FLOWS.items;
    const unanswered = [
      {
        node: 'mux3',
        failure: {
          code: 'unavailable',
          message: 'Mux3 could not be asked.',
          cause: 'its API is not on the network',
          remedy: 'Ask on mux3: holdfast flows list',
        },
      },
    ];
    its.daemon.reply({
      'GET /v1/flows': ({ query }) => {
        const page =
          query.after === undefined
            ? { items: [item], next: 'mux2:', unanswered: [] }
            : query.after === 'mux2:'
              ? { items: [], next: 'mux3:', unanswered: [] }
              : { items: [{ ...item, node: 'mux2' }], unanswered };
        return page;
      },
    });
    const { stdout } = await ask('flows list --limit 50 --copies');
    expect(stdout.split('\n').filter((line) => line.startsWith('203.'))).toHaveLength(2);
    expect(stdout).toContain(
      lines(
        'missing  what mux3 keeps',
        'cause    its API is not on the network',
        'remedy   Ask on mux3: holdfast flows list',
      ),
    );
    expect(asked().map(({ query }) => query)).toEqual([
      { role: 'backup', limit: '50' },
      { role: 'backup', limit: '49', after: 'mux2:' },
      { role: 'backup', limit: '49', after: 'mux3:' },
    ]);
    expect((await ask('flows list --limit 1')).stdout).toContain('there are more than 1: give --limit');
  });

  it('says that clean slots keep none', async () => {
    its.daemon.reply({ 'GET /v1/flows': { items: [], unanswered: [] } });
    expect((await ask('flows list')).stdout).toBe(
      lines('no such flow is kept: clean slots keep no state of their flows'),
    );
  });

  it.each([
    ['--slot 3', '--slot needs --pool.'],
    ['--slot -1 --pool web', '--slot cannot be "-1".'],
    ['--backend b1', '"b1" names no backend.'],
    ['--limit 0', '--limit cannot be "0".'],
    ['--limit 200000', '--limit cannot be "200000".'],
  ])('refuses %s', async (options, message) => {
    const outcome = await ask(`flows list ${options}`);
    expect(outcome).toMatchObject({ exit: 2, stdout: '' });
    expect(outcome.stderr.split('\n')[0]).toBe(`error:  ${message}`);
    expect(its.daemon.seen).toEqual([]);
  });
});

describe('flows top', () => {
  it('shows who has most', async () => {
    its.daemon.reply({ 'GET /v1/flows/top': FLOWS_TOP });
    expect((await ask('flows top --by backend --limit 5')).stdout).toBe(
      lines(
        'BACKEND  FLOWS  OLD  NASCENT   SHARE',
        'web/b2     772    0        3  95.1 %',
        '',
        'and 40 flows of 1 others',
      ),
    );
    expect(asked()[0]!.query).toEqual({ by: 'backend', limit: '5' });
    await expectJson('flows top', FLOWS_TOP);
  });
});

describe('flows show and owner', () => {
  const PATH = '/v1/flows/203.0.113.7%3A51000%3E198.51.100.10%3A443%2Ftcp';

  it.each([
    'tcp 203.0.113.7:51000 198.51.100.10:443',
    '203.0.113.7:51000>198.51.100.10:443/tcp',
    'tcp 203.0.113.7:51000 -> 198.51.100.10:443',
  ])('understand %s', async (flow) => {
    its.daemon.reply({ [`GET ${PATH}`]: FLOW_REPORT });
    expect((await ask(`flows show ${flow}`)).stdout).toBe(
      lines(
        'flow     203.0.113.7:51000>198.51.100.10:443/tcp',
        'service  www',
        'slot     40,213 of pool web, tracked',
        'change   web@11, step commit',
        'current  web/b2',
        'base     web/b1',
        'owner    mux1 (192.0.2.201), this node',
        'backup   mux2 (192.0.2.202)',
        '',
        '1  It stays with web/b1.',
      ),
    );
  });

  it('name who decides, and how to ask there', async () => {
    const owner = { ...FLOW_REPORT.owner!, node: 'mux2', self: false, api: '192.0.2.202:7443' };
    its.daemon.reply({ [`GET ${PATH}`]: { ...FLOW_REPORT, owner, backup: undefined } });
    expect((await ask('flows owner tcp 203.0.113.7:51000 198.51.100.10:443')).stdout).toBe(
      lines(
        'owner   mux2 (192.0.2.201)',
        'backup  none',
        "ask     holdfast --url https://192.0.2.202:7443 flows show '203.0.113.7:51000>198.51.100.10:443/tcp'",
      ),
    );
    expect(asked()[0]!.query).toEqual({ local: 'true' });
    its.daemon.reply({ [`GET ${PATH}`]: { ...FLOW_REPORT, tracked: false } });
    expect((await ask('flows owner tcp 203.0.113.7:51000 198.51.100.10:443')).stdout).toBe(
      lines('nobody: slot 40213 of pool web is clean, and no state is kept of its flows'),
    );
    its.daemon.reply({ [`GET ${PATH}`]: { ...FLOW_REPORT, owner: undefined } });
    expect(await ask('flows owner tcp 203.0.113.7:51000 198.51.100.10:443')).toMatchObject({
      exit: 69,
      stderr: expect.stringContaining('Nobody owns slot 40213 of pool web.'),
    });
  });

  it.each([
    ['icmp 192.0.2.1 198.51.100.10', 'ICMP is no flow that anybody keeps.'],
    ['tcp 192.0.2.1 198.51.100.10:443', '192.0.2.1 has no port.'],
    ['192.0.2.1:1>198.51.100.10/tcp', '198.51.100.10 has no port.'],
    ['192.0.2.1:1>[2001:db8::1]:1/udp', '192.0.2.1 and 2001:db8::1 are not of one IP version.'],
  ])('refuse %s', async (flow, message) => {
    const outcome = await ask(`flows show ${flow}`);
    expect(outcome).toMatchObject({ exit: 2, stdout: '' });
    expect(outcome.stderr.split('\n')[0]).toBe(`error:  ${message}`);
  });
});

describe('status of a mux', () => {
  const cluster = {
    id: 1,
    incarnation: 7,
    state: 'member',
    version: 12,
    head: 13,
    leader: 'mux2',
    members: 3,
    heard: 1,
    leaseLeftMs: 2_400,
    pastDeadline: false,
    changes: [{ id: 'web@12', step: 'commit', waitsFor: 'commit: 1 slot tracked' }],
  };

  it('has a line for its version, its membership, its deadline and each change', async () => {
    its.daemon.reply({ 'GET /v1/status': { ...answers.STATUS, cluster } });
    expect((await ask('status')).stdout).toContain(
      lines(
        'version   12, 13 is the newest',
        'mux       id 1, member; hears 1 of 2 others; leader mux2',
        'deadline  in 2.4 s',
        'changes   web@12 commit: 1 slot tracked',
      ),
    );
    const alone = {
      ...cluster,
      head: 12,
      members: 1,
      heard: 0,
      pastDeadline: true,
      leader: undefined,
      changes: [],
    };
    its.daemon.reply({ 'GET /v1/status': { ...answers.STATUS, cluster: alone } });
    expect((await ask('status')).stdout).toContain(
      lines(
        'version   12, the newest',
        'mux       id 1, member; the only one; leader none',
        'deadline  has passed: it decides nothing, and relays to others',
        'changes   none open: every slot is clean',
      ),
    );
  });
});
