// Owns what one client may do with links: found once for each link and user, and again when the namespace says otherwise.
import type { AddressBytes } from '../../lib/address.ts';
import type { Credentials } from '../codec/rpc_credentials.ts';
import type { Caller, FileSystem } from '../filesystem/port.ts';
import type { Link } from '../namespace/document.ts';
import type { NamespaceView } from '../namespace/view.ts';
import { callerOf } from './caller.ts';
import type { Quotas } from './quota.ts';

/** By the names that the namespace has for them; it may change at any time. */
export type Storages = { get(name: string): FileSystem | undefined };

/** One user of one client at one link. */
export type Grant = {
  readonly link: Link;
  readonly storage: FileSystem;
  /** The storage's, with the link's quota. */
  readonly fs: FileSystem;
  readonly storageId: number;
  readonly caller: Caller;
  readonly mayWrite: boolean;
};

/** `no link`: it is gone, or leads elsewhere now. `no storage`: this node does not have it. */
export type NoGrant = 'no link' | 'no access' | 'no storage';

export class Grants {
  readonly #view: NamespaceView;
  readonly #storages: Storages;
  readonly #quotas: Quotas;
  readonly #client: AddressBytes;
  /** Credentials are one object for as long as a caller is remembered. */
  #known = new WeakMap<Credentials, Map<number, Grant>>();
  #lastCredentials: Credentials | undefined;
  #lastGrant: Grant | undefined;

  constructor(view: NamespaceView, storages: Storages, quotas: Quotas, client: AddressBytes) {
    this.#view = view;
    this.#storages = storages;
    this.#quotas = quotas;
    this.#client = client;
  }

  of(linkId: number, storageId: number | undefined, credentials: Credentials): Grant | NoGrant {
    const link = this.#view.link(linkId);
    if (link === undefined) return 'no link';
    const storage = this.#storages.get(link.storage);
    const last = this.#lastGrant;
    if (last !== undefined && this.#lastCredentials === credentials) {
      const same = last.link === link && last.storage === storage;
      if (same && (storageId === undefined || storageId === last.storageId)) return last;
    }
    return this.#find(link, storageId, storage, credentials);
  }

  #find(
    link: Link,
    asked: number | undefined,
    storage: FileSystem | undefined,
    credentials: Credentials,
  ): Grant | NoGrant {
    const storageId = this.#view.storage(link.storage)?.id;
    if (storageId === undefined || (asked !== undefined && asked !== storageId)) return 'no link';
    const access = this.#view.access(link, this.#client);
    if (access === undefined) return 'no access';
    if (storage === undefined) return 'no storage';
    let byLink = this.#known.get(credentials);
    if (byLink === undefined) {
      byLink = new Map();
      this.#known.set(credentials, byLink);
    }
    let grant = byLink.get(link.id);
    if (grant?.link !== link || grant.storage !== storage || grant.storageId !== storageId) {
      const { mayWrite } = access;
      const fs = this.#quotas.fileSystemOf(link, storage);
      grant = { link, storage, fs, storageId, caller: callerOf(credentials, access), mayWrite };
      byLink.set(link.id, grant);
    }
    this.#lastCredentials = credentials;
    this.#lastGrant = grant;
    return grant;
  }
}
