import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import type { Backend, Document, Service } from '../../../control/config/objects.ts';
import { documentSchema } from '../../../control/config/objects.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { applyPatch, documentOf, editsTowards, planEdits } from '../../../control/pool/edits.ts';
import { backend, change, cluster, committed, plan, pool, putPool, service } from './lib/cluster.ts';

const NOTHING: Document = { services: [], pools: [], backends: [] };

describe('a document', () => {
  it('has the objects by name, and nothing that the cluster added', () => {
    const state = change(cluster(2), putPool(pool('a')), putPool(pool('z')));
    expect(documentOf(state)).toEqual({
      services: [service('www')],
      pools: [pool('a'), pool('web'), pool('z')],
      backends: [backend('web/b1'), backend('web/b2', { address: '192.0.2.2' })],
    });
    expect(documentOf(EMPTY_STATE)).toEqual(NOTHING);
  });

  it('applied to the cluster that it was exported from changes nothing', () => {
    const state = cluster();
    expect(editsTowards(state, documentOf(state))).toEqual([]);
    // Through a file, in another order of fields and objects.
    const { services, pools, backends } = documentOf(state);
    const reordered = {
      backends: backends.toReversed().map((it) => Object.fromEntries(Object.entries(it).toReversed())),
      pools,
      services,
    };
    expect(editsTowards(state, documentSchema.parse(JSON.parse(JSON.stringify(reordered))))).toEqual([]);
  });

  it('leads there from anywhere', () => {
    const clusters = fc
      .record({
        pools: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }),
        backends: fc.uniqueArray(fc.constantFrom('x', 'y', 'z')),
        weight: fc.integer({ min: 0, max: 3 }),
        last: fc.integer({ min: 1, max: 9 }),
        services: fc.uniqueArray(fc.integer({ min: 1, max: 5 })),
      })
      .map(
        ({ pools, backends, weight, last, services }): Document => ({
          pools: pools.map((name) => pool(name)),
          backends: pools.flatMap((it) =>
            backends.map((name) => backend(`${it}/${name}`, { weight, address: `192.0.2.${last}` })),
          ),
          services: services.map((port, at) =>
            service(`s${port}`, { port, pool: pools[at % pools.length]! }),
          ),
        }),
      );
    fc.assert(
      fc.property(clusters, clusters, (first, second) => {
        const there = committed(planEdits(EMPTY_STATE, editsTowards(EMPTY_STATE, first), { force: true }));
        const then = planEdits(there, editsTowards(there, second), { force: true }).after;
        expect(new Set(documentOf(then).backends)).toEqual(new Set(second.backends));
        expect(new Set(documentOf(then).pools)).toEqual(new Set(second.pools));
        expect(new Set(documentOf(then).services)).toEqual(new Set(second.services));
        expect(editsTowards(then, second)).toEqual([]);
      }),
    );
  });

  it('that is empty removes everything', () => {
    const edits = editsTowards(cluster(), NOTHING);
    expect(plan(cluster(), ...edits).changes.map(({ action, name }) => `${action} ${name}`)).toEqual([
      'remove web',
      'remove web/b1',
      'remove web/b2',
      'remove web/b3',
      'remove www',
    ]);
  });

  it.each([
    ['services', { ...NOTHING, services: [service('www'), service('www')] }, 'services with the name www'],
    ['pools', { ...NOTHING, pools: [pool('web'), pool('web', 1)] }, 'pools with the name web'],
    [
      'backends',
      { ...NOTHING, backends: [backend('web/b1'), backend('web/b1')] },
      'backends with the name web/b1',
    ],
  ])('cannot name %s twice', (_, document, message) => {
    expect(() => editsTowards(EMPTY_STATE, document)).toThrow(
      new Failure('invalid', `The document has two ${message}.`),
    );
  });
});

describe('a patch', () => {
  const patchOf = (object: Service | Backend, patch: Record<string, unknown>): unknown =>
    'addresses' in object ? applyPatch(object, patch) : applyPatch(object, patch);

  it('replaces fields, takes optional ones away, and leaves the others', () => {
    const quic = { configRotation: 1, serverIdBytes: 2 };
    const before = service('www', { protocol: 'udp', quic, ignoreSourcePort: true });
    expect(applyPatch(before, { port: 443, ignoreSourcePort: null })).toEqual(
      service('www', { protocol: 'udp', port: 443, quic }),
    );
    expect(applyPatch(before, { quic: null, protocol: null, port: null })).toEqual({
      name: 'www',
      addresses: ['198.51.100.1'],
      pool: 'web',
      ignoreSourcePort: true,
    });
    expect(applyPatch(backend('web/b1', { mtuBytes: 1_400 }), { weight: 0, mtuBytes: null })).toEqual(
      backend('web/b1', { weight: 0 }),
    );
  });

  it('replaces nested objects whole', () => {
    const before = service('www', { affinity: { prefixLength4: 24, prefixLength6: 56 } });
    expect(applyPatch(before, { affinity: { prefixLength4: 16 } })).toEqual(
      service('www', { affinity: { prefixLength4: 16, prefixLength6: 128 } }),
    );
  });

  it('gives a field that is taken away its default', () => {
    expect(applyPatch(backend('web/b1', { weight: 3, encap: 'gue' }), { weight: null, encap: null })).toEqual(
      backend('web/b1'),
    );
  });

  it('takes what the store has, and gives what users write', () => {
    const stored = cluster().backends.get('web/b1')!;
    expect(applyPatch(stored, { weight: 5 })).toEqual(backend('web/b1', { weight: 5 }));
    expect(applyPatch(cluster().services.get('www')!, {})).toEqual(service('www'));
    expect(applyPatch(stored, { name: 'b1', pool: 'web' })).toEqual(backend('web/b1'));
  });

  const B1 = backend('web/b1');
  it.each([
    [B1, { weight: 65_536 }, 'This change of backend web/b1 is not valid: weight: '],
    [B1, { address: null }, 'This change of backend web/b1 is not valid: address: '],
    [B1, { address: '192.0.2.256' }, 'This change of backend web/b1 is not valid: address: not an IPv4'],
    [B1, { colour: 1 }, 'This change of backend web/b1 is not valid: Unrecognized key: "colour"'],
    [B1, { weight: '1', encap: 'vxlan' }, '; encap: '],
    [B1, { name: 'b2' }, 'The name of backend web/b1 cannot be changed.'],
    [B1, { pool: 'other' }, 'The pool of backend web/b1 cannot be changed.'],
    [service('www'), { name: 'w3' }, 'The name of service www cannot be changed.'],
    [service('www'), { port: null }, 'This change of service www is not valid: port: protocol and port go'],
    [service('www'), { addresses: ['no'] }, 'This change of service www is not valid: addresses: 0: '],
    [service('www'), { quic: { configRotation: 7, serverIdBytes: 1 } }, 'quic: configRotation: '],
  ])('of %j is refused: %j', (object, patch, message) => {
    expect(() => patchOf(object, patch)).toThrow(Failure);
    expect(() => patchOf(object, patch)).toThrow(message);
    expect(() => patchOf(object, patch)).toThrow(expect.objectContaining({ code: 'invalid' }));
  });
});
