/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What the packet programs and the process share: the layout of every map. src/l4/abi.rs is the other half; a test compares sizes.
 *
 * Addresses are 16 bytes; IPv4 is mapped (::ffff:a.b.c.d). Ports in keys and servers are in network order, everything else is the
 * machine's. Times of flows are CLOCK_MONOTONIC_COARSE in ns, timeouts are seconds.
 */
#ifndef WEIR_L4_ABI_H
#define WEIR_L4_ABI_H

#define L4_SERVICES 1024
#define L4_SERVERS 16384
#define L4_MEMBERS_MAX 1024
#define L4_SLOTS_MAX (1 << 20)
#define L4_NO_SERVER 0xffffffffu

struct l4_address {
	union {
		__u8 bytes[16];
		__be32 words[4];
	};
};

/* How a packet reaches its server. */
enum l4_mode {
	L4_NAT = 1,
	L4_DR = 2,
	L4_TUN = 3,
	L4_FULLNAT = 4,
	/* The server is this host: a socket here takes the packet. */
	L4_LOCAL = 5,
};

/* Map addresses: what clients connect to -> id of the service. A port of 0 is every port without an entry of its own. */
struct l4_address_key {
	struct l4_address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

enum l4_scheduler {
	/* A slot of the service's table: rr, wrr, sh, dh, mh. `l4_service.index` says which. */
	L4_BY_TABLE = 0,
	L4_LC = 1,
	L4_WLC = 2,
	L4_SED = 3,
	L4_NQ = 4,
	L4_FO = 5,
	L4_OVF = 6,
	L4_LBLC = 7,
	L4_LBLCR = 8,
	L4_TWOS = 9,
};

/* What chooses the slot of a table. */
enum l4_index {
	/* The number of the new flow, modulo the table's length. */
	L4_TURN = 0,
	L4_SOURCE = 1,
	L4_SOURCE_PORT = 2,
	L4_DESTINATION = 3,
};

#define L4_SERVICE_ONE_PACKET 1
/* Equal load: the first listed, as IPVS; without, the greater weight. */
#define L4_SERVICE_IPVS_TIES 2
/* A hashed slot without a usable server: hash again (sh-fallback, mh-fallback). */
#define L4_SERVICE_FALLBACK 4

/* Map services, by id. */
struct l4_service {
	__u8 scheduler;
	__u8 index;
	__u16 flags;
	/* Lengths of the service's lists in `members` and `tables`. */
	__u32 members;
	__u32 slots;
	__u32 timeout_tcp;
	__u32 timeout_tcpfin;
	__u32 timeout_udp;
	/* Seconds a template lives after its last flow; 0: no persistence. */
	__u32 persist;
	struct l4_address persist_mask;
	/* fullnat: length of the list in `sources`, and the ports to use of each address, both inclusive, in host order. */
	__u32 sources;
	__u16 port_first;
	__u16 port_last;
};

/* Map members: service id -> array of l4_members, in the order of the configuration. Only servers that may get new flows. */
struct l4_member {
	__u32 server;
	__u32 weight;
	/* Share of all new flows it may get, in 1/65536; 65536: any. */
	__u32 admission;
};

#define L4_PAGE 8

/* So many are in one entry of the list: each look into it costs as much as weighing one of them. Places beyond the last member are 0. */
struct l4_members {
	struct l4_member of[L4_PAGE];
};

/* Map sources: service id -> array of the director's addresses that fullnat's servers see. */

/* Flows end at their next packet: the server was removed or is down, and its service cuts. */
#define L4_SERVER_CUT 1
/* Persistence does not bring clients to it: it is down and its service moves them (`on-down move`). */
#define L4_SERVER_LEAVE 2
/* As L4_SERVER_CUT, for UDP alone: the server was removed. */
#define L4_SERVER_CUT_UDP 4
/* For the process: it ends the server's UDP flows as soon as it writes this. */
#define L4_SERVER_END_UDP 8
/* fullnat: it is told the client's address in a TCP option. */
#define L4_SERVER_TOA 16
/* nat: what comes from it to a client is of the one address that `origins` names, so that its flows need no entry for answers. */
#define L4_SERVER_SOLE 32

/* Map servers, by id. */
struct l4_server {
	struct l4_address address;
	/* 0: the port the client used. */
	__be16 port;
	__u8 mode;
	__u8 flags;
	__u32 service;
	/* Thresholds of flows; 0: none. */
	__u32 upper;
	__u32 lower;
	/* Of UDP encapsulation (GUE); 0: plain IPIP. */
	__be16 tunnel_port;
	__u16 pad;
	/* tun: the director's address in the outer header. Set by the process as it writes. */
	struct l4_address local;
};

/* Map unwrapped, one entry: the port of UDP at which `unwrap` takes packets out of GUE; 0: none. In network order. */

/* Map loads, by server id; written by the packet programs only. */
struct l4_load {
	__u32 active;
	__u32 inactive;
	/* Templates that name it. */
	__u32 persistent;
	__u32 overloaded;
};

/* Map traffic, by server id, per CPU. A service's figures are its servers' sums. */
struct l4_traffic {
	__u64 flows;
	__u64 in_packets;
	__u64 out_packets;
	__u64 in_bytes;
	__u64 out_bytes;
};

/* Map flows: a packet's addresses as it arrives. */
struct l4_flow_key {
	struct l4_address source;
	struct l4_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 pad[3];
};

enum l4_direction {
	L4_FORWARD = 0,
	L4_REPLY = 1,
};

/* The states of IPVS, under its names in `show l4 flows`. */
enum l4_state {
	L4_NONE = 0,
	L4_ESTABLISHED = 1,
	L4_SYN_SENT = 2,
	L4_SYN_RECV = 3,
	L4_FIN_WAIT = 4,
	L4_TIME_WAIT = 5,
	L4_CLOSE = 6,
	L4_CLOSE_WAIT = 7,
	L4_LAST_ACK = 8,
	L4_LISTEN = 9,
	L4_SYNACK = 10,
	L4_UDP = 11,
	/* Released: its counters are given back, its entries are about to go. */
	L4_RELEASED = 12,
};

#define L4_FLOW_PERSISTENT 1
/* A reply's entry without a forward one: each datagram of its service is scheduled for itself. */
#define L4_FLOW_ONE_PACKET 2
/* The client's address goes into its first segments. */
#define L4_FLOW_TOA 4
/* nat: there is no entry for answers, `origins` leads them to this one. */
#define L4_FLOW_ALONE 8

/* Where packets leave, as the kernel's tables had it when they were asked last. */
struct l4_route {
	/* Of the map `epochs` then; 0: not known. */
	__u32 epoch;
	/* When to ask again all the same, in units of 2^30 ns. */
	__u32 until;
	__u32 interface;
	/* The interface it was asked for packets from, and their type of service. */
	__u32 entrance;
	__u16 mtu;
	__u8 family;
	__u8 tos;
	/* The neighbour; of IPv4 its last word. */
	struct l4_address next;
};

struct l4_flow {
	/* server << 32 | flags << 8 | state. Changes by compare-and-swap alone, so that counters move with it exactly once. */
	__u64 word;
	__u64 seen;
	struct l4_route route;
	/* The kernel's jiffies when a packet was last looked at closely. */
	__u32 tick;
	/* What the packet's addresses become (nat, fullnat). */
	struct l4_address source;
	struct l4_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 service;
	__u8 direction;
	__u8 mode;
	/* tun: the server's, as it was when the flow began. */
	__be16 tunnel_port;
	/* When another director told of it last; 0: never. Of a reply's entry under toa: the acknowledgement that the server's SYN gets. */
	__u32 told;
};

/*
 * Map origins: where a nat server's answers come from, and the virtual address they are of. Each has the place that its hash says, or none: a
 * look there costs less than a search. It stays while a flow has the server.
 */
#define L4_ORIGINS 16384

struct l4_origin {
	struct l4_address from;
	struct l4_address address;
	__be16 from_port;
	__be16 port;
	/* Whose it is, for a process that takes over. */
	__u32 server;
	/* 0: nobody's. */
	__u8 protocol;
	__u8 pad[3];
};

/* Map returns, per CPU: the routes of answers to clients, each at the place that the client's hash says. */
#define L4_RETURNS 4096

struct l4_return {
	struct l4_address client;
	struct l4_route route;
	/* The kernel's jiffies when it was last looked at closely. */
	__u32 tick;
};

/* Map answering: a bit for each port that some place of `origins` has, 64 at each place. */
#define L4_ANSWERING (65536 / 64)

/* Map templates: which server a client stays on. */
struct l4_template_key {
	struct l4_address client;
	__u32 service;
};

struct l4_template {
	__u64 seen;
	/* server << 32 | live flows. Changes by compare-and-swap alone. L4_NO_SERVER: about to go. */
	__u64 word;
};

/* What the programs `expire` and `forget` are given in place of a packet: this, then `count` keys, of flows or of templates. */
struct l4_expire {
	__u64 now;
	/* Release them whatever their age. */
	__u32 force;
	__u32 count;
};

#define L4_EXPIRE_MAX 80

/* What the programs `learn` and `recall` are given: l4_expire without `force`, then `count` of these. */
struct l4_told_flow {
	struct l4_flow_key key;
	struct l4_flow flow;
};

struct l4_told_template {
	struct l4_template_key key;
	__u32 server;
	__u64 seen;
};

#define L4_TOLD_MAX 20

/* Map localities: a destination's server under lblc (`server` of the key is L4_NO_SERVER), or that it has a set under lblcr; and each of that set. */
struct l4_locality_key {
	struct l4_address destination;
	__u32 service;
	__u32 server;
};

struct l4_locality {
	__u64 seen;
	/* lblcr: when the set last changed. */
	__u64 changed;
	/* lblcr: the flow the set began with. Its servers have the same number, so that those of an older set do not count. */
	__u64 birth;
	__u32 server;
	/* lblcr: how many servers are in the set. */
	__u32 size;
};

/*
 * Map epochs, one entry: a number that the process changes with the routes of this host and with the servers' flags, so that what packets
 * keep from one to the next is of use only while it is the same. 0: nobody watches, nothing is kept. Odd: routes may differ by where packets
 * come from (`ip rule`), and those to a server are not shared by its flows.
 */

/*
 * Map doors, by port in host order: whether some service has the port, so that most packets that are for nobody here are told by that alone; and
 * the service, where it is the only one with that port, so that its packets need no search. Entry 0 is open if a service has all ports.
 * A door is opened before the service's address is written, and stays.
 */
enum l4_door_state {
	L4_DOOR_CLOSED = 0,
	/* The service is looked for among `addresses`. */
	L4_DOOR_OPEN = 1,
	/* Here it is. The rest was written before. */
	L4_DOOR_ONE = 2,
};

struct l4_door {
	struct l4_address address;
	__u32 service;
	__u8 protocol;
	__u8 state;
	__u16 pad;
};

/* Map ways, by server id: an l4_route its new flows begin with. */

/* Map fragments: the ports of a datagram whose later fragments carry none. */
struct l4_fragment_key {
	struct l4_address source;
	struct l4_address destination;
	__be32 id;
	__u8 protocol;
	__u8 pad[3];
};

struct l4_fragment {
	__be16 source_port;
	__be16 destination_port;
	/* Where the first one went, plus 1. */
	__u32 server;
};

/* Map scratches, per CPU: what a new flow needs beyond the stack. */
struct l4_scratch {
	struct l4_flow flow;
	struct l4_flow reply;
	struct l4_flow_key back;
	/* Of the flow that a packet answers. */
	struct l4_flow_key whole;
	/* The clock, and the kernel's jiffies when it was read. */
	__u64 now;
	__u64 tick;
};

/* Map owner: the process the maps are for, by its number and when it started. */
struct l4_owner {
	__u64 pid;
	__u64 started;
	/* What it changed of the host, to be put back at the end. */
	__u64 turned_on;
};

/* Map counts, per CPU: what became of packets for our services that were not forwarded, and events. */
enum l4_count {
	L4_COUNT_NO_SERVER,
	L4_COUNT_NO_ROUTE,
	L4_COUNT_TABLE_FULL,
	L4_COUNT_PORTS_EXHAUSTED,
	L4_COUNT_CONFLICT,
	L4_COUNT_FRAGMENT,
	L4_COUNT_MALFORMED,
	L4_COUNT_TTL,
	L4_COUNT_TOO_BIG,
	L4_COUNT_NOT_SYN,
	L4_COUNT_REWRITE,
	L4_COUNT_REFUSED,
	L4_COUNT_CUT,
	L4_COUNTS,
};

#endif
