/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The other end of the tunnel: takes the outer header off packets for service addresses that come from configured
 * muxes, and passes them to the host, whose loopback has the service address. Everything else stays as it is: a host
 * may have tunnels of its own.
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#include "ecn.h"
#include "service.h"
#include "strip.h"
#include "verdict.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __be16 gue_port = 0;

/*
 * Prefixes of the muxes' tunnel sources, in two banks: user space fills the one that is not in use and then switches,
 * so that a packet is judged by the whole old set or the whole new one.
 */
struct mux_source mux_sources[2 * MUX_SOURCES_MAX] SEC(".data.mux_sources") = {};

/* How many there are, and from bit 16 on the bank that they are in. */
volatile __u32 mux_source_set SEC(".data.mux_source_set") = 0;

/* Verified once: inlined it would be for each path that comes here, and loading would take 240 ms instead of 17. */
__noinline int is_mux(const struct ip_address *source) {
  if (!source)
    return false;
  __u32 set = mux_source_set, count = set & 0xffff, first = (set >> 16 & 1) * MUX_SOURCES_MAX;

  for (__u32 i = 0; i < MUX_SOURCES_MAX && i < count; i++) {
    const struct mux_source *mux = &mux_sources[first + i];

    if ((source->word[0] & mux->mask.word[0]) == mux->address.word[0] &&
        (source->word[1] & mux->mask.word[1]) == mux->address.word[1] &&
        (source->word[2] & mux->mask.word[2]) == mux->address.word[2] &&
        (source->word[3] & mux->mask.word[3]) == mux->address.word[3])
      return true;
  }
  return false;
}

/* A mux's source, the inner packet's destination: neither, one or both. */
static __always_inline __u32 admit(const struct packet *outer, const struct packet *inner) {
  __u32 place;
  bool from_mux = is_mux(&outer->source);
  bool for_service = inner->version == 4 ? !!find_address(&inner->destination, 4, &place)
                                         : !!find_address(&inner->destination, 6, &place);

  if (observer == OBSERVER_EXPLAIN)
    explanation.decision.service = for_service ? place : SERVICES_MAX;
  if (from_mux)
    return for_service ? DECAP : DROP_NOT_FOR_SERVICE;
  return for_service ? DROP_FOREIGN_TUNNEL : PASS_NOT_TUNNELLED;
}

/* Steps over the tunnel header; false where the packet is no tunnel packet of a kind we make. */
static __always_inline bool skip_tunnel_header(struct cursor *cursor, const struct packet *outer) {
  struct udphdr *udp = cursor->position;

  if (outer->fragment != FRAGMENT_NONE)
    return false;
  if (outer->protocol == IPPROTO_IPIP || outer->protocol == IPPROTO_IPV6)
    return true;
  if (outer->protocol != IPPROTO_UDP || (void *)(udp + 1) > cursor->end || udp->dest != gue_port || !gue_port)
    return false;
  cursor->position = udp + 1;
  return true;
}

/* The inner packet, whose version the tunnel header or, for GUE variant 1, its own first four bits tell. */
static __always_inline int parse_inner(struct cursor *cursor, const struct packet *outer,
                                       struct packet *inner) {
  __u8 *first = cursor->position;

  if ((void *)(first + 1) > cursor->end)
    return PARSE_MALFORMED;
  int version = *first >> 4;

  if ((outer->protocol == IPPROTO_IPIP && version != 4) || (outer->protocol == IPPROTO_IPV6 && version != 6))
    return PARSE_MALFORMED;
  if (version == 4)
    return parse_ipv4(cursor, inner);
  return parse_ipv6(cursor, inner);
}

/* Parses, judges and prepares; returns the reason to leave for and, with DECAP, where the inner packet starts. */
static __always_inline __u32 examine(struct xdp_md *ctx, struct packet *outer, struct packet *inner) {
  void *data = (void *)(long)ctx->data;
  struct cursor cursor = {.position = data, .end = (void *)(long)ctx->data_end};
  int type = parse_ethernet(&cursor);

  outer->l3_offset = cursor.position - data;
  if (type == bpf_htons(ETH_P_IP)) {
    if (parse_ipv4(&cursor, outer))
      return PASS_MALFORMED;
  } else if (type == bpf_htons(ETH_P_IPV6)) {
    if (parse_ipv6(&cursor, outer))
      return PASS_MALFORMED;
  } else {
    return PASS_NOT_IP;
  }
  if (!skip_tunnel_header(&cursor, outer))
    return PASS_NOT_TUNNELLED;

  void *inner_start = cursor.position;

  if (parse_inner(&cursor, outer, inner))
    return is_mux(&outer->source) ? DROP_TRUNCATED : PASS_NOT_TUNNELLED;
  __u32 reason = admit(outer, inner);

  if (reason != DECAP)
    return reason;
  inner->l3_offset = inner_start - data;
  /* What lies behind the end of the outer packet is not the inner packet's. */
  if (inner_start + inner->length > cursor.end ||
      inner->l3_offset + inner->length > outer->l3_offset + outer->length)
    return DROP_TRUNCATED;

  int ecn = combine_ecn(outer->traffic_class, inner->traffic_class);

  if (ecn < 0)
    return DROP_ECN;
  if (ecn != (inner->traffic_class & ECN_MASK)) {
    if (inner_start + sizeof(struct iphdr) > cursor.end)
      return DROP_TRUNCATED;
    write_ecn(inner_start, inner->version, ecn);
  }
  return DECAP;
}

SEC("xdp")
int decap(struct xdp_md *ctx) {
  struct packet *outer = packet_in_hand_here();
  struct packet inner = {};

  if (!outer)
    return leave(ctx, DROP_INTERNAL);
  __builtin_memset(outer, 0, sizeof(*outer));
  __u32 reason = examine(ctx, outer, &inner);

  if (reason != DECAP)
    return leave(ctx, reason);

  __be16 type = inner.version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
  __u32 outer_bytes = inner.l3_offset - outer->l3_offset;
  const __u32 tag = sizeof(struct vlan_header), ethernet = sizeof(struct ethernet_header);
  int failure = outer->l3_offset == ethernet         ? strip(ctx, ethernet, outer_bytes, type)
                : outer->l3_offset == ethernet + tag ? strip(ctx, ethernet + tag, outer_bytes, type)
                                                     : strip(ctx, ethernet + 2 * tag, outer_bytes, type);

  return leave(ctx, failure ? DROP_INTERNAL : DECAP);
}
