// A program for a child process: every call of the package with arguments of every wrong kind, then the native half
// directly, then mutated requests to the kernel in the namespace given. Prints what it did; a crash prints nothing.
import * as linux from '@holdfast/linux';
import { binding } from '../../../native/linux/lib/binding.ts';
import { encodeAddressAdd, encodeAddressesDump } from '../../../native/linux/lib/rtnetlink/address.ts';
import { encodeLinkGet, encodeLinksDump } from '../../../native/linux/lib/rtnetlink/link.ts';
import { encodeNeighbourAdd, encodeNeighboursDump } from '../../../native/linux/lib/rtnetlink/neighbour.ts';
import {
  encodeRouteAdd,
  encodeRouteGet,
  encodeRoutesDump,
} from '../../../native/linux/lib/rtnetlink/route.ts';

const netns = process.argv[2];
if (netns === undefined) throw new Error('usage: misuse.ts NETNS');

const detached = new Uint8Array(64);
structuredClone(detached.buffer, { transfer: [detached.buffer] });
const WRONG: readonly unknown[] = [
  undefined,
  null,
  true,
  -1,
  0,
  1.5,
  2 ** 31,
  2 ** 53,
  Number.NaN,
  7n,
  '',
  'text',
  'a\0b',
  'x'.repeat(100_000),
  Symbol('s'),
  {},
  [],
  [1, 'a', {}],
  new Uint8Array(0),
  new Uint8Array(16),
  detached,
  new Float64Array(8),
  new ArrayBuffer(8),
  new Proxy({}, {}),
  Object.create(null),
  () => undefined,
  new Date(Number.NaN),
];

const outcomes = new Map<string, number>();
const count = (name: string): void => void outcomes.set(name, (outcomes.get(name) ?? 0) + 1);

function attempt(call: () => unknown): void {
  try {
    const result = call();
    if (result instanceof Promise) {
      result.then(
        () => count('resolved'),
        (error) => count(`rejected ${error?.name}`),
      );
    } else count('returned');
    if (typeof result === 'object' && result !== null && 'close' in result)
      (result as linux.Rtnetlink).close();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    count(error.name);
  }
}

/** Calls with up to three arguments: each wrong value in each place, and one in all. */
function abuse(call: (...values: unknown[]) => unknown): void {
  attempt(() => call());
  for (const value of WRONG) {
    attempt(() => call(value));
    attempt(() => call(value, value));
    attempt(() => call(value, value, value, value));
    attempt(() => call(netns, value));
    attempt(() => call(1, value));
    attempt(() => call(1, '198.18.0.1', value));
    for (const key of [
      'netns',
      'groups',
      'sameNetnsAs',
      'receiveBufferBytes',
      'timeoutMs',
      'ifindex',
      'address',
    ]) {
      attempt(() => call({ [key]: value }));
    }
    for (const key of [
      'dst',
      'gateway',
      'oif',
      'nextHops',
      'table',
      'type',
      'mtuBytes',
      'scope',
      'protocol',
    ]) {
      const dst = { address: '198.18.0.0', prefixLength: 24 };
      attempt(() => call({ dst, ifindex: 1, address: '198.18.0.1', prefixLength: 24, oif: 1, [key]: value }));
    }
    for (const key of [
      'lladdr',
      'state',
      'flags',
      'broadcast',
      'prefixLength',
      'name',
      'peer',
      'mac',
      'peerNetns',
    ]) {
      const lladdr = '02:00:00:00:00:01';
      const base = { ifindex: 1, address: '198.18.0.1', prefixLength: 24, lladdr, name: 'm0', peer: 'm1' };
      attempt(() => call({ ...base, [key]: value }));
    }
  }
}

type Methods = Record<string, (...values: unknown[]) => unknown>;
const methodsOf = (prototype: object): string[] =>
  Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor');

const closedRtnetlink = new linux.Rtnetlink({ netns });
closedRtnetlink.close();
const closedSocket = new linux.NetlinkSocket({ netns });
closedSocket.close();
// Everything below acts in the namespace given: the thread's own network must not notice this program.
linux.withNetns(netns, () => {
  for (const object of [new linux.Rtnetlink(), closedRtnetlink, new linux.NetlinkSocket(), closedSocket]) {
    for (const name of methodsOf(Object.getPrototypeOf(object))) {
      if (name === 'close' || name === 'resolveNeighbour') continue;
      abuse((...values) => (object as unknown as Methods)[name]!(...values));
      // The wrong object.
      for (const value of WRONG) attempt(() => (object as unknown as Methods)[name]!.call(value, 1, 2, 3));
    }
  }
  abuse((...values) => new linux.Rtnetlink(...(values as [])));
  abuse((...values) => new linux.NetlinkSocket(...(values as [])));
});
const resolving = new linux.Rtnetlink({ netns });
abuse((...values) => (resolving as unknown as Methods).resolveNeighbour!(...values));
for (const call of [linux.withNetns, linux.netnsIdentity, linux.sdNotify, linux.watchdogIntervalMs]) {
  abuse(call as (...values: unknown[]) => unknown);
}

// The native half, as if TypeScript had checked nothing.
const raw = new binding.NetlinkSocket(netns, undefined, [], 0, 0);
const rawEvents = new binding.NetlinkSocket(netns, undefined, [1], 0, 0);
linux.withNetns(netns, () => {
  for (const object of [raw, rawEvents]) {
    for (const name of ['request', 'ref', 'unref', 'close', 'request', 'start', 'ref', 'close']) {
      // Never a long wait: the time limit is an argument too.
      abuse((first, _, third) => (object as unknown as Methods)[name]!(first, 5, third));
    }
  }
  abuse((...values) => new binding.NetlinkSocket(...(values as [undefined, undefined, [], 0, 0])));
  for (const name of ['withNetns', 'sendNotification', 'membarrierQuery', 'errnoName'] as const) {
    abuse((binding as unknown as Methods)[name]!);
  }
});

// Requests that nearly follow the format. The seed is fixed: a failure repeats.
let seed = 12345;
const random = (limit: number): number => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % limit;
};
const dst = { address: '198.18.5.0', prefixLength: 24 };
const templates = [
  encodeLinksDump(),
  encodeLinkGet('lo'),
  encodeAddressesDump(),
  encodeAddressAdd({ ifindex: 1, address: '198.18.0.1', prefixLength: 24 }),
  encodeRoutesDump(4, 254),
  encodeRouteGet('198.18.0.9', {}),
  encodeRouteAdd({ dst, oif: 1, mtuBytes: 1400, nextHops: [{ oif: 1, gateway: '198.18.0.2' }] }),
  encodeNeighboursDump({ ifindex: 1 }),
  encodeNeighbourAdd({ ifindex: 1, address: '198.18.0.9', lladdr: '02:00:00:00:00:01' }),
];
const socket = new linux.NetlinkSocket({ netns });
for (let i = 0; i < 20_000; i += 1) {
  const template = templates[random(templates.length)]!;
  // The kernel passes over a request without a family in silence, so one word always stays.
  const message = template.slice(0, Math.max(20, template.length - (random(4) === 0 ? random(40) : 0)));
  new DataView(message.buffer).setUint32(0, message.length, true);
  for (let flips = random(4); flips > 0 && message.length > 16; flips -= 1) {
    message[16 + random(message.length - 16)] = random(256);
  }
  try {
    socket.request(message, { timeoutMs: 50 });
    count('kernel answered');
  } catch (error) {
    count(`kernel ${(error as linux.NetlinkError).name} ${(error as linux.NetlinkError).code}`);
  }
}
socket.close();
resolving.close();
// Enough turns for promises to settle and finalizers to run.
for (let i = 0; i < 20; i += 1) {
  globalThis.gc?.();
  await new Promise((resolve) => setTimeout(resolve, 1));
}
using still = new linux.Rtnetlink({ netns });
console.log(JSON.stringify({ links: still.links().length, outcomes: Object.fromEntries(outcomes) }));
process.exit(0);
