/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the load-time knobs: constants that user space sets before load, so that the verifier removes what is off.
 * Not here: anything that may change while the program runs (maps.h).
 */
#pragma once

#include "types.h"
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

/* The cluster's secret; every mux must have the same, or they would disagree on slots. */
const volatile struct hash_key hash_key = {};

/* Outer source addresses, by outer IP version. */
const volatile struct tunnel_source tunnel_source4 __attribute__((aligned(8))) = {};
const volatile struct tunnel_source tunnel_source6 __attribute__((aligned(8))) = {};

/* Buckets of the server ID index, minus one; a power of two minus one. */
const volatile __u32 server_id_bucket_mask = 0;

/*
 * Who is told what becomes of packets (enum observer). The code for it is compiled in with it: a program that captures
 * replaces one without while somebody captures, and one that explains is only ever run by itself.
 */
const volatile __u32 observer = OBSERVER_NONE;

/* Time comes from `driven_time_ns` (maps.h) rather than the kernel: for simulation. */
const volatile bool time_is_driven = false;
