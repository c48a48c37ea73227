/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * fullnat's `toa`: the client's address and port in a TCP option, for the kernel modules of that name at the servers. They take it from the
 * segment that completes the handshake: the first one, or a later one if that is lost. So all segments carry it that acknowledge nothing but
 * the server's SYN, as long as they fit; the server's offer of a segment size leaves room for it. What the stack has joined to one large
 * packet goes without: segments with it went before.
 */

#define TOA_KIND 254
/* What is behind the header has to be moved: this much at most. */
#define TOA_MOVED 2047

struct toa {
	__u8 kind;
	__u8 length;
	__be16 port;
	/* The first alone for IPv4. */
	__be32 address[4];
};

struct moved {
	__u8 bytes[TOA_MOVED + 1];
};

MAP(moved_bytes, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct moved);

static __always_inline __u32 toa_size(const struct packet *p)
{
	return p->family == AF_INET ? 8 : 20;
}

/* The server's SYN: its clients' segments are to leave room for the option. Others than the first option are left alone. */
static __always_inline int lower_mss(struct __sk_buff *skb, const struct packet *p)
{
	__u32 at = (p->transport & TRANSPORT_MAX) + sizeof(struct tcphdr), size = toa_size(p);
	struct {
		__u8 kind;
		__u8 length;
		__be16 value;
	} mss;

	if (bpf_skb_load_bytes(skb, at, &mss, sizeof(mss)) || mss.kind != 2 || mss.length != 4 || bpf_ntohs(mss.value) < 2 * size)
		return GO_ON;
	__be16 less = bpf_htons(bpf_ntohs(mss.value) - size);
	if (bpf_l4_csum_replace(skb, at - 4, mss.value, less, 2) || bpf_skb_store_bytes(skb, at + 2, &less, 2, 0))
		return give_up(L4_COUNT_REWRITE);
	return GO_ON;
}

/* Does the segment acknowledge the server's SYN alone? Once it says more the flow needs no look any more. */
static __always_inline int is_early(const struct packet *p, struct l4_flow *flow, __be32 acknowledged)
{
	struct l4_flow_key other;
	__u64 word = flow->word;

	key_of_other(&p->key, flow, &other);
	const struct l4_flow *reply = bpf_map_lookup_elem(&flows, &other);
	if (!reply || !reply->told)
		return 0;
	if (reply->told == acknowledged)
		return 1;
	__sync_val_compare_and_swap(&flow->word, word, word & ~((__u64)L4_FLOW_TOA << 8));
	return 0;
}

/* The IP header's length, by so much more. */
static __always_inline int lengthen(struct __sk_buff *skb, const struct packet *p, __u32 size)
{
	__u32 at = ETH + (p->family == AF_INET ? 2 : 4);
	__be16 length;

	if (bpf_skb_load_bytes(skb, at, &length, 2))
		return -1;
	__be16 more = bpf_htons(bpf_ntohs(length) + size);
	if (p->family == AF_INET && bpf_l3_csum_replace(skb, ETH + 10, length, more, 2))
		return -1;
	return bpf_skb_store_bytes(skb, at, &more, 2, 0);
}

/* Makes room behind the header's options, for one more. */
static __always_inline int make_room(struct __sk_buff *skb, const struct packet *p, __u32 at, __u32 payload, __u32 size)
{
	__u32 zero = 0;
	struct moved *moved = bpf_map_lookup_elem(&moved_bytes, &zero);

	if (!moved || bpf_skb_change_tail(skb, p->end + size, 0))
		return -1;
	payload &= TOA_MOVED;
	if (!payload)
		return 0;
	return bpf_skb_load_bytes(skb, at, moved->bytes, payload) ||
	       bpf_skb_store_bytes(skb, at + size, moved->bytes, payload, BPF_F_RECOMPUTE_CSUM);
}

/* GO_ON, or a verdict. */
static __noinline int tell_client(struct __sk_buff *skb, const struct packet *p, struct l4_flow *flow)
{
	__u32 at = p->transport & TRANSPORT_MAX, size = toa_size(p);
	struct toa toa = { .kind = TOA_KIND, .length = size, .port = p->key.source_port };
	struct tcphdr tcp;
	__be16 was, is;

	if (!p->transport || p->first_fragment || p->tcp_flags & TCP_RST)
		return GO_ON;
	if (p->tcp_flags & TCP_SYN)
		return flow->direction == L4_REPLY ? lower_mss(skb, p) : GO_ON;
	if (flow->direction == L4_REPLY || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) || !is_early(p, flow, tcp.ack_seq))
		return GO_ON;
	__u32 header = tcp.doff * 4, payload = p->end - at - header;
	if (skb->gso_size || header < sizeof(tcp) || header + size > 60 || payload > TOA_MOVED || p->length + size > flow->route.mtu)
		return GO_ON;
	if (p->family == AF_INET)
		toa.address[0] = p->key.source.words[3];
	else
		__builtin_memcpy(toa.address, p->key.source.words, 16);
	__builtin_memcpy(&was, (__u8 *)&tcp + 12, 2);
	tcp.doff += size / 4;
	__builtin_memcpy(&is, (__u8 *)&tcp + 12, 2);
	__u64 body = sum_of(&toa, sizeof(toa)) + (__u16)~was + is;
	if (make_room(skb, p, at + header, payload, size) || bpf_skb_store_bytes(skb, at + 12, &is, 2, 0) ||
	    (size == 8 ? bpf_skb_store_bytes(skb, at + header, &toa, 8, BPF_F_RECOMPUTE_CSUM)
		       : bpf_skb_store_bytes(skb, at + header, &toa, 20, BPF_F_RECOMPUTE_CSUM)) ||
	    bpf_l4_csum_replace(skb, at + 16, 0, fold(body), 0) ||
	    bpf_l4_csum_replace(skb, at + 16, 0, bpf_htons(size), BPF_F_PSEUDO_HDR) || lengthen(skb, p, size))
		return give_up(L4_COUNT_REWRITE);
	return GO_ON;
}
