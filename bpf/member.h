/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns who this node is among the members of its cluster, and how far: written by user space.
 */
#pragma once

#include "clock.h"
#include "types.h"
#include <stdbool.h>

/* Alone and without a deadline, until user space says otherwise. */
volatile struct mux_self self SEC(".data.self") = {.deadline = ~0ull};

struct ask_key ask_keys[ASK_KEYS_MAX] SEC(".data.ask_keys") = {};

static __always_inline __u32 cluster_time(void) {
  return (__u32)(now_ns() >> TICK_SHIFT) + self.time_offset;
}

static __always_inline bool past_deadline(void) {
  return self.deadline < now_jiffies();
}
