/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what a packet is about: the service, the key of its client, and the bucket of that. Of packets of any form; the
 * common way has the same in filter.bpf.c, at offsets that the compiler knows. Not here: what becomes of them.
 */
#pragma once

#include "filter_maps.h"
#include "icmp.h"
#include "read.h"

enum subject_kind {
  SUBJECT_FLOW = 0, /* a packet of a flow of a service */
  SUBJECT_ERROR, /* an ICMP error about one */
  SUBJECT_ADDRESS, /* nothing but the address says whose it is */
  SUBJECT_FRAGMENT, /* a later fragment: the first one has said */
};

struct subject {
  struct decision decision; /* of which `backend` is not used */
  /* The flow as the client's packets have it. */
  struct ip_address client;
  struct ip_address address;
  __be16 client_port;
  __be16 port;
  __u8 version;
  __u8 protocol;
  __u8 kind; /* enum subject_kind */
  __u8 begins; /* a session may begin with it */
  __u8 sign; /* enum affinity_sign */
  __u8 reserved[7];
};

/* In memory: see packet_in_hand. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct subject);
} subject_in_hand SEC(".maps");

static __always_inline struct subject *subject_in_hand_here(void) {
  __u32 only = 0;

  return bpf_map_lookup_elem(&subject_in_hand, &only);
}

static __always_inline const struct service *service_of(const struct decision *decision) {
  return &services[decision->service & (SERVICES_MAX - 1)];
}

/* Loads the bucket of the hash; false where the service has none. */
static __always_inline bool load_slot(const struct service *service, struct decision *decision) {
  __u32 index = service->slot_base + reduce(decision->hash, service->slot_count);
  __u64 *slot = bpf_map_lookup_elem(&slots, &index);

  if (!service->slot_count || !slot)
    return false;
  decision->slot = index;
  decision->slot_word = *(volatile __u64 *)slot;
  return true;
}

static __always_inline __u32 load_bucket(const struct service *service, struct decision *decision) {
  return load_slot(service, decision) ? REASON_NONE : DROP_NO_BUCKET;
}

/* Whether the packet is all there; one that was cut is as long as it is. */
static __always_inline bool is_whole(struct xdp_md *ctx, const struct packet *packet) {
  return (void *)(long)ctx->data + packet->l3_offset + packet->length <= (void *)(long)ctx->data_end;
}

/* By the client's bucket at the address, whatever port and protocol. */
static __always_inline __u32 find_address_subject(const struct packet *packet, struct subject *subject,
                                                  int version) {
  struct service *service = find_address(&packet->destination, version, &subject->decision.service);
  struct ip_address client = packet->source;

  if (!service)
    return PASS_NOT_A_SERVICE;
  if (service->flags & SERVICE_CLIENT_AFFINITY)
    for (int i = 0; i < 4; i++)
      client.word[i] &= service->client_mask[i];
  subject->kind = SUBJECT_ADDRESS;
  subject->decision.hash =
      flow_hash(service_digest(&packet->destination, 0, 0, version), client_digest(&client, 0, version));
  return load_bucket(service, &subject->decision);
}

/* The bucket of a flow; `flow` has its ports. PASS_NOT_A_SERVICE, PASS_NO_SUCH_PORT: there is none. */
static __always_inline __u32 find_flow_subject(const struct packet *flow, struct subject *subject,
                                               int version) {
  __u64 digest = service_digest(&flow->destination, flow->destination_port, flow->protocol, version);
  struct service *service = find_flow_service(digest, flow, version, &subject->decision.service);

  if (!service)
    return PASS_NOT_A_SERVICE;
  if (!service->port && !(service->flags & SERVICE_ANY_PORT))
    return PASS_NO_SUCH_PORT;
  subject->client = flow->source;
  subject->address = flow->destination;
  subject->client_port = flow->source_port;
  subject->port = flow->destination_port;
  subject->version = version;
  subject->protocol = flow->protocol;
  subject->decision.hash = hash_flow(service, digest, flow, version);
  return load_bucket(service, &subject->decision);
}

/* TCP and UDP, whole or the first fragment. */
static __always_inline __u32 find_transport_subject(struct xdp_md *ctx, struct packet *packet,
                                                    struct subject *subject, int version) {
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};
  __u32 transport_bytes = packet->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
  __u32 place;

  cursor.position = (void *)(long)ctx->data + (packet->l4_offset & 0x7fff);
  __u8 *transport = cursor.position;

  if (parse_ports(&cursor, packet) || (void *)transport + transport_bytes > cursor.end)
    return find_address(&packet->destination, version, &place) ? DROP_TRUNCATED : PASS_NOT_A_SERVICE;
  __u32 reason = find_flow_subject(packet, subject, version);

  if (reason == PASS_NO_SUCH_PORT)
    return find_address_subject(packet, subject, version);
  if (reason != REASON_NONE)
    return reason;
  if (!is_whole(ctx, packet))
    return DROP_TRUNCATED;
  if (packet->l3_offset + packet->length < packet->l4_offset + transport_bytes)
    return DROP_BAD_HEADER;
  subject->kind = SUBJECT_FLOW;
  subject->begins = true;
  subject->sign = AFFINITY_SIGN_LIFE;
  if (packet->protocol == IPPROTO_TCP) {
    if ((void *)transport + sizeof(struct tcphdr) > cursor.end)
      return DROP_TRUNCATED;
    subject->begins = (transport[TCP_FLAGS_OFFSET] & NEW_FLOW_MASK) == NEW_FLOW;
    if (subject->begins)
      subject->sign = AFFINITY_SIGN_BEGINNING;
    packet->new_flow = subject->begins ? NEW_FLOW : 0;
  }
  return REASON_NONE;
}

__noinline int find_transport(struct xdp_md *ctx, struct packet *packet, struct subject *subject) {
  if (!packet || !subject)
    return DROP_INTERNAL;
  return packet->version == 4 ? find_transport_subject(ctx, packet, subject, 4)
                              : find_transport_subject(ctx, packet, subject, 6);
}

__noinline int find_by_address(const struct packet *packet, struct subject *subject) {
  if (!packet || !subject)
    return DROP_INTERNAL;
  return packet->version == 4 ? find_address_subject(packet, subject, 4)
                              : find_address_subject(packet, subject, 6);
}

/* An error about a flow is for who has the flow; any other ICMP goes by the address. */
__noinline int find_icmp(struct xdp_md *ctx, const struct packet *packet, struct subject *subject) {
  struct packet flow = {};
  __u32 place;

  if (!packet || !subject)
    return DROP_INTERNAL;
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct icmp_header *icmp = data + (packet->l4_offset & 0x7fff);

  if (!find_address(&packet->destination, packet->version, &place))
    return PASS_NOT_A_SERVICE;
  if (packet->fragment != FRAGMENT_NONE)
    return find_by_address(packet, subject);
  if ((void *)(icmp + 1) > end || !is_whole(ctx, packet))
    return DROP_TRUNCATED;
  if (packet->l3_offset + packet->length < packet->l4_offset + sizeof(*icmp))
    return DROP_BAD_HEADER;
  if (is_icmp_error(packet->version, icmp->type) && !read_quote(ctx, packet, &flow)) {
    __u32 reason =
        packet->version == 4 ? find_flow_subject(&flow, subject, 4) : find_flow_subject(&flow, subject, 6);

    if (reason != PASS_NO_SUCH_PORT) {
      subject->kind = SUBJECT_ERROR;
      return reason;
    }
  }
  return find_by_address(packet, subject);
}

/* Any packet whose headers were parsed: what it is about, or a reason to leave. */
__noinline int find_subject(struct xdp_md *ctx, struct packet *packet, struct subject *subject) {
  __u32 place;

  if (!packet || !subject)
    return DROP_INTERNAL;
  if (packet->fragment == FRAGMENT_LATER) {
    subject->kind = SUBJECT_FRAGMENT;
    return find_address(&packet->destination, packet->version, &place) ? REASON_NONE : PASS_NOT_A_SERVICE;
  }
  if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP)
    return find_transport(ctx, packet, subject);
  if (packet->protocol == (packet->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
    return find_icmp(ctx, packet, subject);
  return find_by_address(packet, subject);
}

/* Whether this server's kernel has the TCP connection: a full match, no listener. `begins`: nor one that has ended. */
__noinline int has_connection(struct xdp_md *ctx, const struct subject *subject) {
  struct bpf_sock_tuple tuple = {};
  __u32 bytes = sizeof(tuple.ipv4);

  if (!subject || subject->protocol != IPPROTO_TCP)
    return false;
  if (time_is_driven && driven_connection != DRIVEN_CONNECTION_KERNEL)
    return driven_connection == DRIVEN_CONNECTION_HERE;
  if (subject->version == 4) {
    tuple.ipv4.saddr = subject->client.word[3];
    tuple.ipv4.daddr = subject->address.word[3];
    tuple.ipv4.sport = subject->client_port;
    tuple.ipv4.dport = subject->port;
  } else {
    bytes = sizeof(tuple.ipv6);
    __builtin_memcpy(tuple.ipv6.saddr, &subject->client, sizeof(subject->client));
    __builtin_memcpy(tuple.ipv6.daddr, &subject->address, sizeof(subject->address));
    tuple.ipv6.sport = subject->client_port;
    tuple.ipv6.dport = subject->port;
  }
  struct bpf_sock *socket = bpf_skc_lookup_tcp(ctx, &tuple, bytes, BPF_F_CURRENT_NETNS, 0);

  if (!socket)
    return false;
  __u32 state = socket->state;

  bpf_sk_release(socket);
  return state != BPF_TCP_LISTEN && state != BPF_TCP_CLOSE &&
         !(subject->begins && state == BPF_TCP_TIME_WAIT);
}
