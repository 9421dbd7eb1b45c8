// holdfast against a holdfastd: what changes the cluster, and every way in which that is refused.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import {
  backendViewSchema,
  changeSchema,
  failureSchema,
  itemsSchema,
  poolViewSchema,
  serviceViewSchema,
} from '../../control/api/schema.ts';
import type { Document } from '../../control/config/objects.ts';
import { documentSchema } from '../../control/config/objects.ts';
import { type CommandOptions, holdfast as command, lines, type Outcome, told } from './command.ts';
import { backendAddress, raiseTestSingle, type SingleLab } from './single.ts';

let lab: SingleLab;
beforeAll(async () => {
  lab = raiseTestSingle();
  await lab.start();
});
afterAll(() => lab?.down());

const WEB: Document = {
  services: [{ name: 'web', addresses: ['198.18.0.10'], protocol: 'tcp', port: 80, pool: 'web' }],
  pools: [
    { name: 'spare', slots: 101 },
    { name: 'web', slots: 1_009 },
  ],
  backends: [
    { pool: 'web', name: 'b1', address: backendAddress(1), weight: 100, encap: 'ip' },
    { pool: 'web', name: 'b2', address: backendAddress(2), weight: 100, encap: 'gue' },
  ],
};
beforeEach(() => lab.daemon.client.apply(WEB, { force: true }));

const holdfast = (line: string | readonly string[], options: CommandOptions = {}): Promise<Outcome> =>
  command(line, { socket: lab.daemon.place.socket, ...options });

async function done(line: string | readonly string[], options?: CommandOptions): Promise<string> {
  const { exit, stdout, stderr } = await holdfast(line, options);
  expect({ line, exit, stderr }).toEqual({ line, exit: 0, stderr: '' });
  return stdout;
}

/** The one document that it prints, which is all that `schema` knows, and nothing that it does not. */
async function json<T>(schema: { parse: (value: unknown) => T }, line: string): Promise<T> {
  const found: unknown = JSON.parse(await done(`${line} --json`));
  const parsed = schema.parse(found);
  expect(parsed).toEqual(found);
  return parsed;
}

/** Revisions differ from run to run. */
const anyRevision = (text: string) => text.replaceAll(/revision \d+/g, 'revision N');

const exported = async () => documentSchema.parse(parse(await done('export')));

function file(name: string, text: string): string {
  const path = join(lab.directory, name);
  writeFileSync(path, text);
  return path;
}

describe('lists and single objects', () => {
  it('services', async () => {
    expect(await done('services list')).toBe(
      lines(
        'SERVICE  ADDRESSES    PORT    POOL  BACKENDS  PACKETS  BYTES  NEW FLOWS',
        'web      198.18.0.10  tcp 80  web          2        0    0 B          0',
      ),
    );
    expect(anyRevision(await done('services show web')).replace(/\d+\n$/, 'N\n')).toBe(
      lines(
        'service    web',
        'addresses  198.18.0.10',
        'port       tcp 80',
        'pool       web, backends with a weight: 2',
        'packets    0',
        'bytes      0 B',
        'new flows  0',
        'revision   N',
      ),
    );
    const { items } = await json(itemsSchema(serviceViewSchema), 'services list');
    expect(items).toMatchObject([{ ...WEB.services[0], backends: 2 }]);
    expect(await json(serviceViewSchema, 'services show web')).toEqual(items[0]);
  });

  it('pools', async () => {
    expect(await done('pools list')).toBe(
      lines(
        'POOL   SLOTS  BACKENDS  WITH WEIGHT  UNASSIGNED  SERVICES',
        'spare    101         0            0         101',
        'web    1,009         2            2           0  web',
      ),
    );
    expect(await done('pools show web')).toMatch(
      /^pool {6}web\nslots {5}1,009\nservices {2}web\nrevision {2}\d+, id \d+\n\nBACKEND {2}WEIGHT {2}SLOTS {3}SHARE/,
    );
    expect(await done('pools show spare')).toContain('slots     101, 101 with no backend\nservices  none\n');
    const { items } = await json(itemsSchema(poolViewSchema), 'pools list');
    expect(items).toMatchObject([
      { name: 'spare', unassignedSlots: 101, backends: [] },
      { name: 'web', slots: 1_009, services: ['web'], unassignedSlots: 0 },
    ]);
    expect(await json(poolViewSchema, 'pools show web')).toEqual(items[1]);
  });

  it('backends', async () => {
    await lab.reaches(backendAddress(1), backendAddress(2));
    expect(await done('backends list')).toBe(
      lines(
        'BACKEND  ADDRESS        TUNNEL  WEIGHT  SLOTS   SHARE  PATH   PACKETS  BYTES  NEW FLOWS',
        'web/b1   198.18.200.11  ip         100    505  50.0 %  known        0    0 B          0',
        'web/b2   198.18.200.12  gue        100    504  50.0 %  known        0    0 B          0',
      ),
    );
    expect(await done('backends list --pool spare')).toBe(
      'no backends; add one with holdfast backends add\n',
    );
    expect(await done('backends show web/b2')).toMatch(
      /\npath {7}known, through eth0, to [0-9a-f:]{17}, MTU 1500\nfits {7}packets of at most 1472 bytes\n/,
    );
    const { items } = await json(itemsSchema(backendViewSchema), 'backends list');
    expect(items).toMatchObject(WEB.backends);
    expect(await json(backendViewSchema, 'backends show web/b1')).toEqual(items[0]);
  });
});

describe('a change', () => {
  it('adds, and says what was added', async () => {
    expect(anyRevision(await done('pools add more --slots 53'))).toBe(
      lines('+ pool more', '    slots: 53', '', '1 added: revision N'),
    );
    const added =
      'backends add more/x --address 198.18.200.13 --weight 7 --encap gue --gue-port 6081 --mtu 1400';
    expect(anyRevision(await done(`${added} --server-id 9`))).toBe(
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
      await json(changeSchema, `${service} --quic-config-rotation 1 --quic-server-id-bytes 2`),
    ).toMatchObject({
      dryRun: false,
      changes: [{ action: 'add', kind: 'service', name: 'quic', after: { quic: { serverIdBytes: 2 } } }],
    });
    expect((await exported()).services).toHaveLength(2);
  });

  it('sets what is named and leaves the rest', async () => {
    expect(anyRevision(await done('services set web --affinity-prefix4 24 --ignore-source-port'))).toBe(
      lines(
        '~ service web',
        '    affinity.prefixLength4: (none) → 24',
        '    affinity.prefixLength6: (none) → 128',
        '    ignoreSourcePort: (none) → true',
        '',
        '1 changed: revision N',
      ),
    );
    await done('services set web --unset affinity --unset ignore-source-port');
    await done('backends set web/b1 --mtu 1400 --weight 50');
    await done('backends set web/b1 --unset mtu --weight 100');
    expect(await exported()).toEqual(WEB);
  });

  it('that is none says so', async () => {
    expect(anyRevision(await done('backends set web/b1 --weight 100'))).toBe(
      'nothing to change at revision N\n',
    );
  });

  it('moves slots, and says how many', async () => {
    const change = await json(changeSchema, 'backends set web/b1 --weight 0');
    expect(change.moved).toEqual([{ pool: 'web', slots: 505, of: 1_009 }]);
    expect(anyRevision(await done('backends set web/b1 --weight 100'))).toBe(
      lines(
        '~ backend web/b1',
        '    weight: 0 → 100',
        '',
        'pool web: 504 of 1,009 slots get another backend (50.0 %)',
        '',
        '1 changed: revision N',
      ),
    );
  });

  it('drains, and says what brings the backend back', async () => {
    const drained = await holdfast('backends drain web/b2');
    expect(drained).toMatchObject({ exit: 0, stderr: expect.stringContaining('back with: holdfast ') });
    const back = drained.stderr.trim().replace('back with: holdfast ', '');
    await done(back);
    expect(await exported()).toEqual(WEB);
  });

  it('of a dry run is shown and not made', async () => {
    for (const line of [
      'pools add more --dry-run',
      'backends drain web/b1 --dry-run',
      'backends rm web/b1 --dry-run',
      'services set web --port 81 --protocol tcp --dry-run',
      'services rm web --dry-run',
    ]) {
      expect(await done(line)).toMatch(/\ndry run, nothing was changed: 1 to (?:add|change|remove)\n$/);
    }
    expect(await exported()).toEqual(WEB);
  });

  it('removes', async () => {
    expect(anyRevision(await done('services rm web'))).toBe(
      lines('- service web', '', '1 removed: revision N'),
    );
    await done('backends rm web/b1');
    await done('backends rm web/b2');
    await done('pools rm web');
    expect(await exported()).toEqual({ services: [], pools: [WEB.pools[0]], backends: [] });
    expect(await done('services list')).toBe('no services; add one with holdfast services add\n');
  });

  it('that stops traffic needs force', async () => {
    await done('backends rm web/b1');
    const refused = await holdfast('backends drain web/b2');
    expect(refused).toEqual({
      exit: 73,
      stdout: '',
      stderr: told(
        'Service web would have no backend: pool web has none with a weight.',
        'Its packets would be dropped.',
        'Add a backend or give one a weight first, or force the change.',
      ),
    });
    expect(await holdfast('backends drain web/b2 --force')).toMatchObject({ exit: 0 });
    expect(await done('status')).toContain(
      `1 problem\n\n${told(
        'Packets of service web are dropped.',
        'No backend of the pool has a weight.',
        'See holdfast backends list; then holdfast backends set POOL/NAME --weight 100, or backends add',
      )}`,
    );
    await done('backends set web/b2 --weight 1');
    expect(await done('status')).toContain('no problems');
  });
});

describe('what is refused', () => {
  const name = 'A name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -.';
  const address = '198.18.0.20';
  const add = `services add new --address ${address} --pool web`;
  const cases: readonly [line: string, exit: number, text: string][] = [
    // What is not there.
    [
      'services show nope',
      66,
      told('There is no service nope.', undefined, 'See those there are: holdfast services list'),
    ],
    [
      'services set nope --pool web',
      66,
      told('There is no service nope.', undefined, 'See those there are: holdfast services list'),
    ],
    [
      'services rm nope',
      66,
      told('There is no service nope.', undefined, 'See those there are: holdfast services list'),
    ],
    [
      'pools show nope',
      66,
      told('There is no pool nope.', undefined, 'See those there are: holdfast pools list'),
    ],
    [
      'pools rm nope',
      66,
      told('There is no pool nope.', undefined, 'See those there are: holdfast pools list'),
    ],
    [
      'backends show web/nope',
      66,
      told('There is no backend web/nope.', undefined, 'See those there are: holdfast backends list'),
    ],
    [
      'backends set web/nope --weight 1',
      66,
      told('There is no backend web/nope.', undefined, 'See those there are: holdfast backends list'),
    ],
    [
      'backends drain web/nope',
      66,
      told('There is no backend web/nope.', undefined, 'See those there are: holdfast backends list'),
    ],
    [
      'backends rm nope/nope',
      66,
      told('There is no backend nope/nope.', undefined, 'See those there are: holdfast backends list'),
    ],
    [
      'backends list --pool nope',
      66,
      told('There is no pool nope.', undefined, 'See those there are: holdfast pools list'),
    ],
    // What is there already.
    [
      'services add web --address 198.18.0.9 --pool web',
      73,
      told(
        'There is a service web already.',
        undefined,
        'Choose another name, or change the one that is there.',
      ),
    ],
    [
      'pools add web',
      73,
      told(
        'There is a pool web already.',
        undefined,
        'Choose another name, or change the one that is there.',
      ),
    ],
    [
      'backends add web/b1 --address 198.18.200.13',
      73,
      told(
        'There is a backend web/b1 already.',
        undefined,
        'Choose another name, or change the one that is there.',
      ),
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
      `services add new --address ${address} --pool nope`,
      65,
      told(
        'Service new names pool nope, and there is none.',
        undefined,
        'Add the pool first, or name another one.',
      ),
    ],
    [
      'services set web --pool nope',
      65,
      told(
        'Service web names pool nope, and there is none.',
        undefined,
        'Add the pool first, or name another one.',
      ),
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
    [`${add} --address ${address}`, 65, told(`Service new names address ${address} twice.`)],
    [
      'services set web --quic-config-rotation 1 --quic-server-id-bytes 2',
      65,
      told('This change of service web is not valid: quic: QUIC needs protocol udp.'),
    ],
    [
      'backends add nope/b1 --address 198.18.200.13',
      65,
      told(
        'Backend b1 is to be in pool nope, and there is none.',
        undefined,
        'Add the pool first, or name another one.',
      ),
    ],
    // What says nothing that could be done.
    ['services add Web_2 --address 198.18.0.20 --pool web', 2, told('NAME cannot be "Web_2".', name)],
    [
      'services add new --address 198.18.0.300 --pool web',
      2,
      told('--address cannot be "198.18.0.300".', 'Not an IPv4 or IPv6 address.'),
    ],
    [`${add} --protocol tcp --port 80000`, 2, told('--port cannot be "80000".', 'Must be at most 65535.')],
    [
      `${add} --protocol tcp`,
      2,
      told('--port is missing.', 'Protocol and port go together.', 'Give both, or neither.'),
    ],
    [
      `${add} --port 80`,
      2,
      told('--protocol is missing.', 'Protocol and port go together.', 'Give both, or neither.'),
    ],
    [
      `${add} --protocol icmp --port 1`,
      2,
      told('--protocol cannot be "icmp".', undefined, 'Give one of: tcp, udp.'),
    ],
    [`${add} --affinity-prefix4 33`, 2, told('--affinity-prefix4 cannot be "33".', 'Must be at most 32.')],
    [
      'services add new',
      2,
      told('--address is missing.', undefined, 'Write holdfast services add <name>, with --address'),
    ],
    [
      'services set web',
      2,
      told('Nothing to change.', undefined, 'Say what, with an option: see holdfast services set --help'),
    ],
    [
      'services set web --affinity --unset affinity',
      2,
      told('affinity is both set and taken away.', undefined, 'Leave one of them out.'),
    ],
    ['pools add new --slots 0', 2, told('--slots cannot be "0".', 'Must be at least 1.')],
    ['pools add new --slots 1.5', 2, told('--slots cannot be "1.5".', 'Expected int, received number.')],
    ['pools add new --slots many', 2, told('--slots takes a number, not "many".')],
    [
      'backends add b3 --address 198.18.200.13',
      2,
      told('"b3" names no backend.', undefined, 'Write POOL/NAME, such as web/b1.'),
    ],
    [
      'backends add web/b3',
      2,
      told('--address is missing.', undefined, 'Write holdfast backends add <backend>, with --address'),
    ],
    ['backends set web/b1 --weight -1', 2, told('--weight cannot be "-1".', 'Must be at least 0.')],
    ['backends set web/b1 --mtu 100', 2, told('--mtu cannot be "100".', 'Must be at least 576.')],
    [
      'backends set web/b1 --encap vxlan',
      2,
      told('--encap cannot be "vxlan".', undefined, 'Give one of: ip, gue.'),
    ],
    [
      'pools set web',
      2,
      told(
        'There is no command "pools set".',
        undefined,
        'A pool cannot be changed: see holdfast pools --help',
      ),
    ],
    [
      'services show Web_2',
      65,
      told(
        'What was given is not valid.',
        `name: ${name[0]!.toLowerCase()}${name.slice(1)}`,
        'See holdfast services show --help',
      ),
    ],
  ];
  it.concurrent.each(cases)('%s', async (line, exit, stderr) => {
    expect(await holdfast(line)).toEqual({ exit, stdout: '', stderr });
  });

  it('is JSON with --json, on standard error', async () => {
    const { exit, stdout, stderr } = await holdfast('pools rm web --json');
    expect({ exit, stdout }).toEqual({ exit: 73, stdout: '' });
    expect(failureSchema.parse(JSON.parse(stderr))).toEqual({
      code: 'in_use',
      message: 'Pool web is used by service web and has backends b1, b2.',
      remedy: 'Remove those first, or have services use another pool.',
    });
    expect(stderr.trimEnd()).not.toContain('\n');
  });

  it('leaves everything as it was', async () => {
    expect(await exported()).toEqual(WEB);
  });
});

describe('apply', () => {
  const changed = {
    ...WEB,
    services: [
      ...WEB.services,
      { name: 'dns', addresses: ['198.18.0.12'], protocol: 'udp', port: 53, pool: 'web' },
    ],
    pools: [WEB.pools[1]],
    backends: [WEB.backends[0], { ...WEB.backends[1], weight: 300 }],
  };
  const text = lines(
    '- pool spare',
    '~ backend web/b2',
    '    weight: 100 → 300',
    '+ service dns',
    '    addresses: 198.18.0.12',
    '    protocol: udp',
    '    port: 53',
    '    pool: web',
    '',
    'pool web: 252 of 1,009 slots get another backend (25.0 %)',
  );

  it('shows on a dry run what it would change, and changes nothing', async () => {
    const path = file('changed.json', JSON.stringify(changed));
    const before = await lab.daemon.client.status();
    const shown = await done(`apply -f ${path} --dry-run`);
    expect(shown).toBe(`${text}\ndry run, nothing was changed: 1 to add, 1 to change, 1 to remove\n`);
    expect(await json(changeSchema, `apply -f ${path} --dry-run`)).toMatchObject({
      dryRun: true,
      revision: before.store.revision,
    });
    expect((await lab.daemon.client.status()).store.revision).toBe(before.store.revision);
    expect(await exported()).toEqual(WEB);
  });

  it('makes the cluster be the file, once', async () => {
    const path = file('changed.yaml', JSON.stringify(changed));
    expect(anyRevision(await done(`apply -f ${path}`))).toBe(
      `${text}\n1 added, 1 changed, 1 removed: revision N\n`,
    );
    expect(anyRevision(await done(`apply -f ${path}`))).toBe('nothing to change at revision N\n');
    expect((await json(changeSchema, `apply -f ${path}`)).changes).toEqual([]);
  });

  it('takes what export writes, through files and pipes', async () => {
    const path = join(lab.directory, 'exported.yaml');
    expect(await done(`export -o ${path}`)).toBe('');
    expect(readFileSync(path, 'utf8')).toBe(await done('export'));
    expect(documentSchema.parse(JSON.parse(await done('export --json')))).toEqual(WEB);
    await done('backends rm web/b2');
    await done('services add other --address 198.18.0.13 --pool web');
    await done(`apply -f ${path}`);
    expect(await done('export')).toBe(readFileSync(path, 'utf8'));
    expect(anyRevision(await done('apply -f -', { input: await done('export') }))).toBe(
      'nothing to change at revision N\n',
    );
  });

  const mistaken = `services:
  - name: web
    addresses: [198.18.0.10, 198.18.0.300]
    protocol: tpc
    port: 80
    port: 81
`;
  const refused: readonly [what: string, document: string, exit: number, text: (path: string) => string][] = [
    [
      'an empty file',
      '# nothing\n\n',
      65,
      (path) =>
        told(`${path} is empty.`, undefined, 'To remove everything, write "services: []" and give --force.'),
    ],
    [
      'a document without services',
      'pools: [{name: web, slots: 1009}]',
      73,
      () =>
        told(
          'The document has no service: it would remove service web.',
          'Nothing would be balanced any more.',
          'Look whether the document is whole; if it is meant so, force the change.',
        ),
    ],
    [
      'a key that is there twice',
      mistaken,
      65,
      (path) => told(`${path} has a mistake.`, `${path}:6:5: services[0].port: is there twice`),
    ],
    [
      'mistakes, all at once',
      `${mistaken.replace('    port: 81\n', '    poool: web\n')}backends: [{pool: web, name: b1, address: 1.2.3.4, weight: -1}]`,
      65,
      (path) =>
        told(
          `${path} has 5 mistakes.`,
          [
            `${path}:2:5: services[0].pool: expected string, which is missing`,
            `${path}:3:30: services[0].addresses[1]: not an IPv4 or IPv6 address`,
            `${path}:4:15: services[0].protocol: expected one of 'tcp'|'udp'; did you mean tcp?`,
            `${path}:6:5: services[0].poool: unknown; did you mean pool?`,
            `${path}:7:60: backends[0].weight: must be at least 0`,
          ].join(`\n${' '.repeat(8)}`),
        ),
    ],
    [
      'an unknown tag',
      'services: !include other.yaml',
      65,
      (path) => told(`${path} has a mistake.`, `${path}:1:11: unknown tag !include`),
    ],
    [
      'a name that is there twice',
      JSON.stringify({ ...WEB, pools: [...WEB.pools, ...WEB.pools] }),
      65,
      () => told('The document has two pools with the name spare.'),
    ],
    [
      'a pool of another size',
      JSON.stringify({ ...WEB, pools: [WEB.pools[0], { name: 'web', slots: 2_003 }] }),
      65,
      () =>
        told(
          'Pool web has 1009 slots and cannot have 2003.',
          'Almost every flow would move to another backend.',
          'Make another pool with 2003 slots, and have its services use that.',
        ),
    ],
    [
      'more services than fit',
      JSON.stringify({
        ...WEB,
        services: Array.from({ length: 33 }, (_, index) => ({
          name: `s${index}`,
          addresses: Array.from({ length: 16 }, (_, at) => `10.${index}.0.${at}`),
          protocol: 'tcp',
          port: 80,
          pool: 'web',
        })),
      }),
      74,
      () =>
        told(
          'There would be 1056 records of services, and there can be 1024 (SERVICE_RECORDS_MAX).',
          'Each address has a record, and each port of each address another.',
          'Services for every port of an address need no record for their ports.',
        ),
    ],
  ];
  it.each(refused)('refuses %s', async (_what, document, exit, text) => {
    const path = file('refused.yaml', document);
    expect(await holdfast(`apply -f ${path}`)).toEqual({ exit, stdout: '', stderr: text(path) });
    expect(await exported()).toEqual(WEB);
  });

  it('refuses files that are none', async () => {
    const missing = join(lab.directory, 'missing.yaml');
    expect(await holdfast(`apply -f ${missing}`)).toEqual({
      exit: 66,
      stdout: '',
      stderr: told(`Cannot read ${missing}.`, 'There is no such file or directory.'),
    });
    expect(await holdfast(`apply -f ${lab.directory}`)).toMatchObject({
      exit: 65,
      stderr: told(`Cannot read ${lab.directory}.`, 'It is a directory.'),
    });
    expect(await holdfast(`export -o ${missing}/x`)).toMatchObject({
      exit: 66,
      stderr: told(`Cannot write ${missing}/x.`, 'There is no such file or directory.'),
    });
    expect(await holdfast('apply')).toMatchObject({
      exit: 2,
      stderr: told('--file is missing.', undefined, 'Write holdfast apply, with --file'),
    });
  });

  it('removes everything where that is forced', async () => {
    const path = file('nothing.yaml', 'services: []\n');
    expect(await holdfast(`apply -f ${path} --force`)).toMatchObject({ exit: 0 });
    expect(await exported()).toEqual({ services: [], pools: [], backends: [] });
  });
});
