/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what muxes send to each other: the in-band header, its signature, the outer headers around it, and the checks
 * of what comes to the ask port. Not here: what an ask, a record or an answer means (ask.h), relaying (relay.h),
 * heartbeats (probe.h) and messages of flows (flows.h).
 *
 * A carried packet is never moved: it is read where it stands behind the header (packet->l3_offset), and whatever is
 * put in front of it next, another such header or a tunnel's, takes the place of what was.
 */
#pragma once

#include "ecn.h"
#include "encap.h"
#include "flow.h"
#include "siphash.h"
#include "slot.h"

#define ASK_BYTES  (sizeof(struct udphdr) + sizeof(struct ask_header))
#define ASK_WORDS  (sizeof(struct ask_header) / sizeof(__u64))
#define HASH_BYTES sizeof(__u64)

/* Signed words that stay as they are while the chain does. */
#define ASK_PREFIX_WORDS 5

/* How far the clocks of headers may be apart: 4.3 s. */
#define ASK_TIME_WINDOW 4096

#define ASK_FLAGS_KNOWN                                                                                      \
  (ASK_NEW_FLOW | ASK_UNRECORDED | ASK_LOOK_UP | ASK_PLEDGE | ASK_PAST_DEADLINE | ASK_REFRESH)

/* The header in hand: as it came, then as it goes on. */
struct ask {
  union {
    struct ask_header header;
    __u64 word[ASK_WORDS];
  };
  __u64 hash; /* the last signed word: of the flow that is carried */
  __u64 tag; /* of the two, by compute_tag() */
  struct siphash prefix; /* state behind prefix_word */
  __u64 prefix_word[ASK_PREFIX_WORDS];
  struct decision decision; /* about what is carried; here for the stack's depth */
};

/* The second one is for test runs of `flows`, which a packet may interrupt. */
#define ASK_OF_PACKET 0
#define ASK_OF_TASK   1

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct ask);
} ask_in_hand SEC(".maps");

/* By mux.bpf.c. */
int skip_extensions(struct xdp_md *ctx, struct packet *packet);
int decide_any(struct xdp_md *ctx, struct packet *packet, struct decision *decision);
int serve(struct xdp_md *ctx, struct packet *packet, struct decision *decision);
/* By ask.h: verdicts, their reasons counted. */
int serve_ask(struct xdp_md *ctx, struct packet *packet, struct decision *decision, struct ask *ask);
int serve_record(struct xdp_md *ctx, struct packet *packet, struct decision *decision, struct ask *ask);
int take_answer(struct xdp_md *ctx, struct packet *packet, struct decision *decision, struct ask *ask);
/* By flows.h. */
int take_message(struct xdp_md *ctx, const struct packet *outer, struct ask *ask);

static __always_inline struct ask *ask_in_hand_here(void) {
  __u32 whose = ASK_OF_PACKET;

  return bpf_map_lookup_elem(&ask_in_hand, &whose);
}

static __always_inline __u32 cluster_time(void) {
  return (__u32)(now_ns() >> TICK_SHIFT) + self.time_offset;
}

static __always_inline bool past_deadline(void) {
  return self.deadline < now_jiffies();
}

static __always_inline bool is_same_address(const struct ip_address *one, const struct ip_address *other) {
  const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;

  return a[1] == b[1] && a[0] == b[0];
}

/* SipHash-2-4 of the six words before the tag and the hash, under the key that the header names. */
__noinline int compute_tag(struct ask *ask) {
  if (!ask)
    return DROP_INTERNAL;
  const struct ask_key *key = &ask_keys[ask->header.key_id & (ASK_KEYS_MAX - 1)];
  struct siphash state = ask->prefix;
  __u64 changed = 0;

  for (int i = 0; i < ASK_PREFIX_WORDS; i++)
    changed |= ask->prefix_word[i] ^ ask->word[i];
  if (changed) {
    state = siphash_begin(key->key);
    for (int i = 0; i < ASK_PREFIX_WORDS; i++) {
      ask->prefix_word[i] = ask->word[i];
      siphash_add(&state, ask->word[i]);
    }
    ask->prefix = state;
  }
  siphash_add(&state, ask->word[ASK_PREFIX_WORDS]);
  siphash_add(&state, ask->hash);
  ask->tag = siphash_end(state, (ASK_WORDS - 1) * sizeof(__u64) + HASH_BYTES);
  return 0;
}

/* A header of this mux's own, with nothing said about chain and answer. */
static __always_inline void begin_ask(struct ask *ask, enum ask_operation operation, __u64 hash) {
  __builtin_memset(ask->word, 0, sizeof(ask->word));
  ask->header.format = ASK_FORMAT;
  ask->header.key_id = self.key_id;
  ask->header.asker = self.id;
  ask->header.asker_incarnation = self.incarnation;
  ask->header.time = cluster_time();
  ask->header.version = self.version;
  ask->header.operation = operation;
  ask->hash = hash;
  ask->prefix_word[0] = 0; /* no header begins so */
}

/* Why a packet cannot be sent to a mux behind a header; 0: it can. */
static __always_inline __u32 peer_refuses(__u32 mux, const struct packet *packet) {
  const struct backend *peer = &peers[mux & (MUXES_MAX - 1)], *own = &peers[self.id & (MUXES_MAX - 1)];

  if (!(peer->flags & own->flags & BACKEND_PRESENT) || peer == own || peer->ip_version != own->ip_version)
    return DROP_ASK_PEER;
  return packet->length > peer->inner_mtu ? DROP_TOO_BIG : 0;
}

/* From this mux's own address, which peers know, not from the tunnel's. */
static __always_inline void write_peer_ipv4(struct iphdr *ip, const struct backend *own,
                                            const struct backend *peer, __u8 traffic_class, __u16 length) {
  const __be32 third = bpf_htonl((__u32)OUTER_TTL << 24 | (__u32)IPPROTO_UDP << 16);
  const __u32 from = own->address.word[3], to = peer->address.word[3];
  __u32 *word = (__u32 *)ip;

  word[0] = 0x45 | (__u32)traffic_class << 8 | (__u32)bpf_htons(length) << 16;
  word[1] = bpf_htonl(IPV4_DONT_FRAGMENT);
  word[2] = third | (__u32)fold_checksum((__u64)word[0] + word[1] + third + from + to) << 16;
  word[3] = from;
  word[4] = to;
}

static __always_inline void write_peer_ipv6(struct ipv6hdr *ip, const struct backend *own,
                                            const struct backend *peer, __u8 traffic_class,
                                            __u16 payload_bytes, __u64 hash) {
  const __u64 *from = (const __u64 *)&own->address, *to = (const __u64 *)&peer->address;
  __u32 *word = (__u32 *)ip;
  __u64 *half = (__u64 *)&ip->saddr;

  word[0] = bpf_htonl(6u << 28 | (__u32)traffic_class << 20 | (queue_bits(hash) & FLOW_LABEL_MASK));
  word[1] = bpf_htonl((__u32)payload_bytes << 16 | (__u32)IPPROTO_UDP << 8 | OUTER_TTL);
  half[0] = from[0];
  half[1] = from[1];
  half[2] = to[0];
  half[3] = to[1];
}

/* Puts outer headers and the signed header in front of the packet, for a peer of `shape`. Non-zero: no room. */
static __always_inline int push_ask(struct xdp_md *ctx, const struct packet *packet, const struct ask *ask,
                                    const struct backend *peer, struct shape shape) {
  const __u32 link_bytes = sizeof(struct ethernet_header) + (shape.vlan ? sizeof(struct vlan_header) : 0);
  const __u32 bytes = link_bytes + outer_bytes(shape) + sizeof(struct ask_header);
  const struct backend *own = &peers[self.id & (MUXES_MAX - 1)];
  __u32 udp_bytes = packet->length + ASK_BYTES;

  if (packet->l3_offset != bytes && bpf_xdp_adjust_head(ctx, (int)packet->l3_offset - (int)bytes))
    return -1;

  void *position = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

  if (position + bytes > end)
    return -1;
  write_link(position, peer);
  position += sizeof(struct ethernet_header);
  if (shape.vlan) {
    struct vlan_header *vlan = position;

    ((struct ethernet_header *)(void *)(long)ctx->data)->type = bpf_htons(ETH_P_8021Q);
    vlan->tci = bpf_htons(peer->vlan_tci);
    vlan->encapsulated_protocol = peer->ether_type;
    position = vlan + 1;
  }
  if (shape.version == 4) {
    write_peer_ipv4(position, own, peer, packet->traffic_class, udp_bytes + sizeof(struct iphdr));
    position += sizeof(struct iphdr);
  } else {
    write_peer_ipv6(position, own, peer, packet->traffic_class, udp_bytes, ask->hash);
    position += sizeof(struct ipv6hdr);
  }
  write_gue(position, peer, packet->length + sizeof(struct ask_header), ask->hash);
  position += sizeof(struct udphdr);

  __u64 *word = position;

  for (__u32 i = 0; i < ASK_WORDS - 1; i++)
    word[i] = ask->word[i];
  word[ASK_WORDS - 1] = ask->tag;
  return 0;
}

/*
 * Signs the header in hand and sends it to `mux` with the packet, which came as it is or behind another header: the
 * verdict, with `reason` counted or why it could not be.
 */
__noinline int send_ask(struct xdp_md *ctx, const struct packet *packet, struct ask *ask, __u32 mux,
                        __u32 reason) {
  if (!packet || !ask)
    return leave(ctx, DROP_INTERNAL);
  struct backend *peer = &peers[mux & (MUXES_MAX - 1)];
  __u32 refusal = peer_refuses(mux, packet);
  bool vlan = (peer->flags & (BACKEND_NEXT_HOP | BACKEND_VLAN)) == (BACKEND_NEXT_HOP | BACKEND_VLAN);
  __u32 ifindex = peer->ifindex;
  int failure;

  if (refusal)
    return leave(ctx, refusal);
  if (packet->hops >= ASK_HOPS_MAX)
    return leave(ctx, DROP_ASK_HOPS);
  ask->header.hops = packet->hops + 1;
  compute_tag(ask);
  if (peer->ip_version == 4)
    failure = vlan ? push_ask(ctx, packet, ask, peer, (struct shape){4, true, true})
                   : push_ask(ctx, packet, ask, peer, (struct shape){4, true, false});
  else
    failure = vlan ? push_ask(ctx, packet, ask, peer, (struct shape){6, true, true})
                   : push_ask(ctx, packet, ask, peer, (struct shape){6, true, false});
  if (failure)
    return leave(ctx, DROP_NO_HEADROOM);
  if (!(peer->flags & BACKEND_NEXT_HOP)) {
    failure = resolve_next_hop(ctx, peer->ip_version, &ifindex);
    if (failure)
      return leave(ctx, failure);
  }
  if (observer == OBSERVER_EXPLAIN)
    explanation.ifindex = ifindex;
  return leave_as(ctx, reason, transmit(ctx, ifindex));
}

/*
 * Whether the sender is who it must be: the asker for what has no packet inside, else any peer; most often the asker
 * or one of the chain. Who was removed has no say any more, but may relay: then it is the asker.
 */
__noinline int is_from_peer(const struct packet *outer, const struct ask *ask) {
  if (!outer || !ask)
    return false;
  const struct ask_header *header = &ask->header;
  const __u32 likely[] = {header->asker, header->owner, header->backup};
  __u32 known = header->operation == ASK_OPERATION_RELAY ? BACKEND_PRESENT | PEER_GONE : BACKEND_PRESENT;

  for (__u32 i = 0; i < sizeof(likely) / sizeof(likely[0]); i++) {
    const struct backend *peer = &peers[likely[i] & (MUXES_MAX - 1)];

    if (peer->flags & known && is_same_address(&peer->address, &outer->source))
      return likely[i] != self.id;
    if (header->operation >= ASK_OPERATION_PROBE)
      return false;
  }
  for (__u32 i = 1; i < MUXES_MAX; i++) {
    const struct backend *peer = &peers[i];

    if (peer->flags & BACKEND_PRESENT && is_same_address(&peer->address, &outer->source))
      return i != self.id;
  }
  return false;
}

/* Whether this is a header that this version can read. */
static __always_inline bool is_known_format(const struct ask_header *header) {
  return header->format == ASK_FORMAT && !header->reserved && header->asker && header->asker < MUXES_MAX &&
         header->owner < MUXES_MAX && header->backup < MUXES_MAX && header->operation &&
         header->operation <= ASK_OPERATION_FLOWS_TAKEN && !(header->flags & ~ASK_FLAGS_KNOWN);
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
  ask->prefix_word[0] = 0;
  if (!is_known_format(&ask->header))
    return DROP_ASK_FORMAT;
  return is_from_peer(outer, ask) ? 0 : DROP_ASK_SOURCE;
}

static __always_inline bool is_signed(struct ask *ask) {
  const struct ask_key *key = &ask_keys[ask->header.key_id & (ASK_KEYS_MAX - 1)];

  compute_tag(ask);
  return key->present && ask->tag == ask->header.tag;
}

static __always_inline bool is_of_now(const struct ask_header *header) {
  return cluster_time() - header->time + ASK_TIME_WINDOW <= 2 * ASK_TIME_WINDOW;
}

/* The IP packet at `l3_offset`, which is all else in `packet` that is set; 0, or why not. */
__noinline int parse_carried(struct xdp_md *ctx, struct packet *packet) {
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};

  if (!packet)
    return DROP_INTERNAL;
  cursor.position = (void *)(long)ctx->data + (packet->l3_offset & 0xff);
  __u8 *first = cursor.position;

  if ((void *)(first + 1) > cursor.end)
    return DROP_ASK_SIZE;
  if (*first >> 4 == 4 ? parse_ipv4(&cursor, packet) : parse_ipv6(&cursor, packet))
    return DROP_ASK_SERVICE;
  packet->l4_offset = cursor.position - (void *)(long)ctx->data;
  return packet->version == 6 && skip_extensions(ctx, packet) ? DROP_ASK_SERVICE : 0;
}

/* Marks congestion that was met between muxes in the packet itself, or says to drop it. */
__noinline int take_congestion(struct xdp_md *ctx, struct packet *packet, __u32 outer) {
  if (!packet)
    return DROP_INTERNAL;
  void *ip = (void *)(long)ctx->data + (packet->l3_offset & 0xff);
  int ecn = combine_ecn(outer, packet->traffic_class);

  if (ecn < 0)
    return DROP_ECN;
  if (ecn == (packet->traffic_class & ECN_MASK))
    return 0;
  if (ip + sizeof(struct iphdr) > (void *)(long)ctx->data_end)
    return DROP_INTERNAL;
  write_ecn(ip, packet->version, ecn);
  packet->traffic_class = (packet->traffic_class & ~ECN_MASK) | ecn;
  return 0;
}

/* Whether the sender counts slots as this mux does. */
static __always_inline bool is_same_slot(const struct ask_header *header, const struct decision *decision) {
  const struct service *service = &services[decision->service & (SERVICES_MAX - 1)];

  return service->pool == header->pool && decision->slot == service->slot_base + header->slot;
}

/* Whether the mux that a header names as this one had lost its tables when it was named so. */
static __always_inline bool names_former_self(const struct ask_header *header) {
  if (header->operation == ASK_OPERATION_ANSWER)
    return header->asker == self.id && header->asker_incarnation != self.incarnation;
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
    if (names_former_self(header))
      return DROP_ASK_INCARNATION;
  }
  if (header->hops > ASK_HOPS_MAX)
    return DROP_ASK_HOPS;
  if (header->operation < ASK_OPERATION_ANSWER && past_deadline())
    return DROP_ASK_FENCED;
  return 0;
}

/* What a peer has wrapped. The outer headers are those in hand. */
__noinline int receive_carried(struct xdp_md *ctx, struct packet *packet, struct ask *ask) {
  if (!packet || !ask)
    return leave(ctx, DROP_INTERNAL);
  struct decision *decision = &ask->decision;
  __u32 outer_traffic_class = packet->traffic_class, at = packet->l4_offset + ASK_BYTES;
  __u32 room = packet->length + packet->l3_offset - at;

  __builtin_memset(packet, 0, sizeof(*packet));
  *decision = (struct decision){.service = SERVICES_MAX, .slot = SLOT_NONE};
  packet->l3_offset = at;
  packet->hops = ask->header.hops;
  if (!packet->hops)
    return leave(ctx, DROP_ASK_FORMAT);
  __u32 reason = parse_carried(ctx, packet);

  if (!reason && packet->length != room)
    reason = DROP_ASK_SIZE;
  if (!reason && decide_any(ctx, packet, decision))
    reason = DROP_ASK_SERVICE;
  explain_decision(decision);
  if (ask->header.operation <= ASK_OPERATION_RECORD)
    touch_flow(decision->hash);
  if (!reason)
    reason = check_ask(ask, decision);
  if (!reason)
    reason = take_congestion(ctx, packet, outer_traffic_class);
  if (reason)
    return leave(ctx, reason);
  switch (ask->header.operation) {
  case ASK_OPERATION_ASK:
    return serve_ask(ctx, packet, decision, ask);
  case ASK_OPERATION_RECORD:
    return serve_record(ctx, packet, decision, ask);
  case ASK_OPERATION_ANSWER:
    return take_answer(ctx, packet, decision, ask);
  default:
    return serve(ctx, packet, decision);
  }
}

/* What came to the ask port of some address; the outer headers are in hand. */
__noinline int receive(struct xdp_md *ctx) {
  struct packet *packet = packet_in_hand_here();
  struct ask *ask = ask_in_hand_here();
  __u32 id = self.id & (MUXES_MAX - 1);

  if (!packet || !ask)
    return leave(ctx, DROP_INTERNAL);
  if (!id || !(peers[id].flags & BACKEND_PRESENT) ||
      !is_same_address(&peers[id].address, &packet->destination))
    return leave(ctx, PASS_NOT_A_SERVICE);
  __u32 reason = read_ask(ctx, packet, ask);

  if (reason)
    return leave(ctx, reason);
  return ask->header.operation < ASK_OPERATION_PROBE ? receive_carried(ctx, packet, ask)
                                                     : take_message(ctx, packet, ask);
}
