// Owns what nodes that can open the cluster's secrets do in the store for trust: making the authority, tokens, certificates,
// and taking them away; each in a transaction that compares what it read. Not here: what this node has of it (trust.ts).
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ApiRole } from '../config/api_roles.ts';
import type { Role } from '../config/node.ts';
import { Failure } from '../lib/failure.ts';
import type { Comparison, Entry, Operation, Store } from '../store/contract.ts';
import {
  type AuthorityState,
  holdersOfFormer,
  withNextAuthority,
  withNextEpoch,
  withoutFormer,
} from './authority_core.ts';
import { type IssuedCertificate, NODE_CERTIFICATE_MS } from './identity_core.ts';
import { type Authority, certify, crossCertify, fingerprintOf, makeAuthority } from './issue.ts';
import {
  AUTHORITY_KEY,
  AUTHORITY_KEYS_KEY,
  type AuthorityKeys,
  decodeAuthority,
  decodeAuthorityKeys,
  decodeNodeRecord,
  decodeTokenRecord,
  decodeUserRecord,
  encodeRecord,
  encodeRemoval,
  NODES_PREFIX,
  type NodeRecord,
  nodeRecordKey,
  REMOVAL_KEY,
  type Removal,
  TOKENS_PREFIX,
  tokenKey,
  USERS_MAX,
  USERS_PREFIX,
  type UserRecord,
  userRecordKey,
} from './layout.ts';
import { wasRemoved } from './membership_failures.ts';
import {
  formatToken,
  isForgotten,
  TOKEN_ID_BYTES,
  TOKEN_SECRET_BYTES,
  TOKENS_MAX,
  type TokenRecord,
  tokenState,
} from './token_core.ts';

/** Others who write the same at the same moment. */
const ATTEMPTS_MAX = 16;
const NODE_ID_BYTES = 8;

type TrustStoreOf = Pick<Store, 'get' | 'list' | 'txn'>;

/** What a node or user gets that has made its key. */
export type Granted = {
  readonly certificate: string;
  readonly issued: IssuedCertificate;
  readonly state: AuthorityState;
};

export type Joining = {
  readonly node: string;
  readonly roles: readonly Role[];
  readonly publicKey: string;
  readonly addresses: readonly string[];
};

export class TrustStore {
  readonly #store: TrustStoreOf;
  readonly #nowMs: () => number;
  readonly #nodeLifeMs: number;

  constructor(
    store: TrustStoreOf,
    { nowMs, nodeLifeMs = NODE_CERTIFICATE_MS }: { nowMs: () => number; nodeLifeMs?: number | undefined },
  ) {
    this.#store = store;
    this.#nowMs = nowMs;
    this.#nodeLifeMs = nodeLifeMs;
  }

  /** The first authority, and the first node. `keep` has what it is to rely on written before the store has it. */
  async init(
    cluster: string,
    first: Joining,
    keep: (granted: Granted & { readonly id: string }) => Promise<void>,
  ): Promise<void> {
    const nowMs = this.#nowMs();
    if ((await this.#store.get(AUTHORITY_KEY)) !== undefined) throw isInitialised();
    const authority = await makeAuthority(cluster, 1, nowMs);
    const state: AuthorityState = {
      cluster,
      epoch: 1,
      issuing: 1,
      authorities: [{ id: 1, certificate: authority.certificate }],
    };
    const granted = await this.#certifyNode({ state, authority }, first);
    const id = freshNodeId();
    await keep({ ...granted, id });
    const record: NodeRecord = {
      id,
      roles: [...first.roles],
      joinedAtMs: nowMs,
      certificates: [granted.issued],
    };
    const { succeeded } = await this.#store.txn(
      [
        { key: AUTHORITY_KEY, modRevision: 0 },
        { key: AUTHORITY_KEYS_KEY, modRevision: 0 },
        { key: nodeRecordKey(first.node), modRevision: 0 },
      ],
      [
        { put: AUTHORITY_KEY, value: encodeRecord(state) },
        { put: AUTHORITY_KEYS_KEY, value: encodeRecord({ keys: { 1: authority.key } }) },
        { put: nodeRecordKey(first.node), value: encodeRecord(record) },
      ],
    );
    if (!succeeded) throw isInitialised();
  }

  async createToken(given: {
    readonly roles: readonly Role[];
    readonly ttlMs: number;
    readonly addresses: readonly string[];
  }): Promise<{ readonly id: string; readonly token: string; readonly expiresAtMs: number }> {
    const nowMs = this.#nowMs();
    const state = await this.#authorityState();
    await this.#forgetTokens(nowMs);
    const { entries } = await this.#store.list(TOKENS_PREFIX);
    const open = entries.filter((entry) => tokenState(decodeTokenRecord(entry), nowMs) === 'open');
    if (open.length >= TOKENS_MAX) {
      throw new Failure('limit', `there are ${TOKENS_MAX} join tokens that nobody has used yet`, {
        remedy: 'take some back: holdfast cluster members, holdfast cluster token --remove ID',
      });
    }
    const id = randomBytes(TOKEN_ID_BYTES).toString('hex');
    const secret = randomBytes(TOKEN_SECRET_BYTES);
    const expiresAtMs = nowMs + given.ttlMs;
    const record: TokenRecord = {
      hash: hashOf(secret).toString('base64'),
      roles: [...given.roles],
      createdAtMs: nowMs,
      expiresAtMs,
    };
    await this.#store.txn([], [{ put: tokenKey(id), value: encodeRecord(record) }]);
    // The oldest that is believed: who signs later shows its way to it.
    const fingerprint = fingerprintOf(state.authorities[0]!.certificate);
    return { id, token: formatToken({ id, secret, fingerprint, addresses: given.addresses }), expiresAtMs };
  }

  async removeToken(id: string): Promise<void> {
    if ((await this.#store.get(tokenKey(id))) === undefined) {
      throw new Failure('not_found', `there is no join token ${id}`, {
        remedy: 'see those there are: holdfast cluster members',
      });
    }
    await this.#store.txn([], [{ delete: tokenKey(id) }]);
  }

  /** @throws Failure where the token does not open, or the name is another node's. Uses nothing up. */
  async checkToken(id: string, secret: Uint8Array, joining: Pick<Joining, 'node' | 'roles'>): Promise<void> {
    await this.#usableToken(id, secret, joining);
  }

  /** Uses the token up, whoever else tries at the same moment. */
  async admit(id: string, secret: Uint8Array, joining: Joining): Promise<Granted & { readonly id: string }> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { entry, record, comparisons } = await this.#usableToken(id, secret, joining);
      const authority = await this.#authority();
      const granted = await this.#certifyNode(authority, joining);
      const nowMs = this.#nowMs();
      const nodeId = freshNodeId();
      const node: NodeRecord = {
        id: nodeId,
        roles: [...joining.roles],
        joinedAtMs: nowMs,
        certificates: [granted.issued],
      };
      const { succeeded } = await this.#store.txn(
        [...comparisons, compared(authority.entry)],
        [
          { put: entry.key, value: encodeRecord({ ...record, used: { node: joining.node, atMs: nowMs } }) },
          { put: nodeRecordKey(joining.node), value: encodeRecord(node) },
        ],
      );
      if (succeeded) return { ...granted, id: nodeId };
    }
    throw busy('the join token');
  }

  /**
   * Another certificate for a node that has one. `shown`: the serial of the one it has in use, which counts on until it has the
   * new one; `nodeId`: as it joined.
   */
  async renew(
    joining: Omit<Joining, 'roles'>,
    { shown, nodeId }: { readonly shown: string | undefined; readonly nodeId?: string },
  ): Promise<Granted> {
    const key = nodeRecordKey(joining.node);
    return await this.#grant(key, async (entry, authority) => {
      const record = entry && decodeNodeRecord(entry);
      if (record === undefined || (nodeId !== undefined && record.id !== nodeId))
        throw wasRemoved(joining.node);
      const granted = await this.#certifyNode(authority, joining);
      return {
        granted,
        record: { ...record, certificates: withNewest(record.certificates, granted.issued, shown) },
      };
    });
  }

  /** Those that the user had do not count any more: they may be why there is another one. */
  async addUser(
    name: string,
    given: { readonly role: ApiRole; readonly publicKey: string; readonly lifeMs: number },
  ): Promise<Granted> {
    const { entries } = await this.#store.list(USERS_PREFIX);
    if (entries.length >= USERS_MAX) {
      throw new Failure('limit', `there are ${USERS_MAX} users already`, {
        remedy: 'remove some: holdfast users remove NAME',
      });
    }
    return await this.#grant(userRecordKey(name), async (entry, authority) => {
      const before = entry && decodeUserRecord(entry);
      const nowMs = this.#nowMs();
      const made = await certify(
        authority.authority,
        given.publicKey,
        { cluster: authority.state.cluster, kind: 'user', name },
        { lifeMs: given.lifeMs, nowMs },
      );
      const granted = grantedOf(made, authority.state, nowMs);
      const record: UserRecord = {
        role: given.role,
        addedAtMs: before?.addedAtMs ?? nowMs,
        certificates: [granted.issued],
      };
      return { granted, record };
    });
  }

  async setUser(name: string, role: ApiRole): Promise<void> {
    await this.#change(userRecordKey(name), (entry) => {
      if (entry === undefined) throw noSuchUser(name);
      return { ...decodeUserRecord(entry), role };
    });
  }

  async removeUser(name: string): Promise<void> {
    if ((await this.#store.get(userRecordKey(name))) === undefined) throw noSuchUser(name);
    await this.#store.txn([], [{ delete: userRecordKey(name) }]);
  }

  /** False where there is none. None of its certificates counts from then on; the removal stands until it is forgotten. */
  async removeNode(name: string): Promise<boolean> {
    if ((await this.#store.get(nodeRecordKey(name))) === undefined) return false;
    await this.#store.txn(
      [],
      [{ delete: nodeRecordKey(name) }, { put: REMOVAL_KEY, value: encodeRemoval(name) }],
    );
    return true;
  }

  /** Unless there was another one since. */
  async forgetRemoval({ modRevision }: Removal): Promise<void> {
    await this.#store.txn([{ key: REMOVAL_KEY, modRevision }], [{ delete: REMOVAL_KEY }]);
  }

  /** All nodes are to have other certificates; `authority`: of another authority. */
  async rotate({ authority }: { readonly authority: boolean }): Promise<AuthorityState> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const now = await this.#authority();
      if (!authority) {
        const state = withNextEpoch(now.state);
        const put = { put: AUTHORITY_KEY, value: encodeRecord(state) };
        if ((await this.#store.txn([compared(now.entry)], [put])).succeeded) return state;
        continue;
      }
      const nowMs = this.#nowMs();
      const next = await makeAuthority(now.state.cluster, now.state.issuing + 1, nowMs);
      const cross = await crossCertify(now.authority, next, nowMs);
      const state = withNextAuthority(now.state, next.certificate, cross);
      if (state === undefined) {
        throw new Failure('conflict', 'the authority is being replaced already', {
          reason: 'The one before is believed until nobody has a certificate of it.',
          remedy: 'holdfast cluster members says who has; --finish forgets the one before nevertheless',
        });
      }
      const keys: AuthorityKeys = { keys: { ...now.keys.keys, [state.issuing]: next.key } };
      if (await this.#putAuthority(now, state, keys)) return state;
    }
    throw busy('the authority');
  }

  /** Forgets the authority before this one where nobody needs it; `force`: also where somebody does. */
  async forgetFormer({ force = false } = {}): Promise<boolean> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const now = await this.#authority();
      const state = withoutFormer(now.state);
      if (state === undefined) return false;
      if (!force && holdersOfFormer(now.state, await this.#holders()).length > 0) return false;
      const keys: AuthorityKeys = { keys: { [state.issuing]: now.authority.key } };
      if (await this.#putAuthority(now, state, keys)) return true;
    }
    throw busy('the authority');
  }

  async #putAuthority(now: CurrentAuthority, state: AuthorityState, keys: AuthorityKeys): Promise<boolean> {
    const { succeeded } = await this.#store.txn(
      [compared(now.entry), compared(now.keysEntry)],
      [
        { put: AUTHORITY_KEY, value: encodeRecord(state) },
        { put: AUTHORITY_KEYS_KEY, value: encodeRecord(keys) },
      ],
    );
    return succeeded;
  }

  async #holders() {
    const [nodes, users] = await Promise.all([
      this.#store.list(NODES_PREFIX),
      this.#store.list(USERS_PREFIX),
    ]);
    return [
      ...nodes.entries.map((it) => ({ name: it.key, ...decodeNodeRecord(it) })),
      ...users.entries.map((it) => ({ name: it.key, ...decodeUserRecord(it) })),
    ];
  }

  async #usableToken(
    id: string,
    secret: Uint8Array,
    { node, roles }: Pick<Joining, 'node' | 'roles'>,
  ): Promise<{ entry: Entry; record: TokenRecord; comparisons: Comparison[] }> {
    const [entry, taken] = await Promise.all([
      this.#store.get(tokenKey(id)),
      this.#store.get(nodeRecordKey(node)),
    ]);
    const record = entry && decodeTokenRecord(entry);
    // Who does not have the secret learns nothing of the token.
    if (entry === undefined || record === undefined || !isSecretOf(record, secret)) throw unknownToken();
    const state = tokenState(record, this.#nowMs());
    if (state !== 'open') {
      throw new Failure(
        'forbidden',
        `the join token ${state === 'used' ? 'was used already' : 'has expired'}`,
        {
          reason:
            record.used === undefined
              ? `It could be used until ${new Date(record.expiresAtMs).toISOString()}.`
              : `${record.used.node} joined with it on ${new Date(record.used.atMs).toISOString()}.`,
          remedy: TOKEN_REMEDY,
        },
      );
    }
    if (!roles.every((role) => record.roles.includes(role))) {
      throw new Failure('forbidden', `the join token is not for a node that is ${roles.join(', ')}`, {
        reason: `It is for ${record.roles.join(', ')}.`,
        remedy: `holdfast cluster token --role ${roles.join(' --role ')}`,
      });
    }
    if (taken !== undefined) {
      throw new Failure('conflict', `another node has joined as ${node}`, {
        reason: "Two nodes of one name would take each other's place. The token was not used up.",
        remedy: `give this one another name (node in its configuration); or, if that node is gone: holdfast nodes remove ${node}`,
      });
    }
    return { entry, record, comparisons: [compared(entry), { key: nodeRecordKey(node), modRevision: 0 }] };
  }

  /** Certifies, and writes the record that has it: before, it counts nowhere. */
  async #grant<T extends NodeRecord | UserRecord>(
    key: string,
    make: (entry: Entry | undefined, authority: CurrentAuthority) => Promise<{ granted: Granted; record: T }>,
  ): Promise<Granted> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const authority = await this.#authority();
      const entry = await this.#store.get(key);
      const { granted, record } = await make(entry, authority);
      const { succeeded } = await this.#store.txn(
        // Of the authority that signs at that moment: whoever forgets one looks at the records before.
        [{ key, modRevision: entry?.modRevision ?? 0 }, compared(authority.entry)],
        [{ put: key, value: encodeRecord(record) }],
      );
      if (succeeded) return granted;
    }
    throw busy(key);
  }

  async #change<T extends UserRecord>(key: string, change: (entry: Entry | undefined) => T): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const entry = await this.#store.get(key);
      const value = encodeRecord(change(entry));
      const comparison = { key, modRevision: entry?.modRevision ?? 0 };
      if ((await this.#store.txn([comparison], [{ put: key, value }])).succeeded) return;
    }
    throw busy(key);
  }

  async #certifyNode(
    { state, authority }: Pick<CurrentAuthority, 'state' | 'authority'>,
    { node, publicKey, addresses }: Omit<Joining, 'roles'>,
  ): Promise<Granted> {
    const nowMs = this.#nowMs();
    const name = { cluster: state.cluster, kind: 'node', name: node } as const;
    const made = await certify(authority, publicKey, name, { lifeMs: this.#nodeLifeMs, nowMs, addresses });
    return grantedOf(made, state, nowMs);
  }

  async #authorityState(): Promise<AuthorityState> {
    const entry = await this.#store.get(AUTHORITY_KEY);
    if (entry === undefined) throw notInitialised();
    return decodeAuthority(entry);
  }

  async #authority(): Promise<CurrentAuthority> {
    const [entry, keysEntry] = await Promise.all([
      this.#store.get(AUTHORITY_KEY),
      this.#store.get(AUTHORITY_KEYS_KEY),
    ]);
    if (entry === undefined || keysEntry === undefined) throw notInitialised();
    const state = decodeAuthority(entry);
    const keys = decodeAuthorityKeys(keysEntry);
    const certificate = state.authorities.find(({ id }) => id === state.issuing)?.certificate;
    const key = keys.keys[state.issuing];
    // They are written together, and were read one after the other.
    if (certificate === undefined || key === undefined) throw busy('the authority');
    return { entry, keysEntry, state, keys, authority: { certificate, key } };
  }

  async #forgetTokens(nowMs: number): Promise<void> {
    const { entries } = await this.#store.list(TOKENS_PREFIX);
    const old = entries.filter((entry) => isForgotten(decodeTokenRecord(entry), nowMs));
    const operations: Operation[] = old.slice(0, TOKENS_MAX).map(({ key }) => ({ delete: key }));
    if (operations.length > 0) await this.#store.txn([], operations);
  }
}

type CurrentAuthority = {
  readonly entry: Entry;
  readonly keysEntry: Entry;
  readonly state: AuthorityState;
  readonly keys: AuthorityKeys;
  readonly authority: Authority;
};

const TOKEN_REMEDY = 'get another one on a mux of the cluster: holdfast cluster token';

export function isSecretOf({ hash }: TokenRecord, secret: Uint8Array): boolean {
  return timingSafeEqual(hashOf(secret), bytesOf(hash));
}

export function unknownToken(): Failure {
  return new Failure('forbidden', 'this cluster does not know the join token', {
    reason: 'It was taken back, or is of another cluster.',
    remedy: TOKEN_REMEDY,
  });
}

function notInitialised(): Failure {
  return new Failure('not_found', 'this cluster has no authority yet', {
    remedy: 'on its first node: holdfast cluster init',
  });
}

function isInitialised(): Failure {
  return new Failure('conflict', 'this cluster has an authority already', {
    reason: 'Another node has made it in the same store.',
    remedy: 'have this node join: on that one holdfast cluster token, here holdfast cluster join TOKEN',
  });
}

function noSuchUser(name: string): Failure {
  return new Failure('not_found', `there is no user ${name}`, {
    remedy: 'see those there are: holdfast cluster members',
  });
}

function busy(what: string): Failure {
  return new Failure('conflict', `${what} is being changed by others all the time`, { remedy: 'try again' });
}

function grantedOf(
  { certificate, serial, notAfterMs }: Awaited<ReturnType<typeof certify>>,
  state: AuthorityState,
  madeAtMs: number,
): Granted {
  const issued = { serial, authority: state.issuing, epoch: state.epoch, madeAtMs, notAfterMs };
  return { certificate, issued, state };
}

/** Of those made since the one in use, the node may have got none. */
function withNewest(
  before: readonly IssuedCertificate[],
  newest: IssuedCertificate,
  shown: string | undefined,
): IssuedCertificate[] {
  const inUse = before.find(({ serial }) => serial === shown) ?? before.at(-1);
  return inUse === undefined ? [newest] : [inUse, newest];
}

const compared = ({ key, modRevision }: Entry): Comparison => ({ key, modRevision });
const freshNodeId = (): string => randomBytes(NODE_ID_BYTES).toString('hex');
const hashOf = (secret: Uint8Array): Buffer => createHash('sha256').update(secret).digest();
const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64');
