/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns finding the service a packet is for, first by address, port and protocol, then by the address alone; and the flow
 * key that the service says.
 */
#pragma once

#include "hash.h"
#include "maps.h"

/*
 * Whether an address may be a service address: a glance that spares other traffic of the host the look-ups. Not keyed:
 * who sends to other addresses than ours gains nothing.
 */
static __always_inline bool may_be_service(const struct ip_address *address, int version) {
  __u32 word = version == 4 ? address->word[3] : address->word[1] + address->word[2] + address->word[3];

  return address_filter[word * 0x9e3779b1u >> (32 - 12)];
}
_Static_assert(ADDRESS_FILTER_BYTES == 1 << 12, "as may_be_service() shifts");

static __always_inline bool service_is(const struct service *service, const struct ip_address *address,
                                       __be16 port, __u8 protocol, int version, __u8 unwanted) {
  /* Port, protocol and flags as one word. */
  const __u32 flags_shift = 8 * (offsetof(struct service, flags) - offsetof(struct service, port));
  const __u32 wanted = port | protocol << 16 | (__u32)SERVICE_PRESENT << flags_shift;
  const __u32 mask = 0xffffff | (__u32)(SERVICE_PRESENT | unwanted) << flags_shift;
  const __u64 *own = (const __u64 *)&service->address, *theirs = (const __u64 *)address;

  _Static_assert(offsetof(struct service, port) % 4 == 0 &&
                     offsetof(struct service, protocol) == offsetof(struct service, port) + 2 &&
                     offsetof(struct service, flags) == offsetof(struct service, port) + 3,
                 "read as one word");
  if ((*(const __u32 *)&service->port & mask) != wanted)
    return false;
  if (version == 4)
    return own[1] == ((__u64)address->word[3] << 32 | bpf_htonl(0xffff));
  return own[1] == theirs[1] && own[0] == theirs[0];
}

/* The service of `digest` without any `unwanted` flag, and its place in the table; NULL where there is none. */
static __always_inline struct service *find_service_without(__u8 unwanted, __u64 digest,
                                                            const struct ip_address *address, __be16 port,
                                                            __u8 protocol, int version, __u32 *place) {
  __u32 first = service_place(digest);

  for (__u32 i = 0; i < SERVICE_PROBES; i++) {
    __u32 at = (first + i) & (SERVICES_MAX - 1);
    struct service *service = &services[at];

    if (service_is(service, address, port, protocol, version, unwanted)) {
      *place = at;
      return service;
    }
    if (!(service->flags & SERVICE_CONTINUED))
      break;
  }
  return NULL;
}

static __always_inline struct service *find_service(__u64 digest, const struct ip_address *address,
                                                    __be16 port, __u8 protocol, int version, __u32 *place) {
  return find_service_without(0, digest, address, port, protocol, version, place);
}

static __always_inline struct service *find_address(const struct ip_address *address, int version,
                                                    __u32 *index) {
  return find_service(service_digest(address, 0, 0, version), address, 0, 0, version, index);
}

/* The service of a flow by its destination; `digest` is of address, port and protocol. */
static __always_inline struct service *find_flow_service(__u64 digest, const struct packet *flow, int version,
                                                         __u32 *index) {
  struct service *service =
      find_service(digest, &flow->destination, flow->destination_port, flow->protocol, version, index);

  return service ? service : find_address(&flow->destination, version, index);
}

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
