// Notifications: a message of a multicast group as an event.
import { decodeAddress, type InterfaceAddress } from './address.ts';
import { decodeLink, type Link } from './link.ts';
import { type Message, MessageType } from './message.ts';
import { decodeNeighbour, type Neighbour } from './neighbour.ts';
import { decodeRoute, type Route } from './route.ts';

export type Change = 'new' | 'deleted';

export type RtnetlinkEvent =
  | { readonly kind: 'link'; readonly change: Change; readonly link: Link }
  | { readonly kind: 'address'; readonly change: Change; readonly address: InterfaceAddress }
  | { readonly kind: 'route'; readonly change: Change; readonly route: Route }
  | { readonly kind: 'neighbour'; readonly change: Change; readonly neighbour: Neighbour };

const AF_UNSPEC = 0;

/** Undefined for a message that tells of none of these. `new` covers creation and every change. */
export function decodeEvent(message: Message): RtnetlinkEvent | undefined {
  switch (message.type) {
    case MessageType.NEWLINK:
    case MessageType.DELLINK: {
      const { family, ...link } = decodeLink(message.payload);
      // AF_BRIDGE: a port joined or left its bridge; the link itself is still there.
      if (family !== AF_UNSPEC) return undefined;
      return { kind: 'link', change: message.type === MessageType.NEWLINK ? 'new' : 'deleted', link };
    }
    case MessageType.NEWADDR:
    case MessageType.DELADDR: {
      const address = decodeAddress(message.payload);
      if (address === undefined) return undefined;
      return { kind: 'address', change: message.type === MessageType.NEWADDR ? 'new' : 'deleted', address };
    }
    case MessageType.NEWROUTE:
    case MessageType.DELROUTE: {
      const route = decodeRoute(message.payload);
      if (route === undefined) return undefined;
      return { kind: 'route', change: message.type === MessageType.NEWROUTE ? 'new' : 'deleted', route };
    }
    case MessageType.NEWNEIGH:
    case MessageType.DELNEIGH: {
      const neighbour = decodeNeighbour(message.payload);
      if (neighbour === undefined) return undefined;
      return {
        kind: 'neighbour',
        change: message.type === MessageType.NEWNEIGH ? 'new' : 'deleted',
        neighbour,
      };
    }
    default:
      return undefined;
  }
}
