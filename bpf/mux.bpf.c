/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The load balancer: frame → parse → service → slot → encapsulation → NIC. Clean slots need no state: every mux with the
 * same configuration sends a flow to the same backend. What is not for a service passes to the host untouched.
 *
 * Each way through is: parse, decide (a backend, or a reason to leave), send. There are two ways. The common one, for
 * whole TCP and UDP packets without tags, options or extension headers, to plain services and reachable backends, has
 * every offset known to the compiler. mux_rare() starts again from the first byte and does all there is to do; it is
 * a function of its own, as are its parts, so that each is verified by itself and the stack stays shallow.
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#include "ask.h"
#include "decide.h"
#include "encap.h"
#include "flow_tasks.h"
#include "receive.h"
#include "relay.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What a forwarded packet counts as. */
static __always_inline void count_forwarded(const struct packet *packet, const struct decision *decision) {
  struct counters *here = counters_here();

  if (!here)
    return;
  struct traffic *service = &here->services[decision->service & (SERVICES_MAX - 1)];
  struct traffic *backend = &here->backends[decision->backend & (BACKENDS_MAX - 1)];

  here->reasons[decision->reason & (REASONS_MAX - 1)]++;
  service->packets++;
  service->bytes += packet->length;
  backend->packets++;
  backend->bytes += packet->length;
  if (packet->new_flow == NEW_FLOW) {
    service->new_flows++;
    backend->new_flows++;
  }
}

/* Wraps and sends the packet, or leaves with the reason why not. */
static __always_inline int send(struct xdp_md *ctx, const struct packet *packet,
                                const struct decision *decision, struct backend *backend,
                                struct shape shape) {
  if (encapsulate(ctx, packet, backend, shape, decision->hash))
    return leave(ctx, DROP_NO_HEADROOM);
  count_forwarded(packet, decision);
  return transmit(ctx, backend->ifindex);
}

/* Wraps for a backend of any shape. The shapes are spelt out: the verifier wants to see the size of each header. */
static __always_inline int encapsulate_any(struct xdp_md *ctx, const struct packet *packet,
                                           const struct backend *backend, __u64 hash) {
  bool gue = backend->encap == ENCAP_GUE;
  bool vlan = (backend->flags & (BACKEND_NEXT_HOP | BACKEND_VLAN)) == (BACKEND_NEXT_HOP | BACKEND_VLAN);

  if (backend->ip_version == 4) {
    if (vlan)
      return gue ? encapsulate(ctx, packet, backend, (struct shape){4, true, true}, hash)
                 : encapsulate(ctx, packet, backend, (struct shape){4, false, true}, hash);
    return gue ? encapsulate(ctx, packet, backend, (struct shape){4, true, false}, hash)
               : encapsulate(ctx, packet, backend, (struct shape){4, false, false}, hash);
  }
  if (vlan)
    return gue ? encapsulate(ctx, packet, backend, (struct shape){6, true, true}, hash)
               : encapsulate(ctx, packet, backend, (struct shape){6, false, true}, hash);
  return gue ? encapsulate(ctx, packet, backend, (struct shape){6, true, false}, hash)
             : encapsulate(ctx, packet, backend, (struct shape){6, false, false}, hash);
}

/* Sends a packet that was decided about, or answers that it is too big. */
__noinline int forward_rare(struct xdp_md *ctx, struct packet *packet, const struct decision *decision) {
  if (!packet || !decision)
    return XDP_ABORTED;
  struct backend *backend = find_backend(decision->backend);

  if (!(backend->flags & BACKEND_PRESENT))
    return leave(ctx, DROP_NO_BACKEND);
  if (packet->length > backend->inner_mtu)
    return leave_too_big(ctx, packet, backend->inner_mtu);
  if (packet->fragment == FRAGMENT_FIRST && observer != OBSERVER_EXPLAIN)
    remember_first_fragment(packet, decision->service, decision->backend, backend->generation);
  if (encapsulate_any(ctx, packet, backend, decision->hash))
    return leave(ctx, DROP_NO_HEADROOM);

  __u32 ifindex = backend->ifindex;

  if (!(backend->flags & BACKEND_NEXT_HOP)) {
    int failure = resolve_next_hop(ctx, backend->ip_version, &ifindex);

    if (failure)
      return leave(ctx, failure);
  }
  if (observer == OBSERVER_EXPLAIN)
    explanation.ifindex = ifindex;
  else
    count_forwarded(packet, decision);
  if (observer)
    observe(ctx, decision->reason);
  return transmit(ctx, ifindex);
}

/* What becomes of a packet that was decided about, whether it came as it is or in a relay. */
__noinline int serve(struct xdp_md *ctx, struct packet *packet, struct decision *decision) {
  if (!packet || !decision)
    return leave(ctx, DROP_INTERNAL);
  __u32 reason, mux = find_relay(packet, decision, &reason);

  if (mux != MUX_NONE)
    return relay(ctx, packet, decision, mux, reason);
  if (packet->fragment == FRAGMENT_LATER) {
    reason = follow_first_fragment(packet, decision);
    if (reason != REASON_NONE)
      return leave(ctx, reason);
    explain_decision(decision);
  }
  if (__builtin_expect(past_deadline(), 0)) {
    /* That nobody was heard lately may be for having slept: then what is known here is old. */
    if (self.deadline != DEADLINE_ALONE)
      return leave(ctx, DROP_ASK_FENCED);
    if (decision->slot != SLOT_NONE && is_tracked(decision->slot_word))
      decision->backend = find_alone(packet, decision, decision->reason == FORWARD_ICMP_ERROR);
    decision->reason = FORWARD_ALONE;
    explain_decision(decision);
    return forward_rare(ctx, packet, decision);
  }
  /* Later fragments, and QUIC by server ID, have no slot. */
  if (decision->slot != SLOT_NONE && is_tracked(decision->slot_word))
    return serve_tracked(ctx, packet, decision);
  return forward_rare(ctx, packet, decision);
}

static __always_inline bool is_at_ask_port(const struct packet *packet) {
  return packet->protocol == IPPROTO_UDP && packet->destination_port == ask_port;
}

/* Any packet at all. */
__noinline int mux_rare(struct xdp_md *ctx) {
  struct packet *packet = packet_in_hand_here();
  struct decision decision = {.service = SERVICES_MAX, .slot = SLOT_NONE};

  if (!packet)
    return leave(ctx, DROP_INTERNAL);
  __builtin_memset(packet, 0, sizeof(*packet));
  __u32 reason = parse_rare(ctx, packet);

  if (reason == REASON_NONE && packet->version == 6)
    reason = skip_extensions(ctx, packet);
  if (reason != REASON_NONE)
    return leave(ctx, reason);

  reason = decide_any(ctx, packet, &decision);
  if (reason == PASS_NOT_A_SERVICE && packet->fragment == FRAGMENT_NONE && is_at_ask_port(packet))
    return receive(ctx);
  explain_decision(&decision);
  return reason == REASON_NONE ? serve(ctx, packet, &decision) : leave(ctx, reason);
}

/* To a backend that is reached in a common way. `length_min`: of the packet's headers. */
static __always_inline int forward_common(struct xdp_md *ctx, const struct packet *packet,
                                          const struct decision *decision, __u32 length_min) {
  struct backend *backend = find_backend(decision->backend);
  const __u32 ready = BACKEND_PRESENT | BACKEND_NEXT_HOP;
  __u32 shape = *(__u32 *)&backend->flags;

  /* Too long or, for then the difference is huge, too short. */
  if (packet->length - length_min > backend->inner_mtu - length_min)
    return mux_rare(ctx);
  if (shape == BACKEND_SHAPE(ready, ENCAP_IP, 4))
    return send(ctx, packet, decision, backend, (struct shape){4, false, false});
  if (shape == BACKEND_SHAPE(ready, ENCAP_IP, 6))
    return send(ctx, packet, decision, backend, (struct shape){6, false, false});
  if (shape == BACKEND_SHAPE(ready, ENCAP_GUE, 4))
    return send(ctx, packet, decision, backend, (struct shape){4, true, false});
  if (shape == BACKEND_SHAPE(ready, ENCAP_GUE, 6))
    return send(ctx, packet, decision, backend, (struct shape){6, true, false});
  return mux_rare(ctx);
}

/* Whole TCP or UDP at offsets that the compiler knows. Whatever is not plain goes to mux_rare(). */
static __always_inline int mux_common(struct xdp_md *ctx, struct packet *packet,
                                      const struct ip_address *source, const struct ip_address *destination,
                                      void *transport, void *end, int version) {
  struct ports *ports = transport;
  struct decision decision = {};

  packet->source_port = ports->source;
  packet->destination_port = ports->destination;
  __u64 digest = service_digest(destination, packet->destination_port, packet->protocol, version);
  struct service *service =
      find_service_without(SERVICE_KEY_FLAGS | SERVICE_QUIC, digest, destination, packet->destination_port,
                           packet->protocol, version, &decision.service);

  if (!service || __builtin_expect(past_deadline(), 0))
    return mux_rare(ctx);
  __u32 length_min = packet->l4_offset - packet->l3_offset + sizeof(struct udphdr);

  if (packet->protocol == IPPROTO_TCP) {
    length_min += sizeof(struct tcphdr) - sizeof(struct udphdr);
    packet->new_flow = ((__u8 *)transport)[TCP_FLAGS_OFFSET] & NEW_FLOW_MASK;
  }
  if (transport - packet->l4_offset + packet->l3_offset + packet->length > end)
    return mux_rare(ctx);

  decision.hash = flow_hash(digest, client_digest(source, packet->source_port, version));
  decision.backend = select_backend(service, &decision);
  /* Each has the rest of the way to itself: what is clean has no variable for what it counts as. */
  if (__builtin_expect(is_tracked(decision.slot_word), 0)) {
    decision.backend =
        find_tracked_here(decision.hash, decision.slot_word, service->idle_time,
                          packet->new_flow == NEW_FLOW ? CACHE_USE_NEW_FLOW : CACHE_USE_PACKET, false);
    if (decision.backend == BACKEND_NONE)
      return mux_rare(ctx);
    decision.reason = FORWARD_CACHED;
    return forward_common(ctx, packet, &decision, length_min);
  }
  decision.reason = FORWARD;
  return forward_common(ctx, packet, &decision, length_min);
}

/* Whole TCP or UDP to no address of a service: the host's, or from another mux. */
static __always_inline int pass_common(struct xdp_md *ctx, const struct packet *packet,
                                       const struct ip_address *source, const struct ip_address *destination,
                                       const struct ports *ports, int version) {
  if (__builtin_expect(packet->protocol != IPPROTO_UDP || ports->destination != ask_port, 1)) {
    count_reason(PASS_NOT_A_SERVICE);
    return XDP_PASS;
  }
  struct packet *outer = packet_in_hand_here();

  if (!outer)
    return leave(ctx, DROP_INTERNAL);
  if (version == 4) {
    map_ipv4_whole(&outer->source, source->word[3]);
    map_ipv4_whole(&outer->destination, destination->word[3]);
  } else {
    outer->source = *source;
    outer->destination = *destination;
  }
  outer->version = version;
  outer->length = packet->length;
  outer->traffic_class = packet->traffic_class;
  outer->l3_offset = packet->l3_offset;
  outer->l4_offset = packet->l4_offset;
  return receive(ctx);
}

SEC("xdp")
int mux(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = data;
  struct iphdr *ip4 = (void *)(ethernet + 1);
  struct ipv6hdr *ip6 = (void *)(ethernet + 1);
  struct packet packet = {.l3_offset = sizeof(*ethernet)};

  /* An observer wants to see everything; it can wait. */
  if (observer || (void *)(ip4 + 1) + sizeof(struct tcphdr) > end)
    return mux_rare(ctx);

  if (ethernet->type == bpf_htons(ETH_P_IP)) {
    __u64 first = *(__u64 *)ip4;

    packet.protocol = ip4->protocol;
    if ((first & IPV4_PLAIN_MASK) == IPV4_PLAIN &&
        (packet.protocol == IPPROTO_TCP || packet.protocol == IPPROTO_UDP)) {
      struct ip_address source = {.word[3] = ip4->saddr}, destination = {.word[3] = ip4->daddr};

      packet.version = 4;
      packet.length = bpf_ntohs(first >> 16);
      packet.traffic_class = first >> 8;
      packet.l4_offset = sizeof(*ethernet) + sizeof(*ip4);
      if (!may_be_service(&destination, 4))
        return pass_common(ctx, &packet, &source, &destination, (struct ports *)(ip4 + 1), 4);
      return mux_common(ctx, &packet, &source, &destination, ip4 + 1, end, 4);
    }
  } else if (ethernet->type == bpf_htons(ETH_P_IPV6) && (void *)(ip6 + 1) + sizeof(struct tcphdr) <= end) {
    packet.protocol = ip6->nexthdr;
    if (packet.protocol == IPPROTO_TCP || packet.protocol == IPPROTO_UDP) {
      const struct ip_address *source = (const struct ip_address *)&ip6->saddr;
      const struct ip_address *destination = (const struct ip_address *)&ip6->daddr;
      __u32 first = bpf_ntohl(*(__be32 *)ip6);

      packet.version = 6;
      packet.length = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
      packet.traffic_class = first >> 20;
      packet.l4_offset = sizeof(*ethernet) + sizeof(*ip6);
      if (first >> 28 != 6)
        return mux_rare(ctx);
      if (!may_be_service(destination, 6))
        return pass_common(ctx, &packet, source, destination, (struct ports *)(ip6 + 1), 6);
      return mux_common(ctx, &packet, source, destination, ip6 + 1, end, 6);
    }
  }
  return mux_rare(ctx);
}
