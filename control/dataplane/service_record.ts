// Owns the translation between a service as it is configured and its record in the data plane.
import type { AddressBytes } from '../lib/address.ts';
import { addressOfWords, formatAddress, maskOf, parseAddress, versionOf, wordsOf } from '../lib/address.ts';
import type { FlowKeyOptions, ServiceAddress } from './desired.ts';
import { Limit, ServiceFlag, serviceCodec } from './generated/layout.ts';
import type { ServiceFields, ServiceKey } from './service_table.ts';
import type { SlotRange } from './slot_table.ts';

const PROTOCOLS = { tcp: 6, udp: 17 } as const;

export function serviceKey(service: ServiceAddress): ServiceKey {
  if ((service.protocol === undefined) !== (service.port === undefined)) {
    throw new TypeError(`service ${service.address} needs both protocol and port, or neither`);
  }
  if (
    service.port !== undefined &&
    !(Number.isInteger(service.port) && service.port > 0 && service.port < 65536)
  ) {
    throw new RangeError(`port must be 1-65535, got ${service.port}`);
  }
  return {
    ...addressKey(service.address),
    protocol: service.protocol === undefined ? 0 : PROTOCOLS[service.protocol],
    port: service.port ?? 0,
  };
}

/** Of the entry of an address itself. */
export function addressKey(text: string): ServiceKey {
  const address: AddressBytes = parseAddress(text);
  return { words: wordsOf(address), version: versionOf(address), protocol: 0, port: 0 };
}

export function addressOfKey(key: ServiceKey): ServiceAddress {
  const address = formatAddress(addressOfWords(key.words));
  if (key.protocol === 0) return { address };
  return { address, protocol: key.protocol === PROTOCOLS.tcp ? 'tcp' : 'udp', port: key.port };
}

export function isSameAddress(a: ServiceKey, b: ServiceKey): boolean {
  return a.words.every((word, index) => word === b.words[index]);
}

/** Of an address that balances nothing by itself. */
export function plainFields(): ServiceFields {
  const {
    address: _,
    port: __,
    protocol: ___,
    reserved: ____,
    ...fields
  } = serviceCodec.read(new DataView(new ArrayBuffer(serviceCodec.sizeBytes)), 0);
  return { ...fields, client_mask: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff] };
}

/** Of a service whose flows the slots of `range` spread. */
export function serviceFields(
  service: ServiceAddress & FlowKeyOptions,
  pool: number,
  range: SlotRange,
): ServiceFields {
  const fields = plainFields();
  fields.slot_base = range.base;
  fields.slot_count = range.count;
  fields.pool = pool;
  fields.idle_time = flowTime(service.idleTimeoutMs ?? 0);
  if (service.protocol === undefined) fields.flags |= ServiceFlag.SERVICE_ANY_PORT;
  if (service.ignoreSourcePort) fields.flags |= ServiceFlag.SERVICE_NO_SOURCE_PORT;
  if (service.affinity !== undefined) {
    const version = versionOf(parseAddress(service.address));
    const length = version === 4 ? service.affinity.prefixLength4 : service.affinity.prefixLength6;
    fields.flags |= ServiceFlag.SERVICE_CLIENT_AFFINITY;
    fields.client_mask = wordsOf(maskOf(version, length));
  }
  if (service.quic !== undefined) {
    const { configRotation, serverIdBytes } = service.quic;
    if (!(configRotation >= 0 && configRotation <= 6)) throw new RangeError('configRotation must be 0-6');
    if (!(serverIdBytes >= 1 && serverIdBytes <= 4)) throw new RangeError('serverIdBytes must be 1-4');
    fields.flags |= ServiceFlag.SERVICE_QUIC;
    fields.quic_config_rotation = configRotation;
    fields.quic_server_id_bytes = serverIdBytes;
  }
  return fields;
}

/** In the data plane's flow time, rounded up: at least what was asked for. */
export function flowTime(durationMs: number): number {
  return Math.ceil((durationMs * 1e6) / 2 ** Limit.LIMIT_FLOW_TIME_SHIFT);
}
