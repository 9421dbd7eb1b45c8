// What goes to a terminal, what to a pipe; tables and their widths.
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Column, facts, table } from '../../../control/cli/table.ts';
import { PIPE, plainTerminal, terminal } from './lib/screens.ts';

describe('colours', () => {
  it('are for terminals alone', () => {
    expect(terminal(80).paint('red', 'x')).toBe('\x1b[31mx\x1b[39m');
    expect(PIPE.paint('red', 'x')).toBe('x');
  });

  it('are not for those who do not want them', () => {
    expect(terminal(80, { NO_COLOR: '1' }).hasColour).toBe(false);
    expect(terminal(80, { NO_COLOR: '' }).hasColour).toBe(true);
    expect(terminal(80, { TERM: 'dumb' }).hasColour).toBe(false);
  });

  it('are not for nothing', () => {
    expect(terminal(80).paint('red', '')).toBe('');
    expect(terminal(80).paint(undefined, 'x')).toBe('x');
  });
});

it('blocks are for terminals with UTF-8', () => {
  expect(terminal(80).hasBlocks).toBe(true);
  expect(terminal(80, { LC_ALL: 'C' }).hasBlocks).toBe(false);
  expect(terminal(80, { LC_CTYPE: 'de_DE.utf8', LANG: 'C' }).hasBlocks).toBe(true);
  expect(PIPE.hasBlocks).toBe(false);
});

type Row = { readonly name: string; readonly note: string; readonly packets: number };
const COLUMNS: readonly Column<Row>[] = [
  { head: 'NAME', cell: ({ name }) => name, narrow: 'cut', style: () => 'bold' },
  { head: 'NOTE', cell: ({ note }) => note, narrow: 'cut' },
  { head: 'PACKETS', cell: ({ packets }) => String(packets), right: true },
];
const ROWS: readonly Row[] = [
  { name: 'web', note: 'first', packets: 12 },
  { name: 'a-much-longer-name', note: '', packets: 1234567 },
];

describe('a table', () => {
  it('has no borders, numbers on the right and nothing at the ends of lines', () => {
    expect(table(PIPE, COLUMNS, ROWS)).toBe(
      [
        'NAME                NOTE   PACKETS',
        'web                 first       12',
        'a-much-longer-name         1234567',
      ].join('\n'),
    );
  });

  it('is of the same letters in colour', () => {
    const coloured = table(terminal(80), COLUMNS, ROWS);
    expect(coloured).toContain('\x1b[1mweb\x1b[22m');
    expect(stripVTControlCharacters(coloured)).toBe(table(PIPE, COLUMNS, ROWS));
  });

  it('gives way where the terminal is narrow, the widest column first', () => {
    expect(table(plainTerminal(30), COLUMNS, ROWS)).toBe(
      [
        'NAME            NOTE   PACKETS',
        'web             first       12',
        'a-much-longer…         1234567',
      ].join('\n'),
    );
  });

  it('goes on in the next line where a column is of words', () => {
    const columns: readonly Column<Row>[] = [COLUMNS[0]!, { ...COLUMNS[1]!, narrow: 'wrap' }];
    const rows: readonly Row[] = [{ name: 'web', note: '198.18.0.10 2001:db8::10 198.18.0.11', packets: 0 }];
    expect(table(plainTerminal(33), columns, rows)).toBe(
      ['NAME  NOTE', 'web   198.18.0.10 2001:db8::10', '      198.18.0.11'].join('\n'),
    );
    expect(table(plainTerminal(5), columns, rows)).toContain('2001:db8::10');
  });

  it('keeps columns readable where the terminal is much too narrow', () => {
    expect(table(plainTerminal(5), COLUMNS, ROWS)).toContain('a-much-…');
  });

  it('is never wider than the terminal where its columns can give way', () => {
    const row = fc.record({
      name: fc.stringMatching(/^[a-z0-9-]{0,63}$/),
      note: fc.stringMatching(/^\w{0,40}$/),
      packets: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(row), fc.integer({ min: 32, max: 150 }), (rows, columns) => {
        const lines = table(plainTerminal(columns), COLUMNS, rows).split('\n');
        expect(lines).toHaveLength(rows.length + 1);
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
      }),
    );
  });
});

it('facts leave out what is not known', () => {
  const named = [
    ['pool', 'web'],
    ['server id', undefined],
    ['slots', '3'],
  ] as const;
  expect(facts(PIPE, named)).toBe('pool   web\nslots  3');
});
