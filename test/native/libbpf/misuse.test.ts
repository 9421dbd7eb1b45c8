import { describe, expect, it } from 'vitest';
import { compiled, runChild } from './support.ts';

// Each scenario is a process of its own, see misuse_child.ts: status 0 and no signal, whatever was thrown at it.
describe('nothing a caller passes ends the process', () => {
  it.each([
    ['truncated-elf', 'all refused'],
    ['random-elf', 'survived'],
    ['wrong-arguments', 'all named'],
    ['closed-handles', 'all closed'],
    ['collected-parents', 'alive'],
    ['detached-buffers', 'survived'],
    ['mapped-memory', 'survived'],
  ])('%s', (scenario, expected) => {
    const child = runChild('misuse_child.ts', [scenario, compiled('everything')]);
    expect(child).toMatchObject({ signal: null, status: 0, stderr: '' });
    expect(child.stdout.trim()).toBe(expected);
  });

  it.each([
    ['everything', 0],
    ['everything', 800],
    ['layouts', 0],
    ['rejected', 0],
  ])('mutated copies of %s from seed %i', (name, from) => {
    const child = runChild('misuse_child.ts', ['mutated-elf', compiled(name), `${from}`, `${from + 800}`]);
    expect(child).toMatchObject({ signal: null, status: 0, stderr: '' });
    expect(child.stdout.trim()).toBe('survived');
  });
});
