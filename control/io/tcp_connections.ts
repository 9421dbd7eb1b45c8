// Owns reading which TCP connections this host's stack has, as the kernel lists them (proc_pid_net(5): /proc/net/tcp and
// tcp6), a piece at a time: there may be a million.
import { createReadStream } from 'node:fs';
import { formatAddress } from '../lib/address.ts';

const FILES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'] as const;
/** Lines of one piece are parsed at once: a piece is some hundred. */
const PIECE_BYTES = 65_536;
const LINE =
  /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{2}) /;
/** TIME_WAIT, CLOSE and LISTEN: nobody is at the other end, or not any more. */
const WITHOUT_PEER: ReadonlySet<string> = new Set(['06', '07', '0A']);
const IPV4_MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

export type TcpConnection = {
  readonly protocol: 'tcp';
  /** The client's end. */
  readonly source: string;
  readonly sourcePort: number;
  /** This host's. */
  readonly destination: string;
  readonly destinationPort: number;
};

export async function* tcpConnections(
  files: readonly string[] = FILES,
): AsyncGenerator<readonly TcpConnection[]> {
  for (const file of files) {
    let rest = '';
    for await (const piece of createReadStream(file, { encoding: 'latin1', highWaterMark: PIECE_BYTES })) {
      const lines = (rest + String(piece)).split('\n');
      rest = lines.pop() ?? '';
      yield lines.flatMap((line) => parse(line) ?? []);
    }
    yield [parse(rest)].flatMap((it) => it ?? []);
  }
}

function parse(line: string): TcpConnection | undefined {
  const [, local, localPort, remote, remotePort, state] = LINE.exec(line) ?? [];
  if (state === undefined || WITHOUT_PEER.has(state)) return undefined;
  return {
    protocol: 'tcp',
    source: addressOf(remote!),
    sourcePort: Number.parseInt(remotePort!, 16),
    destination: addressOf(local!),
    destinationPort: Number.parseInt(localPort!, 16),
  };
}

/** Words of 32 bits, each as this machine stores a number. */
function addressOf(hex: string): string {
  const bytes = Uint8Array.from({ length: hex.length / 2 }, (_, at) =>
    Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16),
  );
  const words = new DataView(bytes.buffer);
  const host = new Uint32Array(bytes.length / 4).map((_, at) => words.getUint32(at * 4));
  const wire = new Uint8Array(host.buffer);
  return formatAddress(wire.length === 4 ? Uint8Array.from([...IPV4_MAPPED, ...wire]) : wire);
}
