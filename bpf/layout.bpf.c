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
  LIMIT_MUXES = MUXES_MAX,
  LIMIT_CHAINS = CHAINS_MAX,
  LIMIT_FLOW_PLACES = FLOW_PLACES,
  LIMIT_FLOW_NASCENT_PLACES = FLOW_NASCENT_PLACES,
  LIMIT_FLOW_UNPROVEN_PLACES = FLOW_UNPROVEN_PLACES,
  LIMIT_CACHE_PLACES = CACHE_PLACES,
  LIMIT_FLOW_MESSAGE_ENTRIES = FLOW_MESSAGE_ENTRIES,
  LIMIT_ASK_HOPS = ASK_HOPS_MAX,
  LIMIT_ASK_KEYS = ASK_KEYS_MAX,
  LIMIT_FLOW_TIME_SHIFT = FLOW_TIME_SHIFT,
  LIMIT_FLOW_PROTOCOL_MASK = FLOW_PROTOCOL_MASK,
  LIMIT_FLOW_KEY_CLIENT = FLOW_KEY_CLIENT,
  LIMIT_FLOW_IS_IPV6 = FLOW_IS_IPV6,
  LIMIT_TICK_SHIFT = TICK_SHIFT,
  LIMIT_NASCENT_TIME = NASCENT_TIME,
  LIMIT_FLOW_EVENTS = FLOW_EVENTS_MAX,
  LIMIT_ASK_FORMAT = ASK_FORMAT,
  LIMIT_POOL_IDS = POOL_IDS,
  LIMIT_FLOWS_MESSAGES = FLOWS_MESSAGES,
  LIMIT_FLOWS_BUCKETS = FLOWS_BUCKETS_MAX,
  LIMIT_MESSAGE_NUMBER_BITS = MESSAGE_NUMBER_BITS,
  LIMIT_SLOT_BASE_SHIFT = SLOT_BASE_SHIFT,
  LIMIT_SLOT_TRACKED_SHIFT = SLOT_TRACKED_SHIFT,
  LIMIT_SLOT_CHAIN_SHIFT = SLOT_CHAIN_SHIFT,
  LIMIT_CACHE_GENERATION_SHIFT = CACHE_GENERATION_SHIFT,
  LIMIT_CACHE_SLOT_SHIFT = CACHE_SLOT_SHIFT,
  LIMIT_CACHE_SEEN_SHIFT = CACHE_SEEN_SHIFT,
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
enum answer_source answer_sources;
struct explanation explanations;
struct hash_key hash_keys;
struct tunnel_source tunnel_sources;
struct mux_source mux_source_records;
struct chain chain_records;
enum flow_state flow_states;
enum flow_event flow_event_values;
struct flow_entry flow_entries;
struct flow_bucket flow_bucket_records;
struct cache_bucket cache_bucket_records;
struct mux_self mux_selves;
struct clock_record clock_records;
struct ask_key ask_key_records;
enum peer_flag peer_flags;
struct peer_state peer_state_records;
struct copies_taken copies_taken_records;
enum ask_operation ask_operations;
enum ask_flag ask_flags;
struct ask_header ask_headers;
struct flow_message_entry flow_message_entries;
struct pool_slots pool_slots_records;
struct chain_flows chain_flows_records;
enum flows_command flows_commands;
struct flows_request flows_requests;
struct flows_message flows_messages;
struct flows_page flows_pages;
