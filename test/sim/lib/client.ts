// Owns the clients: connections that behave like TCP as far as a load balancer can tell, one segment at a time with
// retransmission, and conversations of datagrams.
import { MS } from './scenario.ts';
import { datagram, type Flow, type Packet, segment } from './traffic.ts';

/** What a server answers. It does not pass by the muxes. */
export type Reply = {
  readonly kind: 'synAck' | 'ack' | 'reset' | 'answer';
  /** Of the message that is answered. */
  readonly number: number;
  readonly host: number;
};

/** What a client may do. */
export type World = {
  send(packet: Packet): void;
  after(delayNs: number, happen: () => void): void;
};

export type FlowEnd = 'open' | 'finished' | 'unanswered' | 'broken' | 'timedOut';

export interface Client {
  readonly flow: Flow;
  readonly end: FlowEnd;
  /** Who serves the flow, once that is settled. */
  readonly server: number | undefined;
  start(): void;
  take(reply: Reply): void;
  /** A packet of the flow has reached a server. */
  reached(host: number): void;
}

const RETRANSMISSION_NS = 300 * MS;
const ATTEMPTS_MAX = 8;

export class Connection implements Client {
  readonly flow: Flow;
  readonly #world: World;
  #end: FlowEnd = 'open';
  #server: number | undefined;
  /** Of the segment that waits for its acknowledgement: 0 opens, the one after the last message closes. */
  #number = 0;
  #attempt = 0;

  constructor(flow: Flow, world: World) {
    this.flow = flow;
    this.#world = world;
  }

  get end(): FlowEnd {
    return this.#end;
  }

  get server(): number | undefined {
    return this.#server;
  }

  start(): void {
    this.#transmit();
  }

  reached(): void {}

  take({ kind, number, host }: Reply): void {
    if (this.#end !== 'open') return;
    if (this.#number === 0) {
      if (kind !== 'synAck') return;
      this.#server = host;
    } else if (kind === 'reset') {
      this.#end = 'broken';
      return;
    } else if (kind !== 'ack' || number !== this.#number) {
      return;
    }
    if (this.#number > this.flow.action.messages) {
      this.#end = 'finished';
      return;
    }
    this.#number++;
    this.#attempt = 0;
    const waiting = this.#number;
    this.#world.after(this.flow.action.gapNs, () => {
      if (this.#number === waiting && this.#attempt === 0) this.#transmit();
    });
  }

  #transmit(): void {
    if (this.#end !== 'open') return;
    if (this.#attempt === ATTEMPTS_MAX) {
      this.#end = 'timedOut';
      return;
    }
    const number = this.#number;
    const kind = number === 0 ? 'syn' : number > this.flow.action.messages ? 'fin' : 'data';
    const attempt = ++this.#attempt;
    this.#world.send(segment(this.flow, kind, number, attempt));
    this.#world.after(RETRANSMISSION_NS * 2 ** (attempt - 1), () => {
      if (this.#number === number && this.#attempt === attempt) this.#transmit();
    });
  }
}

/** Datagrams are sent whether or not they are answered. */
export class Conversation implements Client {
  readonly flow: Flow;
  readonly #world: World;
  readonly #answered = new Set<number>();
  #server: number | undefined;

  constructor(flow: Flow, world: World) {
    this.flow = flow;
    this.#world = world;
  }

  get end(): FlowEnd {
    return this.#answered.size > this.flow.action.messages ? 'finished' : 'unanswered';
  }

  get server(): number | undefined {
    return this.#server;
  }

  start(): void {
    this.#send(0);
  }

  take({ number }: Reply): void {
    this.#answered.add(number);
  }

  reached(host: number): void {
    this.#server ??= host;
  }

  #send(number: number): void {
    for (const packet of datagram(this.flow, number)) this.#world.send(packet);
    if (number === this.flow.action.messages) return;
    this.#world.after(this.flow.action.gapNs, () => this.#send(number + 1));
  }
}
