/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the maps that only the mux has. Sizes below are defaults: user space sets those of maps before load.
 */
#pragma once

#include "config.h"
#include "maps.h"
#include "member.h"
#include <stddef.h>

struct backend backends[BACKENDS_MAX] SEC(".data.backends") = {};

/* Slots of all pools, one after the other (struct service: slot_base, slot_count). */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 65537 * 16);
  __type(key, __u32);
  __type(value, __u64);
} slots SEC(".maps");

/* Pool and QUIC server ID → backend. A bucket for each backend: of eight words, hardly ever is one full. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, BACKENDS_MAX);
  __type(key, __u32);
  __type(value, struct index_bucket);
} server_id_index SEC(".maps");

/*
 * The other muxes by id, reached like backends, save that `gue_port` is the port that they are asked at and `inner_mtu`
 * what fits behind the in-band header. At `self.id`, this mux itself: the address that others reach it at. One that was
 * removed stays as PEER_GONE until its id is another's: the router may send it packets a while longer.
 */
struct backend peers[MUXES_MAX] SEC(".data.peers") = {};

volatile struct peer_state peer_states[MUXES_MAX] SEC(".data.peer_states") = {};

struct copies_taken copies_taken[MUXES_MAX] SEC(".data.copies_taken") = {};

/* By the chain index of slots. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, CHAINS_MAX);
  __type(key, __u32);
  __type(value, struct chain);
} chains SEC(".maps");

/* What this mux was answered (flow.h). */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, CACHE_BUCKETS_DEFAULT);
  __type(key, __u32);
  __type(value, struct cache_bucket);
} flow_cache SEC(".maps");

/* struct flow_bucket, as the verifier wants it: it looks for the lock by its type. */
struct locked_flow_bucket {
  struct bpf_spin_lock lock;
  __u16 states;
  __u16 touched;
  __u16 refused;
  __u8 reserved[22];
  struct flow_message_entry place[FLOW_PLACES];
};
_Static_assert(sizeof(struct locked_flow_bucket) == sizeof(struct flow_bucket) &&
                   offsetof(struct locked_flow_bucket, place) == offsetof(struct flow_bucket, place),
               "the same bytes");

/*
 * What this mux decided or recorded as owner or backup (flow.h). The lock forbids mmap; the flag only has buckets begin
 * where cache lines do.
 */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, FLOW_BUCKETS_DEFAULT);
  __type(key, __u32);
  __type(value, struct locked_flow_bucket);
} flow_table SEC(".maps");

/* By pool id: messages of flows name slots of a pool. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, POOL_IDS);
  __type(key, __u32);
  __type(value, struct pool_slots);
} pools SEC(".maps");

/* What a census finds (flow_tasks.h): by chain, and a bit for each slot with an entry that is not of its current backend. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, CHAINS_MAX);
  __type(key, __u32);
  __type(value, struct chain_flows);
} chain_flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, (65537 * 16 + 63) / 64);
  __type(key, __u32);
  __type(value, __u64);
} held_slots SEC(".maps");

/* A bit for each slot whose flows are copied ahead, to the peer of the moment. User space writes it. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, (65537 * 16 + 63) / 64);
  __type(key, __u32);
  __type(value, __u64);
} ahead_slots SEC(".maps");
