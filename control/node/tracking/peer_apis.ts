// Owns asking other nodes' APIs: as a client with this node's own certificate, where both sides have one. There is no other
// trust between daemons.
import { readFile } from 'node:fs/promises';
import type { PeerCertificate } from 'node:tls';
import { Client } from '../../api/client.ts';
import type { Unanswered } from '../../api/schema.ts';
import { Failure } from '../../lib/failure.ts';

/**
 * Whoever asked waits for us, and ten seconds at most. A host that is away is given up soon; a busy one, which may have to ask
 * the store who we are, has longer to answer.
 */
const LIMITS = { connectTimeoutMs: 2_000, timeoutMs: 5_000 };

/** PEM. */
export type Identity = {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
  /** What the certificate of the other must say beside. */
  readonly verify?: (certificate: PeerCertificate) => Error | undefined;
};

/** Asked anew for each question: certificates are replaced. Undefined: this node has none. */
export type IdentitySource = (node: string) => Promise<Identity | undefined>;

/** From files. */
export function identityIn(files: Omit<Identity, 'verify'>): IdentitySource {
  return async () => {
    const [certificate, key, authority] = await Promise.all(
      [files.certificate, files.key, files.authority].map((file) => readFile(file, 'utf8')),
    );
    return { certificate: certificate!, key: key!, authority: authority! };
  };
}

export type Peer = {
  readonly node: string;
  /** HOST:PORT, where its API is on the network. */
  readonly api: string | undefined;
};

export interface PeerApis {
  /** `command`: what somebody would type there. */
  ask<T>(
    peer: Peer,
    command: string,
    question: (client: Client) => Promise<T>,
  ): Promise<{ readonly answer: T } | Unanswered>;
}

export class CertifiedPeerApis implements PeerApis {
  readonly #identity: IdentitySource;
  readonly #version: string;

  /** Without an identity nobody is asked, and everybody is told why. */
  constructor(identity: IdentitySource, version: string) {
    this.#identity = identity;
    this.#version = version;
  }

  async ask<T>(
    { node, api }: Peer,
    command: string,
    question: (client: Client) => Promise<T>,
  ): Promise<{ readonly answer: T } | Unanswered> {
    const there = `on ${node}: holdfast ${command}`;
    if (api === undefined) {
      return unanswered(node, {
        reason: 'its API is not on the network',
        remedy: `ask ${there}; or give it api.listen with certificates in its holdfastd.yaml`,
      });
    }
    try {
      const identity = await this.#identity(node);
      if (identity === undefined) {
        return unanswered(node, {
          reason: 'this node has no certificate to ask with',
          remedy: `have it join the cluster (holdfast cluster join), or ask ${there}`,
        });
      }
      const endpoint = { url: new URL(`https://${api}`), ...identity };
      return {
        answer: await question(new Client(endpoint, { version: this.#version, ...LIMITS })),
      };
    } catch (error) {
      const failure = error instanceof Failure ? error : new Failure('unavailable', String(error));
      return unanswered(node, {
        reason: [failure.message, failure.reason].filter((it) => it !== undefined).join(' '),
        remedy: `ask ${there}`,
      });
    }
  }
}

function unanswered(node: string, more: { reason: string; remedy: string }): Unanswered {
  return { node, failure: new Failure('unavailable', `node ${node} could not be asked`, more).body };
}
