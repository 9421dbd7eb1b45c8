/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the way from a flow key to a backend: hash, slot, backend record.
 *
 * A clean slot (base == current, tracked bit clear) needs no state. Of a tracked one select_backend() has loaded the
 * word, and flow.h and ask.h go on.
 */
#pragma once

#include "mux_maps.h"
#include "service.h"

/* Flags that make a flow key differ from the 5-tuple. */
#define SERVICE_KEY_FLAGS (SERVICE_CLIENT_AFFINITY | SERVICE_NO_SOURCE_PORT)

/* The flow key of a packet of `service`, hashed; `digest` is of the packet's destination, port and protocol. */
static __always_inline __u64 hash_flow(const struct service *service, __u64 digest,
                                       const struct packet *packet, int version) {
  struct ip_address client = packet->source;

  if (!(service->flags & SERVICE_KEY_FLAGS))
    return flow_hash(digest, client_digest(&client, packet->source_port, version));
  if (service->flags & SERVICE_CLIENT_AFFINITY) {
    for (int i = 0; i < 4; i++)
      client.word[i] &= service->client_mask[i];
    /* The key names the service, not the port that an any-port service was reached at. */
    digest = service_digest(&service->address, service->port, service->protocol, version);
  }
  return flow_hash(digest, client_digest(&client, 0, version));
}

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
