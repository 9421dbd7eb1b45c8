/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what this mux can say by itself about a tracked slot and its flows: the slot's chain, what cache and table know of
 * a flow, and where it goes when nobody can be asked. Not here: asking (ask.h), deciding and recording (answer.h).
 */
#pragma once

#include "flow.h"

static __always_inline bool is_tracked(__u64 slot_word) {
  return slot_word >> SLOT_TRACKED_SHIFT & 1;
}

/* Of a tracked slot; NULL where nobody keeps its flows. */
static __always_inline struct chain *find_chain(__u64 slot_word) {
  __u32 index = slot_word >> SLOT_CHAIN_SHIFT;

  return index && is_tracked(slot_word) ? bpf_map_lookup_elem(&chains, &index) : NULL;
}

static __always_inline const struct service *service_of(const struct decision *decision) {
  return &services[decision->service & (SERVICES_MAX - 1)];
}

static __always_inline __u16 current_of(const struct decision *decision) {
  return decision->slot_word;
}

static __always_inline __u16 base_of(const struct decision *decision) {
  return decision->slot_word >> SLOT_BASE_SHIFT;
}

static __always_inline void count_ask_event(enum flow_event event) {
  if (observer != OBSERVER_EXPLAIN)
    count_event(event);
}

/* A packet of the slot was answered and nobody remembers it: its settle window begins again. */
static __always_inline void mark_unrecorded(__u64 slot_word) {
  struct chain *chain = find_chain(slot_word);

  if (chain && observer != OBSERVER_EXPLAIN)
    *(volatile __u64 *)&chain->unrecorded_ns = now_ns();
}

static __always_inline void explain_answer(enum answer_source source, __u16 backend) {
  if (observer != OBSERVER_EXPLAIN)
    return;
  explanation.answer_source = source;
  explanation.answer = backend;
}

/* Backend of a flow by the cache, BACKEND_NONE where it must be asked for. */
static __always_inline __u32 find_tracked_here(__u64 hash, __u64 slot_word, __u32 idle_time, __u32 use,
                                               bool is_last) {
  struct chain *chain = find_chain(slot_word);

  return chain ? find_cached(hash, chain->track_epoch, idle_time, use, is_last) : BACKEND_NONE;
}

__noinline __u32 find_tracked(__u64 hash, __u64 slot_word, __u32 idle_time, __u32 use) {
  return find_tracked_here(hash, slot_word, idle_time, use, true);
}

/* What would be written of a flow where nothing is known of it. */
struct flow_choice {
  __u32 track_epoch;
  __u16 chain_epoch;
  __u16 backend; /* BACKEND_NONE: nothing would be */
  __u16 generation;
  __u8 state; /* enum flow_state */
  bool is_new; /* SYN, QUIC Initial */
};

/* A request about a flow; NULL cannot be. Whole words: see put_in_last(). */
static __always_inline struct flow_request *
begin_request(const struct decision *decision, const struct packet *packet, struct flow_choice choice) {
  const struct service *service = service_of(decision);
  struct flow_request *request = flow_request_in_hand_here();
  __u32 client = packet->version == 4 ? packet->source.word[3] : packet->source.word[0];
  __u8 protocol = (packet->protocol & FLOW_PROTOCOL_MASK) | (packet->version == 6 ? FLOW_IS_IPV6 : 0) |
                  (service->flags & SERVICE_CLIENT_AFFINITY ? FLOW_KEY_CLIENT : 0);

  if (!request)
    return NULL;
  request->fingerprint = decision->hash;
  request->word[0] = decision->slot | (__u64)choice.track_epoch << 32;
  request->word[1] = client | (__u64)choice.chain_epoch << 32 | (__u64)choice.backend << 48;
  request->word[2] = choice.generation | (__u64)flow_time() << 16 | (__u64)service->idle_time << 32 |
                     (__u64)choice.state << 48 | (__u64)protocol << 56;
  request->is_new = choice.is_new;
  request->chain_newer_here = 0;
  request->was_promoted = 0;
  request->was_based = 0;
  request->base = BACKEND_NONE;
  return request;
}

/*
 * What this mux knows of a flow without asking: answers to SYNs and copies included. BACKEND_NONE: nothing. What is known
 * lives on with its packets, which nobody else will hear of.
 */
__noinline __u32 find_known(const struct packet *packet, const struct decision *decision, bool is_look_up) {
  if (!packet || !decision)
    return BACKEND_NONE;
  struct chain *chain = find_chain(decision->slot_word);

  if (!chain)
    return BACKEND_NONE;
  __u32 cached = find_cached(decision->hash, chain->track_epoch, service_of(decision)->idle_time,
                             is_look_up ? CACHE_USE_LOOK_UP_ALONE : CACHE_USE_ALONE, true);

  if (cached != BACKEND_NONE)
    return cached;
  struct flow_request *request = begin_request(
      decision, packet,
      (struct flow_choice){.track_epoch = chain->track_epoch, .chain_epoch = chain->chain_epoch});

  if (!request)
    return BACKEND_NONE;
  enum flow_role role = is_look_up ? FLOW_ROLE_READER : FLOW_ROLE_WITNESS;

  return consult_flow_table(request, role) == FLOW_OUTCOME_KNOWN ? request->entry.backend : BACKEND_NONE;
}

/* Says where flows go that were there before. */
static __always_inline void set_base(struct flow_request *request, const struct decision *decision) {
  const struct backend *base = find_backend(base_of(decision));

  if (base_of(decision) == BACKEND_NONE || !(base->flags & BACKEND_PRESENT))
    return;
  request->base = base_of(decision);
  request->base_generation = base->generation;
}

/* Whether a flow that is not known goes to where new ones go. A client with affinity may have been here before. */
static __always_inline bool is_decided_new(const struct decision *decision, bool is_new) {
  return is_new && !(service_of(decision)->flags & SERVICE_CLIENT_AFFINITY);
}

/* The backend that unknown flows go to: base, or where that is gone, current. */
static __always_inline __u32 backend_of_unknown(const struct decision *decision) {
  const struct backend *base = find_backend(base_of(decision));

  return base_of(decision) != BACKEND_NONE && base->flags & BACKEND_PRESENT ? base_of(decision)
                                                                            : current_of(decision);
}

/*
 * Nobody can be asked or told of this packet's flow: it goes to what is known here, else to where unknown flows go, be
 * it new or not: what would follow a SYN to another backend is unknown, too.
 */
static __always_inline __u32 find_alone(const struct packet *packet, const struct decision *decision,
                                        bool is_look_up) {
  __u32 known = find_known(packet, decision, is_look_up);

  if (!is_look_up)
    mark_unrecorded(decision->slot_word);
  explain_answer(known != BACKEND_NONE ? ANSWER_BY_TABLE : ANSWER_BY_BASE,
                 known != BACKEND_NONE ? known : backend_of_unknown(decision));
  return known != BACKEND_NONE ? known : backend_of_unknown(decision);
}

/* The flow cannot be asked for. */
static __always_inline __u32 decide_unrecorded(const struct packet *packet, struct decision *decision,
                                               bool is_look_up) {
  decision->backend = find_alone(packet, decision, is_look_up);
  return FORWARD_UNRECORDED;
}
