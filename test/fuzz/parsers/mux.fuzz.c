/* libFuzzer harness of the load balancer: the whole program, over any frame. */
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
  return shared_map(map);
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

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  static const unsigned char any4[] = {203, 0, 113, 20}, address4[] = {203, 0, 113, 10};
  static const unsigned char address6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10};

  (void)argc, (void)argv;
  make_hash_key();
  add_backends();
  add_services(4, address4);
  add_services(6, address6);
  struct service *any = add_service(4, any4, 0, 0);

  any->flags |= SERVICE_ANY_PORT;
  any->slot_count = SLOTS;
  server_ids[0].word[0] = 0xc1ull << 16 | 5;
  return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  if (size >= ETHERNET_BYTES)
    run_packet(mux, bytes, size);
  return 0;
}
