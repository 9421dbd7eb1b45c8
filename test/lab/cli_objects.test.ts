// holdfast against a holdfastd: services, pools and backends one at a time, and every way in which a change is refused.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  backendViewSchema,
  changeSchema,
  failureSchema,
  itemsSchema,
  poolViewSchema,
  serviceViewSchema,
} from '../../control/api/schema.ts';
import { lines, told } from './command.ts';
import { anyRevision, Operator, WEB } from './operator.ts';
import { backendAddress, raiseTestSingle, type SingleLab } from './single.ts';

let lab: SingleLab;
let operator: Operator;
beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  await lab.start();
});
afterAll(() => lab?.down());
beforeEach(() => operator.restore());

describe('lists and single objects', () => {
  it('services', async () => {
    expect(await operator.done('services list')).toBe(
      lines(
        'SERVICE  ADDRESSES    PORT    POOL  BACKENDS  PACKETS  BYTES  NEW FLOWS',
        'web      198.18.0.10  tcp 80  web          2        0    0 B          0',
      ),
    );
    expect(anyRevision(await operator.done('services show web')).replace(/\d+\n$/, 'N\n')).toBe(
      lines(
        'service    web',
        'addresses  198.18.0.10',
        'port       tcp 80',
        'pool       web, backends with a weight: 2',
        'timeout    10 min',
        'packets    0',
        'bytes      0 B',
        'new flows  0',
        'revision   N',
      ),
    );
    const { items } = await operator.json(itemsSchema(serviceViewSchema), 'services list');
    expect(items).toMatchObject([{ ...WEB.services[0], backends: 2 }]);
    expect(await operator.json(serviceViewSchema, 'services show web')).toEqual(items[0]);
  });

  it('pools', async () => {
    expect(await operator.done('pools list')).toBe(
      lines(
        'POOL   SLOTS  BACKENDS  WITH WEIGHT  UNASSIGNED  SERVICES',
        'spare    101         0            0         101',
        'web    1,000         2            2           0  web',
      ),
    );
    expect(await operator.done('pools show web')).toMatch(
      /^pool {6}web\nslots {5}1,000\nservices {2}web\nhealth {4}not checked\nrevision {2}\d+, id \d+\n\nBACKEND {2}WEIGHT {2}SLOTS {3}SHARE/,
    );
    expect(await operator.done('pools show spare')).toContain(
      'slots     101, 101 with no backend\nservices  none\nhealth    not checked\n',
    );
    const { items } = await operator.json(itemsSchema(poolViewSchema), 'pools list');
    expect(items).toMatchObject([
      { name: 'spare', unassignedSlots: 101, backends: [] },
      { name: 'web', slots: 1_000, services: ['web'], unassignedSlots: 0 },
    ]);
    expect(await operator.json(poolViewSchema, 'pools show web')).toEqual(items[1]);
  });

  it('backends', async () => {
    await lab.reaches(backendAddress(1), backendAddress(2));
    expect(await operator.done('backends list')).toBe(
      lines(
        'BACKEND  ADDRESS        TUNNEL  WEIGHT  SLOTS   SHARE  PATH   PACKETS  BYTES  NEW FLOWS',
        'web/b1   198.18.200.11  ip         100    500  50.0 %  known        0    0 B          0',
        'web/b2   198.18.200.12  gue        100    500  50.0 %  known        0    0 B          0',
      ),
    );
    expect(await operator.done('backends list --pool spare')).toBe(
      'no backends; add one with holdfast backends add\n',
    );
    expect(await operator.done('backends show web/b2')).toMatch(
      /\npath {7}known, through eth0, to [0-9a-f:]{17}, MTU 1500\nfits {7}packets of at most 1472 bytes\n/,
    );
    const { items } = await operator.json(itemsSchema(backendViewSchema), 'backends list');
    expect(items).toMatchObject(WEB.backends);
    expect(await operator.json(backendViewSchema, 'backends show web/b1')).toEqual(items[0]);
  });
});

describe('a change', () => {
  it('adds, and says what was added', async () => {
    expect(anyRevision(await operator.done('pools add more --slots 53'))).toBe(
      lines('+ pool more', '    slots: 53', '', '1 added: revision N'),
    );
    const added =
      'backends add more/x --address 198.18.200.13 --weight 7 --encap gue --gue-port 6081 --mtu 1400';
    expect(anyRevision(await operator.done(`${added} --server-id 9`))).toBe(
      lines(
        '+ backend more/x',
        '    pool: more',
        '    address: 198.18.200.13',
        '    weight: 7',
        '    encap: gue',
        '    guePort: 6081',
        '    mtuBytes: 1400',
        '    serverId: 9',
        '',
        '1 added: revision N',
      ),
    );
    const service = 'services add quic --address 198.18.0.11 --protocol udp --port 443 --pool more';
    expect(
      await operator.json(changeSchema, `${service} --quic-config-rotation 1 --quic-server-id-bytes 2`),
    ).toMatchObject({
      dryRun: false,
      changes: [{ action: 'add', kind: 'service', name: 'quic', after: { quic: { serverIdBytes: 2 } } }],
    });
    expect((await operator.exported()).services).toHaveLength(2);
  });

  it('sets what is named and leaves the rest', async () => {
    expect(
      anyRevision(await operator.done('services set web --affinity-prefix4 24 --ignore-source-port --force')),
    ).toBe(
      lines(
        '~ service web',
        '    affinity.prefixLength4: (none) → 24',
        '    affinity.prefixLength6: (none) → 128',
        '    ignoreSourcePort: (none) → true',
        '',
        '1 changed: revision N',
      ),
    );
    await operator.done('services set web --unset affinity --unset ignore-source-port --force');
    await operator.done('backends set web/b1 --mtu 1400 --weight 50');
    await operator.done('backends set web/b1 --unset mtu --weight 100');
    expect(await operator.exported()).toEqual(WEB);
  });

  it('that is none says so', async () => {
    expect(anyRevision(await operator.done('backends set web/b1 --weight 100'))).toBe(
      'nothing to change at revision N\n',
    );
  });

  it('moves slots, and says how many', async () => {
    const change = await operator.json(changeSchema, 'backends set web/b1 --weight 0');
    expect(change.moved).toEqual([{ pool: 'web', slots: 500, of: 1_000 }]);
    expect(anyRevision(await operator.done('backends set web/b1 --weight 100'))).toBe(
      lines(
        '~ backend web/b1',
        '    weight: 0 → 100',
        '',
        'pool web: 500 of 1,000 slots get another backend (50.0 %)',
        '',
        '1 changed: revision N',
      ),
    );
  });

  it('drains, and says what brings the backend back', async () => {
    const drained = await operator.run('backends drain web/b2');
    expect(drained).toMatchObject({ exit: 0, stderr: expect.stringContaining('back with: holdfast ') });
    const back = drained.stderr.trim().replace('back with: holdfast ', '');
    await operator.done(back);
    expect(await operator.exported()).toEqual(WEB);
  });

  it('of a dry run is shown and not made', async () => {
    for (const line of [
      'pools add more --dry-run',
      'backends drain web/b1 --dry-run',
      'backends rm web/b1 --dry-run',
      'services set web --port 81 --protocol tcp --dry-run',
      'services rm web --dry-run',
    ]) {
      expect(await operator.done(line)).toMatch(
        /\ndry run, nothing was changed: 1 to (?:add|change|remove)\n$/,
      );
    }
    expect(await operator.exported()).toEqual(WEB);
  });

  it('removes', async () => {
    expect(anyRevision(await operator.done('services rm web'))).toBe(
      lines('- service web', '', '1 removed: revision N'),
    );
    await operator.done('backends rm web/b1');
    await operator.done('backends rm web/b2');
    await operator.done('pools rm web');
    expect(await operator.exported()).toEqual({ services: [], pools: [WEB.pools[0]], backends: [] });
    expect(await operator.done('services list')).toBe('no services; add one with holdfast services add\n');
  });

  it('that stops traffic needs force', async () => {
    await operator.done('backends rm web/b1');
    const refused = await operator.run('backends drain web/b2');
    expect(refused).toEqual({
      exit: 73,
      stdout: '',
      stderr: told(
        'Service web would have no backend: pool web has none with a weight.',
        'Its packets would be dropped.',
        'Add a backend or give one a weight first, or force the change.',
      ),
    });
    expect(await operator.run('backends drain web/b2 --force')).toMatchObject({ exit: 0 });
    expect(await operator.done('status')).toContain(
      `1 problem\n\n${told(
        'Packets of service web are dropped.',
        'No backend of the pool has a weight.',
        'See holdfast backends list; then holdfast backends set POOL/NAME --weight 100, or backends add',
      )}`,
    );
    await operator.done('backends set web/b2 --weight 1');
    expect(await operator.done('status')).toContain('no problems');
  });
});

describe('what is refused', () => {
  const add = 'services add new --address 198.18.0.20 --pool web';
  const none = (kind: string, name: string) =>
    told(`There is no ${kind} ${name}.`, undefined, `See those there are: holdfast ${kind}s list`);
  const another = 'Choose another name, or change the one that is there.';
  const addPool = 'Add the pool first, or name another one.';
  const cases: readonly [line: string, exit: number, text: string][] = [
    // What is not there.
    ['services show nope', 66, none('service', 'nope')],
    ['services set nope --pool web', 66, none('service', 'nope')],
    ['services rm nope', 66, none('service', 'nope')],
    ['pools show nope', 66, none('pool', 'nope')],
    ['pools rm nope', 66, none('pool', 'nope')],
    ['backends show web/nope', 66, none('backend', 'web/nope')],
    ['backends set web/nope --weight 1', 66, none('backend', 'web/nope')],
    ['backends drain web/nope', 66, none('backend', 'web/nope')],
    ['backends rm nope/nope', 66, none('backend', 'nope/nope')],
    ['backends list --pool nope', 66, none('pool', 'nope')],
    // What is there already.
    [
      'services add web --address 198.18.0.9 --pool web',
      73,
      told('There is a service web already.', undefined, another),
    ],
    ['pools add web', 73, told('There is a pool web already.', undefined, another)],
    [
      'backends add web/b1 --address 198.18.200.13',
      73,
      told('There is a backend web/b1 already.', undefined, another),
    ],
    // What something else needs.
    [
      'pools rm web',
      73,
      told(
        'Pool web is used by service web and has backends b1, b2.',
        undefined,
        'Remove those first, or have services use another pool.',
      ),
    ],
    // What would stop traffic.
    [
      'services set web --pool spare',
      73,
      told(
        'Service web would have no backend: pool spare has none with a weight.',
        'Its packets would be dropped.',
        'Add a backend or give one a weight first, or force the change.',
      ),
    ],
    [
      'backends add web/six --address 2001:db8::6',
      73,
      told(
        'Backend web/six is reached over IPv6, and mux node cannot send tunnels over that.',
        'No IPv6 address is there to send from: packets for the backend would be dropped.',
        'Set tunnel.source6 in the configuration of the mux, or give its interface an address; or force the change.',
      ),
    ],
    // What does not go together.
    [
      'services add new --address 198.18.0.20 --pool nope',
      65,
      told('Service new names pool nope, and there is none.', undefined, addPool),
    ],
    [
      'services set web --pool nope',
      65,
      told('Service web names pool nope, and there is none.', undefined, addPool),
    ],
    [
      'backends add nope/b1 --address 198.18.200.13',
      65,
      told('Backend b1 is to be in pool nope, and there is none.', undefined, addPool),
    ],
    [
      'services add two --address 198.18.0.10 --protocol tcp --port 80 --pool web',
      65,
      told(
        'Services web and two both have tcp port 80 of 198.18.0.10.',
        undefined,
        'Give one of them another address or port.',
      ),
    ],
    [`${add} --address 198.18.0.20`, 65, told('Service new names address 198.18.0.20 twice.')],
    [
      'services set web --quic-config-rotation 1 --quic-server-id-bytes 2',
      65,
      told('This change of service web is not valid: quic: QUIC needs protocol udp.'),
    ],
    // What says nothing that could be done. More of it is in test/unit/cli.
    [`${add} --protocol tcp --port 80000`, 2, told('--port cannot be "80000".', 'Must be at most 65535.')],
    [
      'backends add web/b3 --address 198.18.0.300',
      2,
      told('--address cannot be "198.18.0.300".', 'Not an IPv4 or IPv6 address.'),
    ],
    [
      'services show Web_2',
      65,
      told(
        'What was given is not valid.',
        'name: a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -.',
        'See holdfast services show --help',
      ),
    ],
  ];
  it.concurrent.each(cases)('%s', async (line, exit, stderr) => {
    expect(await operator.run(line)).toEqual({ exit, stdout: '', stderr });
  });

  it('is JSON with --json, on standard error', async () => {
    const { exit, stdout, stderr } = await operator.run('pools rm web --json');
    expect({ exit, stdout }).toEqual({ exit: 73, stdout: '' });
    expect(failureSchema.parse(JSON.parse(stderr))).toEqual({
      code: 'in_use',
      message: 'Pool web is used by service web and has backends b1, b2.',
      remedy: 'Remove those first, or have services use another pool.',
    });
    expect(stderr.trimEnd()).not.toContain('\n');
  });

  it('leaves everything as it was', async () => {
    expect(await operator.exported()).toEqual(WEB);
  });
});
