/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Chooses the server of a new flow: a slot of the service's table, or a look at all its servers. src/l4/reference.rs is the same in Rust. */

#define ADMIT_ALL 65536
/* How far a table is searched at first, past servers that are overloaded. */
#define TABLE_ROUNDS 64

static __always_inline __u64 half(const struct l4_address *a, int at)
{
	return (__u64)a->words[at + 1] << 32 | a->words[at];
}

/* `port` in host order. src/l4/abi.rs has the same under `hash`. */
static __always_inline __u32 l4_hash(const struct l4_address *a, __u16 port, __u32 round)
{
	__u64 h = (half(a, 0) ^ round) * 0x9E3779B97F4A7C15ull;

	h ^= h >> 32;
	h = (h ^ half(a, 2) ^ (__u64)port << 16) * 0xD6E8FEB86659FD93ull;
	h ^= h >> 29;
	h *= 0xD6E8FEB86659FD93ull;
	return h ^ h >> 32;
}

static __always_inline int is_usable(__u32 server)
{
	struct l4_load *l = bpf_map_lookup_elem(&loads, &server);
	return l && !l->overloaded;
}

/* --- by table ------------------------------------------------------------------------------------------------------------------------ */

static __always_inline __u32 slot_of(const struct packet *p, const struct l4_service *s, __u32 round)
{
	switch (s->index) {
	case L4_SOURCE:
		return l4_hash(&p->key.source, 0, round);
	case L4_SOURCE_PORT:
		return l4_hash(&p->key.source, bpf_ntohs(p->key.source_port), round);
	case L4_DESTINATION:
		return l4_hash(&p->key.destination, 0, round);
	}
	return 0;
}

struct slot_search {
	const struct packet *p;
	const struct l4_service *s;
	void *table;
	__u64 turn;
	__u32 slots;
	__u32 server;
	__u32 round;
};

static long try_slot(__u32 round, struct slot_search *search)
{
	__u32 first = search->s->index == L4_TURN ? search->turn + round : slot_of(search->p, search->s, round);
	__u32 at = first % search->slots;
	__u32 *server = bpf_map_lookup_elem(search->table, &at);

	if (!server || *server == L4_NO_SERVER || !is_usable(*server))
		return 0;
	search->server = *server;
	search->round = round;
	return 1;
}

struct member_search {
	void *members;
	__u32 found;
};

static long try_member(__u32 at, struct member_search *search)
{
	struct l4_member *m = bpf_map_lookup_elem(search->members, &at);

	if (!m || !m->weight || !is_usable(m->server))
		return 0;
	search->found = 1;
	return 1;
}

static __noinline int has_usable_member(__u32 service, const struct l4_service *s)
{
	struct member_search search = { .members = bpf_map_lookup_elem(&members, &service) };

	if (search.members)
		bpf_loop(s->members, try_member, &search, 0);
	return search.found;
}

static __noinline __u32 by_table(const struct packet *p, __u32 service, const struct l4_service *s, __u64 turn)
{
	struct slot_search search = {
		.p = p,
		.s = s,
		.table = bpf_map_lookup_elem(&tables, &service),
		.turn = turn,
		.slots = s->slots,
		.server = L4_NO_SERVER,
	};

	if (!search.table || !s->slots)
		return L4_NO_SERVER;
	if (s->index == L4_TURN)
		search.turn %= s->slots;
	bpf_loop(s->index == L4_TURN || s->flags & L4_SERVICE_FALLBACK ? TABLE_ROUNDS : 1, try_slot, &search, 0);
	/* A heavy server may have more turns in a row than that; the whole round is walked only if it leads to somebody. */
	if (search.server == L4_NO_SERVER && s->index == L4_TURN && s->slots > TABLE_ROUNDS && has_usable_member(service, s))
		bpf_loop(s->slots, try_slot, &search, 0);
	/* The next flow goes on behind the slot that was taken. */
	__u64 *next = search.round && s->index == L4_TURN ? bpf_map_lookup_elem(&turns, &service) : 0;
	if (next)
		__sync_fetch_and_add(next, search.round);
	return search.server;
}

/* --- by load ------------------------------------------------------------------------------------------------------------------------- */

struct choice {
	void *members;
	__u64 turn;
	__u64 cost;
	__u32 weight;
	__u32 server;
	/* Weight of the chosen one, for ties. */
	__u32 preference;
	__u16 flags;
	__u8 scheduler;
	/* Admission limits do not count. */
	__u8 unlimited;
};

static __always_inline int is_admitted(const struct l4_member *m, __u64 turn)
{
	if (m->admission >= ADMIT_ALL)
		return 1;
	turn &= 0xffffffff;
	return (turn + 1) * m->admission >> 16 > turn * m->admission >> 16;
}

/* Cost and the weight that divides it; 0: not usable. */
static __always_inline int cost_of(__u8 scheduler, const struct l4_member *m, const struct l4_load *l, __u64 *cost,
				   __u32 *weight)
{
	*weight = m->weight;
	switch (scheduler) {
	case L4_LC:
		*weight = 1;
		/* fall through */
	case L4_WLC:
		*cost = (__u64)l->active * 256 + l->inactive;
		return 1;
	case L4_NQ:
		if (!l->active) {
			*cost = 0;
			return 1;
		}
		/* fall through */
	case L4_SED:
		*cost = (__u64)l->active + 1;
		return 1;
	case L4_OVF:
		if (l->active > m->weight)
			return 0;
		/* fall through */
	case L4_FO:
		*cost = 0xffffffffull - m->weight;
		*weight = 1;
		return 1;
	}
	return 0;
}

static long consider(__u32 at, struct choice *c)
{
	struct l4_member *m = bpf_map_lookup_elem(c->members, &at);
	if (!m)
		return 1;
	__u32 server = m->server;
	struct l4_load *l = bpf_map_lookup_elem(&loads, &server);
	__u64 cost;
	__u32 weight;

	if (!l || l->overloaded || !m->weight || (!c->unlimited && !is_admitted(m, c->turn)))
		return 0;
	if (!cost_of(c->scheduler, m, l, &cost, &weight))
		return 0;
	if (c->server != L4_NO_SERVER) {
		__u64 ours = cost * c->weight, best = c->cost * weight;
		if (ours > best)
			return 0;
		if (ours == best && (c->flags & L4_SERVICE_IPVS_TIES || m->weight <= c->preference))
			return 0;
	}
	c->cost = cost;
	c->weight = weight;
	c->server = server;
	c->preference = m->weight;
	return 0;
}

static __noinline __u32 by_load(__u32 service, const struct l4_service *s, __u64 turn)
{
	struct choice c = {
		.members = bpf_map_lookup_elem(&members, &service),
		.turn = turn,
		.server = L4_NO_SERVER,
		.flags = s->flags,
		.scheduler = s->scheduler,
	};

	if (!c.members)
		return L4_NO_SERVER;
	bpf_loop(s->members, consider, &c, 0);
	if (c.server == L4_NO_SERVER) {
		c.unlimited = 1;
		bpf_loop(s->members, consider, &c, 0);
	}
	return c.server;
}

static __always_inline __u32 choose(const struct packet *p, __u32 service, const struct l4_service *s)
{
	__u64 *next = bpf_map_lookup_elem(&turns, &service);
	__u64 turn = next ? __sync_fetch_and_add(next, 1) : 0;

	return s->scheduler == L4_BY_TABLE ? by_table(p, service, s, turn) : by_load(service, s, turn);
}
