// Owns a program in C for guests to unpack and compile: many files that include one another, always the same bytes, and what
// it must say when it runs.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const SOURCE_FILES = 180;
const PER_DIRECTORY = 20;
/** Before everything that a test makes: what is compiled is newer. */
const MODIFIED = '@1700000000';

const functionOf = (number: number) => `part${String(number).padStart(3, '0')}`;
const directoryOf = (number: number) => `module${Math.floor(number / PER_DIRECTORY)}`;

/** What the program prints. */
export const SOURCES_SAY = `${Array.from({ length: SOURCE_FILES }, (_, n) => value(n)).reduce((a, b) => (a * 31 + b) % 65_521)}\n`;

function value(number: number): number {
  return (number * 7919) % 65_521;
}

/** As a tar archive of `sources/`. */
export function sourceArchive(): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-sources-'));
  try {
    for (const [path, text] of sourceFiles()) {
      mkdirSync(join(directory, path, '..'), { recursive: true });
      writeFileSync(join(directory, path), text);
    }
    const fixed = ['--sort=name', `--mtime=${MODIFIED}`, '--owner=0', '--group=0', '--numeric-owner'];
    return execFileSync(
      'tar',
      ['-C', directory, ...fixed, '--mode=u=rwX,go=rX', '--format=gnu', '-cf', '-', 'sources'],
      { maxBuffer: 64 * 1024 * 1024 },
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function* sourceFiles(): Generator<[string, string]> {
  const numbers = Array.from({ length: SOURCE_FILES }, (_, number) => number);
  const names = numbers.map(functionOf);
  yield ['sources/Makefile', makefile()];
  yield ['sources/parts.h', `#pragma once\n${names.map((name) => `int ${name}(int);\n`).join('')}`];
  yield ['sources/main.c', main(names)];
  for (const number of numbers)
    yield [`sources/${directoryOf(number)}/${functionOf(number)}.c`, part(number)];
}

function makefile(): string {
  return `SOURCES := main.c $(sort $(wildcard module*/*.c))
program: $(SOURCES:.c=.o)
\t$(CC) -o $@ $^
%.o: %.c parts.h
\t$(CC) -I. -c -o $@ $<
`;
}

function main(names: readonly string[]): string {
  const [first, ...others] = names;
  const steps = others.map((name) => `  sum = (sum * 31 + ${name}(0)) % 65521;\n`);
  return `#include <stdio.h>
#include "parts.h"

int main(void) {
  long sum = ${first}(0);
${steps.join('')}  printf("%ld\\n", sum);
  return 0;
}
`;
}

function part(number: number): string {
  const lines = Array.from({ length: 10 + (number % 40) }, (_, line) => `  "line ${line} of ${number}",\n`);
  return `#include <stdlib.h>
#include <string.h>
#include "parts.h"

static const char *const text[] = {
${lines.join('')}};

int ${functionOf(number)}(int start) {
  size_t length = 0;
  for (size_t i = 0; i < sizeof text / sizeof *text; i++)
    length += strlen(text[i]);
  return length > 0 ? start + ${value(number)} : abs(start);
}
`;
}
