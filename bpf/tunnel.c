/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * tun: the packet inside another one to the server, which answers the client itself. What does not fit is answered with "too big": the
 * client's segments are what its peer offered, and the peer, whose answers do not pass here, knows nothing of the tunnel.
 */

static __always_inline int wrap_v4(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct iphdr outer = {
		.version = 4,
		.ihl = 5,
		.tos = p->tos,
		/* Beyond its width only before segmentation, where 0 says so. */
		.tot_len = skb->len - ETH > 0xffff ? 0 : bpf_htons(skb->len - ETH),
		.frag_off = bpf_htons(0x4000),
		.ttl = 64,
		.protocol = IPPROTO_IPIP,
		.saddr = flow->source.words[3],
		.daddr = flow->destination.words[3],
	};

	outer.check = ~fold(sum_of(&outer, sizeof(outer)));
	return bpf_skb_store_bytes(skb, ETH, &outer, sizeof(outer), 0);
}

static __always_inline int wrap_v6(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct ipv6hdr outer = {
		.version = 6,
		.priority = p->tos >> 4,
		.flow_lbl = { p->tos << 4 },
		.payload_len = bpf_htons(skb->len - ETH - sizeof(outer)),
		.nexthdr = IPPROTO_IPV6,
		.hop_limit = 64,
	};

	__builtin_memcpy(&outer.saddr, flow->source.words, 16);
	__builtin_memcpy(&outer.daddr, flow->destination.words, 16);
	return bpf_skb_store_bytes(skb, ETH, &outer, sizeof(outer), 0);
}

static __noinline int encapsulate(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct hop hop = { .extra = ip_header(p) };
	struct l4_flow to = *flow;
	__u32 is_v4 = p->family == AF_INET;
	__u64 how = is_v4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;

	/* A packet that stands for several gets smaller segments by itself. */
	if (skb->gso_size)
		hop.extra = 0;
	int problem = find_route(skb, p, &to.source, &to.destination, &hop);
	if (problem == L4_COUNT_TOO_BIG)
		return too_big(skb, p, hop.mtu - ip_header(p));
	if (problem)
		return give_up(problem);
	if (bpf_skb_adjust_room(skb, ip_header(p), BPF_ADJ_ROOM_MAC, how) ||
	    (is_v4 ? wrap_v4(skb, p, &to) : wrap_v6(skb, p, &to)))
		return give_up(L4_COUNT_REWRITE);
	return leave_by(&hop);
}

/* For real servers whose kernel has no tunnel devices: takes the packet out of the outer one, which must be for a host this frame is for. */
static __always_inline int decapsulate(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *v6 = data + ETH;
	struct iphdr *v4 = data + ETH;
	__s32 outer = 0;

	if (skb->pkt_type != PACKET_HOST)
		return PASS_ON;
	if (skb->protocol == bpf_htons(ETH_P_IP) && (void *)(v4 + 1) <= end && v4->ihl == 5 && v4->protocol == IPPROTO_IPIP)
		outer = sizeof(*v4);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6) && (void *)(v6 + 1) <= end && v6->nexthdr == IPPROTO_IPV6)
		outer = sizeof(*v6);
	if (outer && bpf_skb_adjust_room(skb, -outer, BPF_ADJ_ROOM_MAC, 0))
		return TC_ACT_SHOT;
	return PASS_ON;
}
