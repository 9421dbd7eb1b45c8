// Owns the numbering of commands in a session (RFC 7143, section 4.2.2.1): which CmdSN is next, which are let in, and
// what came before its turn.
import { serialAdd, serialDistance } from '../codec/serial_number.ts';

/** `now`: it is this one's turn. `early`: keep it. `ignore`: no such command is let in (or it is there already). */
export type Turn = 'now' | 'early' | 'ignore';

export class CommandOrder<Waiting> {
  readonly #windowSize: number;
  #next: number;
  /** Non-immediate commands whose turn came and that are not answered. */
  #open = 0;
  /** Undefined: it is to be passed over, as it was aborted before it came (section 11.5.1). */
  readonly #early = new Map<number, Waiting | undefined>();

  constructor(CmdSN: number, windowSize: number) {
    this.#next = CmdSN;
    this.#windowSize = windowSize;
  }

  get ExpCmdSN(): number {
    return this.#next;
  }

  /** Never goes back: what is answered moves it on, what comes does not. */
  get MaxCmdSN(): number {
    return serialAdd(this.#next, this.#windowSize - this.#open - 1);
  }

  judge(CmdSN: number): Turn {
    const distance = serialDistance(this.#next, CmdSN);
    if (distance < 0 || distance >= this.#windowSize - this.#open || this.#early.has(CmdSN)) return 'ignore';
    return distance === 0 ? 'now' : 'early';
  }

  /** The one whose turn it is begins. */
  begin(): void {
    this.#next = serialAdd(this.#next, 1);
    this.#open += 1;
  }

  /** One that began is answered, or never will be. */
  answered(): void {
    this.#open -= 1;
  }

  keep(CmdSN: number, waiting: Waiting): void {
    this.#early.set(CmdSN, waiting);
  }

  /** False: no such command is let in, or it began. */
  passOver(CmdSN: number): boolean {
    const distance = serialDistance(this.#next, CmdSN);
    if (distance < 0 || distance >= this.#windowSize - this.#open) return false;
    this.#early.set(CmdSN, undefined);
    return true;
  }

  /** What was kept and has its turn now: it has begun. */
  resume(): Waiting | undefined {
    while (this.#early.has(this.#next)) {
      const waiting = this.#early.get(this.#next);
      this.#early.delete(this.#next);
      this.begin();
      if (waiting !== undefined) return waiting;
      this.answered();
    }
    return undefined;
  }
}
