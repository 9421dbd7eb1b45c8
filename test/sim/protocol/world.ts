// Owns the network of a history: clients, a router in front of the muxes, the muxes, hosts, and what happens to packets
// between them. What a mux does with a packet is its fleet's (fleet.ts); what the control plane does, the director's.
import { Agenda } from './agenda.ts';
import { Client, type Habits, type Sender } from './client.ts';
import type { Fleet } from './fleet.ts';
import { mix, unitOf } from './mix.ts';
import { Oracle } from './oracle.ts';
import { frameOf, type Identity, identify, type Packet } from './packets.ts';
import { IDLE_NS, MS, SECOND, type ServiceName } from './place.ts';

/** Of one way between two nodes; probabilities of each packet. */
export type Weather = {
  readonly loss: number;
  readonly duplicate: number;
  readonly delayNs: number;
  /** Added at random: packets closer together than this overtake each other. */
  readonly jitterNs: number;
};

export type Traffic = {
  readonly habits: Habits;
  /** New flows a second, drawn from these services. */
  readonly flowsPerSecond: number;
  readonly services: readonly ServiceName[];
  readonly beginNs?: number;
  readonly endNs: number;
  /** Tuples that flows are made of: with few, tuples are used again. 0: each flow has its own. */
  readonly tuples: number;
  /** Of 256 addresses each, that clients come from. */
  readonly subnets?: number;
  /** Of each packet: that the router sends it to any mux. */
  readonly spray: number;
  /** Of each packet between muxes: that somebody sends it again later, changed or cut off. */
  readonly forgery?: number;
  /** Flows that there are; absent: all. To shorten a history. */
  readonly only?: readonly number[];
};

export type WorldOptions = {
  readonly seed: number;
  readonly fleet: Fleet;
  readonly traffic: Traffic;
  /** From clients to muxes and on to hosts; and between muxes. */
  readonly outside: Weather;
  readonly inside: Weather;
  /** Nobody keeps a flow for longer without a packet; absent: IDLE_NS. */
  readonly idleNs?: number;
  /** Whether a mux may send a packet of a clean slot to a host; absent: nobody knows. */
  readonly maySend?: (mux: number, packet: Packet, host: number) => boolean;
  /** Collects what happens, for people. */
  readonly trace?: (line: string, flow?: number) => void;
};

const NO_BYTES = new Uint8Array(0);
const SOURCE4_AT = 26;
/** UDP and the header between muxes, behind Ethernet and IP. */
const HEADER4_AT = 34;
const HEADER6_AT = 54;
const HEADER_BYTES = 64;

/** Packets that wait for a mux that hangs. */
const HANG_QUEUE_MAX = 64;

export class World implements Sender {
  readonly agenda = new Agenda();
  readonly oracle: Oracle;
  readonly seed: number;
  readonly habits: Habits;
  readonly hasBytes: boolean;
  readonly fleet: Fleet;
  readonly traffic: Traffic;
  readonly counts = { made: 0, ended: 0, lost: 0, runs: 0, hops: 0 };
  /** How packets ended, and what programs did: by name. */
  readonly ends = new Map<string, number>();
  readonly reasons = new Map<string, number>();
  readonly deadHosts = new Set<number>();
  readonly #options: WorldOptions;
  /** `last`: used where there are no others (RFC 8326). */
  readonly #router = { members: [] as number[], last: [] as number[], salt: 0 };
  readonly #down = new Set<number>();
  readonly #hanging = new Map<number, (() => void)[]>();
  readonly #clients = new Set<Client>();
  readonly #spoofs = new Map<number, Identity>();
  readonly #partitioned = new Set<number>();
  readonly #identifications = new Map<string, number>();
  readonly #busyTuples = new Set<string>();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.seed = options.seed;
    this.habits = options.traffic.habits;
    this.traffic = options.traffic;
    this.fleet = options.fleet;
    this.hasBytes = options.fleet.hasBytes;
    this.oracle = new Oracle(() => this.agenda.nowNs, options.idleNs ?? IDLE_NS);
    this.agenda.at(options.traffic.beginNs ?? 0, () => this.#plan(0));
  }

  get nowNs(): number {
    return this.agenda.nowNs;
  }

  note(line: string, flow?: number): void {
    this.#options.trace?.(`${(this.nowNs / MS).toFixed(3).padStart(10)} ms  ${line}`, flow);
  }

  get isTraced(): boolean {
    return this.#options.trace !== undefined;
  }

  // --- what may happen to the nodes ---

  announce(mux: number): void {
    if (this.#router.members.includes(mux)) return;
    this.#router.members.push(mux);
    this.#router.members.sort((a, b) => a - b);
    this.note(`router: mux${mux} is there`);
  }

  withdraw(mux: number): void {
    const at = this.#router.members.indexOf(mux);
    if (at === -1) return;
    this.#router.members.splice(at, 1);
    this.note(`router: mux${mux} is gone`);
  }

  /** Announces with the preference that routers take last, or no more. */
  announceLast(mux: number, isAnnounced: boolean): void {
    const { last } = this.#router;
    if (last.includes(mux) === isAnnounced) return;
    this.#router.last = isAnnounced ? [...last, mux].sort((a, b) => a - b) : last.filter((it) => it !== mux);
    this.note(`router: mux${mux} is ${isAnnounced ? 'there for want of others' : 'no last resort any more'}`);
  }

  reshuffle(salt: number): void {
    this.#router.salt = salt;
    this.note('router hashes anew');
  }

  /** Its packets are lost until restore(). */
  takeDown(mux: number): void {
    this.#down.add(mux);
    this.note(`mux${mux} is down`);
  }

  restore(mux: number): void {
    this.#down.delete(mux);
    this.note(`mux${mux} is up`);
  }

  /** Does nothing for a while; some packets wait for it. */
  hang(mux: number, forNs: number): void {
    const queue: (() => void)[] = [];
    this.#hanging.set(mux, queue);
    this.note(`mux${mux} hangs for ${forNs / MS} ms`);
    this.agenda.after(forNs, () => {
      this.#hanging.delete(mux);
      this.note(`mux${mux} wakes`);
      for (const happen of queue) happen();
    });
  }

  /** At once, or when the mux wakes. */
  whenAwake(mux: number, happen: () => void | Promise<void>): void | Promise<void> {
    const queue = this.#hanging.get(mux);
    if (queue === undefined) return happen();
    queue.push(() => void happen());
  }

  isHanging(mux: number): boolean {
    return this.#hanging.has(mux);
  }

  /** Flows that it serves end. */
  killHost(host: number): void {
    this.deadHosts.add(host);
    this.note(`host ${host + 1} dies`);
    for (const client of [...this.#clients])
      if (client.server === host || client.server < 0) client.abandon();
  }

  reviveHost(host: number): void {
    this.deadHosts.delete(host);
    this.note(`host ${host + 1} is back`);
  }

  // --- flows ---

  #plan(id: number): void {
    const { flowsPerSecond, beginNs = 0, endNs } = this.traffic;
    const atNs = beginNs + ((id + unitOf(mix(this.seed, mix(id, 7)))) / flowsPerSecond) * SECOND;
    if (atNs > endNs) return;
    this.agenda.at(atNs, () => {
      this.#begin(id);
      this.#plan(id + 1);
    });
  }

  #begin(id: number): void {
    const { services, tuples, only } = this.traffic;
    if (only !== undefined && !only.includes(id)) return;
    const draw = mix(this.seed, mix(id, 0xf10));
    const service = services[draw % services.length]!;
    const version = (draw >>> 8) % 2 === 0 ? 4 : 6;
    const name = tuples === 0 ? id : mix(draw, 1) % tuples;
    const key = `${service} ${version} ${name}`;
    if (this.#busyTuples.has(key)) return;
    // Some clients of one subnet, for services that look at nothing else.
    const identity = identify(
      service,
      version,
      (name % this.#subnets) * 256 + 1 + ((name >> 3) % 200),
      name * 7 + 1,
    );
    const client = new Client(id, identity, this);
    this.#busyTuples.add(key);
    this.#tupleOf.set(client, key);
    this.#clients.add(client);
    this.note(
      `flow ${id} begins: ${service}, slot ${identity.slot} of ${identity.pool}, ${identity.key}`,
      id,
    );
    client.start();
  }

  readonly #tupleOf = new WeakMap<Client, string>();

  identify(source: string): number {
    const next = ((this.#identifications.get(source) ?? 0) + 1) & 0xffff;
    this.#identifications.set(source, next);
    return next;
  }

  ended(client: Client): void {
    this.#clients.delete(client);
    this.#busyTuples.delete(this.#tupleOf.get(client)!);
  }

  /** With affinity each is one client. */
  get #subnets(): number {
    return this.traffic.subnets ?? 40;
  }

  endFlows(): void {
    for (const client of [...this.#clients]) client.abandon();
  }

  get openFlows(): number {
    return this.#clients.size;
  }

  // --- the way of a packet ---

  send(packet: Packet): void {
    this.counts.made++;
    this.#carry(this.#options.outside, packet.trail, (trail) => {
      const mux = this.#route(packet, trail);
      if (mux < 0) this.#end('no mux');
      else this.#arrive(mux, packet, undefined, trail);
    });
  }

  /** What a daemon sends to another mux: no client's packet is in it. */
  sendBetween(from: number, to: number, content: unknown): void {
    this.counts.made++;
    if (this.#partitioned.has(from) || this.#partitioned.has(to)) {
      this.#end('partitioned');
      return;
    }
    const trail = mix(this.seed, mix(this.agenda.count, mix(from, to)));
    this.#forge(to, undefined, content, trail);
    this.#carry(this.#options.inside, trail, (after) => this.#arrive(to, undefined, content, after));
  }

  /** Packets of flows that nobody has; their servers do not matter. */
  flood(kind: 'syn' | 'data', perSecond: number, forNs: number): void {
    const endNs = this.nowNs + forNs;
    const begunNs = this.nowNs;
    let count = 0;
    const next = (): void => {
      if (this.nowNs > endNs) return;
      this.#spoof(kind, mix(begunNs / MS, count++));
      this.agenda.after(SECOND / perSecond, next);
    };
    next();
  }

  #spoof(kind: 'syn' | 'data', draw: number): void {
    const identity = this.#spoofed(draw);
    const bytes = this.hasBytes ? frameOf(kind, identity).slice() : NO_BYTES;
    // One of many that differ in the address alone; nobody looks at the checksum.
    if (this.hasBytes) new DataView(bytes.buffer).setUint32(SOURCE4_AT, draw);
    const spoofed = { ...identity, routerHash: draw };
    this.send({ kind, identity: spoofed, flow: undefined, bytes, number: 0, trail: draw });
  }

  #spoofed(draw: number): Identity {
    const name = draw % 64;
    let identity = this.#spoofs.get(name);
    if (identity === undefined) {
      identity = identify('http', 4, 0x700000 + name, name);
      this.#spoofs.set(name, identity);
    }
    return identity;
  }

  /** Who listened says again what it heard, to whom it was for or to another mux. */
  #forge(to: number, packet: Packet | undefined, content: unknown, trail: number): void {
    const { forgery = 0 } = this.traffic;
    if (forgery === 0 || !(content instanceof Uint8Array) || unitOf(mix(trail, 501)) >= forgery) return;
    const draw = mix(trail, 502);
    const frame = content.slice();
    const header = frame[12] === 0x86 ? HEADER6_AT : HEADER4_AT;
    const at = header + ((draw >>> 8) % HEADER_BYTES);
    if (draw % 3 === 0) frame[at]! ^= 1 << ((draw >>> 16) % 8);
    const forged = draw % 3 === 1 ? frame.subarray(0, at) : frame;
    const { members } = this.#router;
    const victim = draw % 5 < 2 && members.length > 0 ? members[mix(trail, 504) % members.length]! : to;
    // Muxes differ in the last byte of their addresses; nobody looks at the checksum.
    frame[header - 1] = victim + 1;
    this.counts.made++;
    this.agenda.after(((draw >>> 4) % 10_000) * MS, () =>
      this.#arrive(victim, packet, forged, mix(trail, 503)),
    );
  }

  /** No packet passes between it and other muxes. */
  partition(mux: number, forNs: number): void {
    this.#partitioned.add(mux);
    this.note(`mux${mux} and the others do not hear each other`);
    this.agenda.after(forNs, () => {
      this.#partitioned.delete(mux);
      this.note(`mux${mux} and the others hear each other`);
    });
  }

  #carry(
    { loss, duplicate, delayNs, jitterNs }: Weather,
    trail: number,
    deliver: (trail: number) => void,
  ): void {
    if (duplicate > 0 && unitOf(mix(trail, 101)) < duplicate) {
      this.counts.made++;
      const copy = mix(trail, 102);
      this.agenda.after(delayNs + unitOf(mix(copy, 103)) * jitterNs, () => deliver(copy));
    }
    if (loss > 0 && unitOf(mix(trail, 104)) < loss) {
      this.counts.lost++;
      this.#end('lost');
      return;
    }
    this.agenda.after(delayNs + unitOf(mix(trail, 105)) * jitterNs, () => deliver(trail));
  }

  #route({ identity, kind }: Packet, trail: number): number {
    const { salt, last } = this.#router;
    const members = this.#router.members.length > 0 ? this.#router.members : last;
    if (members.length === 0) return -1;
    const { spray } = this.traffic;
    if (spray > 0 && unitOf(mix(trail, 106)) < spray) return members[mix(trail, 107) % members.length]!;
    // Fragments have no ports, and errors come from elsewhere.
    const other = kind === 'laterFragment' || kind === 'icmpError' ? 1 : 0;
    return members[mix(identity.routerHash + other, salt) % members.length]!;
  }

  #arrive(mux: number, packet: Packet | undefined, content: unknown, trail: number): void {
    if (this.#down.has(mux)) {
      this.#end('mux down');
      return;
    }
    const queue = this.#hanging.get(mux);
    if (queue === undefined) {
      this.#atMux(mux, packet, content, trail);
      return;
    }
    if (queue.length >= HANG_QUEUE_MAX) {
      this.#end('mux hangs');
      return;
    }
    queue.push(() => this.#arrive(mux, packet, content, trail));
  }

  #atMux(mux: number, packet: Packet | undefined, content: unknown, trail: number): void {
    this.counts.runs++;
    const outcome = this.fleet.handle(mux, packet, content, this.agenda.nowNs);
    this.reasons.set(outcome.reason, (this.reasons.get(outcome.reason) ?? 0) + 1);
    if (this.isTraced) {
      const what =
        packet === undefined ? 'message' : `${packet.kind} ${packet.number} of flow ${packet.flow?.id}`;
      const to = outcome.to < 0 ? '' : ` → ${outcome.kind} ${outcome.to}`;
      this.note(`mux${mux} ${what}: ${outcome.reason}${to}`, packet?.flow?.id ?? -1);
    }
    switch (outcome.kind) {
      case 'host':
        if (outcome.reason === 'FORWARD') this.#judge(mux, packet!, outcome.to);
        this.#toHost(packet!, outcome.to, outcome.content, mux, mix(trail, 201 + mux));
        return;
      case 'mux': {
        const { to, content: passed } = outcome;
        this.counts.hops++;
        if (this.#partitioned.has(mux) || this.#partitioned.has(to)) {
          this.#end('partitioned');
          return;
        }
        this.#forge(to, packet, passed, trail);
        this.#carry(this.#options.inside, mix(trail, 301 + mux), (after) =>
          this.#arrive(to, packet, passed, after),
        );
        return;
      }
      default:
        this.#end(outcome.reason);
        return;
    }
  }

  #judge(mux: number, packet: Packet, host: number): void {
    // Of a flood: its bytes say another address than its identity.
    if (packet.flow === undefined || this.#options.maySend?.(mux, packet, host) !== false) return;
    const { slot, pool } = packet.identity;
    const text = `mux${mux} sent ${packet.kind} of slot ${slot} of ${pool} to host${host + 1}, which none of its versions has there`;
    this.oracle.report('backend', text, packet.flow.id);
  }

  #toHost(packet: Packet, host: number, content: unknown, mux: number, trail: number): void {
    if (!this.oracle.forwarded(packet)) (packet.flow as Client).abandon();
    const atNs = this.nowNs;
    this.#carry(this.#options.outside, trail, () => this.#atHost(packet, host, content, mux, atNs, 0));
  }

  #atHost(packet: Packet, host: number, content: unknown, mux: number, atNs: number, hops: number): void {
    if (this.deadHosts.has(host)) {
      this.#end('host dead');
      return;
    }
    // Servers of some fleets pass on what they do not know.
    const next = hops === 0 ? this.fleet.passOn?.(host, packet, content) : undefined;
    if (next !== undefined && next !== host) {
      this.#atHost(packet, next, content, mux, atNs, 1);
      return;
    }
    this.fleet.served?.(host, packet);
    this.oracle.delivered(
      packet,
      host,
      this.isTraced ? `from mux${mux}, ${(atNs / MS).toFixed(3)} ms` : `from mux${mux}`,
    );
    (packet.flow as Client | undefined)?.reached(host, packet);
    this.#end('delivered');
  }

  #end(how: string): void {
    this.counts.ended++;
    this.ends.set(how, (this.ends.get(how) ?? 0) + 1);
  }

  /** Nothing may be under way any more. */
  balance(): void {
    if (this.counts.made !== this.counts.ended)
      this.oracle.report(
        'lost',
        `${this.counts.made} packets and copies were sent, ${this.counts.ended} ended`,
      );
  }
}
