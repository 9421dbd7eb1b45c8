/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns time: the only place where a program reads a clock, so that the simulation can supply it.
 */
#pragma once

#include "config.h"

volatile struct clock_record clock_record SEC(".data.clock") = {};

/*
 * CLOCK_MONOTONIC to the last jiffy, and nothing here needs better. Of jiffies, which are a load, as soon as user space
 * has told how: the kernel's clock is two calls, and returns from calls are the dearest instructions on a CPU that
 * guards them against speculation.
 */
static __always_inline __u64 now_ns(void) {
  if (time_is_driven)
    return clock_record.driven_ns;
  __u64 jiffy_ns = clock_record.jiffy_ns;

  return __builtin_expect(!!jiffy_ns, 1) ? bpf_jiffies64() * jiffy_ns + clock_record.jiffies_offset_ns
                                         : bpf_ktime_get_coarse_ns();
}

/* What deadlines count in: jiffies, or ticks of driven time. */
static __always_inline __u64 now_jiffies(void) {
  return time_is_driven ? clock_record.driven_ns >> TICK_SHIFT : bpf_jiffies64();
}

/* What flows count in: 16 bits of it, so differences are what counts (4.9 hours). */
static __always_inline __u16 flow_time(void) {
  return now_ns() >> FLOW_TIME_SHIFT;
}
