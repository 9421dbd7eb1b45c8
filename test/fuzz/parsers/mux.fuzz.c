/*
 * libFuzzer harness of the load balancer: the whole program, over any frame, and `flows`, over any request. A tag that
 * mutation cannot find is put right: what lies behind it is what is to be fuzzed.
 */
#include "mux.bpf.c"

#include "host.h"

#define SLOTS           64
#define FIRST_FRAGMENTS 64

static __u64 slot_words[SLOTS];
static struct index_bucket server_ids[1];
static struct {
  struct fragment_key key;
  struct fragment_entry entry;
} first_fragments[FIRST_FRAGMENTS];
static unsigned fragment_count;

#define CHAINS       8
#define FLOW_BUCKETS 16
#define PAGE_MARK    0xf1

static struct chain chain_records[CHAINS];
static struct locked_flow_bucket flow_buckets_here[FLOW_BUCKETS];
static struct cache_bucket cache_buckets_here[FLOW_BUCKETS];
static struct pool_slots pools_here[2];
static struct chain_flows chain_flows_here[CHAINS];
static __u64 held_here[1];
static struct ask asks[2];
static struct flow_bucket bucket_here;
static struct flow_request request_here;

long bpf_spin_lock(struct bpf_spin_lock *lock) {
  if (lock->val++)
    abort();
  return 0;
}

long bpf_spin_unlock(struct bpf_spin_lock *lock) {
  if (--lock->val)
    abort();
  return 0;
}

static void *flow_map(void *map, __u32 index) {
  if (map == (void *)&flow_table)
    return &flow_buckets_here[index % FLOW_BUCKETS];
  if (map == (void *)&flow_cache)
    return &cache_buckets_here[index % FLOW_BUCKETS];
  if (map == (void *)&chains)
    return index < CHAINS ? &chain_records[index] : NULL;
  if (map == (void *)&chain_flows)
    return index < CHAINS ? &chain_flows_here[index] : NULL;
  if (map == (void *)&held_slots)
    return index < 1 ? &held_here[index] : NULL;
  if (map == (void *)&pools)
    return index < 2 ? &pools_here[index] : NULL;
  if (map == (void *)&ask_in_hand)
    return index < 2 ? &asks[index] : NULL;
  if (map == (void *)&bucket_in_hand)
    return &bucket_here;
  return map == (void *)&flow_request_in_hand ? &request_here : NULL;
}

void *bpf_map_lookup_elem(void *map, const void *key) {
  __u32 index = *(const __u32 *)key;

  if (map == (void *)&slots)
    return index < SLOTS ? &slot_words[index] : NULL;
  if (map == (void *)&server_id_index)
    return index == 0 ? &server_ids[0] : NULL;
  if (map == (void *)&fragments) {
    for (unsigned i = 0; i < FIRST_FRAGMENTS; i++)
      if (!memcmp(&first_fragments[i].key, key, sizeof(struct fragment_key)))
        return &first_fragments[i].entry;
    return NULL;
  }
  void *found = flow_map(map, index);

  return found ? found : shared_map(map);
}

long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags) {
  unsigned at = fragment_count++ % FIRST_FRAGMENTS;

  (void)flags;
  if (map != (void *)&fragments)
    fail("an update of another map");
  memcpy(&first_fragments[at].key, key, sizeof(struct fragment_key));
  memcpy(&first_fragments[at].entry, value, sizeof(struct fragment_entry));
  return 0;
}

/* Backends of every shape, with and without a next hop, roomy and narrow. */
static void add_backends(void) {
  for (unsigned i = 1; i < SLOTS - 1; i++) {
    struct backend *backend = &backends[i];

    backend->flags = BACKEND_PRESENT | (i & 4 ? BACKEND_NEXT_HOP : 0) | (i & 8 ? BACKEND_VLAN : 0);
    backend->encap = i & 1 ? ENCAP_GUE : ENCAP_IP;
    backend->ip_version = i & 2 ? 6 : 4;
    backend->inner_mtu = i & 16 ? 300 + i : 1480;
    backend->ifindex = i & 32 ? 9 : 0;
    backend->address.word[3] = i;
    slot_words[i] = i | (__u64)i << SLOT_BASE_SHIFT;
  }
}

static void add_services(int version, const unsigned char *address) {
  static const struct {
    unsigned port, protocols, flags, base, count;
  } wanted[] = {
      {443, 2, 0, 0, SLOTS},
      {8080, 2, SERVICE_CLIENT_AFFINITY, 0, SLOTS},
      {8082, 2, SERVICE_NO_SOURCE_PORT, 0, SLOTS},
      {4431, 1, SERVICE_QUIC, 0, SLOTS},
      {4434, 1, SERVICE_QUIC, 0, SLOTS},
  };
  static const unsigned protocols[] = {IPPROTO_UDP, IPPROTO_TCP};

  add_service(version, address, 0, 0);
  for (unsigned i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
    for (unsigned p = 0; p < wanted[i].protocols; p++) {
      struct service *service = add_service(version, address, wanted[i].port, protocols[p]);

      service->flags |= wanted[i].flags;
      service->slot_base = wanted[i].base;
      service->slot_count = wanted[i].count;
      service->client_mask[3] = 0xffffffff;
      service->quic_server_id_bytes = wanted[i].port & 7;
      service->quic_config_rotation = wanted[i].port & 4;
    }
  for (unsigned n = 1; n < 20; n++)
    for (unsigned p = 0; p < 2; p++) {
      struct service *service = add_service(version, address, 1000 + n, protocols[p]);

      service->slot_base = n;
      service->slot_count = 1;
    }
}

/* Muxes 1 to 4, of which this is 2, and slots that each of them owns, is backup of, or has nothing to do with. */
static void add_muxes(const unsigned char *address) {
  self.id = 2;
  self.incarnation = 1002;
  self.version = 9;
  ask_keys[0] = (struct ask_key){.key = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull}, .present = 1};
  pools_here[1] = (struct pool_slots){.slot_base = 49, .slot_count = 1};
  peer_states[1].heard_ns = 1;
  for (unsigned mux = 1; mux <= 4; mux++) {
    const unsigned char octets[] = {192, 0, 2, 200 + mux};
    __be32 word;

    memcpy(&word, octets, sizeof(word));
    peers[mux] = (struct backend){.flags = BACKEND_PRESENT | (mux & 1 ? BACKEND_NEXT_HOP : 0) |
                                           (mux == 3 ? BACKEND_VLAN : 0),
                                  .ip_version = 4,
                                  .inner_mtu = mux == 4 ? 300 : 1480};
    map_ipv4(&peers[mux].address, word);
  }
  for (unsigned i = 1; i < CHAINS; i++) {
    chain_records[i] =
        (struct chain){.track_epoch = 5, .chain_epoch = i, .owner = i & 3, .backup = (i >> 1) & 3};
    chain_records[i].owner_incarnation = 1000 + chain_records[i].owner;
    chain_records[i].backup_incarnation = 1000 + chain_records[i].backup;
    slot_words[48 + i] =
        (48 + i) | 9 << SLOT_BASE_SHIFT | 1ull << SLOT_TRACKED_SHIFT | (__u64)i << SLOT_CHAIN_SHIFT;
    for (unsigned p = 0; p < 2; p++) {
      struct service *service = add_service(4, address, 1100 + i, p ? IPPROTO_TCP : IPPROTO_UDP);

      service->slot_base = 48 + i;
      service->slot_count = 1;
      service->idle_time = 9;
    }
  }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  static const unsigned char any4[] = {203, 0, 113, 20}, address4[] = {203, 0, 113, 10};
  static const unsigned char address6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10};

  (void)argc, (void)argv;
  make_hash_key();
  add_backends();
  add_services(4, address4);
  add_services(6, address6);
  add_muxes(address4);
  struct service *any = add_service(4, any4, 0, 0);

  any->flags |= SERVICE_ANY_PORT;
  any->slot_count = SLOTS;
  server_ids[0].word[0] = 0xc1ull << 16 | 5;
  return 0;
}

/* Runs a frame that failed for its tag once more, with the one that the program found. */
static void run_signed(const unsigned char *bytes, size_t size) {
  __u64 failed = counted.reasons[DROP_ASK_TAG];

  run_packet(mux, bytes, size);
  if (counted.reasons[DROP_ASK_TAG] == failed)
    return;
  bool is_carrying = asks[0].header.operation < ASK_OPERATION_PROBE;
  size_t at = (is_carrying ? in_hand.l3_offset : in_hand.l4_offset + ASK_BYTES) - sizeof(asks[0].tag);
  unsigned char *copy = malloc(size);

  if (at + sizeof(asks[0].tag) > size)
    fail("a tag beyond the frame");
  memcpy(copy, bytes, size);
  memcpy(copy + at, &asks[0].tag, sizeof(asks[0].tag));
  run_packet(mux, copy, size);
  free(copy);
}

static void run_request(const unsigned char *bytes, size_t size) {
  struct xdp_md ctx = {.ingress_ifindex = 1};
  unsigned char page[sizeof(struct flows_page)] = {};

  memcpy(page, bytes, size < sizeof(page) ? size : sizeof(page));
  place_packet(&ctx, page, sizeof(page));
  if (flows(&ctx) == XDP_PASS && ((struct flows_page *)(void *)ctx.data)->request.entries > 256 * FLOW_PLACES)
    fail("more entries than there are");
}

/* The last byte of the source MAC address, which means nothing, says whether the deadline has passed. */
#define DEADLINE_AT 11
#define PAST_MARK   0x77

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  self.deadline = size > DEADLINE_AT && bytes[DEADLINE_AT] == PAST_MARK ? 0 : ~0ull;
  if (size > 1 && bytes[0] == PAGE_MARK)
    run_request(bytes + 1, size - 1);
  else if (size >= ETHERNET_BYTES)
    run_signed(bytes, size);
  return 0;
}
