/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the outer headers and the way out of the NIC: IP in IP (RFC 2003, RFC 2473, RFC 4213) and GUE variant 1 over
 * both IP versions, the next hop, and the choice between transmitting and redirecting.
 *
 * The traffic class is copied whole: DSCP as is, ECN as RFC 6040 section 4.1 (normal mode) asks of an ingress. The
 * inner TTL is left alone: the mux is not a hop of the client's path.
 */
#pragma once

#include "hash.h"
#include "maps.h"
#include "verdict.h"
#include <stddef.h>

#define OUTER_TTL       64
#define GUE_SOURCE_BASE 0xc000 /* source ports of GUE: the dynamic range, 49152-65535 (RFC 6335) */
#define GUE_SOURCE_MASK 0x3fff
#define FLOW_LABEL_MASK 0x000fffff
#define AF_INET_NUMBER  2
#define AF_INET6_NUMBER 10

/* How a backend is reached: constants in the common path, where each shape has code of its own. */
struct shape {
  int version; /* of the outer header */
  bool gue;
  bool vlan;
};

static __always_inline __u32 outer_bytes(struct shape shape) {
  return (shape.version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) +
         (shape.gue ? sizeof(struct udphdr) : 0);
}

static __always_inline __u16 fold_checksum(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

/* Bits of the flow hash that vary what receive queues are chosen by; the slot is chosen by the bits above. */
static __always_inline __u32 queue_bits(__u64 hash) {
  return hash >> 12;
}

static __always_inline void write_ipv4(struct iphdr *ip, const struct backend *backend, __u8 protocol,
                                       __u8 traffic_class, __u16 length, __u64 hash) {
  __be32 varied = queue_bits(hash) & tunnel_source4.spread;
  __be16 stored_length = bpf_htons(length);
  const __u32 third = bpf_htonl((__u32)OUTER_TTL << 24 | (__u32)protocol << 16);
  /* Of the words as stored: the sum comes out as stored, too (RFC 1071 section 2 (B)). */
  const __u32 constant = 0x45 + bpf_htons(IPV4_DONT_FRAGMENT) + third;
  __u32 sum = backend->address_sum + constant + ((__u32)traffic_class << 8) + stored_length + (varied >> 16);
  __u32 *word = (__u32 *)ip;

  sum = (sum & 0xffff) + (sum >> 16);
  sum += sum >> 16;
  word[0] = 0x45 | (__u32)traffic_class << 8 | (__u32)stored_length << 16;
  word[1] = bpf_htonl(IPV4_DONT_FRAGMENT); /* with identification 0: RFC 6864 */
  word[2] = third | ~sum << 16;
  word[3] = tunnel_source4.address.word[3] | varied;
  word[4] = backend->address.word[3];
}

static __always_inline void write_ipv6(struct ipv6hdr *ip, const struct backend *backend, __u8 protocol,
                                       __u8 traffic_class, __u16 payload_bytes, __u64 hash) {
  const volatile __u64 *source = (const volatile __u64 *)&tunnel_source6.address;
  const __u64 *destination = (const __u64 *)&backend->address;
  __u32 *word = (__u32 *)ip;
  __u64 *half = (__u64 *)&ip->saddr;

  /* The flow label spreads the tunnel over paths and queues (RFC 6438). */
  word[0] = bpf_htonl(6u << 28 | (__u32)traffic_class << 20 | (queue_bits(hash) & FLOW_LABEL_MASK));
  word[1] = bpf_htonl((__u32)payload_bytes << 16 | (__u32)protocol << 8 | OUTER_TTL);
  half[0] = source[0];
  half[1] = source[1] | (__u64)(queue_bits(hash) & tunnel_source6.spread) << 32;
  half[2] = destination[0];
  half[3] = destination[1];
}

static __always_inline void write_gue(struct udphdr *udp, const struct backend *backend, __u16 inner_bytes,
                                      __u64 hash) {
  udp->source = bpf_htons(GUE_SOURCE_BASE | (queue_bits(hash) & GUE_SOURCE_MASK));
  udp->dest = backend->gue_port;
  udp->len = bpf_htons(inner_bytes + sizeof(*udp));
  udp->check = 0; /* allowed over IPv6 for tunnels: RFC 6935, RFC 6936 */
}

/*
 * Asks the kernel's FIB for the next hop of a packet of IP `version` right behind Ethernet, and writes the MAC
 * addresses. For backends whose next hop user space does not know (yet). Returns 0 and the interface, or a reason.
 */
__noinline int resolve_next_hop(struct xdp_md *ctx, __u32 version, __u32 *ifindex) {
  struct bpf_fib_lookup fib = {};
  void *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = (void *)(long)ctx->data;

  if (!ifindex || (void *)(ethernet + 1) > end)
    return DROP_INTERNAL;
  fib.ifindex = ctx->ingress_ifindex;
  if (version == 4) {
    struct iphdr *ip = (void *)(ethernet + 1);

    if ((void *)(ip + 1) > end)
      return DROP_INTERNAL;
    fib.family = AF_INET_NUMBER;
    fib.tos = ip->tos;
    fib.tot_len = bpf_ntohs(ip->tot_len);
    fib.ipv4_src = ip->saddr;
    fib.ipv4_dst = ip->daddr;
  } else {
    struct ipv6hdr *ip = (void *)(ethernet + 1);

    if ((void *)(ip + 1) > end)
      return DROP_INTERNAL;
    fib.family = AF_INET6_NUMBER;
    fib.tot_len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
    __builtin_memcpy(fib.ipv6_src, &ip->saddr, sizeof(fib.ipv6_src));
    __builtin_memcpy(fib.ipv6_dst, &ip->daddr, sizeof(fib.ipv6_dst));
  }
  switch (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0)) {
  case BPF_FIB_LKUP_RET_SUCCESS:
    break;
  case BPF_FIB_LKUP_RET_FWD_DISABLED:
    return DROP_FORWARDING_OFF;
  case BPF_FIB_LKUP_RET_NO_NEIGH:
    return DROP_NO_NEIGHBOUR;
  case BPF_FIB_LKUP_RET_FRAG_NEEDED:
    return DROP_TOO_BIG;
  default:
    return DROP_NO_ROUTE;
  }
  __builtin_memcpy(ethernet->destination, fib.dmac, ETH_ALEN);
  __builtin_memcpy(ethernet->source, fib.smac, ETH_ALEN);
  *ifindex = fib.ifindex;
  return 0;
}

/* The Ethernet header of a backend's frames, as two words that reach into what follows and is written next. */
static __always_inline void write_link(void *frame, const struct backend *backend) {
  const __u64 *from = (const __u64 *)backend->destination_mac;
  __u64 *to = frame;

  _Static_assert(offsetof(struct backend, destination_mac) % 8 == 0 &&
                     offsetof(struct backend, source_mac) ==
                         offsetof(struct backend, destination_mac) + ETH_ALEN &&
                     offsetof(struct backend, ether_type) == offsetof(struct backend, source_mac) + ETH_ALEN,
                 "stands as in an Ethernet header");
  to[0] = from[0];
  to[1] = from[1];
}

/* Wraps the packet for `backend`, which is of `shape`. The caller has checked the MTU. Non-zero if there is no room. */
static __always_inline int encapsulate(struct xdp_md *ctx, const struct packet *packet,
                                       const struct backend *backend, struct shape shape, __u64 hash) {
  __u32 link_bytes = sizeof(struct ethernet_header) + (shape.vlan ? sizeof(struct vlan_header) : 0);
  __u32 udp_bytes = shape.gue ? sizeof(struct udphdr) : 0;
  __u16 inner_bytes = packet->length;
  __u8 protocol = shape.gue ? IPPROTO_UDP : packet->version == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;

  if (bpf_xdp_adjust_head(ctx, (int)packet->l3_offset - (int)(link_bytes + outer_bytes(shape))))
    return -1;

  void *position = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = position;

  if (position + link_bytes + outer_bytes(shape) > end)
    return -1;
  write_link(ethernet, backend);
  position = ethernet + 1;
  if (shape.vlan) {
    struct vlan_header *vlan = position;

    ethernet->type = bpf_htons(ETH_P_8021Q);
    vlan->tci = bpf_htons(backend->vlan_tci);
    vlan->encapsulated_protocol = backend->ether_type;
    position = vlan + 1;
  }
  if (shape.version == 4) {
    write_ipv4(position, backend, protocol, packet->traffic_class, inner_bytes + outer_bytes(shape), hash);
    position += sizeof(struct iphdr);
  } else {
    write_ipv6(position, backend, protocol, packet->traffic_class, inner_bytes + udp_bytes, hash);
    position += sizeof(struct ipv6hdr);
  }
  if (shape.gue)
    write_gue(position, backend, inner_bytes, hash);
  return 0;
}

/* Where an encapsulated packet leaves: back out of the interface it came in by, or another. */
static __always_inline int transmit(struct xdp_md *ctx, __u32 ifindex) {
  if (!ifindex || ifindex == ctx->ingress_ifindex)
    return XDP_TX;
  return bpf_redirect(ifindex, 0);
}
