/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns every struct and enum that crosses between the programs and user space, and the limits both sides share.
 * Nothing here is behaviour. TypeScript codecs are generated from the BTF of layout.bpf.c, which roots these types.
 *
 * Multi-byte fields are in host order unless their type is __be*. No struct has padding or bit-fields.
 *
 * What stands in tables outlives the program that they were made for: the next version takes them over as they are, or
 * member by member under the same names. So a member that comes to mean something else gets another name, and values of
 * enums and flags that tables hold keep their numbers. Those of enum reason may change: counters go by the names.
 */
#pragma once

#include <linux/types.h>

#define SIZE_IS(type, size)                                                                                  \
  _Static_assert(sizeof(type) == (size), #type " crosses to user space at " #size " bytes")

/* Limits, powers of two. The services table is a hash table: fill a quarter of it at most. */
#define SERVICES_MAX 4096
#define BACKENDS_MAX 4096
#define REASONS_MAX  64

/* Prefixes that a backend takes tunnel packets from, in each of two banks. */
#define MUX_SOURCES_MAX 64

/* Bytes of the filter that tells most other addresses from service addresses. */
#define ADDRESS_FILTER_BYTES 4096

/* Places a service may stand at from where its hash points. */
#define SERVICE_PROBES 8

/* Words of one index bucket: one cache line. */
#define INDEX_BUCKET_WORDS 8

/* Backend 0 means "none". */
#define BACKEND_NONE 0

/* Captured bytes of one packet, at most. */
#define CAPTURE_BYTES_MAX 1984

/*
 * An IP address in network order. IPv4 is written IPv4-mapped (RFC 4291 section 2.5.5.2): words 0 and 1 zero,
 * word 2 htonl(0xffff), word 3 the address.
 */
struct ip_address {
  __be32 word[4];
};
SIZE_IS(struct ip_address, 16);

/*
 * A bucket of a read-mostly hash index. User space writes whole words with one atomic store each; a zero word ends
 * the bucket. word = tag << 16 | value, value != 0.
 */
struct index_bucket {
  __u64 word[INDEX_BUCKET_WORDS];
};
SIZE_IS(struct index_bucket, 64);

enum service_flag {
  /* The record is valid. Cleared first and set last, a grace period away from other changes. */
  SERVICE_PRESENT = 1 << 7,
  /* A record that belongs here or before stands further on: look there too. */
  SERVICE_CONTINUED = 1 << 6,
  /* The entry of an address that balances every TCP and UDP port. */
  SERVICE_ANY_PORT = 1 << 0,
  /* The flow key is the client (under client_mask) and the service, not the 5-tuple. */
  SERVICE_CLIENT_AFFINITY = 1 << 1,
  /* The flow key leaves the source port out. */
  SERVICE_NO_SOURCE_PORT = 1 << 2,
  /* Route by the server ID in QUIC connection IDs (plaintext algorithm of draft-ietf-quic-load-balancers). */
  SERVICE_QUIC = 1 << 3,
};

/*
 * What a service address, port and protocol lead to. Port 0 and protocol 0 is the entry of the address itself, which
 * exists for each service address. The place in the table follows from the hash of address, port and protocol
 * (hash.h) and is at most SERVICE_PROBES - 1 further. A present record changes only in `flags`; to change another
 * field, user space writes a new record at a free place before it withdraws the old one.
 */
struct service {
  struct ip_address address;
  __be32 client_mask[4]; /* with SERVICE_CLIENT_AFFINITY; IPv4 uses word 3 */
  __be16 port;
  __u8 protocol;
  __u8 flags; /* enum service_flag */
  __u32 slot_base; /* first slot of the service's pool in `slots` */
  __u32 slot_count; /* M; 0 where the address balances nothing by itself */
  __u32 pool;
  __u8 quic_config_rotation; /* the three config rotation bits, 0-6 */
  __u8 quic_server_id_bytes; /* 1-4 */
  __u8 reserved[14];
};
SIZE_IS(struct service, 64);

enum encap_kind {
  ENCAP_IP = 0, /* protocol 4 or 41 (RFC 2003, RFC 2473, RFC 4213) */
  ENCAP_GUE = 1, /* UDP, GUE variant 1: the inner packet follows without a GUE header */
};

enum backend_flag {
  BACKEND_PRESENT = 1 << 0,
  BACKEND_NEXT_HOP = 1 << 1, /* next-hop fields are valid; otherwise the kernel's FIB is asked */
  BACKEND_VLAN = 1 << 2, /* the next hop is behind a VLAN tag */
};

/* flags, encap and ip_version of a backend as one word, so that one comparison tells how to reach it. */
#define BACKEND_SHAPE(flags, encap, ip_version) ((flags) | (encap) << 16 | (ip_version) << 24)

/*
 * A backend and its next hop. User space clears BACKEND_NEXT_HOP, waits a grace period, writes the next-hop fields
 * and sets it again, so no packet sees half a next hop. What is read by itself changes in one store: `inner_mtu`,
 * `generation`, and `destination_mac` with the two bytes behind it. Two backends never share an index.
 */
struct backend {
  struct ip_address address;
  __u16 flags; /* enum backend_flag */
  __u8 encap; /* enum encap_kind */
  __u8 ip_version; /* of the outer header: 4 or 6 */
  __be16 gue_port;
  __u16 inner_mtu; /* largest packet that fits once encapsulated, bytes */
  __u32 ifindex; /* egress of the next hop; 0: the interface of arrival */
  __u32 address_sum; /* of the outer IPv4 addresses' 16-bit words as stored, the source without its spread */
  /* As they stand in the outer frame, copied as two words; the last two bytes are overwritten there. */
  __u8 destination_mac[6];
  __u8 source_mac[6];
  __be16 ether_type; /* of the outer IP header */
  __u16 vlan_tci; /* with BACKEND_VLAN */
  __u16 generation; /* changes when a dead backend returns: entries of older generations do not point at it */
  __u8 reserved[14];
};
SIZE_IS(struct backend, 64);

/*
 * One slot of a pool, 8 bytes, changed in one aligned store:
 * bits 0-15 current backend, 16-31 base backend, 32 tracked, 33-63 chain.
 */
#define SLOT_BASE_SHIFT    16
#define SLOT_TRACKED_SHIFT 32
#define SLOT_CHAIN_SHIFT   33

/*
 * Why a packet left the program the way it did. Every exit has one, and its counter. The first word of a name is the
 * verdict, and the ranges keep verdicts together: PASS to the host untouched, DECAP to the host unwrapped, FORWARD to
 * a backend, REPLY to the sender, DROP.
 */
enum reason {
  REASON_NONE = 0,

  PASS_NOT_IP,
  PASS_MALFORMED, /* no complete IP header: not known to be for a service; the host's stack judges it */
  PASS_NOT_A_SERVICE,
  PASS_NO_SUCH_PORT, /* a service address, but no service at this port and protocol */
  PASS_ICMP_OTHER, /* ICMP to a service address that is neither an echo request nor about a flow of a service */
  PASS_NOT_TUNNELLED, /* decap: neither from a mux nor for a service; the host may have tunnels of its own */
  DECAP,

  FORWARD, /* by the slot of the flow's hash */
  FORWARD_QUIC, /* by the server ID of the connection ID */
  FORWARD_ICMP_ERROR, /* by the packet that the error quotes */
  FORWARD_FIRST_FRAGMENT,
  FORWARD_LATER_FRAGMENT,
  REPLY_ECHO,
  REPLY_TOO_BIG, /* ICMP Fragmentation Needed or ICMPv6 Packet Too Big */

  DROP_TRUNCATED, /* ends before its headers or its own length say */
  DROP_BAD_HEADER, /* a length field that contradicts itself */
  DROP_EXTENSION_HEADERS, /* more IPv6 extension headers than the limit */
  DROP_NO_BACKEND, /* the slot or the backend record is empty */
  DROP_FRAGMENT_UNKNOWN, /* a later fragment whose first one was not seen here */
  DROP_NO_ROUTE, /* no next hop known and the kernel's FIB has no route */
  DROP_FORWARDING_OFF, /* no next hop known, and the kernel's FIB answers only where the host forwards */
  DROP_NO_NEIGHBOUR, /* routed, but the next hop's link address is not resolved */
  DROP_TOO_BIG, /* will not fit after encapsulation, and may not be answered */
  DROP_NO_HEADROOM,
  DROP_FOREIGN_TUNNEL, /* decap: for a service address, but from a source that is not a configured mux */
  DROP_NOT_FOR_SERVICE, /* decap: from a mux, but the inner destination is not a configured service address */
  DROP_ECN, /* decap: congestion marked outside, but the inner transport is not ECN-capable (RFC 6040 section 4.2) */
  DROP_INTERNAL, /* a look-up that cannot fail did */

  REASON_COUNT,
};

struct traffic {
  __u64 packets;
  __u64 bytes; /* of IP, as received */
  __u64 new_flows; /* TCP SYN, QUIC Initial */
};
SIZE_IS(struct traffic, 24);

/* What one CPU counted. Only that CPU writes it; user space reads it through mmap. */
struct counters {
  __u64 reasons[REASONS_MAX]; /* packets, by enum reason */
  struct traffic services[SERVICES_MAX]; /* by place in the services table */
  struct traffic backends[BACKENDS_MAX];
};
_Static_assert(REASON_COUNT <= REASONS_MAX, "every reason has a counter");

struct fragment_key {
  struct ip_address source;
  struct ip_address destination;
  __be32 identification;
  __u32 protocol; /* IPv4 only: RFC 791 has it in the key of reassembly, RFC 8200 section 4.5 does not */
};
SIZE_IS(struct fragment_key, 40);

struct fragment_entry {
  __u64 seen_ns; /* time of the first fragment, clock.h */
  __u32 service;
  __u16 backend;
  __u16 generation;
};
SIZE_IS(struct fragment_entry, 16);

/* Which packets are copied out. Zero fields match everything; a reason mask of zero matches none. */
struct capture_filter {
  __u64 reasons; /* bit n: enum reason n */
  struct ip_address client;
  struct ip_address address;
  __be16 client_port;
  __be16 port;
  __u32 protocol;
};
SIZE_IS(struct capture_filter, 48);

struct capture_record {
  __u64 time_ns; /* CLOCK_MONOTONIC */
  __u32 reason; /* enum reason */
  __u32 ifindex;
  __u32 length; /* of the frame as it left the program */
  __u32 captured;
  __u8 bytes[CAPTURE_BYTES_MAX];
};
SIZE_IS(struct capture_record, 24 + CAPTURE_BYTES_MAX);

enum observer {
  OBSERVER_NONE = 0,
  OBSERVER_CAPTURE, /* packets are copied out */
  OBSERVER_EXPLAIN, /* what was decided of a packet is left in `explanation` */
};

/* Where a packet goes, or what was known when it was found to go nowhere. */
struct decision {
  __u64 hash; /* of the flow */
  __u64 slot_word;
  __u32 service; /* place in the services table; SERVICES_MAX: none was found */
  __u32 slot; /* that was read; SLOT_NONE: none */
  __u32 backend;
  __u32 reason; /* to forward */
};
SIZE_IS(struct decision, 32);

#define SLOT_NONE 0xffffffff

struct explanation {
  struct decision decision;
  enum reason reason;
  __u32 ifindex; /* egress of what is forwarded; 0: the interface of arrival */
  struct fragment_key fragment; /* whose first fragment was looked for */
  __u32 fragment_wanted; /* `fragment` is set */
  __u32 reserved;
};
SIZE_IS(struct explanation, 88);

/* Secret shared by all muxes of a cluster. */
struct hash_key {
  __u64 flow; /* odd */
  __u64 place; /* odd */
  __u64 service_port;
  __u64 client_port;
  __u64 service[4];
  __u64 client[4];
};
SIZE_IS(struct hash_key, 96);

/* Source of the outer header. The bits of `spread` vary with the flow so that receive queues share the load. */
struct tunnel_source {
  struct ip_address address; /* zero where `spread` is set */
  __be32 spread; /* of word 3; for IPv4 within its low 16 bits */
};
SIZE_IS(struct tunnel_source, 20);

/* decap: a prefix that muxes send from. */
struct mux_source {
  struct ip_address address;
  struct ip_address mask;
};
SIZE_IS(struct mux_source, 32);
