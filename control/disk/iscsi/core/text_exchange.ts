// Owns text requests in full feature phase (RFC 7143, sections 6.4, 11.10, 11.11 and appendix C): exchanges over several
// PDUs in both directions, SendTargets, and parameters that may still change.
import { FLAGS, RESERVED_TAG } from '../codec/constants.ts';
import type { PduView } from '../codec/pdu.ts';
import { encodeText, parseText, type TextPair } from '../codec/text.ts';
import type { Answers } from './answers.ts';
import { TEXT_BYTES_MAX } from './limits.ts';
import { negotiate, type Parameters } from './parameters.ts';
import type { Authority, DiscoveredTarget, Portal } from './ports.ts';

export interface TextParties {
  readonly initiatorName: string;
  /** Undefined: a discovery session. */
  readonly targetName: string | undefined;
  readonly portal: Portal;
  readonly authority: Authority;
  readonly parameters: Parameters;
}

const NO_TEXT = new Uint8Array(0);

export class TextExchange {
  readonly #parties: TextParties;
  readonly #answers: Answers;
  /** Of the exchange that is not over; RESERVED_TAG: there is none. */
  #TTT: number = RESERVED_TAG;
  #lastTTT = 0;
  /** Text whose end has not come. */
  #asked: Uint8Array = NO_TEXT;
  /** What is still to be said. */
  #rest: Uint8Array = NO_TEXT;

  constructor(parties: TextParties, answers: Answers) {
    this.#parties = parties;
    this.#answers = answers;
  }

  /** False: it is to be rejected. */
  step(pdu: PduView): boolean {
    if (pdu.TTT === RESERVED_TAG) this.#reset();
    else if (pdu.TTT !== this.#TTT) return false;
    const continues = (pdu.flags & FLAGS.CONTINUE) !== 0;
    if (continues && pdu.final) return false;
    if (this.#asked.length + pdu.dataBytes > TEXT_BYTES_MAX) return false;
    const asked = new Uint8Array(this.#asked.length + pdu.dataBytes);
    asked.set(this.#asked);
    asked.set(pdu.data(), this.#asked.length);
    this.#asked = continues ? asked : NO_TEXT;
    if (continues) {
      this.#answers.text(pdu.ITT, this.#tag(), 0, NO_TEXT);
      return true;
    }
    if (this.#rest.length === 0) {
      const pairs = parseText(asked);
      const answer = pairs === undefined ? undefined : this.#answer(pairs);
      if (answer === undefined) return false;
      this.#rest = encodeText(answer);
    } else if (asked.length > 0) return false;
    this.#say(pdu);
    return true;
  }

  #say(pdu: PduView): void {
    const piece = this.#rest.subarray(0, this.#parties.parameters.MaxRecvDataSegmentLength);
    this.#rest = this.#rest.subarray(piece.length);
    if (this.#rest.length > 0) this.#answers.text(pdu.ITT, this.#tag(), FLAGS.CONTINUE, piece);
    else if (!pdu.final) this.#answers.text(pdu.ITT, this.#tag(), 0, piece);
    else {
      this.#reset();
      this.#answers.text(pdu.ITT, RESERVED_TAG, FLAGS.FINAL, piece);
    }
  }

  #tag(): number {
    if (this.#TTT === RESERVED_TAG) {
      this.#lastTTT = (this.#lastTTT + 1) & 0x7fff_ffff;
      this.#TTT = this.#lastTTT;
    }
    return this.#TTT;
  }

  #reset(): void {
    this.#TTT = RESERVED_TAG;
    this.#asked = NO_TEXT;
    this.#rest = NO_TEXT;
  }

  #answer(pairs: readonly TextPair[]): TextPair[] | undefined {
    const discovery = this.#parties.targetName === undefined;
    const others = pairs.filter(({ key }) => key !== 'SendTargets');
    const answers = negotiate(this.#parties.parameters, others, { discovery, fullFeature: true });
    if (answers === undefined) return undefined;
    for (const { key, value } of pairs) if (key === 'SendTargets') answers.push(...this.#targets(value));
    return answers;
  }

  /** Appendix C: `All` in discovery sessions alone, one's own target by its name or by nothing in others. */
  #targets(wanted: string): TextPair[] {
    const { authority, initiatorName, portal, targetName } = this.#parties;
    const refused = [{ key: 'SendTargets', value: 'Reject' }];
    if (targetName === undefined ? wanted === '' : wanted !== '' && wanted !== targetName) return refused;
    const name = wanted === '' ? targetName : wanted;
    const targets = authority.targets(initiatorName, portal);
    return targets.filter((target) => name === 'All' || target.name === name).flatMap(describe);
  }
}

function describe({ name, portals }: DiscoveredTarget): TextPair[] {
  const addresses = portals.map(({ address, port, tag }) => ({
    key: 'TargetAddress',
    value: `${address}:${port},${tag}`,
  }));
  return [{ key: 'TargetName', value: name }, ...addresses];
}
