// Owns TransportIDs of iSCSI initiator ports (SPC-4 section 7.6.4.6). Knows no reservation.

import { bytesOfHex, field, hexField, setField } from './bytes.ts';
import type { InitiatorPort } from './command.ts';

const ISCSI = 0x05;
const HEAD_BYTES = 4;
/** The least ADDITIONAL LENGTH. */
const NAME_FIELD_BYTES_MIN = 20;
/** RFC 7143 section 4.2.7: 223 bytes, the separator, the ISID in digits, NUL. */
const NAME_FIELD_BYTES_MAX = 244;
const SEPARATOR = ',i,0x';

export function encodeTransportId(initiator: InitiatorPort): Uint8Array {
  const isid = initiator.isid === undefined ? '' : `${SEPARATOR}${hexField(initiator.isid, 0, 6)}`;
  const text = new TextEncoder().encode(`${initiator.name}${isid}`);
  const size = Math.max(NAME_FIELD_BYTES_MIN, (text.length + 4) & ~3);
  const bytes = new Uint8Array(HEAD_BYTES + size);
  bytes[0] = ISCSI | (initiator.isid === undefined ? 0 : 0x40);
  setField(bytes, 2, 2, size);
  bytes.set(text, HEAD_BYTES);
  return bytes;
}

/** The initiator port and how many bytes it took; nothing for what is no TransportID of iSCSI. */
export function decodeTransportId(
  list: Uint8Array,
  offset: number,
): { readonly initiator: InitiatorPort; readonly bytes: number } | undefined {
  if (offset + HEAD_BYTES > list.length) return undefined;
  const first = list[offset] ?? 0;
  const size = field(list, offset + 2, 2);
  const start = offset + HEAD_BYTES;
  if ((first & 0x3f) !== ISCSI || list[offset + 1] !== 0) return undefined;
  if (size < NAME_FIELD_BYTES_MIN || size > NAME_FIELD_BYTES_MAX || size % 4 !== 0) return undefined;
  if (start + size > list.length) return undefined;
  const end = list.indexOf(0, start);
  if (end <= start || end >= start + size) return undefined;
  const initiator = portOf(String.fromCharCode(...list.subarray(start, end)), first >> 6);
  return initiator === undefined ? undefined : { initiator, bytes: HEAD_BYTES + size };
}

/** Format 00b is the name of the device, 01b the name of the port, with the ISID. */
function portOf(text: string, format: number): InitiatorPort | undefined {
  if (format === 0) return text.includes(',') ? undefined : { name: text };
  const [name = '', isid = '', ...more] = text.split(SEPARATOR);
  if (format !== 1 || more.length > 0 || name === '' || !/^[0-9a-fA-F]{12}$/.test(isid)) return undefined;
  return { name, isid: bytesOfHex(isid.toLowerCase()) };
}
