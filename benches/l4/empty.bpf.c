/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What a run of a program costs that does nothing. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("classifier")
int empty(struct __sk_buff *skb)
{
	return 0;
}

char empty_license[] SEC("license") = "Dual MIT/GPL";
