// The whole public surface. lib/ is split by kernel object; nothing else is meant to be imported.

export type { BtfEnumValue, BtfKind, BtfMember, BtfType, BtfVariable } from './lib/btf.ts';
export { Btf, BtfError } from './lib/btf.ts';
export type { Codec } from './lib/btf_codec.ts';
export type { ConstantValue } from './lib/constants.ts';
export { ElfError } from './lib/elf.ts';
export { BpfError, ClosedError } from './lib/errors.ts';
export type { GenerateOptions } from './lib/generate.ts';
export { generateCodecs } from './lib/generate.ts';
export type { MapType, ProgramType } from './lib/kernel_types.ts';
export { describeLayout, describeType } from './lib/layout.ts';
export type { LinkInfo, XdpAttachment, XdpAttachOptions, XdpMode } from './lib/link.ts';
export { queryXdp, XdpLink } from './lib/link.ts';
export { LoadedObject } from './lib/loaded.ts';
export type { BatchCursor, BatchRead, MapCreateOptions, MapInfo, MapTypes, UpdateMode } from './lib/map.ts';
export { BPF_F_MMAPABLE, BpfMap, possibleCpus } from './lib/map.ts';
export { OpenMap, OpenObject, OpenProgram, openObject } from './lib/object.ts';
export type { Features, Support } from './lib/probe.ts';
export { features, probeHelper, probeMapType, probeProgramType } from './lib/probe.ts';
export type { ProgramInfo, TestRunOptions, TestRunResult, XdpContext } from './lib/program.ts';
export { Program } from './lib/program.ts';
export type { DrainedRecords } from './lib/ring_buffer.ts';
export { RingBuffer } from './lib/ring_buffer.ts';
export { transcoder } from './lib/transcode.ts';
export { PerCpuMap, TypedMap } from './lib/typed_map.ts';
