/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Client affinity without a load balancer in front: every server hears every packet for the service address, and this
 * program decides whether this one answers. What is not for a service passes to the host untouched.
 *
 * The rules, by number as in the documentation: 0 the bucket is clean and another's: drop. 1 the client has a session here:
 * pass. 2 another server has the client: drop. 3 the bucket is another's: drop. 4 it is clean and ours: pass, and remember
 * what begins a session. 5 it is tracked and ours, and the client unknown: ask those that may have it.
 *
 * There are two ways. The common one, for whole TCP and UDP packets without tags, options or extension headers, knows
 * rule 0 by a bit (others) and, of most clients, rule 1. filter_rare() starts again from the first byte and does all there
 * is to do; it is a function of its own, as are its parts, so that each is verified by itself and the stack stays shallow.
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#include "affinity_tasks.h"
#include "neighbour.h"
#include "rules.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Whether a holder that does not have the client remembers that the asker has it from now on. */
static __always_inline bool is_remembered(const struct query *query, const struct subject *subject) {
  __u64 word = subject->decision.slot_word;
  bool is_current = is_self(current_of(word)), is_base = is_tracked(word) && is_self(base_of(word));

  /* Who would not answer its own copy need not. And the one that takes the bucket over asks, too: if both remembered each
   * other, neither would answer. */
  return query->header.flags & ASK_NEW_FLOW && (is_current || is_base) &&
         !(is_current && is_tracked(word) && base_of(word) == query->header.asker);
}

static __always_inline void learn_of(const struct query_header *header, const struct subject *subject,
                                     bool is_asked) {
  struct foreign_record record = {
      .hash = subject->decision.hash,
      .incarnation = is_asked ? header->asker_incarnation : header->answer_incarnation,
      .server = is_asked ? header->asker : header->answer,
      .lifetime = foreign_lifetime_of(timeout_of(subject)),
      .is_asked = is_asked,
      .version = header->version,
  };

  if (observer != OBSERVER_EXPLAIN)
    count_event(learn_foreign(&record) ? FOREIGN_FULL : is_asked ? FOREIGN_REMEMBERED : FOREIGN_LEARNT);
}

/*
 * As holder: says whether this server has the client, whatever it believes of the bucket. A connection that only the kernel
 * knows says nothing of the client's others: these may have begun elsewhere.
 */
__noinline int answer_query(struct xdp_md *ctx, const struct packet *packet, struct query *query,
                            const struct subject *subject) {
  if (!packet || !query || !subject)
    return leave(ctx, DROP_INTERNAL);
  struct query_header *header = &query->header;
  /* It is the client's packet, and this server's own copy of it may be lost. */
  bool has_client = !(header->flags & ASK_CONNECTION) && meet_client(subject, subject->sign);

  if (has_client || has_connection(ctx, subject)) {
    header->answer = self.id;
    header->answer_incarnation = self.incarnation;
    if (!has_client)
      header->flags |= ASK_CONNECTION;
    header->operation = QUERY_OPERATION_HOME;
    return send_query(ctx, packet, query, header->asker, QUERY_HAD);
  }
  if (is_remembered(query, subject))
    learn_of(header, subject, true);
  __u32 position = find_holder(query, header->position + 1);

  if (position < HOLDERS_MAX) {
    header->position = position;
    return send_query(ctx, packet, query, header->holder[position & (HOLDERS_MAX - 1)], QUERY_PASSED_ON);
  }
  header->operation = QUERY_OPERATION_HOME;
  return send_query(ctx, packet, query, header->asker, QUERY_RETURNED);
}

/* As asker, whose query came home with nobody: no client of this server's was known when it did. */
__noinline int take_nobody(struct xdp_md *ctx, const struct packet *packet, const struct subject *subject,
                           bool is_cut) {
  if (!packet || !subject)
    return leave(ctx, DROP_INTERNAL);
  __u64 word = subject->decision.slot_word;

  if (meet_foreign(subject))
    return refuse(ctx, packet, subject, DROP_FOREIGN);
  if (!is_self(current_of(word)) && !is_self(base_of(word)))
    return refuse(ctx, packet, subject, DROP_NOT_MINE);
  if (!is_cut)
    return serve_unknown(ctx, packet, subject, FILTER_RULE_NOBODY, ACCEPT_NOBODY);
  if (subject->begins)
    remember_client(subject, false);
  return leave(ctx, DROP_CUT);
}

/*
 * As asker: the query is home. Where the bucket names other holders by now, or none, or the client has a session here by now,
 * the packet is judged anew.
 */
__noinline int take_home(struct xdp_md *ctx, struct packet *packet, const struct query *query,
                         struct subject *subject) {
  if (!packet || !query || !subject)
    return leave(ctx, DROP_INTERNAL);
  const struct query_header *header = &query->header;

  if (header->answer) {
    if (!(header->flags & ASK_CONNECTION))
      learn_of(header, subject, false);
    return refuse(ctx, packet, subject, DROP_ANSWERED);
  }
  if (header->flags & ASK_CONNECTION)
    return header->flags & ASK_CUT ? leave(ctx, DROP_CUT) : serve_unconnected(ctx, packet, subject);
  if (header->record == subject->decision.slot_word >> SLOT_CHAIN_SHIFT &&
      !meet_client(subject, AFFINITY_SIGN_NONE))
    return take_nobody(ctx, packet, subject, header->flags & ASK_CUT);
  return header->flags & ASK_CUT ? leave(ctx, DROP_CUT) : judge(ctx, packet, subject);
}

/* What came to the ask port of this server's own address; the outer headers are in hand. */
__noinline int receive(struct xdp_md *ctx) {
  struct packet *packet = packet_in_hand_here();
  struct query *query = query_in_hand_here(QUERY_OF_PACKET);
  struct subject *subject = subject_in_hand_here();
  const struct backend *own = find_server(self.id);

  if (!packet || !query || !subject)
    return leave(ctx, DROP_INTERNAL);
  if (!self.id || !(own->flags & BACKEND_PRESENT) || !is_same_address(&own->address, &packet->destination))
    return leave(ctx, PASS_NOT_A_SERVICE);
  __u32 reason = read_query(ctx, packet, query);

  if (reason)
    return leave(ctx, reason);
  if (query->header.operation >= QUERY_OPERATION_PROBE)
    return take_probe(ctx, packet, query);
  __builtin_memset(subject, 0, sizeof(*subject));
  subject->decision = (struct decision){.service = SERVICES_MAX, .slot = SLOT_NONE};
  reason = read_carried(ctx, packet, query, subject);
  if (!reason)
    reason = check_query(query, subject);
  if (!reason && (query->outer_traffic_class ^ packet->traffic_class) & ECN_MASK)
    reason = take_congestion(ctx, packet, query->outer_traffic_class);
  explain_decision(&subject->decision);
  if (reason)
    return leave(ctx, reason);
  return query->header.operation == QUERY_OPERATION_ASK ? answer_query(ctx, packet, query, subject)
                                                        : take_home(ctx, packet, query, subject);
}

/* Any packet at all. */
__noinline int filter_rare(struct xdp_md *ctx) {
  struct packet *packet = packet_in_hand_here();
  struct subject *subject = subject_in_hand_here();

  if (!packet || !subject)
    return leave(ctx, DROP_INTERNAL);
  __builtin_memset(packet, 0, sizeof(*packet));
  __builtin_memset(subject, 0, sizeof(*subject));
  subject->decision = (struct decision){.service = SERVICES_MAX, .slot = SLOT_NONE};
  __u32 reason = parse_rare(ctx, packet);

  if (reason == PASS_NOT_IP)
    return take_arp(ctx, packet->l3_offset);
  if (reason == REASON_NONE && packet->version == 6) {
    reason = skip_extensions(ctx, packet);
    if (reason == REASON_NONE && packet->protocol == IPPROTO_ICMPV6 && packet->fragment == FRAGMENT_NONE) {
      int verdict = take_solicitation(ctx, packet);

      if (verdict >= 0)
        return verdict;
    }
  }
  if (reason != REASON_NONE)
    return leave(ctx, reason);
  reason = find_subject(ctx, packet, subject);
  if (reason == PASS_NOT_A_SERVICE && packet->fragment == FRAGMENT_NONE && packet->protocol == IPPROTO_UDP &&
      packet->destination_port == ask_port)
    return receive(ctx);
  explain_decision(&subject->decision);
  if (reason != REASON_NONE)
    return leave(ctx, reason);
  return subject->kind == SUBJECT_FRAGMENT ? follow_fragment(ctx, packet, subject)
                                           : judge(ctx, packet, subject);
}

/*
 * The destination of a whole TCP or UDP packet, read again: what is done with it here is no part of the common way, which has
 * few registers.
 */
struct destination {
  struct ip_address address;
  __be16 port;
  __u8 protocol;
  __u8 version; /* 0: the frame is too short */
};

static __always_inline struct destination read_destination(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = data;
  struct iphdr *ip4 = (void *)(ethernet + 1);
  struct ipv6hdr *ip6 = (void *)(ethernet + 1);
  struct destination it = {};

  if ((void *)(ip4 + 1) + sizeof(struct ports) > end)
    return it;
  if (ethernet->type == bpf_htons(ETH_P_IP)) {
    it.address.word[3] = ip4->daddr;
    it.protocol = ip4->protocol;
    it.port = ((struct ports *)(ip4 + 1))->destination;
    it.version = 4;
  } else if ((void *)(ip6 + 1) + sizeof(struct ports) <= end) {
    it.address = *(struct ip_address *)&ip6->daddr;
    it.protocol = ip6->nexthdr;
    it.port = ((struct ports *)(ip6 + 1))->destination;
    it.version = 6;
  }
  return it;
}

/* Place of a service that stands further on than where its hash points; SERVICES_MAX: there is none. */
static __always_inline __u32 find_further(const struct destination *it, int version) {
  __u32 first = service_place(service_digest(&it->address, it->port, it->protocol, version));

#pragma nounroll
  for (__u32 i = 1; i < SERVICE_PROBES; i++) {
    __u32 at = (first + i) & (SERVICES_MAX - 1);

    if (service_is(&services[at], &it->address, it->port, it->protocol, version, 0))
      return at;
    if (!(services[at].flags & SERVICE_CONTINUED))
      break;
  }
  return SERVICES_MAX;
}

static __noinline int seek_service(struct xdp_md *ctx) {
  struct destination it = read_destination(ctx);

  return it.version == 4 ? find_further(&it, 4) : find_further(&it, 6);
}

/* Whether what is for no service by its port is for none of our addresses: most often it is the host's. */
static __noinline int is_stranger(struct xdp_md *ctx) {
  struct destination it = read_destination(ctx);
  bool is_query = it.protocol == IPPROTO_UDP && it.port == ask_port;

  return !is_query && !(it.version == 4 ? may_be_service(&it.address, 4) : may_be_service(&it.address, 6));
}

/* Bit of a slot. None is set of those beyond; a service that has no slots is nobody's. */
static __always_inline bool has_bit(const __u64 *bits, __u32 slot) {
  return slot / 64 < OTHERS_WORDS && *(const volatile __u64 *)&bits[slot / 64] >> slot % 64 & 1;
}

/*
 * Whole TCP or UDP at offsets that the compiler knows. Whatever is not plain goes to filter_rare(). Of an affinity the slot
 * need not be looked at: while one lives its bucket is tracked, or this server's. Only of a TCP connection it says too
 * little where the bucket is tracked: see is_in_doubt().
 */
static __always_inline int filter_common(struct xdp_md *ctx, void *frame,
                                         const struct ip_address *destination, __u8 protocol, int version) {
  const __u32 l3_offset = sizeof(struct ethernet_header);
  const __u32 l4_offset = l3_offset + (version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
  __be16 port = ((struct ports *)(frame + l4_offset))->destination;
  __u64 digest = service_digest(destination, port, protocol, version);
  struct packet packet = {};
  struct ip_address client;
  __u32 place = service_place(digest) & (SERVICES_MAX - 1);
  const struct service *service = &services[place];

  if (!service_is(service, destination, port, protocol, version, 0)) {
    place = service->flags & SERVICE_CONTINUED ? seek_service(ctx) : SERVICES_MAX;
    if (place >= SERVICES_MAX && is_stranger(ctx)) {
      count_reason(PASS_NOT_A_SERVICE);
      return XDP_PASS;
    }
    if (place >= SERVICES_MAX)
      return filter_rare(ctx);
    service = &services[place];
  }
  /* What else is in the packet is read from here on, not held in registers that the search needs. */
  asm volatile("" : "+r"(frame));
  struct iphdr *ip4 = frame + l3_offset;
  struct ipv6hdr *ip6 = frame + l3_offset;
  __be16 client_port = ((struct ports *)(frame + l4_offset))->source;

  protocol = version == 4 ? ip4->protocol : ip6->nexthdr;

  if (version == 4)
    client.word[3] = ip4->saddr;
  else
    client = *(struct ip_address *)&ip6->saddr;
  /* The service has this address, port and protocol: its digest is that of the key. */
  if (service->flags & SERVICE_KEY_FLAGS) {
    client_port = 0;
    if (service->flags & SERVICE_CLIENT_AFFINITY)
      for (int i = version == 4 ? 3 : 0; i < 4; i++)
        client.word[i] &= service->client_mask[i];
  }
  __u64 hash = flow_hash(digest, client_digest(&client, client_port, version));

  __u32 slot = service->slot_base + reduce(hash, service->slot_count);

  if (has_bit(others, slot)) {
    dropped[bpf_get_smp_processor_id() & (DROPPED_CPUS - 1)].not_mine++;
    return XDP_DROP;
  }
  enum affinity_sign sign = AFFINITY_SIGN_LIFE;
  bool is_settled = true;

  packet.length = version == 4 ? bpf_ntohs(ip4->tot_len) : bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
  if (protocol == IPPROTO_TCP) {
    packet.new_flow = ((__u8 *)frame)[l4_offset + TCP_FLAGS_OFFSET] & NEW_FLOW_MASK;
    if (packet.new_flow == NEW_FLOW)
      sign = AFFINITY_SIGN_BEGINNING;
    else
      is_settled = has_bit(settled, slot);
  }
  if (!is_settled || frame + l3_offset + packet.length > (void *)(long)ctx->data_end || past_deadline() ||
      !meet_near(hash, service->idle_time, sign))
    return filter_rare(ctx);
  put_own_address(frame);
  count_accepted(&packet, place, ACCEPT_AFFINITY);
  return XDP_PASS;
}

SEC("xdp")
int filter(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = data;
  struct iphdr *ip4 = (void *)(ethernet + 1);
  struct ipv6hdr *ip6 = (void *)(ethernet + 1);

  /* An observer wants to see everything; it can wait. */
  if (observer || (void *)(ip4 + 1) + sizeof(struct tcphdr) > end)
    return filter_rare(ctx);

  if (ethernet->type == bpf_htons(ETH_P_IP)) {
    __u8 protocol = ip4->protocol;

    /* Not as one word of eight bytes: what wrote the frame by other words would have to reach the cache before. */
    if (*(__u8 *)ip4 == IPV4_PLAIN && !(ip4->frag_off & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK)) &&
        (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)) {
      struct ip_address destination = {.word[3] = ip4->daddr};

      return filter_common(ctx, data, &destination, protocol, 4);
    }
  } else if (ethernet->type == bpf_htons(ETH_P_IPV6) && (void *)(ip6 + 1) + sizeof(struct tcphdr) <= end) {
    const struct ip_address *destination = (const struct ip_address *)&ip6->daddr;
    __u8 protocol = ip6->nexthdr;

    if (ip6->version == 6 && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP))
      return filter_common(ctx, data, destination, protocol, 6);
  }
  return filter_rare(ctx);
}
