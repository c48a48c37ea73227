/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Flows and templates that another director told of. */

/* In this unit a flow remembers when it was told of: if it was seen at another time, a packet of it came by here since. */
#define TOLD_AT(seen) ((__u32)((seen) >> 20))

/* The flow is known: it goes on as told, unless packets here say more. 0: it is another flow, and over. */
static __always_inline int catch_up(const struct l4_flow_key *key, struct l4_flow *known, const struct l4_flow *told, __u64 now)
{
	__u64 word = known->word;
	__u8 state = STATE_OF(word), next = STATE_OF(told->word);

	if (known->direction != L4_FORWARD || known->seen >= told->seen)
		return 1;
	if (SERVER_OF(word) != SERVER_OF(told->word) || state == L4_RELEASED) {
		release(key, known, now);
		return 0;
	}
	if (state != next) {
		if (__sync_val_compare_and_swap(&known->word, word, (word & ~0xffull) | next) != word)
			return 1;
		if (is_active(state) != is_active(next))
			move_load(SERVER_OF(word), state, next);
	}
	known->seen = told->seen;
	known->told = TOLD_AT(told->seen);
	return 1;
}

/* The flow in `scratch` is there from now on. Says whether it is new. */
__noinline int learn_flow(const struct l4_flow_key *key, struct l4_scratch *scratch, __u64 now)
{
	struct packet p = {};

	if (!key || !scratch)
		return 0;
	struct l4_flow *flow = &scratch->flow;
	__u32 server = SERVER_OF(flow->word), service = flow->service;
	struct l4_flow *known = bpf_map_lookup_elem(&flows, key);
	struct l4_service *s = bpf_map_lookup_elem(&services, &service);
	if (!s || (known && catch_up(key, known, flow, now)))
		return 0;
	__u8 state = STATE_OF(flow->word), persistent = s->persist && FLAGS_OF(flow->word) & L4_FLOW_PERSISTENT;
	if (persistent) {
		struct l4_template_key client;
		key_of_template(&key->source, service, s, &client);
		__u32 there = remembered(&client, s, now);
		if (there == L4_NO_SERVER)
			there = remember(&client, s, server, now);
		/* The client has moved since. */
		if (there != server) {
			leave_template(&key->source, service, there, now);
			persistent = 0;
		}
	}
	struct l4_server *at = bpf_map_lookup_elem(&servers, &server);
	int alone = at && flow->mode == L4_NAT && at->flags & L4_SERVER_SOLE;
	flow->word = WORD(server, (persistent ? L4_FLOW_PERSISTENT : 0) | (alone ? L4_FLOW_ALONE : 0), state);
	flow->told = TOLD_AT(flow->seen);
	p.key = *key;
	int has_entry = has_reply_entry(flow->mode, flow->word);
	int failed = has_entry ? add_nat_reply(&p, scratch, now) : 0;
	if (!failed) {
		failed = bpf_map_update_elem(&flows, key, flow, BPF_NOEXIST);
		if (failed && has_entry)
			bpf_map_delete_elem(&flows, &scratch->back);
	}
	if (failed) {
		if (persistent)
			leave_template(&key->source, service, server, now);
		return 0;
	}
	move_load(server, L4_RELEASED, state);
	return 1;
}

/* The client stays on that server, unless it stays on another here. Says whether that is new. */
__noinline int learn_template(const struct l4_template_key *key, __u32 server, __u64 seen)
{
	struct l4_template told = { .seen = seen, .word = TEMPLATE(server, 0) };

	if (!key)
		return 0;
	if (!bpf_map_update_elem(&templates, key, &told, BPF_NOEXIST)) {
		move_persistent(server, 1);
		return 1;
	}
	struct l4_template *t = bpf_map_lookup_elem(&templates, key);
	if (t && SERVER_OF(t->word) == server && t->seen < seen)
		t->seen = seen;
	return 0;
}
