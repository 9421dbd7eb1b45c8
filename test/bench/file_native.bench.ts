// How requests of a file protocol are best executed: the models of file_native/frames.ts, with a client on the same host.
// Files are made in memory, and read from the cache of a disk's file system: what the disk is busy with otherwise is none
// of the models' doing.
// The caller is not root. The client has a process of its own, as a real one has; both share the host's cores.
import { type ChildProcess, fork } from 'node:child_process';
import {
  chownSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Load, load } from './file_native/client.ts';
import { MODELS, type Model } from './file_native/frames.ts';
import { CALLER, type Paths } from './file_native/requests.ts';
import type { Report } from './lib/report.ts';

export const description = 'executing file requests: on the event loop, on threads of the addon, on workers';

const FILE_BYTES = 64 * 1024 * 1024;
const ROUNDS = 5;
const COMMON = { fileBytes: FILE_BYTES, readBytes: 4096, warmUpMs: 150, measureMs: 400 };

type BenchCase = { name: string; load: Omit<Load, 'port'>; unit: string; scale: number; atLeast?: number };

const CASES: readonly BenchCase[] = [
  { name: 'null-qd16', load: { ...COMMON, case: 'null', depth: 16 }, unit: 'op/s', scale: 1 },
  { name: 'getattr-qd1', load: { ...COMMON, case: 'getattr', depth: 1 }, unit: 'op/s', scale: 1 },
  {
    name: 'getattr-qd16',
    load: { ...COMMON, case: 'getattr', depth: 16 },
    unit: 'op/s',
    scale: 1,
    atLeast: 130_000,
  },
  { name: 'read-4k-qd1', load: { ...COMMON, case: 'read', depth: 1 }, unit: 'op/s', scale: 1 },
  {
    name: 'read-4k-qd16',
    load: { ...COMMON, case: 'read', depth: 16 },
    unit: 'op/s',
    scale: 1,
    atLeast: 90_000,
  },
  {
    name: 'read-1m-qd4',
    load: { ...COMMON, case: 'read', depth: 4, readBytes: 1_048_576 },
    unit: 'GB/s',
    scale: 1_048_576 / 1e9,
    atLeast: 2.5,
  },
  {
    name: 'create-qd16',
    load: { ...COMMON, case: 'create', depth: 16 },
    unit: 'op/s',
    scale: 1,
    atLeast: 16_000,
  },
];

/** The model that the file service uses; only its figures must reach anything. */
const CHOSEN: Model = 'loop';

export async function run(report: Report): Promise<void> {
  const paths = {
    read: mkdtempSync(join(tmpdir(), 'hf-file-native-')),
    make: mkdtempSync('/dev/shm/hf-file-native-'),
  };
  const samples = new Map<string, number[]>();
  try {
    prepare(paths);
    // Rounds of all models by turns: what else the host does then touches all of them.
    for (let round = 0; round < ROUNDS; round++) {
      for (const model of Object.keys(MODELS) as Model[]) {
        // HF_MODEL=loop measures one of them alone, which is quick.
        if (process.env.HF_MODEL !== undefined && process.env.HF_MODEL !== model) continue;
        const server = await Server.start(model, paths);
        try {
          for (const { name, load: spec, scale } of CASES) {
            if (model === 'workers' && spec.case === 'null') continue;
            const rate = await load({ ...spec, port: server.port });
            const key = `${name}/${model}`;
            samples.set(key, [...(samples.get(key) ?? []), rate * scale]);
          }
        } finally {
          await server.stop();
        }
      }
    }
  } finally {
    for (const path of Object.values(paths)) rmSync(path, { recursive: true });
  }
  for (const { name, unit, atLeast } of CASES) {
    for (const model of Object.keys(MODELS) as Model[]) {
      const figures = samples.get(`${name}/${model}`);
      if (figures === undefined) continue;
      const must = atLeast !== undefined && model === CHOSEN ? { must: { atLeast } } : {};
      report.add({ case: `${name}-${model}`, unit, samples: figures, ...must });
    }
  }
}

function prepare(paths: Paths): void {
  const file = openSync(join(paths.read, 'data'), 'w', 0o644);
  const block = Buffer.alloc(1_048_576, 'holdfast');
  for (let written = 0; written < FILE_BYTES; written += block.length) writeSync(file, block);
  fsyncSync(file);
  closeSync(file);
  mkdirSync(join(paths.make, 'made'));
  chownSync(join(paths.make, 'made'), CALLER.uid, CALLER.gid);
}

class Server {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(model: Model, paths: Paths): Promise<Server> {
    const child = fork(join(import.meta.dirname, 'file_native/server.ts'), [model, paths.read, paths.make], {
      execArgv: ['--conditions=source'],
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    const port = await new Promise<number>((resolve, reject) => {
      child.stdout!.once('data', (line) => resolve(Number(line)));
      child.once('exit', (code) => reject(new Error(`the server has ended: ${code}`)));
    });
    return new Server(child, port);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }
}
