import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { etcdUrls } from '../../../control/config/etcd.ts';
import {
  checkNodeFile,
  nodeFileJsonSchema,
  nodeNameOf,
  parseNodeFile,
} from '../../../control/config/node_file.ts';
import { formatProblem, PROBLEMS_MAX } from '../../../control/config/yaml_source.ts';
import { Failure } from '../../../control/lib/failure.ts';

const file = (name: string) => new URL(`../../../control/config/${name}`, import.meta.url);

function mistakes(text: string): string[] {
  const checked = checkNodeFile(text);
  return 'problems' in checked ? checked.problems.map((it) => formatProblem('f', it)) : [];
}

describe('a node file', () => {
  it('may be empty: everything has a default', () => {
    for (const text of ['', '\n', '# nothing\n', '{}']) {
      expect(parseNodeFile(text, 'f')).toEqual({
        roles: ['mux'],
        xdpMode: 'auto',
        tunnel: {},
        guePort: 6080,
        store: 'sqlite=/var/lib/holdfast/store.db',
        stateDirectory: '/var/lib/holdfast',
        bpfDirectory: '/sys/fs/bpf/holdfast',
        slotCapacity: 1_048_592,
        flowTable: {},
        cluster: { askPort: 7445, leaseMs: 3_000, heartbeatMs: 50, heartbeatMisses: 3, keyAgeMs: 86_400_000 },
        health: {},
        api: { socket: '/run/holdfast/holdfast.sock', joinPort: 7_444 },
        log: { level: 'info' },
        routes: {
          mode: 'static',
          birdSocket: '/run/bird/bird.ctl',
          directory: '/run/holdfast-routes',
          communities: [],
          leaveMs: 3_000,
        },
      });
    }
  });

  it('is what the example says', () => {
    const config = parseNodeFile(readFileSync(file('holdfastd.example.yaml'), 'utf8'), 'example');
    expect(config).toMatchObject({ node: 'mux1', interface: 'eth0', tunnel: { source4: '198.51.100.0/24' } });
  });

  it('has the JSON Schema that is committed (npm run generate writes it)', () => {
    const committed = JSON.parse(readFileSync(file('holdfastd.schema.json'), 'utf8')) as object;
    expect(committed).toEqual(JSON.parse(JSON.stringify(nodeFileJsonSchema())));
  });
});

describe('the roles of a node', () => {
  it.each([[['mux']], [['backend']], [['file']], [['mux', 'file']], [['file', 'backend']]])(
    'may be %j',
    (roles) => {
      expect(parseNodeFile(JSON.stringify({ roles }), 'f').roles).toEqual(roles);
    },
  );

  it('file has a port, no storages and no portmapper unless it says so', () => {
    expect(parseNodeFile('roles: [file]\nfile: {}\n', 'f').file).toEqual({
      storages: {},
      port: 2_049,
      portmapper: false,
    });
  });
});

describe('a mistake in a node file is told with its line and column', () => {
  const cases: readonly [what: string, text: string, told: readonly string[]][] = [
    [
      'a value that is none of the choices',
      'node: a\nroles: [bakend]\n',
      ["f:2:9: roles[0]: expected one of 'mux'|'backend'|'filter'|'file'; did you mean backend?"],
    ],
    [
      'a value that is like none of the choices',
      'xdpMode: fast\n',
      ["f:1:10: xdpMode: expected one of 'auto'|'native'|'generic'"],
    ],
    [
      'misspelt keys',
      'nodes: mux1\napi:\n  sockt: /x\n',
      ['f:1:1: nodes: unknown; did you mean node?', 'f:3:3: api.sockt: unknown; did you mean socket?'],
    ],
    [
      'routes that BIRD would not take',
      "routes:\n  mode: bgp\n  directory: '/run/a b'\n  communities: ['65535:0', '1:70000']\n",
      [
        "f:2:9: routes.mode: expected one of 'static'|'bird'",
        'f:3:14: routes.directory: must be an absolute path without spaces, quotes and wildcards',
        'f:4:17: routes.communities[0]: must be ASN:VALUE, each 0 to 65535, such as 64512:100; not 65535:0, which Holdfast adds by itself',
        'f:4:28: routes.communities[1]: must be ASN:VALUE, each 0 to 65535, such as 64512:100; not 65535:0, which Holdfast adds by itself',
      ],
    ],
    ['a key that is like no other', 'log:\n  colour: red\n', ['f:2:3: log.colour: unknown; there are level']],
    [
      'several at once, in the order of lines',
      'node: UPPER\ninterface: 5\nguePort: many\n',
      [
        'f:1:7: node: a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -',
        'f:2:12: interface: expected string or array',
        'f:3:10: guePort: expected number, received string',
      ],
    ],
    [
      'an item of a list',
      'interface: [eth0, "a b"]',
      ['f:1:19: interface[1]: an interface name is 1 to 15 characters without space, / and :'],
    ],
    ['a number below its limit', 'slotCapacity: 1', ['f:1:15: slotCapacity: must be at least 65537']],
    ['an empty list', 'roles: []', ['f:1:8: roles: must have one role at least']],
    [
      'two roles with programs',
      'roles: [mux, backend]',
      ['f:1:8: roles: must not be two of mux, backend and filter: an interface has room for one XDP program'],
    ],
    ['a role twice', 'roles: [file, file]', ['f:1:8: roles: has a role twice']],
    [
      'the file service on another node',
      'roles: [backend]\nfile: {port: 2049}\n',
      ['f:2:7: file: is for the role file, which this node does not have'],
    ],
    [
      'storages that are nowhere, and everywhere',
      'roles: [file]\nfile:\n  storages: {a: srv, b: /srv/../etc, c: /x}\n  port: 0\n',
      [
        'f:3:17: file.storages.a: must be an absolute path without //, . and .., and not end with /',
        'f:3:25: file.storages.b: must be an absolute path without //, . and .., and not end with /',
        'f:4:9: file.port: must be at least 1',
      ],
    ],
    [
      'one directory for two storages',
      'roles: [file]\nfile:\n  storages: {a: /srv, b: /srv}\n',
      ['f:3:13: file.storages: two storages are one directory'],
    ],
    ['a missing value', 'api:\n', ['f:1:5: api: expected object, received null']],
    [
      'another form',
      'tunnel: {source4: 1.2.3.4}\nstore: foo',
      [
        'f:1:19: tunnel.source4: must be an address and a prefix length, such as 198.51.100.0/24',
        'f:2:8: store: must be sqlite=/absolute/path or etcd=URL[,URL...]',
      ],
    ],
    [
      'a certificate without its key',
      'api:\n  certificate: /a\n  clientAuthority: /b\n',
      [
        "f:2:16: api.certificate: certificate, key and clientAuthority belong together; without them the cluster's own certificates are used",
      ],
    ],
    [
      'a path that is not absolute',
      'stateDirectory: var',
      ['f:1:17: stateDirectory: must be an absolute path'],
    ],
    ['a list instead of a mapping', '- x', ['f:1:1: expected object, received array']],
    ['a key that is there twice', 'node: a\nnode: b\n', ['f:2:1: node: is there twice']],
    [
      'a key that is there twice, further inside',
      'api:\n  socket: /a\n  socket: /b\nx: [{a: 1, a: 2}]\n',
      ['f:3:3: api.socket: is there twice', 'f:4:12: x[0].a: is there twice'],
    ],
    ['a tag that nobody knows', 'node: !secret mux1\n', ['f:1:7: unknown tag !secret']],
    ['brackets without end', `node: ${'['.repeat(20_000)}`, ['f:1:1: nested too deeply to be read']],
    [
      'what nests too deeply',
      `node: ${'['.repeat(20_000)}${']'.repeat(20_000)}`,
      ['f:1:1: nested too deeply to be read'],
    ],
    [
      'broken syntax',
      'a: [',
      ['f:1:5: Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
    [
      'two documents',
      '---\nnode: a\n---\nnode: b\n',
      ['f:3:1: a second document begins here; there must be one'],
    ],
    [
      'JSON as well',
      '{"log": {"level": "loud"}}',
      ["f:1:19: log.level: expected one of 'debug'|'info'|'warn'|'error'"],
    ],
  ];
  it.each([
    ...[
      'etcd=',
      'etcd=x',
      'etcd=ftp://a',
      'etcd=https://a/v3',
      'etcd=https://u:p@a',
      'etcd=https://a,',
      'etcd=https://a,https://a',
    ].map((store) => [
      `store: ${store}\n`,
      'f:1:8: store: must be etcd=URL[,URL...], up to 9, each https://HOST[:PORT] or http://HOST[:PORT]',
    ]),
    [
      'store: etcd=https://a,http://192.0.2.1:2379\n',
      'f:1:8: store: http://192.0.2.1:2379 is open to whoever can reach it: use https://, or set etcd.insecure to true',
    ],
    ['etcd: {prefix: /x/}\n', 'f:1:7: etcd: says nothing to this store: write store: etcd=https://HOST:2379'],
    [
      'store: etcd=https://a\netcd: {prefix: x}\n',
      'f:2:16: etcd.prefix: must begin and end with /, such as /holdfast/',
    ],
    [
      'store: etcd=https://a\netcd: {certificate: /a}\n',
      'f:2:7: etcd: has one of certificate and key: both are needed',
    ],
    [
      'store: etcd=https://a\netcd: {username: a}\n',
      'f:2:7: etcd: has one of username and passwordFile: both are needed',
    ],
  ])('an etcd that cannot be: %s', (text, told) => expect(mistakes(text!)).toEqual([told]));

  it.each([
    'store: etcd=https://a.example,https://b.example:2379\n',
    'store: etcd=http://127.0.0.1:2379,http://[::1],http://localhost\n',
    'store: etcd=http://192.0.2.1\netcd: {insecure: true, prefix: /}\n',
    'store: etcd=https://[2001:db8::1]:443\netcd: {certificateAuthority: /a, certificate: /b, key: /c, username: d, passwordFile: /e}\n',
  ])('and one that can: %s', (text) => expect(mistakes(text)).toEqual([]));

  it('and an address without a port has that of etcd', () => {
    const ports = etcdUrls('https://a,http://b:80,https://c:443,http://[::1]')?.map(
      (it) => it.port || it.protocol,
    );
    expect(ports).toEqual(['2379', 'http:', 'https:', '2379']);
  });

  it.each(cases)('%s', (_what, text, told) => expect(mistakes(text)).toEqual(told));

  it('and is a Failure that has all of them', () => {
    expect(() => parseNodeFile('a: 1\nb: 2', '/etc/f')).toThrow(
      expect.objectContaining({
        code: 'configuration',
        message: '/etc/f has 2 mistakes',
        reason: expect.stringMatching(/^\/etc\/f:1:1: a: unknown.*\n\/etc\/f:2:1: b: unknown/),
      }),
    );
  });

  it(`at most ${PROBLEMS_MAX} times`, () => {
    const text = Array.from({ length: 200 }, (_, n) => `key${n}: 1`).join('\n');
    expect(mistakes(text)).toHaveLength(PROBLEMS_MAX);
  });

  it('without unfolding what aliases would make of it', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
    for (let n = 1; n < 12; n++)
      lines.push(
        `a${n}: &a${n} [${Array(9)
          .fill(`*a${n - 1}`)
          .join(', ')}]`,
      );
    expect(mistakes(lines.join('\n'))).toEqual([
      'f:1:1: Excessive alias count indicates a resource exhaustion attack',
    ]);
  });
});

it('never throws anything but a Failure, whatever the text', () => {
  const words = fc.constantFrom(
    'node',
    'api',
    ':',
    '\n',
    '  ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    '&a',
    '*a',
    '"',
    "'",
    '|',
    '#',
    '5',
    'null',
    '!!map',
    ',',
    '\t',
    '%',
    'listen',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(words).map((it) => it.join('')),
      ),
      (text) => {
        try {
          parseNodeFile(text, 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
          expect((error as Failure).reason).toMatch(/^f:\d+:\d+: /);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

it.each([
  ['mux1', 'mux1'],
  ['Mux1.site-a.example.org', 'mux1-site-a-example-org'],
  ['mux1.site-b.example.org', 'mux1-site-b-example-org'],
  ['my_host', 'my-host'],
  ['--', 'node'],
  ['', 'node'],
  ['a'.repeat(80), 'a'.repeat(63)],
])('a host called %j makes a node called %j', (host, node) => {
  expect(nodeNameOf(host)).toBe(node);
  expect(parseNodeFile(`node: ${nodeNameOf(host)}`, 'f').node).toBe(node);
});
