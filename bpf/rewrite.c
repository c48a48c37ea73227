/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Finding a packet's way, and changing it for that. Checksums are adjusted by the helpers that know whether hardware will fill them in. */

/* Offsets of transport headers are below this, for the verifier. */
#define TRANSPORT_MAX 127

static __always_inline __u64 sum_of_words(const __be32 *words, int count)
{
	__u64 sum = 0;

	for (int i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

/* The difference that new addresses make to a sum. Mapped ones differ where IPv4 ones do. */
static __always_inline __u32 difference(const struct packet *p, const struct l4_flow *to)
{
	__u64 sum;

	if (p->family == AF_INET)
		sum = (__u64)(__u32)~p->key.source.words[3] + (__u32)~p->key.destination.words[3] + to->source.words[3] +
		      to->destination.words[3];
	else
		sum = 8 * 0xffffffffull - sum_of_words(p->key.source.words, 8) + sum_of_words(to->source.words, 8);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

/* The same for sums that are equal: 0 and 0xffff are. */
static __always_inline __u16 normal(__u64 sum)
{
	__u16 folded = fold(sum);
	return folded == 0xffff ? 0 : folded;
}

/*
 * The transport checksum over new addresses and ports, and the ports.
 *
 * The helper knows whether hardware is to fill the checksum in: then the field holds the sum of the addresses, not what that leaves to 0, and
 * ports are no part of it. Whether it is so shows in what the helper made of the field, so that the ports need no call of their own.
 */
static __always_inline int rewrite_transport(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *to, __u32 at)
{
	__u32 old = (__u32)p->key.destination_port << 16 | p->key.source_port;
	__u32 new = (__u32)to->destination_port << 16 | to->source_port;
	__u32 addresses = difference(p, to), is_udp = p->key.protocol == IPPROTO_UDP;
	/* No checksum in UDP over IPv4 stays none. */
	__u64 mangled = is_udp ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 field = at + (is_udp ? 6 : 16);
	void *data = (void *)(long)skb->data;

	if (data + field + 2 > (void *)(long)skb->data_end)
		return -1;
	__u16 before = *(__u16 *)(data + field);
	if (bpf_l4_csum_replace(skb, field, 0, addresses, BPF_F_PSEUDO_HDR | mangled))
		return -1;
	if (old == new)
		return 0;
	if (!normal(addresses) && bpf_l4_csum_replace(skb, field, old, new, mangled | 4))
		return -1;
	data = (void *)(long)skb->data;
	__be32 *ports = data + at;
	__u16 *sum = data + field;
	if ((void *)(ports + 1) > (void *)(long)skb->data_end || (void *)(sum + 1) > (void *)(long)skb->data_end)
		return -1;
	if (normal(addresses) && normal((__u64)*sum + addresses) == normal(before) && !(is_udp && !before)) {
		__u16 changed = ~fold((__u64)(__u16)~*sum + (__u32)~old + new);
		*sum = is_udp && !changed ? 0xffff : changed;
	}
	*ports = new;
	return 0;
}

/* New addresses, a TTL less by one, and the header's checksum over both. */
static __always_inline int readdress_v4(struct __sk_buff *skb, const struct l4_flow *to)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH;

	if ((void *)(ip + 1) > end)
		return -1;
	__be16 *words = (void *)&ip->ttl;
	__u64 sum = (__u16)~ip->check;
	sum += (__u32)~ip->saddr + (__u64)(__u32)~ip->daddr + (__u16)~*words;
	ip->saddr = to->source.words[3];
	ip->daddr = to->destination.words[3];
	ip->ttl -= 1;
	sum += (__u64)ip->saddr + ip->daddr + *words;
	ip->check = ~fold(sum);
	return 0;
}

static __always_inline int readdress_v6(struct __sk_buff *skb, const struct l4_flow *to)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH;

	if ((void *)(ip + 1) > end)
		return -1;
	__builtin_memcpy(&ip->saddr, to->source.words, 16);
	__builtin_memcpy(&ip->daddr, to->destination.words, 16);
	ip->hop_limit -= 1;
	return 0;
}

/* nat and fullnat, either way. GO_ON, or a verdict. */
static __always_inline int translate(struct __sk_buff *skb, const struct packet *p, const struct l4_flow *flow)
{
	if (p->ttl <= 1)
		return give_up(L4_COUNT_TTL);
	if (p->transport && rewrite_transport(skb, p, flow, p->transport & TRANSPORT_MAX))
		return give_up(L4_COUNT_REWRITE);
	if (p->family == AF_INET ? readdress_v4(skb, flow) : readdress_v6(skb, flow))
		return give_up(L4_COUNT_REWRITE);
	return GO_ON;
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
