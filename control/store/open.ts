// Owns choosing the implementation of the store that a configuration names.
import { Failure } from '../lib/failure.ts';
import type { HostClock } from '../lib/host_clock.ts';
import type { Store } from './contract.ts';
import { openSqliteStore } from './sqlite.ts';

/** `text` is `store` of the node configuration: `sqlite=/absolute/path`. */
export async function openStore(text: string, { clock }: { clock: HostClock }): Promise<Store> {
  const { kind, where } = describeStore(text);
  if (kind === 'sqlite' && where.startsWith('/')) return openSqliteStore(where, clock);
  throw new Failure('configuration', `there is no store ${JSON.stringify(text)}`, {
    remedy: 'write sqlite=/absolute/path',
  });
}

/** The two halves, for people: what kind of store, and where. */
export function describeStore(text: string): { kind: string; where: string } {
  const at = text.indexOf('=');
  return at === -1 ? { kind: text, where: '' } : { kind: text.slice(0, at), where: text.slice(at + 1) };
}
