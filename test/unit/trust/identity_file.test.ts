// The file that proves who a node is: whole, for root alone, or not used.
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { IdentityFile, type NodeIdentity } from '../../../control/trust/identity_file.ts';
import { failureOf } from './cluster.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
const IDENTITY: NodeIdentity = {
  cluster: '9f2c4b1a6d3e8f70',
  id: '00',
  name: 'mux1',
  certificate: PEM,
  key: PEM,
  authority: 1,
  epoch: 1,
  authorities: [{ id: 1, certificate: PEM }],
  secret: 'AAAA',
};

let directory: string;
let file: IdentityFile;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-identity-'));
  file = new IdentityFile(directory);
});
afterEach(() => rmSync(directory, { recursive: true }));

it('is read as it was written, and nothing is left beside it', async () => {
  expect(await file.read()).toBeUndefined();
  await file.write({ ...IDENTITY, name: 'before' });
  // Of a daemon that was killed while it wrote.
  writeFileSync(`${file.path}.new`, 'half', { mode: 0o644 });
  await file.write(IDENTITY);
  expect(await file.read()).toEqual({ format: 1, ...IDENTITY });
  expect(readdirSync(directory)).toEqual(['identity.json']);
  expect(statSync(file.path).mode & 0o777).toBe(0o600);
  await file.remove();
  expect(await file.read()).toBeUndefined();
});

it.each([
  ['others may read', () => chmodSync(file.path, 0o640), 'others than root may read or write it'],
  ['was cut short', () => writeFileSync(file.path, readFileSync(file.path).subarray(0, -20)), 'JSON'],
  ['is of another format', () => writeFileSync(file.path, '{"format":2}'), 'format'],
  ['is too long', () => writeFileSync(file.path, ' '.repeat(300 << 10)), 'longer than'],
])('that %s is not used, and says so', async (_, spoil, reason) => {
  await file.write(IDENTITY);
  spoil();
  const { body } = await failureOf(file.read());
  expect(body).toMatchObject({ code: 'configuration', cause: expect.stringContaining(reason) });
});

it('is not believed to be written where it was not', async () => {
  const nowhere = new IdentityFile(join(directory, 'missing'));
  expect((await failureOf(nowhere.write(IDENTITY))).body.code).toBe('unavailable');
});
