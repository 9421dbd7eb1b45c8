/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns fragments: the first one, which has the ports, decides; later ones follow it. A router may spread the fragments of
 * one packet over several muxes: relay.h brings them to the one that knows the first.
 */
#pragma once

#include "clock.h"
#include "maps.h"
#include "parse.h"

/* First fragments seen here. Least recently used ones give way, so a flood costs fragments only. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, struct fragment_key);
  __type(value, struct fragment_entry);
} fragments SEC(".maps");

/* How long a receiver keeps fragments for reassembly, at least (RFC 791 says 15 s, RFC 8200 60 s; Linux: 30, 60). */
#define FRAGMENT_LIFETIME_NS (60ull * 1000 * 1000 * 1000)

static __always_inline void key_of_fragment(const struct packet *packet, struct fragment_key *key) {
  key->source = packet->source;
  key->destination = packet->destination;
  key->identification = packet->identification;
  key->protocol = packet->version == 4 ? packet->protocol : 0;
}

__noinline int remember_first_fragment(const struct packet *packet, __u32 service, __u32 backend,
                                       __u32 generation) {
  struct fragment_key key;

  if (!packet)
    return -1;
  struct fragment_entry entry = {
      .seen_ns = now_ns(), .service = service, .backend = backend, .generation = generation};

  key_of_fragment(packet, &key);
  return bpf_map_update_elem(&fragments, &key, &entry, BPF_ANY);
}

/* What the first fragment of this packet decided; NULL where it was not seen. */
static __always_inline struct fragment_entry *recall_first_fragment(const struct packet *packet) {
  struct fragment_key key;

  key_of_fragment(packet, &key);
  if (observer == OBSERVER_EXPLAIN) {
    __builtin_memcpy((void *)&explanation.fragment, &key, sizeof(key));
    explanation.fragment_wanted = 1;
  }
  struct fragment_entry *entry = bpf_map_lookup_elem(&fragments, &key);

  if (!entry || now_ns() - entry->seen_ns > FRAGMENT_LIFETIME_NS)
    return NULL;
  return entry;
}
