/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what is remembered of clients that have a session here. Nothing live is ever evicted: a session that finds no
 * place is served and not remembered, which is counted and noted. Not here: which server a client is for.
 *
 * One word, `state`, says everything of an entry but whose it is, and changes in one store. The fingerprint beside it is
 * stored XORed with the part of that word that lasts as long as the entry, so that a reader who sees the one of this key
 * and the other of another one sees a fingerprint that is nobody's. Writers claim a place (AFFINITY_BUSY); of two packets
 * that begin one session on two CPUs each may record it, and either record serves.
 *
 * The fingerprint is the hash of the key and this server's incarnation: in a new incarnation nothing is remembered, from
 * the store of its number on.
 */
#pragma once

#include "filter_maps.h"
#include "flow_time.h"
#include "hash.h"
#include "verdict.h"

#define AFFINITY_INCARNATION_FACTOR 0x9e3779b97f4a7c15ull /* odd */
#define AFFINITY_SPREAD_FACTOR      0xd6e8feb86659fd93ull /* odd */

/* What the fingerprint is bound to: the slot. */
#define AFFINITY_BOUND     ((1ull << AFFINITY_LIFETIME_SHIFT) - 1)
#define AFFINITY_SEEN_MASK (0xffffull << AFFINITY_SEEN_SHIFT)

/* Buckets that a key may stand in: one of the near part, which is filled first, one of the rest, and their neighbours. */
#define AFFINITY_CHOICES      4
#define AFFINITY_CHOICES_NEAR 2

static __always_inline void count_unless_explained(enum flow_event event) {
  if (observer != OBSERVER_EXPLAIN)
    count_event(event);
}

static __always_inline __u64 affinity_fingerprint(__u64 hash) {
  return hash + self.incarnation * AFFINITY_INCARNATION_FACTOR;
}

/*
 * The upper half of the hash has chosen the slot. The neighbour is the other one of the pair of cache lines: with it a part
 * that is half full turns away one client in a hundred, and one in thirty without.
 */
static __always_inline __u32 near_bucket_of(__u64 hash, __u32 choice) {
  return reduce(hash << 32, affinity_buckets >> AFFINITY_NEAR_SHIFT) ^ choice;
}

static __always_inline __u32 affinity_bucket_of(__u64 hash, __u32 choice) {
  __u32 near = affinity_buckets >> AFFINITY_NEAR_SHIFT;
  __u64 spread = (hash ^ hash >> 29) * AFFINITY_SPREAD_FACTOR;

  if (choice < AFFINITY_CHOICES_NEAR)
    return near_bucket_of(hash, choice);
  return (near + reduce(spread, affinity_buckets - near)) ^ (choice - AFFINITY_CHOICES_NEAR);
}

static __always_inline __u16 affinity_lifetime(__u64 state) {
  return state >> AFFINITY_LIFETIME_SHIFT;
}

static __always_inline __u16 affinity_seen(__u64 state) {
  return state >> AFFINITY_SEEN_SHIFT;
}

static __always_inline bool is_affinity_alive(__u64 state, __u16 now) {
  return state & AFFINITY_VALID && flow_age(now, affinity_seen(state)) <= affinity_lifetime(state);
}

/* What a packet of a client says of its session. */
enum affinity_sign {
  AFFINITY_SIGN_NONE = 0, /* it is about the client, not from it: nothing changes */
  AFFINITY_SIGN_BEGINNING, /* SYN: no more than one could forge */
  AFFINITY_SIGN_LIFE,
};

static __always_inline __u16 lifetime_of(__u16 timeout) {
  return timeout < FLOW_LIFETIME_MAX ? timeout : FLOW_LIFETIME_MAX;
}

/* The word of an entry after such a sign; a service's timeout counts as it is now. */
static __always_inline __u64 renewed(__u64 state, __u16 now, __u16 timeout, enum affinity_sign sign) {
  if (sign != AFFINITY_SIGN_LIFE && !(state & AFFINITY_PROVEN))
    return (state & ~AFFINITY_SEEN_MASK) | (__u64)now << AFFINITY_SEEN_SHIFT;
  return (state & AFFINITY_BOUND) | (__u64)lifetime_of(timeout) << AFFINITY_LIFETIME_SHIFT |
         (__u64)now << AFFINITY_SEEN_SHIFT | AFFINITY_VALID | AFFINITY_PROVEN;
}

/* Renews the client at a place if it is the one that is wanted. The word that was found; 0: it is not. */
static __always_inline __u64 meet_at(struct affinity_bucket *bucket, __u32 place, __u64 wanted, __u16 timeout,
                                     enum affinity_sign sign) {
  __u64 state = *(volatile __u64 *)&bucket->state[place];

  if ((*(volatile __u64 *)&bucket->fingerprint[place] ^ (state & AFFINITY_BOUND)) != wanted ||
      !(state & AFFINITY_VALID))
    return 0;
  __u16 now = flow_time();

  if (!is_affinity_alive(state, now))
    return 0;
  if (sign != AFFINITY_SIGN_NONE && observer != OBSERVER_EXPLAIN) {
    __u64 after = renewed(state, now, timeout, sign);

    /* Who loses this race has lost it to another packet of the client, or to its release. */
    if (after != state && __sync_val_compare_and_swap(&bucket->state[place], state, after) == state &&
        (after ^ state) & AFFINITY_PROVEN)
      count_event(AFFINITY_PROVEN_NOW);
  }
  return state;
}

/* Looks for a client in one bucket, and renews it. The word that was found; 0: none. */
static __always_inline __u64 meet_in_bucket(struct affinity_bucket *bucket, __u64 wanted, __u16 timeout,
                                            enum affinity_sign sign) {
#pragma unroll
  for (__u32 place = 0; place < AFFINITY_PLACES; place++) {
    __u64 state = meet_at(bucket, place, wanted, timeout, sign);

    if (state)
      return state;
  }
  return 0;
}

/*
 * The one place of a bucket where the client may stand, by the half of fingerprints that is bound to nothing. Without a
 * branch: at which place a client stands cannot be foretold, and a wrong guess costs more than the memory does. Where
 * several places have that half it is none of them or any.
 */
static __always_inline __u32 likely_place(const struct affinity_bucket *bucket, __u64 wanted) {
  __u32 place = 0;

#pragma unroll
  for (__u32 i = 1; i < AFFINITY_PLACES; i++) {
    __u64 other = ((const volatile __u32 *)&bucket->fingerprint[i])[1] ^ (__u32)(wanted >> 32);

    asm volatile("" : "+r"(other)); /* the compiler would make a branch of what follows */
    place |= (__u32)((other - 1) >> 63) * i;
  }
  return place;
}

/* Whether the client is in the near part, where most are; the others are found by meet_affinity(). */
static __always_inline bool meet_near(__u64 hash, __u16 timeout, enum affinity_sign sign) {
#pragma nounroll
  for (__u32 choice = 0; choice < AFFINITY_CHOICES_NEAR; choice++) {
    __u32 index = near_bucket_of(hash, choice);
    struct affinity_bucket *bucket = bpf_map_lookup_elem(&affinities, &index);
    __u64 wanted = affinity_fingerprint(hash);

    if (bucket &&
        meet_at(bucket, likely_place(bucket, wanted) & (AFFINITY_PLACES - 1), wanted, timeout, sign))
      return true;
  }
  return false;
}

/* The word of a client that has a session here; 0: it has none. */
__noinline __u64 meet_affinity(__u64 hash, __u32 timeout, __u32 sign) {
  for (__u32 choice = 0; choice < AFFINITY_CHOICES; choice++) {
    __u32 index = affinity_bucket_of(hash, choice);
    struct affinity_bucket *bucket = bpf_map_lookup_elem(&affinities, &index);
    __u64 state = bucket ? meet_in_bucket(bucket, affinity_fingerprint(hash), timeout, sign) : 0;

    if (state)
      return state;
  }
  return 0;
}

/* A place of a bucket for an entry: its own that has ended, a free one, or another's that has; AFFINITY_PLACES: none. */
static __always_inline __u32 find_affinity_place(const struct affinity_bucket *bucket, __u64 wanted,
                                                 bool is_proven, __u16 now) {
  __u32 nascent = 0, place = AFFINITY_PLACES;

#pragma unroll
  for (__u32 i = 0; i < AFFINITY_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];

    if (state & AFFINITY_BUSY)
      continue;
    if (is_affinity_alive(state, now))
      nascent += !(state & AFFINITY_PROVEN);
    else if (place == AFFINITY_PLACES ||
             (*(volatile __u64 *)&bucket->fingerprint[i] ^ (state & AFFINITY_BOUND)) == wanted)
      place = i;
  }
  return is_proven || nascent < AFFINITY_NASCENT_PLACES ? place : AFFINITY_PLACES;
}

static __always_inline bool put_affinity(struct affinity_bucket *bucket, __u32 place, __u64 wanted,
                                         __u64 after, __u16 now) {
  __u64 *state = &bucket->state[place & (AFFINITY_PLACES - 1)];
  __u64 before = *(volatile __u64 *)state;

  if (before & AFFINITY_BUSY || is_affinity_alive(before, now) ||
      __sync_val_compare_and_swap(state, before, AFFINITY_BUSY) != before)
    return false;
  *(volatile __u64 *)&bucket->fingerprint[place & (AFFINITY_PLACES - 1)] = wanted ^ (after & AFFINITY_BOUND);
  __sync_lock_test_and_set(state, after);
  return true;
}

/* A client as it is to be remembered. */
struct affinity_record {
  __u64 hash;
  __u32 slot;
  __u16 lifetime; /* flow time */
  __u16 is_proven;
};

/* 0; or there is no place. The caller knows that the client is not here. */
__noinline int record_affinity(const struct affinity_record *record) {
  if (!record)
    return -1;
  __u16 now = flow_time();
  __u64 wanted = affinity_fingerprint(record->hash);
  __u64 after = (record->slot & AFFINITY_BOUND) | (__u64)record->lifetime << AFFINITY_LIFETIME_SHIFT |
                (__u64)now << AFFINITY_SEEN_SHIFT | AFFINITY_VALID |
                (record->is_proven ? AFFINITY_PROVEN : 0);

  for (__u32 choice = 0; choice < AFFINITY_CHOICES; choice++) {
    __u32 index = affinity_bucket_of(record->hash, choice);
    struct affinity_bucket *bucket = bpf_map_lookup_elem(&affinities, &index);

    if (!bucket)
      return -1;
    __u32 place = find_affinity_place(bucket, wanted, record->is_proven, now);

    if (place < AFFINITY_PLACES && put_affinity(bucket, place, wanted, after, now))
      return 0;
  }
  return -1;
}
