/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns ARP (RFC 826) and neighbour discovery (RFC 4861) for service addresses that are delivered to every server: who asks
 * is told the multicast link address that all hear. The kernel must never answer: it would tell this server's own. A
 * server answers for the clients whose bucket at the address is its own, so that not all of them do; where the address
 * has no buckets, all of them.
 */
#pragma once

#include "query.h"

#define ARP_HARDWARE_ETHERNET 1
#define ARP_REQUEST           1
#define ARP_REPLY             2

struct arp_message {
  __be16 hardware;
  __be16 protocol;
  __u8 hardware_bytes;
  __u8 protocol_bytes;
  __be16 operation;
  __u8 sender_link[ETH_ALEN];
  __be16 sender[2]; /* not aligned to more */
  __u8 target_link[ETH_ALEN];
  __be16 target[2];
};
_Static_assert(sizeof(struct arp_message) == 28, "as on the wire");

#define ND_SOLICITATION          135
#define ND_ADVERTISEMENT         136
#define ND_OPTION_TARGET_LINK    2
#define ND_SOLICITED_OVERRIDE    bpf_htonl(0x60000000)
#define ND_HOP_LIMIT             255
#define ND_SOLICITED_NODE_PREFIX 0xff

struct nd_message {
  struct icmp_header icmp; /* of advertisements, `rest` has the flags */
  struct ip_address target;
  __u8 option_type;
  __u8 option_units; /* of 8 bytes */
  __u8 option_link[ETH_ALEN];
};
_Static_assert(sizeof(struct nd_message) == 32, "as on the wire");

/* Without its option. */
#define ND_BYTES_MIN (sizeof(struct nd_message) - 8)

static __always_inline void copy_link_address(__u8 *to, const volatile __u8 *from) {
  for (int i = 0; i < ETH_ALEN; i++)
    to[i] = from[i];
}

/* Whether a client is told, and by this server: REPLY_NEIGHBOUR, or a reason to drop what it asks. */
static __always_inline __u32 judge_neighbour(const struct service *service, const struct ip_address *client,
                                             int version) {
  struct decision decision = {};
  struct ip_address masked = *client;

  if (!(service->flags & SERVICE_NEIGHBOUR))
    return DROP_NEIGHBOUR;
  if (past_deadline())
    return DROP_FENCED;
  if (!service->slot_count)
    return REPLY_NEIGHBOUR;
  if (service->flags & SERVICE_CLIENT_AFFINITY)
    for (int i = 0; i < 4; i++)
      masked.word[i] &= service->client_mask[i];
  decision.hash =
      flow_hash(service_digest(&service->address, 0, 0, version), client_digest(&masked, 0, version));
  return load_slot(service, &decision) && is_self(current_of(decision.slot_word)) ? REPLY_NEIGHBOUR
                                                                                  : DROP_NEIGHBOUR;
}

/* Addresses the answer's frame: to who asked, from this server's own link address where that is known. */
static __always_inline void turn_link(struct ethernet_header *ethernet, const __u8 *asked_for) {
  __u8 own[ETH_ALEN];

  copy_link_address(own, filter_link.address);
  __builtin_memcpy(ethernet->destination, ethernet->source, ETH_ALEN);
  __builtin_memcpy(ethernet->source, own[0] | own[1] | own[2] | own[3] | own[4] | own[5] ? own : asked_for,
                   ETH_ALEN);
}

/* A frame that is not IP: the verdict. */
__noinline int take_arp(struct xdp_md *ctx, __u32 l3_offset) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = data;
  struct arp_message *arp = data + (l3_offset & 0xff);
  __be16 *type = data + ((l3_offset - sizeof(*type)) & 0xff);
  struct ip_address target, sender;
  __u32 place;

  if ((void *)(ethernet + 1) > end || (void *)(arp + 1) > end || (void *)(type + 1) > end ||
      *type != bpf_htons(ETH_P_ARP) || arp->hardware != bpf_htons(ARP_HARDWARE_ETHERNET) ||
      arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_bytes != ETH_ALEN ||
      arp->protocol_bytes != sizeof(__be32) || arp->operation != bpf_htons(ARP_REQUEST))
    return leave(ctx, PASS_NOT_IP);
  map_ipv4(&target, arp->target[0] | (__u32)arp->target[1] << 16);
  map_ipv4(&sender, arp->sender[0] | (__u32)arp->sender[1] << 16);
  struct service *service = find_address(&target, 4, &place);

  if (!service)
    return leave(ctx, PASS_NOT_IP);
  __u32 reason = judge_neighbour(service, &sender, 4);

  if (reason != REPLY_NEIGHBOUR)
    return leave(ctx, reason);
  turn_link(ethernet, service->link_address);
  arp->operation = bpf_htons(ARP_REPLY);
  __builtin_memcpy(arp->target_link, arp->sender_link, ETH_ALEN);
  arp->target[0] = arp->sender[0];
  arp->target[1] = arp->sender[1];
  copy_link_address(arp->sender_link, service->link_address);
  arp->sender[0] = target.word[3];
  arp->sender[1] = target.word[3] >> 16;
  return leave(ctx, reason);
}

/* The solicitation in the frame, whose headers are in hand; NULL where it is none that is valid. */
static __always_inline struct nd_message *find_solicitation(struct xdp_md *ctx, const struct packet *packet) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ipv6hdr *ip = data + (packet->l3_offset & 0xff);
  struct nd_message *message = data + (packet->l4_offset & 0xff);

  if (packet->l4_offset != packet->l3_offset + sizeof(*ip) || packet->l3_offset > LINK_BYTES_MAX ||
      packet->length < sizeof(*ip) + ND_BYTES_MIN)
    return NULL;
  if ((void *)(ip + 1) > end || (void *)message + ND_BYTES_MIN > end || ip->hop_limit != ND_HOP_LIMIT ||
      message->icmp.type != ND_SOLICITATION || message->icmp.code)
    return NULL;
  return message;
}

/* Writes the advertisement in place of the solicitation; the frame is as long as it has to be. */
static __always_inline int write_advertisement(struct xdp_md *ctx, const struct packet *packet,
                                               const struct service *service) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ipv6hdr *ip = data + (packet->l3_offset & 0xff);
  struct nd_message *message = (void *)(ip + 1);

  if (data + sizeof(struct ethernet_header) > end || (void *)(message + 1) > end || (void *)ip < data)
    return -1;
  turn_link(data, service->link_address);
  ip->payload_len = bpf_htons(sizeof(*message));
  __builtin_memcpy(&ip->daddr, &packet->source, sizeof(ip->daddr));
  __builtin_memcpy(&ip->saddr, &service->address, sizeof(ip->saddr));
  message->icmp.type = ND_ADVERTISEMENT;
  message->icmp.code = 0;
  message->icmp.checksum = 0;
  message->icmp.rest = ND_SOLICITED_OVERRIDE;
  message->option_type = ND_OPTION_TARGET_LINK;
  message->option_units = 1;
  copy_link_address(message->option_link, service->link_address);
  /* The pseudo-header (RFC 8200 section 8.1), as in icmp.h. */
  __s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip->saddr, 2 * sizeof(ip->saddr),
                            bpf_htons(sizeof(*message)) + bpf_htons(IPPROTO_ICMPV6));

  sum = bpf_csum_diff(NULL, 0, (__be32 *)message, sizeof(*message), sum);
  message->icmp.checksum = fold_checksum(sum);
  return 0;
}

/* A neighbour solicitation for a service address: the verdict; -1: the packet is something else. */
__noinline int take_solicitation(struct xdp_md *ctx, const struct packet *packet) {
  struct ip_address target;
  __u32 place;

  if (!packet)
    return -1;
  struct nd_message *message = find_solicitation(ctx, packet);

  if (!message)
    return -1;
  target = message->target;
  struct service *service = find_address(&target, 6, &place);

  if (!service)
    return -1;
  __u32 reason = judge_neighbour(service, &packet->source, 6);

  /* Who has no address yet wants this one for itself, and is not told anything that it could use. */
  if (!(packet->source.word[0] | packet->source.word[1] | packet->source.word[2] | packet->source.word[3]))
    reason = DROP_NEIGHBOUR;
  if (reason != REPLY_NEIGHBOUR)
    return leave(ctx, reason);
  __u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

  asm volatile("" : "+r"(length)); /* a difference of pointers may not become part of a narrower sum */
  if (bpf_xdp_adjust_tail(ctx, (int)(packet->l4_offset + sizeof(*message)) - (int)length) ||
      write_advertisement(ctx, packet, service))
    return leave(ctx, DROP_NO_HEADROOM);
  return leave(ctx, reason);
}
