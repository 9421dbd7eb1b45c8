// The compiled half: finds and types it. Every argument it receives has been checked by this package's TypeScript.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface NativeNetlinkSocket {
  request(message: Uint8Array, timeoutMs: number, replyLimitBytes: number): Uint8Array;
  start(
    callback: (kind: 'message' | 'overrun' | 'error', value: Uint8Array | number | undefined) => void,
  ): void;
  ref(): void;
  unref(): void;
  close(): void;
}

export interface NativeTunDevice {
  start(callback: (packet: Uint8Array | undefined, errno: number | undefined) => void): void;
  close(): void;
}

export interface NativeRawSender {
  /** 0 or an errno value. */
  send(packet: Uint8Array, destination: Uint8Array): number;
  close(): void;
}

export interface NativeFileStorage {
  memory(): ArrayBuffer;
  describe(): { type: number; local: boolean };
  addCredentials(uid: number, gid: number, groups: Uint32Array): number;
  removeCredentials(credentials: number): void;
  start(callback: (slots: Uint32Array) => void): void;
  tryNow(slot: number, credentials: number, data: Uint8Array | undefined): boolean;
  runHere(slot: number, credentials: number, data: Uint8Array | undefined): void;
  submit(slot: number, credentials: number, data: Uint8Array | undefined): void;
  expire(idleMs: number, writerIdleMs: number): void;
  state(): {
    waiting: number;
    running: number;
    inFlight: number;
    descriptors: number;
    files: number;
    credentials: number;
  };
  close(): void;
}

export interface Binding {
  readonly FileStorage: new (
    path: string,
    threads: number,
    descriptors: number,
    slots: number,
  ) => NativeFileStorage;
  fileProgramLayout(): {
    operations: Record<string, number>;
    flags: Record<string, number>;
    sizes: Record<string, number>;
  };
  readonly TunDevice: new (name: string) => NativeTunDevice;
  readonly RawSender: new (version: 4 | 6) => NativeRawSender;
  readonly NetlinkSocket: new (
    netnsPath: string | undefined,
    sibling: NativeNetlinkSocket | undefined,
    groups: readonly number[],
    receiveBufferBytes: number,
    protocol: number,
  ) => NativeNetlinkSocket;
  withNetns<T>(path: string, body: () => T): T;
  sendNotification(address: string, state: string): void;
  membarrierQuery(): number;
  membarrierGlobal(): Promise<void>;
  membarrierGlobalSync(): void;
  cpuRound(cpus: readonly number[]): Promise<void>;
  errnoName(errno: number): string;
}

const ADDON = join('build', 'Release', 'linux_sys.node');

// The addon is built at the root of whatever repository or package holds this one: the nearest build wins.
function locate(): string {
  for (let directory = import.meta.dirname; ; directory = dirname(directory)) {
    const candidate = join(directory, ADDON);
    if (existsSync(candidate)) return candidate;
    if (directory === dirname(directory)) {
      throw new Error(`${ADDON} is missing above ${import.meta.dirname}: build the native addons first`);
    }
  }
}

export const binding = createRequire(import.meta.url)(locate()) as Binding;
