/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the load-time knobs: constants that user space sets before load, so that the verifier removes what is off.
 * Not here: anything that may change while the program runs (maps.h).
 */
#pragma once

#include "types.h"
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ASK_PORT_DEFAULT 7445

/* 16,384 × 256 bytes and 32,768 × 64 bytes. */
#define FLOW_BUCKETS_DEFAULT  16384
#define CACHE_BUCKETS_DEFAULT 32768

/* The cluster's secret; every mux must have the same, or they would disagree on slots. */
const volatile struct hash_key hash_key = {};

/* Outer source addresses, by outer IP version. */
const volatile struct tunnel_source tunnel_source4 __attribute__((aligned(8))) = {};
const volatile struct tunnel_source tunnel_source6 __attribute__((aligned(8))) = {};

/* Buckets of the server ID index, minus one; a power of two minus one. */
const volatile __u32 server_id_bucket_mask = 0;

/* UDP port of asks, probes and flows between muxes. */
const volatile __be16 ask_port = bpf_htons(ASK_PORT_DEFAULT);

/* Elements of `flow_table` and `flow_cache`. */
const volatile __u32 flow_buckets = FLOW_BUCKETS_DEFAULT;
const volatile __u32 cache_buckets = CACHE_BUCKETS_DEFAULT;

/*
 * Who is told what becomes of packets (enum observer). The code for it is compiled in with it: a program that captures
 * replaces one without while somebody captures, and one that explains is only ever run by itself.
 */
const volatile __u32 observer = OBSERVER_NONE;

/* Time comes from `clock_record.driven_ns` (clock.h) rather than the kernel: for simulation. */
const volatile bool time_is_driven = false;
