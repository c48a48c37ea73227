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

/* The server of the slot; L4_NO_SERVER if it has none that may get flows. */
static __always_inline __u32 in_slot(void *table, __u32 at)
{
	__u32 *server = bpf_map_lookup_elem(table, &at);

	return server && *server != L4_NO_SERVER && is_usable(*server) ? *server : L4_NO_SERVER;
}

static long try_slot(__u32 round, struct slot_search *search)
{
	__u32 first = search->s->index == L4_TURN ? search->turn + round : slot_of(search->p, search->s, round);
	__u32 server = in_slot(search->table, first % search->slots);

	if (server == L4_NO_SERVER)
		return 0;
	search->server = server;
	search->round = round;
	return 1;
}

/* The member at that place. */
static __always_inline struct l4_member *member_at(void *members, __u32 at)
{
	__u32 page = at / L4_PAGE;
	struct l4_members *some = bpf_map_lookup_elem(members, &page);

	return some ? &some->of[at % L4_PAGE] : 0;
}

struct member_search {
	void *members;
	__u32 found;
};

static long try_member(__u32 at, struct member_search *search)
{
	struct l4_member *m = member_at(search->members, at);

	if (!m || !m->weight || !is_usable(m->server))
		return 0;
	search->found = 1;
	return 1;
}

__noinline int has_usable_member(__u32 service, const struct l4_service *s)
{
	if (!s)
		return 0;
	struct member_search search = { .members = bpf_map_lookup_elem(&members, &service) };

	if (search.members)
		bpf_loop(s->members, try_member, &search, 0);
	return search.found;
}

/* Says which was the first of them. */
static __always_inline __u64 take_turns(__u32 service, __u64 turns_taken)
{
	__u64 *next = bpf_map_lookup_elem(&turns, &service);

	return next ? __sync_fetch_and_add(next, turns_taken) : 0;
}

/* The slot did not do: others, as the service's flags have it. */
__noinline __u32 search_table(const struct packet *p, __u32 service, const struct l4_service *s, __u64 turn)
{
	if (!p || !s)
		return L4_NO_SERVER;
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
	if (search.round && s->index == L4_TURN)
		take_turns(service, search.round);
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
	case L4_LBLC:
	case L4_LBLCR:
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

static __always_inline void weigh(const struct l4_member *m, struct choice *c)
{
	__u32 server = m->server;
	struct l4_load *l = bpf_map_lookup_elem(&loads, &server);
	__u64 cost;
	__u32 weight;

	if (!l || l->overloaded || !m->weight || (!c->unlimited && !is_admitted(m, c->turn)))
		return;
	if (!cost_of(c->scheduler, m, l, &cost, &weight))
		return;
	if (c->server != L4_NO_SERVER) {
		__u64 ours = cost * c->weight, best = c->cost * weight;
		if (ours > best)
			return;
		if (ours == best && (c->flags & L4_SERVICE_IPVS_TIES || m->weight <= c->preference))
			return;
	}
	c->cost = cost;
	c->weight = weight;
	c->server = server;
	c->preference = m->weight;
}

/* What a page has beyond the last member weighs nothing. */
static __always_inline void weigh_page(const struct l4_members *page, struct choice *c)
{
	for (int i = 0; i < L4_PAGE; i++) {
		if (page->of[i].weight)
			weigh(&page->of[i], c);
	}
}

static long weigh_next(__u32 at, struct choice *c)
{
	__u32 page = at + 1;
	struct l4_members *some = bpf_map_lookup_elem(c->members, &page);

	if (some)
		weigh_page(some, c);
	return !some;
}

/* Most services have no more than the first page. */
static __always_inline void weigh_all(const struct l4_members *first, const struct l4_service *s, struct choice *c)
{
	weigh_page(first, c);
	if (s->members > L4_PAGE)
		bpf_loop((s->members - 1) / L4_PAGE, weigh_next, c, 0);
}

__noinline __u32 by_load(__u32 service, const struct l4_service *s, __u64 turn)
{
	if (!s)
		return L4_NO_SERVER;
	struct choice c = {
		.members = bpf_map_lookup_elem(&members, &service),
		.turn = turn,
		.server = L4_NO_SERVER,
		.flags = s->flags,
		.scheduler = s->scheduler,
	};

	__u32 zero = 0;
	struct l4_members *first = c.members ? bpf_map_lookup_elem(c.members, &zero) : 0;

	if (!first)
		return L4_NO_SERVER;
	weigh_all(first, s, &c);
	if (c.server == L4_NO_SERVER) {
		c.unlimited = 1;
		weigh_all(first, s, &c);
	}
	return c.server;
}

/* --- by two draws -------------------------------------------------------------------------------------------------------------------- */

struct draw {
	void *members;
	__u64 turn;
	/* What is left until the place that was drawn; in the end of a count, the weights of all that may be drawn, negated. */
	__u64 left;
	__u32 server;
	__u32 weight;
	__u8 unlimited;
	__u8 counts;
};

static long pass_by(__u32 at, struct draw *d)
{
	struct l4_member *m = member_at(d->members, at);

	if (!m || !m->weight || !is_usable(m->server) || (!d->unlimited && !is_admitted(m, d->turn)))
		return 0;
	if (!d->counts && d->left < m->weight) {
		d->server = m->server;
		d->weight = m->weight;
		return 1;
	}
	d->left -= m->weight;
	return 0;
}

/* The weights of all that may be drawn. */
__noinline __u64 drawable(__u32 service, const struct l4_service *s, __u64 turn, __u8 unlimited)
{
	struct draw d = {
		.members = bpf_map_lookup_elem(&members, &service),
		.turn = turn,
		.unlimited = unlimited,
		.counts = 1,
	};

	if (!s || !d.members)
		return 0;
	bpf_loop(s->members, pass_by, &d, 0);
	return -d.left;
}

/* The server at that place among the weights, and its weight above it. */
__noinline __u64 drawn(__u32 service, const struct l4_service *s, __u64 turn, __u8 unlimited, __u64 at)
{
	struct draw d = {
		.members = bpf_map_lookup_elem(&members, &service),
		.turn = turn,
		.left = at,
		.server = L4_NO_SERVER,
		.unlimited = unlimited,
	};

	if (s && d.members)
		bpf_loop(s->members, pass_by, &d, 0);
	return (__u64)d.weight << 32 | d.server;
}

static __always_inline __u64 load_of(__u32 server)
{
	struct l4_load *l = bpf_map_lookup_elem(&loads, &server);

	return l ? (__u64)l->active * 256 + l->inactive : 0;
}

/* Two servers drawn by weight, the less loaded of them. The draws come of the flow, so that they can be told afterwards. */
__noinline __u32 by_draws(const struct packet *p, __u32 service, const struct l4_service *s, __u64 turn)
{
	if (!p || !s)
		return L4_NO_SERVER;
	__u16 port = bpf_ntohs(p->key.source_port);
	__u64 total = drawable(service, s, turn, 0), one, other;
	__u8 unlimited = !total;

	if (unlimited)
		total = drawable(service, s, turn, 1);
	one = drawn(service, s, turn, unlimited, l4_hash(&p->key.source, port, 2 * turn) * total >> 32);
	other = drawn(service, s, turn, unlimited, l4_hash(&p->key.source, port, 2 * turn + 1) * total >> 32);
	return load_of(other) * (one >> 32) < load_of(one) * (other >> 32) ? other : one;
}

/* --- by destination ------------------------------------------------------------------------------------------------------------------ */

/* How long a destination is remembered without a flow, and a set stays as it is before its most loaded server leaves it. */
#define LOCALITY (24 * 3600ull * 1000000000)

/* The servers that a destination has, seen at a glance. */
struct survey {
	/* Of the destination. */
	struct l4_locality_key key;
	/* The one of lblc; L4_NO_SERVER: those of the set that began with `birth`. */
	__u32 server;
	__u32 service;
	struct l4_address destination;
	__u64 birth;
	__u64 best_load;
	__u32 best_weight;
	__u32 best_active;
	__u32 best;
	__u64 most_load;
	__u32 most_weight;
	__u32 most;
	__u16 flags;
	/* Some server of the service has fewer open flows than half its weight. */
	__u8 has_room;
};

/* The stack has no room for it. */
MAP(surveys, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct survey);

struct look {
	void *members;
	struct survey *v;
};

static __always_inline int has_server(const struct survey *v, __u32 server)
{
	struct l4_locality_key key = { .destination = v->destination, .service = v->service, .server = server };

	if (v->server != L4_NO_SERVER)
		return v->server == server;
	struct l4_locality *one = bpf_map_lookup_elem(&localities, &key);
	return one && one->birth == v->birth;
}

static long look_at(__u32 at, struct look *look)
{
	struct l4_member *m = member_at(look->members, at);
	struct survey *v = look->v;
	if (!m)
		return 1;
	__u32 server = m->server, weight = m->weight;
	struct l4_load *l = bpf_map_lookup_elem(&loads, &server);

	if (!l || !weight)
		return 0;
	if ((__u64)l->active * 2 < weight)
		v->has_room = 1;
	if (!has_server(v, server))
		return 0;
	__u64 load = (__u64)l->active * 256 + l->inactive;
	if (v->most == L4_NO_SERVER || v->most_load * weight < load * v->most_weight) {
		v->most_load = load;
		v->most_weight = weight;
		v->most = server;
	}
	if (l->overloaded)
		return 0;
	if (v->best != L4_NO_SERVER) {
		__u64 ours = load * v->best_weight, best = v->best_load * weight;
		if (ours > best || (ours == best && (v->flags & L4_SERVICE_IPVS_TIES || weight <= v->best_weight)))
			return 0;
	}
	v->best_load = load;
	v->best_weight = weight;
	v->best_active = l->active;
	v->best = server;
	return 0;
}

/* A server joins the set, or leaves it. */
static __always_inline void change_set(struct l4_locality_key *key, struct l4_locality *set, __u32 server, int joins, __u64 now)
{
	struct l4_locality one = { .seen = now, .birth = set->birth };

	key->server = server;
	if (!joins)
		bpf_map_delete_elem(&localities, key);
	else if (bpf_map_update_elem(&localities, key, &one, BPF_ANY))
		return;
	__sync_fetch_and_add(&set->size, joins ? 1 : -1);
	set->changed = now;
}

/* A destination that was not known: it has that server from now on, or a set of it alone. A function for its stack. */
static __noinline int note_locality(struct l4_locality_key *key, __u32 server, int has_sets, __u64 turn, __u64 now)
{
	struct l4_locality fresh = { .seen = now, .changed = now, .birth = turn, .server = server, .size = has_sets };

	bpf_map_update_elem(&localities, key, &fresh, BPF_ANY);
	if (!has_sets)
		return 0;
	fresh.size = 0;
	key->server = server;
	return bpf_map_update_elem(&localities, key, &fresh, BPF_ANY);
}

/* The destination's server, or the better of its set; if that is overloaded while another has room, the least loaded of all. */
__noinline __u32 by_locality(const struct packet *p, __u32 service, const struct l4_service *s, __u64 turn, __u64 now)
{
	if (!p || !s)
		return L4_NO_SERVER;
	int has_sets = s->scheduler == L4_LBLCR;
	__u32 zero = 0;
	struct survey *v = bpf_map_lookup_elem(&surveys, &zero);
	struct look look = { .members = bpf_map_lookup_elem(&members, &service), .v = v };

	if (!v || !look.members)
		return L4_NO_SERVER;
	__builtin_memset(v, 0, sizeof(*v));
	struct l4_locality_key *key = &v->key;
	key->destination = p->key.destination;
	key->service = service;
	key->server = L4_NO_SERVER;
	struct l4_locality *known = bpf_map_lookup_elem(&localities, key);
	v->service = service;
	v->destination = p->key.destination;
	v->server = v->best = v->most = L4_NO_SERVER;
	v->flags = s->flags;
	/* Another CPU's clock may be ahead. */
	if (known && known->seen <= now && now - known->seen >= LOCALITY)
		known = 0;
	if (known) {
		v->server = has_sets ? L4_NO_SERVER : known->server;
		v->birth = known->birth;
		bpf_loop(s->members, look_at, &look, 0);
		known->seen = now;
		if (has_sets && known->size > 1 && now > known->changed && now - known->changed >= LOCALITY) {
			if (v->most != L4_NO_SERVER)
				change_set(key, known, v->most, 0, now);
			known->changed = now;
		}
		if (v->best != L4_NO_SERVER && !(v->best_active > v->best_weight && v->has_room))
			return v->best;
	}
	__u32 server = by_load(service, s, turn);
	if (server == L4_NO_SERVER)
		return has_sets ? v->best : server;
	if (!known) {
		note_locality(key, server, has_sets, turn, now);
	} else if (!has_sets) {
		known->server = server;
	} else if (!has_server(v, server)) {
		change_set(key, known, server, 1, now);
	}
	return server;
}

static __always_inline __u32 first_slot(const struct packet *p, const struct l4_service *s, __u64 turn)
{
	return s->index == L4_TURN ? turn % s->slots : slot_of(p, s, 0) % s->slots;
}

/* The first slot does nearly always. */
static __always_inline __u32 by_table(const struct packet *p, __u32 service, const struct l4_service *s, __u64 turn)
{
	void *table = bpf_map_lookup_elem(&tables, &service);

	if (!table || !s->slots)
		return L4_NO_SERVER;
	__u32 server = in_slot(table, first_slot(p, s, turn));
	return server == L4_NO_SERVER ? search_table(p, service, s, turn) : server;
}

/*
 * The choice of a scheduler that keeps nothing in mind but its turn, where the first look at a table says enough: it can be taken back by
 * giving back the turn. L4_NO_SERVER: `choose` is to say.
 */
static __always_inline __u32 choose_lightly(const struct packet *p, __u32 service, const struct l4_service *s, __u64 *turn)
{
	void *table;

	*turn = take_turns(service, 1);
	switch (s->scheduler) {
	case L4_BY_TABLE:
		table = bpf_map_lookup_elem(&tables, &service);
		return table && s->slots ? in_slot(table, first_slot(p, s, *turn)) : L4_NO_SERVER;
	case L4_TWOS:
	case L4_LBLC:
	case L4_LBLCR:
		return L4_NO_SERVER;
	}
	return by_load(service, s, *turn);
}

static __always_inline __u32 choose(const struct packet *p, __u32 service, const struct l4_service *s, __u64 now)
{
	__u64 turn = take_turns(service, 1);

	switch (s->scheduler) {
	case L4_BY_TABLE:
		return by_table(p, service, s, turn);
	case L4_TWOS:
		return by_draws(p, service, s, turn);
	case L4_LBLC:
	case L4_LBLCR:
		return by_locality(p, service, s, turn, now);
	}
	return by_load(service, s, turn);
}
