// holdfast against a holdfastd: the whole cluster as a document.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { changeSchema } from '../../control/api/schema.ts';
import { documentSchema } from '../../control/config/objects.ts';
import { lines, told } from './command.ts';
import { anyRevision, Operator, WEB } from './operator.ts';
import { raiseTestSingle, type SingleLab } from './single.ts';

let lab: SingleLab;
let operator: Operator;
beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  await lab.start();
});
afterAll(() => lab?.down());
beforeEach(() => operator.restore());

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
    'pool web: 250 of 1,000 slots get another backend (25.0 %)',
  );

  it('shows on a dry run what it would change, and changes nothing', async () => {
    const path = operator.file('changed.json', JSON.stringify(changed));
    const before = await lab.daemon.client.status();
    const shown = await operator.done(`apply -f ${path} --dry-run`);
    // With how the slots would move.
    expect(shown.startsWith(text)).toBe(true);
    expect(shown).toContain('Flows of 250 slots are at node alone while the change lasts');
    expect(shown.endsWith('\n\ndry run, nothing was changed: 1 to add, 1 to change, 1 to remove\n')).toBe(
      true,
    );
    expect(await operator.json(changeSchema, `apply -f ${path} --dry-run`)).toMatchObject({
      dryRun: true,
      revision: before.store.revision,
    });
    expect((await lab.daemon.client.status()).store.revision).toBe(before.store.revision);
    expect(await operator.exported()).toEqual(WEB);
  });

  it('makes the cluster be the file, once', async () => {
    const path = operator.file('changed.yaml', JSON.stringify(changed));
    expect(anyRevision(await operator.done(`apply -f ${path}`))).toBe(
      `${text}\n1 added, 1 changed, 1 removed: revision N\n`,
    );
    expect(anyRevision(await operator.done(`apply -f ${path}`))).toBe('nothing to change at revision N\n');
    expect((await operator.json(changeSchema, `apply -f ${path}`)).changes).toEqual([]);
  });

  it('takes what export writes, through files and pipes', async () => {
    const path = join(lab.directory, 'exported.yaml');
    expect(await operator.done(`export -o ${path}`)).toBe('');
    expect(readFileSync(path, 'utf8')).toBe(await operator.done('export'));
    expect(documentSchema.parse(JSON.parse(await operator.done('export --json')))).toEqual(WEB);
    await operator.done('backends rm web/b2');
    await operator.done('services add other --address 198.18.0.13 --pool web');
    await operator.done(`apply -f ${path}`);
    expect(await operator.done('export')).toBe(readFileSync(path, 'utf8'));
    expect(anyRevision(await operator.done('apply -f -', { input: await operator.done('export') }))).toBe(
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
      'pools: [{name: web, slots: 1000}]',
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
          'Pool web has 1000 slots and cannot have 2003.',
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
    const path = operator.file('refused.yaml', document);
    expect(await operator.run(`apply -f ${path}`)).toEqual({ exit, stdout: '', stderr: text(path) });
    expect(await operator.exported()).toEqual(WEB);
  });

  it('refuses files that are none', async () => {
    const missing = join(lab.directory, 'missing.yaml');
    expect(await operator.run(`apply -f ${missing}`)).toEqual({
      exit: 66,
      stdout: '',
      stderr: told(`Cannot read ${missing}.`, 'There is no such file or directory.'),
    });
    expect(await operator.run(`apply -f ${lab.directory}`)).toMatchObject({
      exit: 65,
      stderr: told(`Cannot read ${lab.directory}.`, 'It is a directory.'),
    });
    expect(await operator.run(`export -o ${missing}/x`)).toMatchObject({
      exit: 66,
      stderr: told(`Cannot write ${missing}/x.`, 'There is no such file or directory.'),
    });
    expect(await operator.run('apply')).toMatchObject({
      exit: 2,
      stderr: told('--file is missing.', undefined, 'Write holdfast apply, with --file'),
    });
  });

  it('removes everything where that is forced', async () => {
    const path = operator.file('nothing.yaml', 'services: []\n');
    expect(await operator.run(`apply -f ${path} --force`)).toMatchObject({ exit: 0 });
    expect(await operator.exported()).toEqual({ services: [], pools: [], backends: [] });
  });
});
