// Owns a client: connections one after the other and side by side, and how it sends again what nobody answered.
import { Random } from '../protocol/random.ts';
import { MS, SECOND } from './port.ts';
import type { World } from './world.ts';

/** After these, in turn: as Linux does, but not for as long. */
const SYN_AGAIN_NS = [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND];
const DATA_AGAIN_NS = [200 * MS, 400 * MS, 800 * MS, 1_600 * MS, 3_200 * MS, 6_400 * MS];

export type Server = { readonly server: number; readonly life: number };

export class Client {
  readonly key: number;
  readonly world: World;
  readonly random: Random;
  #connections = 0;

  constructor(key: number, world: World) {
    this.key = key;
    this.world = world;
    this.random = new Random(world.scenario.seed, 'client', key);
  }

  start(): void {
    const { connections } = this.world.scenario.traffic;
    for (let at = 0; at < connections; at++) this.#next();
  }

  #next(): void {
    const { seconds, traffic } = this.world.scenario;
    const pauseNs = this.random.pick(traffic.pausesNs) * (0.5 + this.random.unit());
    this.world.agenda.after(pauseNs, () => {
      if (this.world.nowNs > (seconds - 3) * SECOND) return;
      const tuple = this.key * 100_000 + ++this.#connections;
      new Connection(this, tuple, () => this.#next()).start();
    });
  }
}

export class Connection {
  readonly tuple: number;
  /** Hosts that have it, with the life they had it in. */
  readonly sockets = new Map<number, number>();
  /** Whose answer it goes by. */
  peer: Server | undefined;
  isOver = false;
  /** A server that answered its SYN had no place for it. */
  isUnrecorded = false;
  /** Its server has taken something. */
  lastNs = 0;
  readonly #client: Client;
  readonly #then: () => void;
  #left: number;
  #tries = 0;
  #turn = 0;
  /** Something was sent, and nothing taken since. */
  #isWaiting = false;

  constructor(client: Client, tuple: number, then: () => void) {
    this.#client = client;
    this.tuple = tuple;
    this.#then = then;
    this.#left = client.random.pick(client.world.scenario.traffic.packets);
  }

  get client(): number {
    return this.#client.key;
  }

  start(): void {
    if (this.#world.scenario.traffic.protocol === 'udp') this.#sendDatagram();
    else this.#sendSyn();
  }

  wasAnswered(by: Server): void {
    if (this.isOver || this.peer !== undefined) return;
    this.peer = by;
    this.lastNs = this.#world.nowNs;
    this.#tries = 0;
    this.#sendData();
  }

  wasTaken(): void {
    if (this.isOver || !this.#isWaiting) return;
    this.#isWaiting = false;
    this.lastNs = this.#world.nowNs;
    this.#turn++;
    this.#tries = 0;
    if (--this.#left <= 0) this.#end(0);
    else this.#after(this.#gapNs(), () => this.#sendData());
  }

  wasReset(): void {
    if (!this.isOver) this.#end(this.#world.scenario.settings.timeoutNs / 2);
  }

  get #world(): World {
    return this.#client.world;
  }

  #gapNs(): number {
    const { random } = this.#client;
    return random.pick(this.#world.scenario.traffic.gapsNs) * (0.5 + random.unit());
  }

  /** Unless something else happens first. */
  #after(delayNs: number, happen: () => void): void {
    const turn = ++this.#turn;
    this.#world.agenda.after(delayNs, () => {
      if (!this.isOver && turn === this.#turn) happen();
    });
  }

  #sendDatagram(): void {
    this.#world.send('datagram', this.#client.key, this);
    if (--this.#left <= 0) this.#after(SECOND, () => this.#end(0));
    else this.#after(this.#gapNs(), () => this.#sendDatagram());
  }

  #sendSyn(): void {
    this.#world.send('syn', this.#client.key, this);
    this.#again(SYN_AGAIN_NS, 'syn', () => this.#sendSyn());
  }

  #sendData(): void {
    this.#isWaiting = true;
    this.#world.send('data', this.#client.key, this);
    this.#again(DATA_AGAIN_NS, 'data', () => this.#sendData());
  }

  #again(timesNs: readonly number[], kind: 'syn' | 'data', send: () => void): void {
    const waitNs = timesNs[this.#tries++];
    this.#after(waitNs ?? SECOND, () => {
      if (waitNs !== undefined) return send();
      this.#world.gaveUp(kind, this.#client.key, this);
      this.#end(0);
    });
  }

  #end(socketsNs: number): void {
    this.isOver = true;
    this.#world.close(this, socketsNs);
    this.#then();
  }
}
