/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Finding a packet's way, and changing it for that. Checksums are adjusted by the helpers that know whether hardware will fill them in. */

#define SUM_OF(protocol) ((protocol) == IPPROTO_TCP ? 16 : 6)

/* BPF_FIB_LOOKUP_SKIP_NEIGH: the neighbour is looked up when the packet is sent. */
#define SKIP_NEIGHBOUR 4

struct hop {
	__u32 interface;
	/* What encapsulation adds to the packet. */
	__u32 extra;
	__u32 mtu;
	struct bpf_redir_neigh neighbour;
};

/* The route to `to` for a packet as if it came from `from`, `extra` bytes longer than it is. 0, or what to count. */
static __noinline int find_route(struct __sk_buff *skb, const struct packet *p, const struct l4_address *from,
				 const struct l4_address *to, struct hop *hop)
{
	struct bpf_fib_lookup fib = {
		.family = p->family,
		.l4_protocol = p->key.protocol,
		.tot_len = p->length + hop->extra,
		.ifindex = skb->ingress_ifindex,
	};

	if (p->family == AF_INET) {
		fib.tos = p->tos & 0x1c;
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

	hop->mtu = fib.mtu_result;
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return L4_COUNT_TOO_BIG;
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return L4_COUNT_NO_ROUTE;
	hop->interface = fib.ifindex;
	hop->neighbour.nh_family = fib.family;
	if (fib.family == AF_INET)
		hop->neighbour.ipv4_nh = fib.ipv4_dst;
	else
		__builtin_memcpy(hop->neighbour.ipv6_nh, fib.ipv6_dst, 16);
	return 0;
}

static __always_inline int leave_by(struct hop *hop)
{
	return bpf_redirect_neigh(hop->interface, &hop->neighbour, sizeof(hop->neighbour), 0);
}

/* The transport checksum: addresses are part of what it covers, ports are inside. Mapped addresses differ where IPv4 ones do. */
static __always_inline int adjust_sum(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	__u32 at = p->transport + SUM_OF(p->key.protocol);
	/* No checksum in UDP over IPv4 stays none. */
	__u64 mangled = p->key.protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__s64 addresses = bpf_csum_diff((void *)&p->key.source, 32, (void *)&flow->source, 32, 0);
	__s64 ports = bpf_csum_diff((void *)&p->key.source_port, 4, (void *)&flow->source_port, 4, 0);

	if (bpf_l4_csum_replace(skb, at, 0, addresses, BPF_F_PSEUDO_HDR | mangled))
		return -1;
	return bpf_l4_csum_replace(skb, at, 0, ports, mangled);
}

/* New addresses, a TTL less by one, and the header's checksum over both. */
static __always_inline int readdress_v4(struct __sk_buff *skb, const struct l4_flow *flow)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH;

	if ((void *)(ip + 1) > end)
		return -1;
	__be16 *words = (void *)&ip->ttl;
	__u64 sum = (__u16)~ip->check;
	sum += (__u32)~ip->saddr + (__u64)(__u32)~ip->daddr + (__u16)~*words;
	ip->saddr = flow->source.words[3];
	ip->daddr = flow->destination.words[3];
	ip->ttl -= 1;
	sum += (__u64)ip->saddr + ip->daddr + *words;
	ip->check = ~fold(sum);
	return 0;
}

static __always_inline int readdress_v6(struct __sk_buff *skb, const struct l4_flow *flow)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH;

	if ((void *)(ip + 1) > end)
		return -1;
	__builtin_memcpy(&ip->saddr, flow->source.words, 16);
	__builtin_memcpy(&ip->daddr, flow->destination.words, 16);
	ip->hop_limit -= 1;
	return 0;
}

static __always_inline int write_ports(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	__be16 ports[2] = { flow->source_port, flow->destination_port };
	return bpf_skb_store_bytes(skb, p->transport, ports, sizeof(ports), 0);
}

/* nat and fullnat, either way. */
static __noinline int translate(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct hop hop = {};
	struct l4_flow to = *flow;

	if (p->ttl <= 1)
		return give_up(L4_COUNT_TTL);
	int problem = find_route(skb, p, &to.source, &to.destination, &hop);
	if (problem == L4_COUNT_TOO_BIG && p->dont_fragment)
		return too_big(skb, p, hop.mtu);
	if (problem)
		return give_up(problem);
	if (p->transport && (adjust_sum(skb, p, &to) || write_ports(skb, p, &to)))
		return give_up(L4_COUNT_REWRITE);
	if (p->family == AF_INET ? readdress_v4(skb, &to) : readdress_v6(skb, &to))
		return give_up(L4_COUNT_REWRITE);
	return leave_by(&hop);
}

/* dr: the packet as it is, to the server's MAC address. */
static __noinline int direct(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct hop hop = {};
	struct l4_address to = flow->destination;
	int problem = find_route(skb, p, &p->key.source, &to, &hop);

	if (problem == L4_COUNT_TOO_BIG && p->dont_fragment)
		return too_big(skb, p, hop.mtu);
	if (problem)
		return give_up(problem);
	return leave_by(&hop);
}

/*
 * The server is this host: the packet goes to the socket that listens at the server's address, which answers from the virtual one. That is
 * for the first packet only: what belongs to a connection finds it by itself.
 */
static __noinline int to_socket(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size;

	if (p->key.protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return TC_ACT_OK;
	if (p->family == AF_INET) {
		tuple.ipv4.saddr = p->key.source.words[3];
		tuple.ipv4.daddr = flow->destination.words[3];
		tuple.ipv4.sport = p->key.source_port;
		tuple.ipv4.dport = flow->destination_port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, p->key.source.words, 16);
		__builtin_memcpy(tuple.ipv6.daddr, flow->destination.words, 16);
		tuple.ipv6.sport = p->key.source_port;
		tuple.ipv6.dport = flow->destination_port;
		size = sizeof(tuple.ipv6);
	}
	struct bpf_sock *socket = p->key.protocol == IPPROTO_TCP ? bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0)
								 : bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return refuse(skb, p);
	int problem = bpf_sk_assign(skb, socket, 0);
	bpf_sk_release(socket);
	return problem ? give_up(L4_COUNT_REWRITE) : TC_ACT_OK;
}
