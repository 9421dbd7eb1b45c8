// Owns from where a member sends to the other members: the socket, or why there is none. What is sent is cluster/ask's.
import type { NodeConfig } from '../config/node.ts';
import { AskSocket } from '../io/ask_socket.ts';
import type { Problems } from './problems.ts';

export type NodeWire = Pick<AskSocket, 'send' | 'close'> & { readonly address: string | undefined };

/** Sends to other members from where they reach this one. Without an address the node is no member, which status says. */
export async function openWire(
  { cluster }: NodeConfig,
  address: string | undefined,
  problems: Problems,
): Promise<NodeWire> {
  const none: NodeWire = { address: undefined, send: () => {}, close: () => {} };
  if (address === undefined) return none;
  try {
    const socket = await AskSocket.open(address, (error) => {
      if (error === undefined) problems.solve('ask socket');
      else problems.arise('ask socket', error);
    });
    return { address, send: (datagram, to) => socket.send(datagram, to), close: () => socket.close() };
  } catch (error) {
    if (cluster.address !== undefined) throw error;
    problems.arise('ask socket', error);
    return none;
  }
}
