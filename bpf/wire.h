/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what muxes send to each other: the in-band header, its signature and the outer headers around it. Not here: the
 * checks of what comes (receive.h), what an ask, a record or an answer means (answer.h, ask.h), relaying (relay.h), heartbeats
 * (probe.h) and messages of flows (flows.h).
 *
 * A carried packet is never moved: it is read where it stands behind the header (packet->l3_offset), and whatever is
 * put in front of it next, another such header or a tunnel's, takes the place of what was.
 */
#pragma once

#include "encap.h"
#include "flow.h"
#include "peer.h"
#include "siphash.h"
#include "slot.h"

#define ASK_BYTES (sizeof(struct udphdr) + sizeof(struct ask_header))
#define ASK_WORDS (sizeof(struct ask_header) / sizeof(__u64))

/* Words of the header that stay as they are while the chain does. */
#define ASK_PREFIX_WORDS 5

/* What is signed: these, the hash, and the next word with the length in place of its last byte. */
#define ASK_SIGNED_BYTES 55
#define ASK_LAST_MASK    ((1ull << 56) - 1)

/* The header in hand: as it came, then as it goes on. */
struct ask {
  union {
    struct ask_header header;
    __u64 word[ASK_WORDS];
  };
  __u64 hash; /* of the flow that is carried */
  __u64 tag; /* by sign() */
  __u64 signed_word; /* the last one that it is of; 0: there is none */
  struct siphash prefix; /* state behind the hash, where there is a signed word */
  /* What is known of what is carried; here for the stack's depth. */
  struct decision decision;
  __u32 refusal; /* why there is none; 0: there is */
  __u32 room; /* bytes behind the header */
  __u32 outer_traffic_class;
  __u32 reserved;
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

/*
 * What hops change stands in one word, which changes in one store: it is read whole to be signed, and a load that needs
 * more than one store before it waits until all of them, and what they queue behind, have come to the cache.
 */
#define ASK_LAST_SHIFT(member) (8 * (offsetof(struct ask_header, member) % sizeof(__u64)))

static __always_inline void put_in_last(struct ask *ask, __u32 shift, __u64 mask, __u64 value) {
  volatile __u64 *last = &ask->word[ASK_PREFIX_WORDS];

  *last = (*last & ~(mask << shift)) | value << shift;
}

static __always_inline void set_operation(struct ask *ask, enum ask_operation operation, __u8 hops) {
  put_in_last(ask, ASK_LAST_SHIFT(operation), 0xffff, operation | hops << 8);
}

static __always_inline void set_answer(struct ask *ask, __u16 backend, __u16 generation) {
  put_in_last(ask, ASK_LAST_SHIFT(backend), 0xffffffff, backend | (__u64)generation << 16);
}

static __always_inline void add_flags(struct ask *ask, __u8 flags) {
  put_in_last(ask, ASK_LAST_SHIFT(flags), 0, flags);
}
_Static_assert(offsetof(struct ask_header, operation) == ASK_PREFIX_WORDS * sizeof(__u64) &&
                   offsetof(struct ask_header, hops) == offsetof(struct ask_header, operation) + 1 &&
                   offsetof(struct ask_header, generation) == offsetof(struct ask_header, backend) + 2,
               "as they are written together");

static __always_inline struct ask *ask_in_hand_here(void) {
  __u32 whose = ASK_OF_PACKET;

  return bpf_map_lookup_elem(&ask_in_hand, &whose);
}

/*
 * Puts the tag of the header in hand into ask->tag, as far as it is not there: who changes what stands before the last
 * word, or the hash, sets `signed_word` to 0.
 */
static __always_inline void sign(struct ask *ask) {
  __u64 last = (ask->word[ASK_PREFIX_WORDS] & ASK_LAST_MASK) | (__u64)ASK_SIGNED_BYTES << 56;

  if (ask->signed_word == last)
    return;
  if (!ask->signed_word) {
    struct siphash state = siphash_begin(ask_keys[ask->header.key_id & (ASK_KEYS_MAX - 1)].key);

    for (int i = 0; i < ASK_PREFIX_WORDS; i++)
      siphash_add(&state, ask->word[i]);
    siphash_add(&state, ask->hash);
    ask->prefix = state;
  }
  ask->signed_word = last;
  ask->tag = siphash_last(ask->prefix, last);
}

__noinline int compute_tag(struct ask *ask) {
  if (!ask)
    return DROP_INTERNAL;
  sign(ask);
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
  ask->signed_word = 0;
}

/* Why a packet cannot be sent to a mux behind a header; 0: it can. */
static __always_inline __u32 peer_refuses(__u32 mux, const struct packet *packet) {
  const struct backend *peer = &peers[mux & (MUXES_MAX - 1)], *own = &peers[self.id & (MUXES_MAX - 1)];

  if (!(peer->flags & own->flags & BACKEND_PRESENT) || peer == own || peer->ip_version != own->ip_version)
    return DROP_ASK_PEER;
  return packet->length > peer->inner_mtu ? DROP_TOO_BIG : 0;
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

/* The shapes that few peers have: 0, or there is no room. */
__noinline int push_ask_rare(struct xdp_md *ctx, const struct packet *packet, const struct ask *ask,
                             const struct backend *peer, __u32 is_tagged) {
  if (!packet || !ask || !peer)
    return -1;
  if (peer->ip_version == 4)
    return push_ask(ctx, packet, ask, peer, (struct shape){4, true, true});
  return is_tagged ? push_ask(ctx, packet, ask, peer, (struct shape){6, true, true})
                   : push_ask(ctx, packet, ask, peer, (struct shape){6, true, false});
}

/*
 * Signs the header in hand and sends it to `mux` with the packet, which came as it is or behind another header: the
 * verdict, with `reason` counted or why it could not be.
 */
static __always_inline int send_ask_here(struct xdp_md *ctx, const struct packet *packet, struct ask *ask,
                                         __u32 mux, __u32 reason) {
  struct backend *peer = &peers[mux & (MUXES_MAX - 1)];
  __u32 refusal = peer_refuses(mux, packet);
  bool vlan = (peer->flags & (BACKEND_NEXT_HOP | BACKEND_VLAN)) == (BACKEND_NEXT_HOP | BACKEND_VLAN);
  __u32 ifindex = peer->ifindex;
  int failure;

  if (refusal)
    return leave(ctx, refusal);
  if (packet->hops >= ASK_HOPS_MAX)
    return leave(ctx, DROP_ASK_HOPS);
  set_operation(ask, ask->header.operation, packet->hops + 1);
  sign(ask);
  if (__builtin_expect(peer->ip_version == 4 && !vlan, 1))
    failure = push_ask(ctx, packet, ask, peer, (struct shape){4, true, false});
  else
    failure = push_ask_rare(ctx, packet, ask, peer, vlan);
  if (failure)
    return leave(ctx, DROP_NO_HEADROOM);
  if (__builtin_expect(!(peer->flags & BACKEND_NEXT_HOP), 0)) {
    failure = resolve_next_hop(ctx, peer->ip_version, &ifindex);
    if (failure)
      return leave(ctx, failure);
  }
  if (observer == OBSERVER_EXPLAIN)
    explanation.ifindex = ifindex;
  return leave_as(ctx, reason, transmit(ctx, ifindex));
}

__noinline int send_ask(struct xdp_md *ctx, const struct packet *packet, struct ask *ask, __u32 mux,
                        __u32 reason) {
  return packet && ask ? send_ask_here(ctx, packet, ask, mux, reason) : leave(ctx, DROP_INTERNAL);
}

static __always_inline bool is_signed(struct ask *ask) {
  const struct ask_key *key = &ask_keys[ask->header.key_id & (ASK_KEYS_MAX - 1)];

  sign(ask);
  return key->present && ask->tag == ask->header.tag;
}

static __always_inline bool is_of_now(const struct ask_header *header) {
  return is_near(header->time);
}
