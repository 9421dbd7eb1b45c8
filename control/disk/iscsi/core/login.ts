// Owns the login of one connection (RFC 7143, sections 6.3 and 11.12): its stages, who the initiator is and what it may
// log in to, authentication, and the parameters agreed on. Knows no socket, no session table and no status number.
import { type LoginStatusName, STAGES } from '../codec/constants.ts';
import { encodeText, parseText, type TextPair } from '../codec/text.ts';
import { Chap } from './chap.ts';
import { LOGIN_DATA_SEGMENT_BYTES_MAX, TEXT_BYTES_MAX } from './limits.ts';
import { DECLARATIONS, defaultParameters, negotiate, type Parameters } from './parameters.ts';
import type { Authority, Cryptography, Grant, Portal } from './ports.ts';

/** Requests of one login: initiators need two to six. */
export const LOGIN_REQUESTS_MAX = 32;
/** Section 4.2.7.1. */
const NAME_BYTES_MAX = 223;

export interface LoginRequest {
  readonly CSG: number;
  readonly NSG: number;
  readonly transit: boolean;
  readonly continues: boolean;
  readonly versionMin: number;
  readonly isid: Uint8Array;
  readonly TSIH: number;
  readonly CID: number;
  readonly data: Uint8Array;
}

/** What to answer. With `transit` the next request is of stage NSG; from FULL_FEATURE on the login is over. */
export interface LoginAnswer {
  readonly status: 'SUCCESS';
  readonly transit: boolean;
  readonly CSG: number;
  readonly NSG: number;
  readonly text: Uint8Array;
}

export interface LoginFailure {
  readonly status: Exclude<LoginStatusName, 'SUCCESS'>;
  readonly text: Uint8Array;
}

export interface Identity {
  readonly initiatorName: string;
  readonly targetName: string | undefined;
  readonly isid: Uint8Array;
  readonly TSIH: number;
  readonly CID: number;
}

export interface LoginParts {
  readonly portal: Portal;
  readonly authority: Authority;
  readonly cryptography: Cryptography;
}

const NO_TEXT = new Uint8Array(0);
/** Who speaks to whom; some initiators say it in each stage. */
const IDENTITY_KEYS: ReadonlySet<string> = new Set([
  'InitiatorName',
  'TargetName',
  'SessionType',
  'InitiatorAlias',
]);

export class Login {
  readonly parameters: Parameters = defaultParameters();
  /** From the first request on. */
  identity: Identity | undefined;
  readonly #parts: LoginParts;
  #grant: Grant = {};
  #stage: number = STAGES.SECURITY;
  #chap: Chap | undefined;
  #authenticated = false;
  #requests = 0;
  #declared = false;
  /** What the initiator said, by key. */
  readonly #said = new Map<string, string>();
  /** Text whose end has not come. */
  #begun: Uint8Array = NO_TEXT;

  constructor(parts: LoginParts) {
    this.#parts = parts;
  }

  get discovery(): boolean {
    return this.identity !== undefined && this.identity.targetName === undefined;
  }

  step(request: LoginRequest): LoginAnswer | LoginFailure {
    this.#requests += 1;
    const wrong = this.#wrong(request);
    if (wrong !== undefined) return failure(wrong);
    const data = joined(this.#begun, request.data);
    if (data.length > TEXT_BYTES_MAX) return failure('INITIATOR_ERROR');
    this.#begun = request.continues ? data : NO_TEXT;
    if (request.continues) return this.#answer(request, false, []);
    const pairs = parseText(data);
    if (pairs === undefined || !this.#hear(pairs)) return failure('INITIATOR_ERROR');
    const answers: TextPair[] = [];
    if (this.identity === undefined) {
      const refused = this.#identify(request, answers);
      if (refused !== undefined) return refused;
    }
    const others = pairs.filter(({ key }) => key === 'InitiatorAlias' || !IDENTITY_KEYS.has(key));
    const failed =
      this.#stage === STAGES.SECURITY ? this.#secure(others, answers) : this.#operate(others, answers);
    if (failed !== undefined) return failure(failed);
    return this.#transit(request, answers);
  }

  #wrong(request: LoginRequest): LoginFailure['status'] | undefined {
    if (this.#requests > LOGIN_REQUESTS_MAX) return 'INITIATOR_ERROR';
    if (request.versionMin > 0) return 'UNSUPPORTED_VERSION';
    const { CSG, NSG, transit, continues } = request;
    if (this.#requests === 1 && CSG === STAGES.OPERATIONAL) this.#stage = CSG;
    if (CSG !== this.#stage) return 'INITIATOR_ERROR';
    if (transit && (continues || NSG <= CSG || (NSG !== STAGES.OPERATIONAL && NSG !== STAGES.FULL_FEATURE)))
      return 'INITIATOR_ERROR';
    const { identity } = this;
    if (identity === undefined) return undefined;
    const same = request.CID === identity.CID && request.TSIH === identity.TSIH;
    return same && request.isid.every((byte, at) => byte === identity.isid[at])
      ? undefined
      : 'INITIATOR_ERROR';
  }

  /** Section 6.2: no key twice, unless it says the same of who speaks. */
  #hear(pairs: readonly TextPair[]): boolean {
    for (const { key, value } of pairs) {
      const before = this.#said.get(key);
      if (before !== undefined && !(IDENTITY_KEYS.has(key) && before === value)) return false;
      this.#said.set(key, value);
    }
    return true;
  }

  #identify(request: LoginRequest, answers: TextPair[]): LoginFailure | undefined {
    const initiatorName = this.#said.get('InitiatorName');
    const type = this.#said.get('SessionType') ?? 'Normal';
    if (type !== 'Normal' && type !== 'Discovery') return failure('SESSION_TYPE_NOT_SUPPORTED');
    const targetName = type === 'Normal' ? this.#said.get('TargetName') : undefined;
    if (!isName(initiatorName) || (type === 'Normal' && !isName(targetName)))
      return failure('MISSING_PARAMETER');
    const { authority, portal } = this.#parts;
    const grant = authority.authorize(initiatorName, targetName, portal);
    if ('refused' in grant) {
      const { refused, targetAddress } = grant;
      const moved = targetAddress === undefined ? [] : [{ key: 'TargetAddress', value: targetAddress }];
      return { status: refused, text: encodeText(moved) };
    }
    this.#grant = grant;
    const { isid, TSIH, CID } = request;
    this.identity = { initiatorName, targetName, isid, TSIH, CID };
    if (targetName === undefined) return undefined;
    // Section 13.9: in the first answer to who named a target.
    answers.push({ key: 'TargetPortalGroupTag', value: String(portal.tag) });
    if (grant.targetAlias !== undefined) answers.push({ key: 'TargetAlias', value: grant.targetAlias });
    return undefined;
  }

  #secure(pairs: readonly TextPair[], answers: TextPair[]): LoginFailure['status'] | undefined {
    const values = new Map(pairs.map(({ key, value }) => [key, value]));
    for (const key of values.keys()) {
      // Section 6.3.2: nothing else belongs to this stage.
      if (key !== 'AuthMethod' && key !== 'InitiatorAlias' && !key.startsWith('CHAP_'))
        return 'INITIATOR_ERROR';
    }
    const methods = values.get('AuthMethod');
    if (methods !== undefined) {
      const { secret, mutual } = this.#grant;
      const method = secret === undefined ? 'None' : 'CHAP';
      if (!methods.split(',').includes(method)) return 'AUTHENTICATION_FAILURE';
      answers.push({ key: 'AuthMethod', value: method });
      if (secret !== undefined) this.#chap = new Chap(secret, mutual, this.#parts.cryptography);
    }
    if (![...values.keys()].some((key) => key.startsWith('CHAP_'))) return undefined;
    const outcome = this.#chap?.step(values) ?? 'malformed';
    if (outcome === 'malformed') return 'INITIATOR_ERROR';
    if (outcome === 'failed') return 'AUTHENTICATION_FAILURE';
    this.#authenticated = outcome.authenticated;
    answers.push(...outcome.answers);
    return undefined;
  }

  #operate(pairs: readonly TextPair[], answers: TextPair[]): LoginFailure['status'] | undefined {
    if (!this.#mayPass) return 'AUTHENTICATION_FAILURE';
    const agreed = negotiate(this.parameters, pairs, { discovery: this.discovery, fullFeature: false });
    if (agreed === undefined) return 'INITIATOR_ERROR';
    answers.push(...agreed);
    if (!this.#declared) answers.push(...DECLARATIONS);
    this.#declared = true;
    return undefined;
  }

  get #mayPass(): boolean {
    return this.#grant.secret === undefined || this.#authenticated;
  }

  #transit(request: LoginRequest, answers: readonly TextPair[]): LoginAnswer | LoginFailure {
    const { transit } = request;
    // Whoever must authenticate and wants to pass without having begun to is told so now.
    if (transit && !this.#mayPass && this.#chap === undefined) return failure('AUTHENTICATION_FAILURE');
    return this.#answer(request, transit && this.#mayPass, answers);
  }

  #answer(
    { CSG, NSG }: LoginRequest,
    transit: boolean,
    answers: readonly TextPair[],
  ): LoginAnswer | LoginFailure {
    const text = encodeText(answers);
    if (text.length > LOGIN_DATA_SEGMENT_BYTES_MAX) return failure('INITIATOR_ERROR');
    if (transit) this.#stage = NSG;
    return { status: 'SUCCESS', transit, CSG, NSG: transit ? NSG : 0, text };
  }
}

function failure(status: LoginFailure['status']): LoginFailure {
  return { status, text: NO_TEXT };
}

function isName(name: string | undefined): name is string {
  return (
    name !== undefined &&
    name !== '' &&
    !name.includes('\t') &&
    new TextEncoder().encode(name).length <= NAME_BYTES_MAX
  );
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second.slice();
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
