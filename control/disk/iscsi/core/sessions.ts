// Owns which sessions a target has: their names (RFC 7143, section 4.2.7), reinstatement (6.3.5), TSIHs, and what each
// initiator may have of the target over all its sessions. Knows no PDU.
import { LIMITS, type Limits } from './limits.ts';

export interface SessionName {
  readonly initiatorName: string;
  readonly isid: Uint8Array;
  /** Undefined: a discovery session. */
  readonly targetName: string | undefined;
  readonly portalGroupTag: number;
}

/** A connection that is a session, as this table knows it. */
export interface Holder {
  /** Another connection takes its session. */
  end(reason: 'session reinstated'): void;
  /** There may be room for data now. */
  resume(): void;
}

export interface Session extends SessionName {
  readonly TSIH: number;
  readonly CID: number;
  readonly initiator: Initiator;
  readonly holder: Holder;
}

/** What one initiator, by its name, has of the target. */
export class Initiator {
  readonly name: string;
  sessions = 0;
  readonly #dataBytesMax: number;
  #dataBytes = 0;
  /** Longest waiting first. */
  readonly #waiting = new Set<Holder>();

  constructor(name: string, dataBytesMax: number) {
    this.name = name;
    this.#dataBytesMax = dataBytesMax;
  }

  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Something is always allowed for an initiator that has nothing. */
  allows(bytes: number): boolean {
    return this.#dataBytes === 0 || this.#dataBytes + bytes <= this.#dataBytesMax;
  }

  take(bytes: number): void {
    this.#dataBytes += bytes;
  }

  give(bytes: number): void {
    this.#dataBytes -= bytes;
    // Each asks once: those that still may not go on wait again, behind the others.
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const holder of waiting) holder.resume();
  }

  wait(holder: Holder): void {
    this.#waiting.add(holder);
  }

  forget(holder: Holder): void {
    this.#waiting.delete(holder);
  }
}

export type SessionRefusal = 'OUT_OF_RESOURCES' | 'SESSION_DOES_NOT_EXIST' | 'TOO_MANY_CONNECTIONS';

const TSIH_MAX = 0xffff;

export class Sessions {
  readonly #limits: Limits;
  readonly #byName = new Map<string, Session>();
  readonly #TSIHs = new Set<number>();
  readonly #initiators = new Map<string, Initiator>();
  #lastTSIH = 0;

  constructor(limits: Limits = LIMITS) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#byName.size;
  }

  /** Initiators that have a session. */
  get initiators(): ReadonlyMap<string, Initiator> {
    return this.#initiators;
  }

  /**
   * An initiator that was let in begins a session. `TSIH` is what it asked for: zero begins a new one and ends the one
   * of the same name; another names a session whose only connection it takes over.
   */
  open(name: SessionName, TSIH: number, CID: number, holder: Holder): Session | SessionRefusal {
    const key = keyOf(name);
    const before = this.#byName.get(key);
    if (TSIH !== 0) {
      if (before?.TSIH !== TSIH) return 'SESSION_DOES_NOT_EXIST';
      if (before.CID !== CID) return 'TOO_MANY_CONNECTIONS';
    }
    const known = this.#initiators.get(name.initiatorName);
    if (before === undefined) {
      if (this.#byName.size >= Math.min(this.#limits.sessionsMax, TSIH_MAX)) return 'OUT_OF_RESOURCES';
      if (known !== undefined && known.sessions >= this.#limits.sessionsPerInitiatorMax)
        return 'OUT_OF_RESOURCES';
    } else {
      this.close(before);
      before.holder.end('session reinstated');
    }
    const initiator =
      this.#initiators.get(name.initiatorName) ??
      known ??
      new Initiator(name.initiatorName, this.#limits.dataBytesPerInitiatorMax);
    this.#initiators.set(name.initiatorName, initiator);
    initiator.sessions += 1;
    const session = { ...name, TSIH: TSIH === 0 ? this.#nextTSIH() : TSIH, CID, initiator, holder };
    this.#byName.set(key, session);
    this.#TSIHs.add(session.TSIH);
    return session;
  }

  /** May be called for one that was ended by another. */
  close(session: Session): void {
    const key = keyOf(session);
    if (this.#byName.get(key) !== session) return;
    this.#byName.delete(key);
    this.#TSIHs.delete(session.TSIH);
    const { initiator } = session;
    initiator.sessions -= 1;
    if (initiator.sessions === 0) this.#initiators.delete(initiator.name);
  }

  #nextTSIH(): number {
    do this.#lastTSIH = this.#lastTSIH === TSIH_MAX ? 1 : this.#lastTSIH + 1;
    while (this.#TSIHs.has(this.#lastTSIH));
    return this.#lastTSIH;
  }
}

/** A tab is in no name (RFC 3722). */
function keyOf({ initiatorName, isid, targetName, portalGroupTag }: SessionName): string {
  return `${initiatorName}\t${isid.join('.')}\t${targetName ?? ''}\t${portalGroupTag}`;
}
