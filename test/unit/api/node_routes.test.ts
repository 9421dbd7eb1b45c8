// The routes that are about the node itself pass on what they are asked and answer what the node says.
import { describe, expect, it } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';
import { testApi, testCluster, told } from './lib/api.ts';
import { ATTACHMENT, EXPLANATION } from './lib/fake_node.ts';

describe('the node', () => {
  it('says how it is', async () => {
    const { ask, node } = testCluster();
    node.problems = [{ code: 'unsupported', message: 'eth0 has no XDP.' }];
    expect((await ask('GET', '/v1/status')).json).toEqual(node.status());
  });

  it('says what it counts', async () => {
    const { ask, node } = testCluster();
    expect((await ask('GET', '/v1/stats')).json).toEqual(node.stats());
  });

  it('explains a flow and a frame, with defaults filled in', async () => {
    const { ask, node } = testApi();
    const flow = { source: '203.0.113.1', destination: '198.51.100.1' };
    expect((await ask('POST', '/v1/explain', { flow })).json).toEqual(EXPLANATION);
    await ask('POST', '/v1/explain', { frame: 'FFee', interface: 'eth1' });
    expect(node.calls).toEqual([
      { method: 'explain', argument: { flow: { ...flow, protocol: 'tcp', syn: false } } },
      { method: 'explain', argument: { frame: 'FFee', interface: 'eth1' } },
    ]);
  });

  it.each([
    [{}, 'flow: is missing.'],
    [{ flow: {} }, 'flow.source: is missing; flow.destination: is missing.'],
    [{ flow: { source: 'a', destination: 'b', sourcePort: -1 } }, 'flow.sourcePort: must be at least 0.'],
    [{ flow: { source: 'a', destination: 'b', lengthBytes: 27 } }, 'flow.lengthBytes: must be at least 28.'],
    [
      { flow: { source: 'a', destination: 'b', protocol: 'esp' } },
      'flow.protocol: must be "tcp" or "udp" or "icmp".',
    ],
    [
      { flow: { source: 'a', destination: 'b' }, interface: 'a b' },
      'interface: an interface name is 1 to 15 characters without space, / and :.',
    ],
  ])('cannot explain %j', async (body, cause) => {
    const { ask, node } = testApi();
    expect(told(await ask('POST', '/v1/explain', body))).toMatchObject({
      status: 400,
      code: 'invalid',
      cause,
    });
    expect(node.calls).toEqual([]);
  });

  it('attaches what is asked, or everything', async () => {
    const { ask, node } = testApi();
    expect((await ask('POST', '/v1/attach', {})).json).toEqual({ items: [ATTACHMENT] });
    await ask('POST', '/v1/attach', { interface: 'eth1', mode: 'generic' });
    expect(node.calls).toEqual([
      { method: 'attach', argument: {} },
      { method: 'attach', argument: { interface: 'eth1', mode: 'generic' } },
    ]);
  });

  it('detaches what is asked, or everything', async () => {
    const { ask, node } = testApi();
    expect((await ask('POST', '/v1/detach', {})).json).toEqual({ items: [] });
    await ask('POST', '/v1/detach', { interface: 'eth1' });
    expect(node.calls).toEqual([
      { method: 'detach', argument: {} },
      { method: 'detach', argument: { interface: 'eth1' } },
    ]);
  });

  it.each([
    ['/v1/attach', { mode: 'fast' }, 'mode: must be "auto" or "native" or "generic".'],
    ['/v1/attach', { interfaces: ['eth0'] }, 'there is no field "interfaces".'],
    [
      '/v1/detach',
      { interface: '' },
      'interface: an interface name is 1 to 15 characters without space, / and :.',
    ],
    ['/v1/detach', { mode: 'native' }, 'there is no field "mode".'],
  ])('refuses POST %s %j', async (path, body, cause) => {
    const { ask, node } = testApi();
    expect(told(await ask('POST', path, body))).toMatchObject({ status: 400, code: 'invalid', cause });
    expect(node.calls).toEqual([]);
  });

  it('passes on why something is not possible', async () => {
    const { ask, node } = testApi();
    node.failure = new Failure('unsupported', 'This node cannot explain packets.', {
      reason: 'It is no mux.',
    });
    expect(told(await ask('POST', '/v1/explain', { frame: 'ff' }))).toEqual({
      status: 422,
      code: 'unsupported',
      message: 'This node cannot explain packets.',
      cause: 'It is no mux.',
    });
  });

  it('examines one interface or all', async () => {
    const { ask, node } = testApi();
    expect((await ask('GET', '/v1/doctor')).json).toEqual({ items: node.findings });
    await ask('GET', '/v1/doctor?interface=eth1');
    expect(node.calls.map(({ argument }) => argument)).toEqual([undefined, 'eth1']);
  });
});
