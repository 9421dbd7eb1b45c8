// The same structs as two versions of a program declare them, and values of what cannot be carried over. A test reads
// and writes bytes by the offsets that follow from this text.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum shape { SHAPE_ROUND = 0, SHAPE_FLAT = 3 };

struct point_old {
  __s16 x;
  __s16 y;
};

struct record_old {
  __u32 gone; // 0
  __u16 narrow; // 4
  __u8 bytes[6]; // 6
  __s32 balance; // 12
  enum shape shape; // 16
  __u16 list[4]; // 20
  struct point_old points[2]; // 28
  struct {
    __u32 inside; // 36
  };
  __u64 wide; // 40
};

struct point_new {
  __s16 y;
  __s16 z;
  __s32 x;
};

struct record_new {
  __u32 wide; // 0: narrower
  struct {
    __u32 inside; // 4
  };
  __u64 narrow; // 8: wider
  __s64 balance; // 16
  __u64 added; // 24
  __u16 list[2]; // 32: shorter
  struct point_new points[3]; // 36: longer
  __u8 bytes[6]; // 60
  enum shape shape; // 68
};

struct other {
  struct point_old wide;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4);
  __type(key, struct point_old);
  __type(value, struct record_old);
} old_records SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4);
  __type(key, struct point_new);
  __type(value, struct record_new);
} new_records SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct other);
} others SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, 4);
  __uint(value_size, 4);
} untyped SEC(".maps");

__u32 first SEC(".data.table") = 1;
__u64 second SEC(".data.table") = 2;

SEC("xdp")
int use(struct xdp_md *ctx) {
  __u32 key = 0;

  bpf_map_lookup_elem(&others, &key);
  return first + second;
}

char LICENSE[] SEC("license") = "GPL";
