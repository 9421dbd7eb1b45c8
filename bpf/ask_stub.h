/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stands where ask.h will: nobody is owner or backup yet. */
#pragma once

#include "wire.h"

__noinline int serve_ask(struct xdp_md *ctx, struct packet *packet, struct decision *decision,
                         struct ask *ask) {
  return leave(ctx, packet && decision && ask ? DROP_ASK_EPOCH : DROP_INTERNAL);
}

__noinline int serve_record(struct xdp_md *ctx, struct packet *packet, struct decision *decision,
                            struct ask *ask) {
  return leave(ctx, packet && decision && ask ? DROP_ASK_EPOCH : DROP_INTERNAL);
}

__noinline int take_answer(struct xdp_md *ctx, struct packet *packet, struct decision *decision,
                           struct ask *ask) {
  return leave(ctx, packet && decision && ask ? DROP_ASK_EPOCH : DROP_INTERNAL);
}
