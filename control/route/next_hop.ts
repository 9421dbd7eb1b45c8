// Owns finding out how backends are reached from this node: interface, MAC addresses and path MTU, and telling when
// that changes. Not here: what is done about it (control/dataplane), which routes there are (the host's).
import { isUsable, NetlinkError, type Rtnetlink, type Subscription, type WatchEvent } from '@holdfast/linux';
import type { Path } from '../dataplane/backend_table.ts';

export type { Path };

export type NextHopsOptions = {
  /** Of the namespace that the packets are sent from. */
  readonly rtnetlink: Rtnetlink;
  /** First for every address that is followed, then at every change. It must not throw. */
  readonly onChange: (address: string, path: Path) => void;
  /** After each look at the tables, while they are followed. */
  readonly onSuccess?: () => void;
  /** The tables can no longer be followed; the last paths told stay as they are. */
  readonly onFailure: (error: Error) => void;
  readonly retryMs?: number;
  /** How often the kernel is asked to confirm next hops: no packet of ours ever tells it that they answer. */
  readonly confirmMs?: number;
};

const RETRY_MS = 1_000;
const CONFIRM_MS = 30_000;
/** Changes come in bursts; they are looked at together, and looking takes at most a tenth of the time. */
const SETTLE_MIN_MS = 5;
const LOOK_SHARE = 10;

type Via = { readonly ifindex: number; readonly address: string };

type Way = { ifindex: number; via: string; sourceMac: string; mtuBytes: number };

/** Neighbours by interface and address. */
type HardwareAddresses = ReadonlyMap<string, string>;

export class NextHops {
  readonly #rtnetlink: Rtnetlink;
  readonly #onChange: NextHopsOptions['onChange'];
  readonly #onFailure: NextHopsOptions['onFailure'];
  readonly #onSuccess: NextHopsOptions['onSuccess'];
  #isBroken = false;
  readonly #retryMs: number;
  readonly #subscription: Subscription;
  readonly #paths = new Map<string, Path | undefined>();
  /** Next hops that the kernel was asked for since the last try. */
  readonly #asking = new Set<string>();
  #retry: NodeJS.Timeout | undefined;
  /** Next hops in use, by what they are known under. */
  readonly #vias = new Map<string, Via>();
  readonly #confirming: NodeJS.Timeout;
  #settling: NodeJS.Timeout | undefined;
  #lastLookMs = 0;
  #closed = false;

  constructor(options: NextHopsOptions) {
    this.#rtnetlink = options.rtnetlink;
    this.#onChange = options.onChange;
    this.#onFailure = options.onFailure;
    this.#onSuccess = options.onSuccess;
    this.#retryMs = options.retryMs ?? RETRY_MS;
    // Before the first look: a change cannot fall between the two.
    this.#subscription = this.#rtnetlink.watch(
      { links: true, addresses: true, routes: true, neighbours: true },
      (event) => this.#receive(event),
    );
    this.#confirming = setInterval(() => this.#confirm(), options.confirmMs ?? CONFIRM_MS);
    this.#confirming.unref();
  }

  /** Tells the path to `address` at once, if only that it is not known yet. */
  follow(address: string): void {
    if (this.#paths.has(address)) return;
    this.#paths.set(address, undefined);
    this.#look([address]);
  }

  forget(address: string): void {
    this.#paths.delete(address);
  }

  /** What was last told of `address`. */
  path(address: string): Path | undefined {
    return this.#paths.get(address);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#settling);
    clearInterval(this.#confirming);
    clearTimeout(this.#retry);
    this.#subscription.close();
  }

  #receive(event: WatchEvent): void {
    if (event.kind === 'closed') return;
    if (event.kind === 'failed') {
      this.#isBroken = true;
      this.#onFailure(event.error);
      return;
    }
    // Every event can change every path: a route its way, a link its MAC address, an overrun may hide either.
    this.#settling ??= setTimeout(
      () => {
        this.#settling = undefined;
        this.#look([...this.#paths.keys()]);
      },
      Math.max(SETTLE_MIN_MS, LOOK_SHARE * this.#lastLookMs),
    );
  }

  // A next hop that no longer answers fails, which is an event. One that is not in use any more is added again with the
  // next look.
  #confirm(): void {
    for (const { ifindex, address } of this.#vias.values()) {
      try {
        this.#rtnetlink.confirmNeighbour(ifindex, address);
      } catch (error) {
        // The interface went away, which is an event of its own.
        if (!(error instanceof NetlinkError)) throw error;
      }
    }
    this.#vias.clear();
    this.#look([...this.#paths.keys()]);
  }

  #look(addresses: readonly string[]): void {
    if (this.#closed) return;
    const startedMs = performance.now();
    try {
      const hardware = this.#hardwareAddresses();
      for (const address of addresses) this.#tell(address, this.#pathTo(address, hardware));
      if (!this.#isBroken) this.#onSuccess?.();
    } catch (error) {
      this.#onFailure(error as Error);
    }
    this.#lastLookMs = performance.now() - startedMs;
  }

  #tell(address: string, path: Path): void {
    const before = this.#paths.get(address);
    if (before !== undefined && samePath(before, path)) return;
    this.#paths.set(address, path);
    this.#onChange(address, path);
  }

  #pathTo(address: string, hardware: HardwareAddresses): Path {
    const way = this.#wayTo(address);
    if (way === undefined) return {};
    const { ifindex, via, sourceMac, mtuBytes } = way;
    const destinationMac = hardware.get(neighbourKey(ifindex, via));
    if (destinationMac === undefined) {
      this.#ask(ifindex, via);
      return { mtuBytes };
    }
    this.#vias.set(neighbourKey(ifindex, via), { ifindex, address: via });
    return { mtuBytes, nextHop: { ifindex, destinationMac, sourceMac } };
  }

  /** Undefined without a route out of an Ethernet interface. */
  #wayTo(address: string): Way | undefined {
    try {
      const route = this.#rtnetlink.routeGet(address);
      if (route.type !== 'unicast' || route.oif === undefined) return undefined;
      const link = this.#rtnetlink.link(route.oif);
      const mtuBytes = route.effectiveMtuBytes ?? link?.mtuBytes;
      if (link?.mac === undefined || mtuBytes === undefined) return undefined;
      return { ifindex: route.oif, via: route.gateway ?? address, sourceMac: link.mac, mtuBytes };
    } catch (error) {
      // The kernel's way to say that there is no route (ENETUNREACH, EHOSTUNREACH, EACCES, …).
      if (error instanceof NetlinkError && NO_ROUTE.has(error.code)) return undefined;
      throw error;
    }
  }

  #hardwareAddresses(): HardwareAddresses {
    const usable = this.#rtnetlink.neighbours().filter(isUsable);
    return new Map(usable.map((it) => [neighbourKey(it.ifindex, it.address), it.lladdr!]));
  }

  // An answer arrives as a neighbour event. Silence ends in another try, one at a time for each next hop.
  #ask(ifindex: number, address: string): void {
    const key = neighbourKey(ifindex, address);
    if (this.#asking.has(key)) return;
    this.#asking.add(key);
    try {
      this.#rtnetlink.confirmNeighbour(ifindex, address);
    } catch (error) {
      // The interface went away or is down, or the neighbour table is full: it is tried again.
      if (!(error instanceof NetlinkError)) throw error;
    }
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#asking.clear();
      this.#look([...this.#paths.keys()]);
    }, this.#retryMs);
    this.#retry.unref();
  }
}

const NO_ROUTE: ReadonlySet<string> = new Set([
  'ENETUNREACH',
  'EHOSTUNREACH',
  'EACCES',
  'EINVAL',
  'ENETDOWN',
]);

function neighbourKey(ifindex: number, address: string): string {
  return `${ifindex} ${address}`;
}

function samePath(a: Path, b: Path): boolean {
  return (
    a.mtuBytes === b.mtuBytes &&
    a.nextHop?.ifindex === b.nextHop?.ifindex &&
    a.nextHop?.destinationMac === b.nextHop?.destinationMac &&
    a.nextHop?.sourceMac === b.nextHop?.sourceMac
  );
}
