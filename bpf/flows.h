/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns messages of flows between muxes, as they are taken in: a refresh says that flows live, a copy makes another mux
 * know them. Neither overrules what is known here. How messages are made is flow_tasks.h.
 */
#pragma once

#include "ask.h"
#include "probe.h"

static __always_inline __u64 slot_word_at(__u32 slot) {
  __u64 *word = bpf_map_lookup_elem(&slots, &slot);

  return word ? *(volatile __u64 *)word : 0;
}

/* ask->hash becomes that of the entries `at` an offset, as many as the header says. Non-zero: they are not there. */
__noinline int hash_entries(struct xdp_md *ctx, struct ask *ask, __u32 at) {
  if (!ask)
    return -1;
  struct siphash state = siphash_begin(ask_keys[ask->header.key_id & (ASK_KEYS_MAX - 1)].key);
  __u32 count = ask->header.backend;

  for (__u32 i = 0; i < FLOW_MESSAGE_ENTRIES && i < count; i++) {
    __u64 *word = (void *)(long)ctx->data + MASKED(at + i * sizeof(struct flow_message_entry), 0xfff);

    if ((void *)word + sizeof(struct flow_message_entry) > (void *)(long)ctx->data_end)
      return -1;
    for (__u32 j = 0; j < sizeof(struct flow_message_entry) / sizeof(*word); j++)
      siphash_add(&state, word[j]);
  }
  ask->hash = siphash_end(state, count * sizeof(struct flow_message_entry));
  return 0;
}

static __always_inline void see_younger(struct flow_entry *entry, const struct flow_entry *theirs,
                                        __u16 now) {
  if (flow_age(now, entry->seen) > flow_age(now, theirs->seen))
    entry->seen = theirs->seen;
}

/*
 * What is known here may have been copied under a chain before, ahead of this mux's being in it: since then the flow may
 * have become real, or its owner may have taken its decision back. What was recorded under the chain of the copy stands.
 */
static __always_inline int adopt_newer(struct locked_flow_bucket *bucket, __u32 own,
                                       const struct flow_message_entry *theirs, bool is_same, __u16 now) {
  struct flow_entry *entry = &bucket->place[own].entry;
  __u8 state = entry->state == FLOW_STATE_TRUSTED ? FLOW_STATE_TRUSTED : theirs->entry.state;

  if (!is_newer_epoch(theirs->entry.chain_epoch, entry->chain_epoch))
    return FLOW_COPY_KEPT;
  if (!is_same) {
    put_flow(bucket, own, theirs->fingerprint, &theirs->entry, state);
    return FLOW_COPIED;
  }
  see_younger(entry, &theirs->entry, now);
  entry->chain_epoch = theirs->entry.chain_epoch;
  entry->idle_time = theirs->entry.idle_time;
  set_flow_state(bucket, own, state);
  return FLOW_COPY_KEPT;
}

/* Under the lock of its bucket. Which event it is. */
static __always_inline int adopt_entry(struct locked_flow_bucket *bucket,
                                       const struct flow_message_entry *theirs, bool is_refresh, __u16 now) {
  __u32 own = find_flow(bucket, theirs->fingerprint);

  if (own < FLOW_PLACES) {
    struct flow_entry *entry = &bucket->place[own].entry;
    __s32 newer = entry->track_epoch - theirs->entry.track_epoch;
    bool is_same = entry->backend == theirs->entry.backend && entry->generation == theirs->entry.generation;

    if (newer > 0)
      return FLOW_COPY_KEPT;
    if (newer == 0 && is_refresh && is_same) {
      see_younger(entry, &theirs->entry, now);
      return FLOW_REFRESHED;
    }
    if (newer == 0 && !is_expired(entry, now))
      return is_refresh ? FLOW_COPY_KEPT : adopt_newer(bucket, own, theirs, is_same, now);
  }
  __u32 place = find_flow_place(bucket, own, theirs->entry.state, now);

  if (place >= FLOW_PLACES)
    return FLOW_COPY_FULL;
  put_flow(bucket, place, theirs->fingerprint, &theirs->entry, theirs->entry.state);
  return FLOW_COPIED;
}

/* Takes in the entry `at` an offset of a message whose header is in hand. Which event it is. */
__noinline int take_entry(struct xdp_md *ctx, const struct ask *ask, __u32 at) {
  if (!ask)
    return FLOW_ENTRY_REFUSED;
  struct flow_message_entry *sent = (void *)(long)ctx->data + MASKED(at, 0xfff), theirs;
  __u32 pool = ask->header.pool, index;
  struct pool_slots *range = bpf_map_lookup_elem(&pools, &pool);

  if ((void *)(sent + 1) > (void *)(long)ctx->data_end || !range)
    return FLOW_ENTRY_REFUSED;
  theirs = *sent;
  __u16 now = flow_time(), age = theirs.entry.seen;

  /* The slot follows from the fingerprint: another one is of another M, or of nothing at all. */
  if (theirs.entry.slot >= range->slot_count ||
      theirs.entry.slot != reduce(theirs.fingerprint, range->slot_count) ||
      theirs.entry.state == FLOW_STATE_NONE || theirs.entry.state > FLOW_STATE_TRUSTED ||
      !theirs.entry.idle_time || age > FLOW_AGE_MAX ||
      !is_backend_there(theirs.entry.backend, theirs.entry.generation))
    return FLOW_ENTRY_REFUSED;
  theirs.entry.slot += range->slot_base;
  theirs.entry.seen = now - age;

  struct chain *chain = find_chain(slot_word_at(theirs.entry.slot));

  if (!chain || chain->track_epoch != theirs.entry.track_epoch || is_expired(&theirs.entry, now))
    return FLOW_ENTRY_REFUSED;
  index = bucket_of(theirs.fingerprint, flow_buckets);
  struct locked_flow_bucket *bucket = bpf_map_lookup_elem(&flow_table, &index);

  if (!bucket)
    return FLOW_ENTRY_REFUSED;
  bpf_spin_lock(&bucket->lock);
  int event = adopt_entry(bucket, &theirs, ask->header.flags & ASK_REFRESH, now);

  bpf_spin_unlock(&bucket->lock);
  return event;
}

/* All entries of a message, from the first one's offset on. */
__noinline int take_entries(struct xdp_md *ctx, const struct ask *ask, __u32 at) {
  if (!ask)
    return -1;
  for (__u32 i = 0; i < FLOW_MESSAGE_ENTRIES && i < ask->header.backend; i++)
    count_event(take_entry(ctx, ask, at + i * sizeof(struct flow_message_entry)) & (FLOW_EVENTS_MAX - 1));
  return 0;
}

/*
 * A message is taken, and its sender told so, only by a mux that has come as far as the sender: one that has not would
 * refuse entries that it is to have.
 */
static __always_inline __u32 check_flows(struct xdp_md *ctx, struct ask *ask, __u32 at) {
  __u32 pool = ask->header.pool;

  if (hash_entries(ctx, ask, at))
    return DROP_ASK_SIZE;
  if (!is_signed(ask))
    return DROP_ASK_TAG;
  if (!is_of_now(&ask->header))
    return DROP_ASK_TIME;
  if (ask->header.owner != self.id)
    return DROP_ASK_INCARNATION;
  struct pool_slots *range = bpf_map_lookup_elem(&pools, &pool);

  if (!range || !range->slot_count)
    return DROP_ASK_SLOT;
  return ask->header.version > self.version ? DROP_ASK_EPOCH : 0;
}

/* What has no packet inside. The outer headers are in hand. */
__noinline int take_message(struct xdp_md *ctx, const struct packet *outer, struct ask *ask) {
  if (!outer || !ask)
    return leave(ctx, DROP_INTERNAL);
  __u32 ip_bytes = outer->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
  __u32 operation = ask->header.operation;
  __u32 entries = operation == ASK_OPERATION_FLOWS ? ask->header.backend : 0;

  if (entries > FLOW_MESSAGE_ENTRIES || (operation == ASK_OPERATION_FLOWS && !entries) ||
      outer->length != ip_bytes + ASK_BYTES + entries * sizeof(struct flow_message_entry))
    return leave(ctx, DROP_ASK_SIZE);
  if (operation == ASK_OPERATION_FLOWS) {
    __u32 at = outer->l4_offset + ASK_BYTES, asker = ask->header.asker, reason = check_flows(ctx, ask, at);

    if (reason)
      return leave(ctx, reason);
    if (observer != OBSERVER_EXPLAIN)
      take_entries(ctx, ask, at);
    begin_answer(ask, ASK_OPERATION_FLOWS_TAKEN);
    return turn_round(ctx, outer, ask, asker, REPLY_FLOWS);
  }
  ask->hash = 0;
  if (!is_signed(ask))
    return leave(ctx, DROP_ASK_TAG);
  if (operation == ASK_OPERATION_PROBE)
    return answer_probe(ctx, outer, ask);
  if (ask->header.owner != self.id)
    return leave(ctx, DROP_ASK_INCARNATION);
  return leave(ctx, operation == ASK_OPERATION_PROBE_ANSWER ? note_probe_answer(&ask->header)
                                                            : note_flows_taken(&ask->header));
}
