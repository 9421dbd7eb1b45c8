// Pins of maps are replaced as a whole: whatever moment a process dies at, one whole set is found.
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { BpfMap } from 'libbpf-ts';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { PinDirectory } from '../../control/dataplane/pins.ts';
import { run } from '../lab/shell.ts';

const MOUNT = `/run/holdfast-test-pins-${process.pid}`;
const PATH = join(MOUNT, 'role');

beforeAll(() => {
  mkdirSync(MOUNT);
});
afterAll(() => rmdirSync(MOUNT));
beforeEach(() => {
  run('mount', ['-t', 'bpf', 'bpf', MOUNT]);
  return () => run('umount', [MOUNT]);
});

const mapOf = (maxEntries: number) =>
  BpfMap.create({ type: 'array', name: 'm', keySize: 4, valueSize: 8, maxEntries });
const found = () =>
  [...(new PinDirectory(PATH).maps() ?? [])].map(([name, map]) => [name, map.info.maxEntries]);
/** Pins both maps under these names in a directory, as a process left them. */
function leave(directory: string, sizes: Record<string, number>): void {
  mkdirSync(join(PATH, directory), { recursive: true });
  for (const [name, size] of Object.entries(sizes)) mapOf(size).pin(join(PATH, directory, name));
}

it('a set is replaced by another, and removed', () => {
  const pins = new PinDirectory(PATH);
  pins.pinMaps(new Map([['a', mapOf(1)]]));
  pins.pinMaps(new Map([['b', mapOf(2)]]));
  expect(found()).toEqual([['b', 2]]);
  pins.removeMaps();
  expect(new PinDirectory(PATH).maps()).toBeUndefined();
  expect(readdirSync(PATH)).toEqual([]);
});

it.each([
  [
    'while the new set was made',
    { maps: { a: 1, b: 1 }, maps_new: { a: 2 } },
    [
      ['a', 1],
      ['b', 1],
    ],
  ],
  ['for the first time, while its set was made', { maps_new: { a: 2 } }, []],
  [
    'with the old set moved away',
    { maps_old: { a: 1, b: 1 }, maps_new: { a: 2, b: 2 } },
    [
      ['a', 2],
      ['b', 2],
    ],
  ],
  [
    'with the new set in place',
    { maps: { a: 2, b: 2 }, maps_old: { b: 1 } },
    [
      ['a', 2],
      ['b', 2],
    ],
  ],
  ['while it removed its set', { maps_old: { b: 1 } }, []],
])('a process that died %s leaves one whole set or none', (_, left, expected) => {
  for (const [directory, sizes] of Object.entries(left)) leave(directory, sizes);
  expect(found().sort()).toEqual(expected);
  // And the next one replaces it.
  new PinDirectory(PATH).pinMaps(new Map([['c', mapOf(3)]]));
  expect(found()).toEqual([['c', 3]]);
  expect(readdirSync(PATH)).toEqual(['maps']);
});
