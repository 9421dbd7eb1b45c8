// Digests, text, header fields and numbering: what lies where on the wire, by the examples of the standard.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CRC32C_START,
  crc32c,
  finishCrc32c,
  padCrc32c,
  updateCrc32c,
} from '../../../../control/disk/iscsi/codec/crc32c.ts';
import { lunNumber, NO_LUN, PduView } from '../../../../control/disk/iscsi/codec/pdu.ts';
import { serialAdd, serialDistance } from '../../../../control/disk/iscsi/codec/serial_number.ts';
import {
  encodeBinary,
  encodeText,
  parseBinary,
  parseNumber,
  parseText,
} from '../../../../control/disk/iscsi/codec/text.ts';
import { buildPdu, slowCrc32c } from '../../../lib/iscsi/wire.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g)!, (pair) => Number.parseInt(pair, 16));

describe('CRC32C', () => {
  // RFC 7143, appendix A.4, digests as they are sent.
  const ascending = Uint8Array.from({ length: 32 }, (_, at) => at);
  it.each([
    ['32 zeros', new Uint8Array(32), 'aa36918a'],
    ['32 ones', new Uint8Array(32).fill(0xff), '43aba862'],
    ['0 to 31', ascending, '4e79dd46'],
    ['31 to 0', ascending.toReversed(), '5cdb3f11'],
    [
      'a SCSI Read (10) Command PDU',
      hex(
        '01c0000000000000000000000000000014000000000004000000001400000018280000000000000002000000000000000',
      ).subarray(0, 48),
      '563a96d9',
    ],
  ])('has the digest of the standard for %s', (_, input, sent) => {
    const digest = crc32c(input);
    expect([digest & 255, (digest >>> 8) & 255, (digest >>> 16) & 255, digest >>> 24]).toEqual([
      ...hex(sent),
    ]);
  });

  it('is that of the definition, in any pieces and with any padding', () => {
    const cut = fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.nat(200), fc.nat(8));
    fc.assert(
      fc.property(cut, ([input, at, zeros]) => {
        const middle = Math.min(at, input.length);
        let crc = updateCrc32c(CRC32C_START, input, 0, middle);
        crc = padCrc32c(updateCrc32c(crc, input, middle, input.length), zeros);
        expect(finishCrc32c(crc)).toBe(slowCrc32c(Uint8Array.of(...input, ...new Uint8Array(zeros))));
      }),
    );
  });
});

describe('text', () => {
  it('is pairs that end with zeros, and may be padded with more', () => {
    expect(parseText(bytes('InitiatorName=iqn.a\0X-a.b=\0A=b=c\0\0\0'))).toEqual([
      { key: 'InitiatorName', value: 'iqn.a' },
      { key: 'X-a.b', value: '' },
      { key: 'A', value: 'b=c' },
    ]);
    expect(parseText(new Uint8Array(0))).toEqual([]);
  });

  it.each([
    ['without an end', 'A=b'],
    ['without a value', 'A\0'],
    ['without a key', '=b\0'],
    ['with a key that is none', '1=b\0'],
    ['with a key that is too long', `${'A'.repeat(64)}=b\0`],
    ['with a value that is too long', `A=${'b'.repeat(8193)}\0`],
    ['with more pairs than anybody has', 'A=b\0'.repeat(129)],
  ])('is refused %s', (_, input) => {
    expect(parseText(bytes(input))).toBeUndefined();
  });

  it('is refused when it is no UTF-8', () => {
    expect(parseText(Uint8Array.of(0x41, 0x3d, 0xff, 0x00))).toBeUndefined();
  });

  it('lies between its bounds', () => {
    expect(parseText(bytes('?????A=b\0?????'), 5, 9)).toEqual([{ key: 'A', value: 'b' }]);
    expect(parseText(bytes('A=b\0'), 0, 3)).toBeUndefined();
  });

  it('is written as it is read', () => {
    expect(
      encodeText([
        { key: 'A', value: 'ü' },
        { key: 'B', value: '' },
      ]),
    ).toEqual(bytes('A=ü\0B=\0'));
  });

  it('has numbers in decimal and hexadecimal', () => {
    const inputs = ['0', '65536', '0x10', '0X1f', '', '-1', '01', '1.5', '0x', '1e3', '9007199254740992'];
    expect(inputs.map(parseNumber)).toEqual([0, 65_536, 16, 31, ...Array(7).fill(undefined)]);
  });

  it('has binary values in hexadecimal and base64', () => {
    expect(parseBinary('0x00ff1', 3)).toEqual(Uint8Array.of(0x00, 0x0f, 0xf1));
    expect(parseBinary('0bAP8Q', 3)).toEqual(Uint8Array.of(0x00, 0xff, 0x10));
    expect(parseBinary('0BAP8=', 3)).toEqual(Uint8Array.of(0x00, 0xff));
    expect(encodeBinary(Uint8Array.of(0, 255, 16))).toBe('0x00ff10');
    for (const wrong of ['', '0x', '0b', '00ff', '0xfg', '0bAP8', '0bA===', '0x00000000'])
      expect(parseBinary(wrong, 3), wrong).toBeUndefined();
  });
});

describe('the header of a PDU', () => {
  const read = (pdu: Uint8Array, start = 0): PduView => {
    const view = new PduView();
    view.read(pdu, start, start + 48 + pdu[start + 4]! * 4);
    return view;
  };

  it('has its fields where the standard has them', () => {
    // A SCSI Command, immediate, W, ordered, to LUN 3, with 5 bytes of data.
    const pdu = read(
      hex(
        `41a20000000000050003000000000000deadbeef0000100001020304f0000001${'2a'.repeat(16)}6869000000000000`,
      ),
    );
    expect([pdu.opcode, pdu.immediate, pdu.final, pdu.flags]).toEqual([0x01, true, true, 0xa2]);
    expect([pdu.lun(), pdu.ITT, pdu.TTT, pdu.CmdSN, pdu.ExpStatSN]).toEqual([
      3, 0xdeadbeef, 4096, 0x01020304, 0xf0000001,
    ]);
    expect(pdu.data()).toEqual(hex('6869000000'));
    expect(pdu.command()).toEqual({ cdb: new Uint8Array(16).fill(0x2a), bidirectionalReadBytes: 0 });
  });

  it('has a longer CDB and the length of a bidirectional read in additional segments', () => {
    const cdb = Uint8Array.from({ length: 32 }, (_, at) => at);
    // Section 11.2.2.3: AHSLength = CDB length − 15; section 11.2.2.4: 5.
    const ahs = Uint8Array.of(0, 17, 1, 0, ...cdb.subarray(16), 0, 5, 2, 0, 0, 1, 0, 0);
    const pdu = read(buildPdu({ opcode: 1, cdb: cdb.subarray(0, 16) }, { ahs }));
    expect(pdu.command()).toEqual({ cdb, bidirectionalReadBytes: 65_536 });
  });

  it.each([
    ['of no length', [0, 0, 1, 0]],
    ['longer than the header', [0, 17, 1, 0]],
    ['of an unknown type', [0, 1, 9, 0]],
    ['with a read length that is none', [0, 1, 2, 0]],
  ])('is refused with an additional segment %s', (_, ahs) => {
    expect(read(buildPdu({ opcode: 1 }, { ahs: Uint8Array.from(ahs) })).command()).toBeUndefined();
  });

  it('names units by peripheral and flat addresses', () => {
    const numbers = [
      lunNumber(0, 0),
      lunNumber(0x00ff_0000, 0),
      lunNumber(0x4000_0000, 0),
      lunNumber(0x7fff_0000, 0),
    ];
    expect(numbers).toEqual([0, 255, 0, 0x3fff]);
    const strange = [lunNumber(0x0100_0000, 0), lunNumber(0, 1), lunNumber(1, 0), lunNumber(0xc101_0000, 0)];
    expect(strange).toEqual(Array(4).fill(NO_LUN));
  });
});

describe('sequence numbers', () => {
  it('go on behind their end', () => {
    expect(serialAdd(0xffff_ffff, 2)).toBe(1);
    expect(serialDistance(0xffff_fffe, 3)).toBe(5);
    expect(serialDistance(3, 0xffff_fffe)).toBe(-5);
    expect(serialDistance(7, 7)).toBe(0);
  });
});
