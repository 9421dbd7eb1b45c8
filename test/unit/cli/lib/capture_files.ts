// Owns capture files built from their specifications: pcap (draft-ietf-opsawg-pcap) and pcapng
// (draft-ietf-opsawg-pcapng), in both byte orders.

export type Order = 'little' | 'big';

/** Numbers as [value, bytes], strings of bytes as they are. */
type Field = readonly [value: number, bytes: 2 | 4] | Uint8Array;

export function bytesOf(order: Order, fields: readonly Field[]): Uint8Array {
  return Buffer.concat(
    fields.map((field) => {
      if (field instanceof Uint8Array) return field;
      const [value, size] = field;
      const bytes = Buffer.alloc(size);
      if (order === 'little') bytes.writeUIntLE(value, 0, size);
      else bytes.writeUIntBE(value, 0, size);
      return bytes;
    }),
  );
}

export type Recorded = { readonly bytes: Uint8Array; readonly lengthBytes?: number };

export function pcap(
  packets: readonly Recorded[],
  { order = 'little' as Order, magic = 0xa1b2c3d4, linkType = 1 } = {},
): Uint8Array {
  const header = bytesOf(order, [
    [magic, 4],
    [2, 2],
    [4, 2],
    [0, 4],
    [0, 4],
    [262_144, 4],
    [linkType, 4],
  ]);
  const records = packets.map(({ bytes, lengthBytes = bytes.length }) =>
    bytesOf(order, [[1_700_000_000, 4], [123_456, 4], [bytes.length, 4], [lengthBytes, 4], bytes]),
  );
  return Buffer.concat([header, ...records]);
}

/** A block of pcapng: padded to four bytes, its length at both ends. */
export function block(order: Order, type: number, fields: readonly Field[]): Uint8Array {
  const body = bytesOf(order, fields);
  const padding = Buffer.alloc((4 - (body.length % 4)) % 4);
  const length = 12 + body.length + padding.length;
  return bytesOf(order, [[type, 4], [length, 4], body, padding, [length, 4]]);
}

export const sectionHeader = (order: Order): Uint8Array =>
  block(order, 0x0a0d0d0a, [
    [0x1a2b3c4d, 4],
    [1, 2],
    [0, 2],
    [0xffff_ffff, 4],
    [0xffff_ffff, 4],
  ]);

export const interfaceDescription = (order: Order, linkType = 1): Uint8Array =>
  block(order, 1, [
    [linkType, 2],
    [0, 2],
    [0, 4],
  ]);

/** With a comment, as a capture of ours has. */
export function enhancedPacket(
  order: Order,
  { bytes, lengthBytes = bytes.length }: Recorded,
  at = 0,
): Uint8Array {
  const comment = Buffer.from('DROP_ECN');
  const padding = Buffer.alloc((4 - (bytes.length % 4)) % 4);
  return block(order, 6, [
    [at, 4],
    [0x0006_0000, 4],
    [1, 4],
    [bytes.length, 4],
    [lengthBytes, 4],
    bytes,
    padding,
    [1, 2],
    [comment.length, 2],
    comment,
    [0, 4],
  ]);
}

export const simplePacket = (order: Order, { bytes, lengthBytes = bytes.length }: Recorded): Uint8Array =>
  block(order, 3, [[lengthBytes, 4], bytes]);

/** The packet block that enhanced packets took the place of. */
export const obsoletePacket = (order: Order, { bytes, lengthBytes = bytes.length }: Recorded): Uint8Array =>
  block(order, 2, [[0, 2], [0, 2], [0, 4], [1, 4], [bytes.length, 4], [lengthBytes, 4], bytes]);

export function pcapng(
  packets: readonly Recorded[],
  { order = 'little' as Order, linkType = 1 } = {},
): Uint8Array {
  return Buffer.concat([
    sectionHeader(order),
    interfaceDescription(order, linkType),
    ...packets.map((packet) => enhancedPacket(order, packet)),
  ]);
}
