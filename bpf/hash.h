/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the keyed hash that turns addresses and ports into an index position and a flow into a slot.
 *
 * The sum of 32-bit words by 64-bit keys is multilinear hashing (Carter and Wegman; Lemire and Kaser, "Strongly universal
 * string hashing is fast", 2014): for keys that the sender of a packet does not know, the upper halves of the digests of
 * two different inputs are independent. Words are taken as a little-endian machine loads them from the packet. It is
 * not a pseudo-random function: a client that sees which backend answered learns what it could by trying source ports.
 */
#pragma once

#include "config.h"
#include "parse.h"

static __always_inline __u64 address_digest(const struct ip_address *address, const volatile __u64 *key,
                                            int version) {
  __u64 last = address->word[3] * key[3];

  if (version == 4) /* the other words of a mapped address are the same for all */
    return last;
  return address->word[0] * key[0] + address->word[1] * key[1] + address->word[2] * key[2] + last;
}

/* Of a service address, port (network order) and protocol. Port and protocol 0: the address alone. */
static __always_inline __u64 service_digest(const struct ip_address *address, __be16 port, __u8 protocol,
                                            int version) {
  return address_digest(address, hash_key.service, version) +
         (__u64)(port << 8 | protocol) * hash_key.service_port;
}

/* Of a client address and port (network order). */
static __always_inline __u64 client_digest(const struct ip_address *address, __be16 port, int version) {
  return address_digest(address, hash_key.client, version) + (__u64)port * hash_key.client_port;
}

/* Where in the table of services a digest begins to look; the top bits of a product depend on all bits below. */
static __always_inline __u32 service_place(__u64 digest) {
  return (digest * hash_key.place) >> 40;
}

/*
 * The shift breaks the product's linearity: without it the ports of one client would step through the slots at a
 * constant stride, and an unlucky stride is short.
 */
static __always_inline __u64 flow_hash(__u64 service, __u64 client) {
  __u64 sum = service + client;

  return (sum ^ sum >> 32) * hash_key.flow;
}

/* Uniform in [0, count) from the upper half of a hash (Lemire, "Fast Random Integer Generation in an Interval"). */
static __always_inline __u32 reduce(__u64 hash, __u32 count) {
  return (hash >> 32) * count >> 32;
}
