/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The router's ends of the lab's veth pairs. An XDP program there, whatever it does, makes the peer's XDP_TX and
 * XDP_REDIRECT arrive. This one also ends the packet generator's floods: what a mux or the reflector sends back of them
 * is counted and dropped before the router's stack sees it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define GENERATOR_NETWORK bpf_htonl(0xc6130000) /* 198.19.0.0/16 */
#define GENERATOR_MASK    bpf_htonl(0xffff0000)

const volatile __be16 gue_port = 0;

struct returned {
  __u64 tunnelled; /* the generator's packets in a tunnel: a mux forwarded them */
  __u64 bare; /* as they were sent, or as an answer */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct returned);
} returned SEC(".maps");

static __always_inline int is_generators(const struct iphdr *ip, const void *end) {
  return (const void *)(ip + 1) <= end && ip->version == 4 &&
         ((ip->saddr & GENERATOR_MASK) == GENERATOR_NETWORK ||
          (ip->daddr & GENERATOR_MASK) == GENERATOR_NETWORK);
}

static __always_inline int ends_here(int tunnelled) {
  __u32 only = 0;
  struct returned *count = bpf_map_lookup_elem(&returned, &only);

  if (count && tunnelled)
    count->tunnelled++;
  else if (count)
    count->bare++;
  return XDP_DROP;
}

SEC("xdp")
int port(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  struct udphdr *udp;
  void *inner;
  __u8 protocol;

  if ((void *)(ethernet + 1) > end)
    return XDP_PASS;
  if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
    struct iphdr *ip = (void *)(ethernet + 1);

    if ((void *)(ip + 1) > end || ip->ihl != 5)
      return XDP_PASS;
    if (is_generators(ip, end))
      return ends_here(0);
    protocol = ip->protocol;
    inner = ip + 1;
  } else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr *ip = (void *)(ethernet + 1);

    if ((void *)(ip + 1) > end)
      return XDP_PASS;
    protocol = ip->nexthdr;
    inner = ip + 1;
  } else {
    return XDP_PASS;
  }
  if (protocol == IPPROTO_UDP) {
    udp = inner;
    if ((void *)(udp + 1) > end || udp->dest != gue_port)
      return XDP_PASS;
    inner = udp + 1;
  } else if (protocol != IPPROTO_IPIP) {
    return XDP_PASS;
  }
  return is_generators(inner, end) ? ends_here(1) : XDP_PASS;
}
