/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns time: the only place where a program reads a clock, so that the simulation can supply it.
 */
#pragma once

#include "config.h"

/* Written by the simulation when `time_is_driven`. */
volatile __u64 driven_time_ns SEC(".data.clock") = 0;

/* CLOCK_MONOTONIC to the last tick: a tenth of the cost of the exact clock, and nothing here needs better. */
static __always_inline __u64 now_ns(void) {
  return time_is_driven ? driven_time_ns : bpf_ktime_get_coarse_ns();
}

/* What deadlines count in: jiffies, or ticks of driven time. */
static __always_inline __u64 now_jiffies(void) {
  return time_is_driven ? driven_time_ns >> TICK_SHIFT : bpf_jiffies64();
}

/* What flows count in: 16 bits of it, so differences are what counts (4.9 hours). */
static __always_inline __u16 flow_time(void) {
  return now_ns() >> FLOW_TIME_SHIFT;
}
