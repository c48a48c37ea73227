/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * tun: the packet inside another one to the server, which answers the client itself. What does not fit is answered with "too big": the
 * client's segments are what its peer offered, and the peer, whose answers do not pass here, knows nothing of the tunnel.
 */

/* UDP over IPv6 without a checksum is what RFC 6935 allows tunnels: the packet has its own. The port tells flows apart on the way. */
static __always_inline int wrap_gue(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow, __u32 ip)
{
	void *data = (void *)(long)skb->data;
	struct gue *gue = data + ETH + ip;
	__u32 length = skb->len - ETH - ip;

	if ((void *)(gue + 1) > (void *)(long)skb->data_end)
		return -1;
	gue->udp.source = bpf_htons(0xc000 | (l4_hash(&p->key.source, bpf_ntohs(p->key.source_port), 0) & 0x3fff));
	gue->udp.dest = flow->tunnel_port;
	/* Longer only before segmentation, which sets it. */
	gue->udp.len = length > 0xffff ? 0 : bpf_htons(length);
	gue->udp.check = 0;
	gue->kind = 0;
	gue->protocol = p->family == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
	gue->flags = 0;
	return 0;
}

static __always_inline int wrap_v4(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct iphdr *outer = (void *)(long)skb->data + ETH;
	__be32 source = flow->source.words[3], destination = flow->destination.words[3];
	/* Beyond its width only before segmentation, where 0 says so. */
	__u32 length = skb->len - ETH;

	if ((void *)(outer + 1) > (void *)(long)skb->data_end)
		return -1;
	__be16 *words = (void *)outer;
	words[0] = bpf_htons(0x4500 | p->tos);
	words[1] = length > 0xffff ? 0 : bpf_htons(length);
	words[2] = 0;
	words[3] = bpf_htons(0x4000);
	words[4] = bpf_htons(64 << 8 | (flow->tunnel_port ? IPPROTO_UDP : IPPROTO_IPIP));
	outer->saddr = source;
	outer->daddr = destination;
	outer->check = ~fold((__u64)words[0] + words[1] + words[3] + words[4] + source + destination);
	return flow->tunnel_port ? wrap_gue(skb, p, flow, sizeof(*outer)) : 0;
}

static __always_inline int wrap_v6(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	struct ipv6hdr *outer = (void *)(long)skb->data + ETH;
	__u32 length = skb->len - ETH - sizeof(*outer);

	if ((void *)(outer + 1) > (void *)(long)skb->data_end)
		return -1;
	*(__be32 *)outer = bpf_htonl(6 << 28 | p->tos << 20);
	outer->payload_len = length > 0xffff ? 0 : bpf_htons(length);
	outer->nexthdr = flow->tunnel_port ? IPPROTO_UDP : IPPROTO_IPV6;
	outer->hop_limit = 64;
	__builtin_memcpy(&outer->saddr, flow->source.words, 16);
	__builtin_memcpy(&outer->daddr, flow->destination.words, 16);
	return flow->tunnel_port ? wrap_gue(skb, p, flow, sizeof(*outer)) : 0;
}

/* GO_ON, or a verdict. */
static __always_inline int encapsulate(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	int is_v4 = p->family == AF_INET;
	__u32 more = (is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + (flow->tunnel_port ? sizeof(struct gue) : 0);
	__u64 flags = (is_v4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) |
		      (flow->tunnel_port ? BPF_F_ADJ_ROOM_ENCAP_L4_UDP : 0);

	if (bpf_skb_adjust_room(skb, more, BPF_ADJ_ROOM_MAC, flags) || (is_v4 ? wrap_v4(skb, p, flow) : wrap_v6(skb, p, flow)))
		return give_up(L4_COUNT_REWRITE);
	return GO_ON;
}

/* How long the headers around the packet at `at` are: an outer one's own, and GUE's if its port is the one for that. 0: it is in none. */
static __always_inline __u32 wrapping(struct __sk_buff *skb, __u8 protocol, __u32 ip)
{
	void *data = (void *)(long)skb->data;
	struct gue *gue = data + ETH + ip;
	__u32 zero = 0, *port = bpf_map_lookup_elem(&unwrapped, &zero);

	if (protocol == (ip == sizeof(struct iphdr) ? IPPROTO_IPIP : IPPROTO_IPV6))
		return ip;
	if (protocol != IPPROTO_UDP || !port || !*port || (void *)(gue + 1) > (void *)(long)skb->data_end || gue->udp.dest != *port)
		return 0;
	/* The packet is of the outer one's family, and nothing optional comes before it. */
	if (gue->kind || gue->flags || gue->protocol != (ip == sizeof(struct iphdr) ? IPPROTO_IPIP : IPPROTO_IPV6))
		return 0;
	return ip + sizeof(*gue);
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
	if (skb->protocol == bpf_htons(ETH_P_IP) && (void *)(v4 + 1) <= end && v4->ihl == 5 && !(v4->frag_off & bpf_htons(0x3fff)))
		outer = wrapping(skb, v4->protocol, sizeof(*v4));
	else if (skb->protocol == bpf_htons(ETH_P_IPV6) && (void *)(v6 + 1) <= end)
		outer = wrapping(skb, v6->nexthdr, sizeof(*v6));
	if (outer && bpf_skb_adjust_room(skb, -outer, BPF_ADJ_ROOM_MAC, 0))
		return TC_ACT_SHOT;
	return PASS_ON;
}
