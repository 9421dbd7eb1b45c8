// A program the verifier refuses: it dereferences a lookup without asking whether it found anything.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} lonely SEC(".maps");

SEC("xdp")
int careless(struct xdp_md *ctx) {
  __u32 key = 0;
  __u64 *value = bpf_map_lookup_elem(&lonely, &key);
  return (int)*value;
}

char LICENSE[] SEC("license") = "GPL";
