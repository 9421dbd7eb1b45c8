/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns how a query travels: the in-band header between filters, its signature, the outer headers around it, who is asked
 * next, and every check of what comes before anything is believed. Not here: what a holder or the asker makes of it
 * (filter.bpf.c).
 *
 * The query is the packet itself: nothing is kept of it where it has been. It is never moved: it is read where it stands
 * behind the header (packet->l3_offset).
 */
#pragma once

#include "ecn.h"
#include "foreign.h"
#include "heartbeat.h"
#include "peer.h"
#include "siphash.h"
#include "subject.h"

#define QUERY_BYTES (sizeof(struct udphdr) + sizeof(struct query_header))
#define QUERY_WORDS (sizeof(struct query_header) / sizeof(__u64))

#define QUERY_FLAGS_KNOWN (ASK_NEW_FLOW | ASK_PLEDGE | ASK_PAST_DEADLINE | ASK_CUT | ASK_CONNECTION)

/* The header in hand: as it came, then as it goes on. */
struct query {
  union {
    struct query_header header;
    __u64 word[QUERY_WORDS];
  };
  __u64 hash; /* of the key of what is carried; probes: 0 */
  __u32 room; /* bytes behind the header */
  __u16 link_bytes; /* of the frame that it came in */
  __u8 outer_traffic_class;
  __u8 reserved;
};

/* The second one is for test runs of `affinity`, which a packet may interrupt. */
#define QUERY_OF_PACKET 0
#define QUERY_OF_TASK   1

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct query);
} query_in_hand SEC(".maps");

static __always_inline struct query *query_in_hand_here(__u32 whose) {
  return bpf_map_lookup_elem(&query_in_hand, &whose);
}

static __always_inline bool is_tracked(__u64 slot_word) {
  return slot_word >> SLOT_TRACKED_SHIFT & 1;
}

static __always_inline __u16 current_of(__u64 slot_word) {
  return slot_word;
}

static __always_inline __u16 base_of(__u64 slot_word) {
  return slot_word >> SLOT_BASE_SHIFT;
}

/* Whether an id in a slot is this server. One that is alone answers what anybody would. */
static __always_inline bool is_self(__u32 server) {
  return server != SERVER_NONE && (server == self.id || !self.id);
}

/* Of a tracked slot; NULL where nobody else may hold its affinities. */
static __always_inline struct bucket_holders *find_holders(__u64 slot_word) {
  __u32 index = slot_word >> SLOT_CHAIN_SHIFT;

  return index && is_tracked(slot_word) ? bpf_map_lookup_elem(&holders, &index) : NULL;
}

/* The tag of the header in hand. */
__noinline __u64 compute_query_tag(const struct query *query) {
  if (!query)
    return 0;
  struct siphash state = siphash_begin(ask_keys[query->header.key_id & (ASK_KEYS_MAX - 1)].key);

  for (__u32 i = 0; i < QUERY_WORDS - 1; i++)
    siphash_add(&state, query->word[i]);
  siphash_add(&state, query->hash);
  return siphash_end(state, sizeof(struct query_header));
}

/* A header of this server's own. */
static __always_inline void begin_query(struct query *query, enum query_operation operation, __u64 hash) {
  __builtin_memset(query->word, 0, sizeof(query->word));
  query->header.format = QUERY_FORMAT;
  query->header.key_id = self.key_id;
  query->header.operation = operation;
  query->header.asker = self.id;
  query->header.sender = self.id;
  query->header.asker_incarnation = self.incarnation;
  query->header.time = cluster_time();
  query->header.version = self.version;
  query->hash = hash;
}

/*
 * Who is asked: the holders but this server, and of a bucket that is being released the current server, too, who may
 * have the client by now. False where these are more than a query can ask.
 */
static __always_inline bool list_holders(struct query *query, __u64 slot_word) {
  struct bucket_holders *known = find_holders(slot_word);
  struct query_header *header = &query->header;
  __u32 current = current_of(slot_word), count = 0;

  if (!self.id)
    return true;
  if (current != self.id && current != SERVER_NONE)
    header->holder[count++] = current;
  for (__u32 i = 0; known && i < HOLDERS_MAX && i < known->count; i++) {
    __u32 server = known->holder[i].server;

    if (server == SERVER_NONE || server == self.id || server == current)
      continue;
    if (count >= HOLDERS_MAX)
      return false;
    header->holder[MASKED(count, HOLDERS_MAX - 1)] = server;
    count++;
  }
  header->count = count;
  header->record = slot_word >> SLOT_CHAIN_SHIFT;
  return true;
}

/* A holder that is there, from `first` on: its position; HOLDERS_MAX: there is none. */
__noinline int find_holder(const struct query *query, __u32 first) {
  if (!query)
    return HOLDERS_MAX;
  for (__u32 i = 0; i < HOLDERS_MAX; i++) {
    __u32 server = query->header.holder[i];

    if (i >= first && i < query->header.count && server != self.id && server != query->header.asker &&
        find_server(server)->flags & BACKEND_PRESENT)
      return i;
  }
  return HOLDERS_MAX;
}

/* Why a packet cannot be sent to a server behind a header; 0: it can. */
static __always_inline __u32 server_refuses(__u32 server, const struct packet *packet) {
  const struct backend *peer = find_server(server), *own = find_server(self.id);

  if (!(peer->flags & own->flags & BACKEND_PRESENT) || peer == own || peer->ip_version != own->ip_version)
    return DROP_ASK_PEER;
  return packet->length > peer->inner_mtu ? DROP_TOO_BIG : 0;
}

/* Puts outer headers and the header in hand in front of the packet, for a peer of `shape`. Non-zero: no room. */
static __always_inline int push_query(struct xdp_md *ctx, const struct packet *packet,
                                      const struct query *query, const struct backend *peer,
                                      struct shape shape) {
  const __u32 link_bytes = sizeof(struct ethernet_header) + (shape.vlan ? sizeof(struct vlan_header) : 0);
  const __u32 bytes = link_bytes + outer_bytes(shape) + sizeof(struct query_header);
  const struct backend *own = find_server(self.id);
  __u32 udp_bytes = packet->length + QUERY_BYTES;

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
    write_peer_ipv6(position, own, peer, packet->traffic_class, udp_bytes, query->hash);
    position += sizeof(struct ipv6hdr);
  }
  write_gue(position, peer, packet->length + sizeof(struct query_header), query->hash);
  position += sizeof(struct udphdr);

  __u64 *word = position;

  for (__u32 i = 0; i < QUERY_WORDS; i++)
    word[i] = query->word[i];
  return 0;
}

static __always_inline int push_query_any(struct xdp_md *ctx, const struct packet *packet,
                                          const struct query *query, const struct backend *peer) {
  bool vlan = (peer->flags & (BACKEND_NEXT_HOP | BACKEND_VLAN)) == (BACKEND_NEXT_HOP | BACKEND_VLAN);

  if (peer->ip_version == 4)
    return vlan ? push_query(ctx, packet, query, peer, (struct shape){4, true, true})
                : push_query(ctx, packet, query, peer, (struct shape){4, true, false});
  return vlan ? push_query(ctx, packet, query, peer, (struct shape){6, true, true})
              : push_query(ctx, packet, query, peer, (struct shape){6, true, false});
}

/* Signs the header in hand and sends it to a server, with the packet: the verdict, with `reason` or why not. */
__noinline int send_query(struct xdp_md *ctx, const struct packet *packet, struct query *query, __u32 to,
                          __u32 reason) {
  if (!packet || !query)
    return leave(ctx, DROP_INTERNAL);
  const struct backend *peer = find_server(to);
  __u32 refusal = server_refuses(to, packet), ifindex = peer->ifindex;

  if (refusal)
    return leave(ctx, refusal);
  if (query->header.hops >= QUERY_HOPS_MAX)
    return leave(ctx, DROP_ASK_HOPS);
  query->header.hops++;
  query->header.sender = self.id;
  query->header.tag = compute_query_tag(query);
  if (push_query_any(ctx, packet, query, peer))
    return leave(ctx, DROP_NO_HEADROOM);
  if (!(peer->flags & BACKEND_NEXT_HOP)) {
    int failure = resolve_next_hop(ctx, peer->ip_version, &ifindex);

    if (failure)
      return leave(ctx, failure);
  }
  if (observer == OBSERVER_EXPLAIN) {
    explanation.ifindex = ifindex;
    filter_explanation.asked = to;
  }
  return leave_as(ctx, reason, transmit(ctx, ifindex));
}

/* Whether this is a header that this version can read. */
static __always_inline bool is_known_query(const struct query_header *header) {
  return header->format == QUERY_FORMAT && !header->reserved && header->asker &&
         header->asker < SERVERS_MAX && header->sender && header->sender < SERVERS_MAX &&
         header->answer < SERVERS_MAX && header->operation &&
         header->operation <= QUERY_OPERATION_PROBE_ANSWER && !(header->flags & ~QUERY_FLAGS_KNOWN) &&
         header->count <= HOLDERS_MAX;
}

/* Copies the header that the outer packet in hand carries; 0, or why it is none of ours. */
static __always_inline __u32 read_query(struct xdp_md *ctx, const struct packet *outer, struct query *query) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct udphdr *udp = data + (outer->l4_offset & 0xff);
  __u32 ip_bytes = outer->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
  __u64 *word = (__u64 *)(udp + 1);

  if (outer->l4_offset > 0xff || (void *)(word + QUERY_WORDS) > end)
    return DROP_ASK_SIZE;
  __u32 udp_bytes = bpf_ntohs(udp->len);

  /* Without options or extensions, as we write it: then all there is has its place. */
  if (udp_bytes < QUERY_BYTES || outer->l4_offset != outer->l3_offset + ip_bytes ||
      outer->length != ip_bytes + udp_bytes || (void *)udp + udp_bytes > end)
    return DROP_ASK_SIZE;
  for (__u32 i = 0; i < QUERY_WORDS; i++)
    query->word[i] = word[i];
  query->room = udp_bytes - QUERY_BYTES;
  query->link_bytes = outer->l3_offset;
  query->outer_traffic_class = outer->traffic_class;
  if (!is_known_query(&query->header))
    return DROP_ASK_FORMAT;
  const struct backend *sender = find_server(query->header.sender);

  if (!(sender->flags & BACKEND_PRESENT) || query->header.sender == self.id ||
      !is_same_address(&sender->address, &outer->source))
    return DROP_ASK_SOURCE;
  return 0;
}

static __always_inline bool is_signed(const struct query *query) {
  return ask_keys[query->header.key_id & (ASK_KEYS_MAX - 1)].present &&
         compute_query_tag(query) == query->header.tag;
}

/* Whether the header is for this server as it is now, and has come as one that was sent so can. */
static __always_inline __u32 check_target(const struct query_header *header) {
  __u32 position = header->position;

  if (!header->hops || header->hops > QUERY_HOPS_MAX || position >= header->count ||
      header->hops > position + 1 + (header->operation == QUERY_OPERATION_HOME))
    return DROP_ASK_HOPS;
  if (header->operation == QUERY_OPERATION_HOME)
    return header->asker != self.id || header->asker_incarnation != self.incarnation ? DROP_ASK_INCARNATION
                                                                                     : 0;
  return header->holder[MASKED(position, HOLDERS_MAX - 1)] != self.id || header->asker == self.id
             ? DROP_ASK_INCARNATION
             : 0;
}

/* Checks of a header whose carried packet has been read; 0, or why it is dropped. */
__noinline int check_query(const struct query *query, const struct subject *subject) {
  if (!query || !subject)
    return DROP_INTERNAL;
  const struct decision *decision = &subject->decision;
  const struct service *service = service_of(decision);

  if (!is_signed(query))
    return DROP_ASK_TAG;
  if (cluster_time() - query->header.time + QUERY_TIME_WINDOW > 2 * QUERY_TIME_WINDOW)
    return DROP_ASK_TIME;
  if (service->pool != query->header.pool || decision->slot != service->slot_base + query->header.slot)
    return DROP_ASK_SLOT;
  __u32 reason = check_target(&query->header);

  if (reason)
    return reason;
  return past_deadline() ? DROP_ASK_FENCED : 0;
}

/* The packet behind the header and what it is about; 0, or why not. The outer headers were in hand. */
__noinline int read_carried(struct xdp_md *ctx, struct packet *packet, struct query *query,
                            struct subject *subject) {
  if (!packet || !query || !subject)
    return DROP_INTERNAL;
  __u32 at = packet->l4_offset + QUERY_BYTES;

  __builtin_memset(packet, 0, sizeof(*packet));
  packet->l3_offset = at;
  packet->hops = query->header.hops;
  __u32 reason = parse_carried(ctx, packet);

  if (reason)
    return reason;
  if (packet->length != query->room && !(query->header.flags & ASK_CUT && packet->length > query->room))
    return DROP_ASK_SIZE;
  packet->length = query->room;
  if (find_subject(ctx, packet, subject) || subject->kind > SUBJECT_ERROR)
    return DROP_ASK_SERVICE;
  query->hash = subject->decision.hash;
  return 0;
}

/* Sends the answer to a probe back, in place of that: the verdict. */
static __always_inline int turn_round(struct xdp_md *ctx, const struct packet *outer, struct query *query,
                                      __u32 to) {
  __u8 traffic_class = outer->traffic_class & ~ECN_MASK;
  __u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

  asm volatile("" : "+r"(length)); /* a difference of pointers may not become part of a narrower sum */
  if (bpf_xdp_adjust_tail(ctx, (int)(outer->l4_offset + QUERY_BYTES) - (int)length))
    return leave(ctx, DROP_INTERNAL);
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  void *ip = data + (outer->l3_offset & 0xff);
  struct udphdr *udp = data + (outer->l4_offset & 0xff);
  __u64 *word = (__u64 *)(udp + 1);

  if (data + sizeof(struct ethernet_header) > end || (void *)(word + QUERY_WORDS) > end ||
      ip + sizeof(struct ipv6hdr) > end)
    return leave(ctx, DROP_INTERNAL);
  const struct backend *own = find_server(self.id), *peer = find_server(to);

  swap_macs(data);
  if (outer->version == 4)
    write_peer_ipv4(ip, own, peer, traffic_class, sizeof(struct iphdr) + QUERY_BYTES);
  else
    write_peer_ipv6(ip, own, peer, traffic_class, QUERY_BYTES, 0);
  write_gue(udp, peer, sizeof(struct query_header), 0);
  for (__u32 i = 0; i < QUERY_WORDS; i++)
    word[i] = query->word[i];
  return leave(ctx, REPLY_PROBE);
}

/* What has no packet inside. The outer headers are in hand. */
__noinline int take_probe(struct xdp_md *ctx, const struct packet *outer, struct query *query) {
  if (!outer || !query)
    return leave(ctx, DROP_INTERNAL);
  struct query_header *header = &query->header;
  __u32 peer = header->asker & (SERVERS_MAX - 1), number = header->slot, key_id = header->key_id;

  query->hash = 0;
  if (query->room)
    return leave(ctx, DROP_ASK_SIZE);
  if (header->asker != header->sender)
    return leave(ctx, DROP_ASK_SOURCE);
  if (!is_signed(query))
    return leave(ctx, DROP_ASK_TAG);
  if (header->operation == QUERY_OPERATION_PROBE_ANSWER) {
    struct heartbeat said = {
        .number = number,
        .version = header->version,
        .incarnation = header->asker_incarnation,
        .time = header->time,
        .flags = header->flags,
    };

    return leave(ctx, header->answer != self.id ? DROP_ASK_INCARNATION
                                                : note_heartbeat(&peer_states[peer], &said));
  }
  bool pledged = header->flags & ASK_PLEDGE && pledge(&peer_states[peer], find_server(peer), header->version);

  if (is_near(header->time))
    hear(&peer_states[peer], header->flags);
  begin_query(query, QUERY_OPERATION_PROBE_ANSWER, 0);
  header->slot = number;
  header->key_id = key_id;
  header->answer = peer;
  header->flags = (pledged ? ASK_PLEDGE : 0) | (past_deadline() ? ASK_PAST_DEADLINE : 0);
  header->tag = compute_query_tag(query);
  return turn_round(ctx, outer, query, peer);
}
