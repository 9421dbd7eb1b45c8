// Owns the keys that are negotiated or declared (RFC 7143, section 13), one row each: what is agreed for an offered
// value, what is answered, and when the key may be sent. Knows no stage and no session.
import { parseNumber, parseYesNo, type TextPair } from '../codec/text.ts';
import {
  BURST_BYTES_MAX,
  DATA_SEGMENT_BYTES_MAX,
  FIRST_BURST_BYTES_MAX,
  LOGIN_DATA_SEGMENT_BYTES_MAX,
  OUTSTANDING_R2T_MAX,
} from './limits.ts';

/** What is in force on a connection, by the standard's names. */
export interface Parameters {
  HeaderDigest: boolean;
  DataDigest: boolean;
  /** Of the initiator: what the target may send in one PDU. */
  MaxRecvDataSegmentLength: number;
  InitialR2T: boolean;
  ImmediateData: boolean;
  MaxBurstLength: number;
  FirstBurstLength: number;
  MaxOutstandingR2T: number;
  DefaultTime2Wait: number;
  DefaultTime2Retain: number;
  iSCSIProtocolLevel: number;
  InitiatorAlias: string;
}

/** What holds for a key that nobody sends. */
export function defaultParameters(): Parameters {
  return {
    HeaderDigest: false,
    DataDigest: false,
    MaxRecvDataSegmentLength: LOGIN_DATA_SEGMENT_BYTES_MAX,
    InitialR2T: true,
    ImmediateData: true,
    MaxBurstLength: 262_144,
    FirstBurstLength: 65_536,
    MaxOutstandingR2T: 1,
    DefaultTime2Wait: 2,
    DefaultTime2Retain: 20,
    iSCSIProtocolLevel: 1,
    InitiatorAlias: '',
  };
}

export interface Exchange {
  readonly discovery: boolean;
  readonly fullFeature: boolean;
}

/** An answer; undefined: there is none; `refused`: the login cannot go on with this. */
type Answer = string | undefined | { readonly refused: true };

interface Row {
  /** `leading`: of the login alone. `any`: of full feature phase, too. */
  readonly when: 'leading' | 'any';
  /** Section 13: without meaning in a discovery session. */
  readonly irrelevantInDiscovery?: true;
  readonly agree: (parameters: Parameters, value: string) => Answer;
}

/** Section 6.2: words that stand for no value. */
const REJECT = 'Reject';
const NOT_UNDERSTOOD = 'NotUnderstood';
const IRRELEVANT = 'Irrelevant';
const REFUSED = { refused: true } as const;
const LENGTH_MIN = 512;
const LENGTH_MAX = 2 ** 24 - 1;
const ALIAS_CHARACTERS_MAX = 255;

type Digest = 'HeaderDigest' | 'DataDigest';
type NumberKey = Exclude<
  { [Key in keyof Parameters]: Parameters[Key] extends number ? Key : never }[keyof Parameters],
  'MaxRecvDataSegmentLength'
>;
type BooleanKey = 'InitialR2T' | 'ImmediateData';

/** The first value of the initiator's list that we know. */
function digest(key: Digest): Row {
  const agree = (parameters: Parameters, value: string): Answer => {
    const chosen = value.split(',').find((name) => name === 'CRC32C' || name === 'None');
    if (chosen === undefined) return REJECT;
    parameters[key] = chosen === 'CRC32C';
    return chosen;
  };
  return { when: 'leading', agree };
}

/** The lower (or higher) one of what both want. */
function number(
  key: NumberKey,
  [min, max]: readonly [number, number],
  ours: number,
  choose: (a: number, b: number) => number,
): Row {
  const agree = (parameters: Parameters, value: string): Answer => {
    const offered = parseNumber(value);
    if (offered === undefined || offered < min || offered > max) return REJECT;
    parameters[key] = choose(offered, ours);
    return String(parameters[key]);
  };
  return { when: 'leading', irrelevantInDiscovery: true, agree };
}

/** `Yes` to InitialR2T is a wish that binds, `Yes` to ImmediateData is one that both must have. */
function yesNo(key: BooleanKey, combine: (offered: boolean) => boolean): Row {
  const agree = (parameters: Parameters, value: string): Answer => {
    const offered = parseYesNo(value);
    if (offered === undefined) return REJECT;
    parameters[key] = combine(offered);
    return parameters[key] ? 'Yes' : 'No';
  };
  return { when: 'leading', irrelevantInDiscovery: true, agree };
}

/** We can do one thing only, whatever is offered. */
function fixed(result: string, valid: (value: string) => boolean): Row {
  const agree = (_: Parameters, value: string): Answer => (valid(value) ? result : REJECT);
  return { when: 'leading', irrelevantInDiscovery: true, agree };
}

const isYesNo = (value: string): boolean => parseYesNo(value) !== undefined;
const isBetween = (min: number, max: number) => (value: string) => {
  const offered = parseNumber(value);
  return offered !== undefined && offered >= min && offered <= max;
};
const obsolete: Row = { when: 'leading', agree: () => REJECT };

/** In the order in which several of one exchange are answered: FirstBurstLength after what it must not exceed. */
const ROWS: Readonly<Record<string, Row>> = {
  HeaderDigest: digest('HeaderDigest'),
  DataDigest: digest('DataDigest'),
  MaxConnections: fixed('1', isBetween(1, 65_535)),
  InitialR2T: yesNo('InitialR2T', (offered) => offered),
  ImmediateData: yesNo('ImmediateData', (offered) => offered),
  MaxRecvDataSegmentLength: {
    when: 'any',
    agree: (parameters, value) => {
      const declared = parseNumber(value);
      if (declared === undefined || declared < LENGTH_MIN || declared > LENGTH_MAX) return REFUSED;
      parameters.MaxRecvDataSegmentLength = declared;
      return undefined;
    },
  },
  MaxBurstLength: number('MaxBurstLength', [LENGTH_MIN, LENGTH_MAX], BURST_BYTES_MAX, Math.min),
  FirstBurstLength: {
    when: 'leading',
    irrelevantInDiscovery: true,
    agree: (parameters, value) => {
      const offered = parseNumber(value);
      if (offered === undefined || offered < LENGTH_MIN || offered > LENGTH_MAX) return REJECT;
      parameters.FirstBurstLength = Math.min(offered, FIRST_BURST_BYTES_MAX, parameters.MaxBurstLength);
      return String(parameters.FirstBurstLength);
    },
  },
  DefaultTime2Wait: number('DefaultTime2Wait', [0, 3600], 0, Math.max),
  // Tasks end with their connection: error recovery level 0.
  DefaultTime2Retain: number('DefaultTime2Retain', [0, 3600], 0, Math.min),
  MaxOutstandingR2T: number('MaxOutstandingR2T', [1, 65_535], OUTSTANDING_R2T_MAX, Math.min),
  DataPDUInOrder: fixed('Yes', isYesNo),
  DataSequenceInOrder: fixed('Yes', isYesNo),
  ErrorRecoveryLevel: fixed('0', isBetween(0, 2)),
  iSCSIProtocolLevel: number('iSCSIProtocolLevel', [0, 31], 1, Math.min),
  TaskReporting: {
    when: 'leading',
    irrelevantInDiscovery: true,
    agree: (_, value) => (value.split(',').includes('RFC3720') ? 'RFC3720' : REJECT),
  },
  InitiatorAlias: {
    when: 'any',
    agree: (parameters, value) => {
      parameters.InitiatorAlias = value.slice(0, ALIAS_CHARACTERS_MAX);
      return undefined;
    },
  },
  // Section 13.25: must not be answered with NotUnderstood.
  IFMarker: obsolete,
  OFMarker: obsolete,
  IFMarkInt: obsolete,
  OFMarkInt: obsolete,
};
const ORDER: ReadonlyMap<string, number> = new Map(Object.keys(ROWS).map((key, at) => [key, at]));

/** What is declared, in the operational stage, without being asked. */
export const DECLARATIONS: readonly TextPair[] = [
  { key: 'MaxRecvDataSegmentLength', value: String(DATA_SEGMENT_BYTES_MAX) },
];

/** Answers pairs in the order of the table, and takes over what is agreed. Undefined: one cannot be accepted. */
export function negotiate(
  parameters: Parameters,
  pairs: readonly TextPair[],
  { discovery, fullFeature }: Exchange,
): TextPair[] | undefined {
  const answers: TextPair[] = [];
  for (const { key, value } of inOrder(pairs)) {
    const row = Object.hasOwn(ROWS, key) ? ROWS[key] : undefined;
    let answer: Answer;
    // Answers to what was never offered end here, too: they must not be answered in turn.
    if (value === NOT_UNDERSTOOD || value === IRRELEVANT || value === REJECT) continue;
    if (row === undefined) answer = NOT_UNDERSTOOD;
    else if (fullFeature && row.when === 'leading') answer = REJECT;
    else if (discovery && row.irrelevantInDiscovery) answer = IRRELEVANT;
    else answer = row.agree(parameters, value);
    if (typeof answer === 'object') return undefined;
    if (answer !== undefined) answers.push({ key, value: answer });
  }
  return answers;
}

function inOrder(pairs: readonly TextPair[]): readonly TextPair[] {
  const place = ({ key }: TextPair) => ORDER.get(key) ?? ORDER.size;
  return pairs.toSorted((a, b) => place(a) - place(b));
}
