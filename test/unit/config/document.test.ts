import { expect, it } from 'vitest';
import { formatDocument, parseDocument } from '../../../control/config/document.ts';

const TEXT = `
services:
  - name: web
    addresses: [198.18.0.10, "2001:db8::10"]
    protocol: tcp
    port: 80
    pool: p
pools:
  - name: p
backends:
  - {pool: p, name: b1, address: 198.18.1.1}
`;

it('fills in what has a default', () => {
  expect(parseDocument(TEXT, 'f')).toEqual({
    services: [
      { name: 'web', addresses: ['198.18.0.10', '2001:db8::10'], protocol: 'tcp', port: 80, pool: 'p' },
    ],
    pools: [{ name: 'p', slots: 65_537 }],
    backends: [{ pool: 'p', name: 'b1', address: '198.18.1.1', weight: 100, encap: 'ip' }],
  });
});

it('reads what it writes', () => {
  const document = parseDocument(TEXT, 'f');
  expect(parseDocument(formatDocument(document), 'f')).toEqual(document);
});

it('names every mistake with its line and column', () => {
  const text = TEXT.replace('port: 80', 'port: 80000')
    .replace('address: 198', 'adress: 198')
    .replace('::10', '::g');
  expect(() => parseDocument(text, 'f.yaml')).toThrow(
    expect.objectContaining({
      code: 'invalid',
      message: 'f.yaml has 4 mistakes',
      reason: [
        'f.yaml:4:30: services[0].addresses[1]: not an IPv4 or IPv6 address',
        'f.yaml:6:11: services[0].port: must be at most 65535',
        'f.yaml:11:5: backends[0].address: expected string, which is missing',
        'f.yaml:11:25: backends[0].adress: unknown; did you mean address?',
      ].join('\n'),
    }),
  );
});

it('wants protocol and port together', () => {
  expect(() => parseDocument(TEXT.replace('    port: 80\n', ''), 'f')).toThrow(
    expect.objectContaining({ reason: 'f:3:5: services[0].port: protocol and port go together' }),
  );
});
