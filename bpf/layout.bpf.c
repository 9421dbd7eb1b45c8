/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Never loaded: roots in BTF what crosses to user space, since the compiler keeps no type that nothing refers to and
 * no #define at all.
 */
#include <linux/bpf.h>
#include "types.h"

enum limit {
  LIMIT_SERVICES = SERVICES_MAX,
  LIMIT_SERVICE_PROBES = SERVICE_PROBES,
  LIMIT_BACKENDS = BACKENDS_MAX,
  LIMIT_REASONS = REASONS_MAX,
  LIMIT_ADDRESS_FILTER_BYTES = ADDRESS_FILTER_BYTES,
  LIMIT_INDEX_BUCKET_WORDS = INDEX_BUCKET_WORDS,
  LIMIT_CAPTURE_BYTES = CAPTURE_BYTES_MAX,
  LIMIT_MUX_SOURCES = MUX_SOURCES_MAX,
  LIMIT_SLOT_NONE = SLOT_NONE,
};

enum limit limits;
enum service_flag service_flags;
enum encap_kind encap_kinds;
enum backend_flag backend_flags;
enum reason reason_values;
struct ip_address ip_addresses;
struct index_bucket index_buckets;
struct service service_records;
struct backend backend_records;
struct traffic traffic_records;
struct counters counter_records;
struct fragment_key fragment_keys;
struct fragment_entry fragment_entries;
struct capture_filter capture_filters;
struct capture_record capture_records;
enum observer observers;
struct decision decisions;
struct explanation explanations;
struct hash_key hash_keys;
struct tunnel_source tunnel_sources;
struct mux_source mux_source_records;
