// A cluster of loaded filters, and the wire between them: queries are carried from one to the next until nothing is sent.

import type { Verdict } from './case.ts';
import {
  FilterServer,
  type FilterServerOptions,
  type Holders,
  SERVER_ADDRESS,
  SERVER_ADDRESS6,
} from './filter_server.ts';
import { address } from './packets.ts';

export type Step = { server: number; verdict: Verdict; reason: string; output: Uint8Array };

const STEPS_MAX = 20;

/** What is a reason among what was counted: events are not. */
const isReason = (name: string): boolean =>
  /^(PASS|ACCEPT|QUERY|REPLY|DROP|NOTED)(_|$)/.test(name) && name !== 'QUERY_CUT';

export class FilterCluster {
  readonly ids: readonly number[];
  readonly servers: ReadonlyMap<number, FilterServer>;
  readonly #version: 4 | 6;

  constructor(count: number, options: Omit<FilterServerOptions, 'id' | 'servers'> = {}) {
    this.ids = Array.from({ length: count }, (_, i) => i + 1);
    this.#version = options.version ?? 4;
    this.servers = new Map(
      this.ids.map((id) => [id, new FilterServer({ ...options, id, servers: this.ids })]),
    );
  }

  close(): void {
    for (const server of this.servers.values()) server.close();
  }

  at(id: number): FilterServer {
    return this.servers.get(id)!;
  }

  /** At every server, or at those given. */
  setBuckets(service: string, current: number, base = current, holders?: Holders, at = this.ids): void {
    for (const id of at) this.at(id).setBuckets(service, current, base, holders);
  }

  clear(): void {
    for (const server of this.servers.values()) server.clear();
  }

  advance(units: number): void {
    for (const server of this.servers.values()) server.advance(units);
  }

  /** One server's way with a frame. */
  step(id: number, frame: Uint8Array): Step {
    const { verdict, output, counted } = this.at(id).judge(frame);
    const reasons = Object.keys(counted).filter(isReason);
    if (reasons.length !== 1) throw new Error(`server ${id} counted ${JSON.stringify(counted)}`);
    return { server: id, verdict, reason: reasons[0]!, output };
  }

  /** Whom a frame that was sent is for. */
  receiverOf(frame: Uint8Array): number {
    const [from, bytes, text] =
      this.#version === 4 ? ([30, 4, SERVER_ADDRESS] as const) : ([38, 16, SERVER_ADDRESS6] as const);
    const to = Buffer.from(frame.subarray(from, from + bytes));
    const found = this.ids.find((id) => to.equals(address(text(id))));
    if (found === undefined) throw new Error('a query for no server');
    return found;
  }

  /** From the server that hears the packet on, as far as it is sent. */
  carry(id: number, frame: Uint8Array): Step[] {
    const steps = [this.step(id, frame)];
    while (steps.at(-1)!.verdict === 'TX') {
      if (steps.length > STEPS_MAX) throw new Error('a query without end');
      steps.push(this.step(this.receiverOf(steps.at(-1)!.output), steps.at(-1)!.output));
    }
    return steps;
  }

  /** Every server hears the packet, in this order, and queries are carried at once. Who answered it. */
  hear(frame: Uint8Array, order: readonly number[] = this.ids): number[] {
    return order.flatMap((id) =>
      this.carry(id, frame)
        .filter(({ reason }) => reason.startsWith('ACCEPT'))
        .map(({ server }) => server),
    );
  }
}

/** `reason@server` of every step. */
export const trail = (steps: readonly Step[]): string =>
  steps.map(({ reason, server }) => `${reason}@${server}`).join(' ');
