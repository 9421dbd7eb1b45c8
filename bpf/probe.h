/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns heartbeats and pledges between muxes: probes, which daemons send and the peer's program turns round.
 */
#pragma once

#include "wire.h"

__noinline int take_message(struct xdp_md *ctx, const struct packet *outer, struct ask *ask) {
  if (!outer || !ask)
    return leave(ctx, DROP_INTERNAL);
  return leave(ctx, DROP_ASK_FORMAT);
}
