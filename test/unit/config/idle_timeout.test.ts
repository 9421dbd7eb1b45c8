// For how long a flow, or a client with affinity, may be silent.
import { expect, it } from 'vitest';
import { IDLE_TIMEOUT_MS_MAX, idleTimeoutOf, serviceSchema } from '../../../control/config/objects.ts';
import { flowTime } from '../../../control/dataplane/service_record.ts';

const service = { name: 'www', addresses: ['198.51.100.1'], pool: 'web' };
const affinity = {};

it.each([
  ['TCP', { protocol: 'tcp', port: 80 }, 600_000],
  ['UDP', { protocol: 'udp', port: 53 }, 60_000],
  ['every port', {}, 600_000],
  ['affinity', { affinity }, 1_200_000],
  ['affinity over UDP', { affinity, protocol: 'udp', port: 53 }, 1_200_000],
  ['its own', { affinity, idleTimeoutMs: 5_000 }, 5_000],
])('is of a service by %s', (_, fields, expected) => {
  expect(idleTimeoutOf(serviceSchema.parse({ ...service, ...fields }))).toBe(expected);
});

it('is four hours at most, which the data plane can count and half an hour more', () => {
  const of = (idleTimeoutMs: number) => serviceSchema.safeParse({ ...service, idleTimeoutMs }).success;
  expect(of(4 * 3_600_000)).toBe(true);
  expect(of(4 * 3_600_000 + 1)).toBe(false);
  // FLOW_LIFETIME_MAX of bpf/flow.h.
  expect(60_000 - flowTime(IDLE_TIMEOUT_MS_MAX)).toBeGreaterThan(flowTime(28 * 60_000));
});
