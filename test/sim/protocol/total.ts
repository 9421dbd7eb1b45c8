// Owns what many histories came to together.
import type { HistoryResult } from './history.ts';

export class Total {
  histories = 0;
  /** Of them, those in which a rule was broken. */
  broken = 0;
  readonly #counts = new Map<string, number>();
  readonly #reasons = new Map<string, number>();
  readonly #events = new Map<string, number>();

  add({ counts, reasons, events, findings }: HistoryResult): void {
    this.histories++;
    if (findings.length > 0) this.broken++;
    addAll(this.#counts, counts);
    addAll(this.#reasons, reasons);
    addAll(this.#events, events);
  }

  count(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Runs of programs by the reason that they counted. */
  get reasons(): Record<string, number> {
    return Object.fromEntries([...this.#reasons].sort());
  }

  /** What became of flows at muxes, by the name of the event. */
  get events(): Record<string, number> {
    return Object.fromEntries([...this.#events].sort());
  }

  line(seconds: number): string {
    const lost = this.count('lostFlows');
    return [
      `${this.histories} histories: ${this.count('delivered')} packets delivered, ${this.count('misdirected')} misdirected`,
      ...(lost > 0 ? [`${lost} flows lost to a second death`] : []),
      `${Math.round(this.count('delivered') / seconds)} packets/s, ${seconds.toFixed(0)} s`,
      this.broken === 0 ? 'no rule broken' : `rules broken in ${this.broken}`,
    ].join('; ');
  }
}

function addAll(to: Map<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) to.set(name, (to.get(name) ?? 0) + count);
}
