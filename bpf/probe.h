/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns probes between muxes and their answers, and turning round what a peer's daemon has sent. What they say of a peer is
 * heartbeat.h.
 */
#pragma once

#include "ecn.h"
#include "heartbeat.h"
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

static __always_inline int answer_probe(struct xdp_md *ctx, const struct packet *outer, struct ask *ask) {
  __u32 asker = ask->header.asker, at = asker & (MUXES_MAX - 1);
  bool pledged = ask->header.flags & ASK_PLEDGE && pledge(&peer_states[at], &peers[at], ask->header.version);

  if (is_of_now(&ask->header))
    hear(&peer_states[at], ask->header.flags);
  begin_answer(ask, ASK_OPERATION_PROBE_ANSWER);
  ask->header.flags = (pledged ? ASK_PLEDGE : 0) | (past_deadline() ? ASK_PAST_DEADLINE : 0);
  return turn_round(ctx, outer, ask, asker, REPLY_PROBE);
}

static __always_inline __u32 note_probe_answer(const struct ask_header *header) {
  struct heartbeat said = {
      .number = header->slot,
      .version = header->version,
      .incarnation = header->asker_incarnation,
      .time = header->time,
      .flags = header->flags,
  };

  return note_heartbeat(&peer_states[header->asker & (MUXES_MAX - 1)], &said);
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
