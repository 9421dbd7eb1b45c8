// Types the generator must refuse, and types that need care. Never loaded: only its BTF is read.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct with_hole {
  __u8 first;
  __u32 second;
};

struct with_tail {
  __u32 first;
  __u8 second;
};

struct with_bits {
  __u32 low : 4;
  __u32 high : 28;
};

struct with_pointer {
  void *target;
};

struct anonymous {
  __u32 kind;
  union {
    __u32 v4;
    __u8 v6[16];
  };
  struct {
    __u16 first;
    __u16 second;
  };
};

struct inner {
  __u16 x;
  __u16 y;
};

struct nested {
  struct inner one;
  struct inner many[2];
  __u64 total;
};

enum big { BIG_ONE = 1, BIG_MAX = 0xffffffffffffffffULL };

struct with_hole hole;
struct with_tail tail;
struct with_bits bits;
struct with_pointer pointer;
struct anonymous anonymous;
struct nested nested;
enum big big;

SEC("xdp")
int nothing(struct xdp_md *ctx) {
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
