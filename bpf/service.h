/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns finding the service a packet is for: first by address, port and protocol, then by the address alone.
 */
#pragma once

#include "hash.h"
#include "maps.h"

static __always_inline bool service_is(const struct service *service, const struct ip_address *address,
                                       __be16 port, __u8 protocol, int version) {
  if (service->port != port || service->protocol != protocol || service->address.word[3] != address->word[3] ||
      service->address.word[2] != address->word[2])
    return false;
  /* An IPv4-mapped address is never on the wire as IPv6 here, so IPv4 may skip the zero words. */
  return version == 4 ||
         (service->address.word[1] == address->word[1] && service->address.word[0] == address->word[0]);
}

/* The service of `digest`, and its index; NULL where there is none. */
static __always_inline struct service *find_service(__u64 digest, const struct ip_address *address, __be16 port,
                                                    __u8 protocol, int version, __u32 *index) {
  __u64 hash = spread(digest, hash_key.multiplier[1]);
  __u32 position = hash >> 40 & service_bucket_mask;
  struct index_bucket *bucket = bpf_map_lookup_elem(&service_index, &position);

  if (!bucket)
    return NULL;
  /* User space never puts two services with one tag into a bucket, so the first match is the only one. */
  __u32 candidate = SERVICE_NONE;

  for (int i = 0; i < INDEX_BUCKET_WORDS; i++) {
    __u64 word = *(volatile __u64 *)&bucket->word[i];

    if (word >> 16 == hash >> 16) {
      candidate = word & 0xffff;
      break;
    }
    if (!word)
      break;
  }
  if (candidate == SERVICE_NONE)
    return NULL;
  struct service *service = bpf_map_lookup_elem(&services, &candidate);

  if (!service || !service_is(service, address, port, protocol, version))
    return NULL;
  *index = candidate;
  return service;
}

static __always_inline struct service *find_address(const struct ip_address *address, int version,
                                                    __u32 *index) {
  return find_service(service_digest(address, 0, 0, version), address, 0, 0, version, index);
}
