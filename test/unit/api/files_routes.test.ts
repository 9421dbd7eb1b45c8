// The routes of the file service answer what the node says, or why it cannot.
import { describe, expect, it } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';
import { isAllowed } from '../../../control/trust/permissions_core.ts';
import { testApi, told } from './lib/api.ts';
import { FILE_CLIENT, FILES_STATS } from './lib/fake_files.ts';

describe('the file service', () => {
  it('tells its clients and what it counted', async () => {
    const { ask, node } = testApi();
    expect((await ask('GET', '/v1/files/stats')).json).toEqual(FILES_STATS);
    expect((await ask('GET', '/v1/files/clients')).json).toEqual({ items: [FILE_CLIENT] });
    expect(node.calls.map(({ method }) => method)).toEqual(['files.stats', 'files.clients']);
  });

  it('is refused in the words of the node, where there is none', async () => {
    const { ask, node } = testApi();
    node.failure = new Failure('unsupported', 'this node does not serve files', {
      reason: 'it has no role file',
      remedy: 'ask a node that has it',
    });
    expect(told(await ask('GET', '/v1/files/stats'))).toMatchObject({ status: 422, code: 'unsupported' });
  });

  it.each(['getFilesStats', 'listFileClients'])('%s is for all who may look', (operation) => {
    expect(isAllowed(operation, 'view')).toBe(true);
  });

  it('has metrics, and none where its server is away', async () => {
    const api = testApi();
    const { text } = await api.ask('GET', '/metrics');
    expect(text).toContain('holdfast_file_requests_total{program="nfs",procedure="LOOKUP"} 120');
    expect(text).toContain(
      'holdfast_file_errors_total{program="nfs",procedure="LOOKUP",status="NFS3ERR_NOENT"} 2',
    );
    expect(text).toContain('holdfast_file_client_bytes_total{client="192.0.2.7",direction="in"} 14400');
    expect(text).toContain(
      'holdfast_file_link_duration_seconds_bucket{link="/projects/web",le="0.00005"} 100',
    );
    api.node.failure = new Failure('unavailable', 'it is away');
    expect((await api.ask('GET', '/metrics')).text).not.toContain('holdfast_file_requests_total{');
  });
});
