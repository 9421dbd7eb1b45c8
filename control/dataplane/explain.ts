// Owns asking the program itself what it does with a packet, and putting the answer in words of the configuration. The
// program that is asked is the one that forwards, loaded once more with an observer: it shares the tables and changes none
// of them. Of fragments it has a table of its own, for even looking there makes an entry one that was used lately.
import { withNetns } from '@holdfast/linux';
import { BpfError, type LoadedObject, type OpenObject, type Program } from 'libbpf-ts';
import { Failure } from '../lib/failure.ts';
import type { BackendConfig } from './backend_table.ts';
import type { ReasonName } from './counters.ts';
import type { ServiceAddress } from './desired.ts';
import type { Explanation as Left } from './generated/layout.ts';
import {
  AnswerSource,
  explanationCodec,
  fragmentKeyCodec,
  Limit,
  REASON_NAMES,
  ServiceFlag,
} from './generated/layout.ts';
import { mapSection } from './object.ts';
import { REASON_MEANINGS, type Verdict, verdictOf } from './reasons.ts';
import { addressOfKey } from './service_record.ts';
import type { ServiceRecord } from './service_table.ts';

export type ExplainOptions = {
  /** Of the interface that the packet comes in by. */
  ifindex?: number;
};

/** Which record decided, or what else did. */
export type Rule = 'port' | 'any port' | 'address' | 'server id' | 'icmp quote' | 'first fragment';

/** What of a packet is hashed. */
export type FlowKey = '5-tuple' | 'without source port' | 'client';

/**
 * Who says which backend serves the flow of a tracked slot: what this mux was answered before, what it keeps as owner,
 * its decision as owner (new flows: current, unknown ones: base), or the owner, who would be asked.
 */
export type AnsweredBy = 'cache' | 'table' | 'current' | 'base' | 'owner';

/** Of a tracked slot, as this mux has it. */
export type SlotTracking = {
  /** Versions since which the slot is tracked, and the chain is this one. */
  trackEpoch: number;
  chainEpoch: number;
  /** Ids of muxes; absent: nobody. */
  owner?: number;
  backup?: number;
  /** Index in this mux's table of chains. */
  chain: number;
  current: number;
  base: number;
  /** Absent where the packet got no further. */
  answeredBy?: AnsweredBy;
};

export type PacketExplanation = {
  verdict: Verdict;
  reason: ReasonName;
  /** The reason in a sentence. */
  meaning: string;
  /** The service, or the entry of its address alone. */
  service?: ServiceAddress;
  rule?: Rule;
  flowKey?: FlowKey;
  hash?: bigint;
  poolId?: number;
  /** Within its pool. */
  slot?: number;
  slotWord?: bigint;
  /** Absent where the slot is clean. */
  tracking?: SlotTracking;
  /** Index; 0 where the slot is empty; absent where another mux would be asked. */
  backend?: number;
  backendConfig?: BackendConfig;
  /** Where it leaves, if that is another interface than it came in by. */
  egressIfindex?: number;
  /** As it leaves; absent where it is dropped. */
  frame?: Uint8Array;
};

export type Answer = { left: Left; reason: ReasonName; frame: Uint8Array };

/** What an instance that explains has for itself. */
const OWN_MAPS: ReadonlySet<string> = new Set([
  'fragments',
  'packet_in_hand',
  'ask_in_hand',
  'flow_request_in_hand',
  'query_in_hand',
  '.data.filter_expl',
  '.data.explanation',
  '.rodata',
]);
const NO_ADDRESS = { word: [0, 0, 0, 0] };
/** Before the program says anything: place 0 and slot 0 are some service's. */
const NOTHING_LEFT: Left = {
  decision: {
    hash: 0n,
    slot_word: 0n,
    service: Limit.LIMIT_SERVICES,
    slot: Limit.LIMIT_SLOT_NONE,
    backend: 0,
    reason: 0,
  },
  reason: 0,
  ifindex: 0,
  fragment: { source: NO_ADDRESS, destination: NO_ADDRESS, identification: 0, protocol: 0 },
  fragment_wanted: 0,
  chain: 0,
  track_epoch: 0,
  chain_epoch: 0,
  owner: 0,
  backup: 0,
  tracked: 0,
  answer_source: 0,
  answer: 0,
};
const FRAGMENTS_MAX = 1024;
const FRAME_BYTES_MIN = 14;
/** A test run takes one page, less what the kernel keeps in front and behind. */
const FRAME_BYTES_MAX = 3_300;

export class Explainer {
  readonly #object: LoadedObject;
  readonly #program: Program;
  readonly #live: LoadedObject;
  readonly #netns: string | undefined;
  readonly #left: ArrayBuffer;

  /** `opened` is the object of `live`, opened with the observer that explains. */
  constructor(opened: OpenObject, live: LoadedObject, program: string, netns: string | undefined) {
    opened.maps.get('fragments')?.setMaxEntries(FRAGMENTS_MAX);
    for (const [name, map] of opened.maps) if (!OWN_MAPS.has(name)) map.reuse(live.map(name));
    this.#object = opened.load();
    this.#program = this.#object.program(program);
    this.#live = live;
    this.#netns = netns;
    this.#left = mapSection(this.#object, '.data.explanation');
  }

  /** @throws Failure where the frame cannot be one. */
  ask(frame: Uint8Array, { ifindex }: ExplainOptions): Answer {
    if (frame.length < FRAME_BYTES_MIN || frame.length > FRAME_BYTES_MAX) {
      throw new Failure(
        'invalid',
        `a frame has ${FRAME_BYTES_MIN} to ${FRAME_BYTES_MAX} bytes, not ${frame.length}`,
      );
    }
    this.#forgetFragments();
    let answer = this.#run(frame, ifindex);
    if (answer.left.fragment_wanted !== 0 && this.#copyFragment(answer.left))
      answer = this.#run(frame, ifindex);
    return answer;
  }

  close(): void {
    this.#object.close();
  }

  /** Those that were copied for another question: they may have ended since. */
  #forgetFragments(): void {
    const own = this.#object.maps.get('fragments');
    for (const key of [...(own?.keys() ?? [])]) own!.delete(key);
  }

  #run(data: Uint8Array, ifindex: number | undefined): Answer {
    explanationCodec.write(new DataView(this.#left), 0, NOTHING_LEFT);
    const run = (arrival: number | undefined) => {
      const ctx = arrival === undefined ? {} : { ctx: { ingressIfindex: arrival } };
      const test = () => this.#program.testRun({ data, ...ctx });
      return this.#netns === undefined ? test() : withNetns(this.#netns, test);
    };
    const { dataOut } = runFrom(run, ifindex);
    const left = explanationCodec.read(new DataView(this.#left), 0);
    return { left, reason: REASON_NAMES[left.reason] as ReasonName, frame: dataOut! };
  }

  /** The entry that the packet looked for, from where packets are forwarded. False where there is none either. */
  #copyFragment(left: Left): boolean {
    const key = new Uint8Array(fragmentKeyCodec.sizeBytes);
    fragmentKeyCodec.write(new DataView(key.buffer), 0, left.fragment);
    const own = this.#object.map('fragments');
    const entry = this.#live.map('fragments').lookup(key);
    if (entry === undefined) return false;
    own.update(key, entry);
    return true;
  }
}

/** What a mux's answer means; `serviceAt` and `backend` look into its tables. */
export function explanationOf(
  { left, reason, frame }: Answer,
  serviceAt: (place: number) => ServiceRecord | undefined,
  backend: (index: number) => BackendConfig | undefined,
): PacketExplanation {
  const verdict = verdictOf(reason);
  const explanation: PacketExplanation = { verdict, reason, meaning: REASON_MEANINGS[reason] };
  if (verdict !== 'DROP') explanation.frame = frame;
  const { decision, ifindex } = left;
  const record = decision.service < Limit.LIMIT_SERVICES ? serviceAt(decision.service) : undefined;
  if (record === undefined) return explanation;
  explanation.service = addressOfKey(record.key);
  explanation.rule = ruleOf(left, record);
  if (ifindex !== 0) explanation.egressIfindex = ifindex;
  if (decision.slot !== Limit.LIMIT_SLOT_NONE) {
    explanation.flowKey = flowKeyOf(record.fields.flags);
    explanation.hash = decision.hash;
    explanation.poolId = record.fields.pool;
    explanation.slot = decision.slot - record.fields.slot_base;
    explanation.slotWord = decision.slot_word;
  }
  const tracking = trackingOf(left);
  if (tracking !== undefined) explanation.tracking = tracking;
  // Set where a packet is decided about, which those that a slot without a backend has are as well.
  if (decision.reason !== 0 && !UNDECIDED.has(verdict)) {
    const index = tracking?.answeredBy === undefined ? decision.backend : left.answer;
    explanation.backend = index;
    const config = backend(index);
    if (config !== undefined) explanation.backendConfig = config;
  }
  return explanation;
}

function runFrom<T>(run: (ifindex: number | undefined) => T, ifindex: number | undefined): T {
  try {
    return run(ifindex);
  } catch (error) {
    // The kernel takes only interfaces whose queues are ready for XDP: not those that are down, for one.
    if (ifindex === undefined || !(error instanceof BpfError)) throw error;
    if (error.code === 'ENODEV')
      throw new Failure('not_found', `there is no interface with index ${ifindex}`, { cause: error });
    if (error.code !== 'EINVAL') throw error;
    return run(undefined);
  }
}

function ruleOf({ decision, fragment_wanted }: Left, { key, fields }: ServiceRecord): Rule {
  const by = REASON_NAMES[decision.reason];
  if (by === 'FORWARD_ICMP_ERROR') return 'icmp quote';
  if (fragment_wanted !== 0 && by === 'FORWARD_LATER_FRAGMENT') return 'first fragment';
  if (decision.backend !== 0 && decision.slot === Limit.LIMIT_SLOT_NONE) return 'server id';
  if (key.protocol !== 0) return 'port';
  return fields.flags & ServiceFlag.SERVICE_ANY_PORT ? 'any port' : 'address';
}

function trackingOf(left: Left): SlotTracking | undefined {
  if (left.tracked === 0) return undefined;
  const { track_epoch: trackEpoch, chain_epoch: chainEpoch, owner, backup, chain } = left;
  const answeredBy = ANSWERED_BY[left.answer_source];
  const word = Number(left.decision.slot_word & 0xffff_ffffn);
  return {
    trackEpoch,
    chainEpoch,
    chain,
    current: word & 0xffff,
    base: word >>> Limit.LIMIT_SLOT_BASE_SHIFT,
    ...(owner !== 0 && { owner }),
    ...(backup !== 0 && { backup }),
    ...(answeredBy !== undefined && { answeredBy }),
  };
}

/** Another mux decides, or may. */
const UNDECIDED: ReadonlySet<Verdict> = new Set(['ASK', 'RELAY']);

const ANSWERED_BY: Readonly<Record<number, AnsweredBy>> = {
  [AnswerSource.ANSWER_BY_CACHE]: 'cache',
  [AnswerSource.ANSWER_BY_TABLE]: 'table',
  [AnswerSource.ANSWER_BY_CURRENT]: 'current',
  [AnswerSource.ANSWER_BY_BASE]: 'base',
  [AnswerSource.ANSWER_BY_OWNER]: 'owner',
};

function flowKeyOf(flags: number): FlowKey {
  if (flags & ServiceFlag.SERVICE_CLIENT_AFFINITY) return 'client';
  return flags & ServiceFlag.SERVICE_NO_SOURCE_PORT ? 'without source port' : '5-tuple';
}
