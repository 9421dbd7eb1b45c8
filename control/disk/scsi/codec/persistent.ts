// Owns the layout of the parameter data of PERSISTENT RESERVE IN and OUT (SPC-4 sections 6.15 and 6.16). Decides nothing
// about reservations.

import { bytesOfHex, field, hexField, joined, setField } from './bytes.ts';
import type { InitiatorPort } from './command.ts';
import { decodeTransportId, encodeTransportId } from './transport_id.ts';

/** Sixteen hexadecimal digits. */
export type ReservationKey = string;
export const NO_KEY: ReservationKey = '0000000000000000';

/** TransportIDs in one list. */
export const TRANSPORT_IDS_MAX = 256;
export const PERSISTENT_LIST_BYTES = 24;
/** A longer list is refused before it is read. */
export const PERSISTENT_LIST_BYTES_MAX = 64 * 1024;

export interface PersistentParameters {
  readonly key: ReservationKey;
  /** SERVICE ACTION RESERVATION KEY. */
  readonly serviceActionKey: ReservationKey;
  readonly allTargetPorts: boolean;
  readonly aptpl: boolean;
  /** Of SPEC_I_PT; nothing without that bit. */
  readonly initiators: readonly InitiatorPort[] | undefined;
}

export interface MoveParameters {
  readonly key: ReservationKey;
  readonly serviceActionKey: ReservationKey;
  readonly unregister: boolean;
  readonly aptpl: boolean;
  readonly targetPort: number;
  readonly initiator: InitiatorPort;
}

export type Refused = { readonly ok: false; readonly why: 'length' | 'field'; readonly byte: number };
export type Decoded<T> = { readonly ok: true; readonly value: T } | Refused;

const refusedLength: Refused = { ok: false, why: 'length', byte: 0 };
const refusedField = (byte: number): Refused => ({ ok: false, why: 'field', byte });

const SPEC_I_PT = 0x08;
const ALL_TG_PT = 0x04;
const APTPL = 0x01;

/** The basic parameter list; of exactly 24 bytes unless SPEC_I_PT adds to it (SPC-4 section 6.16.1). */
export function decodePersistentParameters(list: Uint8Array): Decoded<PersistentParameters> {
  if (list.length < PERSISTENT_LIST_BYTES) return refusedLength;
  const flags = list[20] ?? 0;
  if ((flags & SPEC_I_PT) === 0 && list.length !== PERSISTENT_LIST_BYTES) return refusedLength;
  let initiators: readonly InitiatorPort[] | undefined;
  if ((flags & SPEC_I_PT) !== 0) {
    if (list.length < PERSISTENT_LIST_BYTES + 4) return refusedLength;
    if (PERSISTENT_LIST_BYTES + 4 + field(list, 24, 4) !== list.length) return refusedLength;
    const decoded = decodeTransportIds(list, PERSISTENT_LIST_BYTES + 4);
    if (!decoded.ok) return decoded;
    initiators = decoded.value;
  }
  return {
    ok: true,
    value: {
      key: hexField(list, 0, 8),
      serviceActionKey: hexField(list, 8, 8),
      allTargetPorts: (flags & ALL_TG_PT) !== 0,
      aptpl: (flags & APTPL) !== 0,
      initiators,
    },
  };
}

function decodeTransportIds(list: Uint8Array, from: number): Decoded<readonly InitiatorPort[]> {
  const initiators: InitiatorPort[] = [];
  for (let at = from; at < list.length; ) {
    const decoded = decodeTransportId(list, at);
    if (decoded === undefined || initiators.length === TRANSPORT_IDS_MAX) return refusedField(at);
    initiators.push(decoded.initiator);
    at += decoded.bytes;
  }
  return { ok: true, value: initiators };
}

/** SPC-4 section 6.16.4. */
export function decodeMoveParameters(list: Uint8Array): Decoded<MoveParameters> {
  if (list.length < PERSISTENT_LIST_BYTES) return refusedLength;
  if (PERSISTENT_LIST_BYTES + field(list, 20, 4) !== list.length) return refusedLength;
  const decoded = decodeTransportId(list, PERSISTENT_LIST_BYTES);
  if (decoded === undefined || PERSISTENT_LIST_BYTES + decoded.bytes !== list.length)
    return refusedField(PERSISTENT_LIST_BYTES);
  const flags = list[17] ?? 0;
  return {
    ok: true,
    value: {
      key: hexField(list, 0, 8),
      serviceActionKey: hexField(list, 8, 8),
      unregister: (flags & 0x02) !== 0,
      aptpl: (flags & APTPL) !== 0,
      targetPort: field(list, 18, 2),
      initiator: decoded.initiator,
    },
  };
}

function withHead(generation: number, body: Uint8Array): Uint8Array {
  const head = new Uint8Array(8);
  setField(head, 0, 4, generation);
  setField(head, 4, 4, body.length);
  return joined(head, body);
}

export function encodeKeys(generation: number, keys: readonly ReservationKey[]): Uint8Array {
  return withHead(generation, joined(...keys.map(bytesOfHex)));
}

/** `type` is missing where there is no reservation. */
export function encodeReservation(
  generation: number,
  key: ReservationKey,
  type: number | undefined,
): Uint8Array {
  if (type === undefined) return withHead(generation, new Uint8Array(0));
  const body = new Uint8Array(16);
  body.set(bytesOfHex(key), 0);
  body[13] = type;
  return withHead(generation, body);
}

/** SPC-4 section 6.15.4: compatible handling of RESERVE(6), SPEC_I_PT, ALL_TG_PT, APTPL, six types. */
export function encodeCapabilities(): Uint8Array {
  const bytes = new Uint8Array(8);
  setField(bytes, 0, 2, 8);
  bytes[2] = 0x1d; // CRH, SIP_C, ATP_C, PTPL_C
  bytes[3] = 0x81; // TMV; PTPL_A: what is registered is always kept
  bytes[4] = 0xea; // WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX
  bytes[5] = 0x01; // EX_AC_AR
  return bytes;
}

export interface FullStatus {
  readonly key: ReservationKey;
  readonly initiator: InitiatorPort;
  /** Nothing where it is registered on all target ports. */
  readonly targetPort: number | undefined;
  /** Of the reservation, if this one holds it. */
  readonly type: number | undefined;
}

export function encodeFullStatus(generation: number, all: readonly FullStatus[]): Uint8Array {
  const descriptors = all.map(({ key, initiator, targetPort, type }) => {
    const transportId = encodeTransportId(initiator);
    const head = new Uint8Array(24);
    head.set(bytesOfHex(key), 0);
    head[12] = (targetPort === undefined ? 0x02 : 0) | (type === undefined ? 0 : 0x01);
    head[13] = type ?? 0;
    setField(head, 18, 2, targetPort ?? 0);
    setField(head, 20, 4, transportId.length);
    return joined(head, transportId);
  });
  return withHead(generation, joined(...descriptors));
}
