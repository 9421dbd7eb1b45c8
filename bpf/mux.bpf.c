/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The load balancer: frame → parse → service → slot → encapsulation → NIC. Stateless: every mux with the same
 * configuration sends a flow to the same backend. What is not for a service passes to the host untouched.
 *
 * Each way through is: parse, decide (a backend, or a reason to leave), forward. Deciding about rare packets is done
 * in functions that are verified by themselves and get the packet in per-CPU memory (verdict.h).
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#include "encap.h"
#include "fragment.h"
#include "icmp.h"
#include "quic.h"
#include "slot.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Where a packet goes. */
struct decision {
  __u64 hash; /* of the flow */
  __u32 service;
  __u32 backend;
  __u32 reason; /* a FORWARD one */
  __u32 reserved;
};

static __always_inline void count_traffic(struct traffic *traffic, const struct packet *packet) {
  if (!traffic)
    return;
  traffic->packets++;
  traffic->bytes += packet->length;
  traffic->new_flows += packet->new_flow;
}

static __always_inline int send(struct xdp_md *ctx, const struct packet *packet, const struct decision *decision,
                                struct backend *backend) {
  __u32 reason = decision->reason;

  count_traffic(bpf_map_lookup_elem(&service_traffic, &decision->service), packet);
  count_traffic(bpf_map_lookup_elem(&backend_traffic, &decision->backend), packet);

  int failure = encapsulate(ctx, packet, backend, decision->hash);

  if (failure)
    return leave(ctx, packet, failure);
  int verdict = transmit(ctx, backend, &reason);

  return leave_as(ctx, packet, reason, verdict);
}

/* Bytes of an inner packet that fit towards a backend. */
static __always_inline __u32 inner_mtu(const struct backend *backend) {
  return backend->mtu - outer_bytes(backend);
}

/* forward() for what does not fit, what is a fragment, and what was decided in memory. */
__noinline int forward_rare(struct xdp_md *ctx, const struct packet *packet, const struct decision *decision) {
  if (!packet || !decision)
    return XDP_ABORTED;
  struct backend *backend = find_backend(decision->backend);

  if (!backend || !(backend->flags & BACKEND_PRESENT))
    return leave(ctx, packet, DROP_NO_BACKEND);
  if (packet->length > inner_mtu(backend)) {
    int failure = reply_too_big(ctx, packet, inner_mtu(backend));

    return failure ? leave(ctx, packet, failure) : leave(ctx, packet, REPLY_TOO_BIG);
  }
  if (packet->fragment == FRAGMENT_FIRST)
    remember_first_fragment(packet, decision->service, decision->backend, backend->generation);
  return send(ctx, packet, decision, backend);
}

static __always_inline int forward(struct xdp_md *ctx, struct packet *packet, const struct decision *decision) {
  struct backend *backend = find_backend(decision->backend);

  if (__builtin_expect(backend && backend->flags & BACKEND_PRESENT && packet->length <= inner_mtu(backend) &&
                           !packet->fragment,
                       1))
    return send(ctx, packet, decision, backend);

  struct packet *aside = set_aside(packet);
  struct decision rare = *decision;

  return aside ? forward_rare(ctx, aside, &rare) : leave(ctx, packet, DROP_INTERNAL);
}

/* The service of a flow by its destination; `digest` is of address, port and protocol. */
static __always_inline struct service *find_flow_service(__u64 digest, const struct packet *flow, int version,
                                                         __u32 *index) {
  struct service *service = find_service(digest, &flow->destination, flow->destination_port, flow->protocol,
                                         version, index);

  return service ? service : find_address(&flow->destination, version, index);
}

/* TCP and UDP, whole or the first fragment. `cursor` stands at the transport header. */
static __always_inline __u32 decide(struct xdp_md *ctx, struct packet *packet, struct cursor *cursor, int version,
                                    struct decision *decision) {
  if (__builtin_expect(parse_ports(cursor, packet) != PARSE_OK, 0))
    return find_address(&packet->destination, version, &decision->service) ? DROP_TRUNCATED : PASS_NOT_A_SERVICE;

  __u64 digest =
      service_digest(&packet->destination, packet->destination_port, packet->protocol, version);
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
    packet->new_flow = (transport[TCP_FLAGS_OFFSET] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
  if ((void *)(long)ctx->data + packet->l3_offset + packet->length > cursor->end)
    return DROP_TRUNCATED;
  if (packet->l3_offset + packet->length < packet->l4_offset + transport_bytes)
    return DROP_BAD_HEADER;

  decision->hash = hash_flow(service, digest, &packet->source, packet->source_port, version);
  decision->reason = packet->fragment ? FORWARD_FIRST_FRAGMENT : FORWARD;
  decision->backend = BACKEND_NONE;
  if (__builtin_expect(service->flags & SERVICE_QUIC && packet->protocol == IPPROTO_UDP, 0)) {
    struct quic_route route = {};

    route_quic(ctx, packet->l4_offset, service, &route);
    packet->new_flow = route.is_initial;
    decision->backend = route.backend;
    if (route.backend != BACKEND_NONE && !packet->fragment)
      decision->reason = FORWARD_QUIC;
  }
  if (decision->backend == BACKEND_NONE)
    decision->backend = select_backend(service, decision->hash);
  return REASON_NONE;
}

/* A later fragment has no ports: it follows the first. */
__noinline int decide_later_fragment(struct xdp_md *ctx, const struct packet *packet, struct decision *decision) {
  if (!packet || !decision)
    return DROP_INTERNAL;
  if (!find_address(&packet->destination, packet->version, &decision->service))
    return PASS_NOT_A_SERVICE;
  if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
    return PASS_NO_SUCH_PORT;
  if ((void *)(long)ctx->data + packet->l3_offset + packet->length > (void *)(long)ctx->data_end)
    return DROP_TRUNCATED;

  struct fragment_entry *first = recall_first_fragment(packet);
  struct backend *backend = first ? find_backend(first->backend) : NULL;

  if (!backend || backend->generation != first->generation)
    return DROP_FRAGMENT_UNKNOWN;
  decision->service = first->service;
  decision->backend = first->backend;
  /* Only spreads over queues here; without ports the identification does as well. */
  decision->hash = flow_hash(packet->identification, packet->source.word[3]);
  decision->reason = FORWARD_LATER_FRAGMENT;
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
  decision->hash = hash_flow(service, digest, &flow.source, flow.source_port, packet->version);
  decision->backend = select_backend(service, decision->hash);
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
  if (icmp->type == (packet->version == 4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST) && icmp->code == 0)
    return reply_to_echo(ctx, packet);
  if (is_icmp_error(packet->version, icmp->type))
    return decide_icmp_error(ctx, packet, decision);
  return PASS_ICMP_OTHER;
}

/* Steps over IPv6 extension headers; REASON_NONE, or a reason to leave. */
__noinline int skip_extensions(struct xdp_md *ctx, struct packet *packet) {
  void *data = (void *)(long)ctx->data;
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};
  __u32 service_at;

  if (!packet)
    return DROP_INTERNAL;
  cursor.position = data + (packet->l4_offset & 0xff);
  switch (parse_ipv6_extensions(&cursor, data, packet)) {
  case PARSE_OK:
    packet->l4_offset = cursor.position - data;
    return REASON_NONE;
  case PARSE_TOO_MANY_EXTENSIONS:
    return find_address(&packet->destination, 6, &service_at) ? DROP_EXTENSION_HEADERS : PASS_NOT_A_SERVICE;
  default:
    return PASS_MALFORMED;
  }
}

__noinline int decide_after_extensions(struct xdp_md *ctx, struct packet *packet, struct decision *decision) {
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};

  if (!packet || !decision)
    return DROP_INTERNAL;
  cursor.position = (void *)(long)ctx->data + (packet->l4_offset & 0x7fff);
  return decide(ctx, packet, &cursor, 6, decision);
}

/* Fragments after the first, ICMP, and IPv6 that does not begin with TCP or UDP. */
static __always_inline int mux_rare(struct xdp_md *ctx, const struct packet *packet) {
  struct packet *aside = set_aside(packet);
  struct decision decision = {};
  __u32 reason = REASON_NONE;

  if (!aside)
    return leave(ctx, packet, DROP_INTERNAL);
  if (aside->version == 6)
    reason = skip_extensions(ctx, aside);
  if (reason != REASON_NONE)
    return leave(ctx, aside, reason);

  if (aside->fragment == FRAGMENT_LATER)
    reason = decide_later_fragment(ctx, aside, &decision);
  else if (aside->protocol == (aside->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
    reason = decide_icmp(ctx, aside, &decision);
  else if (aside->protocol == IPPROTO_TCP || aside->protocol == IPPROTO_UDP)
    reason = decide_after_extensions(ctx, aside, &decision);
  else
    reason = PASS_NOT_A_SERVICE;
  return reason == REASON_NONE ? forward_rare(ctx, aside, &decision) : leave(ctx, aside, reason);
}

static __always_inline int mux_ip(struct xdp_md *ctx, struct cursor *cursor, struct packet *packet, int version) {
  void *data = (void *)(long)ctx->data;
  struct decision decision;

  packet->l3_offset = cursor->position - data;
  if (version == 4 ? parse_ipv4(cursor, packet) : parse_ipv6(cursor, packet))
    return leave(ctx, packet, PASS_MALFORMED);
  packet->l4_offset = cursor->position - data;
  if (packet->fragment == FRAGMENT_LATER ||
      (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP))
    return mux_rare(ctx, packet);

  __u32 reason = decide(ctx, packet, cursor, version, &decision);

  return reason == REASON_NONE ? forward(ctx, packet, &decision) : leave(ctx, packet, reason);
}

SEC("xdp")
int mux(struct xdp_md *ctx) {
  struct cursor cursor = {.position = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end};
  struct packet packet = {};
  int type = parse_ethernet(&cursor);

  if (type == bpf_htons(ETH_P_IP))
    return mux_ip(ctx, &cursor, &packet, 4);
  if (type == bpf_htons(ETH_P_IPV6))
    return mux_ip(ctx, &cursor, &packet, 6);
  return leave(ctx, &packet, PASS_NOT_IP);
}
