/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) of 64-bit words. The state behind a common beginning may be kept, and continued more than once. Also compiled for the host, to
 * be held against the reference vectors.
 */
#pragma once

#include <linux/types.h>

struct siphash {
  __u64 v[4];
};

#define ROTATE_LEFT(word, bits) ((word) << (bits) | (word) >> (64 - (bits)))

static __always_inline void siphash_round(struct siphash *state) {
  __u64 v0 = state->v[0], v1 = state->v[1], v2 = state->v[2], v3 = state->v[3];

  v0 += v1;
  v1 = ROTATE_LEFT(v1, 13) ^ v0;
  v0 = ROTATE_LEFT(v0, 32);
  v2 += v3;
  v3 = ROTATE_LEFT(v3, 16) ^ v2;
  v0 += v3;
  v3 = ROTATE_LEFT(v3, 21) ^ v0;
  v2 += v1;
  v1 = ROTATE_LEFT(v1, 17) ^ v2;
  v2 = ROTATE_LEFT(v2, 32);
  *state = (struct siphash){{v0, v1, v2, v3}};
}

static __always_inline struct siphash siphash_begin(const __u64 key[2]) {
  return (struct siphash){{0x736f6d6570736575ull ^ key[0], 0x646f72616e646f6dull ^ key[1],
                           0x6c7967656e657261ull ^ key[0], 0x7465646279746573ull ^ key[1]}};
}

static __always_inline void siphash_add(struct siphash *state, __u64 word) {
  state->v[3] ^= word;
  siphash_round(state);
  siphash_round(state);
  state->v[0] ^= word;
}

/* The last word has the message's last bytes, fewer than eight, and its length (modulo 256) as its most significant byte. */
static __always_inline __u64 siphash_last(struct siphash state, __u64 word) {
  siphash_add(&state, word);
  state.v[2] ^= 0xff;
  for (int i = 0; i < 4; i++)
    siphash_round(&state);
  return state.v[0] ^ state.v[1] ^ state.v[2] ^ state.v[3];
}

/* `bytes`: of a message of whole words. */
static __always_inline __u64 siphash_end(struct siphash state, __u64 bytes) {
  return siphash_last(state, bytes << 56);
}
