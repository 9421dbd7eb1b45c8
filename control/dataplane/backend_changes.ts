// Owns bringing a table of backends or peers to what is wanted: what can be written at once, and what must wait until
// packets have left the record that changes. Not here: how a record is written (backend_table.ts).
import { type BackendConfig, type BackendTable, isSameDestination } from './backend_table.ts';

export type BackendChanges = {
  readonly table: BackendTable;
  /** About to be written where nothing is, or where packets have left. */
  readonly joins?: (configs: ReadonlyMap<number, BackendConfig>) => void;
};

export type WrittenBackends = {
  added: number;
  changed: number;
  /** Records that lead to another destination still, or did until a moment ago, and next hops that packets may be on. */
  later: Map<number, BackendConfig>;
};

/** Grace periods that one change may need, one after the other, before something is wrong. */
const GRACE_PERIODS_MAX = 64;

/** Writes what can be written at once. */
export function writeBackends(
  { table, joins }: BackendChanges,
  configs: ReadonlyMap<number, BackendConfig>,
): WrittenBackends {
  const written: WrittenBackends = { added: 0, changed: 0, later: new Map() };
  const now = new Map<number, BackendConfig>();
  for (const [index, config] of configs) {
    const known = table.get(index);
    if (known !== undefined && !isSameDestination(known, config)) written.later.set(index, config);
    else if (table.differs(index, config)) now.set(index, config);
    else continue;
    if (known === undefined) written.added++;
    else written.changed++;
  }
  joins?.(now);
  for (const [index, config] of now) if (!table.set(index, config)) written.later.set(index, config);
  return written;
}

/** Writes the rest: what packets are on now is first left by those that can go elsewhere, then changes. */
export async function replaceBackends(
  { table, joins }: BackendChanges,
  configs: ReadonlyMap<number, BackendConfig>,
  wait: () => Promise<void>,
): Promise<void> {
  let left = configs;
  for (let periods = 0; left.size > 0; periods++) {
    if (periods > GRACE_PERIODS_MAX)
      throw new Error(`${table.shape.what}s ${[...left.keys()]} do not come to rest`);
    await wait();
    joins?.(new Map([...left].filter(([index]) => table.get(index) === undefined)));
    left = new Map([...left].filter(([index, config]) => !table.set(index, config)));
  }
}

/** Of `configs` those that are other ways to the same destinations: what leads elsewhere by now is left alone. */
export function otherWays(
  table: BackendTable,
  configs: ReadonlyMap<number, BackendConfig>,
): Map<number, BackendConfig> {
  return new Map(
    [...configs].filter(([index, config]) => {
      const known = table.get(index);
      return known !== undefined && isSameDestination(known, config) && table.differs(index, config);
    }),
  );
}
