// Owns choosing the implementation of the store that a configuration names.
import { ETCD_PREFIX_DEFAULT, type EtcdConfig, etcdUrls } from '../config/etcd.ts';
import { Failure } from '../lib/failure.ts';
import type { HostClock } from '../lib/host_clock.ts';
import type { Store } from './contract.ts';
import { openEtcdStore } from './etcd/store.ts';
import { openSqliteStore } from './sqlite.ts';

/**
 * `text` is `store` of the node configuration: `sqlite=/absolute/path` or `etcd=URL[,URL...]`, for which `etcd` has the
 * rest. A store that other hosts have is not asked anything yet.
 */
export async function openStore(
  text: string,
  { clock, etcd }: { clock: HostClock; etcd?: EtcdConfig | undefined },
): Promise<Store> {
  const { kind, where } = describeStore(text);
  if (kind === 'sqlite' && where.startsWith('/')) return openSqliteStore(where, clock);
  const urls = kind === 'etcd' ? etcdUrls(where) : undefined;
  if (urls !== undefined) {
    const { prefix = ETCD_PREFIX_DEFAULT, username, passwordFile, ...certificates } = etcd ?? {};
    return openEtcdStore({
      urls,
      prefix,
      certificates,
      // The configuration has both or none.
      login: username === undefined || passwordFile === undefined ? undefined : { username, passwordFile },
      nowMs: () => clock.nowMs(),
    });
  }
  throw new Failure('configuration', `there is no store ${JSON.stringify(text)}`, {
    remedy: 'write sqlite=/absolute/path or etcd=https://HOST:2379',
  });
}

/** The two halves, for people: what kind of store, and where. */
export function describeStore(text: string): { kind: string; where: string } {
  const at = text.indexOf('=');
  return at === -1 ? { kind: text, where: '' } : { kind: text.slice(0, at), where: text.slice(at + 1) };
}
