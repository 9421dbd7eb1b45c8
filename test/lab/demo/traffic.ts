// Owns traffic of the demo's acts: requests until there are enough of them, connections that are held, and the acts
// about nothing else.
import { setTimeout as sleep } from 'node:timers/promises';
import { POOL, SLOTS } from '../configuration.ts';
import type { HoldStatus, LoadResult, TrafficPeriod, TransferResult } from '../protocol.ts';
import { type Cast, type Check, check, count } from './act.ts';
import { areAsWeighted, furthest, type Share, SIGMAS_MAX, sharesOf } from './shares.ts';
import { countSlots, isSameTable, slotsOf } from './slots.ts';

const CONCURRENCY = 8;
const REQUEST_TIMEOUT_MS = 5_000;
const REQUESTS_PER_FAMILY = 1_500;
const REQUESTS_LIMIT_MS = 5_000;
const DATAGRAMS = 600;
const LARGE_DATAGRAMS = 64;
const LARGE_DATAGRAM_BYTES = 8_192;
/** As many that are lost at once cost one wait, not one each. */
const DATAGRAM_CONCURRENCY = 32;
const DATAGRAM_TIMEOUT_MS = 2_000;
const TRANSFER_BYTES = 32 << 20;
const TRANSFER_TIMEOUT_MS = 20_000;
const POLL_MS = 50;
/** Connections that are held: each sends a little, and often enough to notice at once that its server is another. */
const HELD = { connections: 90, chunkBytes: 1_000, intervalMs: 60 } as const;

export type TrafficFindings = {
  readonly checks: readonly Check[];
  readonly http4: LoadResult;
  readonly http6: LoadResult;
  readonly datagrams: LoadResult;
  readonly largeDatagrams: LoadResult;
  readonly transfers: readonly (TransferResult & { readonly direction: string; readonly address: string })[];
};

export type ShareFindings = { readonly checks: readonly Check[]; readonly shares: readonly Share[] };

export async function playTraffic(cast: Cast): Promise<TrafficFindings> {
  const { lab, agent, now } = cast;
  const { services4, services6 } = lab.plan;
  now('datagrams, small and in fragments');
  const udp = { addresses: everywhere(cast), timeoutMs: DATAGRAM_TIMEOUT_MS };
  const datagrams = await agent.call('datagrams', {
    ...udp,
    count: DATAGRAMS,
    concurrency: DATAGRAM_CONCURRENCY,
    sizeBytes: 64,
  });
  const largeDatagrams = await agent.call('datagrams', {
    ...udp,
    count: LARGE_DATAGRAMS,
    concurrency: 4,
    sizeBytes: LARGE_DATAGRAM_BYTES,
  });

  now(`transfers of ${TRANSFER_BYTES >> 20} MiB each way`);
  const transfers: TrafficFindings['transfers'][number][] = [];
  for (const address of [services4[0]!, services6[0]!]) {
    for (const direction of ['download', 'upload'] as const) {
      const what = { address, direction, sizeBytes: TRANSFER_BYTES, timeoutMs: TRANSFER_TIMEOUT_MS };
      transfers.push({ direction, address, ...(await agent.call('transfer', what)) });
    }
  }

  now('HTTP requests over IPv4, a connection each');
  const four = await requestsTo(cast, services4);
  now('HTTP requests over IPv6, a connection each');
  const six = await requestsTo(cast, services6);

  const intact = transfers.filter((it) => it.intact).length;
  return {
    checks: [
      requestsCheck('HTTP requests over IPv4 and IPv6 are answered', [four, six]),
      check(
        'datagrams come back, small and in fragments',
        datagrams.failed + largeDatagrams.failed === 0,
        `${count(datagrams.succeeded + largeDatagrams.succeeded)} of ${count(DATAGRAMS + LARGE_DATAGRAMS)}`,
      ),
      check(
        `transfers of ${TRANSFER_BYTES >> 20} MiB arrive as they were sent`,
        intact === transfers.length,
        `${intact} of ${transfers.length} checksums equal`,
      ),
    ],
    http4: four.result,
    http6: six.result,
    datagrams,
    largeDatagrams,
    transfers,
  };
}

/** Judges the connections of playTraffic(). */
export async function playShares(
  cast: Cast,
  perBackend: Readonly<Record<string, number>>,
): Promise<ShareFindings> {
  const { lab, weights } = cast;
  const shares = sharesOf(perBackend, weights);
  const tables = lab.muxes.map(({ node }) => slotsOf(lab.plan, node));
  const slots = countSlots(tables[0]!);
  const exact = SLOTS / lab.backends.length;
  const backends = await lab.muxes[0]!.daemon.client.backends(POOL);
  const counts = backends.map(({ index }) => slots.get(index) ?? 0);
  const isExact = counts.every((it) => Math.abs(it - exact) < 1);
  const same = tables.filter((table) => isSameTable(table, tables[0]!)).length;
  return {
    checks: [
      check(
        'backends have exact shares of the slots, on each mux the same',
        isExact && same === tables.length,
        `${[...new Set(counts)].map(count).join(' or ')} of ${count(SLOTS)}; ${same} of ${tables.length} muxes`,
      ),
      spread(shares),
    ],
    shares,
  };
}

export function spread(shares: readonly Share[]): Check {
  const { backend, connections, ideal, sigmas } = furthest(shares);
  return check(
    `new connections follow the weights, within ${SIGMAS_MAX} σ`,
    areAsWeighted(shares),
    `furthest is ${backend}, ${connections} for ${ideal}, ${sigmas} σ`,
  );
}

/** None fails, none needs a second connection; nor does a held one break, where there are some. */
export function requestsCheck(
  expected: string,
  periods: readonly TrafficPeriod[],
  status?: HoldStatus,
): Check {
  const { succeeded, failed, sentAgain } = sumOf(periods);
  const { held, broken } = status ?? { held: 0, broken: 0 };
  return check(
    expected,
    succeeded > 0 && failed === 0 && sentAgain === 0 && broken === 0,
    `${count(succeeded)} answered, ${failed} failed` +
      (sentAgain === 0 ? '' : `, ${sentAgain} sent again`) +
      (status === undefined ? '' : `; ${broken} of ${held + broken} broke`),
  );
}

export function sumOf(periods: readonly TrafficPeriod[]) {
  const total = { succeeded: 0, failed: 0, sentAgain: 0 };
  for (const { result, sentAgain } of periods) {
    total.succeeded += result.succeeded;
    total.failed += result.failed;
    total.sentAgain += sentAgain;
  }
  return total;
}

export async function startTraffic({ agent }: Cast, addresses: readonly string[]): Promise<void> {
  await agent.call('startTraffic', { addresses, concurrency: CONCURRENCY, timeoutMs: REQUEST_TIMEOUT_MS });
}

/** Waits until so many requests of this period were answered, or as many as this machine manages. */
export async function enoughTraffic({ agent }: Cast, requests: number): Promise<void> {
  const deadline = Date.now() + REQUESTS_LIMIT_MS;
  while (Date.now() < deadline) {
    const period = await agent.call('trafficStatus', {});
    if (period === null || period.result.succeeded + period.result.failed >= requests) return;
    await sleep(POLL_MS);
  }
}

/** Connections in use, in the place of those that were held before. */
export async function holdConnections(cast: Cast): Promise<void> {
  cast.now(`${HELD.connections} connections that stay open and check each byte that comes back`);
  await cast.agent.call('release', {});
  await cast.agent.call('hold', { addresses: everywhere(cast), ...HELD });
}

export function everywhere({ lab }: Cast): string[] {
  return [...lab.plan.services4, ...lab.plan.services6];
}

async function requestsTo(cast: Cast, addresses: readonly string[]): Promise<TrafficPeriod> {
  await startTraffic(cast, addresses);
  await enoughTraffic(cast, REQUESTS_PER_FAMILY);
  const [period] = await cast.agent.call('stopTraffic', {});
  return period!;
}
