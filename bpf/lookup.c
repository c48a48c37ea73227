/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Finding a packet's service, and making, following and releasing flows. */

#define SECOND 1000000000ull
/* How often a free port is tried for before the pool counts as exhausted. */
#define PORT_TRIES 32

static __always_inline const struct l4_door *door_of(__u32 port)
{
	return bpf_map_lookup_elem(&doors, &port);
}

static __always_inline int is_open(const struct l4_door *door)
{
	return door && door->state != L4_DOOR_CLOSED;
}

/* Most packets that are not for a service are told by this alone. */
static __always_inline int may_be_ours(const struct packet *p)
{
	return is_open(door_of(bpf_ntohs(p->key.destination_port))) || is_open(door_of(0));
}

static __always_inline int leads_to(const struct l4_door *door, const struct packet *p)
{
	__u32 differs = door->protocol ^ p->key.protocol;

	for (int i = 0; i < 4; i++)
		differs |= door->address.words[i] ^ p->key.destination.words[i];
	return !differs;
}

/* The id of the packet's service among all addresses, plus 1. */
static __noinline __u32 search_service(const struct packet *p)
{
	struct l4_address_key key = {
		.address = p->key.destination,
		.port = p->key.destination_port,
		.protocol = p->key.protocol,
	};
	__u32 *id = bpf_map_lookup_elem(&addresses, &key);

	if (!id && is_open(door_of(0))) {
		key.port = 0;
		id = bpf_map_lookup_elem(&addresses, &key);
	}
	return id ? *id + 1 : 0;
}

/* The same, by the door where that says enough. */
static __always_inline __u32 find_service(const struct packet *p)
{
	const struct l4_door *door = door_of(bpf_ntohs(p->key.destination_port));

	if (door && door->state == L4_DOOR_ONE) {
		if (leads_to(door, p))
			return door->service + 1;
		if (!is_open(door_of(0)))
			return 0;
	}
	return search_service(p);
}

/* The key of the other direction's entry: what this entry's packets become, turned round. */
static __always_inline void key_of_other(const struct l4_flow_key *key, const struct l4_flow *flow,
					 struct l4_flow_key *other)
{
	__builtin_memset(other, 0, sizeof(*other));
	other->source = flow->destination;
	other->destination = flow->source;
	other->source_port = flow->destination_port;
	other->destination_port = flow->source_port;
	other->protocol = key->protocol;
}

static __always_inline int has_reply(__u8 mode)
{
	return mode == L4_NAT || mode == L4_FULLNAT;
}

/* Answers of a flow with that word have an entry of their own. */
static __always_inline int has_reply_entry(__u8 mode, __u64 word)
{
	return has_reply(mode) && !(FLAGS_OF(word) & L4_FLOW_ALONE);
}

/* --- answers without an entry ---------------------------------------------------------------------------------------------------------- */

/* Most packets that are no answers are told by this alone. */
static __always_inline int may_answer(const struct l4_flow_key *key)
{
	__u32 port = bpf_ntohs(key->source_port), at = port / 64;
	__u64 *ports = bpf_map_lookup_elem(&answering, &at);

	return ports && *ports >> port % 64 & 1;
}

/* The flow that a packet with these addresses answers, if that is known by where it comes from. Its key is in `scratch->whole` then. */
static __always_inline struct l4_flow *answered(const struct l4_flow_key *key, struct l4_scratch *scratch)
{
	__u32 at = l4_hash(&key->source, bpf_ntohs(key->source_port), key->protocol) % L4_ORIGINS;
	const struct l4_origin *origin = bpf_map_lookup_elem(&origins, &at);
	struct l4_flow_key *whole = &scratch->whole;

	if (!origin)
		return 0;
	__u32 other = (origin->protocol ^ key->protocol) | (origin->from_port ^ key->source_port);
	for (int i = 0; i < 4; i++)
		other |= origin->from.words[i] ^ key->source.words[i];
	if (other)
		return 0;
	whole->source = key->destination;
	whole->destination = origin->address;
	whole->source_port = key->destination_port;
	whole->destination_port = origin->port;
	whole->protocol = key->protocol;
	struct l4_flow *flow = bpf_map_lookup_elem(&flows, whole);
	if (!flow || flow->mode != L4_NAT || flow->direction != L4_FORWARD)
		return 0;
	__u32 differs = flow->destination_port ^ key->source_port;
	for (int i = 0; i < 4; i++)
		differs |= flow->destination.words[i] ^ key->source.words[i];
	return differs ? 0 : flow;
}

/* What becomes of the answer, as an entry of its own would say it; without a route. */
static __always_inline struct l4_flow *answer_of(const struct l4_flow *flow, struct l4_scratch *scratch)
{
	struct l4_flow *reply = &scratch->reply;

	reply->word = flow->word;
	reply->seen = flow->seen;
	reply->route.epoch = 0;
	reply->source = scratch->whole.destination;
	reply->source_port = scratch->whole.destination_port;
	reply->destination = scratch->whole.source;
	reply->destination_port = scratch->whole.source_port;
	reply->service = flow->service;
	reply->direction = L4_REPLY;
	reply->mode = L4_NAT;
	reply->tunnel_port = 0;
	reply->told = 0;
	return reply;
}

/* Gives the answer the route that the last one to that client had. Says where that is kept. */
static __always_inline struct l4_return *recall_route(struct l4_flow *reply)
{
	__u32 at = l4_hash(&reply->destination, 0, 0) % L4_RETURNS, other = 0;
	struct l4_return *back = bpf_map_lookup_elem(&returns, &at);

	if (!back)
		return 0;
	for (int i = 0; i < 4; i++)
		other |= back->client.words[i] ^ reply->destination.words[i];
	if (!other) {
		reply->route = back->route;
		reply->tick = back->tick;
	}
	return back;
}

static __always_inline void keep_route(const struct l4_flow *reply, struct l4_return *back)
{
	back->client = reply->destination;
	back->route = reply->route;
	back->tick = reply->tick;
}

/* The same, of any flow. A function for its stack. */
static __noinline int copy_answer(const struct l4_flow_key *key, struct l4_scratch *scratch)
{
	struct l4_flow *flow = answered(key, scratch);

	if (flow)
		answer_of(flow, scratch);
	return flow != 0;
}

/* --- templates ----------------------------------------------------------------------------------------------------------------------- */

static __always_inline void key_of_template(const struct l4_address *client, __u32 service, const struct l4_service *s,
					    struct l4_template_key *key)
{
	for (int i = 0; i < 4; i++)
		key->client.words[i] = client->words[i] & s->persist_mask.words[i];
	key->service = service;
}

#define TEMPLATE(server, live) ((__u64)(server) << 32 | (live))
#define LIVE_OF(word) ((__u32)(word))
/* How often a swap that another CPU was faster at is tried again. */
#define SWAPS 8

static __always_inline void move_persistent(__u32 server, int by)
{
	struct l4_load *l = bpf_map_lookup_elem(&loads, &server);

	if (l)
		__sync_fetch_and_add(&l->persistent, by);
}

/* One flow less counts on the template, if it still names the flow's server. */
static __always_inline void leave_template(const struct l4_address *client, __u32 service, __u32 server, __u64 now)
{
	struct l4_service *s = bpf_map_lookup_elem(&services, &service);
	struct l4_template_key key;

	if (!s)
		return;
	key_of_template(client, service, s, &key);
	struct l4_template *t = bpf_map_lookup_elem(&templates, &key);
	for (int i = 0; t && i < SWAPS; i++) {
		__u64 word = t->word;
		if (SERVER_OF(word) != server || !LIVE_OF(word))
			return;
		t->seen = now;
		if (__sync_val_compare_and_swap(&t->word, word, word - 1) == word)
			return;
	}
}

static __always_inline int keeps(const struct l4_template *t, __u64 word, const struct l4_service *s, __u64 now)
{
	__u32 id = SERVER_OF(word);
	struct l4_server *server = bpf_map_lookup_elem(&servers, &id);

	if (!server || !server->mode || server->flags & (L4_SERVER_LEAVE | L4_SERVER_CUT))
		return 0;
	/* Another CPU's clock may be ahead. */
	__u64 seen = t->seen;
	return LIVE_OF(word) || seen >= now || now - seen < s->persist * SECOND;
}

/* One flow more counts on the template, if its server may get flows. L4_NO_SERVER: it may not, or nobody counts on it any longer. */
static __always_inline __u32 stay(struct l4_template *t, const struct l4_service *s, __u64 now)
{
	for (int i = 0; i < SWAPS; i++) {
		__u64 word = t->word;
		if (SERVER_OF(word) == L4_NO_SERVER || !keeps(t, word, s, now))
			return L4_NO_SERVER;
		t->seen = now;
		if (__sync_val_compare_and_swap(&t->word, word, word + 1) == word)
			return SERVER_OF(word);
	}
	return L4_NO_SERVER;
}

/* The server the client stays on; L4_NO_SERVER if none is remembered, or it may not get flows. */
__noinline __u32 remembered(const struct l4_template_key *key, const struct l4_service *s, __u64 now)
{
	if (!key || !s)
		return L4_NO_SERVER;
	struct l4_template *t = bpf_map_lookup_elem(&templates, key);
	return t ? stay(t, s, now) : L4_NO_SERVER;
}

/* From now on the client stays on `chosen`, unless another CPU has just placed it elsewhere. Says where it is. */
__noinline __u32 remember(const struct l4_template_key *key, const struct l4_service *s, __u32 chosen, __u64 now)
{
	struct l4_template fresh = { .seen = now, .word = TEMPLATE(chosen, 1) };

	if (!key || !s)
		return chosen;
	long failed = bpf_map_update_elem(&templates, key, &fresh, BPF_NOEXIST);
	if (!failed)
		move_persistent(chosen, 1);
	if (failed && failed != -EEXIST)
		count(L4_COUNT_TABLE_FULL);
	struct l4_template *t = failed == -EEXIST ? bpf_map_lookup_elem(&templates, key) : 0;
	for (int i = 0; t && i < SWAPS; i++) {
		__u64 word = t->word;
		__u32 old = SERVER_OF(word);
		if (old == L4_NO_SERVER)
			break;
		if (keeps(t, word, s, now)) {
			__u32 there = stay(t, s, now);
			return there == L4_NO_SERVER ? chosen : there;
		}
		if (__sync_val_compare_and_swap(&t->word, word, TEMPLATE(chosen, old == chosen ? LIVE_OF(word) + 1 : 1)) != word)
			continue;
		t->seen = now;
		if (old != chosen) {
			move_persistent(old, -1);
			move_persistent(chosen, 1);
		}
		break;
	}
	return chosen;
}

/* Of a template nobody counts on any more: its server is free of it, whatever its age if `force`. */
static __always_inline int forget_template(const struct l4_template_key *key, __u64 now, __u32 force)
{
	struct l4_template *t = bpf_map_lookup_elem(&templates, key);
	__u32 service = key->service;
	struct l4_service *s = bpf_map_lookup_elem(&services, &service);

	if (!t || !s)
		return 0;
	__u64 word = t->word, seen = t->seen;
	if (!force && (LIVE_OF(word) || seen > now || now - seen < s->persist * SECOND))
		return 0;
	if (SERVER_OF(word) == L4_NO_SERVER || __sync_val_compare_and_swap(&t->word, word, TEMPLATE(L4_NO_SERVER, 0)) != word)
		return 0;
	move_persistent(SERVER_OF(word), -1);
	bpf_map_delete_elem(&templates, key);
	return 1;
}

/* --- releasing ----------------------------------------------------------------------------------------------------------------------- */

/* Ends a flow: whoever wins the swap gives its counts back and deletes its entries. Says whether that was us. */
__noinline int release(const struct l4_flow_key *key, struct l4_flow *flow, __u64 now)
{
	struct l4_flow_key other;

	if (!key || !flow || flow->direction != L4_FORWARD)
		return 0;
	__u64 word = flow->word;
	__u8 state = STATE_OF(word);
	if (state == L4_RELEASED)
		return 0;
	if (__sync_val_compare_and_swap(&flow->word, word, (word & ~0xffull) | L4_RELEASED) != word)
		return 0;
	move_load(SERVER_OF(word), state, L4_RELEASED);
	if (FLAGS_OF(word) & L4_FLOW_PERSISTENT)
		leave_template(&key->source, flow->service, SERVER_OF(word), now);
	if (has_reply_entry(flow->mode, word)) {
		key_of_other(key, flow, &other);
		bpf_map_delete_elem(&flows, &other);
	}
	bpf_map_delete_elem(&flows, key);
	return 1;
}

/* Seconds a flow may be silent, as IPVS has them. */
static __always_inline __u64 patience(const struct l4_flow *flow)
{
	__u32 id = flow->service;
	struct l4_service *s = bpf_map_lookup_elem(&services, &id);

	switch (STATE_OF(flow->word)) {
	case L4_ESTABLISHED:
		return s && s->timeout_tcp ? s->timeout_tcp : 900;
	case L4_FIN_WAIT:
		return s && s->timeout_tcpfin ? s->timeout_tcpfin : 120;
	case L4_UDP:
		return s && s->timeout_udp ? s->timeout_udp : 300;
	case L4_SYN_RECV:
	case L4_CLOSE_WAIT:
		return 60;
	case L4_CLOSE:
		return 10;
	case L4_LAST_ACK:
		return 30;
	}
	return 120;
}

/* Of a forward entry, where the reply's own packets count as well; or of a reply's that has none. */
static __always_inline int expire_flow(const struct l4_flow_key *key, __u64 now, __u32 force)
{
	struct l4_flow *flow = bpf_map_lookup_elem(&flows, key);

	if (!flow || (flow->direction != L4_FORWARD && !(FLAGS_OF(flow->word) & L4_FLOW_ONE_PACKET)))
		return 0;
	__u64 seen = flow->seen;
	if (!force && (seen > now || now - seen < patience(flow) * SECOND))
		return 0;
	if (flow->direction == L4_FORWARD)
		return release(key, flow, now);
	return !bpf_map_delete_elem(&flows, key);
}

/* Must a packet that found this entry not follow it? A client that takes the same port again, or a server whose flows are cut. */
static __always_inline int is_over(const struct packet *p, const struct l4_flow *flow)
{
	__u64 word = flow->word;
	__u8 state = STATE_OF(word);

	if (flow->direction != L4_FORWARD)
		return 0;
	if (state == L4_RELEASED)
		return 1;
	if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		if (state == L4_TIME_WAIT || state == L4_CLOSE || (state == L4_FIN_WAIT && !has_reply(flow->mode)))
			return 1;
	}
	__u32 id = SERVER_OF(word);
	struct l4_server *server = bpf_map_lookup_elem(&servers, &id);
	__u8 cut = L4_SERVER_CUT | (p->key.protocol == IPPROTO_UDP ? L4_SERVER_CUT_UDP : 0);
	if (!server || !server->mode || server->flags & cut) {
		count(L4_COUNT_CUT);
		return 1;
	}
	return 0;
}

/* Ticks of the kernel's clock within which a flow's time is not set again: 16 to 160 ms. */
#define SETTLED 16

/* A packet like the one before, so that it says nothing new: no state moves, no time is set, nobody has cut the flow. */
static __always_inline int is_settled(const struct packet *p, const struct l4_flow *flow)
{
	const __u32 quiet = 1 << L4_ESTABLISHED | 1 << L4_FIN_WAIT | 1 << L4_CLOSE_WAIT | 1 << L4_UDP;
	__u8 state = STATE_OF(flow->word);

	if (p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) || p->first_fragment || (__u32)bpf_jiffies64() - flow->tick > SETTLED)
		return 0;
	return flow->direction == L4_REPLY || (state < 32 && quiet >> state & 1);
}

/* What a reply tells about its flow. The flow's own time is set once a second: that costs the lookup of its entry. */
__noinline int follow_reply(const struct packet *p, struct l4_flow *reply, __u64 now)
{
	struct l4_flow_key key;

	if (!p || !reply || (!(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) && now - reply->seen < SECOND))
		return 0;
	key_of_other(&p->key, reply, &key);
	struct l4_flow *flow = bpf_map_lookup_elem(&flows, &key);
	reply->seen = now;
	if (FLAGS_OF(reply->word) & L4_FLOW_TOA && p->tcp_flags & TCP_SYN)
		reply->told = bpf_htonl(bpf_ntohl(p->sequence) + 1);
	if (!flow)
		return 0;
	move_state(flow, p->tcp_flags, 1);
	touch(flow, now);
	return 0;
}

/* --- new flows ----------------------------------------------------------------------------------------------------------------------- */

/* Do packets of both become the same? */
static __always_inline int same_way(const struct l4_flow *one, const struct l4_flow *other)
{
	for (int i = 0; i < 4; i++) {
		if (one->source.words[i] != other->source.words[i] || one->destination.words[i] != other->destination.words[i])
			return 0;
	}
	return one->source_port == other->source_port && one->destination_port == other->destination_port;
}

/* A reply's entry where there is one, unless another live flow has it: then the same server port already answers this client for another service. */
static __noinline int displace(const struct l4_flow_key *key, const struct l4_flow *reply, __u64 now)
{
	struct l4_flow_key other;

	struct l4_flow *old = bpf_map_lookup_elem(&flows, key);
	if (!old) {
		count(L4_COUNT_TABLE_FULL);
		return -1;
	}
	if (old->direction == L4_REPLY && FLAGS_OF(old->word) & FLAGS_OF(reply->word) & L4_FLOW_ONE_PACKET) {
		old->seen = now;
		if (same_way(old, reply))
			return 0;
	} else if (old->direction == L4_REPLY) {
		key_of_other(key, old, &other);
		struct l4_flow *owner = bpf_map_lookup_elem(&flows, &other);
		__u8 state = owner ? STATE_OF(owner->word) : L4_RELEASED;
		if (owner && (state == L4_TIME_WAIT || state == L4_CLOSE))
			release(&other, owner, now);
		if (!owner || state == L4_TIME_WAIT || state == L4_CLOSE) {
			if (!bpf_map_update_elem(&flows, key, reply, BPF_ANY))
				return 0;
		}
	}
	count(L4_COUNT_CONFLICT);
	return -1;
}

/* Fills in what a nat flow's packets become. */
static __always_inline void aim(const struct packet *p, const struct l4_server *server, struct l4_flow *flow)
{
	flow->mode = server->mode;
	flow->tunnel_port = server->mode == L4_TUN ? server->tunnel_port : 0;
	flow->source = server->mode == L4_TUN ? server->local : p->key.source;
	flow->source_port = p->key.source_port;
	flow->destination = server->address;
	flow->destination_port = server->port ? server->port : p->key.destination_port;
}

/* The reply's entry: packets from where the flow's go, back to where they came from. */
static __always_inline void mirror(const struct packet *p, struct l4_scratch *scratch)
{
	const struct l4_flow *flow = &scratch->flow;
	struct l4_flow *reply = &scratch->reply;

	key_of_other(&p->key, flow, &scratch->back);
	__builtin_memset(reply, 0, sizeof(*reply));
	reply->word = flow->word;
	reply->seen = flow->seen;
	reply->source = p->key.destination;
	reply->source_port = p->key.destination_port;
	reply->destination = p->key.source;
	reply->destination_port = p->key.source_port;
	reply->service = flow->service;
	reply->direction = L4_REPLY;
	reply->mode = flow->mode;
}

struct port_search {
	const struct packet *p;
	struct l4_scratch *scratch;
	void *pool;
	__u32 start;
	__u32 first;
	__u32 ports;
	__u32 all;
	__u32 found;
};

static long try_port(__u32 i, struct port_search *search)
{
	struct l4_flow *flow = &search->scratch->flow;
	__u32 n = (search->start + i * 7919) % search->all, at = n / search->ports;
	struct l4_address *address = bpf_map_lookup_elem(search->pool, &at);

	if (!address)
		return 1;
	flow->source = *address;
	flow->source_port = bpf_htons(search->first + n % search->ports);
	mirror(search->p, search->scratch);
	if (bpf_map_update_elem(&flows, &search->scratch->back, &search->scratch->reply, BPF_NOEXIST))
		return 0;
	search->found = 1;
	return 1;
}

/* fullnat: the reply's entry with the first free one of the service's addresses and ports that is tried. */
static __noinline int take_port(const struct packet *p, struct l4_scratch *scratch, const struct l4_service *s)
{
	__u32 service = scratch->flow.service, ports = s->port_last - s->port_first + 1;
	struct port_search search = {
		.p = p,
		.scratch = scratch,
		.pool = bpf_map_lookup_elem(&sources, &service),
		.start = l4_hash(&p->key.source, bpf_ntohs(p->key.source_port), scratch->flow.destination_port),
		.first = s->port_first,
		.ports = ports,
		.all = ports * s->sources,
	};

	if (search.pool && s->port_last >= s->port_first && s->port_first && s->sources)
		bpf_loop(PORT_TRIES, try_port, &search, 0);
	return search.found ? 0 : -1;
}

/* Some flow that is alone has the server's answers to that client. A function for its stack. */
static __noinline int is_taken(struct l4_scratch *scratch)
{
	const struct l4_flow *flow = answered(&scratch->back, scratch);

	if (!flow || !(FLAGS_OF(flow->word) & L4_FLOW_ALONE))
		return 0;
	__u8 state = STATE_OF(flow->word);
	return state != L4_RELEASED && state != L4_TIME_WAIT && state != L4_CLOSE;
}

static __always_inline int add_nat_reply(const struct packet *p, struct l4_scratch *scratch, __u64 now)
{
	mirror(p, scratch);
	if (may_answer(&scratch->back) && is_taken(scratch)) {
		count(L4_COUNT_CONFLICT);
		return -1;
	}
	if (!bpf_map_update_elem(&flows, &scratch->back, &scratch->reply, BPF_NOEXIST))
		return 0;
	return displace(&scratch->back, &scratch->reply, now);
}

static __always_inline int insert(const struct packet *p, struct l4_scratch *scratch, const struct l4_service *s, __u64 now)
{
	__u8 mode = scratch->flow.mode;
	int has_entry = has_reply_entry(mode, scratch->flow.word);

	if (mode == L4_NAT && has_entry && add_nat_reply(p, scratch, now))
		return -1;
	if (mode == L4_FULLNAT && take_port(p, scratch, s)) {
		count(L4_COUNT_PORTS_EXHAUSTED);
		return -1;
	}
	if (!bpf_map_update_elem(&flows, &p->key, &scratch->flow, BPF_NOEXIST))
		return 0;
	count(L4_COUNT_TABLE_FULL);
	if (has_entry)
		bpf_map_delete_elem(&flows, &scratch->back);
	return -1;
}

static __always_inline __u32 by_template(const struct packet *p, __u32 service, const struct l4_service *s, __u64 now)
{
	struct l4_template_key key;

	key_of_template(&p->key.source, service, s, &key);
	__u32 server = remembered(&key, s, now);
	if (server == L4_NO_SERVER)
		server = choose(p, service, s, now);
	else
		return server;
	return server == L4_NO_SERVER ? server : remember(&key, s, server, now);
}

/* A datagram that is scheduled for itself: its flow ends as it begins. What comes back needs the reply's entry all the same. */
static __always_inline int pass_once(const struct packet *p, struct l4_scratch *scratch, const struct l4_service *s, __u64 now)
{
	struct l4_flow *flow = &scratch->flow;

	if (s->persist)
		leave_template(&p->key.source, flow->service, SERVER_OF(flow->word), now);
	return flow->mode == L4_NAT ? add_nat_reply(p, scratch, now) : 0;
}

/* The flow as it is to be, in `scratch`. Says its state. */
static __always_inline __u8 draft(struct __sk_buff *skb, struct packet *p, struct l4_scratch *scratch, __u32 service, __u32 id,
				  const struct l4_server *server, __u8 flags, __u64 now)
{
	struct l4_flow *flow = &scratch->flow;
	__u8 state = p->key.protocol == IPPROTO_TCP ? L4_SYN_RECV : L4_UDP;

	if (server->flags & L4_SERVER_TOA && state == L4_SYN_RECV)
		flags |= L4_FLOW_TOA;
	if (server->mode == L4_NAT && server->flags & L4_SERVER_SOLE && !(flags & L4_FLOW_ONE_PACKET))
		flags |= L4_FLOW_ALONE;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->word = WORD(id, flags, state);
	flow->seen = now;
	flow->service = service;
	aim(p, server, flow);
	flow->tick = bpf_jiffies64();
	/* Which address fullnat takes is not known yet. */
	if (flow->mode != L4_LOCAL && !(flow->mode == L4_FULLNAT && !is_shared(p->epoch)))
		route_flow(skb, p, flow, now);
	return state;
}

static __always_inline void count_flow(__u32 server)
{
	struct l4_traffic *t = bpf_map_lookup_elem(&traffic, &server);

	if (t)
		t->flows += 1;
}

/* Chooses a server and makes the flow's entries; the flow is in `scratch` then. 0: nobody takes the packet. */
static __always_inline int new_flow(struct __sk_buff *skb, struct packet *p, struct l4_scratch *scratch, __u32 service, __u64 now)
{
	struct l4_service *s = bpf_map_lookup_elem(&services, &service);

	if (!s)
		return 0;
	if (p->key.protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN) {
		count(L4_COUNT_NOT_SYN);
		return 0;
	}
	int once = s->flags & L4_SERVICE_ONE_PACKET && p->key.protocol == IPPROTO_UDP;
	__u32 id = once && p->server ? p->server - 1 : s->persist ? by_template(p, service, s, now) : choose(p, service, s, now);
	struct l4_server *server = bpf_map_lookup_elem(&servers, &id);
	if (!server || !server->mode) {
		count(L4_COUNT_NO_SERVER);
		return 0;
	}
	__u8 flags = (s->persist ? L4_FLOW_PERSISTENT : 0) | (once ? L4_FLOW_ONE_PACKET : 0);
	__u8 state = draft(skb, p, scratch, service, id, server, flags, now);
	if (once ? pass_once(p, scratch, s, now) : insert(p, scratch, s, now)) {
		if (s->persist && !once)
			leave_template(&p->key.source, service, id, now);
		return 0;
	}
	if (!once)
		move_load(id, L4_RELEASED, state);
	count_flow(id);
	return 1;
}

/* Most segments with SYN alone are the first of their flow: the table is not asked before. */
static __always_inline int begins(const struct packet *p)
{
	return p->key.protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN && !p->first_fragment;
}

/* Both entries, if neither is there. Says whether they are now. */
static __always_inline int insert_at_once(const struct packet *p, struct l4_scratch *scratch, const struct l4_service *s)
{
	__u8 mode = scratch->flow.mode;

	if (mode == L4_FULLNAT && take_port(p, scratch, s))
		return 0;
	int made = !bpf_map_update_elem(&flows, &p->key, &scratch->flow, BPF_NOEXIST);
	if (made && mode == L4_NAT && has_reply_entry(mode, scratch->flow.word)) {
		mirror(p, scratch);
		made = !(may_answer(&scratch->back) && is_taken(scratch)) &&
		       !bpf_map_update_elem(&flows, &scratch->back, &scratch->reply, BPF_NOEXIST);
		if (!made)
			bpf_map_delete_elem(&flows, &p->key);
	} else if (!made && mode == L4_FULLNAT) {
		bpf_map_delete_elem(&flows, &scratch->back);
	}
	return made;
}

/*
 * Makes the flow of a packet that `begins`, as `new_flow` does, if nothing stands against it: then the table need not be searched before it
 * is written, which is the dearest part of a new flow. 0: it is as if nobody had tried, and the long way says what becomes of the packet.
 */
static __always_inline int new_flow_at_once(struct __sk_buff *skb, struct packet *p, struct l4_scratch *scratch, __u64 now)
{
	__u32 service = find_service(p) - 1;
	struct l4_service *s = bpf_map_lookup_elem(&services, &service);
	__u64 turn;

	if (!s || s->persist)
		return 0;
	__u32 id = choose_lightly(p, service, s, &turn);
	struct l4_server *server = bpf_map_lookup_elem(&servers, &id);
	if (server && server->mode) {
		__u8 state = draft(skb, p, scratch, service, id, server, 0, now);
		if (insert_at_once(p, scratch, s)) {
			move_load(id, L4_RELEASED, state);
			count_flow(id);
			return 1;
		}
	}
	take_turns(service, -1);
	return 0;
}
