/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the maps that only the mux has. Sizes below are defaults: user space sets those of maps before load.
 *
 * Not here yet, and where it goes: flow tables (flow.h), chains and deadlines (ask.h).
 */
#pragma once

#include "maps.h"

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

/* First fragments seen by this mux. Least recently used ones give way, so a flood costs fragments only. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, struct fragment_key);
  __type(value, struct fragment_entry);
} fragments SEC(".maps");
