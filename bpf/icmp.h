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
  /* Of a message of zeros, whose checksum cannot be told from the other zero by its difference (RFC 1624 section 4). */
  if (!icmp->checksum && !icmp->rest)
    icmp->checksum = 0xffff;

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

/* Link header and tags as they came, to be put in front of an answer. */
struct link_copy {
  __be16 word[LINK_BYTES_MAX / 2];
};

/*
 * Makes room for `added` bytes between link and IP header, cuts the frame so that an ICMP message of `message_bytes`
 * (IP header included) remains, and puts the link header back with its addresses swapped. `link_bytes` is a constant.
 * Returns the place of the new IP header, or NULL.
 */
static __always_inline void *open_answer(struct xdp_md *ctx, const __u32 link_bytes, const __u32 added,
                                         const __u32 message_bytes) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct link_copy link;

  if (data + link_bytes > end)
    return NULL;
  for (__u32 i = 0; i < link_bytes / 2; i++)
    link.word[i] = ((__be16 *)data)[i];
  if (bpf_xdp_adjust_head(ctx, -(int)added))
    return NULL;

  __u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

  asm volatile("" : "+r"(length)); /* a difference of pointers may not become part of a narrower sum */
  if (length < link_bytes + message_bytes ||
      bpf_xdp_adjust_tail(ctx, (int)(link_bytes + message_bytes) - (int)length))
    return NULL;
  data = (void *)(long)ctx->data;
  end = (void *)(long)ctx->data_end;
  if (data + link_bytes + message_bytes > end)
    return NULL;
  for (__u32 i = 0; i < link_bytes / 2; i++)
    ((__be16 *)data)[i] = link.word[i];
  swap_macs(data);
  return data + link_bytes;
}

static __always_inline int write_too_big4(struct xdp_md *ctx, const struct packet *packet, __u32 mtu,
                                          const __u32 link_bytes) {
  struct iphdr *ip = open_answer(ctx, link_bytes, sizeof(struct iphdr) + sizeof(struct icmp_header),
                                 ICMP4_MESSAGE_BYTES_MAX);

  if (!ip)
    return DROP_NO_HEADROOM;
  struct icmp_header *icmp = (void *)(ip + 1);

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
  return REPLY_TOO_BIG;
}

static __always_inline int write_too_big6(struct xdp_md *ctx, const struct packet *packet, __u32 mtu,
                                          const __u32 link_bytes) {
  struct ipv6hdr *ip = open_answer(ctx, link_bytes, sizeof(struct ipv6hdr) + sizeof(struct icmp_header),
                                   ICMP6_MESSAGE_BYTES_MAX);

  if (!ip)
    return DROP_NO_HEADROOM;
  struct icmp_header *icmp = (void *)(ip + 1);
  const __u16 payload_bytes = sizeof(*icmp) + QUOTE6_BYTES;

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
  /* The pseudo-header (RFC 8200 section 8.1): addresses, then length and next header, whose words cannot overflow. */
  __s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip->saddr, 2 * sizeof(ip->saddr),
                            bpf_htons(payload_bytes) + bpf_htons(IPPROTO_ICMPV6));

  icmp->checksum = fold_checksum(sum_quote(icmp, payload_bytes, sum));
  return REPLY_TOO_BIG;
}

/* Whether an ICMP error may be sent about a packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)). */
static __always_inline bool may_answer(const struct packet *packet) {
  const struct ip_address *source = &packet->source;

  if (packet->fragment == FRAGMENT_LATER ||
      (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP))
    return false;
  if (packet->version == 4) {
    __u8 first = source->word[3]; /* the first octet, as a little-endian machine loads it */

    return first != 0 && first != 127 && first < 224;
  }
  __u8 first = source->word[0];

  /* Unspecified and loopback: all but the last word zero. */
  return first != 0xff && (source->word[0] || source->word[1] || source->word[2]);
}

/* Answers a packet that would not fit `mtu` (of the inner packet). Returns the reason to leave for. */
__noinline int reply_too_big(struct xdp_md *ctx, const struct packet *packet, __u32 mtu) {
  const __u32 ethernet = sizeof(struct ethernet_header), tag = sizeof(struct vlan_header);

  if (!packet)
    return DROP_INTERNAL;
  /* An error quotes a fixed number of bytes; what is shorter did not fit a path that no path may be. */
  if (packet->length < (packet->version == 4 ? QUOTE4_BYTES : QUOTE6_BYTES))
    return DROP_TOO_BIG;
  __u32 link_bytes = packet->l3_offset;

  if (packet->version == 4) {
    if (link_bytes == ethernet)
      return write_too_big4(ctx, packet, mtu, ethernet);
    if (link_bytes == ethernet + tag)
      return write_too_big4(ctx, packet, mtu, ethernet + tag);
    return write_too_big4(ctx, packet, mtu, ethernet + 2 * tag);
  }
  if (link_bytes == ethernet)
    return write_too_big6(ctx, packet, mtu, ethernet);
  if (link_bytes == ethernet + tag)
    return write_too_big6(ctx, packet, mtu, ethernet + tag);
  return write_too_big6(ctx, packet, mtu, ethernet + 2 * tag);
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
