// Owns putting the APIs of a lab's muxes on the network, each with a certificate of one authority, so that daemons can
// ask each other.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { type Certified, certify, makeAuthority } from '../unit/api/lib/certificates.ts';
import type { Lab, LabMux } from './lab.ts';
import { labDirectory } from './state.ts';
import { eventually } from './support.ts';

export const PEER_API_PORT = 7443;
const JOIN_LIMIT_MS = 30_000;
const USAGE = 'serverAuth,clientAuth';

export class PeerApis {
  readonly #lab: Lab;
  readonly #directory: string;
  readonly #authority: Certified;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.#directory = join(labDirectory(lab.plan.name), 'tls');
    mkdirSync(this.#directory);
    this.#authority = makeAuthority(this.#directory, 'authority');
  }

  /** Returns when every mux is a member again. */
  static async open(lab: Lab): Promise<PeerApis> {
    const apis = new PeerApis(lab);
    for (const mux of lab.muxes) {
      const { name, address4 } = mux.node;
      await apis.listen(
        mux,
        certify(apis.#directory, apis.#authority, name, { usage: USAGE, addresses: [address4] }),
      );
    }
    await apis.membersAre(lab.muxes.length);
    return apis;
  }

  /** A certificate for all muxes that none of them trusts. */
  stranger(): Certified {
    return certify(this.#directory, makeAuthority(this.#directory, 'other'), 'stranger', {
      usage: USAGE,
      addresses: this.#lab.muxes.map(({ node }) => node.address4),
    });
  }

  /** Begins the daemon again with its API on the network. */
  async listen({ node, daemon }: LabMux, { certificate, key }: Certified): Promise<void> {
    const config = parse(readFileSync(daemon.configPath, 'utf8')) as { api: object };
    const { socket } = daemon.place;
    const api = {
      socket,
      listen: `${node.address4}:${PEER_API_PORT}`,
      certificate,
      key,
      clientAuthority: this.#authority.certificate,
    };
    await daemon.end('SIGTERM');
    daemon.configure(stringify({ ...config, api }));
    await daemon.start();
  }

  async membersAre(count: number): Promise<void> {
    await eventually(
      async () => {
        const nodes = await this.#lab.muxes[0]!.daemon.client.nodes();
        const isDone =
          nodes.filter(({ state, api }) => state === 'member' && api !== undefined).length === count;
        return isDone ? true : undefined;
      },
      `${count} members`,
      JOIN_LIMIT_MS,
    );
  }
}
