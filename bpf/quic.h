/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns routing by QUIC connection ID: the version-invariant header (RFC 8999) and the plaintext algorithm of
 * draft-ietf-quic-load-balancers-21: first octet = config rotation (3 bits) and length or random bits (5 bits), then
 * the server ID, then a nonce of at least four octets. What does not decode falls back to the flow's hash.
 */
#pragma once

#include "mux_maps.h"
#include "parse.h"
#include "hash.h"

#define QUIC_LONG_HEADER       0x80
#define QUIC_FIXED_BIT         0x40
#define QUIC_PACKET_TYPE_MASK  0x30
#define QUIC_V1                0x00000001
#define QUIC_V2                0x6b3343cf /* RFC 9369 */
#define QUIC_V1_INITIAL        0x00
#define QUIC_V2_INITIAL        0x10
#define QUIC_NONCE_BYTES_MIN   4
#define QUIC_SERVER_ID_MAX     4
#define QUIC_ROTATION_SHIFT    5
#define QUIC_LONG_DCID_OFFSET  6
#define QUIC_SHORT_DCID_OFFSET 1

struct quic_route {
  __u32 backend; /* BACKEND_NONE: by the flow's hash */
  __u32 is_initial;
};

/* Position of (pool, server ID) in the index; the tag is the pair itself, so a match is exact. */
static __always_inline __u32 find_server_id(__u32 pool, __u32 server_id) {
  __u64 tag = (__u64)(pool & 0xffff) << 32 | server_id;
  __u32 position = service_place(tag) & server_id_bucket_mask;
  struct index_bucket *bucket = bpf_map_lookup_elem(&server_id_index, &position);

  if (!bucket)
    return BACKEND_NONE;
  for (int i = 0; i < INDEX_BUCKET_WORDS; i++) {
    __u64 word = *(volatile __u64 *)&bucket->word[i];

    if (!word)
      break;
    if (word >> 16 == tag)
      return word & 0xffff;
  }
  return BACKEND_NONE;
}

__noinline int route_quic(struct xdp_md *ctx, __u32 l4_offset, const struct service *service,
                          struct quic_route *route) {
  void *end = (void *)(long)ctx->data_end;
  __u8 *quic = (void *)(long)ctx->data + (l4_offset & 0x7fff) + sizeof(struct udphdr);
  __u32 dcid_offset = QUIC_SHORT_DCID_OFFSET;

  if (!service || !route)
    return -1;
  /* First octet, config rotation octet, server ID and nonce of the shorter form. */
  if ((void *)quic + 1 > end)
    return 0;
  if (quic[0] & QUIC_LONG_HEADER) {
    if ((void *)quic + QUIC_LONG_DCID_OFFSET > end)
      return 0;
    __u32 version = (__u32)quic[1] << 24 | quic[2] << 16 | quic[3] << 8 | quic[4];
    __u32 type = quic[0] & QUIC_PACKET_TYPE_MASK;

    route->is_initial =
        (version == QUIC_V1 && type == QUIC_V1_INITIAL) || (version == QUIC_V2 && type == QUIC_V2_INITIAL);
    if (quic[5] < 1 + service->quic_server_id_bytes + QUIC_NONCE_BYTES_MIN)
      return 0;
    dcid_offset = QUIC_LONG_DCID_OFFSET;
  }
  __u8 *dcid = quic + dcid_offset;

  if ((void *)dcid + 1 + QUIC_SERVER_ID_MAX + QUIC_NONCE_BYTES_MIN > end)
    return 0;
  if (dcid[0] >> QUIC_ROTATION_SHIFT != service->quic_config_rotation)
    return 0;
  __u32 server_id = (__u32)dcid[1] << 24 | dcid[2] << 16 | dcid[3] << 8 | dcid[4];

  server_id >>= (32 - 8 * service->quic_server_id_bytes) & 31;
  route->backend = find_server_id(service->pool, server_id);
  return 0;
}
