// Commands about serving files, against a daemon that answers by the schemas: what they print, and as JSON.
import { describe, expect, it } from 'vitest';
import { fileRatesBetween } from '../../../control/cli/file_rates.ts';
import { FILE_CLIENT, FILES_STATS } from '../api/lib/fake_files.ts';
import { asking, lines } from './lib/asking.ts';

process.env.TZ = 'UTC';

const its = asking();
const { ask, expectJson } = its;

describe('files clients', () => {
  it('shows who is there, those with connections first', async () => {
    its.daemon.reply({
      'GET /v1/files/clients': {
        items: [{ ...FILE_CLIENT, address: '192.0.2.8', connections: 0, mounts: [] }, FILE_CLIENT],
      },
    });
    expect((await ask('files clients')).stdout).toBe(
      lines(
        'CLIENT     CONNECTIONS  IN FLIGHT  REQUESTS  ERRORS       IN      OUT     LAST  MOUNTS',
        '192.0.2.7            1          0       120       2  14.4 kB  492 kB  1.2 s ago  /projects/web',
        '192.0.2.8            0          0       120       2  14.4 kB  492 kB  1.2 s ago',
      ),
    );
    await expectJson('files clients', {
      items: [{ ...FILE_CLIENT, address: '192.0.2.8', connections: 0, mounts: [] }, FILE_CLIENT],
    });
  });

  it('says that there was none', async () => {
    its.daemon.reply({ 'GET /v1/files/clients': { items: [] } });
    expect((await ask('files clients')).stdout).toBe(lines('no client was here since the server began'));
  });
});

describe('files stats', () => {
  it('shows procedures and links, the busiest first', async () => {
    its.daemon.reply({ 'GET /v1/files/stats': FILES_STATS });
    const { stdout } = await ask('files stats');
    expect(stdout).toMatch(/^PROCEDURE +REQUESTS +ERRORS +IN +OUT +MEAN +P99$/m);
    expect(stdout).toMatch(/^LOOKUP +120 +2 +14\.4 kB +492 kB +50 µs +≤100 µs$/m);
    expect(stdout).toMatch(/^mount MNT +1 +0 /m);
    expect(stdout).toMatch(/^\/projects\/web +120 /m);
    expect(stdout).toContain('2 idle');
    await expectJson('files stats', FILES_STATS);
  });
});

describe('rates of the file service', () => {
  const later = {
    ...FILES_STATS,
    atMs: FILES_STATS.atMs + 2_000,
    procedures: FILES_STATS.procedures.map((it) => ({
      ...it,
      requests: it.requests + 10,
      totalUs: it.totalUs + 500,
      latencies: it.latencies.map((count, bucket) => (bucket === 1 ? count + 10 : count)),
    })),
  };
  const counts = (stats: typeof FILES_STATS) => ({ stats, clients: [] });

  it('are per second, of what came between two counts', () => {
    const { seconds, rows } = fileRatesBetween(counts(FILES_STATS), counts(later), 'procedures');
    expect(seconds).toBe(2);
    expect(rows).toMatchObject([
      { what: 'LOOKUP', requests: 5, errors: 0, meanUs: 50, p99Us: 50 },
      { what: 'mount MNT', requests: 5, meanUs: 50 },
    ]);
  });

  it('begin anew with another server', () => {
    const restarted = { ...later, startedAtMs: FILES_STATS.atMs + 1_000 };
    const { rows } = fileRatesBetween(counts(FILES_STATS), counts(restarted), 'procedures');
    expect(rows[0]).toMatchObject({ what: 'LOOKUP', requests: 65 });
  });
});
