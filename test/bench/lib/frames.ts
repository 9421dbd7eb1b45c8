// Owns the frames that the XDP benchmark sends: built by hand, byte by byte, apart from any codec of the product.

export type Frame = { bytes: Uint8Array; clientAddressOffset: number; clientPortOffset: number };

export type FrameOptions = { version: 4 | 6; protocol: 'tcp' | 'udp'; destination: Uint8Array; port: number };

const ETHERNET_BYTES = 14;
const PAYLOAD_BYTES = 26;
const TRANSPORT_BYTES = { tcp: 20, udp: 8 } as const;
const PROTOCOL_NUMBERS = { tcp: 6, udp: 17 } as const;

/** A whole packet of an established flow from 198.19.0.0 or 2001:db8:1:: to a service; the last byte is counted up. */
export function frame({ version, protocol, destination, port }: FrameOptions): Frame {
  const ipBytes = version === 4 ? 20 : 40;
  const transport = ETHERNET_BYTES + ipBytes;
  // UDP is padded to the length of TCP, so that all cases have frames of one size.
  const ipLength = ipBytes + TRANSPORT_BYTES.tcp + PAYLOAD_BYTES;
  const bytes = new Uint8Array(ETHERNET_BYTES + ipLength);
  const view = new DataView(bytes.buffer);
  bytes.set([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8], 0);
  if (version === 4) {
    view.setUint16(12, 0x0800);
    bytes.set([0x45, 0], ETHERNET_BYTES);
    view.setUint16(ETHERNET_BYTES + 2, ipLength);
    bytes.set([0, 0, 0x40, 0, 64, PROTOCOL_NUMBERS[protocol]], ETHERNET_BYTES + 4);
    bytes.set([198, 19, 0, 0], ETHERNET_BYTES + 12);
    bytes.set(destination, ETHERNET_BYTES + 16);
  } else {
    view.setUint16(12, 0x86dd);
    bytes.set([0x60, 0, 0, 0], ETHERNET_BYTES);
    view.setUint16(ETHERNET_BYTES + 4, ipLength - ipBytes);
    bytes.set([PROTOCOL_NUMBERS[protocol], 64], ETHERNET_BYTES + 6);
    bytes.set([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ETHERNET_BYTES + 8);
    bytes.set(destination, ETHERNET_BYTES + 24);
  }
  view.setUint16(transport + 2, port);
  if (protocol === 'tcp') bytes.set([0x50, 0x10], transport + 12);
  else view.setUint16(transport + 4, ipLength - ipBytes);
  return {
    bytes,
    clientAddressOffset: version === 4 ? ETHERNET_BYTES + 12 : ETHERNET_BYTES + 20,
    clientPortOffset: transport,
  };
}

/** The frame of repeat `repeat`, as `restore` in test/bench/bpf/harness.bpf.c makes it. */
export function frameOfRepeat(base: Frame, repeat: number, flowMask: number, addressShift = 8): Uint8Array {
  const bytes = base.bytes.slice();
  const view = new DataView(bytes.buffer);
  const flow = (Math.imul(repeat, 40503) & flowMask) >>> 0;
  // The harness adds in the byte order of the machine: carries cannot occur within these ranges.
  view.setUint32(
    base.clientAddressOffset,
    (view.getUint32(base.clientAddressOffset) + (flow >>> addressShift)) >>> 0,
  );
  view.setUint16(base.clientPortOffset, 1024 + (flow & 0xff) * 251);
  return bytes;
}

/** What is wrong with `output` as `inner` in an outer header of `kind`; undefined where nothing is. */
export function wrongEncapsulation(
  inner: Uint8Array,
  output: Uint8Array,
  kind: { version: 4 | 6; gue: boolean },
): string | undefined {
  const ipBytes = kind.version === 4 ? 20 : 40;
  const outerBytes = ipBytes + (kind.gue ? 8 : 0);
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength);
  const innerLength = inner.byteLength - ETHERNET_BYTES;
  if (output.byteLength !== inner.byteLength + outerBytes) return `is ${output.byteLength} bytes long`;
  if (view.getUint16(12) !== (kind.version === 4 ? 0x0800 : 0x86dd)) return 'has another EtherType';
  const length = kind.version === 4 ? view.getUint16(16) - ipBytes : view.getUint16(18);
  if (length !== innerLength + outerBytes - ipBytes) return `says it is ${length} bytes long inside`;
  const innerVersion = inner[ETHERNET_BYTES]! >> 4;
  const protocol = kind.gue ? 17 : innerVersion === 4 ? 4 : 41;
  if (view.getUint8(kind.version === 4 ? 23 : 20) !== protocol) return 'has another protocol';
  if (kind.version === 4) {
    let sum = 0;
    for (let at = ETHERNET_BYTES; at < ETHERNET_BYTES + ipBytes; at += 2) sum += view.getUint16(at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    if (sum !== 0xffff) return 'has a wrong header checksum';
  }
  const inside = output.subarray(ETHERNET_BYTES + outerBytes);
  if (Buffer.compare(inside, inner.subarray(ETHERNET_BYTES)) !== 0) return 'carries another packet';
  return undefined;
}
