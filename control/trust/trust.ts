// Owns this node's place in the cluster's trust: it begins a cluster or joins one, has its certificate renewed in time,
// follows authorities as they change, and stops using an identity that was taken from it. Not here: what the store has of it
// (trust_store.ts), who asks over TLS (trust_view.ts), listening (control/node/trust).
import { createPublicKey, randomBytes, X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { tell } from '../cluster/following.ts';
import { ASK_KEYS_KEY } from '../cluster/keys.ts';
import { MEMBER_ROLES, type Role } from '../config/node.ts';
import { Failure } from '../lib/failure.ts';
import type { AuthorityState } from './authority_core.ts';
import { isCertified, type TlsIdentity, tlsIdentityOf } from './certificates.ts';
import {
  CLOCK_MARGIN_MS,
  CLUSTER_ID_BYTES,
  type IssuedCertificate,
  isDue,
  parseAltNames,
} from './identity_core.ts';
import type { IdentityFile, NodeIdentity } from './identity_file.ts';
import { fingerprintOf, makeKeyPair } from './issue.ts';
import { askToJoin, type JoinAnswer, type JoinRequest } from './join_client.ts';
import { AUTHORITY_KEY, decodeAuthority } from './layout.ts';
import {
  anotherStore,
  hasNotJoined,
  isAnotherCluster,
  mayHaveBegun,
  wasRemoved,
} from './membership_failures.ts';
import { CLUSTER_SECRET_BYTES, type SealedStore } from './sealed_store.ts';
import { parseToken } from './token_core.ts';
import { isSecretOf, type Joining, TrustStore, unknownToken } from './trust_store.ts';
import type { ShownCertificate, TrustView } from './trust_view.ts';

/** Besides, whatever the view tells is looked at when it comes. */
const LOOK_INTERVAL_MS = 10_000;

/** Others hear of a certificate before they see it: who has not heard of it must ask the store, or refuse. */
const HEARD_MS = 1_000;

/** Roles whose nodes make certificates, and so have the cluster's secret. */
const ISSUING_ROLES: readonly string[] = MEMBER_ROLES;
const isIssuing = (role: string): boolean => ISSUING_ROLES.includes(role);

export type TrustOptions = {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly store: SealedStore;
  readonly file: IdentityFile;
  readonly identity: NodeIdentity | undefined;
  readonly view: TrustView;
  /** That others reach this node at: for its certificate. */
  readonly addresses: () => readonly string[];
  /** Has a node that makes certificates make one for this node. */
  readonly askIssuer: (publicKey: string) => Promise<Renewed>;
  readonly nowMs: () => number;
  readonly tell: (message: string) => void;
  /** Of this key; undefined: there is none. */
  readonly problem: (key: string, failure: unknown) => void;
  readonly nodeLifeMs?: number | undefined;
};

/** As it goes to a node that renews. */
export type Renewed = Pick<JoinAnswer, 'certificate' | 'authority' | 'epoch' | 'authorities' | 'cross'>;

export type Standing =
  /** It has joined nothing. */
  | 'alone'
  | 'member'
  /** Its identity is not the cluster's any more. */
  | 'removed';

export class Trust {
  readonly changes: TrustStore;
  readonly #options: TrustOptions;
  readonly #listeners = new Set<(identity: TlsIdentity | undefined) => void>();
  readonly #closing = new AbortController();
  #identity: NodeIdentity | undefined;
  #tls: TlsIdentity | undefined;
  #standing: Standing;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #isToLookAgain = false;
  #isClosed = false;
  #lead: Promise<void> = Promise.resolve();

  constructor(options: TrustOptions) {
    this.#options = options;
    this.#identity = options.identity;
    this.#standing = options.identity === undefined ? 'alone' : 'member';
    this.changes = new TrustStore(options.store, options);
    this.#tls = this.#identity && tlsIdentityOf(this.#identity);
  }

  /** Follows what the view tells, and renews in time. */
  start(): void {
    this.#options.view.onChange(() => this.#look());
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS);
    this.#look();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closing.abort();
    clearInterval(this.#timer);
    await this.#looking;
    await this.#lead;
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** Undefined where this node has none that counts. */
  get tls(): TlsIdentity | undefined {
    return this.#tls;
  }

  /** As it has joined. */
  get nodeId(): string | undefined {
    return this.#identity?.id;
  }

  get isIssuer(): boolean {
    return this.#standing === 'member' && this.#options.store.hasSecret;
  }

  onIdentity(listener: (identity: TlsIdentity | undefined) => void): void {
    this.#listeners.add(listener);
  }

  /** @throws Failure where this node makes no certificates. */
  needIssuer(): void {
    if (this.isIssuer) return;
    throw new Failure('unsupported', 'this node makes no certificates', {
      reason:
        this.#standing === 'member'
          ? 'Only muxes have what it takes.'
          : 'It is of no cluster that has an authority.',
      remedy:
        this.#standing === 'member'
          ? 'ask a node that has the role mux'
          : 'holdfast cluster init on the first node of a cluster; holdfast cluster join TOKEN on the others',
    });
  }

  /** Makes the cluster's authority; this node is the first. */
  async init(): Promise<void> {
    await this.#alone(async () => {
      const { name, roles, store, file, nowMs } = this.#options;
      this.#needNothingYet();
      if (!roles.some(isIssuing)) {
        throw new Failure('unsupported', 'a cluster begins with a mux', {
          reason: `This node is ${roles.join(', ')}, and only muxes make certificates.`,
          remedy: 'holdfast cluster init on a node that has the role mux',
        });
      }
      const cluster = randomBytes(CLUSTER_ID_BYTES).toString('hex');
      const secret = randomBytes(CLUSTER_SECRET_BYTES);
      const { publicKey, key } = await makeKeyPair();
      let identity: NodeIdentity | undefined;
      let isWritten = false;
      store.useSecret(secret);
      try {
        await this.changes.init(cluster, this.#joining(publicKey), async ({ id, certificate, state }) => {
          identity = {
            ...identityOf({ id, cluster, certificate, ...renewedOf(state) }, name, key),
            secret: secret.toString('base64'),
          };
          // A cluster whose secret nobody has could not be used by anybody.
          await file.write(identity);
          isWritten = true;
        });
      } catch (error) {
        const begun = isWritten ? await this.#hasBegun(cluster, error) : false;
        if (begun === false) {
          store.useSecret(secretIn(this.#identity));
          if (identity !== undefined) await this.#putFileBack();
          throw error;
        }
        if (begun === 'unknown') {
          await this.#become(identity!);
          throw mayHaveBegun(error);
        }
      }
      await this.#sealWhatThereIs();
      await this.#become(identity!);
      this.#options.tell(`this node has begun cluster ${cluster}, at ${new Date(nowMs()).toISOString()}`);
    });
  }

  /** @throws Failure where the token, or who answers at its addresses, is not as it should be: nothing has changed then. */
  async join(text: string): Promise<void> {
    await this.#alone(async () => {
      const { name, roles, store, file, view } = this.#options;
      this.#needNothingYet();
      const token = parseToken(text);
      if ('wrong' in token) {
        throw new Failure('invalid', 'that is no join token', {
          reason: `${token.wrong[0]!.toUpperCase()}${token.wrong.slice(1)}.`,
          remedy: 'copy all of what holdfast cluster token has printed',
        });
      }
      const { publicKey, key } = await makeKeyPair();
      const { roles: _, node, ...rest } = this.#joining(publicKey);
      // Who may let it in.
      await view.refresh();
      const cluster = view.state.authority?.cluster;
      const asked = {
        ...{ node, roles: [...roles], ...rest, addresses: [...rest.addresses] },
        ...(cluster !== undefined && { cluster }),
      };
      const answer = await askToJoin(token, asked, (shown) => this.#wrongWith(shown));
      const identity = { ...identityOf(answer, name, key), ...(answer.secret && { secret: answer.secret }) };
      await file.write(identity);
      if (answer.secret !== undefined) store.useSecret(Buffer.from(answer.secret, 'base64'));
      await this.#become(identity);
      this.#options.tell(`this node has joined cluster ${answer.cluster}`);
    });
  }

  /** Lets another node join. Its request was held to its schema. */
  async admit(asked: JoinRequest & { readonly roles: readonly Role[] }): Promise<JoinAnswer> {
    const { token, secret: text, node, roles, publicKey, addresses, cluster } = asked;
    const secret = Buffer.from(text, 'base64');
    const joining = { node, roles, publicKey, addresses };
    const own = this.#identity;
    this.needIssuer();
    if (own === undefined) throw wasRemoved(this.#options.name);
    // Anybody may ask: for who has no token the store has no work, nor is anything signed.
    const known = this.#options.view.state.tokens.get(token);
    if (known === undefined || !isSecretOf(known, secret)) throw unknownToken();
    if (cluster !== own.cluster) {
      // The store is said to nobody who does not have the token.
      await this.changes.checkToken(token, secret, joining);
      throw anotherStore(cluster);
    }
    const { id, certificate, state } = await this.changes.admit(token, secret, joining);
    this.#options.tell(`node ${node} has joined the cluster, with join token ${token}`);
    const isIssuer = roles.some(isIssuing);
    return {
      id,
      cluster: state.cluster,
      certificate,
      ...renewedOf(state),
      ...(isIssuer && own.secret !== undefined && { secret: own.secret }),
    };
  }

  /** For a node that makes no certificates itself. */
  async renewOf(
    node: string,
    publicKey: string,
    addresses: readonly string[],
    shown: string | undefined,
  ): Promise<Renewed> {
    this.needIssuer();
    const { certificate, state } = await this.changes.renew({ node, publicKey, addresses }, { shown });
    return { certificate, ...renewedOf(state) };
  }

  /** Gives its identity back: none of its certificates counts any more. */
  async leave(): Promise<void> {
    await this.#alone(async () => {
      const { name, view, file, store } = this.#options;
      if (this.#identity === undefined) {
        throw new Failure('conflict', 'this node has not joined a cluster', {});
      }
      if (view.state.nodes.get(name)?.id === this.#identity.id) await this.changes.removeNode(name);
      await file.remove();
      this.#identity = undefined;
      store.useSecret(undefined);
      this.#use(undefined, 'alone');
      this.#options.problem('trust', undefined);
      this.#options.tell('this node has left the cluster; its certificate does not count any more');
    });
  }

  /** Of a server that lets nodes join: one whose certificate was taken away, or that is no mux, could be anybody's by now. */
  #wrongWith(shown: ShownCertificate): Error | undefined {
    const { view } = this.#options;
    const { authority, nodes } = view.state;
    const name = parseAltNames(shown.altNames);
    if (name?.cluster !== authority?.cluster) return anotherStore(authority?.cluster);
    if (view.known(shown) === undefined) return new Error('its certificate does not count in the cluster');
    const roles = nodes.get(name!.name)?.roles ?? [];
    return roles.some(isIssuing) ? undefined : new Error('it is a node that lets nobody join');
  }

  #needNothingYet(): void {
    const { connected, state } = this.#options.view;
    if (this.#identity === undefined || this.#standing === 'removed') return;
    // The store has lost its cluster, or is another one.
    if (connected && state.authority?.cluster !== this.#identity.cluster) return;
    throw new Failure('conflict', 'this node is of a cluster already', {
      reason: `It is ${this.#identity.cluster}.`,
      remedy: 'holdfast cluster leave, if it is to be of another one',
    });
  }

  /** One at a time of what changes the identity. */
  async #alone(work: () => Promise<void>): Promise<void> {
    const turn = this.#lead.then(work);
    this.#lead = turn.catch(() => undefined);
    await turn;
  }

  #joining(publicKey: string): Joining {
    const { name: node, roles, addresses } = this.#options;
    return { node, roles, publicKey, addresses: addresses() };
  }

  async #become(identity: NodeIdentity): Promise<void> {
    // What the store says of this node from now on, not what was heard of it before.
    await this.#options.view.read({ kind: 'node', name: identity.name }).catch(() => undefined);
    this.#identity = identity;
    this.#use(tlsIdentityOf(identity), 'member');
  }

  #use(tls: TlsIdentity | undefined, standing: Standing): void {
    this.#standing = standing;
    this.#tls = tls;
    tell(this.#listeners, tls);
  }

  /** Where the store has not said whether it took the authority: the file may be all there is of the cluster's secret. */
  async #hasBegun(cluster: string, error: unknown): Promise<boolean | 'unknown'> {
    if (error instanceof Failure && error.code === 'conflict') return false;
    const entry = await this.#options.store.get(AUTHORITY_KEY).catch(() => undefined);
    return entry === undefined ? 'unknown' : decodeAuthority(entry).cluster === cluster;
  }

  async #putFileBack(): Promise<void> {
    const { file } = this.#options;
    await (this.#identity === undefined ? file.remove() : file.write(this.#identity));
  }

  /** What muxes have written before there was a secret. */
  async #sealWhatThereIs(): Promise<void> {
    const { store } = this.#options;
    const entry = await store.get(ASK_KEYS_KEY);
    if (entry === undefined) return;
    const { key, value, modRevision } = entry;
    // Where it is being changed it is sealed thereby.
    await store.txn([{ key, modRevision }], [{ put: key, value }]);
  }

  #look(): void {
    this.#isToLookAgain = true;
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
  }

  async #lookOnce(): Promise<void> {
    while (this.#isToLookAgain && !this.#isClosed) {
      this.#isToLookAgain = false;
      try {
        await this.#alone(() => this.#lookNow());
        this.#options.problem('certificate', undefined);
      } catch (error) {
        this.#options.problem('certificate', error);
      }
    }
  }

  async #lookNow(): Promise<void> {
    this.#judge();
    if (this.#standing !== 'member') return;
    await this.#follow();
    await this.#renewWhereDue();
    if (this.isIssuer && (await this.#forgetFormer())) {
      this.#options.tell('nobody has a certificate of the former authority: it is not believed any more');
    }
  }

  /** Whether what this node has is the cluster's still; nothing is decided while the store has not said. */
  #judge(): void {
    const { view, name, store } = this.#options;
    const { authority, nodes } = view.state;
    if (!view.connected) return;
    const record = nodes.get(name);
    const identity = this.#identity;
    if (identity === undefined) {
      this.#options.problem(
        'trust',
        authority === undefined ? undefined : hasNotJoined(name, record !== undefined),
      );
      return;
    }
    const isOwn = authority?.cluster === identity.cluster && record?.id === identity.id;
    if (isOwn && this.#standing === 'removed') {
      store.useSecret(secretIn(identity));
      this.#use(tlsIdentityOf(identity), 'member');
    }
    if (isOwn) {
      this.#options.problem('trust', undefined);
      return;
    }
    const isRemoved = authority?.cluster === identity.cluster;
    this.#options.problem(
      'trust',
      isRemoved ? wasRemoved(name) : isAnotherCluster(identity.cluster, authority),
    );
    // A store that has lost its cluster says nothing of who was removed, and what is put back there is to be sealed.
    if (!isRemoved || this.#standing === 'removed') return;
    // The store may have been put back to an earlier state, and come to a later one again: the file stays.
    store.useSecret(undefined);
    this.#use(undefined, 'removed');
  }

  /** Believes what the authority believes, where the one before has certified the next. */
  async #follow(): Promise<void> {
    const { authority } = this.#options.view.state;
    const identity = this.#identity;
    if (authority === undefined || identity === undefined) return;
    const ids = (it: readonly { readonly id: number }[]) => it.map(({ id }) => id).join();
    const isForgetting = !authority.authorities.some(({ id }) => id === identity.authority);
    // Its own certificate is of one that is to be forgotten: another one first.
    if (ids(authority.authorities) === ids(identity.authorities) || isForgetting) return;
    await this.#keep({ ...identity, ...believed(identity, renewedOf(authority)) });
  }

  async #renewWhereDue(): Promise<void> {
    const { authority, nodes } = this.#options.view.state;
    const identity = this.#identity;
    if (authority === undefined || identity === undefined) return;
    const { serialNumber: shown } = new X509Certificate(identity.certificate);
    const isRecorded = nodes.get(this.#options.name)?.certificates.some(({ serial }) => serial === shown);
    if (isRecorded && !isDue(issuedOf(identity), authority, this.#options.nowMs())) return;
    const key = await this.#nextKey(identity);
    const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string;
    const renewed = this.isIssuer
      ? await this.#renewOwn(publicKey, { nodeId: identity.id, shown })
      : await this.#options.askIssuer(publicKey);
    const { certificate, authority: by, epoch } = renewed;
    const { nextKey: _, ...rest } = identity;
    const next = { ...rest, key, certificate, authority: by, epoch, ...believed(identity, renewed) };
    // What the store has now is used by a daemon that begins again, too.
    await this.#options.file.write(next);
    await sleep(HEARD_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    if (this.#isClosed) return;
    await this.#become(next);
    this.#options.tell('this node has a new certificate');
  }

  /** The same for each attempt until one succeeds. */
  async #nextKey(identity: NodeIdentity): Promise<string> {
    if (identity.nextKey !== undefined) return identity.nextKey;
    const { key } = await makeKeyPair();
    const next = { ...identity, nextKey: key };
    await this.#options.file.write(next);
    this.#identity = next;
    return key;
  }

  async #renewOwn(publicKey: string, of: { nodeId: string; shown: string }): Promise<Renewed> {
    const { roles: _, ...joining } = this.#joining(publicKey);
    const { certificate, state } = await this.changes.renew(joining, of);
    return { certificate, ...renewedOf(state) };
  }

  async #forgetFormer(): Promise<boolean> {
    const { authority } = this.#options.view.state;
    return (authority?.authorities.length ?? 1) > 1 && (await this.changes.forgetFormer());
  }

  async #keep(identity: NodeIdentity): Promise<void> {
    await this.#options.file.write(identity);
    await this.#become(identity);
  }
}

function secretIn(identity: NodeIdentity | undefined): Uint8Array | undefined {
  return identity?.secret === undefined ? undefined : Buffer.from(identity.secret, 'base64');
}

function renewedOf({ issuing, epoch, authorities, cross }: AuthorityState): Omit<Renewed, 'certificate'> {
  return { authority: issuing, epoch, authorities: [...authorities], ...(cross !== undefined && { cross }) };
}

function identityOf(answer: Omit<JoinAnswer, 'secret'>, name: string, key: string): NodeIdentity {
  const { id, cluster, certificate, authority, epoch, authorities, cross } = answer;
  return {
    id,
    cluster,
    name,
    certificate,
    key,
    authority,
    epoch,
    authorities,
    ...(cross !== undefined && { cross }),
  };
}

/** @throws Failure where somebody else has put an authority in the store. */
function believed(
  identity: NodeIdentity,
  { authorities, cross }: Pick<Renewed, 'authorities' | 'cross'>,
): Pick<NodeIdentity, 'authorities' | 'cross'> {
  const known = identity.authorities.map(({ certificate }) => fingerprintText(certificate));
  const certificates = identity.authorities.map(({ certificate }) => certificate);
  for (const { id, certificate } of authorities) {
    if (known.includes(fingerprintText(certificate)) || isCertified(certificate, cross, certificates))
      continue;
    throw new Failure('forbidden', `authority ${id} in the store is not the cluster's`, {
      reason: 'The one before, which this node believes, has not certified it.',
      remedy:
        'if this node was away while the authority was replaced twice: holdfast cluster leave, then join; else find out who has written to the store',
    });
  }
  return { authorities: [...authorities], ...(cross !== undefined && { cross }) };
}

function fingerprintText(certificate: string): string {
  return Buffer.from(fingerprintOf(certificate)).toString('hex');
}

function issuedOf({ certificate, authority, epoch }: NodeIdentity): IssuedCertificate {
  const { serialNumber, validFrom, validTo } = new X509Certificate(certificate);
  return {
    serial: serialNumber,
    authority,
    epoch,
    madeAtMs: Date.parse(validFrom) + CLOCK_MARGIN_MS,
    notAfterMs: Date.parse(validTo),
  };
}
