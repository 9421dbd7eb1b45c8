// Owns trust on a running node: puts its parts (control/trust) together, and answers the API about it.
import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PeerCertificate } from 'node:tls';
import { Client } from '../../api/client.ts';
import { createJoinEndpoint } from '../../api/join_endpoint.ts';
import type { ListenOptions } from '../../api/listen.ts';
import { nowAndThen } from '../../api/now_and_then.ts';
import type { Recognize } from '../../api/permission.ts';
import type { Finding, Members, NewToken, NewUser, NodeEvent, NodeView, Renewed } from '../../api/schema.ts';
import type { Api } from '../../api/server.ts';
import type { TrustPort } from '../../api/trust_port.ts';
import { decodeRegistration } from '../../cluster/ack_layout.ts';
import { STORE_WAIT_MS } from '../../cluster/beginning.ts';
import { REGISTRATIONS_PREFIX } from '../../cluster/keys.ts';
import type { ApiRole } from '../../config/api_roles.ts';
import { MEMBER_ROLES, type NodeConfig, type Role } from '../../config/node.ts';
import { Failure } from '../../lib/failure.ts';
import type { Store } from '../../store/contract.ts';
import { parseAltNames, USER_CERTIFICATE_DAYS } from '../../trust/identity_core.ts';
import { IdentityFile } from '../../trust/identity_file.ts';
import { decodeNodeRecord, nodeRecordKey } from '../../trust/layout.ts';
import { SealedStore } from '../../trust/sealed_store.ts';
import { isEndpoint, TOKEN_ADDRESSES_MAX } from '../../trust/token_core.ts';
import { type Renewed as Certified, Trust } from '../../trust/trust.ts';
import { TrustView } from '../../trust/trust_view.ts';
import type { Problems } from '../problems.ts';
import { type Identity, type IdentitySource, identityIn } from '../tracking/peer_apis.ts';
import { trustFindings } from './findings.ts';
import { KeyRetirement } from './key_retirement.ts';
import { recognizeIn, TrustListeners } from './listeners.ts';
import { membersOf } from './members.ts';

const DAY_MS = 86_400_000;
const ASK_ISSUER_TIMEOUT_MS = 5_000;
/** How often it is looked at whether an open token has expired. */
const TOKEN_CHECK_MS = 5_000;
/** Besides, when something changes: of a certificate that ends, or is superseded for long, nobody tells. */
const DISMISS_INTERVAL_MS = 60_000;

export type NodeTrustOptions = {
  readonly config: NodeConfig;
  readonly name: string;
  readonly version: string;
  /** Of the cluster; what is secret in it is sealed on the way. */
  readonly store: Store;
  readonly api: Pick<Api, 'fetch'>;
  /** Where other nodes reach this one. */
  readonly address: string | undefined;
  readonly log: ListenOptions['log'];
};

/** What there is only once the node runs. */
export type NodeAround = {
  readonly problems: Problems;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
  readonly nodes: () => Promise<readonly NodeView[]>;
};

export class NodeTrust implements TrustPort {
  readonly store: SealedStore;
  readonly #options: NodeTrustOptions;
  readonly #trust: Trust;
  readonly #view: TrustView;
  /** Undefined: the API is not on the network, or by certificates that an operator has put there. */
  readonly #listeners: TrustListeners | undefined;
  readonly #waiting: [key: string, failure: unknown][] = [];
  #around: NodeAround | undefined;
  #tokenTimer: NodeJS.Timeout | undefined;
  #dismissTimer: NodeJS.Timeout | undefined;
  #dismissing: Promise<void> | undefined;
  #isToDismiss = false;
  readonly #retirement: KeyRetirement;

  /** Listens at once, where this node has joined. @throws Failure where its identity cannot be relied on. */
  static async open(options: NodeTrustOptions): Promise<NodeTrust> {
    const file = new IdentityFile(options.config.stateDirectory);
    const identity = await file.read();
    if (identity !== undefined && identity.name !== options.name) {
      throw new Failure('configuration', `this node has joined the cluster as ${identity.name}`, {
        reason: `Its configuration calls it ${options.name}, and its certificate is for the other name.`,
        remedy: `set node to ${identity.name}; or remove ${file.path}, remove that node, and join again`,
      });
    }
    const secret = identity?.secret === undefined ? undefined : Buffer.from(identity.secret, 'base64');
    const opened = new NodeTrust(options, new SealedStore(options.store, secret), file, identity);
    await opened.#listeners?.use(opened.#trust.tls);
    return opened;
  }

  private constructor(
    options: NodeTrustOptions,
    store: SealedStore,
    file: IdentityFile,
    identity: Awaited<ReturnType<IdentityFile['read']>>,
  ) {
    this.#options = options;
    this.store = store;
    const { config, name, api, log } = options;
    this.#view = new TrustView(store, {
      nowMs: Date.now,
      onProblem: (failure) => this.#problem('trust in the store', failure),
    });
    this.#trust = new Trust({
      name,
      roles: config.roles,
      store,
      file,
      identity,
      view: this.#view,
      addresses: () => this.#addresses(),
      askIssuer: (publicKey) => this.#askIssuer(publicKey),
      nowMs: Date.now,
      tell: (message) => this.#tell(message),
      problem: (key, failure) => this.#problem(key, failure),
    });
    this.#retirement = new KeyRetirement({
      store,
      view: this.#view,
      trust: this.#trust,
      problem: (failure) => this.#problem('keys of a removed node', failure),
    });
    const { listen, joinPort, certificate } = config.api;
    const refused = nowAndThen((record) => log.warn(record, 'a node was not let in'));
    this.#listeners =
      listen === undefined || certificate !== undefined
        ? undefined
        : new TrustListeners({
            api,
            join: createJoinEndpoint({
              admit: (asked) => this.#trust.admit(asked),
              refused: ({ code, message, reason }, address) =>
                refused({ address, code, refusal: message, cause: reason }),
            }),
            listen,
            joinPort,
            view: this.#view,
            log,
            onProblem: (failure) => this.#problem('api', failure),
          });
  }

  /**
   * Before anything of this node is written. @throws Failure `conflict` where another node has joined under its name. Nothing
   * is known while the store is away; it is told then.
   */
  async checkName(): Promise<void> {
    const { name } = this.#options;
    const asked = this.store.get(nodeRecordKey(name)).then(
      (entry) => entry && decodeNodeRecord(entry),
      () => undefined,
    );
    const done = new AbortController();
    const late = sleep(STORE_WAIT_MS, undefined, { signal: done.signal }).catch(() => undefined);
    const record = await Promise.race([asked, late]);
    done.abort();
    if (record === undefined || record.id === this.#trust.nodeId) return;
    throw new Failure('conflict', `another node has joined the cluster as ${name}`, {
      reason: "Two nodes of one name would take each other's place.",
      remedy: `give this one another name (node in its configuration); or, if that node is gone: holdfast nodes remove ${name}`,
    });
  }

  /** Follows the store from now on. */
  start(around: NodeAround): void {
    this.#around = around;
    for (const [key, failure] of this.#waiting.splice(0)) this.#problem(key, failure);
    const listeners = this.#listeners;
    this.#trust.onIdentity((tls) => {
      void listeners?.use(tls);
      this.#judgeListening();
    });
    this.#view.onChange(() => {
      this.#judgeTokens();
      this.#dismiss();
    });
    this.#tokenTimer = setInterval(() => this.#judgeTokens(), TOKEN_CHECK_MS);
    this.#dismissTimer = setInterval(() => this.#dismiss(), DISMISS_INTERVAL_MS);
    this.#judgeListening();
    void this.#view.start();
    this.#trust.start();
    this.#retirement.start();
  }

  async close(): Promise<void> {
    clearInterval(this.#tokenTimer);
    clearInterval(this.#dismissTimer);
    await this.#retirement.close();
    await this.#listeners?.close();
    await this.#dismissing;
    await this.#trust.close();
    await this.#view.close();
  }

  /** Undefined: other certificates than the cluster's are in use. */
  get recognize(): Recognize | undefined {
    if (this.#options.config.api.certificate !== undefined) return undefined;
    return (client) => this.#listeners?.recognize(client) ?? recognizeIn(this.#view, client);
  }

  readonly peerIdentity: IdentitySource = async (node) => {
    const { certificate, key, clientAuthority: authority } = this.#options.config.api;
    if (certificate !== undefined && key !== undefined && authority !== undefined) {
      return await identityIn({ certificate, key, authority })(node);
    }
    return this.#identityFor(node);
  };

  summary(): ReturnType<TrustPort['summary']> {
    const { standing, tls } = this.#trust;
    return { standing, ...(tls !== undefined && { expiresAtMs: tls.expiresAtMs }) };
  }

  async findings(): Promise<Finding[]> {
    const { listen, certificate } = this.#options.config.api;
    const others = [...this.#view.state.nodes].filter(([name]) => name !== this.#options.name);
    const made = others.flatMap(([, { certificates }]) => certificates.map(({ madeAtMs }) => madeAtMs));
    return trustFindings({
      members: await this.members(),
      api: listen === undefined ? 'no' : certificate === undefined ? 'cluster' : 'own certificates',
      newestMadeAtMs: made.length === 0 ? undefined : Math.max(...made),
      nowMs: Date.now(),
    });
  }

  async members(): Promise<Members> {
    // Where the store is away: as it was heard last.
    const [nodes] = await Promise.all([
      this.#around?.nodes().catch(() => undefined),
      this.#view.refresh().catch(() => undefined),
    ]);
    return membersOf(
      this.#view.state,
      { self: this.#options.name, standing: this.#trust.standing, nodes: nodes ?? [] },
      Date.now(),
    );
  }

  async init(): Promise<Members> {
    this.#needListening();
    await this.#trust.init();
    return await this.members();
  }

  async join(token: string): Promise<Members> {
    await this.#trust.join(token);
    return await this.members();
  }

  async leave({ force }: { force: boolean }): Promise<Members> {
    if (!force) await this.#checkLeaving();
    await this.#trust.leave();
    return await this.members();
  }

  async rotate(what: 'certificates' | 'authority' | 'finish'): Promise<Members> {
    this.#trust.needIssuer();
    if (what !== 'finish') {
      const { issuing } = await this.#trust.changes.rotate({ authority: what === 'authority' });
      this.#tell(
        what === 'authority'
          ? `authority ${issuing} replaces the one before`
          : 'all nodes take new certificates',
      );
    } else if (!(await this.#trust.changes.forgetFormer({ force: true }))) {
      throw new Failure('conflict', 'no authority is being replaced', {
        remedy: 'begin with it: holdfast cluster rotate --new-authority',
      });
    }
    return await this.members();
  }

  async createToken({ roles, ttlMs }: { roles: readonly Role[]; ttlMs: number }): Promise<NewToken> {
    this.#trust.needIssuer();
    this.#needListening();
    const addresses = await this.#joinAddresses();
    const made = await this.#trust.changes.createToken({ roles, ttlMs, addresses });
    await this.#view.refresh();
    // Who made it may use it at once.
    await this.#listeners?.admitJoining(true);
    this.#tell(`join token ${made.id} can be used until ${new Date(made.expiresAtMs).toISOString()}`);
    return made;
  }

  async removeToken(id: string): Promise<Members> {
    this.#trust.needIssuer();
    await this.#trust.changes.removeToken(id);
    this.#tell(`join token ${id} was taken back`);
    return await this.members();
  }

  async addUser(given: { name: string; role: ApiRole; publicKey: string; days: number }): Promise<NewUser> {
    this.#trust.needIssuer();
    const { name, role, publicKey, days = USER_CERTIFICATE_DAYS } = given;
    const urls = (await this.#apis()).map((api) => `https://${api}`);
    if (urls.length === 0) {
      throw new Failure('unavailable', 'no node listens on the network', {
        remedy: 'set api.listen in holdfastd.yaml',
      });
    }
    const { certificate, issued, state } = await this.#trust.changes.addUser(name, {
      role,
      publicKey,
      lifeMs: days * DAY_MS,
    });
    this.#tell(`user ${name} has a certificate, and the role ${role}`);
    const signed = state.authorities.find(({ id }) => id === issued.authority)!;
    return {
      name,
      role,
      certificate,
      serial: issued.serial,
      expiresAtMs: issued.notAfterMs,
      authority: state.authorities.map((it) => it.certificate).join('') || signed.certificate,
      urls,
    };
  }

  async setUser(name: string, role: ApiRole): Promise<Members> {
    this.#trust.needIssuer();
    await this.#trust.changes.setUser(name, role);
    this.#tell(`user ${name} has the role ${role}`);
    return await this.members();
  }

  async removeUser(name: string): Promise<Members> {
    this.#trust.needIssuer();
    await this.#trust.changes.removeUser(name);
    this.#tell(`user ${name} was removed`);
    return await this.members();
  }

  async renew(
    node: string,
    publicKey: string,
    addresses: readonly string[],
    shown: string | undefined,
  ): Promise<Renewed> {
    return await this.#trust.renewOf(node, publicKey, addresses, shown);
  }

  /** A node is removed: what it has proves nothing any more, and what it knows is of no use soon. */
  async forget(node: string): Promise<void> {
    if (!(await this.#trust.changes.removeNode(node))) return;
    await this.#view.refresh();
    this.#tell(`the certificate of node ${node} does not count any more`);
    await this.#retirement.begin();
  }

  /** As they joined; undefined: no node of that name has. */
  rolesOf(node: string): readonly Role[] | undefined {
    return this.#view.state.nodes.get(node)?.roles;
  }

  async #checkLeaving(): Promise<void> {
    const { name } = this.#options;
    const nodes = (await this.#around?.nodes()) ?? [];
    const own = nodes.find((it) => it.name === name);
    const others = [...this.#view.state.nodes].filter(
      ([other, { roles }]) => other !== name && roles.some((role) => MEMBER_ROLES.includes(role)),
    );
    if (this.#trust.isIssuer && others.length === 0 && this.#view.state.nodes.size > 1) {
      throw new Failure('unsafe', `${name} is the last node that makes certificates`, {
        reason: 'Those of the others would end, and nobody could join.',
        remedy: 'let another mux join first, or force it',
      });
    }
    if (own?.id !== undefined && ['member', 'joining', 'draining'].includes(own.state) && others.length > 0) {
      throw new Failure('unsafe', `${name} takes part in the cluster still`, {
        reason: `It is ${own.state}.`,
        remedy: `drain it first: holdfast nodes drain ${name}; or force it`,
      });
    }
  }

  #needListening(): void {
    if (this.#listeners !== undefined) return;
    const { listen } = this.#options.config.api;
    throw new Failure(
      'configuration',
      'the API of this node is not on the network with certificates of the cluster',
      {
        reason:
          listen === undefined
            ? 'Its configuration has no api.listen.'
            : 'Its configuration names certificates of its own: api.certificate, key and clientAuthority.',
        remedy:
          listen === undefined
            ? 'set api.listen to an address of this host, such as 198.51.100.1:7443, and restart holdfastd'
            : 'take them out, and restart holdfastd',
      },
    );
  }

  #addresses(): string[] {
    const { config, address } = this.#options;
    const listen = config.api.listen;
    const host = listen?.slice(0, listen.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
    const found = [host, address, config.cluster.address].filter(
      (it) => it !== undefined && it !== '0.0.0.0' && it !== '::',
    );
    return [...new Set(found as string[])];
  }

  /** HOST:PORT of the APIs of muxes, this one's first. */
  async #apis(): Promise<string[]> {
    const { entries } = await this.store.list(REGISTRATIONS_PREFIX);
    const apis = entries.map((entry) => decodeRegistration(entry).api).filter((it) => it !== undefined);
    const [host] = this.#addresses();
    const listen = this.#options.config.api.listen;
    const own = listen && host && `${bracketed(host)}:${listen.slice(listen.lastIndexOf(':') + 1)}`;
    return [...new Set([...(own ? [own] : []), ...apis])].filter(isEndpoint);
  }

  async #joinAddresses(): Promise<string[]> {
    const { joinPort } = this.#options.config.api;
    const all = (await this.#apis()).map((api) => `${api.slice(0, api.lastIndexOf(':'))}:${joinPort}`);
    return [...new Set(all)].slice(0, TOKEN_ADDRESSES_MAX);
  }

  #identityFor(node: string): Identity | undefined {
    const { tls } = this.#trust;
    if (tls === undefined) return undefined;
    const verify = (shown: PeerCertificate) => this.#verify(node, shown);
    return { certificate: tls.cert, key: tls.key, authority: tls.ca.join(''), verify };
  }

  /** The certificate is of this node, and counts. What is newer than this node knows is asked for, and counts next time. */
  #verify(node: string, { subjectaltname, raw }: PeerCertificate): Error | undefined {
    const name = parseAltNames(subjectaltname);
    if (name?.kind !== 'node' || name.name !== node) return new Error(`it is not node ${node}`);
    const shown = { altNames: subjectaltname, serial: new X509Certificate(raw).serialNumber };
    if (this.#view.known(shown) !== undefined) return undefined;
    void this.#view.recognize(shown).catch(() => undefined);
    return new Error(`the certificate of node ${node} does not count in the cluster`);
  }

  async #askIssuer(publicKey: string): Promise<Certified> {
    const { version } = this.#options;
    const { entries } = await this.store.list(REGISTRATIONS_PREFIX);
    let last: unknown;
    for (const { name, api } of entries.map(decodeRegistration)) {
      const identity = this.#identityFor(name);
      if (api === undefined || identity === undefined) continue;
      try {
        const endpoint = { url: new URL(`https://${api}`), ...identity };
        const client = new Client(endpoint, { version, timeoutMs: ASK_ISSUER_TIMEOUT_MS });
        const { cross, ...renewed } = await client.renew({ publicKey, addresses: this.#addresses() });
        return { ...renewed, ...(cross !== undefined && { cross }) };
      } catch (error) {
        last = error;
      }
    }
    throw (
      last ??
      new Failure('unavailable', 'no mux of the cluster can be asked for another certificate', {
        reason: 'None has its API on the network.',
        remedy: 'see holdfast nodes list',
      })
    );
  }

  #judgeTokens(): void {
    const nowMs = Date.now();
    // Also for one that was used: who tries it again is told.
    const isOpen = [...this.#view.state.tokens.values()].some(({ expiresAtMs }) => nowMs < expiresAtMs);
    void this.#listeners?.admitJoining(isOpen && this.#trust.isIssuer);
  }

  #judgeListening(): void {
    const isWaiting = this.#listeners !== undefined && this.#trust.standing === 'alone';
    this.#problem(
      'api without certificates',
      isWaiting
        ? new Failure('configuration', 'the API does not listen on the network yet', {
            reason: 'This node has no certificate.',
            remedy:
              'holdfast cluster init on the first node of a cluster; holdfast cluster join TOKEN on the others',
          })
        : undefined,
    );
  }

  /** One at a time, and again where there was a change meanwhile. */
  #dismiss(): void {
    this.#isToDismiss = true;
    this.#dismissing ??= (async () => {
      while (this.#isToDismiss) {
        this.#isToDismiss = false;
        await this.#listeners?.dismiss().catch(() => undefined);
      }
      this.#dismissing = undefined;
    })();
  }

  #tell(message: string): void {
    if (this.#around === undefined) this.#options.log.info(message);
    else this.#around.tell({ kind: 'member', message });
  }

  #problem(key: string, failure: unknown): void {
    const problems = this.#around?.problems;
    if (problems === undefined) this.#waiting.push([key, failure]);
    else if (failure === undefined) problems.solve(key);
    else problems.arise(key, failure);
  }
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
