import { describe, expect, it } from 'vitest';
import { type Edit, EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { sharedAddress } from '../../../control/config/filter.ts';
import {
  type Backend,
  backendSchema,
  type Pool,
  poolSchema,
  type Service,
  serviceSchema,
} from '../../../control/config/objects.ts';
import { planEdits } from '../../../control/pool/edits.ts';

const pool = (more: Partial<Pool> = {}): Edit => ({
  kind: 'putPool',
  pool: poolSchema.parse({ name: 'web', slots: 12, delivery: 'filter', ...more }),
});
const backend = (name: string, more: Partial<Backend> = {}): Edit => ({
  kind: 'putBackend',
  backend: backendSchema.parse({ pool: 'web', name, address: `192.0.2.${name.slice(1)}`, ...more }),
});
const service = (name: string, more: Partial<Service> = {}): Edit => ({
  kind: 'putService',
  service: serviceSchema.parse({
    ...{ name, addresses: ['198.51.100.1'], protocol: 'tcp', port: 80, pool: 'web' },
    ...more,
  }),
});
const plan = (...edits: readonly Edit[]) => planEdits(EMPTY_STATE, edits, { force: false });
const refuses = (text: string, ...edits: readonly Edit[]) => expect(() => plan(...edits)).toThrow(text);

describe('a pool of delivery filter', () => {
  it('takes backends by address and services with a timeout of affinity', () => {
    const { after } = plan(
      pool(),
      backend('s1'),
      service('www', { idleTimeoutMs: 0, affinity: { prefixLength4: 24, prefixLength6: 64 } }),
      service('all', { protocol: undefined, port: undefined, addresses: ['198.51.100.2'], disabled: true }),
    );
    expect(after.tables.get('web')!.slots.every((index) => index === 1)).toBe(true);
  });

  it('keeps its delivery', () => {
    const { after } = plan(pool());
    expect(() => planEdits(after, [pool({ delivery: 'mux' })], { force: true })).toThrow(
      'Pool web is reached by filter and cannot change that.',
    );
  });

  it('refuses what has no meaning there', () => {
    refuses('Backend web/s1 cannot have guePort', pool(), backend('s1', { guePort: 6080 }));
    refuses('Backend web/s1 cannot have encap', pool(), backend('s1', { encap: 'gue' }));
    refuses('Service www cannot have ignoreSourcePort', pool(), service('www', { ignoreSourcePort: true }));
  });

  it('is the only one for what is only its own', () => {
    const mux = pool({ delivery: 'mux' });
    refuses('Pool web cannot have hosts', pool({ delivery: 'mux', hosts: 'single' }));
    refuses('Backend web/s1 cannot have priority', mux, backend('s1', { priority: 1 }));
    refuses('Service www cannot have idleTimeoutMs 0', mux, service('www', { idleTimeoutMs: 0 }));
    refuses('Service www cannot have disabled', mux, service('www', { disabled: true }));
  });

  it('has each server once', () => {
    const again = backend('s2', { address: '192.0.2.1' });
    refuses('Backends s1 and s2 of pool web are both 192.0.2.1.', pool(), backend('s1'), again);
  });

  it('has an address reached in one way', () => {
    const off = { multicast: { enabled: false, answers: true } };
    refuses(
      'Services a and b have address 198.51.100.1 reached in two ways.',
      ...[pool(), service('a'), service('b', { port: 81, ...off })],
    );
    refuses(
      'reached in two ways',
      ...[
        pool(),
        pool({ name: 'lb', delivery: 'mux' }),
        service('a'),
        service('b', { port: 81, pool: 'lb' }),
      ],
    );
    expect(plan(pool(), service('a', off), service('b', { port: 81, ...off })).changes).toHaveLength(3);
  });

  it('with one that answers all goes by priority, then by name, among those with a weight', () => {
    const single = pool({ hosts: 'single' });
    const winner = (...edits: readonly Edit[]) => {
      const { after } = plan(single, ...edits);
      const [index] = new Set(after.tables.get('web')!.slots);
      return [...after.backends.values()].find((it) => it.index === index)?.name;
    };
    expect(winner(backend('s1'), backend('s2'))).toBe('s1');
    expect(winner(backend('s1'), backend('s2', { priority: 7 }), backend('s3', { priority: 9 }))).toBe('s2');
    expect(winner(backend('s1', { weight: 0 }), backend('s2'))).toBe('s2');
  });
});

describe('the group and link address of a service address', () => {
  it('follow from it', () => {
    expect(sharedAddress('198.51.100.10')).toEqual({
      address: '198.51.100.10',
      group: '239.255.100.10',
      mac: '01:00:5e:7f:64:0a',
      answers: true,
    });
    expect(sharedAddress('2001:db8::a:10')).toMatchObject({
      group: 'ff15::a:10',
      mac: '33:33:00:0a:00:10',
    });
  });

  it('are what is said of them', () => {
    const said = { enabled: true, answers: false, group4: '239.1.2.3', mac: '03:bf:00:00:00:01' };
    expect(sharedAddress('198.51.100.10', said)).toMatchObject({
      group: '239.1.2.3',
      mac: said.mac,
      answers: false,
    });
    expect(sharedAddress('198.51.100.10', { ...said, mac: undefined })?.mac).toBe('01:00:5e:01:02:03');
    expect(sharedAddress('198.51.100.10', { enabled: false })).toBeUndefined();
  });

  it('are multicast', () => {
    const parse = (multicast: object) =>
      serviceSchema.safeParse({ name: 'a', addresses: ['192.0.2.1'], pool: 'web', multicast });
    expect(parse({ group4: '192.0.2.9' }).success).toBe(false);
    expect(parse({ group6: '239.0.0.1' }).success).toBe(false);
    expect(parse({ mac: '02:00:00:00:00:01' }).success).toBe(false);
    expect(parse({ group4: '239.0.0.1', group6: 'ff15::1', mac: '33:33:00:00:00:01' }).success).toBe(true);
  });
});
