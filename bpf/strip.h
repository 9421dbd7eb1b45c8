/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns taking outer headers off a packet that goes to this host: the link header that it came with stays.
 */
#pragma once

#include "parse.h"
#include <bpf/bpf_helpers.h>

/* Takes off what lies between link header and inner packet; `link_bytes` is a constant. */
static __always_inline int strip(struct xdp_md *ctx, __u32 link_bytes, __u32 outer_bytes, __be16 type) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  __be16 link[LINK_BYTES_MAX / 2];

  if (data + link_bytes > end)
    return -1;
  for (__u32 i = 0; i < link_bytes / 2; i++)
    link[i] = ((__be16 *)data)[i];
  if (bpf_xdp_adjust_head(ctx, outer_bytes))
    return -1;
  data = (void *)(long)ctx->data;
  end = (void *)(long)ctx->data_end;
  if (data + link_bytes > end)
    return -1;
  link[link_bytes / 2 - 1] = type;
  for (__u32 i = 0; i < link_bytes / 2; i++)
    ((__be16 *)data)[i] = link[i];
  return 0;
}
