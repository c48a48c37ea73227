/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Counters, and the one place where a flow's state moves: by compare-and-swap, so that each server's counts move exactly once. */

static __always_inline void count(enum l4_count what)
{
	__u32 at = what;
	__u64 *n = bpf_map_lookup_elem(&counts, &at);
	if (n)
		*n += 1;
}

static __always_inline void count_packet(struct __sk_buff *skb, __u32 server, int out)
{
	struct l4_traffic *t = bpf_map_lookup_elem(&traffic, &server);
	if (!t)
		return;
	__u64 packets = skb->gso_segs ? skb->gso_segs : 1;
	__u64 bytes = skb->len - ETH;
	if (out) {
		t->out_packets += packets;
		t->out_bytes += bytes;
	} else {
		t->in_packets += packets;
		t->in_bytes += bytes;
	}
}

#define WORD(server, flags, state) ((__u64)(server) << 32 | (__u64)(flags) << 8 | (state))
#define STATE_OF(word) ((__u8)(word))
#define FLAGS_OF(word) ((__u8)((word) >> 8))
#define SERVER_OF(word) ((__u32)((word) >> 32))

static __always_inline int is_active(__u8 state)
{
	return state == L4_ESTABLISHED || state == L4_SYN_SENT || state == L4_SYN_RECV || state == L4_SYNACK;
}

/* A server is overloaded from `upper` flows on, until they fall below `lower`, or below three quarters of `upper`. */
static __always_inline void judge_load(const struct l4_server *s, struct l4_load *l)
{
	__u32 flows = l->active + l->inactive;

	if (s->upper && flows >= s->upper)
		l->overloaded = 1;
	else if (l->overloaded && (s->lower ? flows < s->lower : flows * 4 < s->upper * 3 || !s->upper))
		l->overloaded = 0;
}

/* `state` L4_RELEASED takes the flow out of both counts, `from` L4_RELEASED brings it in. */
static __always_inline void move_load(__u32 server, __u8 from, __u8 state)
{
	struct l4_load *l = bpf_map_lookup_elem(&loads, &server);
	struct l4_server *s = bpf_map_lookup_elem(&servers, &server);

	if (!l || !s)
		return;
	if (from != L4_RELEASED)
		__sync_fetch_and_add(is_active(from) ? &l->active : &l->inactive, -1);
	if (state != L4_RELEASED)
		__sync_fetch_and_add(is_active(state) ? &l->active : &l->inactive, 1);
	judge_load(s, l);
}

/* What a TCP segment makes of a flow. `reply`: it comes from the server. `one_way`: the server's segments do not pass here (dr, tun). */
static __always_inline __u8 next_state(__u8 state, __u8 flags, int reply, int one_way)
{
	if (flags & TCP_RST) {
		if (reply)
			return state == L4_TIME_WAIT || state == L4_SYN_SENT ? state : L4_CLOSE;
		/* A reset before the handshake is over may be forged: the flow stays for the time a handshake has. */
		return state == L4_SYN_RECV || state == L4_LAST_ACK ? state : L4_CLOSE;
	}
	if (flags & TCP_SYN)
		return reply || state == L4_ESTABLISHED ? state : L4_SYN_RECV;
	if (flags & TCP_FIN) {
		switch (state) {
		case L4_ESTABLISHED:
			return reply || one_way ? L4_FIN_WAIT : L4_CLOSE_WAIT;
		case L4_SYN_RECV:
			return L4_TIME_WAIT;
		case L4_FIN_WAIT:
			return reply || one_way ? L4_FIN_WAIT : L4_TIME_WAIT;
		case L4_CLOSE_WAIT:
			return reply ? L4_TIME_WAIT : state;
		}
		return state;
	}
	if ((flags & TCP_ACK) && (state == L4_SYN_RECV || state == L4_NONE))
		return L4_ESTABLISHED;
	return state;
}

/* Moves a flow on and its server's counts with it. */
static __always_inline void move_state(struct l4_flow *flow, __u8 flags, int reply)
{
	__u64 word = flow->word;
	__u8 state = STATE_OF(word);

	if (state == L4_UDP || state == L4_RELEASED)
		return;
	__u8 next = next_state(state, flags, reply, flow->mode != L4_NAT && flow->mode != L4_FULLNAT);
	if (next == state)
		return;
	__u64 moved = (word & ~0xffull) | next;
	/* Lost to another CPU: its packet has said what there was to say, or the next one will. */
	if (__sync_val_compare_and_swap(&flow->word, word, moved) != word)
		return;
	if (is_active(state) != is_active(next))
		move_load(SERVER_OF(word), state, next);
}

static __always_inline void touch(struct l4_flow *flow, __u64 now)
{
	if (flow->seen != now)
		flow->seen = now;
}
