/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what is known of clients that another server has: learnt by queries, for a short life that packets do not prolong,
 * or pushed by user space for as long as it says. Void when that server is gone, or in another incarnation. In the manner
 * of affinity.h; unlike there, what packets have learnt may give way: it can be asked again.
 */
#pragma once

#include "affinity.h"

#define FOREIGN_BOUND ((1ull << FOREIGN_LIFETIME_SHIFT) - 1)

static __always_inline __u16 foreign_server(__u64 state) {
  return state & (SERVERS_MAX - 1);
}
_Static_assert(SERVERS_MAX == 1 << FOREIGN_INCARNATION_SHIFT, "as words of foreign entries have it");

static __always_inline __u16 foreign_lifetime(__u64 state) {
  __u16 lifetime = state >> FOREIGN_LIFETIME_SHIFT & 0xff;

  return state & FOREIGN_PUSHED ? lifetime << FOREIGN_LIFETIME_PUSHED_SHIFT : lifetime;
}

static __always_inline __u16 foreign_seen(__u64 state) {
  return state >> FOREIGN_SEEN_SHIFT;
}

/* Whether a server is what it was. One that was never heard of is taken to be. */
static __always_inline bool is_incarnation_of(__u32 server, __u32 incarnation) {
  __u32 known = peer_states[server & (SERVERS_MAX - 1)].incarnation;

  return find_server(server)->flags & BACKEND_PRESENT &&
         (!known || !((known ^ incarnation) & FOREIGN_INCARNATION_MASK));
}

/* Whether who asked had a version that is not in effect here yet. */
static __always_inline bool is_ahead(__u64 state) {
  __u32 ahead = (__u32)(state >> FOREIGN_VERSION_SHIFT) - self.version;

  return (ahead & FOREIGN_VERSION_MASK) - 1 < FOREIGN_VERSION_MASK / 2;
}

/*
 * What is remembered of an asker that is ahead stays until this server has come as far: until then it may take the bucket
 * for its own, and not know that incarnation of the asker.
 */
static __always_inline bool is_foreign_alive(__u64 state, __u16 now) {
  if (!(state & FOREIGN_VALID))
    return false;
  if (state & FOREIGN_ASKED && is_ahead(state))
    return true;
  return flow_age(now, foreign_seen(state)) <= foreign_lifetime(state) &&
         is_incarnation_of(foreign_server(state), state >> FOREIGN_INCARNATION_SHIFT);
}

/* Of what queries teach about a service's clients. */
static __always_inline __u16 foreign_lifetime_of(__u16 timeout) {
  __u16 lifetime = timeout >> FOREIGN_TIME_SHIFT;

  if (lifetime < FOREIGN_TIME_BEHIND)
    lifetime = timeout < FOREIGN_TIME_BEHIND ? timeout : FOREIGN_TIME_BEHIND;
  if (lifetime < FOREIGN_TIME_MIN)
    return FOREIGN_TIME_MIN;
  return lifetime < FOREIGN_TIME_MAX ? lifetime : FOREIGN_TIME_MAX;
}
_Static_assert(FOREIGN_TIME_MIN << (FLOW_TIME_SHIFT - TICK_SHIFT) >= 2 * QUERY_TIME_WINDOW,
               "what a query leaves behind outlives it");

static __always_inline struct foreign_bucket *find_foreign_bucket(__u64 hash) {
  __u32 index = reduce(hash << 32, foreign_buckets);

  return bpf_map_lookup_elem(&foreigns, &index);
}

/* The word of a client that another server has; 0: none is known to. */
__noinline __u64 find_foreign(__u64 hash) {
  struct foreign_bucket *bucket = find_foreign_bucket(hash);
  __u16 now = flow_time();

  if (!bucket)
    return 0;
  for (int i = 0; i < AFFINITY_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];

    if ((*(volatile __u64 *)&bucket->fingerprint[i] ^ (state & FOREIGN_BOUND)) == hash &&
        is_foreign_alive(state, now))
      return state;
  }
  return 0;
}

/*
 * Where an entry goes: its own place, or one of an entry that is not alive, or that of what packets
 * have learnt and has least to live.
 */
static __always_inline __u32 choose_foreign_place(const struct foreign_bucket *bucket, __u64 hash,
                                                  __u16 now) {
  __u32 chosen = AFFINITY_PLACES, least = 0x10000;

#pragma unroll
  for (__u32 i = 0; i < AFFINITY_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];
    __u32 left = 0;

    if (state & FOREIGN_BUSY)
      continue;
    if (state & FOREIGN_VALID &&
        (*(volatile __u64 *)&bucket->fingerprint[i] ^ (state & FOREIGN_BOUND)) == hash)
      return i;
    if (is_foreign_alive(state, now)) {
      left = 1 + foreign_lifetime(state) - flow_age(now, foreign_seen(state));
      if (state & FOREIGN_PUSHED)
        continue;
    }
    if (left < least) {
      least = left;
      chosen = i;
    }
  }
  return chosen;
}

/* A client that another server has. */
struct foreign_record {
  __u64 hash;
  __u32 incarnation;
  __u16 server;
  __u16 lifetime; /* flow time */
  __u16 age;
  __u16 is_pushed;
  __u16 is_asked; /* by `server`, with `version` */
  __u16 version;
};

/* 0; or there is no place. */
__noinline int learn_foreign(const struct foreign_record *record) {
  if (!record)
    return -1;
  struct foreign_bucket *bucket = find_foreign_bucket(record->hash);
  __u16 now = flow_time(), seen = now - record->age;

  if (!bucket)
    return -1;
  __u32 place = choose_foreign_place(bucket, record->hash, now);
  __u32 shift = record->is_pushed ? FOREIGN_LIFETIME_PUSHED_SHIFT : 0;
  __u64 after = FOREIGN_VALID | (record->is_pushed ? FOREIGN_PUSHED : 0) |
                (record->is_asked ? FOREIGN_ASKED : 0) |
                (__u64)(record->version & FOREIGN_VERSION_MASK) << FOREIGN_VERSION_SHIFT |
                (record->server & (SERVERS_MAX - 1)) |
                (__u64)(record->incarnation & FOREIGN_INCARNATION_MASK) << FOREIGN_INCARNATION_SHIFT |
                (__u64)((record->lifetime + (1 << shift) - 1) >> shift & 0xff) << FOREIGN_LIFETIME_SHIFT |
                (__u64)seen << FOREIGN_SEEN_SHIFT;

  if (place >= AFFINITY_PLACES)
    return -1;
  __u64 *state = &bucket->state[place & (AFFINITY_PLACES - 1)];
  __u64 before = *(volatile __u64 *)state;

  if (before & FOREIGN_BUSY || __sync_val_compare_and_swap(state, before, FOREIGN_BUSY) != before)
    return -1;
  *(volatile __u64 *)&bucket->fingerprint[place & (AFFINITY_PLACES - 1)] =
      record->hash ^ (after & FOREIGN_BOUND);
  __sync_lock_test_and_set(state, after);
  return 0;
}
