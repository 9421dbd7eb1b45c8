/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns reading the headers of packets of any form, to where ports would stand: from the link header on, or behind the
 * in-band header of another node. Not here: whom a packet is for.
 */
#pragma once

#include "service.h"

/* Steps over IPv6 extension headers; REASON_NONE, or a reason to leave. */
__noinline int skip_extensions(struct xdp_md *ctx, struct packet *packet) {
  void *data = (void *)(long)ctx->data;
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};
  __u32 service_at;

  if (!packet)
    return DROP_INTERNAL;
  cursor.position = data + (packet->l4_offset & 0xff);
  switch (parse_ipv6_extensions(&cursor, data, packet)) {
  case PARSE_OK:
    packet->l4_offset = cursor.position - data;
    return REASON_NONE;
  case PARSE_TOO_MANY_EXTENSIONS:
    return find_address(&packet->destination, 6, &service_at) ? DROP_EXTENSION_HEADERS : PASS_NOT_A_SERVICE;
  default:
    return PASS_MALFORMED;
  }
}

/* Ethernet and IP headers of any form; REASON_NONE, or a reason to leave. */
__noinline int parse_rare(struct xdp_md *ctx, struct packet *packet) {
  void *data = (void *)(long)ctx->data;
  struct cursor cursor = {.position = data, .end = (void *)(long)ctx->data_end};
  int result;

  if (!packet)
    return DROP_INTERNAL;
  int type = parse_ethernet(&cursor);

  packet->l3_offset = cursor.position - data;
  if (type == bpf_htons(ETH_P_IP))
    result = parse_ipv4(&cursor, packet);
  else if (type == bpf_htons(ETH_P_IPV6))
    result = parse_ipv6(&cursor, packet);
  else
    return PASS_NOT_IP;
  packet->l4_offset = cursor.position - data;
  return result == PARSE_OK ? REASON_NONE : PASS_MALFORMED;
}

/* The IP packet at `l3_offset`, which is all else in `packet` that is set; 0, or why not. */
__noinline int parse_carried(struct xdp_md *ctx, struct packet *packet) {
  struct cursor cursor = {.end = (void *)(long)ctx->data_end};

  if (!packet)
    return DROP_INTERNAL;
  cursor.position = (void *)(long)ctx->data + (packet->l3_offset & 0xff);
  __u8 *first = cursor.position;

  if ((void *)(first + 1) > cursor.end)
    return DROP_ASK_SIZE;
  if (*first >> 4 == 4 ? parse_ipv4(&cursor, packet) : parse_ipv6(&cursor, packet))
    return DROP_ASK_SERVICE;
  packet->l4_offset = cursor.position - (void *)(long)ctx->data;
  return packet->version == 6 && skip_extensions(ctx, packet) ? DROP_ASK_SERVICE : 0;
}
