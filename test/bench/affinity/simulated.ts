// Owns the size of a cluster that the protocol is to be good for: many servers with a million clients in all, by the model
// of the simulation, without the whims of a network. Every client comes before a change, while all slots of some servers
// move, and after one of them has died; each time one server answers it, and the same while that lives.
import { randomInt } from 'node:crypto';
import {
  type Outcome,
  type Packet,
  type Peer,
  SECOND,
  type Slot,
  type Version,
} from '../../sim/affinity/port.ts';
import { rulesWithout } from '../../sim/affinity/rules.ts';
import { ModelServer } from '../../sim/affinity/server.ts';
import type { Report } from '../lib/report.ts';

const SERVERS = 256;
const CLIENTS = 1_000_000;
const BUCKETS = 65_537;
const TIMEOUT_NS = 1_200 * SECOND;
/** Clients whose packets all servers hear, one in so many: of the others those hear that have a part in the bucket. */
const HEARD_BY_ALL = 1_000;
/** Servers that give their buckets away, and who dies. */
const LEAVING = [3, 100, 200] as const;
const DEAD = 100;

export function measureSimulated(report: Report): void {
  const cluster = new Cluster();
  const begun = cluster.everyClient(() => true);
  // Acquired: the new server asks and answers, the old one still does.
  cluster.move((bucket, owner) => (LEAVING.includes(owner as 3) ? 1 + (bucket % SERVERS) : owner), 'acquire');
  const acquired = cluster.everyClient((now, before) => now === before, begun);
  cluster.move((_, owner) => owner, 'release');
  const released = cluster.everyClient((now, before) => now === before, acquired);
  cluster.kill(DEAD);
  cluster.everyClient((now, before) => now === before || before === DEAD, released);
  report.add({ case: 'simulated-servers', unit: 'servers', value: SERVERS, must: { atLeast: SERVERS } });
}

class Cluster {
  #version: Version;
  #nowNs = 1;
  readonly #servers = new Map<number, ModelServer>();
  #packets = 0;

  constructor() {
    const members = new Map(Array.from({ length: SERVERS }, (_, at) => [at + 1, 1]));
    const slots = Array.from({ length: BUCKETS }, (_, bucket): Slot => {
      const owner = 1 + (bucket % SERVERS);
      return { current: owner, base: owner, tracked: false, record: 0, holders: [] };
    });
    this.#version = { number: 1, members, slots };
    const sockets = { has: () => false, clientsOf: () => [] };
    const settings = { timeoutNs: TIMEOUT_NS, affinitiesMax: CLIENTS };
    for (const [server, incarnation] of members) {
      const made = new ModelServer({ server, incarnation }, this.#version, settings, sockets, rulesWithout());
      made.setDeadline(Number.MAX_SAFE_INTEGER);
      this.#servers.set(server, made);
    }
  }

  /** Who answers each, by client. */
  everyClient(isRight: (now: number, before: number) => boolean, before?: Uint16Array): Uint16Array {
    this.#nowNs += SECOND;
    const answered = new Uint16Array(CLIENTS);
    for (let key = 0; key < CLIENTS; key++) {
      const now = this.#answers(key);
      if (before !== undefined && !isRight(now, before[key]!))
        throw new Error(`client ${key} was with server ${before[key]}, and is with ${now}`);
      answered[key] = now;
    }
    return answered;
  }

  move(to: (bucket: number, owner: number) => number, step: 'acquire' | 'release'): void {
    const slots = this.#version.slots.map((slot, bucket): Slot => {
      if (step === 'release') return { ...slot, base: slot.current };
      let current = to(bucket, slot.current);
      while (LEAVING.includes(current as 3)) current = 1 + (current % SERVERS);
      if (current === slot.current) return slot;
      const holders: Peer[] = [{ server: slot.current, incarnation: 1 }];
      return { current, base: slot.current, tracked: true, record: slot.current, holders };
    });
    this.#publish({ ...this.#version, slots });
  }

  kill(server: number): void {
    this.#servers.delete(server);
    const members = new Map([...this.#version.members].filter(([id]) => id !== server));
    const slots = this.#version.slots.map((slot): Slot => {
      const holders = slot.holders.filter((it) => it.server !== server);
      return holders.length === 0
        ? { ...slot, base: slot.current, tracked: false, record: 0, holders }
        : slot;
    });
    this.#publish({ ...this.#version, members, slots });
  }

  #publish(version: Version): void {
    this.#version = { ...version, number: this.#version.number + 1 };
    for (const server of this.#servers.values()) server.apply(this.#version);
  }

  /** The one server that does. */
  #answers(key: number): number {
    const bucket = Math.imul(key, 0x9e3779b1) >>> 0;
    const packet: Packet = {
      id: this.#packets++,
      ...{ kind: 'datagram', key, bucket: bucket % BUCKETS, tuple: key },
    };
    const { current, base, holders } = this.#version.slots[packet.bucket]!;
    const heard =
      key % HEARD_BY_ALL === 0
        ? this.#servers.keys()
        : new Set([current, base, ...holders.map(({ server }) => server), 1 + randomInt(SERVERS)]);
    const passed = new Set<number>();
    for (const id of heard) {
      let [at, outcome]: [number, Outcome | undefined] = [
        id,
        this.#servers.get(id)?.hear(packet, this.#nowNs),
      ];
      while (outcome?.kind === 'send') {
        at = outcome.to;
        outcome = this.#servers.get(at)?.query(outcome.query, packet, this.#nowNs);
      }
      if (outcome?.kind === 'pass') passed.add(at);
    }
    if (passed.size !== 1)
      throw new Error(`client ${key} is answered by ${[...passed].join(', ') || 'nobody'}`);
    return [...passed][0]!;
  }
}
