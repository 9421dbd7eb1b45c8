// Owns streams of datagrams through chosen muxes: which source port takes the router's way to which mux, and what became
// of each stream.
import type { ClientAgent } from './agent.ts';
import { muxOfFlow } from './bird.ts';
import type { Lab } from './lab.ts';
import { ECHO_PORT } from './plan.ts';
import type { StreamResult } from './protocol.ts';
import { packetsWithoutRoute } from './topology.ts';

const PORT_FIRST = 20_000;
/** Of so many flows some take each of a few muxes. */
const PORTS_TRIED = 400;
/** To see a gap; and to see that none is lost, on a host where a process may have to wait for its turn. */
export const PACKETS_PER_SECOND = 1_000;
const PATIENT_PACKETS_PER_SECOND = 100;

/** As the router spreads flows now. */
export function portThrough(lab: Lab, muxName: string, address: string, from = PORT_FIRST): number {
  const client = lab.plan.clients[0]!;
  const source = address.includes(':') ? client.address6 : client.address4;
  for (let sourcePort = from; sourcePort < from + PORTS_TRIED; sourcePort++) {
    const flow = { from: source, sourcePort, to: address, port: ECHO_PORT, client: client.name };
    if (muxOfFlow(lab.plan, flow) === muxName) return sourcePort;
  }
  throw new Error(`the router sends no flow to ${muxName}`);
}

/** One stream through each of these muxes, IPv4 and IPv6, which have answers when this returns. */
export async function startStreams(
  lab: Lab,
  muxNames: readonly string[],
  addresses: readonly string[],
  packetsPerSecond = PATIENT_PACKETS_PER_SECOND,
): Promise<Streams> {
  const agent = await lab.client();
  const flows = addresses.flatMap((address, index) =>
    muxNames.map((name) => ({
      through: `${address} ${name}`,
      address,
      // Ports are the client's, whatever the address.
      sourcePort: portThrough(lab, name, address, PORT_FIRST + index * PORTS_TRIED),
    })),
  );
  for (const { address, sourcePort } of flows)
    await agent.call('startStream', { address, sourcePort, packetsPerSecond });
  return new Streams(lab, agent, new Map(flows.map(({ sourcePort, through }) => [sourcePort, through])));
}

export type StreamsResult = {
  readonly sent: number;
  readonly lost: number;
  /** Packets that the router had no route for, while it replaced one. */
  readonly withoutRoute: number;
  /** The longest of any one. */
  readonly gapMs: number;
  /** Of those that lost something, for a test that fails. */
  readonly detail: string;
};

export class Streams {
  readonly #lab: Lab;
  readonly #agent: ClientAgent;
  readonly #withoutRoute: number;
  /** What each was started through, by source port. */
  readonly #flows: ReadonlyMap<number, string>;

  constructor(lab: Lab, agent: ClientAgent, flows: ReadonlyMap<number, string>) {
    this.#lab = lab;
    this.#withoutRoute = packetsWithoutRoute(lab.plan);
    this.#agent = agent;
    this.#flows = flows;
  }

  /** All together. */
  async stop(): Promise<StreamsResult> {
    const results = await Promise.all(
      [...this.#flows].map(async ([sourcePort, through]) => ({
        through,
        ...(await this.#agent.call('stopStream', { sourcePort })),
      })),
    );
    return { ...sum(results), withoutRoute: packetsWithoutRoute(this.#lab.plan) - this.#withoutRoute };
  }
}

function sum(
  results: readonly (StreamResult & { readonly through: string })[],
): Omit<StreamsResult, 'withoutRoute'> {
  const sent = results.reduce((total, it) => total + it.sent, 0);
  const received = results.reduce((total, it) => total + it.received, 0);
  const losing = results.filter((it) => it.received < it.sent);
  return {
    sent,
    lost: sent - received,
    gapMs: Math.max(...results.map(({ gapMs }) => gapMs)),
    detail: losing
      .map(
        (it) =>
          `${it.through}: ${it.sent - it.received} of ${it.sent} lost, gap of ${it.gapMs.toFixed(0)} ms at ${new Date(it.gapAtMs).toISOString()}, to ${Object.keys(it.perBackend)}`,
      )
      .join('; '),
  };
}
