/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns what probes tell a node about its peers, and what it pledges to them. Probes come from daemons; the peer's program
 * answers, so a node whose daemon is away is not taken for dead. Not here: the headers that they travel in.
 */
#pragma once

#include "member.h"

/* The answer to a probe of ours. */
struct heartbeat {
  __u32 number;
  __u32 version;
  __u32 incarnation;
  __u32 time;
  __u32 flags; /* enum ask_flag */
};

/*
 * A pledge: no newer version than the prober's is in effect here. User space, before it acknowledges a newer one, puts
 * that into `self`, waits a grace period, and then reads what was pledged: this program stamps after it has read.
 */
static __always_inline bool pledge(volatile struct peer_state *state, const struct backend *peer,
                                   __u32 version) {
  __u32 own = self.version;

  if (own > version || !(peer->flags & BACKEND_PRESENT))
    return false;
  if (observer == OBSERVER_EXPLAIN)
    return true;
  state->pledged_version = own;
  state->pledged_ns = now_ns();
  return true;
}

/*
 * Who asks is there, too: a node whose daemon is gone sends no probes, and has only these to know whom to relay to. Not
 * for one that was replayed.
 */
static __always_inline void hear(volatile struct peer_state *state, __u32 flags) {
  if (observer == OBSERVER_EXPLAIN)
    return;
  state->flags =
      flags & ASK_PAST_DEADLINE ? state->flags | PEER_PAST_DEADLINE : state->flags & ~PEER_PAST_DEADLINE;
  state->heard_ns = now_ns();
}

/* Answers are taken in the order of the probes; one that was heard before says nothing about now. */
static __always_inline __u32 note_heartbeat(volatile struct peer_state *state, const struct heartbeat *said) {
  __u32 flags = state->flags & PEER_PLEDGED;

  if (state->incarnation && (__s32)(said->number - state->echo) <= 0)
    return NOTED_LATE;
  if (observer == OBSERVER_EXPLAIN)
    return NOTED_PROBE;
  state->echo = said->number;
  state->version = said->version;
  state->incarnation = said->incarnation;
  state->time = said->time;
  if (said->flags & ASK_PLEDGE) {
    flags = PEER_PLEDGED;
    state->pledge_echo = said->number;
  } else if (said->version > self.version) {
    flags = 0;
  }
  if (said->flags & ASK_PAST_DEADLINE)
    flags |= PEER_PAST_DEADLINE;
  state->flags = flags;
  state->heard_ns = now_ns();
  return NOTED_PROBE;
}
