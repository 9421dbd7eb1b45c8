import { expect, it } from 'vitest';
import type { CaptureRequest } from '../../../control/api/schema.ts';
import type { CaptureRecord } from '../../../control/dataplane/capture.ts';
import { REASON_LIST } from '../../../control/dataplane/counters.ts';
import { filterOf, packetsOf } from '../../../control/node/capture_session.ts';

const request: CaptureRequest = { reasons: [], seconds: 5, packets: 100 };

it('takes all reasons where none is named, and all of a verdict', () => {
  expect(filterOf(request).reasons).toEqual(REASON_LIST);
  const drops = filterOf({ ...request, reasons: ['drop', 'DROP_NO_ROUTE'] }).reasons;
  expect(drops).toEqual(REASON_LIST.filter((name) => name.startsWith('DROP_')));
  expect(filterOf({ ...request, reasons: ['decap'] }).reasons).toEqual(['DECAP']);
});

it('hands on what else packets are chosen by', () => {
  const chosen = { client: '198.18.1.1', address: '2001:db8::1', clientPort: 5, port: 80 };
  expect(filterOf({ ...request, ...chosen, protocol: 'icmp6' })).toMatchObject({ ...chosen, protocol: 58 });
});

it.each([
  [{ reasons: ['FOO'] }, 'there is no reason FOO'],
  [{ client: '1.2.3' }, 'client "1.2.3" is no IPv4 or IPv6 address'],
  [{ address: 'www' }, 'address "www" is no IPv4 or IPv6 address'],
])('refuses %j', (given, message) => {
  expect(() => filterOf({ ...request, ...given })).toThrow(
    expect.objectContaining({ code: 'invalid', message }),
  );
});

const record: CaptureRecord = {
  timeNs: 0n,
  reason: 'FORWARD',
  ifindex: 3,
  length: 60,
  bytes: new Uint8Array(60),
};

function source(batches: CaptureRecord[][]) {
  let stops = 0;
  return {
    drainCapture: () => batches.shift() ?? [],
    stopCapture: () => {
      stops++;
    },
    stops: () => stops,
  };
}

it('ends after so many packets, and stops the source', async () => {
  const from = source([[record], [], [record, record, record]]);
  const batches = await Array.fromAsync(
    packetsOf(from, { ...request, packets: 3 }, new AbortController().signal),
  );
  expect(batches.map((batch) => batch.length)).toEqual([1, 2]);
  expect(from.stops()).toBe(1);
});

it('ends after its time, and when nobody wants more', async () => {
  const from = source([]);
  await Array.fromAsync(packetsOf(from, { ...request, seconds: 0.02 }, new AbortController().signal));
  const ending = new AbortController();
  setTimeout(() => ending.abort(), 20);
  await Array.fromAsync(packetsOf(from, request, ending.signal));
  for await (const _ of packetsOf(source([[record]]), request, new AbortController().signal)) break;
  expect(from.stops()).toBe(2);
});

it('tells when a packet passed, by the clock on the wall', async () => {
  const now = process.hrtime.bigint();
  const from = source([[{ ...record, timeNs: now }]]);
  const [batch] = await Array.fromAsync(
    packetsOf(from, { ...request, packets: 1 }, new AbortController().signal),
  );
  expect(Math.abs(Number(batch![0]!.atNs / 1_000_000n) - Date.now())).toBeLessThan(1_000);
});
