/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the maps that every program has: services, counters, captures. Tables are written through mmap by user space
 * and only read here; counters are written here and only read by user space.
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
__u8 address_filter[ADDRESS_FILTER_BYTES] SEC(".data.address_filter") = {};

/* One element a possible CPU: one look-up serves all counters of a packet, and user space maps them. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct counters);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} captures SEC(".maps");

/* What to capture; written by user space before a capturing program is put in place. */
volatile struct capture_filter capture_filter SEC(".data.capture_filter") = {};

/* Copies that found the ring full. */
volatile __u64 captures_lost SEC(".data.captures_lost") = 0;

/* Of the last packet, left by a program that explains; user space clears it before. */
volatile struct explanation explanation SEC(".data.explanation") = {};
