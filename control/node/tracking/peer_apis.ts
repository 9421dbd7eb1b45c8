// Owns asking other nodes' APIs: as a client with this node's own certificate, where both sides have one. There is no other
// trust between daemons.
import { readFile } from 'node:fs/promises';
import { Client } from '../../api/client.ts';
import type { Unanswered } from '../../api/schema.ts';
import { Failure } from '../../lib/failure.ts';

/** Whoever asked waits for us, and ten seconds at most. */
const TIMEOUT_MS = 2_000;

/** Files, read anew for each question: certificates are replaced. */
export type Identity = {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
};

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
  readonly #identity: Identity | undefined;
  readonly #version: string;

  /** Without an identity nobody is asked, and everybody is told why. */
  constructor(identity: Identity | undefined, version: string) {
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
    if (this.#identity === undefined) {
      return unanswered(node, {
        reason: 'this node has no certificate to ask with',
        remedy: `holdfast --url https://${api} ${command}, or ask ${there}`,
      });
    }
    try {
      const [certificate, key, authority] = await Promise.all(
        [this.#identity.certificate, this.#identity.key, this.#identity.authority].map((file) =>
          readFile(file, 'utf8'),
        ),
      );
      const endpoint = {
        url: new URL(`https://${api}`),
        certificate: certificate!,
        key: key!,
        authority: authority!,
      };
      return {
        answer: await question(new Client(endpoint, { version: this.#version, timeoutMs: TIMEOUT_MS })),
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
