/*
 * Runs a program of bpf/ on the host. The packet is a heap block of exactly its size, and every change of its size
 * moves it to another block: reading a byte too far, or through a pointer from before, is caught by the sanitizers.
 * Included after the program, whose maps it stands in for.
 */
#pragma once

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned char *packet_block;

static void place_packet(struct xdp_md *ctx, const unsigned char *bytes, size_t size) {
  unsigned char *block = malloc(size);

  if (size)
    memcpy(block, bytes, size);
  free(packet_block);
  packet_block = block;
  ctx->data = (unsigned long)block;
  ctx->data_end = (unsigned long)block + size;
}

#define HEADROOM_BYTES 256
#define TAILROOM_BYTES 320
#define ETHERNET_BYTES 14

static size_t headroom, tailroom;

long bpf_xdp_adjust_head(struct xdp_md *ctx, int delta) {
  size_t size = ctx->data_end - ctx->data;

  if (delta < 0 ? (size_t)-delta > headroom : (size_t)delta + ETHERNET_BYTES > size)
    return -1;
  size_t now = size - delta;
  unsigned char *bytes = malloc(now);

  memset(bytes, 0xa5, now);
  if (delta < 0)
    memcpy(bytes - delta, (void *)ctx->data, size);
  else
    memcpy(bytes, (unsigned char *)ctx->data + delta, now);
  headroom += delta;
  place_packet(ctx, bytes, now);
  free(bytes);
  return 0;
}

long bpf_xdp_adjust_tail(struct xdp_md *ctx, int delta) {
  size_t size = ctx->data_end - ctx->data;

  if (delta > 0 ? (size_t)delta > tailroom : (size_t)-delta + ETHERNET_BYTES > size)
    return -1;
  unsigned char *bytes = calloc(1, size + delta);

  memcpy(bytes, (void *)ctx->data, delta < 0 ? size + delta : size);
  tailroom -= delta;
  place_packet(ctx, bytes, size + delta);
  free(bytes);
  return 0;
}

long bpf_xdp_load_bytes(struct xdp_md *ctx, __u32 offset, void *to, __u32 bytes) {
  if (offset + bytes > ctx->data_end - ctx->data || bytes > CAPTURE_BYTES_MAX)
    return -1;
  memcpy(to, (unsigned char *)ctx->data + offset, bytes);
  return 0;
}

__s64 bpf_csum_diff(__be32 *from, __u32 from_size, __be32 *to, __u32 to_size, __u32 seed) {
  __u64 sum = seed;

  if (from_size || from || to_size % 4 || to_size > 512)
    abort();
  for (__u32 i = 0; i < to_size / 4; i++) {
    __u32 word;

    memcpy(&word, (unsigned char *)to + i * 4, sizeof(word));
    sum += word;
    sum = (sum & 0xffffffff) + (sum >> 32);
  }
  return sum;
}

/* Each answer that the programs tell apart, by the destination's last bits. */
long bpf_fib_lookup(void *ctx, struct bpf_fib_lookup *params, int size, __u32 flags) {
  static const int answers[] = {BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_NO_NEIGH,
                                BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_UNREACHABLE};

  (void)ctx, (void)size, (void)flags;
  memset(params->dmac, 2, sizeof(params->dmac));
  memset(params->smac, 4, sizeof(params->smac));
  return answers[params->tot_len & 3];
}

long bpf_redirect(__u32 ifindex, __u64 flags) {
  (void)ifindex, (void)flags;
  return XDP_REDIRECT;
}

__u64 bpf_ktime_get_ns(void) {
  return 1;
}

__u64 bpf_ktime_get_coarse_ns(void) {
  return 1;
}

__u64 bpf_jiffies64(void) {
  return 1;
}

__u32 bpf_get_smp_processor_id(void) {
  return 0;
}

void *bpf_ringbuf_reserve(void *ring, __u64 bytes, __u64 flags) {
  (void)ring, (void)flags;
  return malloc(bytes);
}

void bpf_ringbuf_submit(void *record, __u64 flags) {
  (void)flags;
  free(record);
}

static struct counters counted;
static struct packet in_hand;

static void *shared_map(void *map) {
  if (map == (void *)&counters)
    return &counted;
  return map == (void *)&packet_in_hand ? &in_hand : NULL;
}

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  abort();
}

/* Load-time constants of the programs lie in read-only memory; this is the load. */
static __noinline void set_constant(unsigned long where, const void *value, size_t bytes) {
  unsigned long page = sysconf(_SC_PAGESIZE), from = where & ~(page - 1);

  if (mprotect((void *)from, where + bytes - from, PROT_READ | PROT_WRITE))
    fail("mprotect");
  /* The compiler would drop a write to what it knows to be constant. */
  __asm__ __volatile__("" : "+r"(where));
  memcpy((void *)where, value, bytes);
}

#define SET_CONSTANT(name, value) set_constant((unsigned long)&(name), (value), sizeof(name))

static void make_hash_key(void) {
  __u64 word[sizeof(hash_key) / sizeof(__u64)];
  __u64 state = 12;

  for (unsigned i = 0; i < sizeof(word) / sizeof(*word); i++) {
    state = (state ^ state >> 29) * 0xbf58476d1ce4e5b9ull + 0x9e3779b97f4a7c15ull;
    word[i] = (state ^ state >> 32) * 0x94d049bb133111ebull | 1;
  }
  SET_CONSTANT(hash_key, word);
}

/* Writes a service where the program looks first, or as near behind as there is room. */
static struct service *add_service(int version, const unsigned char *address, unsigned port,
                                   unsigned protocol) {
  struct service service = {.port = bpf_htons(port), .protocol = protocol, .flags = SERVICE_PRESENT};

  if (version == 4) {
    __be32 word;

    memcpy(&word, address, sizeof(word));
    map_ipv4(&service.address, word);
  } else {
    memcpy(&service.address, address, sizeof(service.address));
  }
  __u32 place = service_place(service_digest(&service.address, service.port, protocol, version));

  memset(address_filter, 1, sizeof(address_filter));
  for (unsigned i = 0; i < SERVICE_PROBES; i++) {
    struct service *at = &services[(place + i) & (SERVICES_MAX - 1)];

    if (!(at->flags & SERVICE_PRESENT)) {
      service.flags |= at->flags & SERVICE_CONTINUED;
      *at = service;
      return at;
    }
    at->flags |= SERVICE_CONTINUED;
  }
  fail("no place for a service");
  return NULL;
}

/* Runs `program` and holds what is true of every packet against the outcome. */
static void run_packet(int (*program)(struct xdp_md *), const unsigned char *bytes, size_t size) {
  struct xdp_md ctx = {.ingress_ifindex = 1};
  __u64 before[REASONS_MAX];

  headroom = HEADROOM_BYTES;
  tailroom = TAILROOM_BYTES;
  place_packet(&ctx, bytes, size);
  memcpy(before, counted.reasons, sizeof(before));

  int verdict = program(&ctx);
  unsigned moved = 0, reason = 0;

  for (unsigned i = 0; i < REASONS_MAX; i++)
    if (counted.reasons[i] != before[i]) {
      moved += counted.reasons[i] - before[i];
      reason = i;
    }
  if (moved != 1)
    fail("not counted once");
  if (verdict != XDP_PASS && verdict != XDP_DROP && verdict != XDP_TX && verdict != XDP_REDIRECT)
    fail("an unexpected verdict");
  if (verdict != verdict_of(reason) && !(verdict == XDP_REDIRECT && verdict_of(reason) == XDP_TX))
    fail("the verdict is not that of the reason");
  if (reason == DROP_INTERNAL)
    fail("a look-up that cannot fail did");
  if (verdict == XDP_PASS && reason != DECAP &&
      (ctx.data_end - ctx.data != size || memcmp((void *)ctx.data, bytes, size)))
    fail("passed, but changed");
}
