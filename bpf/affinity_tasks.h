/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the program `affinity`: what user space has done to the tables of affinities, which it cannot touch itself for
 * packets do meanwhile, and signatures. Only ever run by itself, on a packet that is a struct affinity_page. Not here:
 * when.
 */
#pragma once

#include "query.h"

static __always_inline struct affinity_page *page_of(struct xdp_md *ctx) {
  struct affinity_page *page = (void *)(long)ctx->data;

  return (void *)(page + 1) > (void *)(long)ctx->data_end ? NULL : page;
}

static __always_inline struct affinity_entry *entry_at(struct xdp_md *ctx, __u32 index) {
  struct affinity_entry *entry =
      (void *)(long)ctx->data +
      MASKED(offsetof(struct affinity_page, entry) + index * sizeof(struct affinity_entry), 0x7ff);

  return index < AFFINITY_ENTRIES_MAX && (void *)(entry + 1) <= (void *)(long)ctx->data_end ? entry : NULL;
}

static __always_inline __u64 slot_word_at(__u32 slot) {
  __u64 *word = bpf_map_lookup_elem(&slots, &slot);

  return word ? *(volatile __u64 *)word : 0;
}

/* Key of the entry at a place, or 0 where it is of another incarnation: that one's hash belongs into another bucket. */
static __always_inline __u64 hash_at(const struct affinity_bucket *bucket, __u32 place, __u32 index,
                                     __u64 state) {
  __u64 hash = (*(volatile __u64 *)&bucket->fingerprint[place] ^ (state & AFFINITY_BOUND)) -
               self.incarnation * AFFINITY_INCARNATION_FACTOR;

  for (__u32 choice = 0; choice < AFFINITY_CHOICES; choice++)
    if (affinity_bucket_of(hash, choice) == index)
      return hash;
  return 0;
}

static __always_inline void append_entry(struct xdp_md *ctx, const struct affinity_entry *entry) {
  struct affinity_page *page = page_of(ctx);
  __u32 count = page ? page->request.count : AFFINITY_ENTRIES_MAX;
  struct affinity_entry *to = entry_at(ctx, count);

  if (!to || !page)
    return;
  *to = *entry;
  page->request.count = count + 1;
}

static __always_inline struct affinity_entry entry_of(__u64 hash, __u64 state, __u16 now) {
  return (struct affinity_entry){
      .hash = hash,
      .slot = state & AFFINITY_BOUND,
      .lifetime = state ? affinity_lifetime(state) : 0,
      .age = flow_age(now, affinity_seen(state)),
      .is_proven = !!(state & AFFINITY_PROVEN),
  };
}

/* What a live affinity keeps from becoming clean. */
static __always_inline void mark_held(__u32 slot) {
  __u64 word = slot_word_at(slot);
  __u32 index = slot / 64;
  __u64 *held = bpf_map_lookup_elem(&held_slots, &index);

  if (held && !is_self(current_of(word)))
    *held |= 1ull << (slot & 63);
}

__noinline int sweep_affinities(struct xdp_md *ctx, __u32 index) {
  struct affinity_bucket *bucket = bpf_map_lookup_elem(&affinities, &index);
  struct affinity_page *page = page_of(ctx);
  __u16 now = flow_time();

  if (!bucket || !page)
    return -1;
  for (__u32 i = 0; i < AFFINITY_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];

    if (!(state & AFFINITY_VALID))
      continue;
    if (is_affinity_alive(state, now) && hash_at(bucket, i, index, state)) {
      page->request.live++;
      page->request.nascent += !(state & AFFINITY_PROVEN);
      mark_held(state & AFFINITY_BOUND);
    } else if (__sync_val_compare_and_swap(&bucket->state[i], state, 0) == state) {
      page->request.count++;
    }
  }
  return 0;
}

__noinline int list_affinities(struct xdp_md *ctx, __u32 index) {
  struct affinity_bucket *bucket = bpf_map_lookup_elem(&affinities, &index);
  __u16 now = flow_time();

  if (!bucket)
    return -1;
  for (__u32 i = 0; i < AFFINITY_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i], hash;

    if (!is_affinity_alive(state, now))
      continue;
    hash = hash_at(bucket, i, index, state);
    if (!hash)
      continue;
    struct affinity_entry entry = entry_of(hash, state, now);

    append_entry(ctx, &entry);
  }
  return 0;
}

/* Goes on until the buckets asked for, or room for the entries of one more, have ended. */
static __always_inline int work_on_buckets(struct xdp_md *ctx, bool is_sweep) {
  struct affinity_page *page = page_of(ctx);

  if (!page)
    return -1;
  __u32 index = page->request.bucket, limit = page->request.buckets;

  for (__u32 i = 0; i < AFFINITY_BUCKETS_MAX && i < limit && index < affinity_buckets; i++) {
    page = page_of(ctx);
    if (!page || (!is_sweep && page->request.count + AFFINITY_PLACES > AFFINITY_ENTRIES_MAX))
      break;
    if (is_sweep)
      sweep_affinities(ctx, index++);
    else
      list_affinities(ctx, index++);
  }
  page = page_of(ctx);
  if (!page)
    return -1;
  page->request.bucket = index;
  return 0;
}

/* The affinity of one key, then who else is known to have it. */
static __always_inline int look_up(struct xdp_md *ctx) {
  struct affinity_page *page = page_of(ctx);

  if (!page)
    return -1;
  __u64 hash = page->request.hash, state = meet_affinity(hash, 0, AFFINITY_SIGN_NONE);
  __u64 foreign = find_foreign(hash);
  __u16 now = flow_time();
  struct affinity_entry own = entry_of(hash, state, now), other = {.hash = hash};

  if (foreign) {
    other.server = foreign_server(foreign);
    other.incarnation = foreign >> FOREIGN_INCARNATION_SHIFT & FOREIGN_INCARNATION_MASK;
    other.lifetime = foreign_lifetime(foreign);
    other.age = flow_age(now, foreign_seen(foreign));
    other.is_proven = !!(foreign & FOREIGN_PUSHED);
  }
  append_entry(ctx, &own);
  append_entry(ctx, &other);
  return 0;
}

/* Takes a key out of all its buckets; how many entries it had. */
__noinline int release_affinity(__u64 hash) {
  __u32 released = 0;

  for (__u32 choice = 0; choice < AFFINITY_CHOICES; choice++) {
    __u32 index = affinity_bucket_of(hash, choice);
    struct affinity_bucket *bucket = bpf_map_lookup_elem(&affinities, &index);

    for (__u32 i = 0; bucket && i < AFFINITY_PLACES; i++) {
      __u64 state = *(volatile __u64 *)&bucket->state[i];

      if (state & AFFINITY_VALID &&
          (*(volatile __u64 *)&bucket->fingerprint[i] ^ (state & AFFINITY_BOUND)) ==
              affinity_fingerprint(hash) &&
          __sync_val_compare_and_swap(&bucket->state[i], state, 0) == state)
        released++;
    }
  }
  return released;
}

__noinline int release_foreign(__u64 hash) {
  struct foreign_bucket *bucket = find_foreign_bucket(hash);
  __u32 released = 0;

  for (__u32 i = 0; bucket && i < AFFINITY_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];

    if (state & FOREIGN_VALID &&
        (*(volatile __u64 *)&bucket->fingerprint[i] ^ (state & FOREIGN_BOUND)) == hash &&
        __sync_val_compare_and_swap(&bucket->state[i], state, 0) == state)
      released++;
  }
  return released;
}

/* Another server says that it has a client. Whether it is believed. */
__noinline int learn_pushed(const struct affinity_entry *entry) {
  if (!entry || entry->server == SERVER_NONE || entry->server >= SERVERS_MAX || entry->server == self.id ||
      entry->lifetime > 0xff << FOREIGN_LIFETIME_PUSHED_SHIFT || entry->age > entry->lifetime)
    return false;
  struct foreign_record record = {
      .hash = entry->hash,
      .incarnation = entry->incarnation,
      .server = entry->server,
      .lifetime = entry->lifetime,
      .age = entry->age,
      .is_pushed = true,
  };

  return !learn_foreign(&record);
}

/* Releases or learns the entries of the page; how many, instead of their number. */
static __always_inline int take_entries(struct xdp_md *ctx, bool is_release) {
  struct affinity_page *page = page_of(ctx);

  if (!page || page->request.count > AFFINITY_ENTRIES_MAX)
    return -1;
  __u32 count = page->request.count, is_foreign = page->request.flags, done = 0;

  for (__u32 i = 0; i < AFFINITY_ENTRIES_MAX && i < count; i++) {
    struct affinity_entry *sent = entry_at(ctx, i), entry;

    if (!sent)
      break;
    entry = *sent;
    if (!is_release)
      done += learn_pushed(&entry);
    else
      done += is_foreign ? release_foreign(entry.hash) : release_affinity(entry.hash);
  }
  page = page_of(ctx);
  if (!page)
    return -1;
  page->request.count = done;
  return 0;
}

static __always_inline int compose_probe(struct xdp_md *ctx) {
  struct affinity_page *page = page_of(ctx);
  struct query *query = query_in_hand_here(QUERY_OF_TASK);

  if (!page || !query)
    return -1;
  begin_query(query, QUERY_OPERATION_PROBE, 0);
  query->header.slot = page->request.number;
  query->header.flags = (page->request.flags & ASK_PLEDGE) | (past_deadline() ? ASK_PAST_DEADLINE : 0);
  query->header.hops = 1;
  query->header.tag = compute_query_tag(query);
  page = page_of(ctx);
  if (!page)
    return -1;
  page->header = query->header;
  return 0;
}

static __always_inline int run_command(struct xdp_md *ctx, __u32 command) {
  switch (command) {
  case AFFINITY_COMMAND_CLOCK:
    return 0;
  case AFFINITY_COMMAND_PROBE:
    return compose_probe(ctx);
  case AFFINITY_COMMAND_SWEEP:
    return work_on_buckets(ctx, true);
  case AFFINITY_COMMAND_LIST:
    return work_on_buckets(ctx, false);
  case AFFINITY_COMMAND_LOOK_UP:
    return look_up(ctx);
  case AFFINITY_COMMAND_RELEASE:
    return take_entries(ctx, true);
  case AFFINITY_COMMAND_LEARN:
    return take_entries(ctx, false);
  default:
    return -1;
  }
}

SEC("xdp")
int affinity(struct xdp_md *ctx) {
  struct affinity_page *page = page_of(ctx);

  if (!page)
    return XDP_ABORTED;
  __u32 command = page->request.command;

  page->request.now_ns = time_is_driven ? clock_record.driven_ns : bpf_ktime_get_ns();
  page->request.jiffies = now_jiffies();
  page->request.done = 0;
  if (command != AFFINITY_COMMAND_RELEASE && command != AFFINITY_COMMAND_LEARN)
    page->request.count = 0;
  page->request.live = 0;
  page->request.nascent = 0;
  int failure = run_command(ctx, command);

  page = page_of(ctx);
  if (failure || !page)
    return XDP_ABORTED;
  page->request.done = 1;
  return XDP_PASS;
}
