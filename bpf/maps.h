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

/*
 * Tables of a fixed size are global arrays: an access costs an addition where a look-up costs a call's worth of
 * checks. Each has a section, and so a map, of its own.
 */
struct service services[SERVICES_MAX] SEC(".data.services") = {};
/* Non-zero where a service address may be (service.h: may_be_service()). */
__u8 address_filter[ADDRESS_FILTER_BYTES] SEC(".data.services") = {};
struct backend backends[BACKENDS_MAX] SEC(".data.backends") = {};

/* Slots of all pools, one after the other (struct service: slot_base, slot_count). */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 65537 * 16);
  __type(key, __u32);
  __type(value, __u64);
} slots SEC(".maps");

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

/* One element a possible CPU: one look-up serves all counters of a packet, and user space maps them. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct counters);
} counters SEC(".maps");
