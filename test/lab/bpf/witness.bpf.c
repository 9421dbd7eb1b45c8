/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What reaches the clients of a segment, seen before their stack sees it: whether two servers answered one SYN or one
 * datagram, and who reset connections. Passes everything.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TOLD_MAX 64
#define SYN_ACK  0x12
#define RST      0x04

/* In network order. */
const volatile __be32 service_address = 0;

struct attempt {
  __be32 client;
  __be16 client_port;
  __be16 service_port;
  __u64
      number; /* of a SYN-ACK what it acknowledges; of a datagram its first eight bytes after the server's name */
};

struct event {
  __be32 client;
  __be16 client_port;
  __be16 kind; /* 0 reset, 1 answered twice */
  __u64 server; /* link address */
  __u64 other;
  __u64 at_ns;
};

struct seen {
  __u64 answers;
  __u64 again; /* by the same server: a retransmission */
  __u64 doubles;
  __u64 resets;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 262144);
  __type(key, struct attempt);
  __type(value, __u64);
} attempts SEC(".maps");

volatile struct seen seen SEC(".data.seen") = {};
volatile struct event events[TOLD_MAX] SEC(".data.events") = {};
volatile __u64 told SEC(".data.told") = 0;

static __always_inline void tell(const struct attempt *attempt, __u16 kind, __u64 server, __u64 other) {
  __u64 at = __sync_fetch_and_add(&told, 1);

  if (at >= TOLD_MAX)
    return;
  events[at].client = attempt->client;
  events[at].client_port = attempt->client_port;
  events[at].kind = kind;
  events[at].server = server;
  events[at].other = other;
  events[at].at_ns = bpf_ktime_get_ns();
}

static __always_inline void take_answer(const struct attempt *attempt, __u64 server) {
  __u64 *known = bpf_map_lookup_elem(&attempts, attempt);

  if (!known) {
    bpf_map_update_elem(&attempts, attempt, &server, BPF_ANY);
    __sync_fetch_and_add(&seen.answers, 1);
  } else if (*known == server) {
    __sync_fetch_and_add(&seen.again, 1);
  } else {
    __sync_fetch_and_add(&seen.doubles, 1);
    tell(attempt, 1, server, *known);
  }
}

SEC("xdp")
int witness(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  struct iphdr *ip = (void *)(ethernet + 1);
  struct tcphdr *tcp = (void *)(ip + 1);
  struct udphdr *udp = (void *)(ip + 1);
  struct attempt attempt = {};
  __u64 server = 0;

  if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->saddr != service_address)
    return XDP_PASS;
  __builtin_memcpy(&server, ethernet->h_source, ETH_ALEN);
  attempt.client = ip->daddr;
  if (ip->protocol == IPPROTO_TCP && (void *)(tcp + 1) <= end) {
    __u8 flags = ((__u8 *)tcp)[13];

    attempt.client_port = tcp->dest;
    attempt.service_port = tcp->source;
    attempt.number = tcp->ack_seq;
    if (flags & RST) {
      __sync_fetch_and_add(&seen.resets, 1);
      tell(&attempt, 0, server, 0);
    } else if ((flags & SYN_ACK) == SYN_ACK) {
      take_answer(&attempt, server);
    }
  } else if (ip->protocol == IPPROTO_UDP && (void *)(udp + 1) + 8 <= end) {
    attempt.client_port = udp->dest;
    attempt.service_port = udp->source;
    __builtin_memcpy(&attempt.number, udp + 1, 8);
    take_answer(&attempt, server);
  }
  return XDP_PASS;
}
