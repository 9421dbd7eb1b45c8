// Owns the port mapper (RFC 1833): version 2 with its table of ports, and of versions 3 and 4 what clients ask a server
// for. Nobody can register or be called through it: procedures for that answer no, or are not there.
import { type ArgumentsOf, decodeNothing, encodeNothing, type Program, type ResultOf } from './procedure.ts';
import { emptySpan, padded, type Span, type XdrReader, type XdrWriter } from './xdr.ts';

export const PORTMAP_PROGRAM = 100_000;
export const IP_PROTOCOLS = { TCP: 6, UDP: 17 } as const;

/** Services of one node: few. */
const MAPPINGS_MAX = 64;
/** netid, universal address, owner: the longest is an IPv6 address with a port. */
const STRING_BYTES_MAX = 64;

/** struct mapping of version 2. */
export interface Mapping {
  program: number;
  version: number;
  /** A value of IP_PROTOCOLS, or any other number, which nothing is mapped for. */
  protocol: number;
  port: number;
}

export interface PortResult {
  readonly port: number;
}

export interface BooleanResult {
  readonly done: boolean;
}

export interface MappingsResult {
  readonly mappings: readonly Readonly<Mapping>[];
}

/** struct rpcb of versions 3 and 4. */
export interface RpcbArguments {
  program: number;
  version: number;
  readonly netid: Span;
  readonly address: Span;
  readonly owner: Span;
}

/** A universal address, `h1.h2.h3.h4.p1.p2`; none is empty. */
export interface AddressResult {
  readonly address: Uint8Array;
}

export interface RpcbListResult {
  readonly mappings: readonly {
    readonly program: number;
    readonly version: number;
    readonly netid: Uint8Array;
    readonly address: Uint8Array;
    readonly owner: Uint8Array;
  }[];
}

const mapping: Mapping = { program: 0, version: 0, protocol: 0, port: 0 };
const rpcb: RpcbArguments = {
  program: 0,
  version: 0,
  netid: emptySpan(),
  address: emptySpan(),
  owner: emptySpan(),
};

function decodeMapping(reader: XdrReader): Readonly<Mapping> {
  mapping.program = reader.u32();
  mapping.version = reader.u32();
  mapping.protocol = reader.u32();
  mapping.port = reader.u32();
  return mapping;
}

function decodeRpcb(reader: XdrReader): RpcbArguments {
  rpcb.program = reader.u32();
  rpcb.version = reader.u32();
  reader.opaque(rpcb.netid, STRING_BYTES_MAX);
  // Clients fill in addresses and owners of their own, which nothing depends on.
  reader.opaque(rpcb.address, 1024);
  reader.opaque(rpcb.owner, 1024);
  return rpcb;
}

function encodePort(writer: XdrWriter, { port }: PortResult): void {
  writer.u32(port);
}

function encodeBoolean(writer: XdrWriter, { done }: BooleanResult): void {
  writer.bool(done);
}

function encodeMappings(writer: XdrWriter, { mappings }: MappingsResult): void {
  for (const { program, version, protocol, port } of mappings.slice(0, MAPPINGS_MAX)) {
    writer.bool(true);
    writer.u32(program);
    writer.u32(version);
    writer.u32(protocol);
    writer.u32(port);
  }
  writer.bool(false);
}

function encodeAddress(writer: XdrWriter, { address }: AddressResult): void {
  writer.opaque(address, 0, Math.min(address.length, STRING_BYTES_MAX));
}

function encodeRpcbList(writer: XdrWriter, { mappings }: RpcbListResult): void {
  for (const { program, version, netid, address, owner } of mappings.slice(0, MAPPINGS_MAX)) {
    writer.bool(true);
    writer.u32(program);
    writer.u32(version);
    for (const text of [netid, address, owner])
      writer.opaque(text, 0, Math.min(text.length, STRING_BYTES_MAX));
  }
  writer.bool(false);
}

const NULL = {
  number: 0,
  name: 'NULL',
  decode: decodeNothing,
  encode: encodeNothing,
  idempotent: true,
  resultBytesMax: 0,
} as const;

export const PORTMAP2_PROCEDURES = {
  NULL,
  SET: {
    number: 1,
    name: 'SET',
    decode: decodeMapping,
    encode: encodeBoolean,
    idempotent: true,
    resultBytesMax: 4,
  },
  UNSET: {
    number: 2,
    name: 'UNSET',
    decode: decodeMapping,
    encode: encodeBoolean,
    idempotent: true,
    resultBytesMax: 4,
  },
  GETPORT: {
    number: 3,
    name: 'GETPORT',
    decode: decodeMapping,
    encode: encodePort,
    idempotent: true,
    resultBytesMax: 4,
  },
  DUMP: {
    number: 4,
    name: 'DUMP',
    decode: decodeNothing,
    encode: encodeMappings,
    idempotent: true,
    resultBytesMax: 20 * MAPPINGS_MAX + 4,
  },
} as const;

const GETADDR = {
  number: 3,
  name: 'GETADDR',
  decode: decodeRpcb,
  encode: encodeAddress,
  idempotent: true,
  resultBytesMax: 4 + padded(STRING_BYTES_MAX),
} as const;

export const RPCBIND_PROCEDURES = {
  NULL,
  GETADDR,
  DUMP: {
    number: 4,
    name: 'DUMP',
    decode: decodeNothing,
    encode: encodeRpcbList,
    idempotent: true,
    resultBytesMax: (12 + 3 * (4 + STRING_BYTES_MAX)) * MAPPINGS_MAX + 4,
  },
  /** As GETADDR, but only of that very version; version 4 alone has it. */
  GETVERSADDR: { ...GETADDR, number: 9, name: 'GETVERSADDR' },
} as const;

type Portmap2Name = keyof typeof PORTMAP2_PROCEDURES;
type RpcbindName = keyof typeof RPCBIND_PROCEDURES;
export type Portmap2Arguments<Name extends Portmap2Name> = ArgumentsOf<(typeof PORTMAP2_PROCEDURES)[Name]>;
export type Portmap2Result<Name extends Portmap2Name> = ResultOf<(typeof PORTMAP2_PROCEDURES)[Name]>;
export type RpcbindArguments<Name extends RpcbindName> = ArgumentsOf<(typeof RPCBIND_PROCEDURES)[Name]>;
export type RpcbindResult<Name extends RpcbindName> = ResultOf<(typeof RPCBIND_PROCEDURES)[Name]>;

export const PORTMAP2: Program = {
  number: PORTMAP_PROGRAM,
  version: 2,
  name: 'portmap',
  procedures: Object.values(PORTMAP2_PROCEDURES),
};

export const RPCBIND3: Program = {
  number: PORTMAP_PROGRAM,
  version: 3,
  name: 'portmap',
  procedures: [NULL, undefined, undefined, GETADDR, RPCBIND_PROCEDURES.DUMP],
};

export const RPCBIND4: Program = {
  number: PORTMAP_PROGRAM,
  version: 4,
  name: 'portmap',
  procedures: [
    ...RPCBIND3.procedures,
    undefined,
    undefined,
    undefined,
    undefined,
    RPCBIND_PROCEDURES.GETVERSADDR,
  ],
};
