// Owns a Maglev table, written from section 3.4 of "Maglev: A Fast and Reliable Software Network Load Balancer"
// (Eisenbud et al., NSDI 2016): what the pool's table is compared with. Shares no code with the product.
import { createHash } from 'node:crypto';

const NOBODY = 0;

/** Backend (by index, from 1 on) of each row; `rows` is prime. Backends take rows in turn, in the order given. */
export function maglevTable(backends: readonly number[], rows: number): Uint16Array {
  const table = new Uint16Array(rows).fill(NOBODY);
  if (backends.length === 0) return table;
  const preferences = backends.map((backend) => ({ backend, ...offsetAndSkip(backend, rows) }));
  for (let filled = 0; filled < rows; ) {
    for (const preference of preferences) {
      while (table[preference.row] !== NOBODY) step(preference, rows);
      table[preference.row] = preference.backend;
      step(preference, rows);
      if (++filled === rows) break;
    }
  }
  return table;
}

/** Two hashes of the backend's name. */
function offsetAndSkip(backend: number, rows: number): { row: number; skip: number } {
  const digest = createHash('sha256').update(`backend ${backend}`).digest();
  return {
    row: Number(digest.readBigUInt64LE(0) % BigInt(rows)),
    skip: Number(digest.readBigUInt64LE(8) % BigInt(rows - 1)) + 1,
  };
}

function step(preference: { row: number; readonly skip: number }, rows: number): void {
  preference.row = (preference.row + preference.skip) % rows;
}
