// Owns what the reasons that packets leave for mean to a reader.
import type { ReasonName } from './counters.ts';

export const VERDICTS = [
  'PASS',
  'ACCEPT',
  'DECAP',
  'FORWARD',
  'ASK',
  'RELAY',
  'QUERY',
  'REPLY',
  'DROP',
  'NOTED',
] as const;
export type Verdict = (typeof VERDICTS)[number];

/** The first word of a reason's name. */
export function verdictOf(reason: ReasonName): Verdict {
  return reason.split('_', 1)[0] as Verdict;
}

export const REASON_MEANINGS: Readonly<Record<ReasonName, string>> = {
  PASS_NOT_IP: 'It is not IP: the host may have it.',
  PASS_MALFORMED: 'It has no complete IP header: the host judges it.',
  PASS_NOT_A_SERVICE: 'Its destination is not a service address: the host may have it.',
  PASS_NO_SUCH_PORT: 'Its destination is a service address, but no service is at this port and protocol.',
  PASS_ICMP_OTHER:
    'It is ICMP to a service address, but neither an echo request nor an error about a flow of a service.',
  PASS_NOT_TUNNELLED:
    'It is neither a tunnel packet of a mux nor for a service address: the host may have tunnels of its own.',
  ACCEPT_AFFINITY: 'Its client has a session at this server, which answers it.',
  ACCEPT_CONNECTION: 'Its bucket is moving; the kernel of this server has its TCP connection and answers it.',
  ACCEPT_OWN: "It is of a bucket that is this server's.",
  ACCEPT_NOBODY: "Its bucket has become this server's, and no other server has its client.",
  ACCEPT_ADDRESS:
    "It is for no port of a service: an echo request, for one. The client's bucket at the address is this server's.",
  ACCEPT_FRAGMENT: 'It is a later fragment of a packet whose first one this server took.',
  DECAP: 'It came from a mux for a service address: the host gets it out of its tunnel.',
  FORWARD: 'It goes to the backend that the slot of its flow has.',
  FORWARD_QUIC: 'It goes to the backend whose server ID its QUIC connection ID has.',
  FORWARD_ICMP_ERROR: 'It is an ICMP error and goes to the backend of the flow that it quotes.',
  FORWARD_FIRST_FRAGMENT: 'It is the first fragment of a packet; later ones will follow it to its backend.',
  FORWARD_LATER_FRAGMENT: 'It is a later fragment and follows the first one to its backend.',
  FORWARD_CACHED: 'Its slot is tracked; this mux has learnt lately which backend serves its flow.',
  FORWARD_ANSWERED: 'Its slot is tracked; it came home with the answer which backend serves its flow.',
  FORWARD_UNRECORDED:
    'Its slot is tracked, and nobody could remember its flow: it goes to the backend from before the change.',
  FORWARD_ALONE:
    'This mux is past its deadline and hears no other one: the packet goes where what is known here says.',
  ASK: 'Its slot is tracked: it goes to the mux that owns the slot, to ask which backend serves its flow.',
  ASK_PASSED_ON: 'It asks for the backend of its flow, and another mux owns the slot by now: it goes there.',
  ASK_RECORD:
    'It asked this mux for the backend of its flow: it goes on to the backup, which remembers it, too.',
  ASK_RETURNED:
    'It came from the owner of its slot to be remembered, and this mux has no room for a new flow: it goes back to the owner.',
  ASK_ANSWER: 'It asked for the backend of its flow: it goes home with the answer.',
  RELAY_DEADLINE: 'This mux is past its deadline and may not decide: another one gets the packet.',
  RELAY_FRAGMENT: 'It is a fragment: the mux that keeps those of its packet gets it.',
  QUERY: "Its bucket has become this server's: it goes to those that may have its client, to ask.",
  QUERY_PASSED_ON:
    'It asks whether this server has its client, which it has not: it goes on to the next one.',
  QUERY_HAD: 'It asks whether this server has its client, which it has: it goes home with this answer.',
  QUERY_RETURNED:
    'It asks whether this server, the last one, has its client, which it has not: it goes home.',
  REPLY_NEIGHBOUR:
    'It asks for the link address of a service address: it is told the one that all servers hear.',
  REPLY_PROBE: 'It is the heartbeat of another mux, which the program answers.',
  REPLY_FLOWS: 'It is a message about flows of another mux, which the program has taken in.',
  REPLY_ECHO: 'It is an echo request to a service address, which the mux answers itself.',
  REPLY_TOO_BIG: 'It does not fit the path to its backend in a tunnel: the sender is told what does.',
  DROP_TRUNCATED: 'It ends before its headers, or before its own length says.',
  DROP_BAD_HEADER: 'A length field of it contradicts another.',
  DROP_EXTENSION_HEADERS: 'It has more IPv6 extension headers than are looked at.',
  DROP_NO_BACKEND:
    'Its slot has no backend: the pool has none with a weight, or it was removed a moment ago.',
  DROP_FRAGMENT_UNKNOWN: 'It is a later fragment, and the first one was not seen here in the last minute.',
  DROP_NO_ROUTE: 'No next hop is known for its backend, and this host has no route to it.',
  DROP_FORWARDING_OFF:
    'No next hop is known for its backend, and this host does not forward from the interface of arrival.',
  DROP_NO_NEIGHBOUR: 'There is a route to its backend, but the next hop does not say its link address.',
  DROP_TOO_BIG: 'It does not fit the path to its backend in a tunnel, and its sender may not be told.',
  DROP_NO_HEADROOM: 'The driver leaves no room in front of it for the tunnel headers.',
  DROP_FOREIGN_TUNNEL: 'It is a tunnel packet for a service address, but its source is not a configured mux.',
  DROP_NOT_FOR_SERVICE: 'It is a tunnel packet from a mux, but not for a service address of this backend.',
  DROP_ECN: 'The network marked congestion on the tunnel, which the packet inside has no way to tell.',
  NOTED_PROBE: 'It is the answer of another mux to a heartbeat of this one.',
  NOTED_FLOWS: 'It says that another mux has taken in a message about flows.',
  NOTED_LATE: 'It answers a heartbeat or a message about flows, and a newer one has been answered since.',
  DROP_ASK_SOURCE: 'It came to the port of muxes from an address that is not that of one.',
  DROP_ASK_SIZE: 'It came to the port of muxes with another length than its header allows.',
  DROP_ASK_FORMAT: 'It came to the port of muxes in a format that this version does not know.',
  DROP_ASK_TAG:
    'Its authentication tag is wrong: forged, damaged, or by a mux with another key or another hash seed.',
  DROP_ASK_TIME: 'Its header is too old or from the future: replayed, or a mux whose time is off.',
  DROP_ASK_SERVICE: 'Another mux sent it, and it is for a service that this one does not have.',
  DROP_ASK_SLOT: 'Another mux sent it and counts slots otherwise: its pools have another number of slots.',
  DROP_ASK_EPOCH: 'It asks about a tracking period that has ended.',
  DROP_ASK_INCARNATION: 'It is for another mux, or for this one as it was before it lost its tables.',
  DROP_ASK_HOPS: 'It has passed too many muxes.',
  DROP_ASK_FENCED: 'It asks this mux, which is past its deadline and may not decide.',
  DROP_ASK_PEER: 'It is to go to a mux that this one does not know.',
  DROP_NOT_MINE: 'It is of a bucket of another server, which answers it.',
  DROP_FOREIGN: 'Another server has its client and answers it.',
  DROP_ANSWERED: 'It came home with the answer that another server has its client; that one answers it.',
  DROP_NO_BUCKET: 'No server answers this port or address.',
  DROP_FENCED: 'This server is past its deadline and answers nobody.',
  DROP_NEIGHBOUR:
    'It asks for the link address of a service address, and another server tells it, or nobody does.',
  DROP_CUT:
    'It was too big to be asked about, but by its beginning: what its client sends again is answered.',
  DROP_INTERNAL: 'A look-up that cannot fail did: a bug.',
};
