/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the keyed hash that turns addresses and ports into an index position and a flow into a slot.
 *
 * The sum of keyed 32 × 32 → 64 bit products is NH (UMAC, RFC 4418 section 5.2), whose collision probability is 2^-32
 * for keys the sender of a packet does not know; one odd multiplication spreads the sum. Words are taken as a
 * little-endian machine loads them from the packet. It is not a pseudo-random function: a client that can see which
 * backend answered learns as much as it would by trying source ports.
 */
#pragma once

#include "config.h"
#include "parse.h"

static __always_inline __u64 nh(__u32 a, __u32 b, __u32 key_a, __u32 key_b) {
  return (__u64)(__u32)(a + key_a) * (__u32)(b + key_b);
}

/* Of a service address, port (network order) and protocol. Port and protocol 0: the address alone. */
static __always_inline __u64 service_digest(const struct ip_address *address, __be16 port, __u8 protocol,
                                            int version) {
  __u32 port_protocol = (__u32)port << 16 | protocol;

  if (version == 4)
    return nh(address->word[3], port_protocol, hash_key.service[0], hash_key.service[1]);
  return nh(address->word[0], address->word[1], hash_key.service[2], hash_key.service[3]) +
         nh(address->word[2], address->word[3], hash_key.service[4], hash_key.service[5]) +
         nh(port_protocol, 0, hash_key.service[6], hash_key.service[7]);
}

/* Of a client address and port (network order). */
static __always_inline __u64 client_digest(const struct ip_address *address, __be16 port, int version) {
  if (version == 4)
    return nh(address->word[3], port, hash_key.client[0], hash_key.client[1]);
  return nh(address->word[0], address->word[1], hash_key.client[2], hash_key.client[3]) +
         nh(address->word[2], address->word[3], hash_key.client[4], hash_key.client[5]) +
         nh(port, 0, hash_key.client[6], hash_key.client[7]);
}

/* Where in the table of services a digest begins to look; the top bits of a product depend on all bits below. */
static __always_inline __u32 service_place(__u64 digest) {
  return (digest * hash_key.multiplier[1]) >> 40;
}

/*
 * The shift breaks the product's linearity: without it the ports of one client would step through the slots at a
 * constant stride, and an unlucky stride is short.
 */
static __always_inline __u64 flow_hash(__u64 service, __u64 client) {
  __u64 sum = service + client;

  return (sum ^ sum >> 32) * hash_key.multiplier[0];
}

/* Uniform in [0, count) from the upper half of a hash (Lemire, "Fast Random Integer Generation in an Interval"). */
static __always_inline __u32 reduce(__u64 hash, __u32 count) {
  return (hash >> 32) * count >> 32;
}
