/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns rules 0 to 5 for a packet of any form: whether this server answers, and what it remembers. Not here: what holders
 * and askers make of queries that come (filter.bpf.c).
 */
#pragma once

#include "fragment.h"
#include "query.h"
#include "strip.h"

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

/*
 * The word of the foreign entry that counts; 0: none does. That a server asked is a promise: where the bucket has come to
 * this one since, it asks in turn.
 */
static __always_inline __u64 meet_foreign(const struct subject *subject) {
  __u64 state = find_foreign(subject->decision.hash);

  if (state & FOREIGN_ASKED && !is_ahead(state) && is_self(current_of(subject->decision.slot_word)))
    state = 0;

  if (observer == OBSERVER_EXPLAIN)
    filter_explanation.foreign = state;
  return state;
}

/*
 * Nobody else has the client of a bucket of ours. Without a place for it the server that is being released leaves it to
 * the current one, who would hear from it that it has no such client.
 */
static __always_inline int serve_unknown(struct xdp_md *ctx, const struct packet *packet,
                                         const struct subject *subject, __u32 rule, __u32 reason) {
  explain_rule(rule, self.id);
  if (subject->begins && remember_client(subject, false) && !is_self(current_of(subject->decision.slot_word)))
    return refuse(ctx, packet, subject, DROP_NOT_MINE);
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

/*
 * A packet of a client of ours, of a connection that nobody was found to have. Only who is current knows all that may have
 * it, and lets the stack reset it: for others silence harms less.
 */
static __always_inline int serve_unconnected(struct xdp_md *ctx, const struct packet *packet,
                                             const struct subject *subject) {
  __u32 current = current_of(subject->decision.slot_word);

  explain_rule(is_self(current) ? FILTER_RULE_AFFINITY : FILTER_RULE_NOT_MINE, current);
  return is_self(current) ? accept(ctx, packet, subject, ACCEPT_AFFINITY)
                          : refuse(ctx, packet, subject, DROP_NOT_MINE);
}

/*
 * Rule 5: asks the holders, each in turn, or serves the client where there are none. With ASK_CONNECTION in `flags` only who
 * has the connection is asked for, of a client that is this server's.
 */
__noinline int ask_holders(struct xdp_md *ctx, struct packet *packet, struct subject *subject, __u32 flags) {
  struct query *query = query_in_hand_here(QUERY_OF_PACKET);

  if (!packet || !subject || !query)
    return leave(ctx, DROP_INTERNAL);
  const struct service *service = service_of(&subject->decision);

  begin_query(query, QUERY_OPERATION_ASK, subject->decision.hash);
  /* Only of a bucket being released: its current server asks them all. */
  if (!list_holders(query, subject->decision.slot_word))
    return refuse(ctx, packet, subject, DROP_NOT_MINE);
  __u32 position = find_holder(query, 0);

  if (position >= HOLDERS_MAX)
    return flags & ASK_CONNECTION ? serve_unconnected(ctx, packet, subject)
                                  : serve_unknown(ctx, packet, subject, FILTER_RULE_NOBODY, ACCEPT_NOBODY);
  explain_rule(FILTER_RULE_QUERY, SERVER_NONE);
  query->header.position = position;
  query->header.pool = service->pool;
  query->header.slot = subject->decision.slot - service->slot_base;
  query->header.flags = flags | (subject->begins ? ASK_NEW_FLOW : 0);
  __u32 to = query->header.holder[position & (HOLDERS_MAX - 1)];

  if (server_refuses(to, packet) == DROP_TOO_BIG && cut(ctx, packet, query))
    return leave(ctx, DROP_TOO_BIG);
  return send_query(ctx, packet, query, to, QUERY);
}

/*
 * Whether a packet of a client of ours may be of a connection that another server has: of a TCP connection that the kernel
 * does not have, in a tracked bucket. Clients have sessions at two servers when one found no place in the table, or was
 * silent for longer than the timeout; to pass such a packet is to reset a connection that lives.
 */
static __always_inline bool is_in_doubt(const struct subject *subject, bool is_connected) {
  return is_tracked(subject->decision.slot_word) && self.id && subject->kind == SUBJECT_FLOW &&
         subject->protocol == IPPROTO_TCP && !subject->begins && !is_connected;
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
  bool is_connected = is_tracked(word) && has_connection(ctx, subject);
  bool is_doubtful = is_in_doubt(subject, is_connected);

  if (meet_client(subject, is_doubtful ? AFFINITY_SIGN_NONE : subject->sign)) {
    if (is_doubtful)
      return ask_holders(ctx, packet, subject, ASK_CONNECTION);
    explain_rule(FILTER_RULE_AFFINITY, self.id);
    return accept(ctx, packet, subject, ACCEPT_AFFINITY);
  }
  foreign = meet_foreign(subject);
  if (is_connected || (foreign && has_connection(ctx, subject))) {
    explain_rule(FILTER_RULE_CONNECTION, self.id);
    return accept(ctx, packet, subject, ACCEPT_CONNECTION);
  }
  if (foreign) {
    explain_rule(FILTER_RULE_FOREIGN, foreign_server(foreign));
    return refuse(ctx, packet, subject, DROP_FOREIGN);
  }
  if (!is_tracked(word)) {
    /* Of a client that was silent for too long, or had found no place: nobody else has it. */
    if (!subject->begins && subject->sign == AFFINITY_SIGN_LIFE && has_connection(ctx, subject))
      remember_client(subject, true);
    return serve_unknown(ctx, packet, subject, FILTER_RULE_OWN, ACCEPT_OWN);
  }
  /* Until it is released the old server still takes new clients, and no others. */
  if (is_current || (is_self(base_of(word)) && subject->begins))
    return ask_holders(ctx, packet, subject, 0);
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
