// Owns the frames that daemons send to other muxes, past their own program.
import { frame, ip, udp } from '../../bpf/lib/packets.ts';
import { ASK_PORT } from './place.ts';
import { muxAddressOf } from './programs.ts';

/** By its ends and its length: nobody looks at the checksum of what is in it. */
const datagrams = new Map<string, Uint8Array>();

/** As the socket of a daemon sends it. */
export function datagramOf(version: 4 | 6, from: number, to: number, data: Uint8Array): Uint8Array {
  const name = `${version} ${from} ${to} ${data.length}`;
  let whole = datagrams.get(name);
  if (whole === undefined) {
    const ends = { source: muxAddressOf(version, from), destination: muxAddressOf(version, to) };
    whole = frame(ip(ends, udp({ sourcePort: ASK_PORT, destinationPort: ASK_PORT, data })));
    datagrams.set(name, whole);
  }
  const made = whole.slice();
  made.set(data, made.length - data.length);
  return made;
}
