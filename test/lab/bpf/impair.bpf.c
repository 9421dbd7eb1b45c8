/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Impairs one link of the lab: loses packets, delays them, lets some be overtaken, sends some twice. `impair_from`
 * stands at the router's port and sees what the node sends; `impair_to` sees what the router sends, which is led past
 * it (impairment.ts). What is to wait is copied into a slot; `release`, run on live frames by user space (pump.ts),
 * makes a frame of a slot whose time has come.
 *
 * A packet's fate is drawn from the seed and the packet's number alone, so that it can be repeated.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SLOTS       4096 /* packets under way at once, both directions together; a power of two */
#define SLOT_BYTES  2040
#define RELEASE_MAX 1024 /* slots that one run may release */

#define SLOT_FREE   0
#define SLOT_FILLED 1 /* being filled */

/* The router's end of the link. */
const volatile __u32 port_ifindex = 0;

/* All words, for user space to read and write through mmap. Chances are in 2^32nds. */
struct direction {
  __u64 seed;
  __u64 loss;
  __u64 duplicate;
  __u64 reorder;
  __u64 delay_ns;
  __u64 jitter_ns; /* at most more or less than the delay, evenly spread */
  __u64 reorder_ns; /* what a packet to be overtaken waits beyond that */
  __u64 packets;
  __u64 lost;
  __u64 duplicated;
  __u64 reordered;
  __u64 delayed; /* went into a slot, copies not counted */
  __u64 overflowed; /* lost for want of a slot */
};

enum { FROM_NODE = 0, TO_NODE = 1, DIRECTIONS };

struct direction directions[DIRECTIONS] SEC(".data.directions") = {};

/* When the packet of a slot is to leave, or SLOT_FREE, SLOT_FILLED. Apart from the slots, to be searched at once. */
__u64 due_ns[SLOTS] SEC(".data.due") = {};

struct slot {
  __u32 length;
  __u32 direction;
  __u8 bytes[SLOT_BYTES];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SLOTS);
  __type(key, __u32);
  __type(value, struct slot);
} slots SEC(".maps");

/* Slots that were ever taken: the next one is the rest by SLOTS. */
__u64 taken = 0;

/* What a run is to release, in this order; written by user space before the run. */
struct releases {
  __u64 count;
  __u64 next;
  __u64 slots[RELEASE_MAX];
} releases SEC(".data.releases") = {};

enum draw { DRAW_LOSS, DRAW_DUPLICATE, DRAW_REORDER, DRAW_JITTER, DRAW_COPY_JITTER, DRAWS };

/* SplitMix64 by its index: evenly spread, and nothing to remember between packets. */
static __always_inline __u32 random32(__u64 seed, __u64 packet, enum draw draw) {
  __u64 mixed = seed + (packet * DRAWS + draw + 1) * 0x9e3779b97f4a7c15ull;

  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
  return (mixed ^ mixed >> 31) >> 32;
}

static __always_inline bool happens(__u64 seed, __u64 packet, enum draw draw, __u64 chance) {
  return random32(seed, packet, draw) < chance;
}

static __always_inline __s64 wait_ns(const struct direction *direction, __u64 packet, enum draw draw) {
  __u64 width = 2 * direction->jitter_ns;

  return (__s64)(direction->delay_ns - direction->jitter_ns +
                 (random32(direction->seed, packet, draw) * width >> 32));
}

/* The mask is for the verifier, who forgets what it knew of a key that a helper was given. */
static __always_inline __u64 *due_of(__u32 slot) {
  return &due_ns[slot & (SLOTS - 1)];
}

/* Copies the packet into a slot, to leave then. */
static __noinline int hold(struct xdp_md *ctx, __u32 which, __u64 leaves_ns) {
  __u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
  __u32 at = __sync_fetch_and_add(&taken, 1) & (SLOTS - 1);
  struct slot *slot = bpf_map_lookup_elem(&slots, &at);

  if (!slot || __sync_val_compare_and_swap(due_of(at), SLOT_FREE, SLOT_FILLED) != SLOT_FREE)
    return -1;
  asm volatile("" : "+r"(length)); /* a difference of pointers may not be folded into other sums */
  if (length < ETH_HLEN || length > SLOT_BYTES || bpf_xdp_load_bytes(ctx, 0, slot->bytes, length)) {
    __sync_lock_test_and_set(due_of(at), SLOT_FREE);
    return -1;
  }
  slot->length = length;
  slot->direction = which;
  __sync_lock_test_and_set(due_of(at), leaves_ns);
  return 0;
}

static __always_inline int impair(struct xdp_md *ctx, __u32 which, int pass) {
  struct direction *direction = &directions[which];
  __u64 packet = __sync_fetch_and_add(&direction->packets, 1);
  __u64 seed = direction->seed, now_ns = bpf_ktime_get_ns();

  if (happens(seed, packet, DRAW_LOSS, direction->loss)) {
    __sync_fetch_and_add(&direction->lost, 1);
    return XDP_DROP;
  }
  if (happens(seed, packet, DRAW_DUPLICATE, direction->duplicate)) {
    __s64 wait = wait_ns(direction, packet, DRAW_COPY_JITTER);

    if (hold(ctx, which, wait > 0 ? now_ns + wait : now_ns) == 0)
      __sync_fetch_and_add(&direction->duplicated, 1);
  }
  __s64 wait = wait_ns(direction, packet, DRAW_JITTER);

  if (happens(seed, packet, DRAW_REORDER, direction->reorder)) {
    __sync_fetch_and_add(&direction->reordered, 1);
    wait = (wait > 0 ? wait : 0) + direction->reorder_ns;
  }
  if (wait <= 0)
    return pass;
  if (hold(ctx, which, now_ns + wait))
    __sync_fetch_and_add(&direction->overflowed, 1);
  else
    __sync_fetch_and_add(&direction->delayed, 1);
  return XDP_DROP;
}

SEC("xdp")
int impair_from(struct xdp_md *ctx) {
  return impair(ctx, FROM_NODE, XDP_PASS);
}

SEC("xdp")
int impair_to(struct xdp_md *ctx) {
  return impair(ctx, TO_NODE, bpf_redirect(port_ifindex, 0));
}

/* Makes the frame the packet of the next slot: into the router's stack, or out of its port. */
SEC("xdp")
int release(struct xdp_md *ctx) {
  __u64 size = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
  __u64 place = releases.next;

  if (place >= releases.count || place >= RELEASE_MAX)
    return XDP_DROP;
  releases.next = place + 1;
  __u32 at = releases.slots[place] & (SLOTS - 1);
  struct slot *slot = bpf_map_lookup_elem(&slots, &at);

  if (!slot)
    return XDP_DROP;
  __u64 length = slot->length;
  __u32 which = slot->direction;
  int failure = length < ETH_HLEN || length > SLOT_BYTES || bpf_xdp_adjust_tail(ctx, (int)(length - size)) ||
                bpf_xdp_store_bytes(ctx, 0, slot->bytes, length);

  __sync_lock_test_and_set(due_of(at), SLOT_FREE);
  if (failure)
    return XDP_ABORTED;
  return which == TO_NODE ? bpf_redirect(port_ifindex, 0) : XDP_PASS;
}
