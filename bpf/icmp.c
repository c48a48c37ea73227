/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* ICMP errors about packets of our flows: they quote what the director sent, and go to who sent that before it was changed. */

struct quote {
	/* Of the ICMP header. */
	__u32 icmp;
	/* Of the quoted addresses, of the quoted transport header. */
	__u32 addresses;
	__u32 transport;
	/* A packet of the quoted one's other direction. */
	struct l4_flow_key key;
};

/* What the stack has no room for. */
struct error {
	struct packet p;
	struct quote q;
	struct l4_flow flow;
	struct l4_flow outer;
};

MAP(errors, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct error);

static __always_inline int is_error(int is_v4, __u8 type)
{
	return is_v4 ? type == 3 || type == 4 || type == 11 || type == 12 : type >= 1 && type <= 4;
}

/* Reads the outer packet into `p` and the quoted one into `q`. Quotes with options or extension headers are left to the kernel. */
static __always_inline int read_quote(struct __sk_buff *skb, struct packet *p, struct quote *q)
{
	struct iphdr v4;
	struct ipv6hdr v6;
	__be16 ports[2];
	__u8 type;
	int is_v4 = skb->protocol == bpf_htons(ETH_P_IP);

	__builtin_memset(p, 0, sizeof(*p));
	__builtin_memset(q, 0, sizeof(*q));
	if (is_v4) {
		if (bpf_skb_load_bytes(skb, ETH, &v4, sizeof(v4)) || v4.protocol != IPPROTO_ICMP || v4.ihl != 5 ||
		    v4.frag_off & bpf_htons(0x3fff))
			return -1;
		p->family = AF_INET;
		p->ttl = v4.ttl;
		p->length = bpf_ntohs(v4.tot_len);
		map_v4(&p->key.source, v4.saddr);
		map_v4(&p->key.destination, v4.daddr);
		q->icmp = ETH + sizeof(v4);
		q->addresses = q->icmp + 8 + 12;
		q->transport = q->icmp + 8 + sizeof(v4);
	} else {
		if (bpf_skb_load_bytes(skb, ETH, &v6, sizeof(v6)) || v6.nexthdr != IPPROTO_ICMPV6)
			return -1;
		p->family = AF_INET6;
		p->ttl = v6.hop_limit;
		p->length = sizeof(v6) + bpf_ntohs(v6.payload_len);
		__builtin_memcpy(&p->key.source, &v6.saddr, 16);
		__builtin_memcpy(&p->key.destination, &v6.daddr, 16);
		q->icmp = ETH + sizeof(v6);
		q->addresses = q->icmp + 8 + 8;
		q->transport = q->icmp + 8 + sizeof(v6);
	}
	p->key.protocol = is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	if (bpf_skb_load_bytes(skb, q->icmp, &type, 1) || !is_error(is_v4, type))
		return -1;
	if (is_v4) {
		if (bpf_skb_load_bytes(skb, q->icmp + 8, &v4, sizeof(v4)) || v4.ihl != 5 || v4.frag_off & bpf_htons(0x1fff))
			return -1;
		map_v4(&q->key.source, v4.daddr);
		map_v4(&q->key.destination, v4.saddr);
		q->key.protocol = v4.protocol;
	} else {
		if (bpf_skb_load_bytes(skb, q->icmp + 8, &v6, sizeof(v6)))
			return -1;
		__builtin_memcpy(&q->key.source, &v6.daddr, 16);
		__builtin_memcpy(&q->key.destination, &v6.saddr, 16);
		q->key.protocol = v6.nexthdr;
	}
	if ((q->key.protocol != IPPROTO_TCP && q->key.protocol != IPPROTO_UDP) ||
	    bpf_skb_load_bytes(skb, q->transport, ports, sizeof(ports)))
		return -1;
	q->key.source_port = ports[1];
	q->key.destination_port = ports[0];
	return 0;
}

/* The quoted packet as the receiver of the error sent it. Its IP checksum goes with its addresses, so that ICMP's sees the ports alone. */
static __always_inline int requote_v4(struct __sk_buff *skb, const struct quote *q, const struct l4_flow *flow)
{
	__be32 old[2] = { q->key.destination.words[3], q->key.source.words[3] };
	__be32 new[2] = { flow->destination.words[3], flow->source.words[3] };
	__be16 check;

	if (bpf_skb_load_bytes(skb, q->addresses - 2, &check, 2))
		return -1;
	check = ~fold((__u16)~check + (__u64)(__u32)bpf_csum_diff(old, 8, new, 8, 0));
	return bpf_skb_store_bytes(skb, q->addresses - 2, &check, 2, 0) || bpf_skb_store_bytes(skb, q->addresses, new, 8, 0);
}

/* No checksum of its own: ICMP's covers the quoted addresses, and the outer ones too. */
static __always_inline int requote_v6(struct __sk_buff *skb, const struct packet *p, const struct quote *q,
				      const struct l4_flow *flow, const struct l4_flow *outer)
{
	__be32 old[8], new[8];

	__builtin_memcpy(old, &q->key.destination, 16);
	__builtin_memcpy(old + 4, &q->key.source, 16);
	__builtin_memcpy(new, &flow->destination, 16);
	__builtin_memcpy(new + 4, &flow->source, 16);
	__s64 inner = bpf_csum_diff(old, 32, new, 32, 0);
	__s64 around = bpf_csum_diff((void *)&p->key.source, 32, (void *)&outer->source, 32, 0);
	if (bpf_skb_store_bytes(skb, q->addresses, new, 32, 0) || bpf_l4_csum_replace(skb, q->icmp + 2, 0, inner, 0))
		return -1;
	return bpf_l4_csum_replace(skb, q->icmp + 2, 0, around, BPF_F_PSEUDO_HDR);
}

static __noinline int translate_error(struct __sk_buff *skb, struct error *e)
{
	const struct packet *p = &e->p;
	const struct quote *q = &e->q;
	const struct l4_flow *flow = &e->flow;
	__be16 ports[2] = { flow->destination_port, flow->source_port };
	__be16 old[2] = { q->key.destination_port, q->key.source_port };
	int from_peer = 1;

	for (int i = 0; i < 4; i++)
		from_peer &= p->key.source.words[i] == q->key.source.words[i];
	/* Who complains keeps its address, unless it is the peer itself, or must not be seen by the server. */
	int hides = from_peer || (flow->mode == L4_FULLNAT && flow->direction == L4_FORWARD);
	e->outer.source = hides ? flow->source : p->key.source;
	e->outer.destination = flow->destination;
	if (p->ttl <= 1)
		return give_up(L4_COUNT_TTL);
	int problem = find_route(skb, p, &e->outer.source, &e->outer.destination, &e->outer.route);
	if (problem)
		return give_up(problem);
	__s64 diff = bpf_csum_diff((void *)old, 4, (void *)ports, 4, 0);
	if (bpf_skb_store_bytes(skb, q->transport, ports, 4, 0) || bpf_l4_csum_replace(skb, q->icmp + 2, 0, diff, 0))
		return give_up(L4_COUNT_REWRITE);
	if (p->family == AF_INET ? requote_v4(skb, q, flow) || readdress_v4(skb, &e->outer)
				 : requote_v6(skb, p, q, flow, &e->outer) || readdress_v6(skb, &e->outer))
		return give_up(L4_COUNT_REWRITE);
	return leave_by(&e->outer.route);
}

/* To the server that the packet it is about went to, as that one went. */
static __noinline int pass_along(struct __sk_buff *skb, struct error *e)
{
	const struct l4_address *from = e->flow.mode == L4_DR ? &e->p.key.source : &e->flow.source;

	e->p.extra = extra_of(skb, &e->p, &e->flow);
	int problem = find_route(skb, &e->p, from, &e->flow.destination, &e->flow.route);

	if (problem == L4_COUNT_TOO_BIG)
		return too_big(skb, &e->p, e->flow.route.mtu - e->p.extra);
	if (problem)
		return give_up(problem);
	int verdict = e->flow.mode == L4_DR ? GO_ON : encapsulate(skb, &e->p, &e->flow);
	return verdict == GO_ON ? leave_by(&e->flow.route) : verdict;
}

/* PASS_ON if the packet is no error about a flow. */
static __noinline int pass_error(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct error *e = bpf_map_lookup_elem(&errors, &zero);

	if (!e || read_quote(skb, &e->p, &e->q))
		return PASS_ON;
	struct l4_flow *flow = bpf_map_lookup_elem(&flows, &e->q.key);
	if (!flow && may_answer(&e->q.key)) {
		struct l4_scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);
		flow = scratch && copy_answer(&e->q.key, scratch) ? &scratch->reply : 0;
	}
	if (!flow)
		return PASS_ON;
	e->flow = *flow;
	switch (flow->mode) {
	case L4_NAT:
	case L4_FULLNAT:
		return translate_error(skb, e);
	case L4_DR:
	case L4_TUN:
		return pass_along(skb, e);
	}
	return PASS_ON;
}
