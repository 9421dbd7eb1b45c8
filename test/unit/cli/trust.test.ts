// Commands of trust, against a daemon that answers by the schemas: what they print, what they ask, and files of users.
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MEMBERS, NEW_TOKEN, NEW_USER } from '../api/lib/fake_trust.ts';
import { asking, lines } from './lib/asking.ts';
import { failure } from './lib/fake_daemon.ts';

process.env.TZ = 'UTC';

const its = asking();
const { ask, asked, expectJson } = its;

describe('cluster', () => {
  it('init, leave and rotate ask the daemon, and say what it did', async () => {
    its.daemon.reply({
      'POST /v1/cluster/init': MEMBERS,
      'POST /v1/cluster/leave': MEMBERS,
      'POST /v1/cluster/rotate': MEMBERS,
    });
    expect((await ask('cluster init')).stdout).toBe(lines('cluster 9f2c4b1a6d3e8f70 has begun'));
    expect((await ask('cluster leave --force')).stdout).toBe(lines('this node has left the cluster'));
    expect((await ask('cluster rotate')).stdout).toBe(lines('all nodes take new certificates'));
    expect((await ask('cluster rotate --new-authority')).stdout).toBe(
      lines('authority 1 replaces the one before'),
    );
    expect((await ask('cluster rotate --finish')).stdout).toBe(lines('only one authority is believed'));
    expect(asked().map(({ body }) => body)).toEqual([
      {},
      { force: true },
      { what: 'certificates' },
      { what: 'authority' },
      { what: 'finish' },
    ]);
    await expectJson('cluster init', MEMBERS);
    expect(await ask('cluster rotate --finish --new-authority')).toMatchObject({ exit: 2, stdout: '' });
  });

  it('token prints the token alone, so that it can be piped', async () => {
    its.daemon.reply({ 'POST /v1/cluster/tokens': NEW_TOKEN, 'DELETE /v1/cluster/tokens/0a1b': MEMBERS });
    expect(await ask('cluster token --role backend --ttl 10')).toEqual({
      exit: 0,
      stdout: lines(NEW_TOKEN.token),
      stderr: expect.stringContaining('one node can join with it until 2026-01-01'),
    });
    expect((await ask('cluster token --remove 0a1b')).stdout).toBe(lines('join token 0a1b was taken back'));
    expect(asked()).toMatchObject([
      { body: { roles: ['backend'], ttlMs: 600_000 } },
      { method: 'DELETE', path: '/v1/cluster/tokens/0a1b' },
    ]);
    await expectJson('cluster token', NEW_TOKEN);
  });

  it('join takes the token as an argument', async () => {
    its.daemon.reply({ 'POST /v1/cluster/join': MEMBERS });
    expect((await ask('cluster join holdfast-join-A')).stdout).toBe(
      lines('this node has joined cluster 9f2c4b1a6d3e8f70'),
    );
    expect(asked()).toMatchObject([{ body: { token: 'holdfast-join-A' } }]);
  });

  it('members says who has which certificate, and what is waited for', async () => {
    const soon = Date.now() + 2 * 86_400_000 + 1_000;
    const members = {
      ...MEMBERS,
      authority: { ...MEMBERS.authority!, isReplacing: true, waitsFor: ['user alice'] },
      nodes: MEMBERS.nodes.map((it) => ({ ...it, expiresAtMs: soon })),
      users: MEMBERS.users.map((it) => ({ ...it, expiresAtMs: 0, isFormer: true })),
    };
    its.daemon.reply({ 'GET /v1/cluster/members': members });
    const { stdout } = await ask('cluster members');
    expect(stdout).toContain('the one before is believed for user alice');
    expect(stdout).toMatch(/mux1\* +mux +member +5B1C0E44A2F0 +2 d/);
    expect(stdout).toMatch(/alice +operate +5B1C0E44A2F0 \(former authority\) +expired/);
    await expectJson('cluster members', members);
    const { authority: _, cluster: __, ...none } = MEMBERS;
    its.daemon.reply({ 'GET /v1/cluster/members': { ...none, standing: 'alone', nodes: [], users: [] } });
    expect((await ask('cluster members')).stdout).toBe(
      lines('this cluster has no authority yet: holdfast cluster init on its first node'),
    );
  });
});

describe('users', () => {
  it('add writes one file for its owner, with a key that the daemon has never seen', async () => {
    const file = join(its.daemon.directory, 'alice.holdfast');
    its.daemon.reply({ 'POST /v1/cluster/users': NEW_USER });
    expect(await ask(`users add alice --role operate --out ${file}`)).toMatchObject({ exit: 0 });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const profile = JSON.parse(readFileSync(file, 'utf8'));
    expect(profile).toMatchObject({ holdfast: 1, user: 'alice', urls: NEW_USER.urls });
    expect(profile.key).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    const { body } = asked()[0]! as { body: { publicKey: string } };
    expect(body).toMatchObject({ name: 'alice', role: 'operate' });
    expect(body.publicKey).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
    expect(JSON.stringify(body)).not.toContain('PRIVATE');
    expect(await ask(`users add alice --out ${file}`)).toMatchObject({
      exit: 73,
      stderr: expect.stringContaining('exists already'),
    });
    // The certificate that is in the file counts on.
    expect(asked()).toHaveLength(1);
  });

  it('add asks for nothing that it could not write, and leaves no file where the daemon refuses', async () => {
    its.daemon.reply({ 'POST /v1/cluster/users': NEW_USER });
    const nowhere = join(its.daemon.directory, 'none', 'alice.holdfast');
    expect(await ask(`users add alice --out ${nowhere}`)).toMatchObject({
      exit: 66,
      stderr: expect.stringContaining(`Cannot write ${nowhere}.`),
    });
    expect(asked()).toEqual([]);
    const file = join(its.daemon.directory, 'alice.holdfast');
    const refusal = { code: 'unavailable', message: 'No node listens on the network.' };
    its.daemon.reply({ 'POST /v1/cluster/users': failure(503, refusal) });
    expect((await ask(`users add alice --out ${file}`)).exit).not.toBe(0);
    expect(existsSync(file)).toBe(false);
    its.daemon.reply({ 'POST /v1/cluster/users': NEW_USER });
    expect((await ask(`users add alice --out ${file}`)).exit).toBe(0);
  });

  it('list, set and remove', async () => {
    its.daemon.reply({
      'GET /v1/cluster/members': MEMBERS,
      'PATCH /v1/cluster/users/alice': MEMBERS,
      'DELETE /v1/cluster/users/alice': MEMBERS,
    });
    expect((await ask('users list')).stdout).toMatch(/^USER +ROLE +CERTIFICATE +ENDS IN\nalice +operate /);
    await expectJson('users list', { items: MEMBERS.users });
    expect((await ask('users set alice --role view')).stdout).toBe(lines('alice has the role view'));
    expect((await ask('users remove alice')).stdout).toBe(lines('alice is refused from now on'));
  });
});

describe('--profile', () => {
  const write = (text: string, mode = 0o600) => {
    const file = join(its.daemon.directory, 'p.holdfast');
    writeFileSync(file, text);
    chmodSync(file, mode);
    return file;
  };

  it.each([
    ['that others may read', '{}', 0o644, 77, 'Others may read'],
    ['that is no JSON', 'x', 0o600, 65, 'It is no JSON'],
    ['of another version', '{"holdfast":2}', 0o600, 65, 'Another version of Holdfast'],
    ['of null', 'null', 0o600, 65, 'Another version of Holdfast'],
    [
      'that lacks a part',
      '{"holdfast":1,"user":"a","urls":["https://192.0.2.1"]}',
      0o600,
      65,
      'A part of it is missing',
    ],
  ])('with a file %s is refused with the reason', async (_, text, mode, exit, reason) => {
    const outcome = await ask(`status --profile ${write(text, mode)}`, { env: { HOLDFAST_SOCKET: '' } });
    expect(outcome).toMatchObject({ exit, stdout: '', stderr: expect.stringContaining(reason) });
  });

  it('is one identity: beside another one it is refused', async () => {
    const file = write('{}');
    expect(await ask(`status --profile ${file} --socket /x`)).toMatchObject({ exit: 2 });
    expect(await ask(`status --profile ${file} --key /x --certificate /x`)).toMatchObject({ exit: 2 });
  });
});
