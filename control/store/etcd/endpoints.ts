// Owns which of etcd's members is asked next: the one that answered last, then those that have not failed lately, then
// the others. Pure: the time and the chance are given.

/** A member that failed stays behind the others for a pause that grows from the one to the other, shortened by chance. */
export const PAUSE_MS_MIN = 100;
export const PAUSE_MS_MAX = 5_000;

type Endpoint = { readonly url: URL; failures: number; restsUntilMs: number };

export class Endpoints {
  readonly #all: Endpoint[];
  readonly #nowMs: () => number;
  readonly #random: () => number;
  #preferred = 0;

  /** `random` is 0 up to 1. Daemons that start together do not all begin with the same member. */
  constructor(urls: readonly URL[], { nowMs, random }: { nowMs: () => number; random: () => number }) {
    this.#all = urls.map((url) => ({ url, failures: 0, restsUntilMs: Number.NEGATIVE_INFINITY }));
    this.#nowMs = nowMs;
    this.#random = random;
    this.#preferred = Math.floor(random() * urls.length);
  }

  get count(): number {
    return this.#all.length;
  }

  /** Every one once, the best first. */
  inOrder(): URL[] {
    const now = this.#nowMs();
    const turned = [...this.#all.slice(this.#preferred), ...this.#all.slice(0, this.#preferred)];
    const rank = ({ restsUntilMs }: Endpoint) => (restsUntilMs > now ? restsUntilMs : now);
    return turned.toSorted((a, b) => rank(a) - rank(b)).map(({ url }) => url);
  }

  answered(url: URL): void {
    const at = this.#indexOf(url);
    this.#preferred = at;
    Object.assign(this.#all[at]!, { failures: 0, restsUntilMs: Number.NEGATIVE_INFINITY });
  }

  failed(url: URL): void {
    const endpoint = this.#all[this.#indexOf(url)]!;
    const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(endpoint.failures, 10));
    endpoint.failures++;
    endpoint.restsUntilMs = this.#nowMs() + pauseMs * (0.5 + this.#random() / 2);
  }

  #indexOf(url: URL): number {
    return this.#all.findIndex((it) => it.url === url);
  }
}
