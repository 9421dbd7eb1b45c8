import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  LINE_BYTES_MAX,
  REPLY_BYTES_MAX,
  type Reply,
  ReplyReader,
  textOf,
} from '../../../control/route/bird/reply_codec.ts';
import {
  parseBfdSessions,
  parseProtocols,
  parseRouteCounts,
  parseVersion,
} from '../../../control/route/bird/tables_codec.ts';

// As BIRD 2.0.12 of Debian 12 said it, byte for byte; addresses changed.
const STATUS = `1000-BIRD 2.0.12
1011-Router ID is 192.0.2.1
 Hostname is mux1
 Current server time is 2026-11-23 10:49:12.312
 Last reboot on 2026-11-23 10:49:11.904
 Last reconfiguration on 2026-11-23 10:49:11.904
0013 Daemon is up and running
`;
const PROTOCOLS = `2002-Name       Proto      Table      State  Since         Info
1002-device1    Device     ---        up     10:49:11.904  
 holdfast4  Static     master4    down   10:49:12.314  
 kernel1    Kernel     master4    up     2026-11-22    
 router4    BGP        ---        up     11:12:19.915  Established   
 router6    BGP        ---        start  11:12:18.700  Active        Socket: Connection refused
 old        BGP        ---        down   11:12:18.700  
0000 
`;
const OWN = `2002-Name       Proto      Table      State  Since         Info
1002-holdfast4  Static     master4    up     10:49:12.312  
1006-  Channel ipv4
     State:          UP
     Table:          master4
     Preference:     200
     Routes:         2 imported, 0 exported, 2 preferred
 
1002-holdfast6  Static     master6    up     10:49:12.312  
1006-  Channel ipv6
     State:          UP
     Routes:         1 imported, 3 filtered, 2 exported, 1 preferred
 
0000 
`;
const BFD = `1020-bfd1:
 IP address                Interface  State      Since         Interval  Timeout
 2001:db8:1:21::1          eth0       Up         11:12:18.756    0.050    0.150
 198.51.100.1              ---        Down       11:12:18.757    1.000    0.000
0000 
`;

function read(text: string): Reply[] {
  return new ReplyReader().feed(Buffer.from(text));
}
const one = (text: string): Reply => read(text)[0]!;

describe('replies of BIRD', () => {
  it('end with a line that has a space behind its code', () => {
    const replies = read(`0001 BIRD 2.0.12 ready.\n${STATUS}0009-a: disabled\n b: disabled\n0000 \n`);
    expect(replies.map(({ code }) => code)).toEqual([1, 13, 0]);
    expect(replies[2]!.lines).toEqual([
      { code: 9, text: 'a: disabled' },
      { code: 9, text: 'b: disabled' },
      { code: 0, text: '' },
    ]);
    expect(textOf(replies[2]!)).toBe('a: disabled\nb: disabled');
  });

  it('are the same however they come in pieces', () => {
    const text = Buffer.from(
      `0001 BIRD 2.0.12 ready.\n+<INFO> Reconfigured\n${STATUS}${PROTOCOLS}${OWN}${BFD}8002 x.conf:1:1 Fehler: ä\n`,
    );
    const whole = new ReplyReader().feed(text);
    expect(whole).toHaveLength(6);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 40 }), (cuts) => {
        const reader = new ReplyReader();
        const ends = [...cuts, text.length].sort((a, b) => a - b);
        const replies = ends.flatMap((end, index) => reader.feed(text.subarray(ends[index - 1] ?? 0, end)));
        expect(replies).toEqual(whole);
      }),
    );
  });

  it('that are no reply of BIRD are a failure that says what was said', () => {
    expect(() => read('HTTP/1.1 400 Bad Request\n')).toThrow(/is not BIRD 2/);
    expect(() => read(' a line of nothing\n')).toThrow(/is not BIRD 2/);
    expect(() => read('\n')).toThrow(/is not BIRD 2/);
  });

  it('do not end in control characters on a terminal', () => {
    expect(one('8002 \u001b[31mred\ttab\u0007\n').lines[0]!.text).toBe('?[31mred tab?');
  });

  it('are bounded: by line, by reply, by empty lines', () => {
    const reader = new ReplyReader();
    reader.feed(Buffer.alloc(LINE_BYTES_MAX, 'a'));
    expect(() => reader.feed(Buffer.from('a'))).toThrow(/more than holdfastd reads/);
    const line = Buffer.from(`1002-${'a'.repeat(1_000)}\n`);
    const feedsUntilFailure = (chunk: Buffer) => {
      const other = new ReplyReader();
      other.feed(Buffer.from('1002-x\n'));
      for (let fed = 0; fed <= REPLY_BYTES_MAX + chunk.length; fed += chunk.length) other.feed(chunk);
    };
    expect(() => feedsUntilFailure(line)).toThrow(/more than holdfastd reads/);
    expect(() => feedsUntilFailure(Buffer.alloc(4_096, '\n'))).toThrow(/more than holdfastd reads/);
  });

  it('take any bytes without another error than a failure', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
        const reader = new ReplyReader();
        try {
          for (const chunk of chunks) reader.feed(chunk);
        } catch (error) {
          expect(error).toMatchObject({ name: 'Failure' });
        }
      }),
    );
  });
});

describe('tables of BIRD', () => {
  it('name protocols, with the session of BGP and what is wrong with it', () => {
    const all = parseProtocols(one(PROTOCOLS));
    expect(all.map(({ name }) => name)).toEqual([
      'device1',
      'holdfast4',
      'kernel1',
      'router4',
      'router6',
      'old',
    ]);
    expect(all[1]).toEqual({ name: 'holdfast4', kind: 'Static', state: 'down' });
    expect(all[3]).toEqual({ name: 'router4', kind: 'BGP', state: 'up', session: 'Established' });
    expect(all[4]).toEqual({
      name: 'router6',
      kind: 'BGP',
      state: 'start',
      session: 'Active',
      detail: 'Socket: Connection refused',
    });
    expect(all[5]).toEqual({ name: 'old', kind: 'BGP', state: 'down' });
  });

  it('count routes of each protocol', () => {
    expect(parseRouteCounts(one(OWN))).toEqual(
      new Map([
        ['holdfast4', { imported: 2, exported: 0 }],
        ['holdfast6', { imported: 1, exported: 2 }],
      ]),
    );
  });

  it('have BFD sessions and a version', () => {
    expect(parseBfdSessions(one(BFD))).toEqual([
      { peer: '2001:db8:1:21::1', interface: 'eth0', state: 'Up', intervalMs: 50, timeoutMs: 150 },
      { peer: '198.51.100.1', interface: '---', state: 'Down', intervalMs: 1_000, timeoutMs: 0 },
    ]);
    expect(parseBfdSessions(one('9001 There is no BFD protocol running\n'))).toEqual([]);
    expect(parseVersion(one(STATUS))).toBe('2.0.12');
  });
});
