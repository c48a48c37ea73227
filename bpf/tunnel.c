/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * tun: the packet inside another one to the server, of the server's family, which answers the client itself. What does not fit is answered with "too big": the
 * client's segments are what its peer offered, and the peer, whose answers do not pass here, knows nothing of the tunnel.
 */

static __always_inline __u8 inner_protocol(const struct packet *p)
{
	return p->family == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
}

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
	gue->protocol = inner_protocol(p);
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
	words[4] = bpf_htons(64 << 8 | (flow->tunnel_port ? IPPROTO_UDP : inner_protocol(p)));
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
	outer->nexthdr = flow->tunnel_port ? IPPROTO_UDP : inner_protocol(p);
	outer->hop_limit = 64;
	__builtin_memcpy(&outer->saddr, flow->source.words, 16);
	__builtin_memcpy(&outer->daddr, flow->destination.words, 16);
	return flow->tunnel_port ? wrap_gue(skb, p, flow, sizeof(*outer)) : 0;
}

/* GO_ON, or a verdict. */
static __always_inline int encapsulate(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	int is_v4 = flow->route.family == AF_INET;
	__u32 more = (is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + (flow->tunnel_port ? sizeof(struct gue) : 0);
	__u64 flags = (is_v4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) |
		      (flow->tunnel_port ? BPF_F_ADJ_ROOM_ENCAP_L4_UDP : 0);

	if (bpf_skb_adjust_room(skb, more, BPF_ADJ_ROOM_MAC, flags) || (is_v4 ? wrap_v4(skb, p, flow) : wrap_v6(skb, p, flow)))
		return give_up(L4_COUNT_REWRITE);
	return GO_ON;
}

/* Of linux/bpf.h since Linux 6.3: the packet within is of that family. */
#define DECAP_V4 (1ull << 7)
#define DECAP_V6 (1ull << 8)

/* How long the headers around a packet are, and what it is: an IP protocol. 0: it is in none. */
struct wrapping {
	__u32 length;
	__u8 inner;
};

/* An outer header of `ip` bytes, and GUE's if the port is the one for that and nothing optional comes before the packet. */
static __always_inline void look_inside(struct __sk_buff *skb, __u8 protocol, __u32 ip, struct wrapping *found)
{
	void *data = (void *)(long)skb->data;
	struct gue *gue = data + ETH + ip;
	__u32 zero = 0, *port = bpf_map_lookup_elem(&unwrapped, &zero);

	found->length = ip;
	found->inner = protocol;
	if (protocol != IPPROTO_UDP || !port || !*port)
		return;
	if ((void *)(gue + 1) > (void *)(long)skb->data_end || gue->udp.dest != *port || gue->kind || gue->flags)
		return;
	found->length = ip + sizeof(*gue);
	found->inner = gue->protocol;
}

/* For real servers whose kernel has no tunnel devices: takes the packet out of the outer one, which must be for a host this frame is for. */
static __always_inline int decapsulate(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *v6 = data + ETH;
	struct iphdr *v4 = data + ETH;
	struct wrapping found = {};
	__u64 becomes;
	int is_v4 = skb->protocol == bpf_htons(ETH_P_IP);

	if (skb->pkt_type != PACKET_HOST)
		return PASS_ON;
	if (is_v4 && (void *)(v4 + 1) <= end && v4->ihl == 5 && !(v4->frag_off & bpf_htons(0x3fff)))
		look_inside(skb, v4->protocol, sizeof(*v4), &found);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6) && (void *)(v6 + 1) <= end)
		look_inside(skb, v6->nexthdr, sizeof(*v6), &found);
	if (found.inner != IPPROTO_IPIP && found.inner != IPPROTO_IPV6)
		return PASS_ON;
	/* Older kernels cannot make it another family's. */
	becomes = is_v4 == (found.inner == IPPROTO_IPIP) ? 0 : is_v4 ? DECAP_V6 : DECAP_V4;
	if (bpf_skb_adjust_room(skb, -(__s32)found.length, BPF_ADJ_ROOM_MAC, becomes))
		return TC_ACT_SHOT;
	return PASS_ON;
}
