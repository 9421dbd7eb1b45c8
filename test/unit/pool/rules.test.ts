import { describe, expect, it } from 'vitest';
import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import { EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { planEdits } from '../../../control/pool/edits.ts';
import {
  checkDocumentHasServices,
  countServiceRecords,
  SERVICE_RECORDS_MAX,
} from '../../../control/pool/rules.ts';
import {
  backend,
  change,
  cluster,
  committed,
  deleteBackend,
  deletePool,
  deleteService,
  forgotten,
  plan,
  pool,
  putBackend,
  putPool,
  putService,
  service,
} from './lib/cluster.ts';

function failureOf(state: ClusterState, edits: readonly Edit[], force = false): unknown {
  try {
    planEdits(state, edits, { force });
  } catch (error) {
    if (error instanceof Failure) return error.body;
    throw error;
  }
  return 'no failure';
}

const QUIC = { protocol: 'udp', port: 443, quic: { configRotation: 0, serverIdBytes: 1 } } as const;
const ADD_POOL = 'Add the pool first, or name another one.';

describe('what is refused, with its text', () => {
  const rows: [string, Edit[], object][] = [
    [
      'a service that is there already',
      [putService(service('www'), 'absent')],
      {
        code: 'conflict',
        message: 'There is a service www already.',
        remedy: 'Choose another name, or change the one that is there.',
      },
    ],
    [
      'a backend that is there already',
      [putBackend(backend('web/b1'), 'absent')],
      {
        code: 'conflict',
        message: 'There is a backend web/b1 already.',
        remedy: 'Choose another name, or change the one that is there.',
      },
    ],
    [
      'a pool that is there since an earlier edit',
      [putPool(pool('new'), 'absent'), putPool(pool('new'), 'absent')],
      {
        code: 'conflict',
        message: 'There is a pool new already.',
        remedy: 'Choose another name, or change the one that is there.',
      },
    ],
    [
      'changing a service that is not there',
      [putService(service('other'), 'present')],
      {
        code: 'not_found',
        message: 'There is no service other.',
        remedy: 'See those there are: holdfast services list',
      },
    ],
    [
      'removing a service that is not there',
      [deleteService('other')],
      {
        code: 'not_found',
        message: 'There is no service other.',
        remedy: 'See those there are: holdfast services list',
      },
    ],
    [
      'removing a pool that is not there',
      [deletePool('other')],
      {
        code: 'not_found',
        message: 'There is no pool other.',
        remedy: 'See those there are: holdfast pools list',
      },
    ],
    [
      'removing a backend twice',
      [deleteBackend('web/b1'), deleteBackend('web/b1')],
      {
        code: 'not_found',
        message: 'There is no backend web/b1.',
        remedy: 'See those there are: holdfast backends list',
      },
    ],
    [
      'removing a pool that is in use',
      [deletePool('web')],
      {
        code: 'in_use',
        message: 'Pool web is used by service www and has backends b1, b2, b3.',
        remedy: 'Remove those first, or have services use another pool.',
      },
    ],
    [
      'removing a pool that has a backend',
      [deletePool('web'), deleteService('www'), deleteBackend('web/b1'), deleteBackend('web/b3')],
      {
        code: 'in_use',
        message: 'Pool web has backend b2.',
        remedy: 'Remove those first, or have services use another pool.',
      },
    ],
    [
      'a service of a pool that is not there',
      [putService(service('other', { port: 81, pool: 'nowhere' }))],
      { code: 'invalid', message: 'Service other names pool nowhere, and there is none.', remedy: ADD_POOL },
    ],
    [
      'a backend of a pool that is not there',
      [putBackend(backend('nowhere/b1'))],
      {
        code: 'invalid',
        message: 'Backend b1 is to be in pool nowhere, and there is none.',
        remedy: ADD_POOL,
      },
    ],
    [
      'another number of slots',
      [putPool(pool('web', 1_009))],
      {
        code: 'invalid',
        message: 'Pool web has 97 slots and cannot have 1009.',
        cause: 'Almost every flow would move to another backend.',
        remedy: 'Make another pool with 1009 slots, and have its services use that.',
      },
    ],
    [
      'two services at one port',
      [putService(service('other', { addresses: ['198.51.100.2', '198.51.100.1'] }))],
      {
        code: 'invalid',
        message: 'Services www and other both have tcp port 80 of 198.51.100.1.',
        remedy: 'Give one of them another address or port.',
      },
    ],
    [
      'two services of all ports of one address, however it is written',
      [
        putService({ name: 'any', addresses: ['2001:db8::1'], pool: 'web' }),
        putService({ name: 'every', addresses: ['2001:DB8:0::1'], pool: 'web' }),
      ],
      {
        code: 'invalid',
        message: 'Services any and every both have every port of 2001:db8::1.',
        remedy: 'Give one of them another address or port.',
      },
    ],
    [
      'an address that a service has twice',
      [putService(service('www', { addresses: ['2001:db8::1', '2001:db8:0::1'] }))],
      { code: 'invalid', message: 'Service www names address 2001:db8:0::1 twice.' },
    ],
    [
      'two backends with one server ID',
      [putBackend(backend('web/b1', { serverId: 7 })), putBackend(backend('web/b4', { serverId: 7 }))],
      { code: 'invalid', message: 'Backends b1 and b4 of pool web both have server ID 7.' },
    ],
    [
      'a server ID that is longer than connection IDs have room for',
      [putService(service('quic', QUIC)), putBackend(backend('web/b1', { serverId: 256 }))],
      {
        code: 'invalid',
        message: 'Server ID 256 of backend web/b1 is longer than the 1 bytes of service quic.',
      },
    ],
    [
      'too many pools',
      Array.from({ length: 1_024 }, (_, at) => putPool(pool(`p${at}`, 1))),
      { code: 'limit', message: 'There would be 1025 pools, and there can be 1024 (POOLS_MAX).' },
    ],
    [
      'too many backends',
      Array.from({ length: 4_093 }, (_, at) => putBackend(backend(`web/x${at}`))),
      { code: 'limit', message: 'There would be 4096 backends, and there can be 4095 (BACKENDS_MAX).' },
    ],
    [
      'too many ports of addresses',
      Array.from({ length: 1_023 }, (_, at) => putService(service(`s${at}`, { port: 1_000 + at }))),
      {
        code: 'limit',
        message: 'There would be 1025 records of services, and there can be 1024 (SERVICE_RECORDS_MAX).',
        cause: 'Each address has a record, and each port of each address another.',
        remedy: 'Services for every port of an address need no record for their ports.',
      },
    ],
  ];
  it.each(rows)('%s', (_, edits, body) => {
    expect(failureOf(cluster(), edits)).toEqual(body);
    // Force is about traffic, not about rules.
    expect(failureOf(cluster(), edits, true)).toEqual(body);
  });

  it('a long list of users, shortened', () => {
    const state = change(cluster(9), deleteService('www'));
    expect(failureOf(state, [deletePool('web')])).toMatchObject({
      message: 'Pool web has backends b1, b2, b3, b4, b5 and 4 more.',
    });
  });

  it('a replacement where every index is taken, but not once the flows of what was removed have ended', () => {
    const full = change(
      EMPTY_STATE,
      putPool(pool('web')),
      ...Array.from({ length: 4_095 }, (_, at) => putBackend(backend(`web/b${at}`))),
    );
    const replacement = putBackend(backend('web/new'));
    expect(failureOf(full, [deleteBackend('web/b7'), replacement])).toEqual({
      code: 'limit',
      message: 'There is no index left for backend web/new.',
      cause: 'All 4095 (BACKENDS_MAX) are taken, also those of removed backends that still serve flows.',
      remedy: 'Remove backends first, and add the others once their flows have ended.',
    });
    const { after } = plan(forgotten(change(full, deleteBackend('web/b7'))), replacement);
    expect(after.backends.get('web/new')!.index).toBe(full.backends.get('web/b7')!.index);
  });
});

describe('what stops traffic needs force', () => {
  const drain = (name: string): Edit => putBackend(backend(`web/${name}`, { weight: 0 }));
  const unsafe = {
    code: 'unsafe',
    message: 'Service www would have no backend: pool web has none with a weight.',
    cause: 'Its packets would be dropped.',
    remedy: 'Add a backend or give one a weight first, or force the change.',
  };

  it.each([
    ['draining the last backend', [drain('b1'), drain('b2')]],
    ['removing the last backend', [deleteBackend('web/b1'), deleteBackend('web/b2')]],
  ])('%s', (_, edits) => {
    expect(failureOf(cluster(2), edits)).toEqual(unsafe);
    expect(failureOf(cluster(2), edits, true)).toBe('no failure');
  });

  it('having a service use a pool without backends', () => {
    const edits = [putPool(pool('empty')), putService(service('www', { pool: 'empty' }))];
    expect(failureOf(cluster(), edits)).toMatchObject({
      code: 'unsafe',
      message: 'Service www would have no backend: pool empty has none with a weight.',
    });
    expect(failureOf(cluster(), edits, true)).toBe('no failure');
  });

  describe('having open connections of a service break:', () => {
    const two = planEdits(cluster(), [putPool(pool('other')), putBackend(backend('other/b1'))], {
      force: false,
    }).after;
    const client = { prefixLength4: 32, prefixLength6: 128 };

    it.each([
      ['another pool', { pool: 'other' }, 'pool other instead of web'],
      ['affinity', { affinity: client }, 'another flow key'],
      ['a flow key without the port', { ignoreSourcePort: true }, 'another flow key'],
      ['both', { pool: 'other', affinity: client }, 'pool other instead of web and another flow key'],
    ])('%s', (_, fields, what) => {
      const edits = [putService(service('www', fields))];
      expect(failureOf(two, edits)).toEqual({
        code: 'unsafe',
        message: `Service www would have ${what}: its open connections would break.`,
        cause: 'Their packets would go to other backends, which do not know them.',
        remedy:
          'Add a service of another name at another address, have clients use that, and remove this one when it is idle; or force the change.',
      });
      expect(failureOf(two, edits, true)).toBe('no failure');
    });

    it('of affinity that changes or ends, and of QUIC, too', () => {
      const had = planEdits(two, [putService(service('www', { affinity: client }))], { force: true }).after;
      for (const affinity of [undefined, { ...client, prefixLength4: 24 }])
        expect(failureOf(had, [putService(service('www', { affinity }))])).toMatchObject({ code: 'unsafe' });
      const udp = { protocol: 'udp', port: 443 } as const;
      const plain = planEdits(two, [putService(service('quic', udp))], { force: false }).after;
      expect(failureOf(plain, [putService(service('quic', QUIC))])).toMatchObject({ code: 'unsafe' });
    });

    it('but not another idle timeout, what says the same, or a pool that nobody was served by', () => {
      for (const fields of [{ idleTimeoutMs: 5_000 }, { ignoreSourcePort: false }])
        expect(failureOf(two, [putService(service('www', fields))])).toBe('no failure');
      const none = planEdits(
        two,
        [...two.backends.values()].filter(({ pool }) => pool === 'web').map(({ name }) => drain(name)),
        { force: true },
      ).after;
      expect(failureOf(none, [putService(service('www', { pool: 'other' }))])).toBe('no failure');
    });
  });

  it('but not what leaves a backend, has no service, or had no traffic', () => {
    expect(failureOf(cluster(2), [drain('b1')])).toBe('no failure');
    expect(failureOf(cluster(2), [drain('b1'), drain('b2'), putBackend(backend('web/b3'))])).toBe(
      'no failure',
    );
    expect(failureOf(cluster(1), [drain('b1'), deleteService('www')])).toBe('no failure');
    const drained = planEdits(cluster(1), [drain('b1')], { force: true }).after;
    expect(failureOf(drained, [deleteBackend('web/b1')])).toBe('no failure');
    expect(failureOf(EMPTY_STATE, [putPool(pool('web')), putService(service('www'))])).toBe('no failure');
  });
});

describe('what is allowed', () => {
  it('an address with one service for every port and others for ports', () => {
    const edits = [
      putService({ name: 'any', addresses: ['198.51.100.1'], pool: 'web' }),
      putService(service('udp', { protocol: 'udp' })),
    ];
    expect(failureOf(cluster(), edits)).toBe('no failure');
  });

  it('backends of different pools with one address and one server ID', () => {
    const edits = [
      putPool(pool('other')),
      putBackend(backend('other/b1', { serverId: 7 })),
      putBackend(backend('web/b1', { serverId: 7 })),
    ];
    expect(failureOf(cluster(), edits)).toBe('no failure');
  });

  it('as many records of services as the limit says', () => {
    const edits = Array.from({ length: 1_022 }, (_, at) =>
      putService(service(`s${at}`, { port: 1_000 + at })),
    );
    const { after } = plan(cluster(), ...edits);
    expect(countServiceRecords(after.services.values())).toBe(SERVICE_RECORDS_MAX);
  });

  it('a record for each address, and one for each port of it', () => {
    const both = ['198.51.100.1', '2001:db8::1'];
    expect(countServiceRecords([service('a', { addresses: both })])).toBe(4);
    expect(countServiceRecords([{ name: 'any', addresses: both, pool: 'web' }])).toBe(2);
    expect(
      countServiceRecords([service('a', { addresses: both }), { name: 'any', addresses: both, pool: 'web' }]),
    ).toBe(4);
  });
});

describe('a document without services', () => {
  const empty = { services: [], pools: [], backends: [] };

  it('is taken for one that was cut off where the cluster has some', () => {
    expect(() => checkDocumentHasServices(cluster(), empty)).toThrow(
      expect.objectContaining({
        code: 'unsafe',
        message: 'The document has no service: it would remove service www.',
      }),
    );
  });

  it('is as good as any where there are none', () => {
    checkDocumentHasServices(EMPTY_STATE, empty);
    checkDocumentHasServices(cluster(), { ...empty, services: [service('other')] });
  });
});

describe('a backend that a mux has no address to send tunnels from', () => {
  const nodes = new Map(
    (['mux1', 'mux2'] as const).map((name, index) => [
      name,
      {
        name,
        roles: ['mux' as const],
        tunnelSources: index === 0 ? ['198.51.100.0/24', '2001:db8::/64'] : ['198.51.100.9/32'],
        version: '1',
        modRevision: 1,
      },
    ]),
  );
  const state = { ...cluster(), nodes };
  const six = putBackend(backend('web/six', { address: '2001:db8::6' }));

  it('is unsafe', () => {
    expect(failureOf(state, [six])).toMatchObject({
      code: 'unsafe',
      message: 'Backend web/six is reached over IPv6, and mux mux2 cannot send tunnels over that.',
    });
    expect(failureOf(state, [six], true)).toBe('no failure');
    expect(failureOf(state, [putBackend(backend('web/four', { address: '192.0.2.66' }))])).toBe('no failure');
  });

  it('is no reason to refuse other changes once it is there', () => {
    const there = committed(planEdits(state, [six], { force: true }));
    expect(failureOf(there, [putBackend(backend('web/six', { address: '2001:db8::7' }))])).toBe('no failure');
    expect(failureOf(there, [deleteBackend('web/b1')])).toBe('no failure');
  });
});
