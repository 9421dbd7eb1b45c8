// What the TCP of a host would make of a frame: the connection it is of, also of what a query carries.

/** UDP port of queries; filter_server.ts has the same for the program. */
const QUERY_PORT = 7445;
const QUERY_HEADER_BYTES = 64;
const SYN_AND_ACK = 0x12;
const SYN = 0x02;

export type TcpOfFrame = { connection: string; begins: boolean };

/** Undefined where it is no TCP, or a later fragment. */
export function tcpOf(frame: Uint8Array): TcpOfFrame | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let at = 12;
  while (at + 4 <= frame.length && [0x8100, 0x88a8].includes(view.getUint16(at))) at += 4;
  return tcpOfDatagram(frame.subarray(at + 2));
}

function tcpOfDatagram(datagram: Uint8Array): TcpOfFrame | undefined {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const version = datagram[0]! >> 4;
  if ((version !== 4 && version !== 6) || datagram.length < (version === 4 ? 20 : 40)) return undefined;
  const [protocol, addresses, bytes] =
    version === 4
      ? [datagram[9], datagram.subarray(12, 20), (datagram[0]! & 15) * 4]
      : [datagram[6], datagram.subarray(8, 40), 40];
  if (version === 4 && (view.getUint16(6) & 0x1fff) !== 0) return undefined;
  if (protocol === 17 && datagram.length >= bytes + 8 && view.getUint16(bytes + 2) === QUERY_PORT)
    return tcpOfDatagram(datagram.subarray(bytes + 8 + QUERY_HEADER_BYTES));
  if (protocol !== 6 || datagram.length < bytes + 14) return undefined;
  const ports = datagram.subarray(bytes, bytes + 4);
  return {
    connection: Buffer.concat([addresses, ports]).toString('hex'),
    begins: (datagram[bytes + 13]! & SYN_AND_ACK) === SYN,
  };
}
