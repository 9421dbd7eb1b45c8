/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The measuring side of the XDP benchmark. `restore` undoes what the program under test did to the packet, writes the
 * next flow into it and tail-calls the program, so that each repeat of a test run measures the unmodified program on a
 * fresh packet. `bare` and `floor_ipip` are what others are measured against. Time is taken inside, from the first repeat
 * to the last: a test run's own set-up and its rounding to whole nanoseconds stay out.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TEMPLATE_BYTES 80
#define OUTER_TTL      64

/* The packet's head; what lies beyond is payload, which nothing changes. */
const volatile __u64 packet_template[TEMPLATE_BYTES / 8] = {};
const volatile __u32 frame_bytes = 64;
/* Where the fields that vary lie in the frame; 32 and 16 bits. */
const volatile __u32 client_address_offset = 26;
const volatile __u32 client_port_offset = 34;
/* How many bits of a flow's number go to its port alone; the rest varies the address. */
const volatile __u32 client_address_shift = 8;
/* Flows, a power of two, minus one. */
const volatile __u32 flow_mask = 0;
const volatile __u64 repeats = 1;

/* Read and written by the benchmark through mmap. */
struct state {
  __u64 repeat;
  __u64 started_ns;
  __u64 ended_ns;
  __u64 unrestored;
} state SEC(".data.state") = {};

/*
 * For frames that come from another mux: as `packet_template`, with a signed header in front of the client's packet. What
 * differs from flow to flow besides the client is made beforehand.
 */
#define ASK_TEMPLATE_BYTES 160
#define ASK_TAG_OFFSET     (14 + 20 + 8 + 48)
#define ASK_SLOT_OFFSET    (14 + 20 + 8 + 8)
#define ASK_FLOWS_MAX      65536

const volatile __u64 ask_template[ASK_TEMPLATE_BYTES / 8] = {};

__u32 ask_slots[ASK_FLOWS_MAX] SEC(".data.ask_slots") = {};
__u64 ask_tags[ASK_FLOWS_MAX] SEC(".data.ask_tags") = {};
__be16 ask_ports[ASK_FLOWS_MAX] SEC(".data.ask_ports") = {};

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} under_test SEC(".maps");

/* Time and the program under test, from here on. */
static __always_inline int run_test(struct xdp_md *ctx) {
  if (state.repeat == 0)
    state.started_ns = bpf_ktime_get_ns();
  if (state.repeat == repeats)
    state.ended_ns = bpf_ktime_get_ns();
  state.repeat++;
  bpf_tail_call(ctx, &under_test, 0);
  state.unrestored++;
  return XDP_ABORTED;
}

SEC("xdp")
int restore(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  long length = end - data;

  asm volatile("" : "+r"(length)); /* a difference of pointers may not be folded into other sums */
  if (bpf_xdp_adjust_head(ctx, length - frame_bytes))
    state.unrestored++;
  data = (void *)(long)ctx->data;
  end = (void *)(long)ctx->data_end;

  if (data + TEMPLATE_BYTES > end) {
    state.unrestored++;
    return XDP_ABORTED;
  }
#pragma unroll
  for (int i = 0; i < TEMPLATE_BYTES / 8; i++)
    ((__u64 *)data)[i] = packet_template[i];

  /* An odd multiplier walks all flows in an order without locality. */
  __u32 flow = (__u32)(state.repeat * 40503) & flow_mask;

  if (client_address_offset <= TEMPLATE_BYTES - 4 && client_port_offset <= TEMPLATE_BYTES - 2) {
    *(__be32 *)(data + client_address_offset) += bpf_htonl(flow >> (client_address_shift & 31));
    *(__be16 *)(data + client_port_offset) = bpf_htons(1024 + (flow & 0xff) * 251);
  }
  return run_test(ctx);
}

SEC("xdp")
int restore_ask(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  long length = end - data;

  asm volatile("" : "+r"(length));
  if (bpf_xdp_adjust_head(ctx, length - frame_bytes))
    state.unrestored++;
  data = (void *)(long)ctx->data;
  end = (void *)(long)ctx->data_end;
  if (data + ASK_TEMPLATE_BYTES > end) {
    state.unrestored++;
    return XDP_ABORTED;
  }
#pragma unroll
  for (int i = 0; i < ASK_TEMPLATE_BYTES / 8; i++)
    ((__u64 *)data)[i] = ask_template[i];

  /* Tags and ports of neighbours in time lie side by side: reading them is not what is measured. */
  __u32 flow = (__u32)(state.repeat * 40503) & flow_mask, at = state.repeat & flow_mask & (ASK_FLOWS_MAX - 1);

  if (client_address_offset <= ASK_TEMPLATE_BYTES - 4 && client_port_offset <= ASK_TEMPLATE_BYTES - 2) {
    *(__be32 *)(data + client_address_offset) += bpf_htonl(flow >> 8);
    *(__be16 *)(data + client_port_offset) = bpf_htons(1024 + (flow & 0xff) * 251);
  }
  *(__be16 *)(data + 14 + 20) = ask_ports[at];
  *(__u32 *)(data + ASK_SLOT_OFFSET) = ask_slots[at];
  __builtin_memcpy(data + ASK_TAG_OFFSET, &ask_tags[at], sizeof(__u64));
  return run_test(ctx);
}

SEC("xdp")
int bare(struct xdp_md *ctx) {
  return XDP_TX;
}

/* What any encapsulating balancer pays: parse to the ports, room for 20 bytes, a constant outer header, TX; no map. */
SEC("xdp")
int floor_ipip(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  struct iphdr *ip = (void *)(ethernet + 1);

  if ((void *)(ip + 1) > end)
    return XDP_PASS;
  __u32 inner_bytes, ports;
  __u8 protocol;
  void *transport;

  if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
    transport = (void *)ip + ip->ihl * 4;
    protocol = ip->protocol;
    inner_bytes = bpf_ntohs(ip->tot_len);
  } else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr *ip6 = (void *)ip;

    if ((void *)(ip6 + 1) > end)
      return XDP_PASS;
    transport = ip6 + 1;
    protocol = ip6->nexthdr;
    inner_bytes = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
  } else {
    return XDP_PASS;
  }
  if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) || transport + 4 > end)
    return XDP_PASS;
  ports = *(__u32 *)transport;
  if (!ports)
    return XDP_PASS;
  if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
    return XDP_DROP;
  data = (void *)(long)ctx->data;
  end = (void *)(long)ctx->data_end;
  ethernet = data;
  ip = (void *)(ethernet + 1);
  if ((void *)(ip + 1) > end)
    return XDP_DROP;
  __builtin_memcpy(ethernet->h_dest, (__u8[]){2, 0, 0, 0, 0, 1}, ETH_ALEN);
  __builtin_memcpy(ethernet->h_source, (__u8[]){2, 0, 0, 0, 0, 2}, ETH_ALEN);
  ethernet->h_proto = bpf_htons(ETH_P_IP);
  __u32 *word = (__u32 *)ip;

  word[0] = bpf_htonl(0x45000000 | (inner_bytes + sizeof(*ip)));
  word[1] = bpf_htonl(0x40000000);
  word[2] = bpf_htonl(OUTER_TTL << 24 | IPPROTO_IPIP << 16 | 0x1234);
  word[3] = bpf_htonl(0xc6120001);
  word[4] = bpf_htonl(0xc6120002);
  return XDP_TX;
}
