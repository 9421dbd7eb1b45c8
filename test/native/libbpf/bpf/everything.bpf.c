// One object with a map of each shape the tests need. Sizes and offsets are asserted in the tests by hand, from
// this text, not from what the library reads out of it.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

enum verdict { VERDICT_PASS = 0, VERDICT_DROP = 1, VERDICT_TX = 7 };

struct flow_key {
  __u32 source;
  __u32 target;
  __u16 port;
  __u8 protocol;
  __u8 zone;
};

struct flow_value {
  __u64 packets;
  __s64 balance;
  __u8 mac[6];
  __s16 delta;
  enum verdict verdict;
  __u32 ports[3];
};

struct counters {
  __u64 packets;
  __u64 bytes;
};

union address {
  __u32 v4;
  __u8 v6[16];
};

struct settings {
  union address vip;
  bool enabled;
  __u8 level;
  __u16 limits[2];
  __u16 last;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1000);
  __type(key, struct flow_key);
  __type(value, struct flow_value);
} flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, struct counters);
} stats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 8);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, __u64);
} shared SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 65536);
} events SEC(".maps");

const volatile __u32 answer = 42;
const volatile __s8 small = -1;
const volatile bool enabled = false;
const volatile __u64 big = 1;
const volatile __u8 prefix[4] = {1, 2, 3, 4};
const volatile __u16 table[3] = {1, 2, 3};
const volatile struct settings config;

__u64 seen = 0;
__u32 threshold = 5;

// Returns `answer` and counts in .bss and in the shared array.
SEC("xdp")
int return_answer(struct xdp_md *ctx) {
  __u32 zero = 0;
  __u64 *slot = bpf_map_lookup_elem(&shared, &zero);
  if (slot)
    *slot += 1;
  struct counters *count = bpf_map_lookup_elem(&stats, &zero);
  if (count) {
    count->packets += 1;
    count->bytes += ctx->data_end - ctx->data;
  }
  seen += 1;
  return answer + threshold - 5;
}

// Writes the ingress interface and queue over the first eight bytes.
SEC("xdp")
int stamp(struct xdp_md *ctx) {
  __u32 *data = (__u32 *)(long)ctx->data;
  if ((void *)(data + 2) > (void *)(long)ctx->data_end)
    return XDP_ABORTED;
  data[0] = ctx->ingress_ifindex;
  data[1] = ctx->rx_queue_index;
  return XDP_TX;
}

// Exercises every constant's type: one bit of the verdict for each that has its expected value.
SEC("xdp")
int check_constants(struct xdp_md *ctx) {
  int bits = 0;
  bits |= (small == -100) << 0;
  bits |= (enabled == true) << 1;
  bits |= (big == 0xfedcba9876543210ULL) << 2;
  bits |= (prefix[0] == 9 && prefix[3] == 6) << 3;
  bits |= (table[0] == 100 && table[2] == 65535) << 4;
  bits |= (config.vip.v4 == 0x0100007f && config.enabled && config.level == 3) << 5;
  bits |= (config.limits[1] == 700 && config.last == 9) << 6;
  return bits;
}

// Emits as many records as the first byte of the packet says, each numbered; record n is 4 + n % 8 bytes long.
SEC("xdp")
int emit(struct xdp_md *ctx) {
  __u8 *data = (__u8 *)(long)ctx->data;
  if ((void *)(data + 1) > (void *)(long)ctx->data_end)
    return XDP_ABORTED;
  __u32 count = data[0];
  __u32 record[3] = {0, 0x11111111, 0x22222222};
  for (__u32 index = 0; index < 255; index++) {
    if (index >= count)
      break;
    record[0] = index;
    if (bpf_ringbuf_output(&events, record, 4 + (index & 7), 0))
      return XDP_DROP;
  }
  return XDP_PASS;
}

// Fills one mebibyte of ring at most, without waking the reader: the volume path.
SEC("xdp")
int emit_quietly(struct xdp_md *ctx) {
  __u64 value = seen++;
  return bpf_ringbuf_output(&events, &value, sizeof(value), BPF_RB_NO_WAKEUP) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int drop(struct xdp_md *ctx) {
  return XDP_DROP;
}

SEC("xdp")
int pass(struct xdp_md *ctx) {
  return XDP_PASS;
}

// Makes clang keep the types in BTF.
SEC("xdp")
int touch(struct xdp_md *ctx) {
  struct flow_key key = {.source = 1, .target = 2, .port = 3, .protocol = 4, .zone = 5};
  struct flow_value *value = bpf_map_lookup_elem(&flows, &key);
  return value ? value->verdict : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
