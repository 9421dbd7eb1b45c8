// What daemon and file server say to each other, in pieces of any size.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../control/file/server/filed.ts';
import {
  encodeMessage,
  type FileConfiguration,
  MessageReader,
  type ToServer,
} from '../../../control/file/server/messages.ts';

const configuration: FileConfiguration = {
  version: '1',
  addresses: ['192.0.2.1'],
  port: 2_049,
  portmapper: false,
  storages: { a: '/a', b: '/b' },
  key: '00',
  slowRequestMs: 1_000,
};

describe('messages', () => {
  it('are whole, whatever the pieces', () => {
    const said: ToServer[] = [
      { kind: 'configure', configuration },
      { kind: 'report', id: 7 },
      { kind: 'end' },
    ];
    const text = said.map(encodeMessage).join('');
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 })), (lengths) => {
        const reader = new MessageReader<ToServer>();
        const heard: ToServer[] = [];
        let at = 0;
        for (const length of [...lengths, text.length]) {
          heard.push(...reader.read(text.slice(at, at + length)));
          at += length;
        }
        expect(heard).toEqual(said);
      }),
    );
  });
});

describe('the digest of a configuration', () => {
  it('is the same in any order of its parts, and another one for any other part', () => {
    const { storages, ...rest } = configuration;
    expect(digestOf({ storages: { b: '/b', a: '/a' }, ...rest })).toBe(digestOf(configuration));
    const others: Partial<FileConfiguration>[] = [
      { version: '2' },
      { addresses: [] },
      { port: 1 },
      { portmapper: true },
      { storages: { a: '/a' } },
      { key: '01' },
      { slowRequestMs: 1 },
    ];
    const digests = others.map((it) => digestOf({ ...configuration, ...it }));
    expect(new Set([digestOf(configuration), ...digests]).size).toBe(others.length + 1);
  });
});
