/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the way from a flow key to a backend: hash, slot, backend record.
 *
 * A clean slot (base == current, tracked bit clear) needs no state: that is all there is today. A tracked slot will
 * branch off where select_backend() has loaded the slot word: flow.h looks for an entry of the slot's track epoch,
 * ask.h asks the slot's owner.
 */
#pragma once

#include "service.h"

/* The flow key of a packet of `service`, hashed. */
static __always_inline __u64 hash_flow(const struct service *service, __u64 service_digest_exact,
                                       const struct ip_address *client, __be16 client_port, int version) {
  __u64 digest = service_digest_exact;

  if (service->flags & (SERVICE_CLIENT_AFFINITY | SERVICE_NO_SOURCE_PORT)) {
    client_port = 0;
    /* With affinity the key names the service, not the port that an any-port service was reached at. */
    if (service->flags & SERVICE_CLIENT_AFFINITY)
      digest = service_digest(&service->address, service->port, service->protocol, version);
  }
  return flow_hash(digest, client_digest(client, service->client_mask, client_port, version));
}

static __always_inline struct backend *find_backend(__u32 index) {
  return bpf_map_lookup_elem(&backends, &index);
}

/* Backend index of a flow; BACKEND_NONE where the slot is empty. */
static __always_inline __u32 select_backend(const struct service *service, __u64 hash) {
  __u32 index = service->slot_base + reduce(hash, service->slot_count);
  __u64 *slot = bpf_map_lookup_elem(&slots, &index);

  if (!slot)
    return BACKEND_NONE;
  return *(volatile __u64 *)slot & 0xffff;
}
