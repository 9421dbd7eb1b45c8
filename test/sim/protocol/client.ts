// Owns the life of a flow as its client leads it: handshake with retransmission, packets with gaps, an end. What a packet
// meets on the way is world.ts, what must hold of it oracle.ts.
import type { Agenda } from './agenda.ts';
import { mix, unitOf } from './mix.ts';
import {
  type FlowState,
  frameOf,
  type Identity,
  isOpening,
  type Packet,
  type PacketKind,
} from './packets.ts';
import { IDLE_NS, MS, SECOND } from './place.ts';

/** How clients of one history behave. */
export type Habits = {
  /** Packets after the handshake, and the time between two, drawn for each flow from these lists. */
  readonly packets: readonly number[];
  readonly gapsNs: readonly number[];
  /** Probability that the answer to an opening packet is slower than the client's patience; that it is lost: absent: 0. */
  readonly slowAnswers: number;
  readonly lostAnswers?: number;
  /** Of each packet: that a router on the way back complains. */
  readonly icmpErrors: number;
  /** Of flows of datagrams: that they are sent in fragments. */
  readonly fragments: number;
};

export type Sender = {
  readonly agenda: Agenda;
  readonly seed: number;
  readonly habits: Habits;
  /** False for worlds without real programs: nobody reads the bytes. */
  readonly hasBytes: boolean;
  /** Of the next datagram that goes in fragments: no other's of this address for a minute. */
  identify(source: string): number;
  send(packet: Packet): void;
  /** The flow has ended: its tuple may be used again. */
  ended(client: Client): void;
};

/** Retransmission of what opens a flow (RFC 6298), after 1 s, 3, 7, 15 and 31. */
const OPENING_RETRY_NS = 1 * SECOND;
const OPENING_ATTEMPTS_MAX = 6;
const RETRANSMISSION_NS = 250 * MS;
const RETRANSMISSIONS_MAX = 5;
const ANSWER_NS = 2 * MS;
const NOBODY = -1;

const State = { opening: 0, open: 1, closed: 2 } as const;

export class Client implements FlowState {
  readonly id: number;
  readonly identity: Identity;
  server = NOBODY;
  readonly begunNs: number;
  forwardedNs: number;
  readonly #sender: Sender;
  readonly #draw: number;
  readonly #packets: number;
  readonly #gapNs: number;
  readonly #isFragmented: boolean;
  #state: number = State.opening;
  #number = 0;
  #acknowledged = NOBODY;
  #attempt = 0;
  #identification = 0;
  #frames: Partial<Record<PacketKind, Uint8Array>> = {};

  constructor(id: number, identity: Identity, sender: Sender) {
    this.id = id;
    this.identity = identity;
    this.#sender = sender;
    this.#draw = mix(sender.seed, mix(id, 0x5eed));
    const { packets, gapsNs, fragments } = sender.habits;
    this.#packets = packets[this.#pick(1, packets.length)]!;
    this.#gapNs = gapsNs[this.#pick(2, gapsNs.length)]!;
    this.#isFragmented = identity.service === 'dns' && unitOf(mix(this.#draw, 3)) < fragments;
    this.begunNs = sender.agenda.nowNs;
    this.forwardedNs = this.begunNs;
  }

  get isClosed(): boolean {
    return this.#state === State.closed;
  }

  start(): void {
    const { service } = this.identity;
    if (service === 'dns') {
      this.#state = State.open;
      this.#next();
    } else {
      this.#open(service === 'quic' ? 'initial' : 'syn', 1);
    }
  }

  /** Ends silently: its server has died, or it was idle for too long. */
  abandon(): void {
    if (this.#state === State.closed) return;
    this.#state = State.closed;
    this.#frames = {};
    this.#sender.ended(this);
  }

  /** A packet of the flow has reached a host that is alive. */
  reached(host: number, packet: Packet): void {
    if (this.#state === State.closed) return;
    if (isOpening(packet.kind)) {
      if (this.#state === State.opening) this.#answerOpening(host, packet);
      return;
    }
    if (packet.number > this.#acknowledged) this.#acknowledged = packet.number;
  }

  #answerOpening(host: number, packet: Packet): void {
    const { agenda, habits } = this.#sender;
    if (unitOf(mix(packet.trail, 13)) < (habits.lostAnswers ?? 0)) return;
    const slow = unitOf(mix(packet.trail, 11)) < habits.slowAnswers;
    const delayNs = slow ? OPENING_RETRY_NS * (0.9 + 0.3 * unitOf(mix(packet.trail, 12))) : ANSWER_NS;
    agenda.after(delayNs, () => {
      if (this.#state !== State.opening) return;
      this.#state = State.open;
      this.server = host;
      this.#number = 1;
      this.#acknowledged = 0;
      this.#next();
    });
  }

  #open(kind: 'syn' | 'initial', attempt: number): void {
    if (this.#state !== State.opening) return;
    if (attempt > OPENING_ATTEMPTS_MAX) {
      this.abandon();
      return;
    }
    this.#send(kind, 0, attempt);
    const patienceNs = OPENING_RETRY_NS * 2 ** (attempt - 1);
    this.#sender.agenda.after(patienceNs, () => this.#open(kind, attempt + 1));
  }

  /** Sends packet `#number`, and again until somebody acknowledges it; nobody acknowledges datagrams. */
  #next(): void {
    if (this.#state !== State.open) return;
    const { protocol, service } = this.identity;
    const isLast = this.#number >= this.#packets;
    if (service === 'dns') this.#sendDatagram();
    else this.#send(protocol === 'udp' ? 'short' : isLast ? 'fin' : 'data', this.#number, this.#attempt);
    const isReliable = service !== 'dns';
    const patienceNs = RETRANSMISSION_NS * 2 ** this.#attempt;
    const waitNs = this.#gapNs * (0.5 + 0.5 * unitOf(mix(this.#draw, 1_000 + this.#number)));
    if (!isReliable || waitNs <= patienceNs)
      this.#sender.agenda.after(waitNs, () => this.#advance(isReliable));
    else this.#sender.agenda.after(patienceNs, () => this.#wait(waitNs - patienceNs));
  }

  #wait(restNs: number): void {
    if (this.#acknowledged < this.#number) this.#advance(true);
    else this.#sender.agenda.after(restNs, () => this.#advance(true));
  }

  #advance(isReliable: boolean): void {
    if (this.#state !== State.open) return;
    if (isReliable && this.#acknowledged < this.#number) {
      if (++this.#attempt > RETRANSMISSIONS_MAX) {
        this.abandon();
        return;
      }
    } else {
      this.#attempt = 0;
      if (this.#number++ >= this.#packets) {
        this.abandon();
        return;
      }
    }
    this.#next();
  }

  #sendDatagram(): void {
    if (!this.#isFragmented) {
      this.#send('datagram', this.#number, 0);
      return;
    }
    this.#identification = this.#sender.identify(this.identity.source);
    this.#send('firstFragment', this.#number, 0);
    this.#send('laterFragment', this.#number, 0);
  }

  #send(kind: PacketKind, number: number, attempt: number): void {
    const trail = mix(this.#draw, mix(number, attempt * 16 + (kind === 'laterFragment' ? 1 : 0)));
    const packet = {
      kind,
      identity: this.identity,
      flow: this,
      bytes: this.#bytes(kind),
      number,
      trail,
    };
    this.#sender.send(packet);
    const { icmpErrors } = this.#sender.habits;
    if (icmpErrors === 0 || isOpening(kind) || unitOf(mix(trail, 21)) >= icmpErrors) return;
    const bytes = this.#bytes('icmpError');
    this.#sender.send({ ...packet, kind: 'icmpError', bytes, trail: mix(trail, 22) });
  }

  #bytes(kind: PacketKind): Uint8Array {
    if (!this.#sender.hasBytes) return NO_BYTES;
    if (kind === 'firstFragment' || kind === 'laterFragment')
      return frameOf(kind, this.identity, this.#identification);
    this.#frames[kind] ??= frameOf(kind, this.identity);
    return this.#frames[kind];
  }

  #pick(what: number, count: number): number {
    return mix(this.#draw, what) % count;
  }
}

const NO_BYTES = new Uint8Array(0);

/** Gaps of flows that talk all the time, that pause, and that are nearly idle. */
export const GAPS_NS = {
  busy: 60 * MS,
  usual: 400 * MS,
  slow: IDLE_NS * 0.6,
  nearlyIdle: IDLE_NS * 0.97,
} as const;
