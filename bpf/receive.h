/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what comes to the ask port: who may have sent it, the packet behind the header, and every check before anything
 * is believed. Not here: what an ask, a record or an answer means (answer.h, ask.h).
 *
 * What is common, whole TCP or UDP over IPv4 from a peer to a peer, is one function without calls: a return costs more
 * here than a round of the signature. Rare forms take calls.
 */
#pragma once

#include "ask.h"
#include "decide.h"
#include "ecn.h"
#include "flows.h"

/* By mux.bpf.c. */
int serve(struct xdp_md *ctx, struct packet *packet, struct decision *decision);

#define ASK_FLAGS_KNOWN                                                                                      \
  (ASK_NEW_FLOW | ASK_UNRECORDED | ASK_LOOK_UP | ASK_PLEDGE | ASK_PAST_DEADLINE | ASK_REFRESH)

static __always_inline bool is_address_of(__u32 mux, const struct ip_address *address, __u8 flags) {
  const struct backend *peer = &peers[mux & (MUXES_MAX - 1)];

  return peer->flags & flags && is_same_address(&peer->address, address);
}

/* Of a packet that was wrapped by another mux than its asker. */
__noinline int is_from_any_peer(const struct ip_address *source) {
  if (!source)
    return false;
  for (__u32 mux = 1; mux < MUXES_MAX; mux++)
    if (is_address_of(mux, source, BACKEND_PRESENT))
      return mux != self.id;
  return false;
}

/*
 * Whether the sender is who it must be: the asker of what has no packet inside, else any peer; which one is likely. Who
 * was removed has no say any more, but may relay, being the asker then, and is told who is there: cut off from the store
 * it may not know, and would take itself for alone.
 */
static __always_inline bool is_from_peer(const struct packet *outer, const struct ask_header *header) {
  bool is_told = header->operation == ASK_OPERATION_RELAY || header->operation == ASK_OPERATION_PROBE;
  __u32 likely = header->asker;

  if (header->operation == ASK_OPERATION_RECORD)
    likely = header->owner;
  else if (header->operation == ASK_OPERATION_ANSWER)
    likely = header->backup;
  if (is_address_of(likely, &outer->source, is_told ? BACKEND_PRESENT | PEER_GONE : BACKEND_PRESENT))
    return likely != self.id;
  return header->operation < ASK_OPERATION_PROBE && is_from_any_peer(&outer->source);
}

/* Whether this is a header that this version can read. */
static __always_inline bool is_known_format(const struct ask_header *header) {
  return header->format == ASK_FORMAT && !header->reserved && !header->unsigned_byte && header->asker &&
         header->asker < MUXES_MAX && header->owner < MUXES_MAX && header->backup < MUXES_MAX &&
         header->operation && header->operation <= ASK_OPERATION_FLOWS_TAKEN &&
         !(header->flags & ~ASK_FLAGS_KNOWN);
}

/* Copies the header that the outer packet in hand carries; 0, or why it is none of ours. */
static __always_inline __u32 read_ask(struct xdp_md *ctx, const struct packet *outer, struct ask *ask) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct udphdr *udp = data + (outer->l4_offset & 0xff);
  __u32 ip_bytes = outer->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
  __u64 *word = (__u64 *)(udp + 1);

  if (outer->l4_offset > 0xff || (void *)(word + ASK_WORDS) > end)
    return DROP_ASK_SIZE;
  __u32 udp_bytes = bpf_ntohs(udp->len);

  /* Without options or extensions, as we write it: then all there is has its place. */
  if (udp_bytes < ASK_BYTES || outer->l4_offset != outer->l3_offset + ip_bytes ||
      outer->length != ip_bytes + udp_bytes || (void *)udp + udp_bytes > end)
    return DROP_ASK_SIZE;
  for (__u32 i = 0; i < ASK_WORDS; i++)
    ask->word[i] = word[i];
  ask->signed_word = 0;
  if (!is_known_format(&ask->header))
    return DROP_ASK_FORMAT;
  return is_from_peer(outer, &ask->header) ? 0 : DROP_ASK_SOURCE;
}

/* Whether the sender counts slots as this mux does. */
static __always_inline bool is_same_slot(const struct ask_header *header, const struct decision *decision) {
  const struct service *service = &services[decision->service & (SERVICES_MAX - 1)];

  return service->pool == header->pool && decision->slot == service->slot_base + header->slot;
}

/* Whether a header is for another mux, or for what this one was before it lost its tables. */
static __always_inline bool is_for_another(const struct ask_header *header) {
  if (header->operation == ASK_OPERATION_ANSWER)
    return header->asker != self.id || header->asker_incarnation != self.incarnation;
  return (header->owner == self.id && header->owner_incarnation != self.incarnation) ||
         (header->backup == self.id && header->backup_incarnation != self.incarnation);
}

/* Every check of a header with a packet behind it that needs no chain. */
static __always_inline __u32 check_ask(struct ask *ask, const struct decision *decision) {
  const struct ask_header *header = &ask->header;

  ask->hash = decision->hash;
  if (!is_signed(ask))
    return DROP_ASK_TAG;
  if (!is_of_now(header))
    return DROP_ASK_TIME;
  if (header->operation != ASK_OPERATION_RELAY) {
    if (!is_same_slot(header, decision))
      return DROP_ASK_SLOT;
    if (is_for_another(header))
      return DROP_ASK_INCARNATION;
  }
  if (header->hops > ASK_HOPS_MAX)
    return DROP_ASK_HOPS;
  if (header->operation < ASK_OPERATION_ANSWER && past_deadline())
    return DROP_ASK_FENCED;
  return 0;
}

/* What is to become of a packet of a tracked slot that came behind a header: the reason that it is counted for. */
static __always_inline __u32 answer(const struct packet *packet, struct decision *decision, struct ask *ask) {
  __u32 operation = ask->header.operation;
  __u32 step = operation == ASK_OPERATION_ASK      ? answer_ask(decision, ask)
               : operation == ASK_OPERATION_RECORD ? answer_record(decision, ask)
                                                   : take_answer(packet, decision, ask);

  return answer_by_table(packet, decision, ask, step);
}

/*
 * What receive_common() leaves to others, whose stack would be too deep on top of its own. What is less is a verdict.
 */
enum received {
  RECEIVED_RARE = 1 << 8, /* the packet is to be parsed and decided about */
  RECEIVED_RELAY, /* it is to be served as if it had come here */
  RECEIVED_MESSAGE, /* there is no packet */
};

/* Decides about the packet behind the header if it is a plain one. */
static __always_inline bool decide_plain(struct xdp_md *ctx, struct packet *packet, struct ask *ask) {
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};
  struct iphdr *ip = (void *)(long)ctx->data + (packet->l3_offset & 0xff);

  if ((void *)(ip + 1) > cursor.end || (*(__u64 *)ip & IPV4_PLAIN_MASK) != IPV4_PLAIN ||
      (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP))
    return false;
  packet->version = 4;
  packet->protocol = ip->protocol;
  packet->length = bpf_ntohs(ip->tot_len);
  packet->traffic_class = ip->tos;
  packet->dont_fragment = !!(ip->frag_off & bpf_htons(IPV4_DONT_FRAGMENT));
  packet->l4_offset = packet->l3_offset + sizeof(*ip);
  map_ipv4_whole(&packet->source, ip->saddr);
  map_ipv4_whole(&packet->destination, ip->daddr);
  cursor.position = ip + 1;
  if (packet->length != ask->room)
    ask->refusal = DROP_ASK_SIZE;
  else if (decide(ctx, packet, &cursor, 4, &ask->decision))
    ask->refusal = DROP_ASK_SERVICE;
  return true;
}

__noinline int decide_carried(struct xdp_md *ctx) {
  struct packet *packet = packet_in_hand_here();
  struct ask *ask = ask_in_hand_here();

  if (!packet || !ask)
    return DROP_INTERNAL;
  ask->refusal = parse_carried(ctx, packet);
  if (!ask->refusal && packet->length != ask->room)
    ask->refusal = DROP_ASK_SIZE;
  if (!ask->refusal && decide_any(ctx, packet, &ask->decision))
    ask->refusal = DROP_ASK_SERVICE;
  return 0;
}

/* Makes the packet behind the header the one in hand, of which nothing is known yet. */
static __always_inline void begin_carried(struct packet *packet, struct ask *ask) {
  __u32 at = packet->l4_offset + ASK_BYTES;

  ask->outer_traffic_class = packet->traffic_class;
  ask->room = packet->length + packet->l3_offset - at;
  ask->refusal = 0;
  ask->decision = (struct decision){.service = SERVICES_MAX, .slot = SLOT_NONE};
  __builtin_memset(packet, 0, sizeof(*packet));
  packet->l3_offset = at;
  packet->hops = ask->header.hops;
}

/* A verdict or enum received. `is_decided`: it was RECEIVED_RARE before. */
__noinline int receive_common(struct xdp_md *ctx, bool is_decided) {
  struct packet *packet = packet_in_hand_here();
  struct ask *ask = ask_in_hand_here();
  __u32 id = self.id & (MUXES_MAX - 1), reason, mux;

  if (!packet || !ask)
    return leave(ctx, DROP_INTERNAL);
  if (!is_decided) {
    if (!id || !is_address_of(id, &packet->destination, BACKEND_PRESENT))
      return leave(ctx, PASS_NOT_A_SERVICE);
    reason = read_ask(ctx, packet, ask);
    if (reason)
      return leave(ctx, reason);
    if (ask->header.operation >= ASK_OPERATION_PROBE)
      return RECEIVED_MESSAGE;
    if (!ask->header.hops)
      return leave(ctx, DROP_ASK_FORMAT);
    begin_carried(packet, ask);
    if (!decide_plain(ctx, packet, ask))
      return RECEIVED_RARE;
  }
  struct decision *decision = &ask->decision;

  if (!ask->refusal && ask->header.operation <= ASK_OPERATION_RECORD)
    touch_flow(decision->hash);
  explain_decision(decision);
  reason = ask->refusal ? ask->refusal : check_ask(ask, decision);
  if (!reason && (ask->outer_traffic_class ^ packet->traffic_class) & ECN_MASK)
    reason = take_congestion(ctx, packet, ask->outer_traffic_class);
  if (reason)
    return leave(ctx, reason);
  if (ask->header.operation == ASK_OPERATION_RELAY)
    return RECEIVED_RELAY;
  reason = finish(decision, ask, answer(packet, decision, ask), &mux);
  return mux == MUX_NONE ? leave_or_forward(ctx, packet, decision, reason)
                         : send_ask_here(ctx, packet, ask, mux, reason);
}

__noinline int receive_rare(struct xdp_md *ctx, int received) {
  struct packet *packet = packet_in_hand_here();
  struct ask *ask = ask_in_hand_here();

  if (!packet || !ask)
    return leave(ctx, DROP_INTERNAL);
  if (received == RECEIVED_MESSAGE)
    return take_message(ctx, packet, ask);
  if (received == RECEIVED_RARE) {
    decide_carried(ctx);
    received = receive_common(ctx, true);
  }
  return received == RECEIVED_RELAY ? serve(ctx, packet, &ask->decision) : received;
}

/* What came to the ask port of some address; the outer headers are in hand. */
static __always_inline int receive(struct xdp_md *ctx) {
  int received = receive_common(ctx, false);

  return received < RECEIVED_RARE ? received : receive_rare(ctx, received);
}
