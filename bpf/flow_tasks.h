/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the program `flows`: what user space has done to the flow table and cache, which it cannot touch itself for
 * their locks and signatures. Only ever run by itself, on a packet that is a struct flows_page. Not here: when.
 */
#pragma once

#include "flows.h"

/* One bucket, copied under its lock. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct flow_bucket);
} bucket_in_hand SEC(".maps");

#define FLOWS_ENTRIES_MAX (FLOWS_MESSAGES * FLOW_MESSAGE_ENTRIES)

static __always_inline struct flows_page *page_of(struct xdp_md *ctx) {
  struct flows_page *page = (void *)(long)ctx->data;

  return (void *)(page + 1) > (void *)(long)ctx->data_end ? NULL : page;
}

/* Where in the page an entry stands. */
static __always_inline __u32 entry_offset(__u32 message, __u32 entry) {
  return offsetof(struct flows_page, message) + message * sizeof(struct flows_message) +
         offsetof(struct flows_message, entry) + entry * sizeof(struct flow_message_entry);
}

static __always_inline void append_entry(struct xdp_md *ctx, struct flows_page *page, __u64 fingerprint,
                                         const struct flow_entry *entry) {
  __u32 count = page->request.entries, message = count >= FLOW_MESSAGE_ENTRIES;
  struct flow_message_entry *to =
      (void *)page + MASKED(entry_offset(message, count - message * FLOW_MESSAGE_ENTRIES), 0xfff);

  if (count >= FLOWS_ENTRIES_MAX || (void *)(to + 1) > (void *)(long)ctx->data_end)
    return;
  to->fingerprint = fingerprint;
  to->entry = *entry;
  page->request.entries = count + 1;
}

static __always_inline struct flow_bucket *copy_bucket(struct locked_flow_bucket *bucket) {
  __u32 only = 0;
  struct flow_bucket *copy = bpf_map_lookup_elem(&bucket_in_hand, &only);

  if (!copy)
    return NULL;
  bpf_spin_lock(&bucket->lock);
  for (__u32 i = 0; i < FLOW_PLACES; i++) {
    copy->place[i] = bucket->place[i];
  }
  bpf_spin_unlock(&bucket->lock);
  return copy;
}

static __always_inline bool is_slot_wanted(const struct flows_request *request, __u32 slot) {
  return !request->slot_count || slot - request->slot_base < request->slot_count;
}

/* How far behind the version a chain epoch may fall before it is raised: of its 16 bits half may be told apart. */
#define CHAIN_EPOCH_LAG_MAX 0x4000

static __always_inline bool is_epoch_old(const struct flow_entry *entry) {
  return (__u16)(self.version - entry->chain_epoch) > CHAIN_EPOCH_LAG_MAX;
}

/* A copy says what its owner knows under the chain of now: it overrules what was copied under one before. */
static __always_inline __u16 epoch_of_copy(const struct chain *chain) {
  bool is_old = self.version - chain->chain_epoch > CHAIN_EPOCH_LAG_MAX;

  return is_old ? self.version - CHAIN_EPOCH_LAG_MAX : chain->chain_epoch;
}

/* Of a slot that this mux keeps, and a peer that is to keep it once a mux has left. */
static __always_inline bool is_copied_ahead(const struct chain *chain, __u32 slot) {
  __u32 index = slot / 64;
  __u64 *word = bpf_map_lookup_elem(&ahead_slots, &index);

  return word && *(volatile __u64 *)word >> (slot & 63) & 1 &&
         (chain->owner == self.id || chain->backup == self.id);
}

/* Whether flows of a chain are the business of the peer that messages are made for. */
static __always_inline bool is_chain_wanted(const struct flows_request *request, const struct chain *chain,
                                            __u32 slot) {
  if (request->command == FLOWS_COMMAND_REFRESH)
    return chain->owner == request->peer || chain->backup == request->peer;
  if (request->command == FLOWS_COMMAND_COPY_AHEAD)
    return is_copied_ahead(chain, slot);
  return chain->owner == self.id && chain->backup == request->peer &&
         (__s32)(chain->chain_epoch - request->chain_epoch) >= 0;
}

/* Entries of the table, to be listed or copied. */
__noinline int export_bucket(struct xdp_md *ctx, __u32 index) {
  struct flows_page *page = page_of(ctx);
  struct locked_flow_bucket *bucket = bpf_map_lookup_elem(&flow_table, &index);
  struct flow_bucket *copy = bucket ? copy_bucket(bucket) : NULL;
  __u16 now = flow_time();

  if (!page || !copy)
    return -1;
  bool is_listed = page->request.command == FLOWS_COMMAND_LIST;

  for (__u32 i = 0; i < FLOW_PLACES; i++) {
    struct flow_entry entry = copy->place[i].entry;

    if (entry.state == FLOW_STATE_NONE || !is_slot_wanted(&page->request, entry.slot))
      continue;
    if (!is_listed) {
      struct chain *chain = find_chain(slot_word_at(entry.slot));

      if (!chain || chain->track_epoch != entry.track_epoch ||
          !is_chain_wanted(&page->request, chain, entry.slot) || is_expired(&entry, now) ||
          !is_backend_there(entry.backend, entry.generation))
        continue;
      entry.slot -= page->request.slot_base;
      entry.chain_epoch = epoch_of_copy(chain);
    }
    entry.seen = flow_age(now, entry.seen);
    append_entry(ctx, page, copy->place[i].fingerprint, &entry);
  }
  return 0;
}

/* An entry of the cache, as one of the table; state 0: it is not of this period of its slot, or its backend is gone. */
static __always_inline struct flow_entry entry_of_cache(__u64 state, const struct chain *chain, __u16 now) {
  struct flow_entry entry = {};
  const struct backend *backend = find_backend(state & (BACKENDS_MAX - 1));

  if (!is_cached_backend_there(state))
    return entry;
  entry.slot = state >> CACHE_SLOT_SHIFT & 0xffffff;
  entry.track_epoch = chain->track_epoch;
  entry.chain_epoch = chain->chain_epoch;
  entry.backend = state & (BACKENDS_MAX - 1);
  entry.generation = backend->generation;
  entry.seen = flow_age(now, cache_seen(state));
  entry.state = state & CACHE_SYN ? FLOW_STATE_NASCENT : FLOW_STATE_UNPROVEN;
  return entry;
}

/* Flows that lived here lately. */
__noinline int refresh_bucket(struct xdp_md *ctx, __u32 index) {
  struct flows_page *page = page_of(ctx);
  struct cache_bucket *bucket = bpf_map_lookup_elem(&flow_cache, &index);
  __u16 now = flow_time();

  if (!page || !bucket)
    return -1;
  for (__u32 i = 0; i < CACHE_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];
    __u64 fingerprint = *(volatile __u64 *)&bucket->fingerprint[i] ^ (state & CACHE_BOUND);
    __u32 slot = state >> CACHE_SLOT_SHIFT & 0xffffff;

    /* A SYN alone is no sign of life: its entry ends when it ends. */
    if ((state & (CACHE_VALID | CACHE_SYN)) != CACHE_VALID || !is_slot_wanted(&page->request, slot) ||
        flow_age(now, cache_seen(state)) > page->request.age_max)
      continue;
    struct chain *chain = find_chain(slot_word_at(slot));

    if (!chain || !is_chain_wanted(&page->request, chain, slot))
      continue;
    struct flow_entry entry = entry_of_cache(state, chain, now);
    __u64 hash = fingerprint - chain->track_epoch * CACHE_EPOCH_FACTOR;

    entry.slot -= page->request.slot_base;
    entry.idle_time = page->request.idle_time;
    /* The hash of another period's entry comes out as of another slot. */
    if (entry.state != FLOW_STATE_NONE && bucket_of(hash, cache_buckets) == index &&
        reduce(hash, page->request.slot_count) == entry.slot)
      append_entry(ctx, page, hash, &entry);
  }
  return 0;
}

/* Whether the period of an entry has ended. One that this mux has not come to has not. */
static __always_inline bool is_past(const struct flow_entry *entry, const struct chain *chain) {
  if (chain)
    return (__s32)(entry->track_epoch - chain->track_epoch) < 0;
  return (__s32)(entry->track_epoch - self.version) <= 0;
}

/* Counts a live entry of the census. */
static __always_inline void count_live(const struct flow_entry *entry, __u64 slot_word) {
  __u32 chain = slot_word >> SLOT_CHAIN_SHIFT, word = entry->slot / 64;
  struct chain_flows *flows = bpf_map_lookup_elem(&chain_flows, &chain);
  __u64 *held = bpf_map_lookup_elem(&held_slots, &word);

  if (flows)
    flows->live++;
  if (entry->backend == (slot_word & 0xffff) || !is_backend_there(entry->backend, entry->generation))
    return;
  if (flows)
    flows->old++;
  if (held)
    *held |= 1ull << (entry->slot & 63);
}

/* Takes out what is no more, and counts what is. How many it took out. */
__noinline int sweep_bucket(__u32 index) {
  struct locked_flow_bucket *bucket = bpf_map_lookup_elem(&flow_table, &index);
  struct flow_bucket *copy = bucket ? copy_bucket(bucket) : NULL;
  __u16 now = flow_time();

  if (!bucket || !copy)
    return 0;
  /* Zero, which the verifier cannot know: otherwise it would follow every set of places. */
  __u32 ended = copy->reserved[0], removed = ended, is_any_old = ended;

  for (__u32 i = 0; i < FLOW_PLACES; i++) {
    const struct flow_entry *entry = &copy->place[i].entry;

    if (entry->state == FLOW_STATE_NONE)
      continue;
    __u64 slot_word = slot_word_at(entry->slot);
    struct chain *chain = find_chain(slot_word);

    if (is_expired(entry, now) || is_past(entry, chain))
      ended |= 1 << i;
    else if (chain && chain->track_epoch == entry->track_epoch)
      count_live(entry, slot_word);
    is_any_old |= is_epoch_old(entry);
  }
  if (!ended && !is_any_old)
    return 0;
  bpf_spin_lock(&bucket->lock);
  for (__u32 i = 0; i < FLOW_PLACES; i++) {
    /* Unless it has come back to life since. */
    if (ended >> i & 1 && bucket->place[i].entry.state != FLOW_STATE_NONE &&
        bucket->place[i].fingerprint == copy->place[i].fingerprint &&
        bucket->place[i].entry.seen == copy->place[i].entry.seen &&
        bucket->place[i].entry.track_epoch == copy->place[i].entry.track_epoch) {
      set_flow_state(bucket, i, FLOW_STATE_NONE);
      removed++;
    } else if (is_epoch_old(&bucket->place[i].entry)) {
      bucket->place[i].entry.chain_epoch = self.version - CHAIN_EPOCH_LAG_MAX;
    }
  }
  bpf_spin_unlock(&bucket->lock);
  return removed;
}

/* Takes out what would come to look young again when flow time has gone round. */
__noinline int sweep_cache_bucket(__u32 index, __u32 idle_time) {
  struct cache_bucket *bucket = bpf_map_lookup_elem(&flow_cache, &index);
  __u16 now = flow_time();
  __u32 removed = 0;

  if (!bucket)
    return 0;
  for (__u32 i = 0; i < CACHE_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];

    if (state & CACHE_VALID && flow_age(now, cache_seen(state)) > idle_time &&
        __sync_val_compare_and_swap(&bucket->state[i], state, 0) == state)
      removed++;
  }
  return removed;
}

/* What table and cache know of one flow. */
static __always_inline int look_up_flow(struct xdp_md *ctx) {
  struct flows_page *page = page_of(ctx);

  if (!page)
    return -1;
  __u64 hash = page->request.fingerprint;
  __u32 at = bucket_of(hash, flow_buckets), cache_at = bucket_of(hash, cache_buckets);
  struct chain *chain = find_chain(slot_word_at(page->request.slot_base));
  struct locked_flow_bucket *bucket = bpf_map_lookup_elem(&flow_table, &at);
  struct cache_bucket *cache = bpf_map_lookup_elem(&flow_cache, &cache_at);
  struct flow_bucket *copy = bucket ? copy_bucket(bucket) : NULL;
  struct flow_entry known = {}, cached = {};
  __u16 now = flow_time();

  if (!copy || !cache)
    return -1;
  for (__u32 i = 0; i < FLOW_PLACES; i++)
    if (copy->place[i].fingerprint == hash && copy->place[i].entry.state != FLOW_STATE_NONE)
      known = copy->place[i].entry;
  known.seen = flow_age(now, known.seen);
  for (__u32 i = 0; chain && i < CACHE_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&cache->state[i];

    if (state & CACHE_VALID && (*(volatile __u64 *)&cache->fingerprint[i] ^ (state & CACHE_BOUND)) ==
                                   cache_fingerprint(hash, chain->track_epoch))
      cached = entry_of_cache(state, chain, now);
  }
  append_entry(ctx, page, hash, &known);
  append_entry(ctx, page, hash, &cached);
  return 0;
}

/* Under the lock. Only who keeps the slot's flows remembers one that it did not know: enum flow_event. */
static __always_inline int release_entry(struct locked_flow_bucket *bucket,
                                         const struct flow_message_entry *to, bool is_keeper, __u16 now) {
  __u32 own = find_flow(bucket, to->fingerprint);

  if (own < FLOW_PLACES) {
    struct flow_entry *entry = &bucket->place[own].entry;
    bool is_same = entry->backend == to->entry.backend && entry->generation == to->entry.generation;

    if (entry->track_epoch == to->entry.track_epoch && !is_expired(entry, now)) {
      entry->backend = to->entry.backend;
      entry->generation = to->entry.generation;
      return is_same ? FLOW_KNOWN : FLOW_REDECIDED;
    }
  }
  if (!is_keeper)
    return FLOW_EVENT_COUNT;
  __u32 place = find_flow_place(bucket, own, to->entry.state, now);

  if (place >= FLOW_PLACES)
    return FLOW_TABLE_FULL;
  put_flow(bucket, place, to->fingerprint, &to->entry, to->entry.state);
  return FLOW_NEW;
}

/* Which event it is for the table. */
__noinline int release_from_table(const struct flows_request *request) {
  if (!request)
    return FLOW_EVENT_COUNT;
  __u64 slot_word = slot_word_at(request->slot_base), hash = request->fingerprint;
  const struct chain *chain = find_chain(slot_word);
  const struct backend *current = find_backend(slot_word & 0xffff);
  __u32 index = bucket_of(hash, flow_buckets);
  struct locked_flow_bucket *bucket = bpf_map_lookup_elem(&flow_table, &index);

  if (!chain || !bucket || !(slot_word & 0xffff) || !(current->flags & BACKEND_PRESENT))
    return FLOW_EVENT_COUNT;
  __u16 now = flow_time();
  struct flow_message_entry to = {
      .fingerprint = hash,
      .entry = {.slot = request->slot_base,
                .track_epoch = chain->track_epoch,
                .client = request->number,
                .chain_epoch = chain->chain_epoch,
                .backend = slot_word & 0xffff,
                .generation = current->generation,
                .seen = now,
                .idle_time = request->idle_time,
                .state = FLOW_STATE_UNPROVEN,
                .protocol = request->flags},
  };
  bool is_keeper = !self.id || chain->owner == self.id || chain->backup == self.id;

  bpf_spin_lock(&bucket->lock);
  int event = release_entry(bucket, &to, is_keeper, now);

  bpf_spin_unlock(&bucket->lock);
  return event;
}

/* An answer that comes home in this moment may be remembered once more: who releases, does so again. */
static __always_inline void forget_answer(__u64 hash, __u32 slot) {
  __u32 index = bucket_of(hash, cache_buckets);
  struct cache_bucket *bucket = bpf_map_lookup_elem(&flow_cache, &index);
  const struct chain *chain = find_chain(slot_word_at(slot));

  for (__u32 i = 0; bucket && chain && i < CACHE_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];

    if (state & CACHE_VALID && (*(volatile __u64 *)&bucket->fingerprint[i] ^ (state & CACHE_BOUND)) ==
                                   cache_fingerprint(hash, chain->track_epoch))
      __sync_val_compare_and_swap(&bucket->state[i], state, 0);
  }
}

/* A flow that an operator lets go. */
static __always_inline int release_flow(struct xdp_md *ctx) {
  if (look_up_flow(ctx))
    return -1;
  struct flows_page *page = page_of(ctx);

  if (!page)
    return -1;
  struct flows_request request = page->request;
  __u32 event = release_from_table(&request);

  forget_answer(request.fingerprint, request.slot_base);
  page = page_of(ctx);
  if (!page)
    return -1;
  page->request.number = event;
  return 0;
}

/* The header in hand, signed, to the page. */
static __always_inline void put_header(struct xdp_md *ctx, struct ask *ask, __u32 message) {
  struct flows_page *page = page_of(ctx);

  if (!page)
    return;
  __u64 *to = (__u64 *)&page->message[message].header;

  for (__u32 i = 0; i < ASK_WORDS - 1; i++)
    to[i] = ask->word[i];
  to[ASK_WORDS - 1] = ask->tag;
}

/* Signs what was gathered, or takes it in where it is for this mux itself. `message` is a constant. */
static __always_inline void close_message(struct xdp_md *ctx, struct ask *ask, const __u32 message) {
  struct flows_page *page = page_of(ctx);

  if (!page || page->request.entries <= message * FLOW_MESSAGE_ENTRIES)
    return;
  __u32 entries = page->request.entries - message * FLOW_MESSAGE_ENTRIES, at = entry_offset(message, 0);
  bool is_own = page->request.peer == self.id;

  begin_ask(ask, ASK_OPERATION_FLOWS, 0);
  ask->header.slot = page->request.number + message;
  ask->header.pool = page->request.pool;
  ask->header.owner = page->request.peer;
  ask->header.backend = entries < FLOW_MESSAGE_ENTRIES ? entries : FLOW_MESSAGE_ENTRIES;
  ask->header.flags = page->request.command == FLOWS_COMMAND_REFRESH ? ASK_REFRESH : 0;
  if (is_own) {
    take_entries(ctx, ask, at);
    return;
  }
  if (hash_entries(ctx, ask, at))
    return;
  compute_tag(ask);
  put_header(ctx, ask, message);
}

static __always_inline int compose_probe(struct xdp_md *ctx, struct ask *ask) {
  struct flows_page *page = page_of(ctx);

  if (!page)
    return -1;
  begin_ask(ask, ASK_OPERATION_PROBE, 0);
  ask->header.slot = page->request.number;
  ask->header.flags = (page->request.flags & ASK_PLEDGE) | (past_deadline() ? ASK_PAST_DEADLINE : 0);
  compute_tag(ask);
  put_header(ctx, ask, 0);
  return 0;
}

/* One bucket of a command that goes through all of them. */
__noinline int work_on_bucket(struct xdp_md *ctx, __u32 command, __u32 index, __u32 idle_time) {
  switch (command) {
  case FLOWS_COMMAND_SWEEP:
    return sweep_bucket(index);
  case FLOWS_COMMAND_SWEEP_CACHE:
    return sweep_cache_bucket(index, idle_time);
  case FLOWS_COMMAND_REFRESH:
    return refresh_bucket(ctx, index);
  default:
    return export_bucket(ctx, index);
  }
}

/* Goes on until the buckets asked for, or room for the entries of one more, have ended. */
static __always_inline int work_on_buckets(struct xdp_md *ctx, __u32 command) {
  struct flows_page *page = page_of(ctx);
  bool is_sweep = command == FLOWS_COMMAND_SWEEP || command == FLOWS_COMMAND_SWEEP_CACHE;
  bool is_cache = command == FLOWS_COMMAND_SWEEP_CACHE || command == FLOWS_COMMAND_REFRESH;
  __u32 size = is_cache ? cache_buckets : flow_buckets, removed = 0;

  if (!page || (command == FLOWS_COMMAND_REFRESH && !page->request.slot_count))
    return -1;
  __u32 index = page->request.bucket, limit = page->request.buckets, idle_time = page->request.idle_time;

  for (__u32 i = 0; i < FLOWS_BUCKETS_MAX && i < limit && index < size; i++) {
    page = page_of(ctx);
    if (!page || page->request.entries + FLOW_PLACES > FLOWS_ENTRIES_MAX)
      break;
    int worked = work_on_bucket(ctx, command, index++, idle_time);

    if (is_sweep)
      removed += worked;
  }
  page = page_of(ctx);
  if (!page)
    return -1;
  page->request.bucket = index;
  if (is_sweep)
    page->request.entries = removed;
  return 0;
}

static __always_inline int run_command(struct xdp_md *ctx, struct ask *ask, __u32 command) {
  int failure;

  switch (command) {
  case FLOWS_COMMAND_CLOCK:
    return 0;
  case FLOWS_COMMAND_PROBE:
    return compose_probe(ctx, ask);
  case FLOWS_COMMAND_LOOK_UP:
    return look_up_flow(ctx);
  case FLOWS_COMMAND_RELEASE:
    return release_flow(ctx);
  case FLOWS_COMMAND_SWEEP:
  case FLOWS_COMMAND_SWEEP_CACHE:
  case FLOWS_COMMAND_LIST:
    return work_on_buckets(ctx, command);
  case FLOWS_COMMAND_COPY:
  case FLOWS_COMMAND_COPY_AHEAD:
  case FLOWS_COMMAND_REFRESH:
    failure = work_on_buckets(ctx, command);
    if (!failure) {
      close_message(ctx, ask, 0);
      close_message(ctx, ask, 1);
    }
    return failure;
  default:
    return -1;
  }
}
_Static_assert(FLOWS_MESSAGES == 2, "as run_command() closes");

SEC("xdp")
int flows(struct xdp_md *ctx) {
  struct flows_page *page = page_of(ctx);
  __u32 whose = ASK_OF_TASK;
  struct ask *ask = bpf_map_lookup_elem(&ask_in_hand, &whose);

  if (!page || !ask)
    return XDP_ABORTED;
  page->request.now_ns = time_is_driven ? clock_record.driven_ns : bpf_ktime_get_ns();
  page->request.jiffies = now_jiffies();
  page->request.done = 0;
  page->request.entries = 0;
  int failure = run_command(ctx, ask, page->request.command);

  page = page_of(ctx);
  if (failure || !page)
    return XDP_ABORTED;
  page->request.done = 1;
  return XDP_PASS;
}
