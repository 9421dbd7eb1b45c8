// The file service of a node: its server, its clients, and what becomes of them when processes die. Clients are Debian's
// libnfs-utils at the other end of the link.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Operator } from './operator.ts';
import { NODE_ADDRESS, raiseTestSingle, type SingleLab } from './single.ts';

const PORT = 2_049;

let lab: SingleLab;
let operator: Operator;
let storage: string;

beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  storage = mkdtempSync('/var/tmp/holdfast-files-');
  mkdirSync(join(storage, 'web'));
  await lab.start({ roles: ['file'], file: { storages: { data: storage }, portmapper: true } });
});
afterAll(async () => {
  await lab?.down();
  rmSync(storage, { recursive: true, force: true });
});

describe('a file node', () => {
  it('serves as soon as it runs', async () => {
    const status = await lab.daemon.answers(({ file }) => (file?.listening.length ?? 0) > 1);
    expect(status.problems).toEqual([]);
    console.log(JSON.stringify(status.file));
  });
});
