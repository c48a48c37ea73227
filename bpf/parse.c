/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Reads a packet's headers into `struct packet`. What is not ours to judge is left to the kernel. */

#define ETH 14
#define PULLED 128

struct packet {
	struct l4_flow_key key;
	/* Offset of the transport header; 0 in later fragments, which have none. */
	__u32 transport;
	/* Of the IP packet as it goes over a wire: of one segment, if it stands for several. */
	__u32 length;
	/* Offset of the IP packet's end; what follows is padding. */
	__u32 end;
	__be32 fragment_id;
	/* Where a fragment's first one went, plus 1. */
	__u32 server;
	/* Of the map `epochs` as the packet came. */
	__u32 epoch;
	/* What encapsulation adds to its length. */
	__u32 extra;
	/* Of a segment with SYN. */
	__be32 sequence;
	__u8 family;
	__u8 tcp_flags;
	__u8 ttl;
	__u8 tos;
	__u8 first_fragment;
	__u8 dont_fragment;
};

/* The packet being judged: the stack has no room for it. */
MAP(packets, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct packet);

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

enum parsed { PARSED, NOT_OURS, ICMP };

static __always_inline void map_v4(struct l4_address *to, __be32 v4)
{
	to->words[0] = 0;
	to->words[1] = 0;
	to->words[2] = bpf_htonl(0xffff);
	to->words[3] = v4;
}

static __always_inline int is_mapped(const struct l4_address *address)
{
	return !(address->words[0] | address->words[1] | (address->words[2] ^ bpf_htonl(0xffff)));
}

static __always_inline void key_of_fragment(const struct packet *p, struct l4_fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = p->key.source;
	key->destination = p->key.destination;
	key->id = p->fragment_id;
	key->protocol = p->key.protocol;
}

/* The ports of a later fragment, as its first one had them. */
static __noinline int fragment_ports(struct packet *p)
{
	struct l4_fragment_key key;

	key_of_fragment(p, &key);
	struct l4_fragment *ports = bpf_map_lookup_elem(&fragments, &key);
	if (!ports)
		return -1;
	p->key.source_port = ports->source_port;
	p->key.destination_port = ports->destination_port;
	p->server = ports->server;
	return 0;
}

static __noinline int remember_fragment(const struct packet *p, __u32 server)
{
	struct l4_fragment_key key;
	struct l4_fragment ports = { p->key.source_port, p->key.destination_port, server + 1 };

	key_of_fragment(p, &key);
	return bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
}

/* What every packet has, whatever comes later. */
static __always_inline void begin(struct packet *p, __u8 family, __u8 protocol, __u32 length)
{
	p->key.protocol = protocol;
	p->key.pad[0] = p->key.pad[1] = p->key.pad[2] = 0;
	p->family = family;
	p->length = length;
	p->end = ETH + length;
	p->transport = 0;
	p->fragment_id = 0;
	p->server = 0;
	p->tcp_flags = 0;
	p->first_fragment = 0;
}

/* Ports and TCP flags. `at` is at most 14 + 60 in IPv4. */
static __always_inline enum parsed parse_transport(struct __sk_buff *skb, struct packet *p, __u32 at)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	__u32 headers = at;

	p->transport = at;
	if (p->key.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = data + at;
		if ((void *)(tcp + 1) > end)
			return NOT_OURS;
		p->key.source_port = tcp->source;
		p->key.destination_port = tcp->dest;
		p->tcp_flags = ((__u8 *)tcp)[13];
		if (p->tcp_flags & TCP_SYN)
			p->sequence = tcp->seq;
		headers += tcp->doff * 4;
	} else {
		struct udphdr *udp = data + at;
		if ((void *)(udp + 1) > end)
			return NOT_OURS;
		p->key.source_port = udp->source;
		p->key.destination_port = udp->dest;
		headers += sizeof(*udp);
	}
	if (skb->gso_size)
		p->length = headers - ETH + skb->gso_size;
	return PARSED;
}

static __always_inline enum parsed parse_v4(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return NOT_OURS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return ip->protocol == IPPROTO_ICMP ? ICMP : NOT_OURS;
	begin(p, AF_INET, ip->protocol, bpf_ntohs(ip->tot_len));
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	map_v4(&p->key.source, ip->saddr);
	map_v4(&p->key.destination, ip->daddr);
	__u16 fragment = bpf_ntohs(ip->frag_off);
	p->dont_fragment = (fragment & 0x4000) != 0;
	if (fragment & 0x3fff) {
		p->fragment_id = ip->id;
		if (fragment & 0x1fff)
			return fragment_ports(p) ? NOT_OURS : PARSED;
		p->first_fragment = 1;
	}
	/* Most have no options: an offset that is known. */
	return parse_transport(skb, p, ip->ihl == 5 ? ETH + sizeof(*ip) : ETH + ip->ihl * 4);
}

/* Other extension headers than the fragment's are left to the kernel. */
static __always_inline enum parsed parse_v6(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH;
	__u32 at = ETH + sizeof(*ip);

	if ((void *)(ip + 1) > end || ip->version != 6)
		return NOT_OURS;
	begin(p, AF_INET6, ip->nexthdr, sizeof(*ip) + bpf_ntohs(ip->payload_len));
	p->ttl = ip->hop_limit;
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->dont_fragment = 1;
	__builtin_memcpy(&p->key.source, &ip->saddr, 16);
	__builtin_memcpy(&p->key.destination, &ip->daddr, 16);
	if (ip->nexthdr == IPPROTO_FRAGMENT) {
		struct fragment_header *fragment = (void *)(ip + 1);
		if ((void *)(fragment + 1) > end)
			return NOT_OURS;
		p->key.protocol = fragment->next;
		p->fragment_id = fragment->id;
		at += sizeof(*fragment);
		if (fragment->offset & bpf_htons(0xfff8))
			return fragment_ports(p) ? NOT_OURS : PARSED;
		p->first_fragment = 1;
	}
	if (p->key.protocol != IPPROTO_TCP && p->key.protocol != IPPROTO_UDP)
		return p->key.protocol == IPPROTO_ICMPV6 ? ICMP : NOT_OURS;
	return parse_transport(skb, p, at);
}

static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *p)
{
	__u32 protocol = skb->protocol;

	if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6))
		return NOT_OURS;
	/* Drivers may leave the headers in fragments of the buffer. */
	if (skb->data_end - skb->data < PULLED && skb->data_end - skb->data < skb->len)
		bpf_skb_pull_data(skb, skb->len < PULLED ? skb->len : PULLED);
	return protocol == bpf_htons(ETH_P_IP) ? parse_v4(skb, p) : parse_v6(skb, p);
}
