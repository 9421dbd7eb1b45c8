/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the asker's part in a flow of a tracked slot: what is not known here goes to the owner, what comes home is
 * remembered, and the packet forwarded. Not here: what owner and backup do (answer.h), what is remembered (flow.h).
 *
 * The owner decides, the backup records, the asker forwards. Each step says what is to become of the packet, as the
 * reason that it would be counted for; finish() does it. A hop that would be to this very mux is a step more.
 */
#pragma once

#include "answer.h"
#include "icmp.h"

/* The 64 turns of is_told_now() last 17 ms each, and come again after 1.1 s. */
#define PTB_TIME_SHIFT 24

int forward_rare(struct xdp_md *ctx, struct packet *packet, const struct decision *decision);
int leave_too_big(struct xdp_md *ctx, struct packet *packet, __u32 mtu);

/* The answer is home: it is remembered if it may be, and the packet goes where it says. */
static __always_inline __u32 take_home(struct decision *decision, const struct ask *ask) {
  const struct ask_header *header = &ask->header;
  const struct chain *own = find_chain(decision->slot_word);
  const __u16 never_cached = ASK_UNRECORDED | ASK_LOOK_UP;
  bool is_unrecorded = header->flags & ASK_UNRECORDED;

  decision->backend = header->backend;
  if (is_unrecorded)
    mark_unrecorded(decision->slot_word);
  if (!(header->flags & never_cached) && own && own->track_epoch == header->track_epoch && !past_deadline() &&
      observer != OBSERVER_EXPLAIN) {
    struct cache_answer answer = {
        .hash = decision->hash,
        .track_epoch = header->track_epoch,
        .slot = decision->slot,
        .backend = header->backend,
        .generation = header->generation,
        .idle_time = service_of(decision)->idle_time,
        .is_syn = header->flags & ASK_NEW_FLOW,
    };

    cache_answer(&answer);
  }
  return is_unrecorded ? FORWARD_UNRECORDED : FORWARD_ANSWERED;
}

/*
 * Whether the sender of a packet that will not fit between muxes is to be told so: each flow for a 64th of the time. Most
 * such packets are served by base all the same, for not every network lets the answer through.
 */
static __always_inline bool is_told_now(const struct packet *packet, const struct decision *decision) {
  return !packet->hops && may_answer(packet) && !((now_ns() >> PTB_TIME_SHIFT ^ decision->hash) & 63);
}

/* A packet that nobody here knows the backend of: to the owner, who may be this mux. */
static __always_inline __u32 ask_for(const struct packet *packet, struct decision *decision, struct ask *ask,
                                     bool is_look_up) {
  const struct chain *own = find_chain(decision->slot_word);

  if (!own || (self.id && own->owner == MUX_NONE))
    return decide_unrecorded(packet, decision, is_look_up);
  begin_ask(ask, ASK_OPERATION_ASK, decision->hash);
  ask->header.slot = decision->slot - service_of(decision)->slot_base;
  ask->header.pool = service_of(decision)->pool;
  add_flags(ask, (packet->new_flow == NEW_FLOW ? ASK_NEW_FLOW : 0) | (is_look_up ? ASK_LOOK_UP : 0));
  take_chain(ask, own);
  if (self.id && own->owner != self.id) {
    if (peer_refuses(own->owner, packet) == DROP_TOO_BIG) {
      if (is_told_now(packet, decision))
        return DROP_TOO_BIG;
      count_ask_event(FLOW_TOO_BIG);
      return decide_unrecorded(packet, decision, is_look_up);
    }
    explain_answer(ANSWER_BY_OWNER, BACKEND_NONE);
    return ASK;
  }
  if (self.id && own->owner_incarnation != self.incarnation)
    return DROP_ASK_INCARNATION;
  return ANSWER_AS_OWNER;
}

/*
 * An answer that came home. One that names a backend, or a generation of it, that is not there (any more) is asked
 * for once more where the hops suffice, which they do at who is owner or backup: one of the two muxes lags, or the owner
 * will decide again. Else what the client sends next is asked for.
 */
static __always_inline __u32 take_answer(const struct packet *packet, struct decision *decision,
                                         struct ask *ask) {
  if (is_backend_there(ask->header.backend, ask->header.generation))
    return take_home(decision, ask);
  if (is_tracked(decision->slot_word) && !past_deadline() && packet->hops + 2 <= ASK_HOPS_MAX)
    return ask_for(packet, decision, ask, ask->header.flags & ASK_LOOK_UP);
  return DROP_NO_BACKEND;
}

/* Does what a step has said, or leaves in `mux` whom the header in hand is to be sent to. */
static __always_inline __u32 finish(struct decision *decision, struct ask *ask, __u32 reason, __u32 *mux) {
  *mux = MUX_NONE;
  if (reason == ASK_ANSWER && (!self.id || ask->header.asker == self.id))
    reason = take_home(decision, ask);
  switch (reason) {
  case ASK:
  case ASK_PASSED_ON:
  case ASK_RETURNED:
    set_operation(ask, ASK_OPERATION_ASK, ask->header.hops);
    *mux = ask->header.owner;
    break;
  case ASK_RECORD:
    set_operation(ask, ASK_OPERATION_RECORD, ask->header.hops);
    *mux = ask->header.backup;
    break;
  case ASK_ANSWER:
    set_operation(ask, ASK_OPERATION_ANSWER, ask->header.hops);
    *mux = ask->header.asker;
    break;
  }
  decision->reason = reason;
  return reason;
}

static __always_inline int leave_or_forward(struct xdp_md *ctx, struct packet *packet,
                                            struct decision *decision, __u32 reason) {
  return reason >= FORWARD && reason < ASK ? forward_rare(ctx, packet, decision) : leave(ctx, reason);
}

/* Leaves what the chain of a slot is. */
static __always_inline void explain_chain(__u64 slot_word) {
  if (observer != OBSERVER_EXPLAIN)
    return;
  const struct chain *chain = find_chain(slot_word);

  explanation.tracked = 1;
  explanation.chain = slot_word >> SLOT_CHAIN_SHIFT;
  if (!chain)
    return;
  explanation.owner = chain->owner;
  explanation.backup = chain->backup;
  explanation.track_epoch = chain->track_epoch;
  explanation.chain_epoch = chain->chain_epoch;
}

/* A packet of a tracked slot, or an ICMP error about one, that came from its client. */
static __always_inline int serve_tracked(struct xdp_md *ctx, struct packet *packet,
                                         struct decision *decision) {
  struct ask *ask = ask_in_hand_here();

  if (!ask)
    return leave(ctx, DROP_INTERNAL);
  bool is_look_up = decision->reason == FORWARD_ICMP_ERROR;
  __u32 use = is_look_up                     ? CACHE_USE_LOOK_UP
              : packet->new_flow == NEW_FLOW ? CACHE_USE_NEW_FLOW
                                             : CACHE_USE_PACKET;
  __u32 reason = FORWARD_CACHED, mux;

  explain_chain(decision->slot_word);
  decision->backend = find_tracked(decision->hash, decision->slot_word, service_of(decision)->idle_time, use);
  if (decision->backend == BACKEND_NONE)
    reason = ask_for(packet, decision, ask, is_look_up);
  else
    explain_answer(ANSWER_BY_CACHE, decision->backend);
  if (reason == ANSWER_AS_OWNER)
    reason = answer_own(packet, decision, ask);
  if (reason == DROP_TOO_BIG)
    return leave_too_big(ctx, packet, peers[ask->header.owner & (MUXES_MAX - 1)].inner_mtu);
  reason = finish(decision, ask, reason, &mux);
  return mux == MUX_NONE ? leave_or_forward(ctx, packet, decision, reason)
                         : send_ask(ctx, packet, ask, mux, reason);
}
