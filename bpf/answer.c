/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What the director says itself: a reset, unreachable, too big. The packet is turned into the answer and goes back where it came from.
 *
 * A packet from a local machine may be marked as one whose checksum hardware fills in, and a program can neither see nor end that. So the
 * answers are made to be right either way. Where x is the checksum field, R the sum of the rest from where the hardware begins, and P the
 * pseudo-header's sum, the receiver wants R + x + P = 0, and hardware sets x to -(R + x): both hold for x = P if R + 2P = 0, and a reset has
 * a window that nobody reads to make that so. In a quoted header nobody reads x: there x = -R/2 stays what it is.
 */

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline int give_up(int what)
{
	count(what);
	return TC_ACT_SHOT;
}

static __always_inline int turn_round(struct __sk_buff *skb)
{
	__u8 macs[12], turned[12];

	if (bpf_skb_load_bytes(skb, 0, macs, 12))
		return TC_ACT_SHOT;
	__builtin_memcpy(turned, macs + 6, 6);
	__builtin_memcpy(turned + 6, macs, 6);
	if (bpf_skb_store_bytes(skb, 0, turned, 12, 0))
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ingress_ifindex, 0);
}

static __always_inline __u64 sum_of(const void *bytes, __u32 size)
{
	return (__u32)bpf_csum_diff(0, 0, (__be32 *)bytes, size, 0);
}

/* Addresses, protocol and length, as checksums of transports cover them. */
static __always_inline __u64 pseudo_header(const struct packet *p, __u8 protocol, __u16 length)
{
	if (p->family == AF_INET)
		return (__u64)p->key.source.words[3] + p->key.destination.words[3] + bpf_htons(protocol) + bpf_htons(length);
	return sum_of(&p->key.source, 32) + bpf_htons(protocol) + bpf_htons(length);
}

/* An IP header from the packet's destination to its source. The IPv6 one is as long as it is. */
static __always_inline int write_ip(struct __sk_buff *skb, const struct packet *p, __u8 protocol, __u16 payload)
{
	if (p->family == AF_INET) {
		struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.tot_len = bpf_htons(sizeof(ip) + payload),
			.frag_off = bpf_htons(0x4000),
			.ttl = 64,
			.protocol = protocol,
			.saddr = p->key.destination.words[3],
			.daddr = p->key.source.words[3],
		};
		ip.check = ~fold(sum_of(&ip, sizeof(ip)));
		return bpf_skb_store_bytes(skb, ETH, &ip, sizeof(ip), 0);
	}
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = bpf_htons(payload),
		.nexthdr = protocol,
		.hop_limit = 64,
	};
	__builtin_memcpy(&ip.saddr, &p->key.destination, 16);
	__builtin_memcpy(&ip.daddr, &p->key.source, 16);
	return bpf_skb_store_bytes(skb, ETH, &ip, sizeof(ip), 0);
}

static __always_inline __u32 ip_header(const struct packet *p)
{
	return p->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/* To a segment of no connection, as RFC 9293 section 3.10.7.1 has it. Header options are rare: such packets are dropped. */
static __noinline int reset(struct __sk_buff *skb, const struct packet *p)
{
	struct tcphdr tcp;
	__u32 at = ETH + ip_header(p);

	if (p->tcp_flags & TCP_RST || p->transport != at || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)))
		return TC_ACT_SHOT;
	__u32 length = p->end - p->transport - tcp.doff * 4 + tcp.syn + tcp.fin;
	struct tcphdr answer = {
		.source = tcp.dest,
		.dest = tcp.source,
		.seq = tcp.ack ? tcp.ack_seq : 0,
		.ack_seq = tcp.ack ? 0 : bpf_htonl(bpf_ntohl(tcp.seq) + length),
		.doff = 5,
		.rst = 1,
		.ack = !tcp.ack,
	};
	__u64 pseudo = pseudo_header(p, IPPROTO_TCP, sizeof(answer));
	answer.window = ~fold(sum_of(&answer, sizeof(answer)) + 2 * pseudo);
	answer.check = fold(pseudo);
	if (bpf_skb_change_tail(skb, at + sizeof(answer), 0) || write_ip(skb, p, IPPROTO_TCP, sizeof(answer)) ||
	    bpf_skb_store_bytes(skb, at, &answer, sizeof(answer), 0))
		return give_up(L4_COUNT_REWRITE);
	return turn_round(skb);
}

struct icmp {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 data;
};

/* The quote's transport checksum becomes one that hardware leaves as it is. The quote is its IP header and `transport` bytes more. */
static __always_inline void settle_quote(__u8 *quote, __u32 at, __u32 transport, __u32 field)
{
	__be16 *check = (void *)(quote + at + field);

	*check = 0;
	__u64 rest = (__u16)~fold(sum_of(quote + at, transport));
	*check = rest * 32768 % 65535;
}

/* Answers with an ICMP error that quotes the packet's headers. */
static __noinline int complain(struct __sk_buff *skb, const struct packet *p, const struct icmp *what)
{
	__u8 quote[60];
	struct icmp icmp = *what;
	__u32 ip = ip_header(p);
	int is_tcp = p->key.protocol == IPPROTO_TCP, is_v4 = p->family == AF_INET;
	__u32 transport = is_tcp ? 20 : 8, length = ip + transport;
	__u8 protocol = is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;

	if (p->transport != ETH + ip)
		return TC_ACT_SHOT;
	__builtin_memset(quote, 0, sizeof(quote));
	if (is_v4 ? is_tcp ? bpf_skb_load_bytes(skb, ETH, quote, 40) : bpf_skb_load_bytes(skb, ETH, quote, 28)
		  : is_tcp ? bpf_skb_load_bytes(skb, ETH, quote, 60) : bpf_skb_load_bytes(skb, ETH, quote, 48))
		return TC_ACT_SHOT;
	if (is_v4)
		settle_quote(quote, 20, 20, is_tcp ? 16 : 6);
	else
		settle_quote(quote, 40, 20, is_tcp ? 16 : 6);
	__u64 sum = sum_of(quote, sizeof(quote)) + sum_of(&icmp, sizeof(icmp));
	if (!is_v4)
		sum += pseudo_header(p, IPPROTO_ICMPV6, sizeof(icmp) + length);
	icmp.check = ~fold(sum);
	if (bpf_skb_change_tail(skb, ETH + length, 0) || bpf_skb_adjust_room(skb, ip + sizeof(icmp), BPF_ADJ_ROOM_MAC, 0))
		return give_up(L4_COUNT_REWRITE);
	__u32 at = ETH + ip + sizeof(icmp);
	if (write_ip(skb, p, protocol, sizeof(icmp) + length) ||
	    bpf_skb_store_bytes(skb, ETH + ip, &icmp, sizeof(icmp), 0))
		return give_up(L4_COUNT_REWRITE);
	if (is_v4 ? is_tcp ? bpf_skb_store_bytes(skb, at, quote, 40, 0) : bpf_skb_store_bytes(skb, at, quote, 28, 0)
		  : is_tcp ? bpf_skb_store_bytes(skb, at, quote, 60, 0) : bpf_skb_store_bytes(skb, at, quote, 48, 0))
		return give_up(L4_COUNT_REWRITE);
	return turn_round(skb);
}

static __always_inline int too_big(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	struct icmp v4 = { .type = 3, .code = 4, .data = bpf_htonl(mtu & 0xffff) };
	struct icmp v6 = { .type = 2, .data = bpf_htonl(mtu) };

	count(L4_COUNT_TOO_BIG);
	return complain(skb, p, p->family == AF_INET ? &v4 : &v6);
}

/* Nobody takes the packet. */
static __noinline int refuse(struct __sk_buff *skb, const struct packet *p)
{
	struct icmp v4 = { .type = 3, .code = 3 };
	struct icmp v6 = { .type = 1, .code = 4 };

	count(L4_COUNT_REFUSED);
	if (!p->transport)
		return TC_ACT_SHOT;
	if (p->key.protocol == IPPROTO_TCP)
		return reset(skb, p);
	return complain(skb, p, p->family == AF_INET ? &v4 : &v6);
}
