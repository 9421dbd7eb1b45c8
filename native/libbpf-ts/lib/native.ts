// Finds and loads the addon, and writes down its shape. Nothing outside lib/ sees these objects: the addon trusts
// that arguments were checked, beyond what memory safety rests on.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

type View = Uint8Array;

export interface NativeObject {
  close(): void;
  btf(): Uint8Array | undefined;
  programs(): { name: string; section: string; type: number; autoload: boolean }[];
  maps(): {
    name: string;
    type: number;
    keySize: number;
    valueSize: number;
    maxEntries: number;
    flags: number;
    btfKeyTypeId: number;
    btfValueTypeId: number;
    internal: boolean;
  }[];
  setAutoload(index: number, load: boolean): number;
  setMaxEntries(index: number, count: number): number;
  setPinPath(index: number, path: string): number;
  reuse(index: number, fd: number): number;
  initialValue(index: number): Uint8Array | undefined;
  setInitialValue(index: number, bytes: View): number;
  load(): { programs: number[]; maps: number[] };
}

export interface NativeMapInfo {
  type: number;
  id: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  name: string;
  btfId: number;
  btfKeyTypeId: number;
  btfValueTypeId: number;
  valueBytes: number;
}

interface BatchStatus {
  status: number;
  count: number;
}

export interface NativeMap {
  close(): void;
  fd(): number;
  info(): NativeMapInfo;
  lookup(key: View, out: View, flags: number): number;
  update(key: View, value: View, flags: number): number;
  delete(key: View): number;
  take(key: View, out: View): number;
  nextKey(key: View | undefined, out: View): number;
  lookupBatch(from: View | undefined, to: View, keys: View, values: View, count: number): BatchStatus;
  takeBatch(from: View | undefined, to: View, keys: View, values: View, count: number): BatchStatus;
  updateBatch(keys: View, values: View, count: number, flags: number): BatchStatus;
  deleteBatch(keys: View, count: number): BatchStatus;
  mmap(length: number): ArrayBuffer | number;
  freeze(): number;
  pin(path: string): number;
}

export interface NativeProgramInfo {
  id: number;
  type: number;
  name: string;
  tag: Uint8Array;
  loadTimeNs: bigint;
  createdByUid: number;
  xlatedSizeBytes: number;
  jitedSizeBytes: number;
  gplCompatible: boolean;
  ifindex: number;
  btfId: number;
  runTimeNs: bigint;
  runCount: bigint;
  recursionMisses: bigint;
  verifiedInstructions: number;
  mapIds: number[];
}

export interface NativeProgram {
  close(): void;
  fd(): number;
  info(): NativeProgramInfo;
  pin(path: string): number;
  testRun(
    data: View | undefined,
    dataOut: View | undefined,
    ctx: View | undefined,
    ctxOut: View | undefined,
    repeat: number,
    flags: number,
    cpu: number,
    batchSize: number,
    /** Becomes retval, durationNs, dataOutSize, ctxOutSize. */
    result: Uint32Array,
  ): number;
}

export interface NativeLink {
  close(): void;
  fd(): number;
  info(): { id: number; type: number; programId: number; ifindex: number };
  update(programFd: number, expectedFd: number | undefined): number;
  detach(): number;
  pin(path: string): number;
}

export interface NativeRingBuffer {
  close(): void;
  drain(maxRecords: number): { data: Uint8Array; offsets: Uint32Array; count: number } | number;
  startWatch(onReadable: () => void): number;
  stopWatch(): void;
  setRef(held: boolean): void;
}

interface Addon {
  Object: new (bytes: View, name: string) => NativeObject;
  Map: new (fd: number) => NativeMap;
  Program: new (fd: number) => NativeProgram;
  Link: new (fd: number) => NativeLink;
  RingBuffer: new (fd: number) => NativeRingBuffer;
  createMap(
    type: number,
    name: string,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    flags: number,
    innerMapFd: number | undefined,
    numaNode: number | undefined,
  ): number;
  attachXdp(
    programFd: number,
    target: string | number,
    flags: number,
    netns: string,
    replace: boolean,
  ): number;
  queryXdp(
    target: string | number,
    netns: string,
  ): { mode: number; programId: number; nativeId: number; genericId: number; offloadId: number };
  duplicate(fd: number): number;
  openPinned(path: string, kind: 'prog' | 'map' | 'link'): number;
  openById(id: number, kind: 'prog' | 'map'): number;
  btfById(id: number): Uint8Array | number;
  possibleCpus(): number;
  libbpfVersion(): string;
  loadDrop(): number;
  probeProgramType(type: number): number;
  probeMapType(type: number): number;
  probeHelper(type: number, helper: number): number;
}

function loadAddon(): Addon {
  const above = dirname(dirname(fileURLToPath(import.meta.url)));
  const root = basename(above) === 'dist' ? dirname(above) : above;
  const candidates = [root, join(root, '..', '..')].map((dir) =>
    join(dir, 'build', 'Release', 'libbpf_ts.node'),
  );
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new Error(
      `libbpf-ts: the native addon is not built; looked for ${candidates.join(' and ')}. ` +
        `Build it with \`npm run build:native\` in ${root} (needs cmake, a C++20 compiler and libbpf-dev).`,
    );
  }
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new Error(`libbpf-ts: ${path} does not load; is libbpf (libbpf1) installed? ${String(cause)}`, {
      cause,
    });
  }
}

export const native: Addon = loadAddon();
