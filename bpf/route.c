/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * A packet's way out. To ask the kernel's tables costs more than all else that a packet of a known flow needs, so a flow keeps the answer, and
 * a server keeps it for flows to come, until the process says that something has changed; or for a second or two, if the process is gone. Who the
 * neighbour is the kernel looks up for every packet.
 *
 * Two CPUs may write a flow's route at once: both have the same answer, but for the moment in which the tables change.
 */

/* BPF_FIB_LOOKUP_SKIP_NEIGH: the neighbour is looked up when the packet is sent. */
#define SKIP_NEIGHBOUR 4
/* Of the type of service, what routes may depend on. */
#define ROUTE_TOS 0x1c

/* Between an outer IP header and the packet: UDP, and the header of GUE (draft-ietf-intarea-gue) without anything optional. */
struct gue {
	struct udphdr udp;
	/* Version 0, no control message, no more words than this one. */
	__u8 kind;
	__u8 protocol;
	__be16 flags;
};

/* What a flow keeps its route by. */
#define ROUTE_TIME(now) ((__u32)((now) >> 30))

static __always_inline __u32 current_epoch(void)
{
	__u32 zero = 0, *epoch = bpf_map_lookup_elem(&epochs, &zero);

	return epoch ? *epoch : 0;
}

static __always_inline int is_shared(__u32 epoch)
{
	return !(epoch & 1);
}

static __always_inline int is_for(const struct l4_route *route, struct __sk_buff *skb, const struct packet *p)
{
	return p->epoch && route->epoch == p->epoch && route->entrance == skb->ingress_ifindex && route->tos == (p->tos & ROUTE_TOS);
}

/* Asks for the route to `to` for a packet as if it came from `from`. 0, or what to count; `mtu` is set then. */
static __noinline int find_route(struct __sk_buff *skb, const struct packet *p, const struct l4_address *from,
				 const struct l4_address *to, struct l4_route *route)
{
	struct bpf_fib_lookup fib = {
		/* Of a tunnel's outer packet, which may be of another family. */
		.family = is_mapped(to) ? AF_INET : AF_INET6,
		.l4_protocol = p->key.protocol,
		.tot_len = p->length + p->extra,
		.ifindex = skb->ingress_ifindex,
	};

	if (fib.family == AF_INET) {
		fib.tos = p->tos & ROUTE_TOS;
		fib.ipv4_src = from->words[3];
		fib.ipv4_dst = to->words[3];
	} else {
		__builtin_memcpy(fib.ipv6_src, from->words, 16);
		__builtin_memcpy(fib.ipv6_dst, to->words, 16);
	}
	int found = bpf_fib_lookup(skb, &fib, sizeof(fib), SKIP_NEIGHBOUR);

	/* Before Linux 6.3 there is no such flag. */
	if (found == -EINVAL)
		found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);

	route->mtu = fib.mtu_result;
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return L4_COUNT_TOO_BIG;
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return L4_COUNT_NO_ROUTE;
	route->interface = fib.ifindex;
	route->entrance = skb->ingress_ifindex;
	route->tos = p->tos & ROUTE_TOS;
	route->family = fib.family;
	if (fib.family == AF_INET)
		route->next.words[3] = fib.ipv4_dst;
	else
		__builtin_memcpy(route->next.words, fib.ipv6_dst, 16);
	return 0;
}

static __always_inline int leave_by(const struct l4_route *route)
{
	struct bpf_redir_neigh neighbour = { .nh_family = route->family };

	if (route->family == AF_INET)
		neighbour.ipv4_nh = route->next.words[3];
	else
		__builtin_memcpy(neighbour.ipv6_nh, route->next.words, 16);
	return bpf_redirect_neigh(route->interface, &neighbour, sizeof(neighbour), 0);
}

/* A packet that stands for several gets smaller segments by itself. */
static __always_inline __u32 extra_of(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	if (flow->mode != L4_TUN || skb->gso_size)
		return 0;
	return (is_mapped(&flow->destination) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + (flow->tunnel_port ? sizeof(struct gue) : 0);
}

/* The flow has a route, and the packet fits. */
static __always_inline int has_route(struct __sk_buff *skb, struct packet *p, const struct l4_flow *flow)
{
	p->extra = extra_of(skb, p, flow);
	return is_for(&flow->route, skb, p) && p->length + p->extra <= flow->route.mtu;
}

/* The route that the server's flows share, where there is one. */
static __always_inline struct l4_route *shared_route(const struct packet *p, const struct l4_flow *flow)
{
	__u32 server = SERVER_OF(flow->word);

	return flow->direction == L4_FORWARD && is_shared(p->epoch) ? bpf_map_lookup_elem(&ways, &server) : 0;
}

/* Asks for a route for the flow. 0, or what to count. */
static __noinline int ask_route(struct __sk_buff *skb, struct packet *p, struct l4_flow *flow, __u64 now)
{
	const struct l4_address *from = flow->mode == L4_DR ? &p->key.source : &flow->source;
	struct l4_route *shared = shared_route(p, flow), fresh = {};

	int problem = find_route(skb, p, from, &flow->destination, &fresh);
	flow->route.epoch = 0;
	if (problem) {
		flow->route.mtu = fresh.mtu;
		return problem;
	}
	fresh.until = ROUTE_TIME(now) + 2;
	fresh.epoch = p->epoch;
	flow->route = fresh;
	if (shared)
		*shared = fresh;
	return 0;
}

/* Gives the flow a route, its server's or one that is asked for. 0, or what to count. */
static __always_inline int route_flow(struct __sk_buff *skb, struct packet *p, struct l4_flow *flow, __u64 now)
{
	const struct l4_route *shared = shared_route(p, flow);

	p->extra = extra_of(skb, p, flow);
	if (!shared || !is_for(shared, skb, p) || (__s32)(shared->until - ROUTE_TIME(now)) <= 0 || p->length + p->extra > shared->mtu)
		return ask_route(skb, p, flow, now);
	flow->route = *shared;
	return 0;
}
