/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The far end of the veth benchmark's way: counts what comes back, keeps a sample of it and drops it. It reads no
 * header, so that all it receives costs the same.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SAMPLES      64
#define SAMPLE_BYTES 128
#define SAMPLE_EVERY 8192 /* packets */

/* Read and written by the benchmark through mmap. One CPU at a time runs this. */
struct arrived {
  __u64 packets;
  __u64 bytes;
} arrived SEC(".data.arrived") = {};

struct sample {
  __u32 length;
  __u32 words[SAMPLE_BYTES / 4];
} samples[SAMPLES] SEC(".data.samples") = {};

static __noinline int keep(struct xdp_md *ctx, __u64 packets) {
  struct sample *sample = &samples[packets / SAMPLE_EVERY % SAMPLES];
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

  sample->length = end - data;
  for (int i = 0; i < SAMPLE_BYTES / 4; i++) {
    __u32 *word = data + 4 * i;

    if ((void *)(word + 1) > end)
      break;
    sample->words[i] = *word;
  }
  return 0;
}

SEC("xdp")
int sink(struct xdp_md *ctx) {
  __u64 bytes = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

  asm volatile("" : "+r"(bytes)); /* a difference of pointers may not be folded into other sums */
  if (arrived.packets % SAMPLE_EVERY == 0)
    keep(ctx, arrived.packets);
  arrived.packets++;
  arrived.bytes += bytes;
  return XDP_DROP;
}
