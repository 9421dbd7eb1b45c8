// Owns MOUNT version 3 (RFC 1813, appendix I) and the port mapper (RFC 1833) as a client speaks them.
import { Builder, Parser } from './xdr.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytesOf = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Arguments of MNT and UMNT. */
export function buildPath(path: string): Uint8Array {
  return new Builder().opaque(bytesOf(path)).done();
}

export function parseMnt(results: Uint8Array) {
  const parser = new Parser(results);
  const status = parser.u32();
  if (status !== 0) {
    parser.end();
    return { status };
  }
  const handle = parser.opaque(64);
  const flavors = Array.from({ length: parser.u32() }, () => parser.u32());
  parser.end();
  return { status, handle, flavors };
}

export function parseDump(results: Uint8Array) {
  const parser = new Parser(results);
  const mounts = parser.list(() => ({
    hostname: text(parser.opaque(255)),
    directory: text(parser.opaque(1024)),
  }));
  parser.end();
  return mounts;
}

export function parseExports(results: Uint8Array) {
  const parser = new Parser(results);
  const exports = parser.list(() => ({
    directory: text(parser.opaque(1024)),
    groups: parser.list(() => text(parser.opaque(255))),
  }));
  parser.end();
  return exports;
}

export type Mapping = { program: number; version: number; protocol: number; port: number };

export function buildMapping({ program, version, protocol, port }: Mapping): Uint8Array {
  return new Builder().u32(program).u32(version).u32(protocol).u32(port).done();
}

export function parseMappings(results: Uint8Array): Mapping[] {
  const parser = new Parser(results);
  const mappings = parser.list(() => ({
    program: parser.u32(),
    version: parser.u32(),
    protocol: parser.u32(),
    port: parser.u32(),
  }));
  parser.end();
  return mappings;
}

export type Rpcb = { program: number; version: number; netid: string; address: string; owner: string };

export function buildRpcb({ program, version, netid, address, owner }: Rpcb): Uint8Array {
  const builder = new Builder().u32(program).u32(version);
  for (const one of [netid, address, owner]) builder.opaque(bytesOf(one));
  return builder.done();
}

export function parseRpcbList(results: Uint8Array): Rpcb[] {
  const parser = new Parser(results);
  const mappings = parser.list(() => ({
    program: parser.u32(),
    version: parser.u32(),
    netid: text(parser.opaque()),
    address: text(parser.opaque()),
    owner: text(parser.opaque()),
  }));
  parser.end();
  return mappings;
}
