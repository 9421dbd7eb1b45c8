// Owns the handle of a loaded program: information, pinning, test runs, and attaching to XDP.
import {
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  checkView,
  describe,
  U32_MAX,
} from './check.ts';
import { BpfError, during, ENOSPC, must } from './errors.ts';
import { Handle, openPin } from './handle.ts';
import { type ProgramType, programTypeName } from './kernel_types.ts';
import { attachXdp, type XdpAttachOptions, type XdpLink } from './link.ts';
import { type NativeProgram, native } from './native.ts';

export interface ProgramInfo {
  readonly id: number;
  readonly name: string;
  readonly type: ProgramType | `type ${number}`;
  /** SHA-1 prefix of the instructions, as hexadecimal digits. */
  readonly tag: string;
  readonly loadTimeNs: bigint;
  readonly createdByUid: number;
  readonly xlatedSizeBytes: number;
  readonly jitedSizeBytes: number;
  readonly verifiedInstructions: number;
  readonly gplCompatible: boolean;
  readonly mapIds: readonly number[];
  readonly btfId: number;
  /** Counted only while kernel.bpf_stats_enabled is 1. */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
  readonly recursionMisses: bigint;
}

/** struct xdp_md, in words. `dataEnd` defaults to the end of the packet that is given. */
export interface XdpContext {
  /** Length in bytes of the metadata at the start of `data`, before the packet. */
  dataMetaSize?: number;
  ingressIfindex?: number;
  rxQueueIndex?: number;
  egressIfindex?: number;
}

export interface TestRunOptions {
  /** The packet, or whatever the program type takes as data. */
  data?: ArrayBufferView;
  /** Room for the packet afterwards; 0 for none. Default: the length of `data` and 512 bytes. */
  dataOutSize?: number;
  /** Room for the packet that the caller has, in the place of a new one; what comes back is a part of it. */
  dataOut?: Uint8Array;
  /** The context: raw bytes, or for XDP its fields. */
  ctx?: ArrayBufferView | XdpContext;
  ctxOutSize?: number;
  /**
   * How often the program runs. The packet is not restored in between. A run that the kernel breaks off starts
   * again, so that the program can have run more often than asked. Default 1.
   */
  repeat?: number;
  /** XDP: let the verdicts happen to real frames. The kernel then returns no data. */
  liveFrames?: boolean;
  /** Live frames handled at once. */
  batchSize?: number;
  /** Run on this CPU; only for program types that support it. */
  cpu?: number;
}

export interface TestRunResult {
  readonly retval: number;
  /** Mean duration of one run. */
  readonly durationNs: number;
  readonly dataOut?: Uint8Array;
  readonly ctxOut?: Uint8Array;
}

const XDP_MD_BYTES = 24;
/** What a program can add in front and behind with bpf_xdp_adjust_*. */
const GROWTH_BYTES = 512;
const MAX_DATA_BYTES = 1 << 20;
const F_RUN_ON_CPU = 1;
const F_LIVE_FRAMES = 2;
/** Of the run at hand, which nothing can interrupt. */
const RESULT = new Uint32Array(4);

export class Program extends Handle<NativeProgram> {
  readonly name: string;

  /** @internal */
  constructor(resource: NativeProgram, name: string) {
    super(resource, native.Program, `program ${String(name)}`);
    this.name = name;
  }

  /** Opens a program that was pinned to a BPF file system. */
  static openPinned(path: string): Program {
    const resource = new native.Program(openPin(checkString(path, 'path'), 'prog'));
    return new Program(resource, during('open pinned', path, () => resource.info()).name);
  }

  /** Opens a loaded program by its id in the kernel; ENOENT where there is none. */
  static openById(id: number): Program {
    const fd = must(native.openById(checkInteger(id, 'id', 1, U32_MAX), 'prog'), 'open', `program ${id}`);
    const resource = new native.Program(fd);
    return new Program(resource, during('open', `program ${id}`, () => resource.info()).name);
  }

  get fd(): number {
    return this.native.fd();
  }

  info(): ProgramInfo {
    const { ifindex: _, ...info } = during('read the information of', this.subject, () => this.native.info());
    return { ...info, type: programTypeName(info.type), tag: Buffer.from(info.tag).toString('hex') };
  }

  /** Pins to a path on a BPF file system; the program then outlives this process. */
  pin(path: string): void {
    must(this.native.pin(checkString(path, 'path')), `pin to ${path}`, this.subject);
  }

  /** Runs the program once or more in the kernel, without attaching it. */
  testRun(options: TestRunOptions = {}): TestRunResult {
    const given = checkOptions(options, 'options');
    const live = given.liveFrames === true;
    const data = given.data === undefined ? undefined : checkView(given.data, 'data');
    const ctx = given.ctx === undefined ? undefined : contextBytes(given.ctx, data?.byteLength ?? 0);
    const room = live ? 0 : data === undefined ? 0 : data.byteLength + GROWTH_BYTES;
    const dataOutSize = checkInteger(given.dataOutSize ?? room, 'dataOutSize', 0, MAX_DATA_BYTES);
    const ctxOutSize = checkInteger(given.ctxOutSize ?? 0, 'ctxOutSize', 0, MAX_DATA_BYTES);
    const repeat = checkInteger(given.repeat ?? 1, 'repeat', 1, 0x7fff_ffff);
    const batchSize = checkInteger(given.batchSize ?? 0, 'batchSize', 0, U32_MAX);
    const cpu = checkInteger(given.cpu ?? 0, 'cpu', 0, U32_MAX);
    const flags = (live ? F_LIVE_FRAMES : 0) | (given.cpu === undefined ? 0 : F_RUN_ON_CPU);
    const own = given.dataOut === undefined ? undefined : checkView(given.dataOut, 'dataOut');
    const dataOut = own ?? (dataOutSize > 0 ? new Uint8Array(dataOutSize) : undefined);
    const ctxOut = ctxOutSize > 0 ? new Uint8Array(ctxOutSize) : undefined;

    const status = this.native.testRun(data, dataOut, ctx, ctxOut, repeat, flags, cpu, batchSize, RESULT);
    if (status === -ENOSPC) {
      throw new BpfError('test', this.subject, ENOSPC, { reason: `the output needs ${RESULT[2]} bytes` });
    }
    must(status, 'test', this.subject);
    const result: { -readonly [name in keyof TestRunResult]: TestRunResult[name] } = {
      retval: RESULT[0]!,
      durationNs: RESULT[1]!,
    };
    if (dataOut !== undefined) result.dataOut = dataOut.subarray(0, RESULT[2]);
    if (ctxOut !== undefined) result.ctxOut = ctxOut.subarray(0, RESULT[3]);
    return result;
  }

  /** Attaches to an interface by a link: closing the link, or losing the process, detaches. */
  attachXdp(options: XdpAttachOptions): XdpLink {
    return attachXdp(this.fd, this.subject, options);
  }
}

function contextBytes(ctx: ArrayBufferView | XdpContext, dataBytes: number): Uint8Array {
  if (ArrayBuffer.isView(ctx)) return checkView(ctx, 'ctx');
  if (typeof ctx !== 'object' || ctx === null) {
    throw new TypeError(`ctx must be bytes or the fields of an xdp_md, got ${describe(ctx)}`);
  }
  const fields = ['dataMetaSize', 'ingressIfindex', 'rxQueueIndex', 'egressIfindex'] as const;
  for (const name of Object.keys(ctx)) checkOneOf(name, 'the field of ctx', fields);
  const word = (name: (typeof fields)[number]): number =>
    checkInteger(ctx[name] ?? 0, `ctx.${name}`, 0, U32_MAX);
  // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; the pointers count from the start
  // of the bytes given, where the metadata lies.
  const words = [
    word('dataMetaSize'),
    dataBytes,
    0,
    word('ingressIfindex'),
    word('rxQueueIndex'),
    word('egressIfindex'),
  ];
  const bytes = new Uint8Array(XDP_MD_BYTES);
  bytes.set(new Uint8Array(Uint32Array.from(words).buffer));
  return bytes;
}
