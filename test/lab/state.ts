// Owns what is remembered of a lab outside its namespaces: its size, who holds it and the processes it started, so that
// another process can take down a lab whose own ended, by plan or by crash. And the file system that pins live in.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ROUTES, STORES } from './plan.ts';
import { run } from './shell.ts';

const ROOT = '/run/holdfast-lab';

/** A process id alone may be another process's by now; with the start time it is not. */
const identitySchema = z.object({ pid: z.int().positive(), startTicks: z.string() });
export type ProcessIdentity = z.infer<typeof identitySchema>;

const stateSchema = z.object({
  version: z.literal(1),
  size: z.object({
    name: z.string(),
    clients: z.int(),
    muxes: z.int(),
    backends: z.int(),
    store: z.enum(STORES).optional(),
    routes: z.enum(ROUTES).optional(),
    flowEntries: z.int().optional(),
  }),
  /** The process that the lab ends with; absent where it is to stay up. */
  owner: identitySchema.optional(),
  /** Whether everything came up. */
  complete: z.boolean(),
  processes: z.array(identitySchema),
  /** The pump of each impaired link, by node. */
  pumps: z.record(z.string(), identitySchema).default({}),
});
export type LabState = z.infer<typeof stateSchema>;

export function labDirectory(labName: string): string {
  return join(ROOT, labName);
}

export function pinDirectory(labName: string): string {
  return join(labDirectory(labName), 'bpf');
}

export function labNames(): string[] {
  return existsSync(ROOT) ? readdirSync(ROOT) : [];
}

export function readState(labName: string): LabState | undefined {
  const path = join(labDirectory(labName), 'state.json');
  if (!existsSync(path)) return undefined;
  const parsed = stateSchema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  if (!parsed.success)
    throw new Error(`${path} is not a state of this lab's version`, { cause: parsed.error });
  return parsed.data;
}

export function writeState(state: LabState): void {
  const directory = labDirectory(state.size.name);
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'state.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/** A BPF file system of the lab's own: unmounting it drops all pins at once. Repeating it does nothing. */
export function mountPins(labName: string): string {
  const directory = pinDirectory(labName);
  if (isMounted(directory)) return directory;
  mkdirSync(directory, { recursive: true });
  run('mount', ['-t', 'bpf', 'bpf', directory]);
  return directory;
}

export function removeState(labName: string): void {
  const pins = pinDirectory(labName);
  while (isMounted(pins)) run('umount', [pins]);
  rmSync(labDirectory(labName), { recursive: true, force: true });
  if (existsSync(ROOT) && readdirSync(ROOT).length === 0) rmSync(ROOT, { recursive: true, force: true });
}

export function isMounted(directory: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8').includes(` ${directory} `);
}
