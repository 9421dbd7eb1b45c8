/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns heartbeats and pledges between muxes, and turning round what a peer's daemon has sent. Probes come from daemons;
 * the peer's program answers, so a mux whose daemon is away is not taken for dead.
 */
#pragma once

#include "ecn.h"
#include "icmp.h"
#include "wire.h"

/* Sends the header in hand back to the peer whose message is in the frame, in place of that: the verdict. */
__noinline int turn_round(struct xdp_md *ctx, const struct packet *outer, struct ask *ask, __u32 peer_id,
                          __u32 reason) {
  if (!outer || !ask)
    return leave(ctx, DROP_INTERNAL);
  const struct backend *own = &peers[self.id & (MUXES_MAX - 1)], *peer = &peers[peer_id & (MUXES_MAX - 1)];
  __u32 ip_bytes = outer->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
  __u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

  asm volatile("" : "+r"(length)); /* a difference of pointers may not become part of a narrower sum */
  if (bpf_xdp_adjust_tail(ctx, (int)(outer->l3_offset + ip_bytes + ASK_BYTES) - (int)length))
    return leave(ctx, DROP_INTERNAL);
  compute_tag(ask);

  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  void *ip = data + (outer->l3_offset & 0xff);
  struct udphdr *udp = data + (outer->l4_offset & 0xff);
  __u64 *word = (__u64 *)(udp + 1);
  __u8 traffic_class = outer->traffic_class & ~ECN_MASK;

  if (data + sizeof(struct ethernet_header) > end || (void *)(word + ASK_WORDS) > end ||
      ip + sizeof(struct ipv6hdr) > end)
    return leave(ctx, DROP_INTERNAL);
  swap_macs(data);
  if (outer->version == 4)
    write_peer_ipv4(ip, own, peer, traffic_class, sizeof(struct iphdr) + ASK_BYTES);
  else
    write_peer_ipv6(ip, own, peer, traffic_class, ASK_BYTES, 0);
  write_gue(udp, peer, sizeof(struct ask_header), 0);
  for (__u32 i = 0; i < ASK_WORDS - 1; i++)
    word[i] = ask->word[i];
  word[ASK_WORDS - 1] = ask->tag;
  return leave(ctx, reason);
}

/* Our answer to the message in hand, which keeps its key and its number, for nobody but its sender. */
static __always_inline void begin_answer(struct ask *ask, enum ask_operation operation) {
  __u32 number = ask->header.slot;
  __u8 key_id = ask->header.key_id, asker = ask->header.asker;

  begin_ask(ask, operation, 0);
  ask->header.owner = asker;
  ask->header.slot = number;
  ask->header.key_id = key_id;
}

/*
 * A pledge: no newer version than the prober's is in effect here. User space, before it acknowledges a newer one, puts
 * that into `self`, waits a grace period, and then reads what was pledged: this program stamps after it has read.
 */
static __always_inline bool pledge(__u32 mux, __u32 version) {
  volatile struct peer_state *state = &peer_states[mux & (MUXES_MAX - 1)];
  __u32 own = self.version;

  if (own > version || !(peers[mux & (MUXES_MAX - 1)].flags & BACKEND_PRESENT))
    return false;
  if (observer == OBSERVER_EXPLAIN)
    return true;
  state->pledged_version = own;
  state->pledged_ns = now_ns();
  return true;
}

/*
 * Who asks is there, too: a mux whose daemon is gone sends no probes, and has only these to know whom to relay to. Not
 * one that was replayed.
 */
static __always_inline void hear_probe(const struct ask_header *header) {
  volatile struct peer_state *state = &peer_states[header->asker & (MUXES_MAX - 1)];

  if (!is_of_now(header) || observer == OBSERVER_EXPLAIN)
    return;
  state->flags = header->flags & ASK_PAST_DEADLINE ? state->flags | PEER_PAST_DEADLINE
                                                   : state->flags & ~PEER_PAST_DEADLINE;
  state->heard_ns = now_ns();
}

static __always_inline int answer_probe(struct xdp_md *ctx, const struct packet *outer, struct ask *ask) {
  __u32 asker = ask->header.asker;
  bool pledged = ask->header.flags & ASK_PLEDGE && pledge(asker, ask->header.version);

  hear_probe(&ask->header);
  begin_answer(ask, ASK_OPERATION_PROBE_ANSWER);
  ask->header.flags = (pledged ? ASK_PLEDGE : 0) | (past_deadline() ? ASK_PAST_DEADLINE : 0);
  return turn_round(ctx, outer, ask, asker, REPLY_PROBE);
}

/* Answers are taken in the order of the probes; one that was heard before says nothing about now. */
static __always_inline __u32 note_probe_answer(const struct ask_header *header) {
  volatile struct peer_state *state = &peer_states[header->asker & (MUXES_MAX - 1)];
  __u32 flags = state->flags & PEER_PLEDGED;

  if (state->incarnation && (__s32)(header->slot - state->echo) <= 0)
    return NOTED_LATE;
  if (observer == OBSERVER_EXPLAIN)
    return NOTED_PROBE;
  state->echo = header->slot;
  state->version = header->version;
  state->incarnation = header->asker_incarnation;
  state->time = header->time;
  if (header->flags & ASK_PLEDGE) {
    flags = PEER_PLEDGED;
    state->pledge_echo = header->slot;
  } else if (header->version > self.version) {
    flags = 0;
  }
  if (header->flags & ASK_PAST_DEADLINE)
    flags |= PEER_PAST_DEADLINE;
  state->flags = flags;
  state->heard_ns = now_ns();
  return NOTED_PROBE;
}

/* The peer has our message `number` of the round. */
static __always_inline __u32 note_flows_taken(const struct ask_header *header) {
  __u32 peer = header->asker & (MUXES_MAX - 1), number = header->slot & ((1 << MESSAGE_NUMBER_BITS) - 1);

  if (!is_of_now(header))
    return DROP_ASK_TIME;
  if (peer_states[peer].copy_round != header->slot >> MESSAGE_NUMBER_BITS)
    return NOTED_LATE;
  if (observer != OBSERVER_EXPLAIN)
    __sync_fetch_and_or(&copies_taken[peer].word[number / 32], 1u << number % 32);
  return NOTED_FLOWS;
}
