/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a mux is measured against in the lab: a program in the same position that sends every packet of IPv4 back as
 * it is and does nothing else.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("xdp")
int reflect(struct xdp_md *ctx) {
  struct ethhdr *ethernet = (void *)(long)ctx->data;

  if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
    return XDP_PASS;
  return ethernet->h_proto == bpf_htons(ETH_P_IP) ? XDP_TX : XDP_PASS;
}
