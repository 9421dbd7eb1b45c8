/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns every map of the mux. Array maps are written through mmap by user space and only read here; counters are
 * written here and only read by user space. Sizes below are defaults: user space sets them before load.
 *
 * Not here yet, and where it goes: flow tables (flow.h), chains and deadlines (ask.h).
 */
#pragma once

#include "types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Service address, port, protocol → service. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct index_bucket);
} service_index SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct service);
} services SEC(".maps");

/* Slots of all pools, one after the other (struct service: slot_base, slot_count). */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 65537 * 16);
  __type(key, __u32);
  __type(value, __u64);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, struct backend);
} backends SEC(".maps");

/* Pool and QUIC server ID → backend. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
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

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, REASON_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} reasons SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct traffic);
} service_traffic SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, struct traffic);
} backend_traffic SEC(".maps");
