/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the ECN field where a tunnel ends (RFC 6040). Where one begins it is copied with the traffic class (encap.h).
 */
#pragma once

#include "parse.h"

#define ECN_MASK 3
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE   3

/* The inner ECN field after decapsulation (RFC 6040 section 4.2, figure 4), or -1 to drop. */
static __always_inline int combine_ecn(__u8 outer, __u8 inner) {
  outer &= ECN_MASK;
  inner &= ECN_MASK;
  if (outer == ECN_CE)
    return inner ? ECN_CE : -1;
  if (outer == ECN_ECT1 && inner == ECN_ECT0)
    return ECN_ECT1;
  return inner;
}

static __always_inline void write_ecn(void *ip, int version, __u8 ecn) {
  if (version == 4) {
    struct iphdr *ip4 = ip;
    /* Version, length and TOS as one word of the checksum (RFC 1624, equation 3). */
    __u16 before = *(__u16 *)ip4;

    ip4->tos = (ip4->tos & ~ECN_MASK) | ecn;
    __u32 sum = (__u16)~ip4->check + (__u16)~before + *(__u16 *)ip4;

    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip4->check = ~sum;
  } else {
    /* The two bits stand in the upper half of the second octet. */
    __u8 *octets = ip;

    octets[1] = (octets[1] & ~(ECN_MASK << 4)) | ecn << 4;
  }
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
