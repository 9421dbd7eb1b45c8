/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what is remembered of flows of tracked slots: the flow table, which owners and backups keep, and the flow cache
 * of what askers were answered. Not here: who asks whom, and what is decided (answer.h).
 *
 * An entry of another track epoch, of a backend or generation that is gone, or expired, does not exist. Nothing else
 * ever gives way in the table; in the cache everything may, for it can be asked again.
 */
#pragma once

#include "flow_time.h"
#include "slot.h"
#include "verdict.h"

/*
 * Owners and backups forget a flow after as many idle times; its cache entries after one. At most after FLOW_LIFETIME_MAX,
 * which is half an hour more than the longest idle time, for refreshes and repairs.
 */
#define FLOW_LIFETIMES 4

/* Odd: spreads track epochs over fingerprints of the cache. */
#define CACHE_EPOCH_FACTOR 0x9e3779b97f4a7c15ull

/* What a fingerprint of the cache is bound to: all of the state word but `seen` and the marks of its life. */
#define CACHE_BOUND     (CACHE_SYN | ((1ull << CACHE_SEEN_SHIFT) - 1))
#define CACHE_SEEN_MASK (0xffffull << CACHE_SEEN_SHIFT)

/*
 * Of a flow whose SYN alone was seen no more is known than that it may begin. A client with affinity may have other
 * connections, which are silent: its timeout is counted from any packet of it.
 */
static __always_inline bool is_expired(const struct flow_entry *entry, __u16 now) {
  __u32 lifetime = (__u32)entry->idle_time * FLOW_LIFETIMES;

  if (entry->state == FLOW_STATE_NASCENT)
    lifetime = NASCENT_TIME + (entry->protocol & FLOW_KEY_CLIENT ? entry->idle_time : 0);
  if (lifetime > FLOW_LIFETIME_MAX)
    lifetime = FLOW_LIFETIME_MAX;
  return flow_age(now, entry->seen) > lifetime;
}

static __always_inline bool is_backend_there(__u32 index, __u16 generation) {
  const struct backend *backend = find_backend(index);

  return index != BACKEND_NONE && backend->flags & BACKEND_PRESENT && backend->generation == generation;
}

/* Of chain epochs, of which entries have the low bits. */
static __always_inline bool is_newer_epoch(__u16 one, __u16 other) {
  return (__s16)(one - other) > 0;
}

/* The low half of the hash chooses the bucket, the high half has chosen the slot. */
static __always_inline __u32 bucket_of(__u64 hash, __u32 buckets) {
  return reduce(hash << 32, buckets);
}

/*
 * The cache. One word, `state`, says everything of an entry but whose it is, and changes in one store. The fingerprint
 * beside it is stored XORed with that word, so a reader that sees the one of this flow and the other of another sees a
 * fingerprint that is nobody's, whatever was written in between and in whichever order it sees that: neither a second
 * look at the word nor the order of loads matters. Writers claim an entry (CACHE_BUSY); the loser of a race does not
 * write: the packet goes its way all the same, and the flow's next one asks again.
 */
static __always_inline __u64 cache_fingerprint(__u64 hash, __u32 track_epoch) {
  return hash + track_epoch * CACHE_EPOCH_FACTOR;
}

static __always_inline __u16 cache_seen(__u64 state) {
  return state >> CACHE_SEEN_SHIFT;
}

static __always_inline bool is_cached_backend_there(__u64 state) {
  const struct backend *backend = find_backend(state & (BACKENDS_MAX - 1));

  return backend->flags & BACKEND_PRESENT &&
         (backend->generation & 0xff) == ((state >> CACHE_GENERATION_SHIFT) & 0xff);
}

enum cache_use {
  CACHE_USE_PACKET = 0, /* of the flow, not its first */
  CACHE_USE_NEW_FLOW, /* SYN, QUIC Initial */
  CACHE_USE_ALONE, /* of the flow, and nobody can be asked: what there is serves */
  CACHE_USE_LOOK_UP, /* about the flow: is no sign of life */
  CACHE_USE_LOOK_UP_ALONE,
};

/*
 * Whether the answer to a SYN serves. The client that sends it again is to be heard by those who remember it: no such
 * packet renews what is known here.
 */
static __always_inline bool is_syn_served(__u64 state, __u16 now, __u32 use) {
  if (use == CACHE_USE_NEW_FLOW)
    return flow_age(now, cache_seen(state)) <= SYN_CACHED_TIME;
  return use == CACHE_USE_ALONE || use == CACHE_USE_LOOK_UP_ALONE;
}

/*
 * Backend of a flow of this track epoch; BACKEND_NONE where it must be asked for. `is_last`: nobody looks again, and what
 * is found of no use is counted.
 */
static __always_inline __u32 find_cached(__u64 hash, __u32 track_epoch, __u32 idle_time, __u32 use,
                                         bool is_last) {
  __u32 index = bucket_of(hash, cache_buckets);
  struct cache_bucket *bucket = bpf_map_lookup_elem(&flow_cache, &index);
  __u64 wanted = cache_fingerprint(hash, track_epoch);

  if (!bucket)
    return BACKEND_NONE;
#pragma unroll
  for (int i = 0; i < CACHE_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];

    if ((*(volatile __u64 *)&bucket->fingerprint[i] ^ (state & CACHE_BOUND)) != wanted ||
        !(state & CACHE_VALID))
      continue;
    __u16 now = flow_time();

    if (flow_age(now, cache_seen(state)) > idle_time || !is_cached_backend_there(state)) {
      if (is_last && observer != OBSERVER_EXPLAIN)
        count_event(FLOW_CACHE_STALE);
      continue;
    }
    if (state & CACHE_SYN) {
      if (!is_syn_served(state, now, use)) {
        if (is_last && observer != OBSERVER_EXPLAIN)
          count_event(FLOW_CACHE_SYN);
        continue;
      }
      if (use == CACHE_USE_NEW_FLOW)
        return state & (BACKENDS_MAX - 1);
    }
    /* Who loses this race has lost it to one who saw the flow now, or to another answer. */
    if (cache_seen(state) != now && use < CACHE_USE_LOOK_UP && observer != OBSERVER_EXPLAIN)
      __sync_val_compare_and_swap(&bucket->state[i], state,
                                  (state & ~CACHE_SEEN_MASK) | (__u64)now << CACHE_SEEN_SHIFT);
    return state & (BACKENDS_MAX - 1);
  }
  return BACKEND_NONE;
}

/* An answer, as the cache is to have it. */
struct cache_answer {
  __u64 hash;
  __u32 track_epoch;
  __u32 slot;
  __u16 backend;
  __u16 generation;
  __u16 idle_time;
  __u16 is_syn;
};

/* The place that an answer goes to: its own, or a free one, or that of the flow that was silent for longest. */
static __always_inline __u32 choose_cache_place(const struct cache_bucket *bucket, __u64 wanted, __u16 now) {
  __u32 chosen = 0, chosen_worth = 0;

#pragma unroll
  for (__u32 i = 0; i < CACHE_PLACES; i++) {
    __u64 state = *(volatile __u64 *)&bucket->state[i];
    __u32 worth = 1 + flow_age(now, cache_seen(state));

    if ((*(volatile __u64 *)&bucket->fingerprint[i] ^ (state & CACHE_BOUND)) == wanted && state & CACHE_VALID)
      return i;
    if (!(state & (CACHE_VALID | CACHE_BUSY)))
      worth = 0x10000;
    if (worth > chosen_worth) {
      chosen_worth = worth;
      chosen = i;
    }
  }
  return chosen;
}

__noinline int cache_answer(const struct cache_answer *answer) {
  if (!answer)
    return -1;
  __u32 index = bucket_of(answer->hash, cache_buckets);
  struct cache_bucket *bucket = bpf_map_lookup_elem(&flow_cache, &index);
  __u64 wanted = cache_fingerprint(answer->hash, answer->track_epoch);
  __u16 now = flow_time();

  if (!bucket)
    return -1;
  __u32 place = choose_cache_place(bucket, wanted, now) & (CACHE_PLACES - 1);
  __u64 before = *(volatile __u64 *)&bucket->state[place];
  __u64 after = CACHE_VALID | (answer->is_syn ? CACHE_SYN : 0) | (answer->backend & (BACKENDS_MAX - 1)) |
                (__u64)(answer->generation & 0xff) << CACHE_GENERATION_SHIFT |
                (__u64)(answer->slot & 0xffffff) << CACHE_SLOT_SHIFT | (__u64)now << CACHE_SEEN_SHIFT;
  bool is_own = before & CACHE_VALID &&
                (*(volatile __u64 *)&bucket->fingerprint[place] ^ (before & CACHE_BOUND)) == wanted;

  /* A SYN that was sent again is no news of a flow that is known to be real. */
  if (is_own && (before & CACHE_BOUND) == (after & CACHE_BOUND & ~CACHE_SYN))
    after &= ~CACHE_SYN;
  if (before & CACHE_BUSY || __sync_val_compare_and_swap(&bucket->state[place], before, CACHE_BUSY) != before)
    return -1;
  *(volatile __u64 *)&bucket->fingerprint[place] = wanted ^ (after & CACHE_BOUND);
  __sync_lock_test_and_set(&bucket->state[place], after);
  count_event(FLOW_CACHED);
  if (before & CACHE_VALID && !is_own && flow_age(now, cache_seen(before)) <= answer->idle_time)
    count_event(FLOW_CACHE_FULL);
  return 0;
}

/*
 * The flow table. Everything about one flow is decided under the lock of its bucket: whether it is known, whether there
 * is a place for it, and what is written; so of two CPUs that want to remember it, the second finds what the first one
 * wrote, and adopts it.
 */
enum flow_role {
  FLOW_ROLE_OWNER = 0, /* what is known wins; what is not is inserted */
  FLOW_ROLE_BACKUP, /* what is asked for is written, unless what is known is of a newer chain */
  FLOW_ROLE_TAKE_BACK, /* an owner whose backup has no place: what it decided of a SYN, `entry`, becomes `base` */
  FLOW_ROLE_READER, /* nothing is written */
  FLOW_ROLE_WITNESS, /* the same, but for a sign of life */
};

enum flow_outcome {
  FLOW_OUTCOME_KNOWN = 0,
  FLOW_OUTCOME_REDECIDED, /* it was, but its backend is gone */
  FLOW_OUTCOME_INSERTED,
  FLOW_OUTCOME_OVERWRITTEN, /* by a record */
  FLOW_OUTCOME_FULL, /* no place; nothing was written */
  FLOW_OUTCOME_UNKNOWN, /* to a reader */
  FLOW_OUTCOME_TAKEN_BACK, /* what was decided is now base */
  FLOW_OUTCOME_STALE, /* there is an entry of a newer period: who asks has slept */
};

/* What is asked of the table about one flow, and what it says. */
struct flow_request {
  __u64 fingerprint;
  union {
    struct flow_entry entry; /* what to write where there is none; its backend becomes the one that counts */
    __u64 word[sizeof(struct flow_entry) / sizeof(__u64)];
  };
  __u8 is_new; /* SYN, QUIC Initial */
  __u8 chain_newer_here; /* backup: this mux knows a newer chain than the one the record came by */
  __u8 was_promoted; /* said: nascent became trusted */
  __u8 was_based; /* said: a new flow, and yet base */
  __u16 base; /* where new flows go that may have been answered so before; BACKEND_NONE: as `entry` says */
  __u16 base_generation;
};

/* A program that explains writes nothing, and says what would be. */
static __always_inline bool is_dry(void) {
  return observer == OBSERVER_EXPLAIN;
}

/* The request in hand, not on the stack for its depth; see packet_in_hand. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct flow_request);
} flow_request_in_hand SEC(".maps");

static __always_inline struct flow_request *flow_request_in_hand_here(void) {
  __u32 only = 0;

  return bpf_map_lookup_elem(&flow_request_in_hand, &only);
}

/*
 * Sets of places are masks with the lowest bit of each place's FLOW_STATE_BITS. They are worked on without branches:
 * else the verifier would follow every combination of seven places.
 */
#define FLOW_STATE_MASK ((1 << FLOW_STATE_BITS) - 1)
#define FLOW_PLACES_ALL 0x1555
_Static_assert(FLOW_STATE_BITS == 2 && FLOW_PLACES == 7, "the mask is of seven places of two bits");

static __always_inline __u32 count_bits(__u32 bits) {
  bits -= bits >> 1 & 0x5555;
  bits = (bits & 0x3333) + (bits >> 2 & 0x3333);
  bits = (bits + (bits >> 4)) & 0x0f0f;
  return (bits + (bits >> 8)) & 0x1f;
}

/* The first place of a set that is not empty. */
static __always_inline __u32 first_of(__u32 places) {
  return count_bits((places & -places) - 1) / FLOW_STATE_BITS;
}

static __always_inline __u32 places_of_state(__u32 states, __u8 state) {
  __u32 differing = states ^ state * FLOW_PLACES_ALL;

  return ~(differing | differing >> 1) & FLOW_PLACES_ALL;
}

static __always_inline void set_flow_state(struct locked_flow_bucket *bucket, __u32 place, __u8 state) {
  __u32 shift = place * FLOW_STATE_BITS;

  bucket->states = (bucket->states & ~(FLOW_STATE_MASK << shift)) | state << shift;
  bucket->place[place].entry.state = state;
}

static __always_inline void put_flow(struct locked_flow_bucket *bucket, __u32 place, __u64 fingerprint,
                                     const struct flow_entry *entry, __u8 state) {
  volatile __u64 *to = (__u64 *)&bucket->place[place].entry;
  const __u64 *from = (const __u64 *)entry;

  bucket->place[place].fingerprint = fingerprint;
  for (__u32 i = 0; i < sizeof(*entry) / sizeof(*to); i++)
    to[i] = from[i];
  set_flow_state(bucket, place, state);
}

/* Where a flow stands; FLOW_PLACES: nowhere. */
static __always_inline __u32 find_flow(const struct locked_flow_bucket *bucket, __u64 fingerprint) {
  __u32 states = bucket->states;
  __u32 own = bucket->reserved[0]; /* zero, but the verifier need not know */

#pragma unroll
  for (int i = 0; i < FLOW_PLACES; i++)
    if (states >> (i * FLOW_STATE_BITS) & FLOW_STATE_MASK && bucket->place[i].fingerprint == fingerprint)
      own |= 1 << (i * FLOW_STATE_BITS);
  return own ? first_of(own) : FLOW_PLACES;
}

/* A place for an entry of `state`, FLOW_PLACES: none; `own` is one that it has already, or FLOW_PLACES. */
static __always_inline __u32 find_flow_place(const struct locked_flow_bucket *bucket, __u32 own, __u8 state,
                                             __u16 now) {
  __u32 states = bucket->states & ~(FLOW_STATE_MASK << (own * FLOW_STATE_BITS)), quota = FLOW_PLACES;

  if (state == FLOW_STATE_NASCENT)
    quota = FLOW_NASCENT_PLACES;
  else if (state == FLOW_STATE_UNPROVEN)
    quota = FLOW_UNPROVEN_PLACES;
  __u32 is_free = places_of_state(states, FLOW_STATE_NONE);

  if (!is_free || count_bits(places_of_state(states, state)) >= quota) {
    /* Crowded: now it counts which of them are still alive. */
    __u32 ended = bucket->reserved[0];

#pragma unroll
    for (int i = 0; i < FLOW_PLACES; i++)
      if (is_expired(&bucket->place[i].entry, now))
        ended |= FLOW_STATE_MASK << (i * FLOW_STATE_BITS);
    states &= ~ended;
    is_free = places_of_state(states, FLOW_STATE_NONE);
    if (!is_free || count_bits(places_of_state(states, state)) >= quota)
      return FLOW_PLACES;
  }
  return own < FLOW_PLACES ? own : first_of(is_free);
}

/*
 * Has the line of a flow's bucket fetched while the tag is checked: 75 of 345 ns of an ask to a table that no cache
 * holds. By a store: unlike a load it does not hold up what comes after it.
 */
static __always_inline void touch_flow(__u64 hash) {
  __u32 index = bucket_of(hash, flow_buckets);
  struct locked_flow_bucket *bucket = bpf_map_lookup_elem(&flow_table, &index);

  if (bucket && observer != OBSERVER_EXPLAIN)
    *(volatile __u16 *)&bucket->touched = 1;
}

/* What is known of a flow answers; what it learns of this packet. */
static __always_inline void refresh_flow(struct locked_flow_bucket *bucket, __u32 own,
                                         struct flow_request *request, enum flow_role role) {
  struct flow_entry *entry = &bucket->place[own].entry;

  request->entry.backend = entry->backend;
  request->entry.generation = entry->generation;
  if (role == FLOW_ROLE_READER || role == FLOW_ROLE_TAKE_BACK || is_dry())
    return;
  entry->seen = request->entry.seen;
  if (role == FLOW_ROLE_WITNESS)
    return;
  entry->idle_time = request->entry.idle_time;
  /* Of a SYN it stays the chain of its decision: take_back() goes by it. */
  if (role == FLOW_ROLE_OWNER && !(request->is_new && entry->state == FLOW_STATE_NASCENT) &&
      is_newer_epoch(request->entry.chain_epoch, entry->chain_epoch))
    entry->chain_epoch = request->entry.chain_epoch;
  if (entry->state == FLOW_STATE_NASCENT && !request->is_new) {
    set_flow_state(bucket, own, FLOW_STATE_TRUSTED);
    request->was_promoted = 1;
  }
}

/* Whether an entry is of a decision that nobody was told, and that its owner may take back. */
static __always_inline bool is_to_take_back(const struct flow_entry *entry,
                                            const struct flow_request *request) {
  return entry->state == FLOW_STATE_NASCENT && entry->backend == request->entry.backend &&
         entry->chain_epoch == request->entry.chain_epoch;
}

static __always_inline void note_refused(struct locked_flow_bucket *bucket, __u16 now) {
  bucket->refused = now ? now : 1;
}

/*
 * Whether a new flow may be one that found no place here a moment ago, and was answered base, which nobody remembers:
 * its client sends again what opens it, or the network brings it twice, and the first answer may still come. Which one
 * it was is not known; all have this bucket. So the owner decides base, and the backup records nothing else.
 */
static __always_inline bool may_be_refused(const struct locked_flow_bucket *bucket,
                                           const struct flow_request *request, __u16 now) {
  return request->is_new && request->base != BACKEND_NONE && request->base != request->entry.backend &&
         bucket->refused && flow_age(now, bucket->refused) <= REFUSED_TIME;
}

/* Under the lock: no calls from here. */
static __always_inline int consult_bucket(struct locked_flow_bucket *bucket, struct flow_request *request,
                                          enum flow_role role) {
  __u16 now = request->entry.seen;
  bool is_reader = role >= FLOW_ROLE_TAKE_BACK, is_ours = false;
  __u32 own = find_flow(bucket, request->fingerprint);
  __u8 state = request->entry.state;

  if (own < FLOW_PLACES) {
    struct flow_entry *entry = &bucket->place[own].entry;
    __s32 newer = entry->track_epoch - request->entry.track_epoch;
    bool is_alive = !is_expired(entry, now);

    if (newer > 0 && is_alive)
      return FLOW_OUTCOME_STALE;
    is_ours = newer == 0 && is_alive;
    if (is_ours) {
      bool is_there = is_backend_there(entry->backend, entry->generation);
      bool wins = role != FLOW_ROLE_BACKUP || request->chain_newer_here ||
                  is_newer_epoch(entry->chain_epoch, request->entry.chain_epoch);
      bool is_same =
          entry->backend == request->entry.backend && entry->generation == request->entry.generation;

      if (role == FLOW_ROLE_TAKE_BACK && is_to_take_back(entry, request)) {
        if (!is_dry()) {
          entry->backend = request->base;
          entry->generation = request->base_generation;
          note_refused(bucket, now);
        }
        return FLOW_OUTCOME_TAKEN_BACK;
      }
      if (is_there && wins) {
        refresh_flow(bucket, own, request, role);
        return FLOW_OUTCOME_KNOWN;
      }
      /* It has its place, and is as real as it was. */
      if (entry->state == FLOW_STATE_TRUSTED ||
          (entry->state == FLOW_STATE_NASCENT && is_same && !request->is_new))
        state = FLOW_STATE_TRUSTED;
      else if (is_same)
        state = entry->state;
    }
  }
  if (is_reader)
    return FLOW_OUTCOME_UNKNOWN;
  bool is_refused = !is_ours && may_be_refused(bucket, request, now);

  if (is_refused && role == FLOW_ROLE_OWNER) {
    is_refused = false;
    request->entry.backend = request->base;
    request->entry.generation = request->base_generation;
    request->was_based = 1;
  }
  if (request->entry.backend == BACKEND_NONE)
    return FLOW_OUTCOME_FULL;
  __u32 place = is_ours ? own : find_flow_place(bucket, own, state, now);

  if (place >= FLOW_PLACES || is_refused) {
    if (request->is_new && !is_dry())
      note_refused(bucket, now);
    return FLOW_OUTCOME_FULL;
  }
  if (!is_dry())
    put_flow(bucket, place, request->fingerprint, &request->entry, state);
  if (!is_ours)
    return FLOW_OUTCOME_INSERTED;
  return role == FLOW_ROLE_OWNER ? FLOW_OUTCOME_REDECIDED : FLOW_OUTCOME_OVERWRITTEN;
}

/* What the table says of a flow, enum flow_outcome. */
static __always_inline int consult_flow_table(struct flow_request *request, enum flow_role role) {
  __u32 index = bucket_of(request->fingerprint, flow_buckets);
  struct locked_flow_bucket *bucket = bpf_map_lookup_elem(&flow_table, &index);

  if (!bucket)
    return FLOW_OUTCOME_FULL;
  bpf_spin_lock(&bucket->lock);
  int outcome = consult_bucket(bucket, request, role);

  bpf_spin_unlock(&bucket->lock);
  return outcome;
}
