/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns every struct and enum that crosses between the programs and user space, and the limits both sides share.
 * Nothing here is behaviour. TypeScript codecs are generated from the BTF of layout.bpf.c, which roots these types.
 * One file because they are one contract, which is read and versioned as a whole.
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
#define REASONS_MAX  128

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

/* Muxes of a cluster; ids are 1-63, 0 is nobody. */
#define MUXES_MAX 64
#define MUX_NONE  0

/* Chains that slots of one mux may name at a time; 0 is none. */
#define CHAINS_MAX 65536

/* Places of one bucket of the flow table, and those that entries not (yet) trusted may take of them. */
#define FLOW_PLACES          7
#define FLOW_NASCENT_PLACES  3
#define FLOW_UNPROVEN_PLACES 5
#define FLOW_STATE_BITS      2

/* Entries of one bucket of the flow cache: one cache line. */
#define CACHE_PLACES 4

/* Entries of one message of flows, at most: 56 + 40 * 32 bytes fit into 1,500 with any outer header. */
#define FLOW_MESSAGE_ENTRIES 40

/* Muxes that one packet may pass on its way to an owner and home. */
#define ASK_HOPS_MAX 4

/* Keys of asks that are known at a time. */
#define ASK_KEYS_MAX 4

/* Coarse times of flows count in 2^28 ns = 0.268 s; of headers and deadlines under driven time in 2^20 ns = 1.05 ms. */
#define FLOW_TIME_SHIFT 28
#define TICK_SHIFT      20

/*
 * How long a SYN alone keeps its entry, in flow time: 67 s, for a client may wait 64 before it sends the next. And how
 * long the answer to a SYN is believed without asking: 2.1 s, so that who remembers it hears of those that come later.
 */
#define NASCENT_TIME    250
#define SYN_CACHED_TIME 8

/* How long new flows go to base in a bucket where one has found no place: 3.2 s, in flow time. */
#define REFUSED_TIME 12

/* Ids of pools: 1-65535. */
#define POOL_IDS 65536

/* Messages that one run of the program `flows` makes, and buckets that it goes through, at most. */
#define FLOWS_MESSAGES    2
#define FLOWS_BUCKETS_MAX 256

/* A message's number within its round; a round has as many messages as struct copies_taken has bits. */
#define MESSAGE_NUMBER_BITS 11

/* Kinds of events, see enum flow_event. */
#define FLOW_EVENTS_MAX 32

/* Servers that a filter knows, by the ids of members: 1-1023, 0 is nobody. */
#define SERVERS_MAX 1024
#define SERVER_NONE 0

/* Servers that may hold affinities of one tracked bucket, and records of such at a time; record 0 is none. */
#define HOLDERS_MAX         8
#define HOLDERS_RECORDS_MAX 65536

/* Places of one bucket of the tables of affinities and of foreign ones, a cache line; and those for nascent entries. */
#define AFFINITY_PLACES         4
#define AFFINITY_NASCENT_PLACES 2

/* Slots that a filter can tell at a glance, a bit each in words of 64; those beyond are looked at. */
#define OTHERS_WORDS 32768

/* CPUs that count what is not for a filter apart: a power of two. */
#define DROPPED_CPUS 512

/* The part of the table of affinities that is filled first, so that few clients touch little memory: an eighth. */
#define AFFINITY_NEAR_SHIFT 3

/*
 * How long "another server has this client" is believed, flow time: a quarter of the service's timeout, but 20 s, for
 * servers may be behind by so much; 60 s at most, and never for longer than the timeout, which may have begun then: 2 s
 * where that is shorter still.
 */
#define FOREIGN_TIME_SHIFT  2
#define FOREIGN_TIME_BEHIND 75
#define FOREIGN_TIME_MIN    8
#define FOREIGN_TIME_MAX    223

/* How far the clocks of queries may be apart: 1.07 s. What is remembered on a query's way outlives the query. */
#define QUERY_TIME_WINDOW 1024

/* Of what is too big to be sent with a query, as much is: headers, and what an ICMP error quotes. */
#define QUERY_CUT_BYTES 256

/* Servers that one query may pass: all holders and its home. */
#define QUERY_HOPS_MAX 9

/* Buckets that one run of the program `affinity` goes through, and entries that it takes or gives, at most. */
#define AFFINITY_BUCKETS_MAX 256
#define AFFINITY_ENTRIES_MAX 64

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
  /* Filters, of an address: who asks for its link address is told `link_address`. Without, nobody is told anything. */
  SERVICE_NEIGHBOUR = 1 << 4,
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
  /* After which a silent flow has ended, in flow time (FLOW_TIME_SHIFT); filters: an affinity, from its last packet on. */
  __u16 idle_time;
  __u8 link_address[6]; /* with SERVICE_NEIGHBOUR: the multicast address that all servers hear */
  __u8 reserved[6];
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
  PEER_GONE = 1 << 3, /* a mux that was removed: not present, but what it relays is taken */
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
 * Who keeps the flows of a tracked slot. Written before a slot names it and then never changed, save `unrecorded_ns`,
 * which programs write. Epochs are numbers of configuration versions.
 */
struct chain {
  __u32 track_epoch; /* version at which the tracking period began: entries of others do not exist */
  __u32 chain_epoch; /* version at which the chain became this */
  __u16 owner; /* mux ids */
  __u16 backup;
  __u32 owner_incarnation;
  __u32 backup_incarnation;
  __u32 reserved; /* zero */
  __u64 unrecorded_ns; /* when a packet of such a slot was last answered without a record; 0: never */
};
SIZE_IS(struct chain, 32);

enum flow_state {
  FLOW_STATE_NONE = 0,
  FLOW_STATE_NASCENT, /* its SYN was seen */
  FLOW_STATE_UNPROVEN, /* it was unknown, and is believed to be one of base */
  FLOW_STATE_TRUSTED, /* something else than a SYN came after the SYN */
};

/* Of `protocol` of a flow entry. */
#define FLOW_PROTOCOL_MASK 0x3f
#define FLOW_KEY_CLIENT    0x40 /* its key is a client with affinity, whatever its connections are */
#define FLOW_IS_IPV6       0x80

/* What owner and backup know of a flow; its fingerprint, the keyed 64-bit hash of the flow key, stands beside it. */
struct flow_entry {
  __u32 slot; /* index in `slots` of this mux; in messages: the slot of the pool that the message names */
  __u32 track_epoch;
  __be32 client; /* IPv4 address, or the first 32 bits of an IPv6 one: for people only */
  __u16 chain_epoch; /* low bits; of the chain under which it was recorded, or copied by its owner */
  __u16 backend;
  __u16 generation; /* of the backend */
  __u16 seen; /* last sign of life, flow time; in messages: how long ago */
  __u16 idle_time; /* of its service */
  __u8 state; /* enum flow_state; 0: free */
  __u8 protocol; /* of what was seen first, FLOW_PROTOCOL_MASK; and FLOW_KEY_CLIENT, FLOW_IS_IPV6 */
};
SIZE_IS(struct flow_entry, 24);

/* An entry with whose it is: a place of a bucket, and an element of messages. */
struct flow_message_entry {
  __u64 fingerprint;
  struct flow_entry entry;
};
SIZE_IS(struct flow_message_entry, 32);

/*
 * A bucket of the flow table. `lock` is a struct bpf_spin_lock; a free place has state 0. Of a bucket with one flow only
 * the first cache line is needed: `states` says which places are worth a look.
 */
struct flow_bucket {
  __u32 lock;
  __u16 states; /* FLOW_STATE_BITS a place: the state of its entry */
  __u16 touched; /* written before the bucket is needed, so that its line is on the way; never read */
  __u16 refused; /* when a new flow last found no place here, flow time; 0: never */
  __u8 reserved[22];
  struct flow_message_entry place[FLOW_PLACES];
};
SIZE_IS(struct flow_bucket, 256);

/*
 * A bucket of the flow cache: fingerprints of flow and track epoch, and what is known of the flow in one word, which
 * changes in one store. Not by locks: see flow.h.
 */
struct cache_bucket {
  __u64 fingerprint[CACHE_PLACES];
  __u64 state[CACHE_PLACES];
};
SIZE_IS(struct cache_bucket, 64);

/* Word of the flow cache: bits 0-11 backend, 12-19 low bits of its generation, 20-43 index in `slots`, 44-59 seen. */
#define CACHE_GENERATION_SHIFT 12
#define CACHE_SLOT_SHIFT       20
#define CACHE_SEEN_SHIFT       44
#define CACHE_SYN              (1ull << 60) /* learnt from a SYN: serves SYNs only */
#define CACHE_VALID            (1ull << 61)
#define CACHE_BUSY             (1ull << 62) /* somebody writes the fingerprint */

/* Past, and nobody is heard who could decide instead: written by a daemon that has listened. */
#define DEADLINE_ALONE 1

/* Who this mux is, and how far. Written by user space, each member in one store. */
struct mux_self {
  __u64 deadline; /* jiffies (driven time: ticks) until which this mux may decide; all ones: for ever */
  __u32 id; /* 1-63; 0: it is alone, and nobody keeps flows */
  __u32 incarnation; /* other whenever its tables were emptied */
  __u32 version; /* of the configuration that is in effect here */
  __u32
      time_offset; /* what makes the cluster's time of this host's: header time = (now >> TICK_SHIFT) + this */
  __u8 key_id; /* of the key that headers are signed with */
  __u8 reserved[7];
};
SIZE_IS(struct mux_self, 32);

/* Where the answer comes from to whether this server has the connection of a packet, for tests and simulation. */
enum driven_connection {
  DRIVEN_CONNECTION_KERNEL = 0, /* it is asked */
  DRIVEN_CONNECTION_NONE,
  DRIVEN_CONNECTION_HERE,
};

/* How a program tells the time (clock.h). Written by user space, each member in one store, `jiffy_ns` last. */
struct clock_record {
  __u64 driven_ns; /* the time, where it is driven */
  __u64 jiffies_offset_ns; /* CLOCK_MONOTONIC = jiffies * jiffy_ns + this */
  __u64 jiffy_ns; /* length of a jiffy; 0: not known (yet), and the kernel's clock is called */
};
SIZE_IS(struct clock_record, 24);

/* Keys of in-band headers (SipHash-2-4), by key id. */
struct ask_key {
  __u64 key[2];
  __u8 present;
  __u8 reserved[7];
};
SIZE_IS(struct ask_key, 24);

enum peer_flag {
  PEER_PAST_DEADLINE = 1 << 0, /* it said so of itself */
  PEER_PLEDGED = 1 << 1, /* it has pledged to the last probe that asked for it */
};

/* What the program has heard of a peer. Written by the program, except `copy_round`. */
struct peer_state {
  __u64 heard_ns; /* when its last answer came; 0: never */
  __u64 pledged_ns; /* when we pledged to it last; 0: never */
  __u32 copy_round; /* of messages of flows that we send to it; which it has taken is in copies_taken */
  __u32 version; /* as it last said */
  __u32 incarnation;
  __u32 time; /* its cluster time when it answered */
  __u32 echo; /* number of our probe that it answered last */
  __u32 flags; /* enum peer_flag */
  __u64 pledge_echo; /* number of our last probe to which it pledged */
  __u32 pledged_version; /* of ours when we pledged */
  __u32 reserved[3];
};
SIZE_IS(struct peer_state, 64);

/* Messages of a peer's copy round that it has taken: bit n % 32 of word n / 32, message n. */
struct copies_taken {
  __u32 word[(1 << MESSAGE_NUMBER_BITS) / 32];
};
SIZE_IS(struct copies_taken, 256);

enum ask_operation {
  ASK_OPERATION_NONE = 0,
  ASK_OPERATION_ASK, /* to the owner: who serves the flow of what I carry? */
  ASK_OPERATION_RECORD, /* to the backup: this does; remember it */
  ASK_OPERATION_ANSWER, /* to the asker */
  ASK_OPERATION_RELAY, /* take what I carry as if it had come to you */
  ASK_OPERATION_PROBE, /* no packet inside: are you there? */
  ASK_OPERATION_PROBE_ANSWER,
  ASK_OPERATION_FLOWS, /* entries inside */
  ASK_OPERATION_FLOWS_TAKEN,
};

enum ask_flag {
  ASK_NEW_FLOW = 1 << 0, /* TCP SYN, QUIC Initial */
  ASK_UNRECORDED = 1 << 1, /* nobody remembers the answer: do not cache it; ask: the backup returned it */
  ASK_LOOK_UP = 1 << 2, /* ICMP error or fragment: record nothing */
  ASK_PLEDGE = 1 << 3, /* probe: pledge that you have no newer version than mine; answer: I do */
  ASK_PAST_DEADLINE = 1 << 4, /* probe's answer */
  ASK_REFRESH = 1 << 5, /* flows: they are alive; without: a copy for a new backup */
  ASK_CUT = 1 << 6, /* query: the packet was too big, this is its beginning */
  ASK_CONNECTION =
      1 << 7, /* query: about this connection alone; its answer says nothing of the client's others */
};

#define ASK_FORMAT 1

/*
 * The in-band header: outer IP, UDP (source port by the flow), this, then the packet from its IP header on. In
 * little-endian order. `tag` is SipHash-2-4 of 55 bytes: the first five words, the 64-bit flow hash of what is carried
 * (probes: 0; flows: SipHash-2-4 of the entries), and the sixth word but for its last byte. What hops change stands
 * last: most of one tag's rounds serve for the next hop's, too.
 */
struct ask_header {
  __u8 format;
  __u8 key_id;
  __u8 asker; /* mux that the answer goes home to; of probes and flows: the sender of this very message */
  __u8 reserved;
  __u32 asker_incarnation;
  __u32 slot; /* of the pool; probes: number of the probe; flows: copy_round << 6 | number of the message */
  __u16 pool;
  __u8
      owner; /* the chain as the last hop knew it; of flows and of answers to probes and flows: whom they are for */
  __u8 backup;
  __u32 time; /* cluster time of the asker */
  __u32 version; /* of the asker's configuration */
  __u32 track_epoch;
  __u32 chain_epoch;
  __u32 owner_incarnation;
  __u32 backup_incarnation;
  __u8 operation; /* enum ask_operation */
  __u8 hops; /* taken so far */
  __u16 backend; /* the answer; flows: number of entries */
  __u16 generation;
  __u8 flags; /* enum ask_flag */
  __u8 unsigned_byte; /* 0 */
  __u64 tag;
};
SIZE_IS(struct ask_header, 56);

#define QUERY_FORMAT 2

enum query_operation {
  QUERY_OPERATION_NONE = 0,
  QUERY_OPERATION_ASK, /* to a holder: have you this client? */
  QUERY_OPERATION_HOME, /* to the asker: who has, or that nobody does */
  QUERY_OPERATION_PROBE, /* no packet inside: are you there? */
  QUERY_OPERATION_PROBE_ANSWER,
};

/*
 * The in-band header between filters, where muxes have struct ask_header: behind UDP, before the packet that is asked
 * about. In little-endian order. `tag` is SipHash-2-4 of all words before it and the 64-bit hash of the key of what is
 * carried (probes: 0). A holder asks the next one that it knows to be there; the last one, or one that has the client,
 * sends the query home.
 */
struct query_header {
  __u8 format; /* QUERY_FORMAT: no format of struct ask_header */
  __u8 key_id;
  __u8 operation; /* enum query_operation */
  __u8 flags; /* enum ask_flag */
  __u16 asker; /* server; of probes and their answers: the sender */
  __u16 pool;
  __u32 asker_incarnation;
  __u32 slot; /* of the pool; probes: number of the probe */
  __u32 time; /* cluster time of the asker */
  __u32 version; /* of the asker's configuration */
  __u32 record; /* of holders that the bucket names at the asker: home, another one is another question */
  __u32 answer_incarnation;
  __u16 holder[HOLDERS_MAX]; /* servers to ask, in this order */
  __u16 answer; /* server that has the client; 0: none has (yet); of answers to probes: whom they are for */
  __u16 sender; /* of this hop */
  __u8 count; /* of `holder` */
  __u8 position; /* in `holder`: who is asked now, or was asked last */
  __u8 hops; /* taken so far, this one included */
  __u8 reserved;
  __u64 tag;
};
SIZE_IS(struct query_header, 64);

/* A server that may hold affinities, as it was then: in another incarnation it holds none of these. */
struct holder {
  __u32 incarnation;
  __u16 server;
  __u16 reserved; /* zero */
};
SIZE_IS(struct holder, 8);

/*
 * Who may hold affinities of a tracked bucket besides its current server. Slots name it where those of muxes name a
 * chain. Written before a slot names it and then never changed, save `unrecorded_ns`, which programs write.
 */
struct bucket_holders {
  __u32 track_epoch; /* version at which the tracking period began */
  __u32 count;
  __u64 unrecorded_ns; /* when a session of such a bucket last began without a record; 0: never */
  struct holder holder[HOLDERS_MAX];
};
SIZE_IS(struct bucket_holders, 80);

/* What a filter drops at a glance, on a CPU. */
struct dropped {
  __u64 not_mine;
  __u64 unused[7]; /* of a cache line */
};
SIZE_IS(struct dropped, 64);

/*
 * Clients that have a session here: fingerprints of keys and, in one word each, what is known. Not by locks: see
 * affinity.h, which says how fingerprints come about.
 */
struct affinity_bucket {
  __u64 fingerprint[AFFINITY_PLACES];
  __u64 state[AFFINITY_PLACES];
};
SIZE_IS(struct affinity_bucket, 64);

/* Its word: bits 0-23 index in `slots`, 24-39 lifetime and 40-55 last sign of life, both in flow time. */
#define AFFINITY_LIFETIME_SHIFT 24
#define AFFINITY_SEEN_SHIFT     40
#define AFFINITY_VALID          (1ull << 56)
#define AFFINITY_BUSY           (1ull << 57) /* somebody writes the fingerprint */
#define AFFINITY_PROVEN         (1ull << 58) /* more than what began it was seen */

/* Clients that another server has; in the table `foreigns`. */
struct foreign_bucket {
  __u64 fingerprint[AFFINITY_PLACES];
  __u64 state[AFFINITY_PLACES];
};
SIZE_IS(struct foreign_bucket, 64);

/*
 * Its word: bits 0-9 server, 10-21 low bits of its incarnation, 22-29 lifetime (of pushed ones in units of 2^8), 30-45 when
 * it was learnt, flow time, 46-57 low bits of the version of who asked.
 */
#define FOREIGN_INCARNATION_SHIFT     10
#define FOREIGN_INCARNATION_MASK      0xfff
#define FOREIGN_LIFETIME_SHIFT        22
#define FOREIGN_LIFETIME_PUSHED_SHIFT 8
#define FOREIGN_SEEN_SHIFT            30
#define FOREIGN_VERSION_SHIFT         46
#define FOREIGN_VERSION_MASK          0xfff
#define FOREIGN_VALID                 (1ull << 58)
#define FOREIGN_BUSY                  (1ull << 59)
#define FOREIGN_PUSHED                (1ull << 60) /* by user space: nothing takes its place while it is alive */
#define FOREIGN_ASKED                 (1ull << 61) /* it asked, as holder we had not: a promise, no answer */

/* The interface that a filter hears at. Written by user space in one store; all zero: frames stay as they are. */
struct filter_link {
  __u8 address[6];
  __u8 reserved[2]; /* zero */
};
SIZE_IS(struct filter_link, 8);

/* What user space has the program `affinity` do, by a test run whose packet is a struct affinity_page. */
enum affinity_command {
  AFFINITY_COMMAND_NONE = 0,
  AFFINITY_COMMAND_CLOCK, /* nothing but now_ns and jiffies, which every command says */
  AFFINITY_COMMAND_PROBE, /* signs probe `number`, with `flags`, for any peer: in `header` */
  AFFINITY_COMMAND_SWEEP, /* takes out what has expired, and marks the rest in `held_slots` */
  AFFINITY_COMMAND_LIST, /* entries as they are, `time` their age */
  AFFINITY_COMMAND_LOOK_UP, /* one key, `hash`: its affinity, then its foreign entry (lifetime 0: none) */
  AFFINITY_COMMAND_RELEASE, /* takes out `count` entries, by their hash: affinities, and foreign ones with `flags` */
  AFFINITY_COMMAND_LEARN, /* `count` entries that other servers hold: pushed foreign ones */
};

/* An affinity, or with `server` a foreign one, as it crosses to user space and to other servers. */
struct affinity_entry {
  __u64 hash; /* of the key, alike at all servers */
  __u32 slot; /* index in `slots` here */
  __u32 incarnation; /* of `server`, low bits where it is listed */
  __u16 server; /* SERVER_NONE: this one */
  __u16 lifetime; /* flow time */
  __u16 age; /* since the last sign of life, flow time */
  __u8 is_proven;
  __u8 reserved;
};
SIZE_IS(struct affinity_entry, 24);

struct affinity_request {
  __u32 command; /* enum affinity_command */
  __u32 done; /* out: 1 */
  __u32 bucket; /* first one; out: the one to go on with; beyond the table: there are no more */
  __u32 buckets; /* at most; limited by AFFINITY_BUCKETS_MAX and by room */
  __u32 number; /* of a probe */
  __u32 flags; /* of a probe, enum ask_flag; of a release */
  __u32 count; /* of entries, in or out; of a sweep: taken out; of what is learnt or released: done */
  __u32 live; /* out, of a sweep: left */
  __u32 nascent; /* out, of a sweep: of these */
  __u32 reserved;
  __u64 hash; /* to look up */
  __u64 now_ns; /* out: CLOCK_MONOTONIC, or driven time */
  __u64 jiffies; /* out: at that time, as deadlines count */
};
SIZE_IS(struct affinity_request, 64);

struct affinity_page {
  struct affinity_request request;
  struct query_header header;
  struct affinity_entry entry[AFFINITY_ENTRIES_MAX];
};
SIZE_IS(struct affinity_page, 1664);

/* Which sentence of the design decided about a packet of a service at a filter. */
enum filter_rule {
  FILTER_RULE_NONE = 0, /* for no service, or past the deadline, or no bucket */
  FILTER_RULE_CLEAN, /* clean, and another's (rule 0) */
  FILTER_RULE_AFFINITY, /* this server has the client (1) */
  FILTER_RULE_CONNECTION, /* the kernel has the connection (1) */
  FILTER_RULE_FOREIGN, /* another server has the client (2) */
  FILTER_RULE_NOT_MINE, /* tracked, and another's (3) */
  FILTER_RULE_OWN, /* clean, and this server's (4) */
  FILTER_RULE_QUERY, /* tracked, this server's, and nobody known: the holders are asked (5) */
  FILTER_RULE_NOBODY, /* the same, and there is nobody to ask, or all said no (5) */
  FILTER_RULE_ADDRESS, /* of no port: by the bucket that the client has at the address */
  FILTER_RULE_FRAGMENT, /* as the first fragment */
};

/* Left beside `explanation` by a filter that explains. */
struct filter_explanation {
  __u32 rule; /* enum filter_rule */
  __u32 holders; /* index of the bucket's record; 0: none */
  __u64 affinity; /* word of the affinity here; 0: none */
  __u64 foreign; /* word of the foreign entry here; 0: none */
  __u16 answer; /* server that answers; SERVER_NONE: not known without asking */
  __u16 asked; /* server that would be asked first */
  __u32 reserved;
};
SIZE_IS(struct filter_explanation, 32);

/* Where the slots of a pool stand. A count of 0: there is no such pool here. One word, changed in one store. */
struct pool_slots {
  __u32 slot_base;
  __u32 slot_count;
};
SIZE_IS(struct pool_slots, 8);

/* Entries of the flow table in a census, by chain. User space empties them before. */
struct chain_flows {
  __u32 live;
  __u32 old; /* of these, of another backend than the slot's current one */
};
SIZE_IS(struct chain_flows, 8);

/* What user space has the program `flows` do, by a test run whose packet is a struct flows_page. */
enum flows_command {
  FLOWS_COMMAND_NONE = 0,
  FLOWS_COMMAND_CLOCK, /* nothing but now_ns and jiffies, which every command says */
  FLOWS_COMMAND_PROBE, /* signs probe `number`, with `flags`, for any peer */
  FLOWS_COMMAND_SWEEP, /* of the table: takes out what has expired, or is of a period that has ended; counts the rest */
  FLOWS_COMMAND_SWEEP_CACHE, /* takes out what was silent for `idle_time` */
  FLOWS_COMMAND_LIST, /* entries of the table as they are, their slots this mux's, `seen` their age */
  FLOWS_COMMAND_LOOK_UP, /* one flow: first the table's entry, then the cache's (state 0: none) */
  FLOWS_COMMAND_COPY, /* messages for `peer`, new as backup of this mux since `chain_epoch` */
  FLOWS_COMMAND_REFRESH, /* messages for `peer`, owner or backup of flows that are cached here; to oneself: done */
  FLOWS_COMMAND_RELEASE, /* one flow: goes to its slot's current backend from now on; answers as LOOK_UP did before */
  FLOWS_COMMAND_COPY_AHEAD, /* as COPY, of slots in `ahead_slots`: `peer` will keep them when a mux has left */
};

struct flows_request {
  __u32 command; /* enum flows_command */
  __u32 done; /* out: 1 */
  __u32 bucket; /* first one; out: the one to go on with; beyond the table: there are no more */
  __u32 buckets; /* at most; limited by FLOWS_BUCKETS_MAX and by room */
  __u32 slot_base; /* slots that count: those of one pool, for messages */
  __u32 slot_count; /* 0: all */
  __u32 peer;
  __u32 chain_epoch;
  __u32
      number; /* probe; or copy_round << MESSAGE_NUMBER_BITS | number of the first message; release: `client` of what is
                   not known yet; out: what became of it in the table, enum flow_event, FLOW_EVENT_COUNT: nothing */
  __u32 entries; /* out: in the messages, all but the last of which are full; of a sweep: taken out */
  __u16 pool; /* for messages */
  __u16 flags; /* of a probe, enum ask_flag; release: `protocol` of what is not known yet */
  __u16 age_max; /* refresh: seen no longer ago, flow time */
  __u16 idle_time; /* refresh, release: of entries that are not there; sweep of the cache */
  __u64 fingerprint; /* to look up or release, in slot `slot_base` */
  __u64 now_ns; /* out: CLOCK_MONOTONIC, or driven time */
  __u64 jiffies; /* out: at that time, as deadlines count */
};
SIZE_IS(struct flows_request, 72);

/* A message of flows as it goes behind UDP, but for what is missing in `entry`. Probes: the header only. */
struct flows_message {
  struct ask_header header;
  struct flow_message_entry entry[FLOW_MESSAGE_ENTRIES];
};
SIZE_IS(struct flows_message, 1336);

struct flows_page {
  struct flows_request request;
  struct flows_message message[FLOWS_MESSAGES];
};
SIZE_IS(struct flows_page, 2744);

/*
 * Why a packet left the program the way it did. Every exit has one, and its counter. The first word of a name is the
 * verdict, and the ranges keep verdicts together: PASS to the host untouched, ACCEPT to the host by a filter, DECAP to the
 * host unwrapped, FORWARD to a backend, QUERY to another filter, REPLY to the sender, DROP.
 */
enum reason {
  REASON_NONE = 0,

  PASS_NOT_IP,
  PASS_MALFORMED, /* no complete IP header: not known to be for a service; the host's stack judges it */
  PASS_NOT_A_SERVICE,
  PASS_NO_SUCH_PORT, /* a service address, but no service at this port and protocol */
  PASS_ICMP_OTHER, /* ICMP to a service address that is neither an echo request nor about a flow of a service */
  PASS_NOT_TUNNELLED, /* decap: neither from a mux nor for a service; the host may have tunnels of its own */
  ACCEPT_AFFINITY, /* filter: the client has a session here */
  ACCEPT_CONNECTION, /* of a tracked bucket: the kernel has this TCP connection */
  ACCEPT_OWN, /* of a clean bucket of this server */
  ACCEPT_NOBODY, /* of a tracked bucket of this server, and no other one has the client */
  ACCEPT_ADDRESS, /* an echo request, or for no port of a service: by the client's bucket at the address */
  ACCEPT_FRAGMENT, /* a later fragment whose first one was accepted */
  DECAP,

  FORWARD, /* by the slot of the flow's hash */
  FORWARD_QUIC, /* by the server ID of the connection ID */
  FORWARD_ICMP_ERROR, /* by the packet that the error quotes */
  FORWARD_FIRST_FRAGMENT,
  FORWARD_LATER_FRAGMENT,
  FORWARD_CACHED, /* of a tracked slot, by the cache */
  FORWARD_ANSWERED, /* of a tracked slot, by the answer that it came home with */
  FORWARD_UNRECORDED, /* of a tracked slot, to its base, and nobody remembers it */
  FORWARD_ALONE, /* past the deadline with no peer heard: by what is known here */
  ASK, /* wrapped, to the owner of the flow's slot */
  ASK_PASSED_ON, /* as owner by an older chain: on to the newer one's */
  ASK_RECORD, /* as owner: decided or known, recorded, on to the backup */
  ASK_RETURNED, /* as backup without a place for a new flow: back to the owner, which takes its decision back */
  ASK_ANSWER, /* as the last of the chain: home to the asker */
  RELAY_DEADLINE, /* past the deadline: to a peer that was heard lately */
  RELAY_FRAGMENT, /* to the mux that keeps the fragments of this datagram */
  QUERY, /* filter: wrapped, to the first of those that may have the client */
  QUERY_PASSED_ON, /* as holder without: on to the next one */
  QUERY_HAD, /* as holder with the client: home */
  QUERY_RETURNED, /* as the last holder, without: home */
  REPLY_NEIGHBOUR, /* filter: ARP or neighbour discovery, told the address that all servers hear */
  REPLY_PROBE, /* of a peer's heartbeat or pledge */
  REPLY_FLOWS, /* a message of flows was taken in */
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
  NOTED_PROBE, /* a peer's answer to our probe: its time, version and incarnation are in peer_states */
  NOTED_FLOWS, /* a peer has taken our message of flows */
  NOTED_LATE, /* a peer's answer to a probe or message that newer ones have been answered since: of no use */
  DROP_ASK_SOURCE, /* of the in-band header: not from the address of a peer */
  DROP_ASK_SIZE, /* shorter than its header, or longer than what it may carry */
  DROP_ASK_FORMAT, /* a format, operation or reserved bit that this version does not know */
  DROP_ASK_TAG, /* an unknown key, or the tag is not of this header and flow (another seed has this, too) */
  DROP_ASK_TIME, /* older or newer than ASK_TIME_WINDOW; or returned too late */
  DROP_ASK_SERVICE, /* what it carries is for no service here */
  DROP_ASK_SLOT, /* its pool and slot are not those of what it carries: another M */
  DROP_ASK_EPOCH, /* of a tracking period that has ended; or returned by a chain that is no more */
  DROP_ASK_INCARNATION, /* for another mux, or for what this one was before it lost its tables */
  DROP_ASK_HOPS,
  DROP_ASK_FENCED, /* asks and records past the deadline */
  DROP_ASK_PEER, /* for a mux that is not in the table */
  DROP_NOT_MINE, /* filter: of another server's bucket */
  DROP_FOREIGN, /* another server has the client */
  DROP_ANSWERED, /* it came home: another server has the client, and answers its own copy */
  DROP_NO_BUCKET, /* a port, or an address, that no server answers */
  DROP_FENCED, /* past the deadline */
  DROP_NEIGHBOUR, /* ARP or neighbour discovery for a service address that another server answers, or none */
  DROP_CUT, /* it was asked about by its beginning, for it was too big; what the client sends again is served */
  DROP_INTERNAL, /* a look-up that cannot fail did */

  REASON_COUNT,
};

struct traffic {
  __u64 packets;
  __u64 bytes; /* of IP, as received */
  __u64 new_flows; /* TCP SYN, QUIC Initial */
};
SIZE_IS(struct traffic, 24);

/* What happens on the way of a packet, besides its reason; several may. Of asks at their owner unless said otherwise. */
enum flow_event {
  FLOW_KNOWN = 0, /* the owner had an entry */
  FLOW_NEW, /* decided as new: current */
  FLOW_BASE, /* decided as unknown: base */
  FLOW_PROMOTED, /* nascent became trusted */
  FLOW_TABLE_FULL, /* no place, or no quota: answered with base, unrecorded */
  FLOW_REDECIDED, /* the entry's backend was gone */
  FLOW_RECORDED, /* at the backup */
  FLOW_RECORD_KEPT, /* at the backup: an entry of a newer chain epoch won */
  FLOW_RECORD_FULL, /* at the backup: no place; the answer goes home unrecorded, of a new flow by way of the owner */
  FLOW_CACHED, /* at the asker: an answer was cached */
  FLOW_CACHE_FULL, /* at the asker: it took the place of another */
  FLOW_CACHE_STALE, /* at the asker: entry of another backend generation, or idle too long */
  FLOW_CACHE_SYN, /* at the asker: learnt from a SYN, and this is none: asked again */
  FLOW_LOOKED_UP, /* an ICMP error or a later fragment: nothing was recorded */
  FLOW_CHAIN_NEWER_HERE, /* the header's chain was older than this mux's */
  FLOW_CHAIN_NEWER_THERE, /* this mux's chain was older than the header's */
  FLOW_LONELY, /* as owner without backup */
  FLOW_REFRESHED, /* by a message of flows */
  FLOW_COPIED, /* inserted by a message of flows */
  FLOW_COPY_KEPT, /* by a message of flows: there was an entry already */
  FLOW_COPY_FULL, /* by a message of flows: no place */
  FLOW_EXPIRED, /* swept: no sign of life for long enough, or its slot is clean */
  FLOW_ENTRY_REFUSED, /* by a message of flows: of a slot, period or backend that is not here, or too old */
  FLOW_TAKEN_BACK, /* what was decided of a new flow, for which the backup had no place: now base, unrecorded */
  FLOW_TOO_BIG, /* will not fit between muxes in a header: answered with base, unrecorded */
  AFFINITY_RECORDED,
  AFFINITY_PROVEN_NOW, /* nascent became proven */
  AFFINITY_FULL, /* no place, or no quota: the session is served and not remembered */
  FOREIGN_LEARNT, /* by an answer that came home */
  FOREIGN_REMEMBERED, /* of who asked, as holder */
  FOREIGN_FULL, /* no place but those of pushed ones */
  QUERY_CUT, /* sent by its beginning */
  FLOW_EVENT_COUNT,
};
_Static_assert(FLOW_EVENT_COUNT <= FLOW_EVENTS_MAX, "every event has a counter");

/* What one CPU counted. Only that CPU writes it; user space reads it through mmap. */
struct counters {
  __u64 reasons[REASONS_MAX]; /* packets, by enum reason */
  __u64 flow_events[FLOW_EVENTS_MAX]; /* by enum flow_event */
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
  __u64 reasons[REASONS_MAX / 64]; /* bit n % 64 of word n / 64: enum reason n */
  struct ip_address client;
  struct ip_address address;
  __be16 client_port;
  __be16 port;
  __u32 protocol;
};
SIZE_IS(struct capture_filter, 56);

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

/* Where the backend of a tracked slot's packet comes from. */
enum answer_source {
  ANSWER_BY_NOBODY = 0, /* the slot is clean, or the packet got no further */
  ANSWER_BY_CACHE,
  ANSWER_BY_TABLE, /* this mux owns the slot and knows the flow */
  ANSWER_BY_CURRENT, /* this mux owns the slot and decides: new */
  ANSWER_BY_BASE, /* the same, unknown; or nobody can be asked */
  ANSWER_BY_OWNER, /* it would be asked */
};

struct explanation {
  struct decision decision;
  enum reason reason;
  __u32 ifindex; /* egress of what is forwarded; 0: the interface of arrival */
  struct fragment_key fragment; /* whose first fragment was looked for */
  __u32 fragment_wanted; /* `fragment` is set */
  /* Of a tracked slot. The chain as this mux has it; 0: nobody. */
  __u32 chain; /* index */
  __u32 track_epoch;
  __u32 chain_epoch;
  __u16 owner;
  __u16 backup;
  __u8 tracked;
  __u8 answer_source; /* enum answer_source */
  __u16 answer; /* backend, unless the owner must be asked */
};
SIZE_IS(struct explanation, 104);

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
