/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The packet programs of `mode l4`. `ingress` stands at the tc ingress hook of every interface and either sends a packet on its way or
 * leaves it to the kernel; `unwrap` takes packets out of tunnels on a real server; `expire`, `forget`, `learn` and `recall` are called by
 * the process, with keys in place of a packet.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define PACKET_HOST 0
/* Not ours: to other programs at the hook, and then to the kernel. TC_ACT_OK would end at us. */
#define PASS_ON TC_ACT_UNSPEC
/* Of the functions that may leave a packet to their caller; no verdict. */
#define GO_ON 100
/* Tells the verifier that it is another. */
#define VERDICT(verdict) ((verdict) & 15)
#define AF_INET 2
#define AF_INET6 10

char l4_license[] SEC("license") = "Dual MIT/GPL";

#define MAP(name, kind, size, key_type, value_type)                                                                    \
	struct {                                                                                                       \
		__uint(type, kind);                                                                                    \
		__uint(max_entries, size);                                                                             \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

/* Arrays of arrays whose length is that of the list or table they hold. */
#define MAP_OF_LISTS(name, value_type)                                                                                 \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                                              \
		__uint(max_entries, L4_SERVICES);                                                                      \
		__type(key, __u32);                                                                                    \
		__array(values, struct {                                                                               \
			__uint(type, BPF_MAP_TYPE_ARRAY);                                                              \
			__uint(map_flags, BPF_F_INNER_MAP);                                                            \
			__uint(max_entries, 1);                                                                        \
			__uint(key_size, sizeof(__u32));                                                               \
			__uint(value_size, sizeof(value_type));                                                        \
		});                                                                                                    \
	} name SEC(".maps")

/* For processes alone. */
MAP(owner, BPF_MAP_TYPE_ARRAY, 1, __u32, struct l4_owner);
MAP(addresses, BPF_MAP_TYPE_HASH, 4 * L4_SERVICES, struct l4_address_key, __u32);
MAP(doors, BPF_MAP_TYPE_ARRAY, 65536, __u32, struct l4_door);
MAP(services, BPF_MAP_TYPE_ARRAY, L4_SERVICES, __u32, struct l4_service);
MAP(servers, BPF_MAP_TYPE_ARRAY, L4_SERVERS, __u32, struct l4_server);
MAP(loads, BPF_MAP_TYPE_ARRAY, L4_SERVERS, __u32, struct l4_load);
MAP(traffic, BPF_MAP_TYPE_PERCPU_ARRAY, L4_SERVERS, __u32, struct l4_traffic);
MAP(origins, BPF_MAP_TYPE_ARRAY, L4_ORIGINS, __u32, struct l4_origin);
MAP(returns, BPF_MAP_TYPE_PERCPU_ARRAY, L4_RETURNS, __u32, struct l4_return);
MAP(answering, BPF_MAP_TYPE_ARRAY, L4_ANSWERING, __u32, __u64);
/* Number of the next new flow, by service. */
MAP(turns, BPF_MAP_TYPE_ARRAY, L4_SERVICES, __u32, __u64);
MAP(epochs, BPF_MAP_TYPE_ARRAY, 1, __u32, __u32);
MAP(ways, BPF_MAP_TYPE_ARRAY, L4_SERVERS, __u32, struct l4_route);
MAP(unwrapped, BPF_MAP_TYPE_ARRAY, 1, __u32, __u32);
MAP(counts, BPF_MAP_TYPE_PERCPU_ARRAY, L4_COUNTS, __u32, __u64);
MAP(scratches, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct l4_scratch);
/* The loader sets the sizes of these. */
MAP(flows, BPF_MAP_TYPE_HASH, 1 << 16, struct l4_flow_key, struct l4_flow);
MAP(templates, BPF_MAP_TYPE_HASH, 1 << 14, struct l4_template_key, struct l4_template);
/* Nothing counts on these, so that the oldest may go when there are too many. */
MAP(localities, BPF_MAP_TYPE_LRU_HASH, 1 << 14, struct l4_locality_key, struct l4_locality);
MAP(fragments, BPF_MAP_TYPE_LRU_HASH, 1 << 12, struct l4_fragment_key, struct l4_fragment);
MAP_OF_LISTS(members, struct l4_members);
MAP_OF_LISTS(tables, __u32);
MAP_OF_LISTS(sources, struct l4_address);

#include "parse.c"
#include "stats.c"
#include "route.c"
#include "schedule.c"
#include "lookup.c"
#include "answer.c"
#include "rewrite.c"
#include "toa.c"
#include "tunnel.c"
#include "icmp.c"
#include "sync.c"

/* Sends a packet of a flow that has a route. */
static __always_inline int forward(struct __sk_buff *skb, const struct packet *p, struct l4_flow *flow, __u32 server)
{
	int verdict = GO_ON;

	count_packet(skb, server, flow->direction == L4_REPLY);
	if (flow->mode == L4_NAT || flow->mode == L4_FULLNAT) {
		verdict = translate(skb, p, flow);
		if (verdict == GO_ON && FLAGS_OF(flow->word) & L4_FLOW_TOA)
			verdict = tell_client(skb, p, flow);
	} else if (flow->mode == L4_TUN) {
		verdict = encapsulate(skb, p, flow);
	}
	return verdict == GO_ON ? leave_by(&flow->route) : VERDICT(verdict);
}

/* What a flow's packet needs before it can be sent. GO_ON, or its verdict. */
static __always_inline int prepare(struct __sk_buff *skb, struct packet *p, struct l4_flow *flow, __u64 now)
{
	__u32 server = SERVER_OF(flow->word);

	if (p->first_fragment)
		remember_fragment(p, server);
	if (flow->mode == L4_LOCAL) {
		count_packet(skb, server, 0);
		return VERDICT(to_socket(skb, p, flow));
	}
	int problem = has_route(skb, p, flow) ? 0 : route_flow(skb, p, flow, now);
	if (!problem)
		return GO_ON;
	count_packet(skb, server, flow->direction == L4_REPLY);
	if (problem == L4_COUNT_TOO_BIG && (p->dont_fragment || flow->mode == L4_TUN))
		return VERDICT(too_big(skb, p, flow->route.mtu - p->extra));
	return give_up(problem);
}

/* A packet of a flow that may change more than counters. */
static __noinline int follow(struct __sk_buff *skb, struct packet *p, struct l4_flow *flow, __u64 now)
{
	if (flow->direction == L4_REPLY)
		follow_reply(p, flow, now);
	else
		move_state(flow, p->tcp_flags, 0);
	touch(flow, now);
	if ((__s32)(flow->route.until - ROUTE_TIME(now)) <= 0)
		flow->route.epoch = 0;
	flow->tick = bpf_jiffies64();
	return prepare(skb, p, flow, now);
}

/* A packet without a flow. */
static __noinline int begin_flow(struct __sk_buff *skb, struct packet *p, struct l4_scratch *scratch, __u64 now)
{
	__u32 service = find_service(p);

	if (!service)
		return PASS_ON;
	if (!new_flow(skb, p, scratch, service - 1, now))
		return VERDICT(refuse(skb, p));
	return prepare(skb, p, &scratch->flow, now);
}

/* CLOCK_MONOTONIC_COARSE, which moves with the jiffies: read once for each of them, as that costs as much as a look into a table. */
static __always_inline __u64 coarse_time(struct l4_scratch *scratch)
{
	__u64 tick = bpf_jiffies64();

	if (scratch->tick != tick) {
		scratch->now = bpf_ktime_get_coarse_ns();
		scratch->tick = tick;
	}
	return scratch->now;
}

/* A packet that is no more of the same, or the first of its flow. GO_ON: it goes as `flow` says. */
static __always_inline int judge(struct __sk_buff *skb, struct packet *p, struct l4_flow **flow)
{
	__u32 zero = 0;
	struct l4_scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);

	if (!scratch)
		return TC_ACT_SHOT;
	__u64 now = coarse_time(scratch);
	if (!*flow && begins(p)) {
		if (new_flow_at_once(skb, p, scratch, now)) {
			*flow = &scratch->flow;
			return prepare(skb, p, *flow, now);
		}
		*flow = bpf_map_lookup_elem(&flows, &p->key);
	}
	if (*flow && !is_over(p, *flow))
		return follow(skb, p, *flow, now);
	if (*flow)
		release(&p->key, *flow, now);
	*flow = &scratch->flow;
	return begin_flow(skb, p, scratch, now);
}

SEC("classifier")
int ingress(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct packet *p = bpf_map_lookup_elem(&packets, &zero);

	/* Others' packets pass by in promiscuous mode. */
	if (!p || skb->pkt_type != PACKET_HOST)
		return PASS_ON;
	switch (parse(skb, p)) {
	case ICMP:
		return pass_error(skb);
	case NOT_OURS:
		return PASS_ON;
	case PARSED:
		break;
	}
	p->epoch = current_epoch();
	int first = begins(p) && may_be_ours(p);
	struct l4_flow *flow = 0;
	struct l4_return *back = 0;
	if (!first && may_answer(&p->key)) {
		struct l4_scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);
		const struct l4_flow *whole = scratch ? answered(&p->key, scratch) : 0;
		if (whole) {
			flow = answer_of(whole, scratch);
			/* Else it depends on the virtual address as well. */
			back = is_shared(p->epoch) ? recall_route(flow) : 0;
		}
	}
	if (!first && !flow)
		flow = bpf_map_lookup_elem(&flows, &p->key);
	if (!flow && !first && !may_be_ours(p))
		return PASS_ON;
	if (!flow || !is_settled(p, flow) || !has_route(skb, p, flow)) {
		int verdict = judge(skb, p, &flow);
		if (back && flow)
			keep_route(flow, back);
		if (verdict != GO_ON)
			return verdict;
	}
	return flow ? forward(skb, p, flow, SERVER_OF(flow->word)) : TC_ACT_SHOT;
}

SEC("classifier")
int unwrap(struct __sk_buff *skb)
{
	return decapsulate(skb);
}

/* Releases the flows whose keys it is given, if they are over by now. Says how many it released. */
SEC("xdp")
int expire(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct l4_expire *head = data;
	__u32 released = 0;

	if ((void *)(head + 1) > end)
		return 0;
	struct l4_flow_key *keys = (void *)(head + 1);
	for (int i = 0; i < L4_EXPIRE_MAX; i++) {
		if ((void *)(keys + i + 1) > end || i >= head->count)
			break;
		struct l4_flow_key key = keys[i];
		released += expire_flow(&key, head->now, head->force);
	}
	return released;
}

/* The same for templates. */
SEC("xdp")
int forget(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct l4_expire *head = data;
	__u32 forgotten = 0;

	if ((void *)(head + 1) > end)
		return 0;
	struct l4_template_key *keys = (void *)(head + 1);
	for (int i = 0; i < L4_EXPIRE_MAX; i++) {
		if ((void *)(keys + i + 1) > end || i >= head->count)
			break;
		struct l4_template_key key = keys[i];
		forgotten += forget_template(&key, head->now, head->force);
	}
	return forgotten;
}

/* Takes over the flows it is given, which another director told of. Says how many are new. */
SEC("xdp")
int learn(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct l4_expire *head = data;
	__u32 zero = 0, learned = 0;
	struct l4_scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);

	if ((void *)(head + 1) > end || !scratch)
		return 0;
	struct l4_told_flow *told = (void *)(head + 1);
	for (int i = 0; i < L4_TOLD_MAX; i++) {
		if ((void *)(told + i + 1) > end || i >= head->count)
			break;
		struct l4_flow_key key = told[i].key;
		scratch->flow = told[i].flow;
		learned += learn_flow(&key, scratch, head->now);
	}
	return learned;
}

/* The same for templates. */
SEC("xdp")
int recall(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct l4_expire *head = data;
	__u32 learned = 0;

	if ((void *)(head + 1) > end)
		return 0;
	struct l4_told_template *told = (void *)(head + 1);
	for (int i = 0; i < L4_TOLD_MAX; i++) {
		if ((void *)(told + i + 1) > end || i >= head->count)
			break;
		struct l4_template_key key = told[i].key;
		learned += learn_template(&key, told[i].server, told[i].seen);
	}
	return learned;
}
