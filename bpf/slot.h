/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the way from the hash of a flow key to a backend: slot, backend record.
 *
 * A clean slot (base == current, tracked bit clear) needs no state. Of a tracked one select_backend() has loaded the
 * word, and flow.h and ask.h go on.
 */
#pragma once

#include "mux_maps.h"
#include "service.h"

static __always_inline struct backend *find_backend(__u32 index) {
  return &backends[index & (BACKENDS_MAX - 1)];
}

/* Backend index of a decision's flow; BACKEND_NONE where the slot is empty. */
static __always_inline __u32 select_backend(const struct service *service, struct decision *decision) {
  __u32 index = service->slot_base + reduce(decision->hash, service->slot_count);
  __u64 *slot = bpf_map_lookup_elem(&slots, &index);

  if (!slot)
    return BACKEND_NONE;
  decision->slot = index;
  decision->slot_word = *(volatile __u64 *)slot;
  return decision->slot_word & 0xffff;
}
