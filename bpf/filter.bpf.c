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
 * rule 0 and, of most clients, rule 1. filter_rare() starts again from the first byte and does all there is to do; it is a
 * function of its own, as are its parts, so that each is verified by itself and the stack stays shallow.
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#include "affinity_tasks.h"
#include "fragment.h"
#include "neighbour.h"
#include "query.h"
#include "strip.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What an accepted packet counts as. */
static __always_inline void count_accepted(const struct packet *packet, __u32 service, __u32 reason) {
  struct counters *here = counters_here();

  if (!here)
    return;
  struct traffic *traffic = &here->services[service & (SERVICES_MAX - 1)];

  here->reasons[MASKED(reason, REASONS_MAX - 1)]++;
  traffic->packets++;
  traffic->bytes += packet->length;
  if (packet->new_flow == NEW_FLOW)
    traffic->new_flows++;
}

/* Has the host's stack take a frame that was sent to all servers for its own. */
static __always_inline void put_own_address(void *frame) {
  __u64 own = *(volatile __u64 *)&filter_link, *first = frame;

  if (own)
    *first = (*first & ~((1ull << 48) - 1)) | own;
}

static __always_inline void explain_rule(enum filter_rule rule, __u32 answer) {
  if (observer != OBSERVER_EXPLAIN)
    return;
  filter_explanation.rule = rule;
  filter_explanation.answer = answer;
}

/* What the first fragment of a packet was decided to be stands for the others. */
static __always_inline void remember_verdict(const struct packet *packet, const struct subject *subject,
                                             bool is_accepted) {
  if (packet->fragment == FRAGMENT_FIRST && observer != OBSERVER_EXPLAIN)
    remember_first_fragment(packet, subject->decision.service, is_accepted, 0);
}

/* Takes off what is in front of a packet that came home; the frame's own link header stays. */
static __always_inline int unwrap(struct xdp_md *ctx, const struct packet *packet) {
  const __u32 tag = sizeof(struct vlan_header), ethernet = sizeof(struct ethernet_header);
  const struct query *query = query_in_hand_here(QUERY_OF_PACKET);
  __be16 type = packet->version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);

  if (!query)
    return -1;
  __u32 outer = packet->l3_offset - query->link_bytes;

  if (query->link_bytes == ethernet)
    return strip(ctx, ethernet, outer, type);
  if (query->link_bytes == ethernet + tag)
    return strip(ctx, ethernet + tag, outer, type);
  return strip(ctx, ethernet + 2 * tag, outer, type);
}

/* To the host's stack: the verdict. */
__noinline int accept(struct xdp_md *ctx, const struct packet *packet, const struct subject *subject,
                      __u32 reason) {
  if (!packet || !subject)
    return leave(ctx, DROP_INTERNAL);
  remember_verdict(packet, subject, true);
  if (packet->hops && unwrap(ctx, packet))
    return leave(ctx, DROP_NO_HEADROOM);
  void *data = (void *)(long)ctx->data;

  if (data + sizeof(struct ethernet_header) > (void *)(long)ctx->data_end)
    return leave(ctx, DROP_INTERNAL);
  put_own_address(data);
  if (observer != OBSERVER_EXPLAIN)
    count_accepted(packet, subject->decision.service, reason);
  if (observer)
    observe(ctx, reason);
  return XDP_PASS;
}

__noinline int refuse(struct xdp_md *ctx, const struct packet *packet, const struct subject *subject,
                      __u32 reason) {
  if (packet && subject)
    remember_verdict(packet, subject, false);
  return leave(ctx, reason);
}

static __always_inline __u16 timeout_of(const struct subject *subject) {
  return service_of(&subject->decision)->idle_time;
}

/* A session begins here that nobody will remember: what waits for sessions to end learns of it. */
static __always_inline void mark_unrecorded(__u64 slot_word) {
  struct bucket_holders *known = find_holders(slot_word);

  if (observer == OBSERVER_EXPLAIN)
    return;
  count_event(AFFINITY_FULL);
  if (known)
    *(volatile __u64 *)&known->unrecorded_ns = now_ns();
  else
    unrecorded_ns = now_ns();
}

/* Remembers the client of a packet that may begin a session, or of a connection that the kernel has. */
__noinline int remember_client(const struct subject *subject, bool is_proven) {
  if (!subject || observer == OBSERVER_EXPLAIN)
    return 0;
  struct affinity_record record = {
      .hash = subject->decision.hash,
      .slot = subject->decision.slot,
      .lifetime = lifetime_of(timeout_of(subject)),
      .is_proven = is_proven,
  };

  /* UDP tells no beginning from the rest, and a client that sends once in a while is to keep its server. */
  if (!is_proven && subject->protocol == IPPROTO_TCP && record.lifetime > NASCENT_TIME)
    record.lifetime = NASCENT_TIME;
  if (record_affinity(&record)) {
    mark_unrecorded(subject->decision.slot_word);
    return -1;
  }
  count_event(AFFINITY_RECORDED);
  return 0;
}

/* The word of the affinity here; the packet renews it. 0: there is none. */
static __always_inline __u64 meet_client(const struct subject *subject, __u32 sign) {
  __u64 state = meet_affinity(subject->decision.hash, timeout_of(subject), sign);

  if (observer == OBSERVER_EXPLAIN)
    filter_explanation.affinity = state;
  return state;
}

static __always_inline __u64 meet_foreign(const struct subject *subject) {
  __u64 state = find_foreign(subject->decision.hash);

  if (observer == OBSERVER_EXPLAIN)
    filter_explanation.foreign = state;
  return state;
}

/*
 * Whether the kernel has a connection that the table does not know. Where the connection is the key, it is remembered.
 * Not so where the client is: what else the client has may have begun at another server long ago, and two would answer.
 */
static __always_inline bool is_connected(struct xdp_md *ctx, const struct subject *subject) {
  if (!has_connection(ctx, subject))
    return false;
  if (!(service_of(&subject->decision)->flags & SERVICE_KEY_FLAGS))
    remember_client(subject, true);
  return true;
}

/* Nobody else has the client of a tracked bucket of ours. */
static __always_inline int serve_unknown(struct xdp_md *ctx, const struct packet *packet,
                                         const struct subject *subject, __u32 rule, __u32 reason) {
  explain_rule(rule, self.id);
  if (subject->begins)
    remember_client(subject, false);
  return accept(ctx, packet, subject, reason);
}

/* Cuts what is too big for a query down to its beginning. Non-zero: it cannot be. */
static __always_inline int cut(struct xdp_md *ctx, struct packet *packet, struct query *query) {
  __u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

  asm volatile("" : "+r"(length)); /* a difference of pointers may not become part of a narrower sum */
  if (packet->length <= QUERY_CUT_BYTES ||
      bpf_xdp_adjust_tail(ctx, (int)(packet->l3_offset + QUERY_CUT_BYTES) - (int)length))
    return -1;
  packet->length = QUERY_CUT_BYTES;
  query->header.flags |= ASK_CUT;
  count_unless_explained(QUERY_CUT);
  return 0;
}

/* Rule 5: asks the holders, each in turn, or serves the client where there are none. */
__noinline int ask_holders(struct xdp_md *ctx, struct packet *packet, struct subject *subject) {
  struct query *query = query_in_hand_here(QUERY_OF_PACKET);

  if (!packet || !subject || !query)
    return leave(ctx, DROP_INTERNAL);
  const struct service *service = service_of(&subject->decision);
  struct bucket_holders *known = find_holders(subject->decision.slot_word);

  begin_query(query, QUERY_OPERATION_ASK, subject->decision.hash);
  if (known && self.id) {
    query->header.track_epoch = known->track_epoch;
    query->header.count = known->count <= HOLDERS_MAX ? known->count : HOLDERS_MAX;
    for (int i = 0; i < HOLDERS_MAX; i++)
      query->header.holder[i] = i < query->header.count ? known->holder[i].server : SERVER_NONE;
  }
  __u32 position = find_holder(query, 0);

  if (position >= HOLDERS_MAX)
    return serve_unknown(ctx, packet, subject, FILTER_RULE_NOBODY, ACCEPT_NOBODY);
  explain_rule(FILTER_RULE_QUERY, SERVER_NONE);
  query->header.position = position;
  query->header.pool = service->pool;
  query->header.slot = subject->decision.slot - service->slot_base;
  query->header.flags = subject->begins ? ASK_NEW_FLOW : 0;
  __u32 to = query->header.holder[position & (HOLDERS_MAX - 1)];

  if (server_refuses(to, packet) == DROP_TOO_BIG && cut(ctx, packet, query))
    return leave(ctx, DROP_TOO_BIG);
  return send_query(ctx, packet, query, to, QUERY);
}

/* Rules 0 to 5. */
__noinline int judge(struct xdp_md *ctx, struct packet *packet, struct subject *subject) {
  if (!packet || !subject)
    return leave(ctx, DROP_INTERNAL);
  __u64 word = subject->decision.slot_word, foreign;
  bool is_current = is_self(current_of(word));

  if (observer == OBSERVER_EXPLAIN)
    filter_explanation.holders = is_tracked(word) ? word >> SLOT_CHAIN_SHIFT : 0;
  if (!is_tracked(word) && !is_current) {
    explain_rule(FILTER_RULE_CLEAN, current_of(word));
    return refuse(ctx, packet, subject, DROP_NOT_MINE);
  }
  if (past_deadline())
    return refuse(ctx, packet, subject, DROP_FENCED);
  if (subject->kind == SUBJECT_ADDRESS) {
    explain_rule(FILTER_RULE_ADDRESS, current_of(word));
    return is_current ? accept(ctx, packet, subject, ACCEPT_ADDRESS)
                      : refuse(ctx, packet, subject, DROP_NOT_MINE);
  }
  if (meet_client(subject, subject->sign)) {
    explain_rule(FILTER_RULE_AFFINITY, self.id);
    return accept(ctx, packet, subject, ACCEPT_AFFINITY);
  }
  if (is_tracked(word) && is_connected(ctx, subject)) {
    explain_rule(FILTER_RULE_CONNECTION, self.id);
    return accept(ctx, packet, subject, ACCEPT_CONNECTION);
  }
  foreign = meet_foreign(subject);
  if (foreign) {
    explain_rule(FILTER_RULE_FOREIGN, foreign_server(foreign));
    return refuse(ctx, packet, subject, DROP_FOREIGN);
  }
  if (!is_tracked(word))
    return serve_unknown(ctx, packet, subject, FILTER_RULE_OWN, ACCEPT_OWN);
  /* Until it is released the old server still takes new clients, and no others. */
  if (is_current || (is_self(base_of(word)) && subject->begins))
    return ask_holders(ctx, packet, subject);
  explain_rule(FILTER_RULE_NOT_MINE, current_of(word));
  return refuse(ctx, packet, subject, DROP_NOT_MINE);
}

/* A later fragment goes where the first one went. */
__noinline int follow_fragment(struct xdp_md *ctx, const struct packet *packet, struct subject *subject) {
  if (!packet || !subject)
    return leave(ctx, DROP_INTERNAL);
  struct fragment_entry *first = recall_first_fragment(packet);

  explain_rule(FILTER_RULE_FRAGMENT, first && first->backend ? self.id : SERVER_NONE);
  if (!first)
    return leave(ctx, DROP_FRAGMENT_UNKNOWN);
  if (past_deadline())
    return leave(ctx, DROP_FENCED);
  if (!first->backend)
    return leave(ctx, DROP_NOT_MINE);
  subject->decision.service = first->service;
  return accept(ctx, packet, subject, ACCEPT_FRAGMENT);
}

/* Whether a holder that does not have the client remembers that the asker has it from now on. */
static __always_inline bool is_remembered(const struct query *query, const struct subject *subject) {
  __u64 word = subject->decision.slot_word;

  /* The one that takes the bucket over asks, too: if both remembered each other, neither would answer. */
  return query->header.flags & ASK_NEW_FLOW &&
         !(is_tracked(word) && is_self(current_of(word)) && base_of(word) == query->header.asker);
}

static __always_inline void learn_of(const struct subject *subject, __u32 server, __u32 incarnation,
                                     enum flow_event event) {
  struct foreign_record record = {
      .hash = subject->decision.hash,
      .incarnation = incarnation,
      .server = server,
      .lifetime = foreign_lifetime_of(timeout_of(subject)),
  };

  if (observer != OBSERVER_EXPLAIN)
    count_event(learn_foreign(&record) ? FOREIGN_FULL : event);
}

/* As holder: says whether this server has the client, whatever it believes of the bucket. */
__noinline int answer_query(struct xdp_md *ctx, const struct packet *packet, struct query *query,
                            const struct subject *subject) {
  if (!packet || !query || !subject)
    return leave(ctx, DROP_INTERNAL);
  struct query_header *header = &query->header;
  bool has_client = meet_client(subject, AFFINITY_SIGN_NONE) != 0;

  if (has_client || is_connected(ctx, subject)) {
    header->answer = self.id;
    header->answer_incarnation = self.incarnation;
    if (!has_client && service_of(&subject->decision)->flags & SERVICE_KEY_FLAGS)
      header->flags |= ASK_CONNECTION;
    header->operation = QUERY_OPERATION_HOME;
    return send_query(ctx, packet, query, header->asker, QUERY_HAD);
  }
  if (is_remembered(query, subject))
    learn_of(subject, header->asker, header->asker_incarnation, FOREIGN_REMEMBERED);
  __u32 position = find_holder(query, header->position + 1);

  if (position < HOLDERS_MAX) {
    header->position = position;
    return send_query(ctx, packet, query, header->holder[position & (HOLDERS_MAX - 1)], QUERY_PASSED_ON);
  }
  header->operation = QUERY_OPERATION_HOME;
  return send_query(ctx, packet, query, header->asker, QUERY_RETURNED);
}

/* As asker: the query is home. */
__noinline int take_home(struct xdp_md *ctx, const struct packet *packet, const struct query *query,
                         const struct subject *subject) {
  if (!packet || !query || !subject)
    return leave(ctx, DROP_INTERNAL);
  const struct query_header *header = &query->header;
  __u64 word = subject->decision.slot_word;

  if (header->answer) {
    if (!(header->flags & ASK_CONNECTION))
      learn_of(subject, header->answer, header->answer_incarnation, FOREIGN_LEARNT);
    return refuse(ctx, packet, subject, DROP_ANSWERED);
  }
  /* What was learnt, or changed, while the query was on its way counts. */
  if (meet_client(subject, header->flags & ASK_CUT ? AFFINITY_SIGN_NONE : subject->sign))
    return header->flags & ASK_CUT ? leave(ctx, DROP_CUT) : accept(ctx, packet, subject, ACCEPT_AFFINITY);
  if (meet_foreign(subject))
    return refuse(ctx, packet, subject, DROP_FOREIGN);
  if (!is_self(current_of(word)) && !(is_tracked(word) && is_self(base_of(word))))
    return refuse(ctx, packet, subject, DROP_NOT_MINE);
  if (!is_everyone_asked(query, word))
    return leave(ctx, DROP_ASK_EPOCH);
  if (header->flags & ASK_CUT) {
    if (subject->begins)
      remember_client(subject, false);
    return leave(ctx, DROP_CUT);
  }
  return serve_unknown(ctx, packet, subject, FILTER_RULE_NOBODY, ACCEPT_NOBODY);
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

/* Whole TCP or UDP at offsets that the compiler knows. Whatever is not plain goes to filter_rare(). */
static __always_inline int filter_common(struct xdp_md *ctx, struct packet *packet, void *frame,
                                         const struct ip_address *source,
                                         const struct ip_address *destination, void *transport, int version) {
  struct ports *ports = transport;
  struct decision decision = {};
  struct ip_address client = *source;
  __be16 client_port = ports->source;
  __u64 digest = service_digest(destination, ports->destination, packet->protocol, version);
  struct service *service =
      find_service(digest, destination, ports->destination, packet->protocol, version, &decision.service);

  if (!service)
    return filter_rare(ctx);
  /* The service has this address, port and protocol: its digest is that of the key. */
  if (service->flags & SERVICE_KEY_FLAGS) {
    client_port = 0;
    if (service->flags & SERVICE_CLIENT_AFFINITY)
      for (int i = 0; i < 4; i++)
        client.word[i] &= service->client_mask[i];
  }
  decision.hash = flow_hash(digest, client_digest(&client, client_port, version));
  if (!load_slot(service, &decision))
    return filter_rare(ctx);
  if (!is_tracked(decision.slot_word) && !is_self(current_of(decision.slot_word))) {
    count_reason(DROP_NOT_MINE);
    return XDP_DROP;
  }
  enum affinity_sign sign = AFFINITY_SIGN_LIFE;

  if (packet->protocol == IPPROTO_TCP) {
    packet->new_flow = ((__u8 *)transport)[TCP_FLAGS_OFFSET] & NEW_FLOW_MASK;
    if (packet->new_flow == NEW_FLOW)
      sign = AFFINITY_SIGN_BEGINNING;
  }
  if (frame + packet->l3_offset + packet->length > (void *)(long)ctx->data_end || past_deadline() ||
      !meet_near(decision.hash, service->idle_time, sign))
    return filter_rare(ctx);
  put_own_address(frame);
  count_accepted(packet, decision.service, ACCEPT_AFFINITY);
  return XDP_PASS;
}

/* Whole TCP or UDP to no address of a service: the host's, or from another server. */
static __always_inline int pass_common(struct xdp_md *ctx, const struct packet *packet,
                                       const struct ports *ports) {
  if (packet->protocol == IPPROTO_UDP && ports->destination == ask_port)
    return filter_rare(ctx);
  count_reason(PASS_NOT_A_SERVICE);
  return XDP_PASS;
}

SEC("xdp")
int filter(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = data;
  struct iphdr *ip4 = (void *)(ethernet + 1);
  struct ipv6hdr *ip6 = (void *)(ethernet + 1);
  struct packet packet = {.l3_offset = sizeof(*ethernet)};

  /* An observer wants to see everything; it can wait. */
  if (observer || (void *)(ip4 + 1) + sizeof(struct tcphdr) > end)
    return filter_rare(ctx);

  if (ethernet->type == bpf_htons(ETH_P_IP)) {
    __u64 first = *(__u64 *)ip4;

    packet.protocol = ip4->protocol;
    if ((first & IPV4_PLAIN_MASK) == IPV4_PLAIN &&
        (packet.protocol == IPPROTO_TCP || packet.protocol == IPPROTO_UDP)) {
      struct ip_address source = {.word[3] = ip4->saddr}, destination = {.word[3] = ip4->daddr};

      packet.length = bpf_ntohs(first >> 16);
      packet.l4_offset = sizeof(*ethernet) + sizeof(*ip4);
      if (!may_be_service(&destination, 4))
        return pass_common(ctx, &packet, (struct ports *)(ip4 + 1));
      return filter_common(ctx, &packet, data, &source, &destination, ip4 + 1, 4);
    }
  } else if (ethernet->type == bpf_htons(ETH_P_IPV6) && (void *)(ip6 + 1) + sizeof(struct tcphdr) <= end) {
    packet.protocol = ip6->nexthdr;
    if (packet.protocol == IPPROTO_TCP || packet.protocol == IPPROTO_UDP) {
      const struct ip_address *source = (const struct ip_address *)&ip6->saddr;
      const struct ip_address *destination = (const struct ip_address *)&ip6->daddr;

      packet.length = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
      packet.l4_offset = sizeof(*ethernet) + sizeof(*ip6);
      if (ip6->version != 6)
        return filter_rare(ctx);
      if (!may_be_service(destination, 6))
        return pass_common(ctx, &packet, (struct ports *)(ip6 + 1));
      return filter_common(ctx, &packet, data, source, destination, ip6 + 1, 6);
    }
  }
  return filter_rare(ctx);
}
