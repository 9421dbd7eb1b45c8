/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the way from the first byte of a frame to its ports. Each parser advances one cursor, checks bounds beside the
 * access and returns the next protocol, or -1 where the packet ends first. Also compiled for the host, to be fuzzed.
 * Not here: what a packet means.
 */
#pragma once

#include "types.h"
#include <stdbool.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#define VLAN_TAGS_MAX          2
#define EXTENSION_HEADERS_MAX  8
#define EXTENSION_HEADER_BYTES 8 /* smallest, and the unit of lengths (RFC 8200 section 4.2) */

/* No header that matters starts further into a frame. */
#define OFFSET_MAX 0x3fff

#define IPV4_DONT_FRAGMENT  0x4000
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_OFFSET_MASK    0x1fff
#define IPV6_OFFSET_MASK    0xfff8
#define IPV6_MORE_FRAGMENTS 0x0001

#define TCP_FLAGS_OFFSET 13
#define TCP_FIN          0x01
#define TCP_SYN          0x02
#define TCP_ACK          0x10

/* As the flags of TCP have it: SYN and not ACK. */
#define NEW_FLOW      TCP_SYN
#define NEW_FLOW_MASK (TCP_SYN | TCP_ACK)

/* The first eight bytes of an IPv4 header without options that is no fragment, as a little-endian word. */
#define IPV4_PLAIN_MASK (0xffull | (__u64)bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK) << 48)
#define IPV4_PLAIN      0x45ull

#ifndef IPPROTO_IPIP
#define IPPROTO_IPIP 4
#endif

/* `value & mask` that the compiler cannot drop for knowing the range: the verifier may not know it. */
#ifdef __bpf__
#define MASKED(value, mask)                                                                                  \
  ({                                                                                                         \
    __u64 masked = (value);                                                                                  \
    asm volatile("%0 &= %1" : "+r"(masked) : "i"(mask));                                                     \
    masked;                                                                                                  \
  })
#else
#define MASKED(value, mask) ((value) & (mask))
#endif

/* Ethernet as the wire has it. Not the kernel's: that one is packed, and would be read byte by byte. */
struct ethernet_header {
  __be16 destination[3];
  __be16 source[3];
  __be16 type;
};

struct vlan_header {
  __be16 tci;
  __be16 encapsulated_protocol;
};

#define LINK_BYTES_MAX (sizeof(struct ethernet_header) + VLAN_TAGS_MAX * sizeof(struct vlan_header))

/* Of TCP and UDP alike. */
struct ports {
  __be16 source;
  __be16 destination;
};

struct fragment_header {
  __u8 next_header;
  __u8 reserved;
  __be16 offset;
  __be32 identification;
};

struct icmp_header {
  __u8 type;
  __u8 code;
  __be16 checksum;
  __be32 rest;
};

struct cursor {
  void *position;
  void *end;
};

enum fragment_kind {
  FRAGMENT_NONE = 0,
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
};

/* What parsing learnt of an IP packet. Addresses and ports in network order. */
struct packet {
  struct ip_address source;
  struct ip_address destination;
  __u32 length; /* of the IP packet by its own header, bytes: up to 65,575 */
  __be16 source_port;
  __be16 destination_port;
  __u16 l3_offset; /* from the start of the frame */
  __u16 l4_offset;
  __u8 version; /* 4 or 6 */
  __u8 protocol;
  __u8 traffic_class; /* TOS octet: DSCP and ECN */
  __u8 fragment; /* enum fragment_kind */
  __u8 dont_fragment; /* always set for IPv6 */
  __u8 new_flow; /* NEW_FLOW: TCP SYN or QUIC Initial */
  __u8
      hops; /* muxes it has passed: it came wrapped, and starts behind the header of that. 0: it came as it is */
  __be32 identification; /* where `fragment` is set */
};

/* Ethernet and up to VLAN_TAGS_MAX tags; returns the EtherType of what follows, network order. */
static __always_inline int parse_ethernet(struct cursor *cursor) {
  struct ethernet_header *ethernet = cursor->position;

  if ((void *)(ethernet + 1) > cursor->end)
    return -1;
  cursor->position = ethernet + 1;

  __be16 type = ethernet->type;
#pragma unroll
  for (int i = 0; i < VLAN_TAGS_MAX; i++) {
    if (__builtin_expect(type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD), 1))
      break;
    struct vlan_header *vlan = cursor->position;

    if ((void *)(vlan + 1) > cursor->end)
      return -1;
    cursor->position = vlan + 1;
    type = vlan->encapsulated_protocol;
  }
  return type;
}

static __always_inline void map_ipv4(struct ip_address *address, __be32 value) {
  address->word[0] = 0;
  address->word[1] = 0;
  address->word[2] = bpf_htonl(0xffff);
  address->word[3] = value;
}

/* In two stores, for who reads it in two loads next: see put_in_last(). `address` is aligned so. */
static __always_inline void map_ipv4_whole(struct ip_address *address, __be32 value) {
  volatile __u64 *half = (__u64 *)address;

  half[0] = 0;
  half[1] = (__u64)value << 32 | bpf_htonl(0xffff);
}

enum parse_result {
  PARSE_OK = 0,
  PARSE_MALFORMED, /* no complete IP header */
  PARSE_TOO_MANY_EXTENSIONS,
};

/* IPv4 with options (RFC 791). Leaves the cursor at the transport header. */
static __always_inline int parse_ipv4(struct cursor *cursor, struct packet *packet) {
  struct iphdr *ip = cursor->position;

  if ((void *)(ip + 1) > cursor->end || ip->version != 4)
    return PARSE_MALFORMED;
  __u32 header_bytes = ip->ihl * 4;

  if (header_bytes < sizeof(*ip) || cursor->position + header_bytes > cursor->end)
    return PARSE_MALFORMED;

  packet->version = 4;
  packet->length = bpf_ntohs(ip->tot_len);
  packet->traffic_class = ip->tos;
  packet->protocol = ip->protocol;
  map_ipv4(&packet->source, ip->saddr);
  map_ipv4(&packet->destination, ip->daddr);
  packet->dont_fragment = !!(ip->frag_off & bpf_htons(IPV4_DONT_FRAGMENT));
  packet->fragment = FRAGMENT_NONE;
  if (__builtin_expect(ip->frag_off & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK), 0)) {
    packet->fragment = ip->frag_off & bpf_htons(IPV4_OFFSET_MASK) ? FRAGMENT_LATER : FRAGMENT_FIRST;
    packet->identification = ip->id;
  }
  cursor->position += header_bytes;
  return PARSE_OK;
}

/* IPv6 (RFC 8200). Leaves the cursor at the first header that is no extension header. */
static __always_inline int parse_ipv6(struct cursor *cursor, struct packet *packet) {
  struct ipv6hdr *ip = cursor->position;

  if ((void *)(ip + 1) > cursor->end || ip->version != 6)
    return PARSE_MALFORMED;
  cursor->position = ip + 1;

  packet->version = 6;
  packet->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
  packet->traffic_class = ip->priority << 4 | ip->flow_lbl[0] >> 4;
  packet->protocol = ip->nexthdr;
  __builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
  __builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
  packet->dont_fragment = 1;
  packet->fragment = FRAGMENT_NONE;
  return PARSE_OK;
}

/*
 * What may stand between an IPv6 header and its transport (RFC 8200 section 4; AH: RFC 4302). Works on offsets from
 * `start`, held below OFFSET_MAX at each step: the verifier then sees one state a step instead of one a path.
 */
static __always_inline int parse_ipv6_extensions(struct cursor *cursor, void *start, struct packet *packet) {
  __u8 next = packet->protocol;
  __u32 offset = cursor->position - start;

  for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_AH &&
        next != IPPROTO_FRAGMENT)
      goto found;
    if (offset > OFFSET_MAX)
      return PARSE_MALFORMED;
    struct fragment_header *header =
        start + MASKED(offset, OFFSET_MAX); /* the longest of the fixed parts; all are 8 bytes */

    if ((void *)(header + 1) > cursor->end)
      return PARSE_MALFORMED;
    if (next == IPPROTO_FRAGMENT) {
      packet->identification = header->identification;
      if (header->offset & bpf_htons(IPV6_OFFSET_MASK)) {
        /* What follows is payload, whatever the next header says. */
        packet->fragment = FRAGMENT_LATER;
        next = header->next_header;
        offset += sizeof(*header);
        goto found;
      }
      /* An atomic fragment (RFC 6946) is whole. */
      if (header->offset & bpf_htons(IPV6_MORE_FRAGMENTS))
        packet->fragment = FRAGMENT_FIRST;
      offset += sizeof(*header);
    } else if (next == IPPROTO_AH) {
      offset += (((struct ipv6_opt_hdr *)header)->hdrlen + 2) * 4;
    } else {
      offset += (((struct ipv6_opt_hdr *)header)->hdrlen + 1) * EXTENSION_HEADER_BYTES;
    }
    next = header->next_header;
  }
  if (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS || next == IPPROTO_AH ||
      next == IPPROTO_FRAGMENT)
    return PARSE_TOO_MANY_EXTENSIONS;
found:
  packet->protocol = next;
  if (offset > OFFSET_MAX)
    return PARSE_MALFORMED;
  cursor->position = start + MASKED(offset, OFFSET_MAX);
  return cursor->position > cursor->end ? PARSE_MALFORMED : PARSE_OK;
}

/* The ports of TCP or UDP, which stand first in both. */
static __always_inline int parse_ports(struct cursor *cursor, struct packet *packet) {
  struct ports *ports = cursor->position;

  if ((void *)(ports + 1) > cursor->end)
    return PARSE_MALFORMED;
  packet->source_port = ports->source;
  packet->destination_port = ports->destination;
  return PARSE_OK;
}
