// Owns the name of a flow as people and the API write it: `192.0.2.7:4242>198.18.0.10:80/tcp`, IPv6 in brackets.
import { formatAddress, isAddress, parseAddress, versionOf } from './address.ts';

/** Longer is no name: two bracketed IPv6 addresses with ports, and the protocol, have 95 characters. */
export const FLOW_NAME_CHARACTERS_MAX = 128;

export type FlowName = {
  readonly protocol: 'tcp' | 'udp';
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
};

/** Undefined where that names no flow. */
export function parseFlowName(text: string): FlowName | undefined {
  if (text.length > FLOW_NAME_CHARACTERS_MAX) return undefined;
  const [, from, to, protocol] = /^([^>/]+)>([^>/]+)\/(tcp|udp)$/.exec(text) ?? [];
  const source = endOf(from);
  const destination = endOf(to);
  if (source === undefined || destination === undefined) return undefined;
  if (source.version !== destination.version) return undefined;
  return {
    protocol: protocol as 'tcp' | 'udp',
    source: source.address,
    sourcePort: source.port,
    destination: destination.address,
    destinationPort: destination.port,
  };
}

export function formatFlowName(flow: FlowName): string {
  const { protocol, source, sourcePort, destination, destinationPort } = flow;
  return `${formatEnd(source, sourcePort)}>${formatEnd(destination, destinationPort)}/${protocol}`;
}

function formatEnd(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function endOf(text: string | undefined) {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text ?? '') ?? [];
  const address = bracketed ?? plain;
  if (address === undefined || !isAddress(address) || Number(digits) > 65_535) return undefined;
  const parsed = parseAddress(address);
  const version = versionOf(parsed);
  if ((version === 6) !== (bracketed !== undefined)) return undefined;
  return { address: formatAddress(parsed), port: Number(digits), version };
}
