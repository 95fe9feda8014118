/* The program of examples/xdp_rate_limiter.py, as one would write it in C: RATE packets a second of each sender, BURST
 * at once. clang -O2 -g -target bpf -mcpu=v3 -DRATE=... -DBURST=... */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SECOND (1000000000ull << 4) /* in sixteenths of a nanosecond */
#define INTERVAL (SECOND / RATE)
#define SLACK ((BURST - 1) * INTERVAL)
#define AHEAD (1ull << 24)
#define RACES 3

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} buckets SEC(".maps");

SEC("xdp")
int rate_limit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);

	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;

	__u32 key = ip->saddr;
	__u64 soonest = (bpf_ktime_get_ns() << 4) + INTERVAL;
	__u64 *bucket = bpf_map_lookup_elem(&buckets, &key);

	if (!bucket) {
		if (!bpf_map_update_elem(&buckets, &key, &soonest, BPF_NOEXIST))
			return XDP_PASS;
		bucket = bpf_map_lookup_elem(&buckets, &key);
		if (!bucket)
			return XDP_DROP;
	}

	__u64 latest = soonest + SLACK, full = *(volatile __u64 *)bucket;

#pragma unroll
	for (int i = 0; i < RACES; i++) {
		__u64 then = full + INTERVAL, before;

		if (then < soonest)
			then = soonest;
		if (then > latest) {
			if (full > latest + AHEAD)
				__sync_val_compare_and_swap(bucket, full, latest + AHEAD);
			return XDP_DROP;
		}
		before = __sync_val_compare_and_swap(bucket, full, then);
		if (before == full)
			return XDP_PASS;
		full = before;
	}
	__sync_fetch_and_add(bucket, INTERVAL);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
