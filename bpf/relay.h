/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns handing packets to another mux as they came: past the deadline, when this mux may decide nothing, and of
 * fragments, which one mux has to see all of. Not here: what is known by a mux that nobody can be asked by (flow.h).
 */
#pragma once

#include "fragment.h"
#include "icmp.h"
#include "wire.h"

/* Who has answered a probe this lately is taken to be there. */
#define HEARD_NS (500ull * 1000 * 1000)

/* The highest of a rendezvous hash so far. In memory, where the verifier forgets what it knows of each turn. */
struct rendezvous {
  __u64 score;
  __u32 mux;
  __u32 reserved;
};

static __always_inline void enter_rendezvous(struct rendezvous *best, __u64 key, __u32 mux) {
  __u64 score = (key + mux * 0x9e3779b97f4a7c15ull) * hash_key.place;

  score = (score ^ score >> 32) * hash_key.flow;
  score = (score ^ score >> 29) | 1;
  if (score > best->score) {
    best->score = score;
    best->mux = mux;
  }
}

static __always_inline bool is_heard(__u32 mux) {
  const volatile struct peer_state *state = &peer_states[mux];
  __u64 heard_ns = state->heard_ns;

  return heard_ns && now_ns() - heard_ns <= HEARD_NS && !(state->flags & PEER_PAST_DEADLINE);
}

/* Of the fragments of one datagram alike (RFC 791; RFC 8200 section 4.5). */
static __always_inline __u64 fragment_digest(const struct packet *packet) {
  __u32 protocol = packet->version == 4 ? packet->protocol : 0;

  return flow_hash(service_digest(&packet->destination, 0, protocol, 6),
                   client_digest(&packet->source, 0, 6) + packet->identification * hash_key.client_port);
}

/* The mux that keeps the fragments of this datagram: one of all, heard or not, so that all choose alike. */
__noinline int find_fragment_home(const struct packet *packet) {
  struct rendezvous best = {};

  if (!packet)
    return MUX_NONE;
  __u64 key = fragment_digest(packet);

  for (__u32 mux = 1; mux < MUXES_MAX; mux++)
    if (mux == self.id || peers[mux].flags & BACKEND_PRESENT)
      enter_rendezvous(&best, key, mux);
  return best.mux;
}

/* A peer that may decide what this mux may not; MUX_NONE where none is heard. */
__noinline int find_heard_peer(__u64 key) {
  struct rendezvous best = {};

  for (__u32 mux = 1; mux < MUXES_MAX; mux++)
    if (mux != self.id && peers[mux].flags & BACKEND_PRESENT && is_heard(mux))
      enter_rendezvous(&best, key, mux);
  return best.mux;
}

/* Takes off what is in front of a carried packet; its link header has no addresses then. */
static __always_inline int unwrap(struct xdp_md *ctx, struct packet *packet) {
  const __u32 link_bytes = sizeof(struct ethernet_header);
  __u32 outer_bytes = packet->l3_offset - link_bytes;

  if (bpf_xdp_adjust_head(ctx, (int)outer_bytes))
    return -1;
  struct ethernet_header *ethernet = (void *)(long)ctx->data;

  if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
    return -1;
  __builtin_memset(ethernet, 0, sizeof(*ethernet));
  ethernet->type = packet->version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
  packet->l3_offset -= outer_bytes;
  packet->l4_offset -= outer_bytes;
  return 0;
}

/*
 * Tells the sender that no more than `mtu` bytes fit, or drops. The verdict. What came from another mux did not come
 * by the sender's way: the kernel knows the way back.
 */
__noinline int leave_too_big(struct xdp_md *ctx, struct packet *packet, __u32 mtu) {
  __u32 ifindex = 0;

  if (!packet)
    return leave(ctx, DROP_INTERNAL);
  if (!may_answer(packet))
    return leave(ctx, DROP_TOO_BIG);
  if (!packet->hops)
    return leave(ctx, reply_too_big(ctx, packet, mtu));
  if (unwrap(ctx, packet))
    return leave(ctx, DROP_NO_HEADROOM);
  __u32 reason = reply_too_big(ctx, packet, mtu);

  if (reason == REPLY_TOO_BIG) {
    int failure = resolve_next_hop(ctx, packet->version, &ifindex);

    if (failure)
      reason = failure;
  }
  return reason == REPLY_TOO_BIG ? leave_as(ctx, reason, transmit(ctx, ifindex)) : leave(ctx, reason);
}

/* Has another mux take the packet as if it had come there. */
__noinline int relay(struct xdp_md *ctx, struct packet *packet, const struct decision *decision, __u32 mux,
                     __u32 reason) {
  struct ask *ask = ask_in_hand_here();

  if (!packet || !decision || !ask)
    return leave(ctx, DROP_INTERNAL);
  if (packet->length > peers[mux & (MUXES_MAX - 1)].inner_mtu)
    return leave_too_big(ctx, packet, peers[mux & (MUXES_MAX - 1)].inner_mtu);
  begin_ask(ask, ASK_OPERATION_RELAY, decision->hash);
  return send_ask(ctx, packet, ask, mux, reason);
}

/* To whom this mux has to leave a packet for a service; MUX_NONE: it is its own to serve. */
static __always_inline __u32 find_relay(const struct packet *packet, const struct decision *decision,
                                        __u32 *reason) {
  *reason = RELAY_DEADLINE;
  if (__builtin_expect(past_deadline(), 0))
    return find_heard_peer(packet->fragment ? fragment_digest(packet) : decision->hash);
  *reason = RELAY_FRAGMENT;
  if (packet->fragment == FRAGMENT_NONE || packet->hops || !self.id)
    return MUX_NONE;
  __u32 home = find_fragment_home(packet);

  return home == self.id ? MUX_NONE : home;
}
