/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the maps that only the filter has. Sizes below are defaults: user space sets those of maps before load, and says
 * those of tables by constants, too.
 */
#pragma once

#include "maps.h"
#include "member.h"
#include <stddef.h>

/* 65,536 × 64 bytes: 262,144 clients. 16,384 × 64 bytes. */
#define AFFINITY_BUCKETS_DEFAULT 65536
#define FOREIGN_BUCKETS_DEFAULT  16384

/* Elements of `affinities`, a multiple of sixteen, and of `foreigns`. */
const volatile __u32 affinity_buckets = AFFINITY_BUCKETS_DEFAULT;
const volatile __u32 foreign_buckets = FOREIGN_BUCKETS_DEFAULT;

/* Buckets of all pools, as the mux has its slots; current and base are ids of servers, and the chain is one of holders. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 65537 * 16);
  __type(key, __u32);
  __type(value, __u64);
} slots SEC(".maps");

/*
 * A bit for each slot that is clean and another server's: what rule 0 drops, in a few kilobytes where `slots` is half a
 * megabyte a pool. User space clears a bit before it makes the slot anything else, and sets it after.
 */
__u64 others[OTHERS_WORDS] SEC(".data.others") = {};

/* In the same manner, for each slot that is clean and this server's: whom it knows there, nobody else has. */
__u64 settled[OTHERS_WORDS] SEC(".data.settled") = {};

/*
 * What rule 0 drops at a glance: most of what comes. Elsewhere than the other counters, where an address is all it takes;
 * user space counts it as DROP_NOT_MINE. A cache line a CPU; CPUs beyond share one.
 */
struct dropped dropped[DROPPED_CPUS] SEC(".data.dropped") = {};

/* By the chain index of slots. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, HOLDERS_RECORDS_MAX);
  __type(key, __u32);
  __type(value, struct bucket_holders);
} holders SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, AFFINITY_BUCKETS_DEFAULT);
  __type(key, __u32);
  __type(value, struct affinity_bucket);
} affinities SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, FOREIGN_BUCKETS_DEFAULT);
  __type(key, __u32);
  __type(value, struct foreign_bucket);
} foreigns SEC(".maps");

/* A bit for each slot with a live affinity here whose current server is another one. User space empties it before a sweep. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, (65537 * 16 + 63) / 64);
  __type(key, __u32);
  __type(value, __u64);
} held_slots SEC(".maps");

/*
 * The servers of the cluster by id, reached like backends, save that `gue_port` is the port that they are asked at and
 * `inner_mtu` what fits behind the in-band header. At `self.id`, this server itself: the address that others know it by.
 */
struct backend peers[SERVERS_MAX] SEC(".data.peers") = {};

volatile struct peer_state peer_states[SERVERS_MAX] SEC(".data.peer_states") = {};

volatile struct filter_link filter_link __attribute__((aligned(8))) SEC(".data.filter_link") = {};

/* Stands for the kernel's connections where time is driven: whether there is that of the packet that comes. */
volatile __u32 driven_connection SEC(".data.driven_conn") = DRIVEN_CONNECTION_KERNEL;

/* When a session of a clean bucket last began without a record; 0: never. Of tracked ones: in `holders`. */
volatile __u64 unrecorded_ns SEC(".data.unrecorded") = 0;

volatile struct filter_explanation filter_explanation SEC(".data.filter_expl") = {};

static __always_inline struct backend *find_server(__u32 id) {
  return &peers[id & (SERVERS_MAX - 1)];
}
