// Owns where this node listens with the cluster's certificates: the API, from when it has joined until it leaves, and the
// port for nodes that join, while there is a join token. A renewed certificate is served without a pause, and connections
// whose certificate does not count any more are ended. Who may what is the API's.
import type { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { type Listener, type ListenOptions, listen } from '../../api/listen.ts';
import type { Recognize } from '../../api/permission.ts';
import type { Api } from '../../api/server.ts';
import type { CallerRole } from '../../config/api_roles.ts';
import { Failure } from '../../lib/failure.ts';
import type { TlsIdentity } from '../../trust/certificates.ts';
import { isLess } from '../../trust/permissions_core.ts';
import type { Known, TrustView } from '../../trust/trust_view.ts';

/** Strangers may connect there: fewer, a few of each, and not for long. A node that joins needs two. */
const JOIN_LIMITS = {
  connectionsMax: 32,
  networkConnectionsMax: 8,
  headTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  idleTimeoutMs: 5_000,
  closeWaitMs: 1_000,
};

/** Who has just asked is told why it is refused; only who would listen on is cut off. */
const DISMISS_AFTER_MS = 200;

export type TrustListenersOptions = {
  readonly api: Pick<Api, 'fetch'>;
  readonly join: Pick<Api, 'fetch'>;
  /** ADDRESS:PORT */
  readonly listen: string;
  readonly joinPort: number;
  readonly view: TrustView;
  readonly log: ListenOptions['log'];
  readonly onProblem: (failure: unknown) => void;
};

export class TrustListeners {
  readonly #options: TrustListenersOptions;
  /** As whom the newest request of a connection was let in. */
  readonly #letIn = new WeakMap<TLSSocket, CallerRole>();
  #tls: TlsIdentity | undefined;
  #isJoinWanted = false;
  #api: Listener | undefined;
  #join: Listener | undefined;
  #work: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: TrustListenersOptions) {
    this.#options = options;
  }

  get where(): string | undefined {
    return this.#api?.where;
  }

  /** Resolves when it listens as it is to, or has told why not. */
  use(tls: TlsIdentity | undefined): Promise<void> {
    const isRenewed = this.#tls !== undefined && tls !== undefined && this.#tls !== tls;
    this.#tls = tls;
    return this.#do(async () => {
      await this.#bring();
      if (isRenewed) await Promise.all([this.#api?.reload(), this.#join?.reload()]);
    });
  }

  /** Whether nodes may join here. */
  admitJoining(isWanted: boolean): Promise<void> {
    if (this.#isJoinWanted === isWanted) return this.#work;
    this.#isJoinWanted = isWanted;
    return this.#do(() => this.#bring());
  }

  /** Who asks. What the answer to a request is may go on for as long as that one may as much. */
  async recognize(client: TLSSocket): ReturnType<Recognize> {
    const known = await recognizeIn(this.#options.view, client);
    this.#letIn.set(client, known.role);
    return known;
  }

  /** Ends connections of those who are nobody any more, or may less than what they were let in for. */
  async dismiss(): Promise<void> {
    const unwanted = await this.#unwantedOf(this.#api?.clients() ?? []);
    if (unwanted.length === 0) return;
    await sleep(DISMISS_AFTER_MS);
    // Who asked meanwhile may be wanted as what it is now.
    for (const client of await this.#unwantedOf(unwanted)) client.destroy();
  }

  async #unwantedOf(clients: readonly TLSSocket[]): Promise<TLSSocket[]> {
    const judged = await Promise.all(clients.map((client) => this.#isUnwanted(client)));
    return clients.filter((_, index) => judged[index]);
  }

  async #isUnwanted(client: TLSSocket): Promise<boolean> {
    try {
      const { role } = await recognizeIn(this.#options.view, client);
      return isLess(role, this.#letIn.get(client) ?? role);
    } catch (error) {
      // Where the store is away it is not known, and who was let in stays.
      return error instanceof Failure && error.code === 'unauthorized';
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#tls = undefined;
    await this.#do(() => this.#bring());
  }

  #do(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(work).then(
      () => {
        if (!this.#isClosed) this.#options.onProblem(undefined);
      },
      (error: unknown) => this.#options.onProblem(error),
    );
    return this.#work;
  }

  async #bring(): Promise<void> {
    const { api, join, listen: place, joinPort, log } = this.#options;
    const identity = () => this.#tls!;
    if (this.#tls === undefined || !this.#isJoinWanted) await this.#closeJoin();
    if (this.#tls === undefined) {
      const open = this.#api;
      this.#api = undefined;
      await open?.close();
      return;
    }
    if (this.#api === undefined) {
      this.#api = await listen(api, { listen: place, identity, clients: 'certified' }, { log });
      log.info(`the API listens on ${this.#api.where}`);
    }
    if (!this.#isJoinWanted) return;
    const joinPlace = `${place.slice(0, place.lastIndexOf(':'))}:${joinPort}`;
    const limits = JOIN_LIMITS;
    this.#join ??= await listen(join, { listen: joinPlace, identity, clients: 'joining' }, { log, limits });
  }

  async #closeJoin(): Promise<void> {
    const open = this.#join;
    this.#join = undefined;
    await open?.close();
  }
}

/** Who that is by the certificate of its connection. */
export async function recognizeIn(view: TrustView, client: TLSSocket): Promise<Known & { serial: string }> {
  const certificate = client.getPeerX509Certificate();
  if (certificate === undefined) {
    throw new Failure('unauthorized', 'This connection has shown no certificate.', {
      remedy: 'Connect anew, with the certificate of a user: holdfast users add NAME',
    });
  }
  checkTime(certificate);
  const { subjectAltName: altNames, serialNumber: serial } = certificate;
  return { ...(await view.recognize({ altNames, serial })), serial };
}

/** It was valid when the connection began. */
function checkTime(certificate: X509Certificate): void {
  if (Date.parse(certificate.validTo) > Date.now()) return;
  throw new Failure('unauthorized', 'This certificate has expired.', {
    reason: `It was valid until ${new Date(certificate.validTo).toISOString()}.`,
    remedy: 'Get another one: holdfast users add NAME',
  });
}
