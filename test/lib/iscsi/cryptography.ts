// Owns the hashes and random numbers that tests give to connections: those of Node.js.
import { createHash, randomBytes } from 'node:crypto';
import type { ChapHash, Cryptography } from '../../../control/disk/iscsi/core/ports.ts';

const NAMES: Readonly<Record<ChapHash, string>> = {
  MD5: 'md5',
  'SHA-256': 'sha256',
  'SHA3-256': 'sha3-256',
};

export const nodeCryptography: Cryptography = {
  random: (count) => randomBytes(count),
  hash: (algorithm, bytes) => createHash(NAMES[algorithm]).update(bytes).digest(),
};
