// Owns the question what the running kernel can do. Every answer is found by trying, not by a version number.
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { checkInteger, checkOneOf } from './check.ts';
import { BpfError, must } from './errors.ts';
import { MAP_TYPES, type MapType, PROGRAM_TYPES, type ProgramType } from './kernel_types.ts';
import { BpfMap } from './map.ts';
import { native } from './native.ts';
import { Program } from './program.ts';

/** Whether something works here, and if not, why, in one sentence. */
export type Support = { readonly supported: true } | { readonly supported: false; readonly reason: string };

/** Its index in every network namespace. */
const LOOPBACK = 1;

export interface Features {
  readonly kernelRelease: string;
  readonly libbpfVersion: string;
  readonly btf: Support;
  readonly xdp: Support;
  readonly xdpLinks: Support;
  readonly ringBuffer: Support;
  readonly batchOperations: Support;
  readonly liveFrames: Support;
}

export function probeProgramType(type: ProgramType): Support {
  const number = PROGRAM_TYPES.indexOf(checkOneOf(type, 'type', PROGRAM_TYPES));
  return answer(native.probeProgramType(number), `programs of type ${type}`);
}

export function probeMapType(type: MapType): Support {
  const number = MAP_TYPES.indexOf(checkOneOf(type, 'type', MAP_TYPES));
  return answer(native.probeMapType(number), `maps of type ${type}`);
}

/** Whether programs of a type may call a helper, given by its number in enum bpf_func_id. */
export function probeHelper(type: ProgramType, helper: number): Support {
  const number = PROGRAM_TYPES.indexOf(checkOneOf(type, 'type', PROGRAM_TYPES));
  checkInteger(helper, 'helper', 0, 0xffff);
  return answer(native.probeHelper(number, helper), `helper ${helper} in programs of type ${type}`);
}

/** What this package builds on, as far as this kernel and this process's rights give it. */
export function features(): Features {
  return {
    kernelRelease: release(),
    libbpfVersion: native.libbpfVersion(),
    btf: existsSync('/sys/kernel/btf/vmlinux')
      ? { supported: true }
      : { supported: false, reason: 'The kernel was built without CONFIG_DEBUG_INFO_BTF.' },
    xdp: probeProgramType('xdp'),
    xdpLinks: attempt(probeXdpLinks),
    ringBuffer: probeMapType('ringbuf'),
    batchOperations: attempt(probeBatch),
    liveFrames: attempt(probeLiveFrames),
  };
}

function answer(status: number, what: string): Support {
  if (status > 0) return { supported: true };
  if (status === 0) return { supported: false, reason: `The kernel refuses ${what}.` };
  const { message } = new BpfError('probe', what, -status);
  const hint = status === -1 ? ' CAP_BPF and CAP_NET_ADMIN are needed.' : '';
  return { supported: false, reason: `It is not known: ${message}.${hint}` };
}

function attempt(probe: () => string | undefined): Support {
  try {
    const reason = probe();
    return reason === undefined ? { supported: true } : { supported: false, reason };
  } catch (error) {
    return { supported: false, reason: `It is not known: ${(error as Error).message}.` };
  }
}

function probeBatch(): string | undefined {
  using map = BpfMap.create({ type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 });
  try {
    map.updateBatch(Uint32Array.of(1), Uint32Array.of(1), 1);
    return undefined;
  } catch (error) {
    return `The kernel refuses batched map operations: ${(error as Error).message}.`;
  }
}

function loadDrop(): Program {
  return new Program(new native.Program(must(native.loadDrop(), 'load', 'the probe program')), 'probe_drop');
}

/**
 * Asks for what must fail: a link in native mode on the loopback interface, which has no driver. A kernel that knows
 * XDP links says so; one that does not finds the whole request invalid.
 */
function probeXdpLinks(): string | undefined {
  using program = loadDrop();
  try {
    program.attachXdp({ interface: LOOPBACK, mode: 'native' }).close();
    return undefined;
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return error.code === 'EINVAL' ? 'The kernel does not know links of XDP programs.' : undefined;
  }
}

function probeLiveFrames(): string | undefined {
  using program = loadDrop();
  try {
    program.testRun({ data: new Uint8Array(64), liveFrames: true });
    return undefined;
  } catch (error) {
    return `The kernel refuses live frames in test runs: ${(error as Error).message}.`;
  }
}
