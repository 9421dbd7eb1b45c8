/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet generator: run on live frames, it writes the next flow's headers into each and sends it out. Frames are
 * used again as they come back, so everything that a mux overwrites (the Ethernet header and what lies before it) is
 * written anew. It takes the time at the first and at the last packet of a run: what the kernel does before and after,
 * waiting for RCU among it, takes some 16 ms and is no packet's cost.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Both MAC addresses as they stand in the header. */
const volatile __u32 macs[3] = {};
const volatile __be32 client_network = 0;
/* Flows, a power of two, minus one. */
const volatile __u32 flow_mask = 0;

/* Read and written by user space through mmap. */
struct state {
  __u64 packets; /* of this run, so far */
  __u64 packets_wanted; /* the last one ends the time */
  __u64 started_ns;
  __u64 ended_ns;
} state SEC(".data.state") = {};

#define TUNNEL_WORDS 12

/* Where frames are not sent back but unwrapped: the tunnel headers, to be written anew as well. */
const volatile bool in_tunnel = false;
const volatile __u32 tunnel[TUNNEL_WORDS] = {};

SEC("xdp")
int generate(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  struct iphdr *ip = (void *)(ethernet + 1);
  struct udphdr *transport = (void *)(ip + 1); /* the ports of TCP stand where those of UDP do */
  __u32 *words = data;

  if ((void *)(transport + 1) > end)
    return XDP_DROP;
  /* An odd multiplier walks all flows in an order without locality. */
  __u32 flow = (__u32)(state.packets * 40503) & flow_mask;

  if (in_tunnel) {
    if ((void *)(words + TUNNEL_WORDS) > end)
      return XDP_DROP;
    for (int i = 0; i < TUNNEL_WORDS; i++)
      words[i] = tunnel[i];
  }
  words[0] = macs[0];
  words[1] = macs[1];
  words[2] = macs[2];
  ethernet->h_proto = bpf_htons(ETH_P_IP);
  ip->saddr = client_network | bpf_htonl(flow & 0xffff);
  transport->source = bpf_htons(1024 + (flow & 0x3fff));
  if (state.packets == 0)
    state.started_ns = bpf_ktime_get_ns();
  state.packets++;
  if (state.packets == state.packets_wanted)
    state.ended_ns = bpf_ktime_get_ns();
  return XDP_TX;
}
