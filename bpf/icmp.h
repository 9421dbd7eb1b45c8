/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns ICMP (RFC 792) and ICMPv6 (RFC 4443): echo requests answered here, Fragmentation Needed and Packet Too Big
 * sent back, and reading which flow an error quotes. Not here: where that flow goes.
 */
#pragma once

#include "encap.h"
#include "parse.h"

#define ICMP4_ECHO_REPLY           0
#define ICMP4_UNREACHABLE          3
#define ICMP4_FRAGMENTATION_NEEDED 4
#define ICMP4_ECHO_REQUEST         8
#define ICMP4_TIME_EXCEEDED        11
#define ICMP4_PARAMETER_PROBLEM    12
#define ICMP6_ERROR_LAST           127 /* types below 128 are errors */
#define ICMP6_PACKET_TOO_BIG       2
#define ICMP6_ECHO_REQUEST         128
#define ICMP6_ECHO_REPLY           129

/* An ICMP error message is at most this long (RFC 1812 section 4.3.2.3; RFC 4443 section 2.4 (c)). */
#define ICMP4_MESSAGE_BYTES_MAX 576
#define ICMP6_MESSAGE_BYTES_MAX 1280
#define IPV6_MTU_MIN            1280

#define QUOTE4_BYTES        (ICMP4_MESSAGE_BYTES_MAX - sizeof(struct iphdr) - sizeof(struct icmp_header))
#define QUOTE6_BYTES        (ICMP6_MESSAGE_BYTES_MAX - sizeof(struct ipv6hdr) - sizeof(struct icmp_header))
#define CSUM_DIFF_BYTES_MAX 512 /* of bpf_csum_diff */

static __always_inline void swap_macs(struct ethernet_header *ethernet) {
  __u8 mac[ETH_ALEN];

  __builtin_memcpy(mac, ethernet->source, ETH_ALEN);
  __builtin_memcpy(ethernet->source, ethernet->destination, ETH_ALEN);
  __builtin_memcpy(ethernet->destination, mac, ETH_ALEN);
}

/* One's complement sum after a 16-bit word of a checksummed range changed (RFC 1624, equation 3). */
static __always_inline __u16 update_checksum(__u16 checksum, __u16 before, __u16 after) {
  __u32 sum = (__u16)~checksum + (__u16)~before + after;

  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

/* Turns an echo request into its reply, in place. Options and VLAN tags stay. Returns the reason to leave for. */
__noinline int reply_to_echo(struct xdp_md *ctx, const struct packet *packet) {
  if (!packet)
    return DROP_INTERNAL;
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = data;
  struct icmp_header *icmp = data + (packet->l4_offset & 0x7fff);

  if ((void *)(ethernet + 1) > end || (void *)(icmp + 1) > end)
    return DROP_INTERNAL;
  swap_macs(ethernet);
  __u16 before = *(__u16 *)icmp;

  icmp->type = packet->version == 4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY;
  icmp->checksum = update_checksum(icmp->checksum, before, *(__u16 *)icmp);

  if (packet->version == 4) {
    struct iphdr *ip = data + (packet->l3_offset & 0xff);

    if ((void *)(ip + 1) > end)
      return DROP_INTERNAL;
    __be32 address = ip->saddr;

    ip->saddr = ip->daddr;
    ip->daddr = address;
    __u16 ttl_before = *(__u16 *)&ip->ttl;

    ip->ttl = OUTER_TTL;
    ip->check = update_checksum(ip->check, ttl_before, *(__u16 *)&ip->ttl);
  } else {
    struct ipv6hdr *ip = data + (packet->l3_offset & 0xff);

    if ((void *)(ip + 1) > end)
      return DROP_INTERNAL;
    struct in6_addr address = ip->saddr;

    ip->saddr = ip->daddr;
    ip->daddr = address;
    ip->hop_limit = OUTER_TTL;
  }
  return REPLY_ECHO;
}

/* Sum over `bytes` of a packet, continued from `sum`; `bytes` is a constant and a multiple of 4. */
static __always_inline __s64 sum_quote(void *quote, __u32 bytes, __s64 sum) {
#pragma unroll
  for (__u32 done = 0; done < ICMP6_MESSAGE_BYTES_MAX; done += CSUM_DIFF_BYTES_MAX) {
    if (done < bytes) {
      __u32 part = bytes - done < CSUM_DIFF_BYTES_MAX ? bytes - done : CSUM_DIFF_BYTES_MAX;

      sum = bpf_csum_diff(NULL, 0, quote + done, part, sum);
    }
  }
  return sum;
}

/*
 * Replaces the packet by an ICMP error that quotes it and says how large a packet may be. The Ethernet header and
 * tags go to the front again, with the addresses swapped. `link` holds them.
 */
static __always_inline int write_too_big4(struct xdp_md *ctx, const struct packet *packet, __u32 mtu) {
  const __u32 added = sizeof(struct iphdr) + sizeof(struct icmp_header);
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethernet_header link;

  if (data + sizeof(link) > end)
    return DROP_INTERNAL;
  __builtin_memcpy(&link, data, sizeof(link));
  link.type = bpf_htons(ETH_P_IP);
  if (bpf_xdp_adjust_head(ctx, (int)packet->l3_offset - (int)(added + sizeof(link))))
    return DROP_NO_HEADROOM;
  int excess = (int)(ctx->data_end - ctx->data) - (int)(sizeof(link) + ICMP4_MESSAGE_BYTES_MAX);

  if (excess < 0 || bpf_xdp_adjust_tail(ctx, -excess))
    return DROP_TOO_BIG;
  data = (void *)(long)ctx->data;
  end = (void *)(long)ctx->data_end;
  if (data + sizeof(link) + ICMP4_MESSAGE_BYTES_MAX > end)
    return DROP_INTERNAL;

  struct ethernet_header *ethernet = data;
  struct iphdr *ip = (void *)(ethernet + 1);
  struct icmp_header *icmp = (void *)(ip + 1);

  *ethernet = link;
  swap_macs(ethernet);
  __builtin_memset(ip, 0, sizeof(*ip));
  ip->version = 4;
  ip->ihl = sizeof(*ip) / 4;
  ip->tot_len = bpf_htons(ICMP4_MESSAGE_BYTES_MAX);
  ip->ttl = OUTER_TTL;
  ip->protocol = IPPROTO_ICMP;
  ip->saddr = packet->destination.word[3];
  ip->daddr = packet->source.word[3];
  ip->check = fold_checksum(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
  icmp->type = ICMP4_UNREACHABLE;
  icmp->code = ICMP4_FRAGMENTATION_NEEDED;
  icmp->checksum = 0;
  icmp->rest = bpf_htonl(mtu & 0xffff); /* next-hop MTU: RFC 1191 section 4 */
  icmp->checksum = fold_checksum(sum_quote(icmp, sizeof(*icmp) + QUOTE4_BYTES, 0));
  return 0;
}

static __always_inline int write_too_big6(struct xdp_md *ctx, const struct packet *packet, __u32 mtu) {
  const __u32 added = sizeof(struct ipv6hdr) + sizeof(struct icmp_header);
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethernet_header link;

  if (data + sizeof(link) > end)
    return DROP_INTERNAL;
  __builtin_memcpy(&link, data, sizeof(link));
  link.type = bpf_htons(ETH_P_IPV6);
  if (bpf_xdp_adjust_head(ctx, (int)packet->l3_offset - (int)(added + sizeof(link))))
    return DROP_NO_HEADROOM;
  int excess = (int)(ctx->data_end - ctx->data) - (int)(sizeof(link) + ICMP6_MESSAGE_BYTES_MAX);

  if (excess < 0 || bpf_xdp_adjust_tail(ctx, -excess))
    return DROP_TOO_BIG;
  data = (void *)(long)ctx->data;
  end = (void *)(long)ctx->data_end;
  if (data + sizeof(link) + ICMP6_MESSAGE_BYTES_MAX > end)
    return DROP_INTERNAL;

  struct ethernet_header *ethernet = data;
  struct ipv6hdr *ip = (void *)(ethernet + 1);
  struct icmp_header *icmp = (void *)(ip + 1);
  __u16 payload_bytes = sizeof(*icmp) + QUOTE6_BYTES;

  *ethernet = link;
  swap_macs(ethernet);
  __builtin_memset(ip, 0, sizeof(*ip));
  ip->version = 6;
  ip->payload_len = bpf_htons(payload_bytes);
  ip->nexthdr = IPPROTO_ICMPV6;
  ip->hop_limit = OUTER_TTL;
  __builtin_memcpy(&ip->saddr, &packet->destination, sizeof(ip->saddr));
  __builtin_memcpy(&ip->daddr, &packet->source, sizeof(ip->daddr));
  icmp->type = ICMP6_PACKET_TOO_BIG;
  icmp->code = 0;
  icmp->checksum = 0;
  icmp->rest = bpf_htonl(mtu < IPV6_MTU_MIN ? IPV6_MTU_MIN : mtu);
  /* Pseudo-header (RFC 8200 section 8.1): addresses, length, next header. */
  __s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip->saddr, 2 * sizeof(ip->saddr),
                            bpf_htonl(payload_bytes) + bpf_htonl(IPPROTO_ICMPV6));

  icmp->checksum = fold_checksum(sum_quote(icmp, payload_bytes, sum));
  return 0;
}

/* Answers a packet that would not fit `mtu` (of the inner packet). Returns the reason to leave for. */
__noinline int reply_too_big(struct xdp_md *ctx, const struct packet *packet, __u32 mtu) {
  if (!packet)
    return DROP_INTERNAL;
  int failure = packet->version == 4 ? write_too_big4(ctx, packet, mtu) : write_too_big6(ctx, packet, mtu);

  return failure ? failure : REPLY_TOO_BIG;
}

/* Whether an ICMP type is an error, which quotes the packet it is about. */
static __always_inline bool is_icmp_error(int version, __u8 type) {
  if (version == 4)
    return type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED || type == ICMP4_PARAMETER_PROBLEM;
  return type <= ICMP6_ERROR_LAST;
}

/*
 * Reads the packet that an ICMP error quotes, as the client's side of the flow sees it: what our backend sent is
 * turned round. Returns 0, or -1 where the quote names no TCP or UDP flow from `packet->destination`.
 */
__noinline int read_quote(struct xdp_md *ctx, const struct packet *packet, struct packet *flow) {
  if (!packet || !flow)
    return -1;
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};
  struct packet quoted = {};

  cursor.position = (void *)(long)ctx->data + (packet->l4_offset & 0x7fff) + sizeof(struct icmp_header);
  if (packet->version == 4) {
    if (parse_ipv4(&cursor, &quoted))
      return -1;
  } else {
    if (parse_ipv6(&cursor, &quoted) || parse_ipv6_extensions(&cursor, (void *)(long)ctx->data, &quoted))
      return -1;
  }
  if (quoted.fragment == FRAGMENT_LATER || (quoted.protocol != IPPROTO_TCP && quoted.protocol != IPPROTO_UDP))
    return -1;
  if (parse_ports(&cursor, &quoted))
    return -1;
  if (quoted.source.word[3] != packet->destination.word[3] ||
      quoted.source.word[2] != packet->destination.word[2] ||
      quoted.source.word[1] != packet->destination.word[1] ||
      quoted.source.word[0] != packet->destination.word[0])
    return -1;
  flow->source = quoted.destination;
  flow->destination = quoted.source;
  flow->source_port = quoted.destination_port;
  flow->destination_port = quoted.source_port;
  flow->protocol = quoted.protocol;
  flow->version = quoted.version;
  return 0;
}
