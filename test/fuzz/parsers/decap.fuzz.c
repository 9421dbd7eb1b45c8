/* libFuzzer harness of the other end of the tunnel: the whole program, over any frame. */
#include "decap.bpf.c"

#include "host.h"

void *bpf_map_lookup_elem(void *map, const void *key) {
  (void)key;
  return shared_map(map);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  static const unsigned char address4[] = {203, 0, 113, 10}, prefix4[] = {198, 18, 64, 0};
  static const unsigned char address6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10};
  static const unsigned char prefix6[] = {0x20, 0x01, 0x0d, 0xb8, 1};
  __be32 word;

  (void)argc, (void)argv;
  __be16 port = bpf_htons(6080);

  SET_CONSTANT(gue_port, &port);
  make_hash_key();
  add_service(4, address4, 0, 0);
  add_service(6, address6, 0, 0);
  memcpy(&word, prefix4, sizeof(word));
  map_ipv4(&mux_sources[MUX_SOURCES_MAX].address, word);
  memset(&mux_sources[MUX_SOURCES_MAX].mask, 0xff, sizeof(struct ip_address));
  mux_sources[MUX_SOURCES_MAX].mask.word[3] = bpf_htonl(0xffffc000);
  memcpy(&mux_sources[MUX_SOURCES_MAX + 1].address, prefix6, sizeof(prefix6));
  memset(&mux_sources[MUX_SOURCES_MAX + 1].mask, 0xff, 8);
  mux_source_set = 1 << 16 | 2; /* the second bank */
  return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  if (size >= ETHERNET_BYTES)
    run_packet(decap, bytes, size);
  return 0;
}
