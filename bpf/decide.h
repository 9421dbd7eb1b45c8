/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns deciding about a packet whatever form it has: what of it is parsed, which service it is for, and which backend
 * its slot names, or why it is left. The common way has the same in mux.bpf.c, at offsets that the compiler knows. Not
 * here: what tracked slots, fragments' homes and deadlines change about it.
 */
#pragma once

#include "fragment.h"
#include "icmp.h"
#include "quic.h"
#include "read.h"
#include "slot.h"

/* TCP and UDP, whole or the first fragment. `cursor` stands at the transport header. */
static __always_inline __u32 decide(struct xdp_md *ctx, struct packet *packet, struct cursor *cursor,
                                    int version, struct decision *decision) {
  if (__builtin_expect(parse_ports(cursor, packet) != PARSE_OK, 0))
    return find_address(&packet->destination, version, &decision->service) ? DROP_TRUNCATED
                                                                           : PASS_NOT_A_SERVICE;

  __u64 digest = service_digest(&packet->destination, packet->destination_port, packet->protocol, version);
  struct service *service = find_flow_service(digest, packet, version, &decision->service);

  if (!service)
    return PASS_NOT_A_SERVICE;
  if (!service->port && !(service->flags & SERVICE_ANY_PORT))
    return PASS_NO_SUCH_PORT;

  __u8 *transport = cursor->position;
  __u32 transport_bytes = packet->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

  if ((void *)transport + transport_bytes > cursor->end)
    return DROP_TRUNCATED;
  if (packet->protocol == IPPROTO_TCP && (void *)transport + sizeof(struct tcphdr) <= cursor->end)
    packet->new_flow = transport[TCP_FLAGS_OFFSET] & NEW_FLOW_MASK;
  if ((void *)(long)ctx->data + packet->l3_offset + packet->length > cursor->end)
    return DROP_TRUNCATED;
  if (packet->l3_offset + packet->length < packet->l4_offset + transport_bytes)
    return DROP_BAD_HEADER;

  decision->hash = hash_flow(service, digest, packet, version);
  decision->reason = packet->fragment ? FORWARD_FIRST_FRAGMENT : FORWARD;
  decision->backend = BACKEND_NONE;
  if (__builtin_expect(service->flags & SERVICE_QUIC && packet->protocol == IPPROTO_UDP, 0)) {
    struct quic_route route = {};

    route_quic(ctx, packet->l4_offset, service, &route);
    packet->new_flow = route.is_initial ? NEW_FLOW : 0;
    decision->backend = route.backend;
    if (route.backend != BACKEND_NONE && !packet->fragment)
      decision->reason = FORWARD_QUIC;
  }
  if (decision->backend == BACKEND_NONE)
    decision->backend = select_backend(service, decision);
  return REASON_NONE;
}

/* A later fragment has no ports: of what it is, the address tells enough. */
__noinline int decide_later_fragment(struct xdp_md *ctx, const struct packet *packet,
                                     struct decision *decision) {
  if (!packet || !decision)
    return DROP_INTERNAL;
  if (!find_address(&packet->destination, packet->version, &decision->service))
    return PASS_NOT_A_SERVICE;
  /* IPv6 names what follows the fragment header of the first fragment, which may be one more extension header. */
  if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP &&
      packet->protocol != IPPROTO_DSTOPTS && packet->protocol != IPPROTO_AH)
    return PASS_NO_SUCH_PORT;
  if ((void *)(long)ctx->data + packet->l3_offset + packet->length > (void *)(long)ctx->data_end)
    return DROP_TRUNCATED;
  if (packet->l3_offset + packet->length <= packet->l4_offset)
    return DROP_BAD_HEADER;

  /* There are no ports: this only tells datagrams apart. */
  decision->hash = flow_hash(packet->identification, packet->source.word[3]);
  decision->reason = FORWARD_LATER_FRAGMENT;
  return REASON_NONE;
}

/* A later fragment goes where the first one went. */
__noinline int follow_first_fragment(const struct packet *packet, struct decision *decision) {
  if (!packet || !decision)
    return DROP_INTERNAL;
  struct fragment_entry *first = recall_first_fragment(packet);
  struct backend *backend = first ? find_backend(first->backend) : NULL;

  if (!backend || backend->generation != first->generation)
    return DROP_FRAGMENT_UNKNOWN;
  decision->service = first->service;
  decision->backend = first->backend;
  return REASON_NONE;
}

/* An error about a flow goes where the flow goes: the quoted packet names it. */
static __always_inline __u32 decide_icmp_error(struct xdp_md *ctx, const struct packet *packet,
                                               struct decision *decision) {
  struct packet flow = {};

  if (read_quote(ctx, packet, &flow))
    return PASS_ICMP_OTHER;

  __u64 digest = service_digest(&flow.destination, flow.destination_port, flow.protocol, packet->version);
  struct service *service = find_flow_service(digest, &flow, packet->version, &decision->service);

  if (!service || (!service->port && !(service->flags & SERVICE_ANY_PORT)))
    return PASS_ICMP_OTHER;
  decision->hash = hash_flow(service, digest, &flow, packet->version);
  decision->backend = select_backend(service, decision);
  decision->reason = FORWARD_ICMP_ERROR;
  return REASON_NONE;
}

__noinline int decide_icmp(struct xdp_md *ctx, const struct packet *packet, struct decision *decision) {
  if (!packet || !decision)
    return DROP_INTERNAL;
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct icmp_header *icmp = data + (packet->l4_offset & 0x7fff);

  if (!find_address(&packet->destination, packet->version, &decision->service))
    return PASS_NOT_A_SERVICE;
  if (packet->fragment != FRAGMENT_NONE)
    return PASS_ICMP_OTHER;
  if ((void *)(icmp + 1) > end || data + packet->l3_offset + packet->length > end)
    return DROP_TRUNCATED;
  if (packet->l3_offset + packet->length < packet->l4_offset + sizeof(*icmp))
    return DROP_BAD_HEADER;
  if (icmp->type == (packet->version == 4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST) && icmp->code == 0 &&
      !packet->hops)
    return reply_to_echo(ctx, packet);
  if (is_icmp_error(packet->version, icmp->type))
    return decide_icmp_error(ctx, packet, decision);
  return PASS_ICMP_OTHER;
}

/* decide() for any packet of TCP or UDP; its transport header is at l4_offset. */
__noinline int decide_rare(struct xdp_md *ctx, struct packet *packet, struct decision *decision) {
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};

  if (!packet || !decision)
    return DROP_INTERNAL;
  cursor.position = (void *)(long)ctx->data + (packet->l4_offset & 0x7fff);
  return packet->version == 4 ? decide(ctx, packet, &cursor, 4, decision)
                              : decide(ctx, packet, &cursor, 6, decision);
}

/* Any packet whose headers were parsed: a backend, or a reason to leave. */
__noinline int decide_any(struct xdp_md *ctx, struct packet *packet, struct decision *decision) {
  if (!packet || !decision)
    return DROP_INTERNAL;
  if (packet->fragment == FRAGMENT_LATER)
    return decide_later_fragment(ctx, packet, decision);
  if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP)
    return decide_rare(ctx, packet, decision);
  if (packet->protocol == (packet->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
    return decide_icmp(ctx, packet, decision);
  return PASS_NOT_A_SERVICE;
}
