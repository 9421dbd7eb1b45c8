/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns who decides about a flow of a tracked slot: the asker, the owner and the backup of its chain. Not here: how the
 * question travels (wire.h), and what is remembered (flow.h).
 *
 * The owner decides, the backup records, the asker forwards. Each step below says what is to become of the packet, as
 * the reason that it would be counted for; perform() does it. A hop that would be to this very mux is a step more.
 */
#pragma once

#include "flow.h"
#include "wire.h"

/*
 * How old a returned record may be, in cluster time: 0.5 s. After a second the client sends again what opens the flow,
 * and that may have found a place.
 */
#define RETURNED_AGE_MAX 512

int forward_rare(struct xdp_md *ctx, struct packet *packet, const struct decision *decision);

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
static __always_inline __u32 find_tracked_here(__u64 hash, __u64 slot_word, __u32 idle_time, __u32 use) {
  struct chain *chain = find_chain(slot_word);

  return chain ? find_cached(hash, chain->track_epoch, idle_time, use) : BACKEND_NONE;
}

__noinline __u32 find_tracked(__u64 hash, __u64 slot_word, __u32 idle_time, __u32 use) {
  return find_tracked_here(hash, slot_word, idle_time, use);
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
  __u8 protocol = (packet->protocol & 0x7f) | (packet->version == 6 ? 0x80 : 0);

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

/* What this mux knows of a flow without asking: answers to SYNs and copies included. BACKEND_NONE: nothing. */
__noinline __u32 find_known(const struct packet *packet, const struct decision *decision) {
  if (!packet || !decision)
    return BACKEND_NONE;
  struct chain *chain = find_chain(decision->slot_word);

  if (!chain)
    return BACKEND_NONE;
  __u32 cached =
      find_cached(decision->hash, chain->track_epoch, service_of(decision)->idle_time, CACHE_USE_ANY);

  if (cached != BACKEND_NONE)
    return cached;
  struct flow_request *request = begin_request(
      decision, packet,
      (struct flow_choice){.track_epoch = chain->track_epoch, .chain_epoch = chain->chain_epoch});

  if (!request)
    return BACKEND_NONE;
  return consult_flow_table(request, FLOW_ROLE_READER) == FLOW_OUTCOME_KNOWN ? request->entry.backend
                                                                             : BACKEND_NONE;
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

/* Backend of a flow where nobody can be asked. */
static __always_inline __u32 find_alone(const struct packet *packet, const struct decision *decision) {
  if (decision->slot == SLOT_NONE || !is_tracked(decision->slot_word))
    return decision->backend;
  __u32 known = find_known(packet, decision);

  if (known != BACKEND_NONE)
    return known;
  return is_decided_new(decision, packet->new_flow == NEW_FLOW) ? current_of(decision) : base_of(decision);
}

/* The flow cannot be asked for: to what is known here, else its base; and nobody remembers that. */
static __always_inline __u32 decide_unrecorded(const struct packet *packet, struct decision *decision,
                                               bool is_look_up) {
  __u32 known = find_known(packet, decision);

  decision->backend = known != BACKEND_NONE ? known : base_of(decision);
  if (!is_look_up)
    mark_unrecorded(decision->slot_word);
  explain_answer(known != BACKEND_NONE ? ANSWER_BY_TABLE : ANSWER_BY_BASE, decision->backend);
  return FORWARD_UNRECORDED;
}

static __always_inline void take_chain(struct ask *ask, const struct chain *chain) {
  struct ask_header *header = &ask->header;

  header->owner = chain->owner;
  header->backup = chain->backup;
  header->track_epoch = chain->track_epoch;
  header->chain_epoch = chain->chain_epoch;
  header->owner_incarnation = chain->owner_incarnation;
  header->backup_incarnation = chain->backup_incarnation;
  ask->signed_word = 0;
}

/* Whose chain counts at this hop. */
enum chain_side {
  CHAIN_OF_BOTH = 0,
  CHAIN_NEWER_HERE,
  CHAIN_NEWER_THERE,
  CHAIN_PERIOD_ENDED, /* the period of the header has, here */
};

static __always_inline enum chain_side compare_chains(const struct ask_header *header,
                                                      const struct chain *own) {
  if (!own || own->track_epoch < header->track_epoch)
    return CHAIN_NEWER_THERE;
  if (own->track_epoch > header->track_epoch)
    return CHAIN_PERIOD_ENDED;
  if (own->chain_epoch == header->chain_epoch)
    return CHAIN_OF_BOTH;
  return own->chain_epoch > header->chain_epoch ? CHAIN_NEWER_HERE : CHAIN_NEWER_THERE;
}

static __always_inline void count_chain_side(enum chain_side side) {
  if (side == CHAIN_NEWER_HERE)
    count_ask_event(FLOW_CHAIN_NEWER_HERE);
  else if (side == CHAIN_NEWER_THERE)
    count_ask_event(FLOW_CHAIN_NEWER_THERE);
}

/* Says base, and that nobody remembers it. */
static __always_inline void answer_unrecorded(struct ask *ask, const struct decision *decision,
                                              const struct flow_request *known) {
  if (known)
    set_answer(ask, known->entry.backend, known->entry.generation);
  else
    set_answer(ask, base_of(decision), find_backend(base_of(decision))->generation);
  if (ask->header.flags & ASK_LOOK_UP)
    return;
  add_flags(ask, ASK_UNRECORDED);
  mark_unrecorded(decision->slot_word);
}

/* Whether the owner can send this packet to the backup. */
static __always_inline bool fits_backup(const struct ask_header *header, const struct packet *packet) {
  return !self.id || !header->backup || header->backup == self.id ||
         peer_refuses(header->backup, packet) != DROP_TOO_BIG;
}

static __always_inline void count_owned(const struct flow_request *request, int outcome, bool is_current) {
  if (outcome == FLOW_OUTCOME_KNOWN) {
    count_ask_event(FLOW_KNOWN);
    if (request->was_promoted)
      count_ask_event(FLOW_PROMOTED);
  } else if (outcome == FLOW_OUTCOME_REDECIDED) {
    count_ask_event(FLOW_REDECIDED);
  } else if (outcome == FLOW_OUTCOME_INSERTED) {
    count_ask_event(is_current ? FLOW_NEW : FLOW_BASE);
  } else {
    count_ask_event(FLOW_TABLE_FULL);
  }
}

static __always_inline void explain_owned(const struct flow_request *request, int outcome, bool is_current) {
  explain_answer(outcome == FLOW_OUTCOME_KNOWN ? ANSWER_BY_TABLE
                 : is_current                  ? ANSWER_BY_CURRENT
                                               : ANSWER_BY_BASE,
                 request->entry.backend);
}

/*
 * The owner: what it knows of the flow, or decides about it, into the header in hand. A record that came to one who
 * knows itself to be the owner by now brings a decision along, which stands where nothing else is known.
 */
static __always_inline __u32 answer_as_owner(const struct packet *packet, struct decision *decision,
                                             struct ask *ask) {
  struct ask_header *header = &ask->header;
  bool is_record = header->operation == ASK_OPERATION_RECORD, is_new = header->flags & ASK_NEW_FLOW;
  bool is_look_up = header->flags & ASK_LOOK_UP, is_too_big = !fits_backup(header, packet);
  bool is_current = is_decided_new(decision, is_new);
  __u32 chosen = is_record ? header->backend : is_current ? current_of(decision) : base_of(decision);
  const struct backend *backend = find_backend(chosen);
  struct flow_choice choice = {
      .track_epoch = header->track_epoch,
      .chain_epoch = header->chain_epoch,
      .backend = chosen,
      .generation = is_record ? header->generation : backend->generation,
      .state = is_new ? FLOW_STATE_NASCENT : FLOW_STATE_UNPROVEN,
      .is_new = is_new,
  };

  if (!is_record && !(backend->flags & BACKEND_PRESENT))
    choice.backend = BACKEND_NONE;
  struct flow_request *request = begin_request(decision, packet, choice);

  if (!request)
    return DROP_INTERNAL;
  if (!is_record)
    set_base(request, decision);
  int outcome = consult_flow_table(request, is_look_up || is_too_big ? FLOW_ROLE_READER : FLOW_ROLE_OWNER);

  if (outcome == FLOW_OUTCOME_STALE)
    return DROP_ASK_EPOCH;
  is_current = is_current && !request->was_based;
  explain_owned(request, outcome, is_current);
  if (is_look_up || is_too_big) {
    count_ask_event(is_look_up ? FLOW_LOOKED_UP : FLOW_TABLE_FULL);
    answer_unrecorded(ask, decision, outcome == FLOW_OUTCOME_KNOWN ? request : NULL);
    return ASK_ANSWER;
  }
  if (request->entry.backend == BACKEND_NONE)
    return DROP_NO_BACKEND;
  count_owned(request, outcome, is_current);
  if (outcome == FLOW_OUTCOME_FULL) {
    /* Not what another owner has decided of a new flow: it is owner no more, and nobody else knows. */
    answer_unrecorded(ask, decision, is_record && !is_new ? request : NULL);
    return ASK_ANSWER;
  }
  set_answer(ask, request->entry.backend, request->entry.generation);
  if (self.id && header->backup)
    return ASK_RECORD;
  count_ask_event(FLOW_LONELY);
  return ASK_ANSWER;
}

/* The backup records what the owner has decided, unless it knows better. */
static __always_inline __u32 record_as_backup(const struct packet *packet, const struct decision *decision,
                                              struct ask *ask, bool is_chain_newer_here) {
  struct ask_header *header = &ask->header;
  bool is_new = header->flags & ASK_NEW_FLOW;
  struct flow_request *request = begin_request(decision, packet,
                                               (struct flow_choice){
                                                   .track_epoch = header->track_epoch,
                                                   .chain_epoch = header->chain_epoch,
                                                   .backend = header->backend,
                                                   .generation = header->generation,
                                                   .state = is_new ? FLOW_STATE_NASCENT : FLOW_STATE_UNPROVEN,
                                                   .is_new = is_new,
                                               });

  if (!request)
    return DROP_INTERNAL;
  request->chain_newer_here = is_chain_newer_here;
  set_base(request, decision);
  switch (consult_flow_table(request, FLOW_ROLE_BACKUP)) {
  case FLOW_OUTCOME_STALE:
    return DROP_ASK_EPOCH;
  case FLOW_OUTCOME_KNOWN:
    count_ask_event(FLOW_RECORD_KEPT);
    set_answer(ask, request->entry.backend, request->entry.generation);
    break;
  case FLOW_OUTCOME_FULL:
    count_ask_event(FLOW_RECORD_FULL);
    if (is_new && header->backend != base_of(decision) && header->owner != MUX_NONE) {
      add_flags(ask, ASK_UNRECORDED);
      mark_unrecorded(decision->slot_word);
      return ASK_RETURNED;
    }
    answer_unrecorded(ask, decision, request);
    break;
  default:
    count_ask_event(FLOW_RECORDED);
  }
  return ASK_ANSWER;
}

/*
 * The owner: a record of a new flow for which its backup has no place. Only the owner knows of it, and its death would
 * have the flow's next packet go to base. So it is at base from the beginning: nobody was told otherwise. Not where the
 * decision is of another chain, whose backup may have recorded it: that one stands.
 */
__noinline __u32 take_back(const struct packet *packet, const struct decision *decision, struct ask *ask) {
  if (!packet || !decision || !ask)
    return DROP_INTERNAL;
  struct ask_header *header = &ask->header;
  struct flow_request *request = begin_request(decision, packet,
                                               (struct flow_choice){
                                                   .track_epoch = header->track_epoch,
                                                   .chain_epoch = header->chain_epoch,
                                                   .backend = header->backend,
                                                   .is_new = true,
                                               });

  if (!request)
    return DROP_INTERNAL;
  if ((__s32)(cluster_time() - header->time) > RETURNED_AGE_MAX)
    return DROP_ASK_TIME;
  set_base(request, decision);
  if (request->base == BACKEND_NONE)
    return DROP_NO_BACKEND;
  int outcome = consult_flow_table(request, FLOW_ROLE_TAKE_BACK);

  if (outcome == FLOW_OUTCOME_STALE)
    return DROP_ASK_EPOCH;
  if (outcome == FLOW_OUTCOME_TAKEN_BACK)
    count_ask_event(FLOW_TAKEN_BACK);
  answer_unrecorded(ask, decision, outcome == FLOW_OUTCOME_KNOWN ? request : NULL);
  return ASK_ANSWER;
}

/* What is to be done by the flow table, where other steps say the reason that the packet is counted for. */
enum answer_step {
  ANSWER_AS_OWNER = REASONS_MAX,
  ANSWER_TAKE_BACK,
  ANSWER_AS_BACKUP,
  ANSWER_AS_BACKUP_OF_NEWER, /* this mux knows a newer chain than the one the record came by */
};

static __always_inline __u32 answer_by_table(const struct packet *packet, struct decision *decision,
                                             struct ask *ask, __u32 step) {
  if (step == ANSWER_AS_OWNER)
    return answer_as_owner(packet, decision, ask);
  if (step == ANSWER_TAKE_BACK)
    return take_back(packet, decision, ask);
  return step < REASONS_MAX ? step
                            : record_as_backup(packet, decision, ask, step == ANSWER_AS_BACKUP_OF_NEWER);
}

/* For the asker's own, whose stack is deep already. */
__noinline __u32 answer_own(const struct packet *packet, struct decision *decision, struct ask *ask) {
  return packet && decision && ask ? answer_as_owner(packet, decision, ask) : DROP_INTERNAL;
}

/* An ask: as its owner, or on to who is by a newer chain. */
static __always_inline __u32 answer_ask(const struct decision *decision, struct ask *ask) {
  const struct chain *own = find_chain(decision->slot_word);
  enum chain_side side = compare_chains(&ask->header, own);
  bool is_returned = ask->header.flags & ASK_UNRECORDED;

  if (side == CHAIN_PERIOD_ENDED || (is_returned && side == CHAIN_NEWER_HERE))
    return DROP_ASK_EPOCH;
  count_chain_side(side);
  if (own && side == CHAIN_NEWER_HERE)
    take_chain(ask, own);
  else if (ask->header.owner != self.id)
    return DROP_ASK_INCARNATION;
  if (ask->header.owner == MUX_NONE) {
    answer_unrecorded(ask, decision, NULL);
    return ASK_ANSWER;
  }
  if (ask->header.owner != self.id)
    return ASK_PASSED_ON;
  if (ask->header.owner_incarnation != self.incarnation)
    return DROP_ASK_INCARNATION;
  return is_returned ? ANSWER_TAKE_BACK : ANSWER_AS_OWNER;
}

/* A record: as its backup; or, where chains have changed, as the owner, or on to the owner, undecided. */
static __always_inline __u32 answer_record(const struct decision *decision, struct ask *ask) {
  const struct chain *own = find_chain(decision->slot_word);
  enum chain_side side = compare_chains(&ask->header, own);

  if (side == CHAIN_PERIOD_ENDED)
    return DROP_ASK_EPOCH;
  count_chain_side(side);
  if (own && side == CHAIN_NEWER_HERE) {
    if (own->owner == self.id || own->backup != self.id) {
      take_chain(ask, own);
      if (own->owner != self.id) {
        set_operation(ask, ASK_OPERATION_ASK, ask->header.hops);
        set_answer(ask, BACKEND_NONE, 0);
        if (own->owner != MUX_NONE)
          return ASK_PASSED_ON;
        answer_unrecorded(ask, decision, NULL);
        return ASK_ANSWER;
      }
      return own->owner_incarnation == self.incarnation ? ANSWER_AS_OWNER : DROP_ASK_INCARNATION;
    }
    if (own->backup_incarnation != self.incarnation)
      return DROP_ASK_INCARNATION;
  } else if (ask->header.backup != self.id) {
    return DROP_ASK_INCARNATION;
  }
  return side == CHAIN_NEWER_HERE ? ANSWER_AS_BACKUP_OF_NEWER : ANSWER_AS_BACKUP;
}

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
    if (peer_refuses(own->owner, packet) == DROP_TOO_BIG)
      return decide_unrecorded(packet, decision, is_look_up);
    explain_answer(ANSWER_BY_OWNER, BACKEND_NONE);
    return ASK;
  }
  if (self.id && own->owner_incarnation != self.incarnation)
    return DROP_ASK_INCARNATION;
  return ANSWER_AS_OWNER;
}

/*
 * An answer that came home. One that names a backend, or a generation of it, that is not there (any more) is asked
 * for once more: one of the two muxes lags, or the owner will decide again.
 */
static __always_inline __u32 take_answer(const struct packet *packet, struct decision *decision,
                                         struct ask *ask) {
  if (is_backend_there(ask->header.backend, ask->header.generation))
    return take_home(decision, ask);
  if (is_tracked(decision->slot_word) && !past_deadline() && packet->hops < ASK_HOPS_MAX)
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
  reason = finish(decision, ask, reason, &mux);
  return mux == MUX_NONE ? leave_or_forward(ctx, packet, decision, reason)
                         : send_ask(ctx, packet, ask, mux, reason);
}
