// Owns what an explanation says in words: the program's answer with the names that the cluster has for things.
import type { ExplainRequest, Explanation } from '../api/schema.ts';
import type { Version } from '../cluster/version.ts';
import type { ClusterState, StoredBackend } from '../config/cluster_state.ts';
import type { FlowKey, PacketExplanation, Rule } from '../dataplane/explain.ts';
import { type FlowDescription, frameOf } from '../dataplane/frame.ts';
import { Limit } from '../dataplane/generated/layout.ts';
import { formatAddress, parseAddress } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';
import { trackedSteps, trackingOf } from './explain_tracking.ts';

/** What an explanation may know beside the program's answer. */
export type Surroundings = {
  readonly state: ClusterState;
  readonly interfaceName: (ifindex: number) => string | undefined;
  /** Backends of the version in effect, those among them that no edit knows any more. */
  readonly head?: Version | undefined;
};

const RULES: Readonly<Record<Rule, string>> = {
  port: 'address, protocol and port are a service',
  'any port': 'the service takes every port of this address',
  address: 'the address is a service address',
  'server id': 'the server ID in the QUIC connection ID names the backend',
  'icmp quote': 'it is an error about a packet of a service, and goes where that one went',
  'first fragment': 'it goes where the first fragment went',
};

const FLOW_KEYS: Readonly<Record<FlowKey, string>> = {
  '5-tuple': 'protocol, addresses and ports',
  'without source port': 'protocol, addresses and the destination port, without the source port',
  client: "the client's prefix and the service",
};

const SLOT_TRACKED = 1n << BigInt(Limit.LIMIT_SLOT_TRACKED_SHIFT);

/** The frame that a request means. @throws Failure `invalid` */
export function frameOfRequest(request: ExplainRequest): Uint8Array {
  if ('frame' in request) return Uint8Array.from(Buffer.from(request.frame, 'hex'));
  const { protocol, source, sourcePort, destination, destinationPort, syn, lengthBytes } = request.flow;
  const flow: FlowDescription = {
    protocol,
    source,
    destination,
    syn,
    ...(sourcePort !== undefined && { sourcePort }),
    ...(destinationPort !== undefined && { destinationPort }),
    ...(lengthBytes !== undefined && { lengthBytes }),
  };
  return frameOf(flow);
}

/** The interface that the packet is to come in by: as asked, else the first that the program is on. */
export function arrivalOf(
  request: ExplainRequest,
  attached: readonly { readonly interface: string; readonly ifindex: number }[],
): number | undefined {
  if (request.interface === undefined) return attached[0]?.ifindex;
  const found = attached.find((it) => it.interface === request.interface);
  if (found !== undefined) return found.ifindex;
  throw new Failure('not_found', `the program is not on ${request.interface}`, {
    remedy: 'see holdfast status for where it is',
  });
}

export function explanationInWords(answer: PacketExplanation, around: Surroundings): Explanation {
  const { verdict, reason, meaning, rule, flowKey, hash, slot, slotWord, backendConfig, frame } = answer;
  const service = serviceName(answer, around.state);
  const pool = [...around.state.pools.values()].find(({ id }) => id === answer.poolId);
  const backend = backendAt(answer.backend, around);
  const nextHop = nextHopOf(answer, around);
  return {
    verdict,
    reason,
    meaning,
    ...(service !== undefined && { service }),
    ...(rule !== undefined && { rule: RULES[rule] }),
    ...(flowKey !== undefined && { flowKey: FLOW_KEYS[flowKey] }),
    ...(hash !== undefined && { hash: `0x${hash.toString(16).padStart(16, '0')}` }),
    ...(pool !== undefined && { pool: pool.name }),
    ...(slot !== undefined && { slot }),
    ...(slotWord !== undefined && { slotState: slotWord & SLOT_TRACKED ? 'tracked' : 'clean' }),
    ...(answer.tracking !== undefined && { tracking: trackingOf(answer.tracking, answer.poolId, around) }),
    ...(backend !== undefined && { backend: `${backend.pool}/${backend.name}` }),
    ...(backendConfig !== undefined && {
      backendAddress: backendConfig.address,
      encap: backendConfig.encap === 'gue' ? 'GUE over UDP' : 'IP in IP',
    }),
    ...(nextHop !== undefined && { nextHop }),
    ...(frame !== undefined && { frame: Buffer.from(frame).toString('hex') }),
    steps: steps(answer, {
      service,
      pool: pool?.name,
      poolSlots: pool?.slots,
      backend,
      nextHop,
      tracked: trackedSteps(answer, around),
    }),
  };
}

type Named = {
  readonly service: string | undefined;
  readonly pool: string | undefined;
  readonly poolSlots: number | undefined;
  readonly backend: StoredBackend | undefined;
  readonly nextHop: string | undefined;
  /** About the slot's tracking. */
  readonly tracked: readonly string[];
};

function steps(answer: PacketExplanation, named: Named): string[] {
  const { service, rule, flowKey, hash, slot, slotWord, backendConfig, verdict, reason, meaning } = answer;
  const said: string[] = [];
  if (service !== undefined && rule !== undefined) {
    const port = service.port === undefined ? '' : ` ${service.protocol} ${service.port}`;
    const name = named.service === undefined ? 'a service address' : `service ${named.service}`;
    const why = rule === 'address' ? 'nothing balances it as a whole' : RULES[rule];
    said.push(`${service.address}${port} is ${name}: ${why}.`);
  }
  if (flowKey !== undefined && hash !== undefined) {
    said.push(`The flow is ${FLOW_KEYS[flowKey]}; its hash is 0x${hash.toString(16)}.`);
  }
  if (slot !== undefined && slotWord !== undefined) {
    const of = named.poolSlots === undefined ? '' : ` of ${named.poolSlots.toLocaleString('en')}`;
    const state = slotWord & SLOT_TRACKED ? 'tracked: it is being moved' : 'clean: no state is kept of it';
    said.push(
      `That is slot ${slot.toLocaleString('en')}${of} of pool ${named.pool ?? answer.poolId}, ${state}.`,
    );
  }
  said.push(...named.tracked);
  if (answer.backend !== undefined) {
    const { backend } = named;
    const name = backend === undefined ? `number ${answer.backend}` : `${backend.pool}/${backend.name}`;
    const what = answer.tracking === undefined ? 'The slot has' : 'It goes to';
    said.push(answer.backend === 0 ? 'The slot has no backend.' : `${what} backend ${name}.`);
  }
  if (verdict === 'FORWARD' && backendConfig !== undefined) {
    const tunnel = backendConfig.encap === 'gue' ? 'GUE' : 'IP in IP';
    said.push(
      `It is wrapped in ${tunnel} to ${backendConfig.address} and leaves ${named.nextHop ?? 'by the routing table'}.`,
    );
  }
  said.push(`${reason}: ${meaning}${meaning.endsWith('.') ? '' : '.'}`);
  return said;
}

function serviceName({ service }: PacketExplanation, state: ClusterState): string | undefined {
  if (service === undefined) return undefined;
  const address = formatAddress(parseAddress(service.address));
  return [...state.services.values()].find(
    (it) =>
      it.protocol === service.protocol &&
      it.port === service.port &&
      it.addresses.some((each) => formatAddress(parseAddress(each)) === address),
  )?.name;
}

function backendAt(
  index: number | undefined,
  { state, head }: Pick<Surroundings, 'state' | 'head'>,
): StoredBackend | undefined {
  if (index === undefined || index === 0) return undefined;
  const all = [...state.backends.values(), ...(head?.objects.backends.values() ?? [])];
  return all.find((it) => it.index === index);
}

function nextHopOf(
  { backendConfig, egressIfindex }: PacketExplanation,
  around: Surroundings,
): string | undefined {
  const hop = backendConfig?.nextHop;
  if (hop === undefined) return undefined;
  const ifindex = egressIfindex ?? hop.ifindex;
  const name = around.interfaceName(ifindex) ?? `interface ${ifindex}`;
  return `by ${name} to ${hop.destinationMac}`;
}
