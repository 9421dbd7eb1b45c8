/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns ages in flow time, which goes round (clock.h).
 */
#pragma once

#include "clock.h"

/* Clocks of two CPUs, and of a packet that waited for a lock: what is seen a little later than now is seen now. */
#define FLOW_TIME_SLACK 16

/* An age beyond it is of what was seen a little later than now. */
#define FLOW_AGE_MAX (0xffff - FLOW_TIME_SLACK)

/*
 * What lives longest: 4.5 hours. It leaves sweeps 24 minutes to find what has ended before flow time has gone round and it
 * would look young.
 */
#define FLOW_LIFETIME_MAX 60000

static __always_inline __u16 flow_age(__u16 now, __u16 seen) {
  __u16 age = now - seen;

  return age > FLOW_AGE_MAX ? 0 : age;
}
