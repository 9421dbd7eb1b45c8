/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what a node of a cluster puts around whatever it sends to another one: outer headers from its own address, which
 * its peers know it by. Not here: the in-band headers behind them (wire.h, query.h).
 */
#pragma once

#include "encap.h"
#include "member.h"

/* How far the clocks of headers may be apart: 4.3 s. */
#define ASK_TIME_WINDOW 4096

/* Of a time in a header. */
static __always_inline bool is_near(__u32 time) {
  return cluster_time() - time + ASK_TIME_WINDOW <= 2 * ASK_TIME_WINDOW;
}

static __always_inline bool is_same_address(const struct ip_address *one, const struct ip_address *other) {
  const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;

  return a[1] == b[1] && a[0] == b[0];
}

/* From this node's own address, which peers know, not from the tunnel's. */
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
