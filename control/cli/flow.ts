// Owns reading a flow as people write it: `tcp 192.0.2.7:4242 198.18.0.10:80`, with arrows or without, `[IPv6]:port`; or
// as the API names it, `192.0.2.7:4242>198.18.0.10:80/tcp`.
import type { ExplainInput } from '../api/client.ts';
import { isAddress, parseAddress, versionOf } from '../lib/address.ts';
import { formatFlowName } from '../lib/flow_name.ts';
import { UsageError } from './usage_error.ts';

export type Flow = Extract<ExplainInput, { flow: unknown }>['flow'];

const REMEDY =
  'Write tcp 192.0.2.7:4242 198.18.0.10:80, udp [2001:db8::7]:4242 [2001:db8::10]:443, or icmp 192.0.2.7 198.18.0.10';

const ARROWS = /\s*(?:->|→|>)\s*/g;

/** The protocol at the end, after a slash. */
const PROTOCOL_LAST = /^(.*\S)\s*\/\s*(tcp|udp|icmp|icmp6|icmpv6)$/i;

export function parseFlow(words: readonly string[]): Flow {
  const [, ends, last] = PROTOCOL_LAST.exec(words.join(' ').trim()) ?? [];
  return last === undefined || ends === undefined ? parseWords(words) : parseWords([last, ends]);
}

/** One that has both ports, as the API names it. */
export function flowNameOf(words: readonly string[]): string {
  const { protocol = 'tcp', source, sourcePort, destination, destinationPort } = parseFlow(words);
  if (protocol === 'icmp') {
    throw new UsageError('ICMP is no flow that anybody keeps.', {
      reason: 'Errors go where the packet that they quote went.',
      remedy: 'Name the TCP or UDP flow that it is about.',
    });
  }
  if (sourcePort === undefined || destinationPort === undefined) {
    throw new UsageError(`${source} has no port.`, { reason: 'A flow has two ports.', remedy: REMEDY });
  }
  return formatFlowName({ protocol, source, sourcePort, destination, destinationPort });
}

function parseWords(words: readonly string[]): Flow {
  const [protocol = '', source, destination, ...more] = words
    .join(' ')
    .replace(ARROWS, ' ')
    .split(/\s+/)
    .filter((word) => word !== '');
  const named = protocolOf(protocol.toLowerCase());
  if (named === undefined) {
    throw new UsageError(`A flow begins with tcp, udp or icmp, not with "${protocol}".`, { remedy: REMEDY });
  }
  if (source === undefined)
    throw new UsageError('The flow has no source and destination.', { remedy: REMEDY });
  if (destination === undefined) throw new UsageError('The flow has no destination.', { remedy: REMEDY });
  if (more.length > 0) throw new UsageError(`The flow ends before "${more[0]}".`, { remedy: REMEDY });
  const from = parseEnd(source);
  const to = parseEnd(destination);
  if (versionOf(parseAddress(from.address)) !== versionOf(parseAddress(to.address))) {
    throw new UsageError(`${from.address} and ${to.address} are not of one IP version.`);
  }
  if (named === 'icmp' && (from.port ?? to.port) !== undefined) {
    throw new UsageError('ICMP has no ports.', { remedy: 'Write icmp 192.0.2.7 198.18.0.10' });
  }
  if (named !== 'icmp' && to.port === undefined) {
    throw new UsageError(`${destination} has no port.`, { remedy: REMEDY });
  }
  return {
    protocol: named,
    source: from.address,
    ...(from.port === undefined ? {} : { sourcePort: from.port }),
    destination: to.address,
    ...(to.port === undefined ? {} : { destinationPort: to.port }),
  };
}

const PROTOCOLS = { tcp: 'tcp', udp: 'udp', icmp: 'icmp', icmp6: 'icmp', icmpv6: 'icmp' } as const;

function protocolOf(word: string): 'tcp' | 'udp' | 'icmp' | undefined {
  return Object.hasOwn(PROTOCOLS, word) ? PROTOCOLS[word as keyof typeof PROTOCOLS] : undefined;
}

type End = { readonly address: string; readonly port?: number };

function parseEnd(text: string): End {
  if (isAddress(text)) return { address: text };
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::([^:]*))?$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? text;
  if (!isAddress(address) || (bracketed !== undefined && !bracketed.includes(':'))) {
    throw new UsageError(`"${text}" is no address with a port.`, { remedy: REMEDY });
  }
  if (port === undefined) return { address };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new UsageError(`"${port}" is no port.`, { reason: 'Ports are 0 to 65535.' });
  }
  return { address, port: Number(port) };
}
