// Owns reading pcapng as draft-ietf-opsawg-pcapng-02 describes it, section by section; shares nothing with the writer.
// Throws where the file is not what the draft allows.

export type ReadPacket = {
  interfaceName: string;
  ticks: bigint;
  capturedBytes: number;
  originalBytes: number;
  data: Uint8Array;
  options: Map<number, Buffer[]>;
};

export type ReadFile = {
  application: string;
  interfaces: { linktype: number; snaplen: number; name: string; tsresol: number }[];
  packets: ReadPacket[];
};

export function readPcapng(file: Buffer): ReadFile {
  const result: ReadFile = { application: '', interfaces: [], packets: [] };
  let offset = 0;
  while (offset < file.length) {
    const type = file.readUInt32LE(offset);
    const length = file.readUInt32LE(offset + 4);
    if (length % 4 !== 0 || length < 12) throw new Error(`block of ${length} bytes`);
    if (file.readUInt32LE(offset + length - 4) !== length) throw new Error('lengths of a block differ');
    const body = file.subarray(offset + 8, offset + length - 4);
    if (offset === 0 && type !== 0x0a0d0d0a) throw new Error('no section header');
    readBlock(result, type, body, offset);
    offset += length;
  }
  return result;
}

function readBlock(result: ReadFile, type: number, body: Buffer, offset: number): void {
  if (type === 0x0a0d0d0a) {
    if (offset !== 0) throw new Error('a second section');
    if (body.readUInt32LE(0) !== 0x1a2b3c4d) throw new Error('byte order');
    if (body.readUInt16LE(4) !== 1 || body.readUInt16LE(6) !== 0) throw new Error('version');
    if (body.readBigInt64LE(8) !== -1n) throw new Error('section length');
    result.application = readOptions(body.subarray(16)).get(4)![0]!.toString();
  } else if (type === 1) {
    const options = readOptions(body.subarray(8));
    if (body.readUInt16LE(2) !== 0) throw new Error('reserved');
    result.interfaces.push({
      linktype: body.readUInt16LE(0),
      snaplen: body.readUInt32LE(4),
      name: options.get(2)![0]!.toString(),
      tsresol: options.get(9)![0]!.readUInt8(0),
    });
  } else if (type === 6) {
    const described = result.interfaces[body.readUInt32LE(0)];
    if (described === undefined) throw new Error('a packet of an interface that is not described');
    const capturedBytes = body.readUInt32LE(12);
    const padded = Math.ceil(capturedBytes / 4) * 4;
    if (body.subarray(20 + capturedBytes, 20 + padded).some((byte) => byte !== 0)) throw new Error('padding');
    result.packets.push({
      interfaceName: described.name,
      ticks: (BigInt(body.readUInt32LE(4)) << 32n) | BigInt(body.readUInt32LE(8)),
      capturedBytes,
      originalBytes: body.readUInt32LE(16),
      data: body.subarray(20, 20 + capturedBytes),
      options: readOptions(body.subarray(20 + padded)),
    });
  } else {
    throw new Error(`block type ${type}`);
  }
}

function readOptions(bytes: Buffer): Map<number, Buffer[]> {
  const options = new Map<number, Buffer[]>();
  let offset = 0;
  for (;;) {
    const code = bytes.readUInt16LE(offset);
    const length = bytes.readUInt16LE(offset + 2);
    if (code === 0) {
      if (length !== 0 || offset + 4 !== bytes.length) throw new Error('end of options');
      return options;
    }
    options.set(code, [...(options.get(code) ?? []), bytes.subarray(offset + 4, offset + 4 + length)]);
    offset += 4 + Math.ceil(length / 4) * 4;
  }
}
