// Owns the answers of the port mapper (RFC 1833): the one port of NFS and MOUNT, and nothing that anybody registers.
import { MOUNT_PROGRAM } from '../codec/mount.ts';
import { NFS_PROGRAM } from '../codec/nfs3_constants.ts';
import { IP_PROTOCOLS, type Mapping, PORTMAP_PROGRAM, type RpcbArguments } from '../codec/portmap.ts';
import type { Call } from './call.ts';
import type { AnyServed } from './nfs3/served.ts';

export type PortmapOptions = {
  /** Of NFS and MOUNT. */
  readonly port: number;
  /** Of the port mapper itself. */
  readonly ownPort?: number;
};

const PORTMAP_PORT = 111;
const VERSION = 3;
const encoder = new TextEncoder();
const OWNER = encoder.encode('holdfast');

function mappings({ port, ownPort = PORTMAP_PORT }: PortmapOptions): Mapping[] {
  const protocol = IP_PROTOCOLS.TCP;
  return [
    { program: NFS_PROGRAM, version: VERSION, protocol, port },
    { program: MOUNT_PROGRAM, version: VERSION, protocol, port },
    ...[2, 3, 4].map((version) => ({ program: PORTMAP_PROGRAM, version, protocol, port: ownPort })),
  ];
}

const answers = (run: AnyServed['run']): AnyServed => ({ run, result: (raw) => raw });

/** By version and number. */
export function portmapServed(
  options: PortmapOptions,
): ReadonlyMap<number, readonly (AnyServed | undefined)[]> {
  const all = mappings(options);
  const nothing = answers(() => undefined);
  const refuse = answers(() => ({ done: false }));
  const getport = answers(({ program, version, protocol }: Readonly<Mapping>) => ({
    port:
      all.find((it) => it.program === program && it.version === version && it.protocol === protocol)?.port ??
      0,
  }));
  const getaddr = answers((args: RpcbArguments, call: Call) => ({ address: addressOf(all, args, call) }));
  const rpcbDump = answers((_: unknown, call: Call) => ({
    mappings: all.map(({ program, version, port }) => {
      const { netid, host } = call.session.localEnd;
      return {
        program,
        version,
        netid: encoder.encode(netid),
        address: universal(host, port),
        owner: OWNER,
      };
    }),
  }));
  const dump = answers(() => ({ mappings: all }));
  const rpcbind = [nothing, undefined, undefined, getaddr, rpcbDump];
  return new Map([
    [2, [nothing, refuse, refuse, getport, dump]],
    [3, rpcbind],
    [4, [...rpcbind, undefined, undefined, undefined, undefined, getaddr]],
  ]);
}

function addressOf(
  all: readonly Mapping[],
  { program, version, netid }: RpcbArguments,
  call: Call,
): Uint8Array {
  const { bytes } = call.request;
  const asked = Buffer.from(bytes.subarray(netid.offset, netid.offset + netid.length)).toString('latin1');
  const { host } = call.session.localEnd;
  const found = all.find((it) => it.program === program && it.version === version);
  return found === undefined || !['tcp', 'tcp6', ''].includes(asked)
    ? NO_ADDRESS
    : universal(host, found.port);
}

const NO_ADDRESS = new Uint8Array(0);

/** RFC 5665, section 5.2.3.3. */
function universal(host: string, port: number): Uint8Array {
  return encoder.encode(`${host}.${port >>> 8}.${port & 0xff}`);
}
