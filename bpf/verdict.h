/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns the ways out: every return of a program goes through leave(), which counts the reason and, in a program with an
 * observer, tells it.
 */
#pragma once

#include "clock.h"
#include "maps.h"
#include "parse.h"

/*
 * The packet in hand where it has to be in memory: for functions that are verified by themselves, which rare packets
 * go through. Not on the stack, which would be too deep. Per CPU: nothing interrupts a program to run another one on
 * the same CPU.
 */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct packet);
} packet_in_hand SEC(".maps");

static __always_inline struct packet *packet_in_hand_here(void) {
  __u32 only = 0;

  return bpf_map_lookup_elem(&packet_in_hand, &only);
}

static __always_inline bool address_matches(const volatile struct ip_address *wanted,
                                            const struct ip_address *address) {
  if (!(wanted->word[0] | wanted->word[1] | wanted->word[2] | wanted->word[3]))
    return true;
  return wanted->word[0] == address->word[0] && wanted->word[1] == address->word[1] &&
         wanted->word[2] == address->word[2] && wanted->word[3] == address->word[3];
}

/* Leaves what was decided of a packet; the last one that does has the say. */
static __always_inline void explain_decision(const struct decision *decision) {
  if (observer == OBSERVER_EXPLAIN)
    __builtin_memcpy((void *)&explanation.decision, decision, sizeof(*decision));
}

/* Tells the observer that there is why the packet leaves. */
__noinline int observe(struct xdp_md *ctx, __u32 reason) {
  struct packet *packet = packet_in_hand_here();

  if (observer == OBSERVER_EXPLAIN) {
    explanation.reason = reason;
    return 0;
  }
  if (!packet || !(capture_filter.reasons[reason / 64 % (REASONS_MAX / 64)] >> reason % 64 & 1))
    return 0;
  if (!address_matches(&capture_filter.client, &packet->source) ||
      !address_matches(&capture_filter.address, &packet->destination) ||
      (capture_filter.client_port && capture_filter.client_port != packet->source_port) ||
      (capture_filter.port && capture_filter.port != packet->destination_port) ||
      (capture_filter.protocol && capture_filter.protocol != packet->protocol))
    return 0;

  struct capture_record *record = bpf_ringbuf_reserve(&captures, sizeof(*record), 0);

  if (!record) {
    __sync_fetch_and_add(&captures_lost, 1);
    return 0;
  }
  __u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

  /* A difference of pointers may not become part of a narrower sum. */
  asm volatile("" : "+r"(length));
  __u64 captured = length;

  /* The smaller of both, in the one form that the verifier follows through what the compiler makes of it. */
  asm volatile("if %0 < %1 goto +1\n\t"
               "%0 = %1"
               : "+r"(captured)
               : "i"(CAPTURE_BYTES_MAX));

  record->time_ns = time_is_driven ? clock_record.driven_ns : bpf_ktime_get_ns();
  record->reason = reason;
  record->ifindex = ctx->ingress_ifindex;
  record->length = length;
  record->captured = captured;
  if (captured == 0 || bpf_xdp_load_bytes(ctx, 0, record->bytes, captured))
    record->captured = 0;
  bpf_ringbuf_submit(record, 0);
  return 0;
}

/* The verdict that a reason stands for. FORWARD and QUERY are XDP_TX unless the next hop is behind another interface. */
static __always_inline int verdict_of(__u32 reason) {
  if (reason <= DECAP)
    return XDP_PASS;
  return reason < DROP_TRUNCATED ? XDP_TX : XDP_DROP;
}

/* Of this CPU. NULL only if user space sized the map for fewer CPUs than there are. */
static __always_inline struct counters *counters_here(void) {
  __u32 cpu = bpf_get_smp_processor_id();

  return bpf_map_lookup_elem(&counters, &cpu);
}

static __always_inline void count_reason(__u32 reason) {
  struct counters *here = counters_here();

  if (here)
    here->reasons[MASKED(reason, REASONS_MAX - 1)]++;
}

/* What happened besides the reason to leave. */
static __always_inline void count_event(enum flow_event event) {
  struct counters *here = counters_here();

  if (here)
    here->flow_events[event]++;
}

static __always_inline int leave_as(struct xdp_md *ctx, __u32 reason, int verdict) {
  if (observer != OBSERVER_EXPLAIN)
    count_reason(reason);
  if (observer)
    observe(ctx, reason);
  return verdict;
}

static __always_inline int leave(struct xdp_md *ctx, __u32 reason) {
  return leave_as(ctx, reason, verdict_of(reason));
}
