/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * tun: the packet inside another one to the server, which answers the client itself. What does not fit is answered with "too big": the
 * client's segments are what its peer offered, and the peer, whose answers do not pass here, knows nothing of the tunnel.
 */

static __always_inline int wrap_v4(struct __sk_buff *skb, const struct packet *p, __be32 source, __be32 destination)
{
	struct iphdr *outer = (void *)(long)skb->data + ETH;
	/* Beyond its width only before segmentation, where 0 says so. */
	__u32 length = skb->len - ETH;

	if ((void *)(outer + 1) > (void *)(long)skb->data_end)
		return -1;
	__be16 *words = (void *)outer;
	words[0] = bpf_htons(0x4500 | p->tos);
	words[1] = length > 0xffff ? 0 : bpf_htons(length);
	words[2] = 0;
	words[3] = bpf_htons(0x4000);
	words[4] = bpf_htons(64 << 8 | IPPROTO_IPIP);
	outer->saddr = source;
	outer->daddr = destination;
	outer->check = ~fold((__u64)words[0] + words[1] + words[3] + words[4] + source + destination);
	return 0;
}

static __always_inline int wrap_v6(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct ipv6hdr *outer = (void *)(long)skb->data + ETH;

	if ((void *)(outer + 1) > (void *)(long)skb->data_end)
		return -1;
	*(__be32 *)outer = bpf_htonl(6 << 28 | p->tos << 20);
	outer->payload_len = bpf_htons(skb->len - ETH - sizeof(*outer));
	outer->nexthdr = IPPROTO_IPV6;
	outer->hop_limit = 64;
	__builtin_memcpy(&outer->saddr, flow->source.words, 16);
	__builtin_memcpy(&outer->daddr, flow->destination.words, 16);
	return 0;
}

static __always_inline int encapsulate(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	__be32 source = flow->source.words[3], destination = flow->destination.words[3];
	int problem;

	if (p->family == AF_INET)
		problem = bpf_skb_adjust_room(skb, sizeof(struct iphdr), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4) ||
			  wrap_v4(skb, p, source, destination);
	else
		problem = bpf_skb_adjust_room(skb, sizeof(struct ipv6hdr), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) ||
			  wrap_v6(skb, p, flow);
	return problem ? give_up(L4_COUNT_REWRITE) : leave_by(&flow->route);
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
