/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what the members of a chain do with an ask or a record: the owner decides, the backup records. Each step says what
 * is to become of the packet, as the reason that it would be counted for. Not here: the asker (ask.h), how the question
 * travels (wire.h).
 */
#pragma once

#include "tracked.h"
#include "wire.h"

/*
 * How old a returned record may be, in cluster time: 0.5 s. After a second the client sends again what opens the flow,
 * and that may have found a place.
 */
#define RETURNED_AGE_MAX 512

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
    count_ask_event(is_look_up ? FLOW_LOOKED_UP : FLOW_TOO_BIG);
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
