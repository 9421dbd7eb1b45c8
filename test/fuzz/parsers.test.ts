// Fuzzes the programs of bpf/ on the host, with sanitizers: the harnesses are in parsers/. The verifier proves that no
// program reads past a packet; this finds where one would be stopped, and wrong answers that are no wrong accesses.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { CORPUS } from '../bpf/lib/corpus.ts';
import { WIRE_CORPUS } from '../bpf/lib/wire_corpus.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const OUT = join(ROOT, 'out/fuzz');
const SEEDS = join(OUT, 'seeds');
const SECONDS = process.env.HOLDFAST_LONG === '1' ? 300 : 20;
const PLANTED_SECONDS = 20;
const PACKET_BYTES_MAX = 2048;

const FLAGS = [
  '-O1',
  '-g',
  '-fsanitize=address,undefined,fuzzer',
  // Headers of a packet stand where they stand, and BPF allows that; shifts into the sign bit are what compilers agree on.
  '-fno-sanitize=alignment,shift-base',
  '-fno-sanitize-recover=undefined',
  '-Wall',
  '-Werror',
  '-Wno-unused-function',
  '-Wno-unused-parameter',
];

function build(target: string, bpf = join(ROOT, 'bpf'), name = target): string {
  const binary = join(OUT, name);
  const here = join(ROOT, 'test/fuzz/parsers');
  const includes = [join(here, 'shim'), here, bpf].map((path) => `-I${path}`);
  const made = spawnSync('clang', [...FLAGS, ...includes, join(here, `${target}.fuzz.c`), '-o', binary], {
    encoding: 'utf8',
  });
  if (made.error !== undefined) throw new Error('clang is missing', { cause: made.error });
  if (made.status !== 0)
    throw new Error(`${target}: cannot be built (libFuzzer: package libclang-rt-14-dev)\n${made.stderr}`);
  return binary;
}

interface Fuzzed {
  readonly status: number | null;
  readonly log: string;
  readonly crashes: string[];
}

function fuzz(binary: string, seconds: number): Fuzzed {
  const crashes = `${binary}-crashes`;
  const found = `${binary}-corpus`;
  rmSync(crashes, { recursive: true, force: true });
  rmSync(found, { recursive: true, force: true });
  mkdirSync(crashes, { recursive: true });
  mkdirSync(found, { recursive: true });
  const limits = [
    `-max_total_time=${seconds}`,
    `-max_len=${PACKET_BYTES_MAX}`,
    '-timeout=10',
    '-rss_limit_mb=1024',
  ];
  const run = spawnSync(
    binary,
    [...limits, `-artifact_prefix=${crashes}/`, '-print_final_stats=1', found, SEEDS],
    {
      encoding: 'utf8',
      maxBuffer: 64 << 20,
      timeout: (seconds + 60) * 1000,
    },
  );
  return { status: run.status, log: run.stderr, crashes: readdirSync(crashes) };
}

const executed = ({ log }: Fuzzed): number => Number(/stat::number_of_executed_units: (\d+)/.exec(log)?.[1]);

describe('the programs on the host', () => {
  beforeAll(() => {
    rmSync(SEEDS, { recursive: true, force: true });
    mkdirSync(SEEDS, { recursive: true });
    for (const frame of [...CORPUS, ...WIRE_CORPUS])
      writeFileSync(join(SEEDS, createHash('sha1').update(frame).digest('hex')), frame);
  });

  it.each(['mux', 'decap'])('%s reads nothing outside of a packet, and judges each once', (target) => {
    const run = fuzz(build(target), SECONDS);
    expect(run.crashes, run.log.slice(-4000)).toEqual([]);
    expect(run.status, run.log.slice(-4000)).toBe(0);
    expect(executed(run)).toBeGreaterThan(10 * CORPUS.length);
  });

  it.each([
    [
      'mux',
      'parse.h',
      'a missing bounds check of the ports',
      /if \(\(void \*\)\(ports \+ 1\) > cursor->end\)\s+return PARSE_MALFORMED;/,
    ],
    [
      'mux',
      'quic.h',
      'a missing bounds check of a connection ID',
      /if \(\(void \*\)dcid [^;]*> end\)\s+return 0;/,
    ],
    [
      'mux',
      'read.h',
      'a missing bounds check of what an in-band header carries',
      /if \(\(void \*\)\(first \+ 1\) > cursor\.end\)\s+return DROP_ASK_SIZE;/,
    ],
    [
      'mux',
      'receive.h',
      'a missing bounds check of a plain packet behind an in-band header',
      /\(void \*\)\(ip \+ 1\) > cursor\.end \|\| /,
    ],
    [
      'decap',
      'parse.h',
      'a missing bounds check of a VLAN tag',
      /if \(\(void \*\)\(vlan \+ 1\) > cursor->end\)\s+return -1;/,
    ],
  ])('%s: fuzzing finds, in %s, %s', (target, file, _, check) => {
    const planted = join(OUT, 'planted');
    rmSync(planted, { recursive: true, force: true });
    cpSync(join(ROOT, 'bpf'), planted, { recursive: true });
    const source = readFileSync(join(planted, file), 'utf8');
    const changed = source.replace(check, '');
    expect(changed.length, 'the check is where this test looks for it').toBeLessThan(source.length);
    writeFileSync(join(planted, file), changed);
    const run = fuzz(build(target, planted, 'planted-program'), PLANTED_SECONDS);
    expect(run.log).toMatch(/heap-buffer-overflow/);
    expect(run.crashes.length).toBeGreaterThan(0);
  });
});
