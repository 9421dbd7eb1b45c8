// Owns the line that mounts a link: the only place of the command that knows the file protocol.

/** Where the node that was asked does not serve files, somebody has to fill it in. */
const UNKNOWN_ADDRESS = 'ADDRESS';
/** IANA: nfs. */
const PORT_DEFAULT = 2_049;

/** To be pasted into a shell. Locks are of a later version of the protocol. */
export function mountLine(
  path: string,
  service: { readonly address: string; readonly port: number } | undefined,
): string {
  const { address = UNKNOWN_ADDRESS, port = PORT_DEFAULT } = service ?? {};
  const host = address.includes(':') ? `[${address}]` : address;
  const proto = address.includes(':') ? 'tcp6' : 'tcp';
  return `mount -t nfs -o vers=3,nolock,proto=${proto},port=${port},mountport=${port} ${quoted(`${host}:${path}`)} /mnt`;
}

function quoted(word: string): string {
  return /^[\w/.:[\]@%+=,-]+$/.test(word) && !word.includes('[')
    ? word
    : `'${word.replaceAll("'", "'\\''")}'`;
}
