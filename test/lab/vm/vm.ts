// Owns one virtual machine: a Debian kernel under qemu with a network card in a namespace of the lab, and scripts that run in
// it. It ends with the test's process, however that ends. What is mounted or proved in it is others' (workloads.ts).
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { identify } from '../processes.ts';
import { ip, ipBatch } from '../shell.ts';
import type { ProcessIdentity } from '../state.ts';
import { encodeFrame, encodeRun, FRAME, type Frame, FrameReader } from './frames.ts';
import type { VmPlace } from './place.ts';

const GUEST = fileURLToPath(new URL('../../../out/vm', import.meta.url));
const MEMORY_MB = 512;
/** On a busy machine; alone it takes 3 to 4 s. */
const BOOT_LIMIT_MS = 60_000;
const RUN_LIMIT_MS = 30_000;
/** For a script to be gone once it is killed. */
const KILL_LIMIT_MS = 5_000;
const END_LIMIT_MS = 5_000;
const CONSOLE_TAIL_BYTES = 2_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export type VmOptions = {
  readonly place: VmPlace;
  /** For its console's log. */
  readonly directory: string;
  /** More arguments of qemu, such as disks. It runs in the namespace of the place. */
  readonly devices?: readonly string[];
  /** Learns of the process, so that whoever takes the lab down can end it. */
  readonly record?: (identity: ProcessIdentity) => void;
};

export type VmOutcome = {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
};

export type VmRunOptions = { readonly limitMs?: number; readonly input?: Uint8Array };

/** A script that runs. */
export type VmScript = { readonly ended: Promise<VmOutcome>; kill(): void };

type Job = {
  out: Buffer[];
  err: Buffer[];
  bytes: number;
  ended: (exit: number) => void;
  lost: (e: Error) => void;
};

/** What is missing on this host for virtual machines, in words; undefined where they can run. */
export function missingForVms(): string | undefined {
  if (process.arch !== 'x64') return 'a host of x86_64: the guests are';
  if (userInfo().uid !== 0) return 'root';
  if (!existsSync('/dev/net/tun')) return '/dev/net/tun';
  return undefined;
}

export class Vm {
  readonly place: VmPlace;
  readonly consolePath: string;
  /** From its start until it took scripts. */
  readonly bootMs: number;
  readonly #child: ChildProcess;
  readonly #channel: VmChannel;
  readonly #exited: Promise<void>;

  private constructor(parts: {
    place: VmPlace;
    consolePath: string;
    bootMs: number;
    child: ChildProcess;
    channel: VmChannel;
    exited: Promise<void>;
  }) {
    this.place = parts.place;
    this.consolePath = parts.consolePath;
    this.bootMs = parts.bootMs;
    this.#child = parts.child;
    this.#channel = parts.channel;
    this.#exited = parts.exited;
  }

  static async boot({ place, directory, devices = [], record }: VmOptions): Promise<Vm> {
    const missing = missingForVms();
    if (missing !== undefined) throw new Error(`a virtual machine needs ${missing}`);
    if (!existsSync(join(GUEST, 'initramfs')))
      throw new Error('out/vm is missing: scripts/test lab makes it');
    mkdirSync(directory, { recursive: true });
    const consolePath = join(directory, `${place.name}.console`);
    const startedMs = performance.now();
    raiseLink(place);
    const child = launch(place, consolePath, devices);
    const exited = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (identity === undefined) throw new Error('qemu does not start: is qemu-system-x86 installed?');
    const channel = new VmChannel(child.stdio[3] as Duplex, () => tailOf(consolePath));
    try {
      record?.(identity);
      await within(BOOT_LIMIT_MS, channel.ready, () => `${place.name} did not boot: ${tailOf(consolePath)}`);
    } catch (error) {
      child.kill('SIGKILL');
      await exited;
      lowerLink(place);
      throw error;
    }
    return new Vm({ place, consolePath, bootMs: performance.now() - startedMs, child, channel, exited });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What the kernel and init said. */
  get console(): string {
    return readFileSync(this.consolePath, 'latin1');
  }

  /** Starts a script of its shell; it is killed, with all that it started, at the limit. */
  start(script: string, { limitMs = RUN_LIMIT_MS, input = new Uint8Array() }: VmRunOptions = {}): VmScript {
    const startedMs = performance.now();
    const { id, ended } = this.#channel.run(script, input);
    const kill = () => this.#channel.kill(id);
    const outcome = async (): Promise<VmOutcome> => {
      const says = () => `${this.place.name}: killed after ${limitMs} ms: ${script}`;
      let result: Omit<VmOutcome, 'elapsedMs'>;
      try {
        result = await within(limitMs, ended, says);
      } catch (error) {
        kill();
        // What waits for a server in the kernel cannot be killed: the machine can.
        await within(KILL_LIMIT_MS, ended, () => `${says()}; it does not die`).catch(() => undefined);
        throw error;
      }
      return { ...result, elapsedMs: performance.now() - startedMs };
    };
    return { ended: outcome(), kill };
  }

  async run(script: string, options: VmRunOptions = {}): Promise<VmOutcome> {
    return await this.start(script, options).ended;
  }

  /** Standard output of a script that must succeed. */
  async must(script: string, options: VmRunOptions = {}): Promise<string> {
    const { exit, stdout, stderr } = await this.run(`set -e\n${script}`, options);
    if (exit === 0) return stdout;
    const said = `${stdout.slice(-CONSOLE_TAIL_BYTES)}\n${stderr.slice(-CONSOLE_TAIL_BYTES)}`.trim();
    throw new Error(`${this.place.name}: exit status ${exit}: ${script}\n${said}`);
  }

  /** Switches it off, without a word to what it has mounted. Repeating it does nothing. */
  async end(): Promise<void> {
    this.#channel.off();
    await within(END_LIMIT_MS, this.#exited, () => 'qemu does not end').catch(() => this.kill());
    await this.#exited;
    lowerLink(this.place);
  }

  /** As a power failure would. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

class VmChannel {
  readonly ready: Promise<void>;
  readonly #socket: Duplex;
  readonly #reader = new FrameReader();
  readonly #jobs = new Map<number, Job>();
  readonly #said: () => string;
  #last = 0;
  #closed = false;

  constructor(socket: Duplex, said: () => string) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Whoever boots the machine may have given up before.
    promise.catch(() => undefined);
    this.ready = promise;
    this.#socket = socket;
    this.#said = said;
    socket.on('data', (bytes: Buffer) => {
      for (const frame of this.#reader.push(bytes)) {
        if (frame.kind === FRAME.ready) resolve();
        else this.#take(frame);
      }
    });
    // The end of qemu says the same, and comes with it.
    socket.on('error', () => {});
    socket.once('close', () => {
      this.#closed = true;
      const lost = new Error(`the machine ended: ${this.#said()}`);
      reject(lost);
      for (const job of this.#jobs.values()) job.lost(lost);
    });
  }

  run(script: string, input: Uint8Array): { id: number; ended: Promise<Omit<VmOutcome, 'elapsedMs'>> } {
    const id = ++this.#last;
    const { promise, resolve, reject } = Promise.withResolvers<Omit<VmOutcome, 'elapsedMs'>>();
    promise.catch(() => undefined);
    if (this.#closed) reject(new Error(`the machine has ended: ${this.#said()}`));
    const job: Job = {
      out: [],
      err: [],
      bytes: 0,
      lost: reject,
      ended: (exit) => {
        const text = (pieces: Buffer[]) => Buffer.concat(pieces).toString();
        resolve({ exit, stdout: text(job.out), stderr: text(job.err) });
      },
    };
    this.#jobs.set(id, job);
    this.#socket.write(encodeRun(id, script, input));
    return { id, ended: promise };
  }

  kill(id: number): void {
    this.#socket.write(encodeFrame(id, FRAME.kill));
  }

  off(): void {
    if (!this.#closed) this.#socket.end(encodeFrame(0, FRAME.off));
  }

  #take({ id, kind, body }: Frame): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    if (kind === FRAME.exit) {
      this.#jobs.delete(id);
      job.ended(body.readUInt32LE(0));
      return;
    }
    job.bytes += body.length;
    if (job.bytes > OUTPUT_BYTES_MAX) {
      this.#jobs.delete(id);
      this.kill(id);
      job.lost(new Error(`a script said more than ${OUTPUT_BYTES_MAX} bytes`));
      return;
    }
    (kind === FRAME.out ? job.out : job.err).push(body);
  }
}

function raiseLink({ netns, name, gateway4, gateway6 }: VmPlace): void {
  ipBatch(netns, [
    `tuntap add dev ${name} mode tap`,
    `addr add ${gateway4} dev ${name}`,
    `addr add ${gateway6} dev ${name} nodad`,
    `link set ${name} up`,
  ]);
}

function lowerLink({ netns, name }: VmPlace): void {
  // The namespace may be gone by now, and with it the link.
  if (existsSync(`/run/netns/${netns}`) && ip(netns, '-o link show').includes(` ${name}: `))
    ip(netns, `link del ${name}`);
}

function launch(place: VmPlace, consolePath: string, devices: readonly string[]): ChildProcess {
  const log = openSync(`${consolePath}.qemu`, 'w');
  // `setpriv` and `ip netns exec` become qemu: the process id is its own, and it is killed when ours ends.
  const child = spawn(
    'setpriv',
    [
      '--pdeathsig',
      'KILL',
      'ip',
      'netns',
      'exec',
      place.netns,
      'qemu-system-x86_64',
      ...qemuArguments(place, consolePath),
      ...devices,
    ],
    { detached: true, stdio: ['ignore', log, log, 'pipe'] },
  );
  closeSync(log);
  return child;
}

function qemuArguments(place: VmPlace, consolePath: string): string[] {
  const own = [
    `hf_name=${place.name}`,
    `hf_address=${place.address4}`,
    `hf_gateway=${withoutPrefix(place.gateway4)}`,
    `hf_address6=${place.address6}`,
    `hf_gateway6=${withoutPrefix(place.gateway6)}`,
  ];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    // KVM is not everywhere, and where it seems to be, nested, guests may hang.
    ...['-accel', 'tcg', '-m', `${MEMORY_MB}`, '-smp', '1'],
    ...['-kernel', join(GUEST, 'vmlinuz'), '-initrd', join(GUEST, 'initramfs')],
    ...['-append', `console=ttyS0 quiet loglevel=4 panic=-1 reboot=t mitigations=off ${own.join(' ')}`],
    ...['-serial', `file:${consolePath}`],
    ...[
      '-chardev',
      'socket,id=agent,fd=3',
      '-device',
      'virtio-serial-pci',
      '-device',
      'virtserialport,chardev=agent',
    ],
    // Checksums are done by the guest: XDP on the way could not finish them.
    ...['-netdev', `tap,id=link,ifname=${place.name},script=no,downscript=no,vnet_hdr=off`],
    ...['-device', `virtio-net-pci,netdev=link,mac=${place.mac},romfile=`],
    ...['-device', 'virtio-rng-pci'],
  ];
}

function withoutPrefix(address: string): string {
  return address.split('/')[0]!;
}

function tailOf(path: string): string {
  const read = (file: string) => (existsSync(file) ? readFileSync(file, 'latin1') : '');
  return `${read(path)}${read(`${path}.qemu`)}`.slice(-CONSOLE_TAIL_BYTES).trim();
}

async function within<T>(limitMs: number, promise: Promise<T>, what: () => string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(what())), limitMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
