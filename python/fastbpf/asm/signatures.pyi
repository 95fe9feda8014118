"""The calls of the kernel's helper functions, as type checkers see them. Written by tools/generate_calls.py."""

from fastbpf.asm.arguments import Bytes, Callback, Map, Number, Pointer, Size, Text
from fastbpf.asm.instruction import Instruction

class HelperCalls:
    """The kernel's helper functions by name: `call.map_lookup_elem(counts, fp - 8)`."""

    def __dir__(self) -> list[str]: ...
    def map_lookup_elem(self, map: Map, key: Bytes) -> tuple[Instruction, ...]:
        """Finds the value that belongs to a key. Returns a pointer to the value inside the map, or NULL if the key is not there.

        Helper 1, since Linux 3.19: void *bpf_map_lookup_elem(void *map, const void *key)
        Program types: all but ext.

        Args:
            map: a map.
            key: memory that is read, as large as a key of the map.

        Returns:
            The instructions of the call. r0 is a pointer to the value in the map, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_map_lookup_elem/, bpf-helpers(7)
        """

    def map_update_elem(self, map: Map, key: Bytes, value: Bytes, flags: Number) -> tuple[Instruction, ...]:
        """Writes a value under a key. flags: 0 writes in any case, 1 only a new key, 2 only one that exists. Returns 0 or a negative error.

        Helper 2, since Linux 3.19: long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
        Program types: all but ext.

        Args:
            map: a map.
            key: memory that is read, as large as a key of the map.
            value: memory that is read, as large as a value of the map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_map_update_elem/, bpf-helpers(7)
        """

    def map_delete_elem(self, map: Map, key: Bytes) -> tuple[Instruction, ...]:
        """Removes a key and its value. Returns 0, or -ENOENT if the key was not there.

        Helper 3, since Linux 3.19: long bpf_map_delete_elem(void *map, const void *key)
        Program types: all but ext.

        Args:
            map: a map.
            key: memory that is read, as large as a key of the map.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_map_delete_elem/, bpf-helpers(7)
        """

    def probe_read(self, dst: Pointer, size: Number, unsafe_ptr: Number | Map) -> tuple[Instruction, ...]:
        """Copies memory from any address, of the kernel or the process, without a fault. The old helper: probe_read_kernel and probe_read_user say which memory is meant. Returns 0 or -EFAULT.

        Helper 4, since Linux 4.1: long bpf_probe_read(void *dst, __u32 size, const void *unsafe_ptr)
        Program types: kprobe, tracepoint, perf_event, raw_tracepoint, raw_tracepoint_writable, tracing, lsm, syscall.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_ARCH_HAS_NON_OVERLAPPING_ADDRESS_SPACE, a kernel that is not locked down for confidentiality.

        Args:
            dst: memory that is written, size bytes.
            size: how many bytes dst has, which may be 0.
            unsafe_ptr: an address, which the helper itself checks.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_probe_read/, bpf-helpers(7)
        """

    def ktime_get_ns(self) -> tuple[Instruction, ...]:
        """Nanoseconds since boot without the time spent asleep (CLOCK_MONOTONIC).

        Helper 5, since Linux 4.1: __u64 bpf_ktime_get_ns(void)
        Program types: all but ext.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ktime_get_ns/, bpf-helpers(7)
        """

    def trace_printk(self, fmt: Text, fmt_size: Size, *more: Text | Number | Map) -> tuple[Instruction, ...]:
        """Prints a line into the kernel's trace_pipe; at most three values, and slow: for debugging. Returns the number of bytes, or a negative error.

        Helper 6, since Linux 4.1: long bpf_trace_printk(const char *fmt, __u32 fmt_size, ...)
        Program types: all but ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            fmt: text that is read, fmt_size bytes.
            fmt_size: how many bytes fmt has.
            more: up to three values; text and %s go together.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_trace_printk/, bpf-helpers(7)
        """

    def get_prandom_u32(self) -> tuple[Instruction, ...]:
        """A pseudo-random number of 32 bits, not fit for secrets.

        Helper 7, since Linux 4.1: __u32 bpf_get_prandom_u32(void)
        Program types: all but ext.

        Returns:
            The instructions of the call. r0 is the result, __u32; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_prandom_u32/, bpf-helpers(7)
        """

    def get_smp_processor_id(self) -> tuple[Instruction, ...]:
        """The number of the CPU that runs the program.

        Helper 8, since Linux 4.1: __u32 bpf_get_smp_processor_id(void)
        Program types: all but lirc_mode2, ext.

        Returns:
            The instructions of the call. r0 is the result, __u32; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_smp_processor_id/, bpf-helpers(7)
        """

    def skb_store_bytes(
        self, skb: Pointer, offset: Number, from_: Text, len: Size, flags: Number
    ) -> tuple[Instruction, ...]:
        """Writes bytes into a packet at an offset, and keeps the checksum or the hash right if flags ask for it. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 9, since Linux 4.1: long bpf_skb_store_bytes(struct __sk_buff *skb, __u32 offset, const void *from, __u32 len, __u64 flags)
        Program types: sched_cls, sched_act, lwt_xmit, sk_skb.

        Args:
            skb: the program's context.
            offset: a number, __u32.
            from_: memory that is read, len bytes.
            len: how many bytes from_ has.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_store_bytes/, bpf-helpers(7)
        """

    def l3_csum_replace(
        self, skb: Pointer, offset: Number, from_: Number, to: Number, size: Number
    ) -> tuple[Instruction, ...]:
        """Mends the checksum of the IP header at an offset after a field has changed from one value to another (2 or 4 bytes), or by a difference (size 0). Returns 0 or a negative error.

        Helper 10, since Linux 4.1: long bpf_l3_csum_replace(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 size)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            offset: a number, __u32.
            from_: a number, __u64.
            to: a number, __u64.
            size: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_l3_csum_replace/, bpf-helpers(7)
        """

    def l4_csum_replace(
        self, skb: Pointer, offset: Number, from_: Number, to: Number, flags: Number
    ) -> tuple[Instruction, ...]:
        """Mends the TCP or UDP checksum at an offset after a field has changed; the lower bits of flags are the field's size, higher ones say that the field is in the pseudo header or that 0 means no checksum. Returns 0 or a negative error.

        Helper 11, since Linux 4.1: long bpf_l4_csum_replace(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            offset: a number, __u32.
            from_: a number, __u64.
            to: a number, __u64.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_l4_csum_replace/, bpf-helpers(7)
        """

    def tail_call(self, ctx: Pointer, prog_array_map: Map, index: Number) -> tuple[Instruction, ...]:
        """Goes on in another program of a program array, and does not come back; at most 33 in a chain. Where the slot is empty the caller goes on, with a result that cannot be read.

        Helper 12, since Linux 4.2: long bpf_tail_call(void *ctx, void *prog_array_map, __u32 index)
        Program types: all but ext.

        Args:
            ctx: the program's context.
            prog_array_map: a map.
            index: a number, __u32.

        Returns:
            The instructions of the call. r0 holds nothing; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tail_call/, bpf-helpers(7)
        """

    def clone_redirect(self, skb: Pointer, ifindex: Number, flags: Number) -> tuple[Instruction, ...]:
        """Sends a copy of the packet out of an interface, or into it with flag 1; the packet itself goes on. Returns 0 or a negative error.

        Helper 13, since Linux 4.2: long bpf_clone_redirect(struct __sk_buff *skb, __u32 ifindex, __u64 flags)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            ifindex: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_clone_redirect/, bpf-helpers(7)
        """

    def get_current_pid_tgid(self) -> tuple[Instruction, ...]:
        """The current thread: the process id (tgid) in the upper 32 bits, the thread id in the lower 32, both as the initial pid namespace numbers them.

        Helper 14, since Linux 4.2: __u64 bpf_get_current_pid_tgid(void)
        Program types: all but lirc_mode2, ext.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_current_pid_tgid/, bpf-helpers(7)
        """

    def get_current_uid_gid(self) -> tuple[Instruction, ...]:
        """The current task's owner: the group id in the upper 32 bits, the user id in the lower 32.

        Helper 15, since Linux 4.2: __u64 bpf_get_current_uid_gid(void)
        Program types: all but lirc_mode2, ext.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_current_uid_gid/, bpf-helpers(7)
        """

    def get_current_comm(self, buf: Pointer, size_of_buf: Number) -> tuple[Instruction, ...]:
        """Writes the current thread's name, at most 15 bytes and a NUL, into a buffer. Returns 0 or a negative error.

        Helper 16, since Linux 4.2: long bpf_get_current_comm(void *buf, __u32 size_of_buf)
        Program types: all but lirc_mode2, ext.
        Takes CAP_PERFMON.

        Args:
            buf: memory that is written, size_of_buf bytes.
            size_of_buf: how many bytes buf has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_current_comm/, bpf-helpers(7)
        """

    def get_cgroup_classid(self, skb: Number | Map) -> tuple[Instruction, ...]:
        """The class id of the net_cls cgroup (version 1) of the task that sends the packet, or 0.

        Helper 17, since Linux 4.3: __u32 bpf_get_cgroup_classid(struct __sk_buff *skb)
        Program types: all but lirc_mode2, ext, lsm.
        Takes CAP_BPF, CONFIG_CGROUP_NET_CLASSID.

        Args:
            skb: an address, which the helper itself checks.

        Returns:
            The instructions of the call. r0 is the result, __u32; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_cgroup_classid/, bpf-helpers(7)
        """

    def skb_vlan_push(self, skb: Pointer, vlan_proto: Number, vlan_tci: Number) -> tuple[Instruction, ...]:
        """Puts a VLAN tag on the packet. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 18, since Linux 4.3: long bpf_skb_vlan_push(struct __sk_buff *skb, __be16 vlan_proto, __u16 vlan_tci)
        Program types: sched_cls, sched_act.

        Args:
            skb: the program's context.
            vlan_proto: a number, __be16.
            vlan_tci: a number, __u16.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_vlan_push/, bpf-helpers(7)
        """

    def skb_vlan_pop(self, skb: Pointer) -> tuple[Instruction, ...]:
        """Takes the outer VLAN tag off the packet. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 19, since Linux 4.3: long bpf_skb_vlan_pop(struct __sk_buff *skb)
        Program types: sched_cls, sched_act.

        Args:
            skb: the program's context.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_vlan_pop/, bpf-helpers(7)
        """

    def skb_get_tunnel_key(self, skb: Pointer, key: Pointer, size: Number, flags: Number) -> tuple[Instruction, ...]:
        """Reads the metadata of the tunnel that the packet came through: id, addresses, TTL. Returns 0 or a negative error.

        Helper 20, since Linux 4.3: long bpf_skb_get_tunnel_key(struct __sk_buff *skb, struct bpf_tunnel_key *key, __u32 size, __u64 flags)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            key: memory that is written, size bytes, a struct bpf_tunnel_key.
            size: how many bytes key has.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_get_tunnel_key/, bpf-helpers(7)
        """

    def skb_set_tunnel_key(self, skb: Pointer, key: Bytes, size: Size, flags: Number) -> tuple[Instruction, ...]:
        """Sets the metadata with which a tunnel device wraps the packet. Returns 0 or a negative error.

        Helper 21, since Linux 4.3: long bpf_skb_set_tunnel_key(struct __sk_buff *skb, struct bpf_tunnel_key *key, __u32 size, __u64 flags)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            key: memory that is read, size bytes, a struct bpf_tunnel_key.
            size: how many bytes key has.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_set_tunnel_key/, bpf-helpers(7)
        """

    def perf_event_read(self, map: Map, flags: Number) -> tuple[Instruction, ...]:
        """The count of a perf event that a map holds, for this CPU or the one in flags. Counts and errors cannot be told apart: perf_event_read_value can.

        Helper 22, since Linux 4.3: __u64 bpf_perf_event_read(void *map, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            map: a map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_perf_event_read/, bpf-helpers(7)
        """

    def redirect(self, ifindex: Number, flags: Number) -> tuple[Instruction, ...]:
        """Sends the packet to another interface when the program returns TC_ACT_REDIRECT or XDP_REDIRECT. Returns that action, or the one for a failure.

        Helper 23, since Linux 4.4: long bpf_redirect(__u32 ifindex, __u64 flags)
        Program types: sched_cls, sched_act, xdp, lwt_xmit.

        Args:
            ifindex: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_redirect/, bpf-helpers(7)
        """

    def get_route_realm(self, skb: Pointer) -> tuple[Instruction, ...]:
        """The realm of the packet's route (the tclassid of its destination), or 0.

        Helper 24, since Linux 4.4: __u32 bpf_get_route_realm(struct __sk_buff *skb)
        Program types: sched_cls, sched_act, lwt_in, lwt_out, lwt_xmit, lwt_seg6local.

        Args:
            skb: the program's context.

        Returns:
            The instructions of the call. r0 is the result, __u32; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_route_realm/, bpf-helpers(7)
        """

    def perf_event_output(
        self, ctx: Pointer, map: Map, flags: Number, data: Text, size: Size
    ) -> tuple[Instruction, ...]:
        """Writes a record into the perf buffer of this CPU, or of the one in flags; packet programs can append bytes of the packet. Returns 0 or a negative error, -ENOSPC when the buffer is full.

        Helper 25, since Linux 4.4: long bpf_perf_event_output(void *ctx, void *map, __u64 flags, void *data, __u64 size)
        Program types: all but lirc_mode2, sk_reuseport, flow_dissector, struct_ops, ext, lsm, netfilter.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            ctx: the program's context.
            map: a map.
            flags: a number, __u64.
            data: memory that is read, size bytes.
            size: how many bytes data has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_perf_event_output/, bpf-helpers(7)
        """

    def skb_load_bytes(self, skb: Pointer, offset: Number, to: Pointer, len: Number) -> tuple[Instruction, ...]:
        """Copies bytes of a packet, wherever they are stored, into a buffer. Returns 0 or a negative error.

        Helper 26, since Linux 4.5: long bpf_skb_load_bytes(const void *skb, __u32 offset, void *to, __u32 len)
        Program types: socket_filter, sched_cls, sched_act, cgroup_skb, lwt_in, lwt_out, lwt_xmit, sk_skb, lwt_seg6local, sk_reuseport, flow_dissector.

        Args:
            skb: the program's context.
            offset: a number, __u32.
            to: memory that is written, len bytes.
            len: how many bytes to has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_load_bytes/, bpf-helpers(7)
        """

    def get_stackid(self, ctx: Pointer, map: Map, flags: Number) -> tuple[Instruction, ...]:
        """Walks the kernel's stack, or the user's with flag 256, and stores it in a stack trace map. Returns its id, or a negative error.

        Helper 27, since Linux 4.6: long bpf_get_stackid(void *ctx, void *map, __u64 flags)
        Program types: kprobe, tracepoint, perf_event, raw_tracepoint, raw_tracepoint_writable, tracing, syscall.

        Args:
            ctx: the program's context.
            map: a map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_stackid/, bpf-helpers(7)
        """

    def csum_diff(
        self, from_: Bytes | None, from_size: Size, to: Bytes | None, to_size: Size, seed: Number
    ) -> tuple[Instruction, ...]:
        """The checksum difference between two pieces of memory, added to a seed; with one of them empty, the checksum of the other. Sizes are multiples of 4. Returns the sum or a negative error.

        Helper 28, since Linux 4.6: __s64 bpf_csum_diff(__be32 *from, __u32 from_size, __be32 *to, __u32 to_size, __wsum seed)
        Program types: sched_cls, sched_act, xdp, lwt_in, lwt_out, lwt_xmit, lwt_seg6local.

        Args:
            from_: memory that is read, from_size bytes; None is NULL.
            from_size: how many bytes from_ has, which may be 0.
            to: memory that is read, to_size bytes; None is NULL.
            to_size: how many bytes to has, which may be 0.
            seed: a number, __wsum.

        Returns:
            The instructions of the call. r0 is the result, __s64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_csum_diff/, bpf-helpers(7)
        """

    def skb_get_tunnel_opt(self, skb: Pointer, opt: Pointer, size: Number) -> tuple[Instruction, ...]:
        """Reads the options of the tunnel that the packet came through, such as Geneve's. Returns the number of bytes, or a negative error.

        Helper 29, since Linux 4.6: long bpf_skb_get_tunnel_opt(struct __sk_buff *skb, void *opt, __u32 size)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            opt: memory that is written, size bytes.
            size: how many bytes opt has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_get_tunnel_opt/, bpf-helpers(7)
        """

    def skb_set_tunnel_opt(self, skb: Pointer, opt: Text, size: Size) -> tuple[Instruction, ...]:
        """Sets the options with which a tunnel device wraps the packet. Returns 0 or a negative error.

        Helper 30, since Linux 4.6: long bpf_skb_set_tunnel_opt(struct __sk_buff *skb, void *opt, __u32 size)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            opt: memory that is read, size bytes.
            size: how many bytes opt has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_set_tunnel_opt/, bpf-helpers(7)
        """

    def skb_change_proto(self, skb: Pointer, proto: Number, flags: Number) -> tuple[Instruction, ...]:
        """Turns an IPv4 packet into an IPv6 one or back by resizing the header's room; the program writes the header itself. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 31, since Linux 4.8: long bpf_skb_change_proto(struct __sk_buff *skb, __be16 proto, __u64 flags)
        Program types: sched_cls, sched_act.

        Args:
            skb: the program's context.
            proto: a number, __be16.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_change_proto/, bpf-helpers(7)
        """

    def skb_change_type(self, skb: Pointer, type: Number) -> tuple[Instruction, ...]:
        """Changes the packet's type: to this host, broadcast, multicast or for another host. Returns 0 or a negative error.

        Helper 32, since Linux 4.8: long bpf_skb_change_type(struct __sk_buff *skb, __u32 type)
        Program types: sched_cls, sched_act.

        Args:
            skb: the program's context.
            type: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_change_type/, bpf-helpers(7)
        """

    def skb_under_cgroup(self, skb: Pointer, map: Map, index: Number) -> tuple[Instruction, ...]:
        """Whether the packet's socket belongs to a cgroup (version 2) of a map, or to one below it: 1, 0 or a negative error.

        Helper 33, since Linux 4.8: long bpf_skb_under_cgroup(struct __sk_buff *skb, void *map, __u32 index)
        Program types: sched_cls, sched_act, lwt_in, lwt_out, lwt_xmit, lwt_seg6local.

        Args:
            skb: the program's context.
            map: a map.
            index: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_under_cgroup/, bpf-helpers(7)
        """

    def get_hash_recalc(self, skb: Pointer) -> tuple[Instruction, ...]:
        """The hash of the packet's flow, computed if it is not known yet.

        Helper 34, since Linux 4.8: __u32 bpf_get_hash_recalc(struct __sk_buff *skb)
        Program types: sched_cls, sched_act, lwt_in, lwt_out, lwt_xmit, lwt_seg6local.

        Args:
            skb: the program's context.

        Returns:
            The instructions of the call. r0 is the result, __u32; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_hash_recalc/, bpf-helpers(7)
        """

    def get_current_task(self) -> tuple[Instruction, ...]:
        """The address of the current task_struct as a number, to be read with probe_read_kernel.

        Helper 35, since Linux 4.8: __u64 bpf_get_current_task(void)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_current_task/, bpf-helpers(7)
        """

    def probe_write_user(self, dst: Number | Map, src: Text, len: Size) -> tuple[Instruction, ...]:
        """Writes into the memory of the current process: for experiments, and the kernel logs a warning. Refused under lockdown. Returns 0 or a negative error.

        Helper 36, since Linux 4.8: long bpf_probe_write_user(void *dst, const void *src, __u32 len)
        Program types: kprobe, tracepoint, perf_event, raw_tracepoint, raw_tracepoint_writable, tracing, lsm, syscall.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_SYS_ADMIN, a kernel that is not locked down for integrity.

        Args:
            dst: an address, which the helper itself checks.
            src: memory that is read, len bytes.
            len: how many bytes src has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_probe_write_user/, bpf-helpers(7)
        """

    def current_task_under_cgroup(self, map: Map, index: Number) -> tuple[Instruction, ...]:
        """Whether the current task belongs to a cgroup (version 2) of a map, or to one below it: 1, 0 or a negative error.

        Helper 37, since Linux 4.9: long bpf_current_task_under_cgroup(void *map, __u32 index)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF, CONFIG_CGROUPS.

        Args:
            map: a map.
            index: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_current_task_under_cgroup/, bpf-helpers(7)
        """

    def skb_change_tail(self, skb: Pointer, len: Number, flags: Number) -> tuple[Instruction, ...]:
        """Makes the packet longer or shorter at its end. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 38, since Linux 4.9: long bpf_skb_change_tail(struct __sk_buff *skb, __u32 len, __u64 flags)
        Program types: sched_cls, sched_act, lwt_xmit, sk_skb.

        Args:
            skb: the program's context.
            len: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_change_tail/, bpf-helpers(7)
        """

    def skb_pull_data(self, skb: Pointer, len: Number) -> tuple[Instruction, ...]:
        """Brings the first bytes of the packet into memory that the program can read directly (0: as many as are there). Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 39, since Linux 4.9: long bpf_skb_pull_data(struct __sk_buff *skb, __u32 len)
        Program types: sched_cls, sched_act, lwt_in, lwt_out, lwt_xmit, sk_skb, lwt_seg6local.

        Args:
            skb: the program's context.
            len: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_pull_data/, bpf-helpers(7)
        """

    def csum_update(self, skb: Pointer, csum: Number) -> tuple[Instruction, ...]:
        """Adds a sum to the checksum that the network card computed over the packet. Returns the new sum, or a negative error if there is none.

        Helper 40, since Linux 4.9: __s64 bpf_csum_update(struct __sk_buff *skb, __wsum csum)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            csum: a number, __wsum.

        Returns:
            The instructions of the call. r0 is the result, __s64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_csum_update/, bpf-helpers(7)
        """

    def set_hash_invalid(self, skb: Pointer) -> tuple[Instruction, ...]:
        """Forgets the hash of the packet's flow, so that it is computed anew.

        Helper 41, since Linux 4.9: void bpf_set_hash_invalid(struct __sk_buff *skb)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.

        Returns:
            The instructions of the call. r0 is the result, void; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_set_hash_invalid/, bpf-helpers(7)
        """

    def get_numa_node_id(self) -> tuple[Instruction, ...]:
        """The number of the NUMA node that runs the program.

        Helper 42, since Linux 4.10: long bpf_get_numa_node_id(void)
        Program types: all but lirc_mode2, ext.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_numa_node_id/, bpf-helpers(7)
        """

    def skb_change_head(self, skb: Pointer, len: Number, flags: Number) -> tuple[Instruction, ...]:
        """Makes room in front of the packet, for instance for an Ethernet header. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 43, since Linux 4.10: long bpf_skb_change_head(struct __sk_buff *skb, __u32 len, __u64 flags)
        Program types: sched_cls, sched_act, lwt_xmit, sk_skb.

        Args:
            skb: the program's context.
            len: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_change_head/, bpf-helpers(7)
        """

    def xdp_adjust_head(self, xdp_md: Pointer, delta: Number) -> tuple[Instruction, ...]:
        """Moves the beginning of the packet by delta: a negative one makes room for headers, a positive one takes them away. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 44, since Linux 4.10: long bpf_xdp_adjust_head(struct xdp_md *xdp_md, int delta)
        Program types: xdp.

        Args:
            xdp_md: the program's context.
            delta: a number, int.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_xdp_adjust_head/, bpf-helpers(7)
        """

    def probe_read_str(self, dst: Pointer, size: Number, unsafe_ptr: Number | Map) -> tuple[Instruction, ...]:
        """Copies text from any address up to its NUL. The old helper: probe_read_kernel_str and probe_read_user_str say which memory is meant. Returns the length with the NUL, or a negative error.

        Helper 45, since Linux 4.11: long bpf_probe_read_str(void *dst, __u32 size, const void *unsafe_ptr)
        Program types: kprobe, tracepoint, perf_event, raw_tracepoint, raw_tracepoint_writable, tracing, lsm, syscall.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_ARCH_HAS_NON_OVERLAPPING_ADDRESS_SPACE, a kernel that is not locked down for confidentiality.

        Args:
            dst: memory that is written, size bytes.
            size: how many bytes dst has, which may be 0.
            unsafe_ptr: an address, which the helper itself checks.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_probe_read_str/, bpf-helpers(7)
        """

    def get_socket_cookie(self, ctx: Pointer | None) -> tuple[Instruction, ...]:
        """A number that names the socket for as long as the machine runs, or 0 if there is no socket.

        Helper 46, since Linux 4.12: __u64 bpf_get_socket_cookie(void *ctx)
        Program types: socket_filter, sched_cls, sched_act, cgroup_skb, cgroup_sock, sock_ops, sk_skb, cgroup_sock_addr, sk_reuseport, tracing, syscall.

        Args:
            ctx: void *, which the verifier knows; None is NULL.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_socket_cookie/, bpf-helpers(7)
        """

    def get_socket_uid(self, skb: Pointer) -> tuple[Instruction, ...]:
        """The user id of the socket's owner, or 65534 (overflowuid) if there is none.

        Helper 47, since Linux 4.12: __u32 bpf_get_socket_uid(struct __sk_buff *skb)
        Program types: socket_filter, sched_cls, sched_act, cgroup_skb, sk_skb.

        Args:
            skb: the program's context.

        Returns:
            The instructions of the call. r0 is the result, __u32; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_socket_uid/, bpf-helpers(7)
        """

    def set_hash(self, skb: Pointer, hash: Number) -> tuple[Instruction, ...]:
        """Sets the hash of the packet's flow. Returns 0.

        Helper 48, since Linux 4.13: long bpf_set_hash(struct __sk_buff *skb, __u32 hash)
        Program types: sched_cls, sched_act.

        Args:
            skb: the program's context.
            hash: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_set_hash/, bpf-helpers(7)
        """

    def setsockopt(
        self, bpf_socket: Pointer, level: Number, optname: Number, optval: Text, optlen: Size
    ) -> tuple[Instruction, ...]:
        """Sets an option of the socket, as setsockopt(2) does; only some options are allowed. Returns 0 or a negative error.

        Helper 49, since Linux 4.13: long bpf_setsockopt(void *bpf_socket, int level, int optname, void *optval, int optlen)
        Program types: sock_ops, cgroup_sock_addr, cgroup_sockopt, struct_ops, lsm.

        Args:
            bpf_socket: void *, which the verifier knows.
            level: a number, int.
            optname: a number, int.
            optval: memory that is read, optlen bytes.
            optlen: how many bytes optval has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_setsockopt/, bpf-helpers(7)
        """  # noqa: D402

    def skb_adjust_room(self, skb: Pointer, len_diff: Number, mode: Number, flags: Number) -> tuple[Instruction, ...]:
        """Makes the room behind the link or the network header larger or smaller, to put tunnel headers in or to take them out. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 50, since Linux 4.13: long bpf_skb_adjust_room(struct __sk_buff *skb, __s32 len_diff, __u32 mode, __u64 flags)
        Program types: sched_cls, sched_act, sk_skb.

        Args:
            skb: the program's context.
            len_diff: a number, __s32.
            mode: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_adjust_room/, bpf-helpers(7)
        """

    def redirect_map(self, map: Map, key: Number, flags: Number) -> tuple[Instruction, ...]:
        """Sends the packet to the device, CPU or AF_XDP socket under a key of a map when the program returns XDP_REDIRECT. Returns XDP_REDIRECT, or the action in the lower bits of flags if there is no such key.

        Helper 51, since Linux 4.14: long bpf_redirect_map(void *map, __u64 key, __u64 flags)
        Program types: xdp.

        Args:
            map: a map.
            key: a number, __u64.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_redirect_map/, bpf-helpers(7)
        """

    def sk_redirect_map(self, skb: Pointer, map: Map, key: Number, flags: Number) -> tuple[Instruction, ...]:
        """Hands the packet to the socket under a key of a sock map. Returns SK_PASS or SK_DROP.

        Helper 52, since Linux 4.14: long bpf_sk_redirect_map(struct __sk_buff *skb, void *map, __u32 key, __u64 flags)
        Program types: sk_skb.

        Args:
            skb: the program's context.
            map: a map.
            key: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_redirect_map/, bpf-helpers(7)
        """

    def sock_map_update(self, skops: Pointer, map: Map, key: Bytes, flags: Number) -> tuple[Instruction, ...]:
        """Adds the socket to a sock map, or replaces the one there. Returns 0 or a negative error.

        Helper 53, since Linux 4.14: long bpf_sock_map_update(struct bpf_sock_ops *skops, void *map, void *key, __u64 flags)
        Program types: sock_ops.

        Args:
            skops: the program's context.
            map: a map.
            key: memory that is read, as large as a key of the map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sock_map_update/, bpf-helpers(7)
        """

    def xdp_adjust_meta(self, xdp_md: Pointer, delta: Number) -> tuple[Instruction, ...]:
        """Moves the beginning of the metadata that lies in front of the packet; programs for tc read it. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 54, since Linux 4.15: long bpf_xdp_adjust_meta(struct xdp_md *xdp_md, int delta)
        Program types: xdp.

        Args:
            xdp_md: the program's context.
            delta: a number, int.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_xdp_adjust_meta/, bpf-helpers(7)
        """

    def perf_event_read_value(self, map: Map, flags: Number, buf: Pointer, buf_size: Number) -> tuple[Instruction, ...]:
        """Reads a perf event that a map holds: its count, and how long it was enabled and running. Returns 0 or a negative error.

        Helper 55, since Linux 4.15: long bpf_perf_event_read_value(void *map, __u64 flags, struct bpf_perf_event_value *buf, __u32 buf_size)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            map: a map.
            flags: a number, __u64.
            buf: memory that is written, buf_size bytes, a struct bpf_perf_event_value.
            buf_size: how many bytes buf has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_perf_event_read_value/, bpf-helpers(7)
        """

    def perf_prog_read_value(self, ctx: Pointer, buf: Pointer, buf_size: Number) -> tuple[Instruction, ...]:
        """Reads the perf event that runs the program: its count, and how long it was enabled and running. Returns 0 or a negative error.

        Helper 56, since Linux 4.15: long bpf_perf_prog_read_value(struct bpf_perf_event_data *ctx, struct bpf_perf_event_value *buf, __u32 buf_size)
        Program types: perf_event.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            ctx: the program's context.
            buf: memory that is written, buf_size bytes, a struct bpf_perf_event_value.
            buf_size: how many bytes buf has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_perf_prog_read_value/, bpf-helpers(7)
        """

    def getsockopt(
        self, bpf_socket: Pointer, level: Number, optname: Number, optval: Pointer, optlen: Number
    ) -> tuple[Instruction, ...]:
        """Reads an option of the socket, as getsockopt(2) does; only some options are allowed. Returns 0 or a negative error.

        Helper 57, since Linux 4.15: long bpf_getsockopt(void *bpf_socket, int level, int optname, void *optval, int optlen)
        Program types: sock_ops, cgroup_sock_addr, cgroup_sockopt, struct_ops, lsm.

        Args:
            bpf_socket: void *, which the verifier knows.
            level: a number, int.
            optname: a number, int.
            optval: memory that is written, optlen bytes.
            optlen: how many bytes optval has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_getsockopt/, bpf-helpers(7)
        """  # noqa: D402

    def override_return(self, regs: Pointer, rc: Number) -> tuple[Instruction, ...]:
        """Makes the function that the kprobe is on return this value at once, without running; only functions that the kernel marks for error injection. Returns 0.

        Helper 58, since Linux 4.16: long bpf_override_return(struct pt_regs *regs, __u64 rc)
        Program types: kprobe.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_BPF_KPROBE_OVERRIDE.

        Args:
            regs: the program's context.
            rc: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_override_return/, bpf-helpers(7)
        """

    def sock_ops_cb_flags_set(self, bpf_sock: Pointer, argval: Number) -> tuple[Instruction, ...]:
        """Chooses about which events of this TCP connection the program is called. Returns 0, the bits that are not supported, or -EINVAL.

        Helper 59, since Linux 4.16: long bpf_sock_ops_cb_flags_set(struct bpf_sock_ops *bpf_sock, int argval)
        Program types: sock_ops.

        Args:
            bpf_sock: the program's context.
            argval: a number, int.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sock_ops_cb_flags_set/, bpf-helpers(7)
        """

    def msg_redirect_map(self, msg: Pointer, map: Map, key: Number, flags: Number) -> tuple[Instruction, ...]:
        """Hands the message to the socket under a key of a sock map. Returns SK_PASS or SK_DROP.

        Helper 60, since Linux 4.17: long bpf_msg_redirect_map(struct sk_msg_md *msg, void *map, __u32 key, __u64 flags)
        Program types: sk_msg.

        Args:
            msg: the program's context.
            map: a map.
            key: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_msg_redirect_map/, bpf-helpers(7)
        """

    def msg_apply_bytes(self, msg: Pointer, bytes: Number) -> tuple[Instruction, ...]:
        """Applies the verdict to the next bytes too, beyond this message, without asking the program again. Returns 0.

        Helper 61, since Linux 4.17: long bpf_msg_apply_bytes(struct sk_msg_md *msg, __u32 bytes)
        Program types: sk_msg.

        Args:
            msg: the program's context.
            bytes: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_msg_apply_bytes/, bpf-helpers(7)
        """

    def msg_cork_bytes(self, msg: Pointer, bytes: Number) -> tuple[Instruction, ...]:
        """Waits until so many bytes have gathered before the program is called again. Returns 0.

        Helper 62, since Linux 4.17: long bpf_msg_cork_bytes(struct sk_msg_md *msg, __u32 bytes)
        Program types: sk_msg.

        Args:
            msg: the program's context.
            bytes: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_msg_cork_bytes/, bpf-helpers(7)
        """

    def msg_pull_data(self, msg: Pointer, start: Number, end: Number, flags: Number) -> tuple[Instruction, ...]:
        """Brings the bytes from start to end of the message into memory that the program can read directly. Pointers into the message must be checked again afterwards. Returns 0 or a negative error.

        Helper 63, since Linux 4.17: long bpf_msg_pull_data(struct sk_msg_md *msg, __u32 start, __u32 end, __u64 flags)
        Program types: sk_msg.

        Args:
            msg: the program's context.
            start: a number, __u32.
            end: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_msg_pull_data/, bpf-helpers(7)
        """

    def bind(self, ctx: Pointer, addr: Bytes, addr_len: Size) -> tuple[Instruction, ...]:
        """Binds the socket to a local address before it connects, for choosing the outgoing address. Returns 0 or a negative error.

        Helper 64, since Linux 4.17: long bpf_bind(struct bpf_sock_addr *ctx, struct sockaddr *addr, int addr_len)
        Program types: cgroup_sock_addr.

        Args:
            ctx: the program's context.
            addr: memory that is read, addr_len bytes, a struct sockaddr.
            addr_len: how many bytes addr has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_bind/, bpf-helpers(7)
        """

    def xdp_adjust_tail(self, xdp_md: Pointer, delta: Number) -> tuple[Instruction, ...]:
        """Moves the end of the packet by delta, which since 5.8 may be positive. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 65, since Linux 4.18: long bpf_xdp_adjust_tail(struct xdp_md *xdp_md, int delta)
        Program types: xdp.

        Args:
            xdp_md: the program's context.
            delta: a number, int.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_xdp_adjust_tail/, bpf-helpers(7)
        """

    def skb_get_xfrm_state(
        self, skb: Pointer, index: Number, xfrm_state: Pointer, size: Number, flags: Number
    ) -> tuple[Instruction, ...]:
        """Reads a step of the packet's IPsec path: request id, SPI, address of the peer. Returns 0 or a negative error.

        Helper 66, since Linux 4.18: long bpf_skb_get_xfrm_state(struct __sk_buff *skb, __u32 index, struct bpf_xfrm_state *xfrm_state, __u32 size, __u64 flags)
        Program types: sched_cls, sched_act.
        Takes CONFIG_XFRM.

        Args:
            skb: the program's context.
            index: a number, __u32.
            xfrm_state: memory that is written, size bytes, a struct bpf_xfrm_state.
            size: how many bytes xfrm_state has.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_get_xfrm_state/, bpf-helpers(7)
        """

    def get_stack(self, ctx: Pointer, buf: Pointer, size: Number, flags: Number) -> tuple[Instruction, ...]:
        """Walks the kernel's stack, or the user's with flag 256, into a buffer. Returns the number of bytes, or a negative error.

        Helper 67, since Linux 4.18: long bpf_get_stack(void *ctx, void *buf, __u32 size, __u64 flags)
        Program types: kprobe, tracepoint, perf_event, raw_tracepoint, raw_tracepoint_writable, tracing, syscall.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            ctx: the program's context.
            buf: memory that is written, size bytes.
            size: how many bytes buf has, which may be 0.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_stack/, bpf-helpers(7)
        """

    def skb_load_bytes_relative(
        self, skb: Pointer, offset: Number, to: Pointer, len: Number, start_header: Number
    ) -> tuple[Instruction, ...]:
        """Copies bytes of a packet, counted from its link or its network header, into a buffer. Returns 0 or a negative error.

        Helper 68, since Linux 4.18: long bpf_skb_load_bytes_relative(const void *skb, __u32 offset, void *to, __u32 len, __u32 start_header)
        Program types: socket_filter, sched_cls, sched_act, cgroup_skb, sk_reuseport.

        Args:
            skb: the program's context.
            offset: a number, __u32.
            to: memory that is written, len bytes.
            len: how many bytes to has.
            start_header: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_load_bytes_relative/, bpf-helpers(7)
        """

    def fib_lookup(self, ctx: Pointer, params: Pointer, plen: Number, flags: Number) -> tuple[Instruction, ...]:
        """Asks the routing table where a packet with these addresses would go. Returns 0 with the next hop in params, a positive number that says why it is not forwarded, or a negative error.

        Helper 69, since Linux 4.18: long bpf_fib_lookup(void *ctx, struct bpf_fib_lookup *params, int plen, __u32 flags)
        Program types: sched_cls, sched_act, xdp.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            ctx: the program's context.
            params: memory that is written, plen bytes, a struct bpf_fib_lookup.
            plen: how many bytes params has.
            flags: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_fib_lookup/, bpf-helpers(7)
        """

    def sock_hash_update(self, skops: Pointer, map: Map, key: Bytes, flags: Number) -> tuple[Instruction, ...]:
        """Adds the socket to a sock hash under a key. Returns 0 or a negative error.

        Helper 70, since Linux 4.18: long bpf_sock_hash_update(struct bpf_sock_ops *skops, void *map, void *key, __u64 flags)
        Program types: sock_ops.

        Args:
            skops: the program's context.
            map: a map.
            key: memory that is read, as large as a key of the map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sock_hash_update/, bpf-helpers(7)
        """

    def msg_redirect_hash(self, msg: Pointer, map: Map, key: Bytes, flags: Number) -> tuple[Instruction, ...]:
        """Hands the message to the socket under a key of a sock hash. Returns SK_PASS or SK_DROP.

        Helper 71, since Linux 4.18: long bpf_msg_redirect_hash(struct sk_msg_md *msg, void *map, void *key, __u64 flags)
        Program types: sk_msg.

        Args:
            msg: the program's context.
            map: a map.
            key: memory that is read, as large as a key of the map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_msg_redirect_hash/, bpf-helpers(7)
        """

    def sk_redirect_hash(self, skb: Pointer, map: Map, key: Bytes, flags: Number) -> tuple[Instruction, ...]:
        """Hands the packet to the socket under a key of a sock hash. Returns SK_PASS or SK_DROP.

        Helper 72, since Linux 4.18: long bpf_sk_redirect_hash(struct __sk_buff *skb, void *map, void *key, __u64 flags)
        Program types: sk_skb.

        Args:
            skb: the program's context.
            map: a map.
            key: memory that is read, as large as a key of the map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_redirect_hash/, bpf-helpers(7)
        """

    def lwt_push_encap(self, skb: Pointer, type: Number, hdr: Text, len: Size) -> tuple[Instruction, ...]:
        """Puts a header (SRv6, or IP since 5.1) around the packet on its way through a light-weight tunnel. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 73, since Linux 4.18: long bpf_lwt_push_encap(struct __sk_buff *skb, __u32 type, void *hdr, __u32 len)
        Program types: lwt_in, lwt_xmit.

        Args:
            skb: the program's context.
            type: a number, __u32.
            hdr: memory that is read, len bytes.
            len: how many bytes hdr has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_lwt_push_encap/, bpf-helpers(7)
        """

    def lwt_seg6_store_bytes(self, skb: Pointer, offset: Number, from_: Text, len: Size) -> tuple[Instruction, ...]:
        """Writes into the flags, the tag or the TLVs of the packet's segment routing header. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 74, since Linux 4.18: long bpf_lwt_seg6_store_bytes(struct __sk_buff *skb, __u32 offset, const void *from, __u32 len)
        Program types: lwt_seg6local.
        Takes CONFIG_IPV6_SEG6_BPF.

        Args:
            skb: the program's context.
            offset: a number, __u32.
            from_: memory that is read, len bytes.
            len: how many bytes from_ has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_lwt_seg6_store_bytes/, bpf-helpers(7)
        """

    def lwt_seg6_adjust_srh(self, skb: Pointer, offset: Number, delta: Number) -> tuple[Instruction, ...]:
        """Makes the TLVs of the packet's segment routing header longer or shorter. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 75, since Linux 4.18: long bpf_lwt_seg6_adjust_srh(struct __sk_buff *skb, __u32 offset, __s32 delta)
        Program types: lwt_seg6local.
        Takes CONFIG_IPV6_SEG6_BPF.

        Args:
            skb: the program's context.
            offset: a number, __u32.
            delta: a number, __s32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_lwt_seg6_adjust_srh/, bpf-helpers(7)
        """

    def lwt_seg6_action(self, skb: Pointer, action: Number, param: Text, param_len: Size) -> tuple[Instruction, ...]:
        """Applies an SRv6 action to the packet: next hop, table, or a policy's header. Pointers into the packet must be checked again afterwards. Returns 0 or a negative error.

        Helper 76, since Linux 4.18: long bpf_lwt_seg6_action(struct __sk_buff *skb, __u32 action, void *param, __u32 param_len)
        Program types: lwt_seg6local.
        Takes CONFIG_IPV6_SEG6_BPF.

        Args:
            skb: the program's context.
            action: a number, __u32.
            param: memory that is read, param_len bytes.
            param_len: how many bytes param has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_lwt_seg6_action/, bpf-helpers(7)
        """

    def rc_repeat(self, ctx: Pointer) -> tuple[Instruction, ...]:
        """Tells the input layer that the last key of the remote control is still held. Returns 0.

        Helper 77, since Linux 4.18: long bpf_rc_repeat(void *ctx)
        Program types: lirc_mode2.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_BPF_LIRC_MODE2.

        Args:
            ctx: the program's context.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_rc_repeat/, bpf-helpers(7)
        """

    def rc_keydown(self, ctx: Pointer, protocol: Number, scancode: Number, toggle: Number) -> tuple[Instruction, ...]:
        """Tells the input layer which key of the remote control was pressed. Returns 0.

        Helper 78, since Linux 4.18: long bpf_rc_keydown(void *ctx, __u32 protocol, __u64 scancode, __u32 toggle)
        Program types: lirc_mode2.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_BPF_LIRC_MODE2.

        Args:
            ctx: the program's context.
            protocol: a number, __u32.
            scancode: a number, __u64.
            toggle: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_rc_keydown/, bpf-helpers(7)
        """

    def skb_cgroup_id(self, skb: Pointer) -> tuple[Instruction, ...]:
        """The id of the cgroup (version 2) of the packet's socket, or 0.

        Helper 79, since Linux 4.18: __u64 bpf_skb_cgroup_id(struct __sk_buff *skb)
        Program types: sched_cls, sched_act, cgroup_skb.
        Takes CONFIG_SOCK_CGROUP_DATA.

        Args:
            skb: the program's context.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_cgroup_id/, bpf-helpers(7)
        """

    def get_current_cgroup_id(self) -> tuple[Instruction, ...]:
        """The id of the current task's cgroup (version 2).

        Helper 80, since Linux 4.18: __u64 bpf_get_current_cgroup_id(void)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF, CONFIG_CGROUPS.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_current_cgroup_id/, bpf-helpers(7)
        """

    def get_local_storage(self, map: Map, flags: Number) -> tuple[Instruction, ...]:
        """The storage that belongs to the cgroup the program is attached to (and to the attachment). Returns a pointer that is never NULL.

        Helper 81, since Linux 4.19: void *bpf_get_local_storage(void *map, __u64 flags)
        Program types: cgroup_skb, cgroup_sock, sock_ops, cgroup_device, cgroup_sock_addr, cgroup_sysctl, cgroup_sockopt.
        Takes CONFIG_CGROUP_BPF.

        Args:
            map: a map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is a pointer to the value in the map; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_local_storage/, bpf-helpers(7)
        """

    def sk_select_reuseport(self, reuse: Pointer, map: Map, key: Bytes, flags: Number) -> tuple[Instruction, ...]:
        """Chooses the socket of a reuseport group that gets the packet, by a key of a map. Returns 0 or a negative error.

        Helper 82, since Linux 4.19: long bpf_sk_select_reuseport(struct sk_reuseport_md *reuse, void *map, void *key, __u64 flags)
        Program types: sk_reuseport.

        Args:
            reuse: the program's context.
            map: a map.
            key: memory that is read, as large as a key of the map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_select_reuseport/, bpf-helpers(7)
        """

    def skb_ancestor_cgroup_id(self, skb: Pointer, ancestor_level: Number) -> tuple[Instruction, ...]:
        """The id of an ancestor, counted from the root as 0, of the cgroup (version 2) of the packet's socket, or 0.

        Helper 83, since Linux 4.19: __u64 bpf_skb_ancestor_cgroup_id(struct __sk_buff *skb, int ancestor_level)
        Program types: sched_cls, sched_act, cgroup_skb.
        Takes CONFIG_SOCK_CGROUP_DATA.

        Args:
            skb: the program's context.
            ancestor_level: a number, int.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_ancestor_cgroup_id/, bpf-helpers(7)
        """

    def sk_lookup_tcp(
        self, ctx: Pointer, tuple: Bytes, tuple_size: Size, netns: Number, flags: Number
    ) -> tuple[Instruction, ...]:
        """Finds a TCP socket by its addresses and ports in a network namespace. Returns it or NULL; it must be given back with sk_release.

        Helper 84, since Linux 4.20: struct bpf_sock *bpf_sk_lookup_tcp(void *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_size, __u64 netns, __u64 flags)
        Program types: sched_cls, sched_act, xdp, cgroup_skb, sk_skb, cgroup_sock_addr.
        Takes CONFIG_INET.

        Args:
            ctx: the program's context.
            tuple: memory that is read, tuple_size bytes, a struct bpf_sock_tuple.
            tuple_size: how many bytes tuple has, which may be 0.
            netns: a number, __u64.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, struct bpf_sock *, or NULL; r1 to r5 are lost.
            To be given back on every path: what is not NULL: sk_release for a socket, kptr_xchg or a kfunc for others.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_lookup_tcp/, bpf-helpers(7)
        """

    def sk_lookup_udp(
        self, ctx: Pointer, tuple: Bytes, tuple_size: Size, netns: Number, flags: Number
    ) -> tuple[Instruction, ...]:
        """Finds a UDP socket by its addresses and ports in a network namespace. Returns it or NULL; it must be given back with sk_release.

        Helper 85, since Linux 4.20: struct bpf_sock *bpf_sk_lookup_udp(void *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_size, __u64 netns, __u64 flags)
        Program types: sched_cls, sched_act, xdp, cgroup_skb, sk_skb, cgroup_sock_addr.
        Takes CONFIG_INET.

        Args:
            ctx: the program's context.
            tuple: memory that is read, tuple_size bytes, a struct bpf_sock_tuple.
            tuple_size: how many bytes tuple has, which may be 0.
            netns: a number, __u64.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, struct bpf_sock *, or NULL; r1 to r5 are lost.
            To be given back on every path: what is not NULL: sk_release for a socket, kptr_xchg or a kfunc for others.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_lookup_udp/, bpf-helpers(7)
        """

    def sk_release(self, sock: Pointer) -> tuple[Instruction, ...]:
        """Gives back the socket that a lookup has found. Returns 0 or a negative error.

        Helper 86, since Linux 4.20: long bpf_sk_release(void *sock)
        Program types: sched_cls, sched_act, xdp, cgroup_skb, sk_skb, cgroup_sock_addr, sk_lookup.
        Takes CONFIG_INET.

        Args:
            sock: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_release/, bpf-helpers(7)
        """

    def map_push_elem(self, map: Map, value: Bytes, flags: Number) -> tuple[Instruction, ...]:
        """Puts a value into a queue, a stack or a bloom filter; flag 2 throws the oldest out when it is full. Returns 0 or a negative error.

        Helper 87, since Linux 4.20: long bpf_map_push_elem(void *map, const void *value, __u64 flags)
        Program types: all but ext.

        Args:
            map: a map.
            value: memory that is read, as large as a value of the map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_map_push_elem/, bpf-helpers(7)
        """

    def map_pop_elem(self, map: Map, value: Pointer) -> tuple[Instruction, ...]:
        """Takes a value out of a queue or a stack. Returns 0 or a negative error.

        Helper 88, since Linux 4.20: long bpf_map_pop_elem(void *map, void *value)
        Program types: all but ext.

        Args:
            map: a map.
            value: memory that is written, as large as a value of the map.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_map_pop_elem/, bpf-helpers(7)
        """

    def map_peek_elem(self, map: Map, value: Pointer) -> tuple[Instruction, ...]:
        """Copies the next value of a queue or a stack and leaves it there; asks whether a bloom filter may hold it. Returns 0 or a negative error.

        Helper 89, since Linux 4.20: long bpf_map_peek_elem(void *map, void *value)
        Program types: all but ext.

        Args:
            map: a map.
            value: memory that is written, as large as a value of the map.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_map_peek_elem/, bpf-helpers(7)
        """

    def msg_push_data(self, msg: Pointer, start: Number, len: Number, flags: Number) -> tuple[Instruction, ...]:
        """Makes room for bytes within the message. Pointers into the message must be checked again afterwards. Returns 0 or a negative error.

        Helper 90, since Linux 4.20: long bpf_msg_push_data(struct sk_msg_md *msg, __u32 start, __u32 len, __u64 flags)
        Program types: sk_msg.

        Args:
            msg: the program's context.
            start: a number, __u32.
            len: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_msg_push_data/, bpf-helpers(7)
        """

    def msg_pop_data(self, msg: Pointer, start: Number, len: Number, flags: Number) -> tuple[Instruction, ...]:
        """Takes bytes out of the message. Pointers into the message must be checked again afterwards. Returns 0 or a negative error.

        Helper 91, since Linux 5.0: long bpf_msg_pop_data(struct sk_msg_md *msg, __u32 start, __u32 len, __u64 flags)
        Program types: sk_msg.

        Args:
            msg: the program's context.
            start: a number, __u32.
            len: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_msg_pop_data/, bpf-helpers(7)
        """

    def rc_pointer_rel(self, ctx: Pointer, rel_x: Number, rel_y: Number) -> tuple[Instruction, ...]:
        """Tells the input layer that the remote control moved the pointer. Returns 0.

        Helper 92, since Linux 5.0: long bpf_rc_pointer_rel(void *ctx, __s32 rel_x, __s32 rel_y)
        Program types: lirc_mode2.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_BPF_LIRC_MODE2.

        Args:
            ctx: the program's context.
            rel_x: a number, __s32.
            rel_y: a number, __s32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_rc_pointer_rel/, bpf-helpers(7)
        """

    def spin_lock(self, lock: Pointer) -> tuple[Instruction, ...]:
        """Takes the lock that lies in a map value. One at a time, and no calls until spin_unlock.

        Helper 93, since Linux 5.1: long bpf_spin_lock(struct bpf_spin_lock *lock)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            lock: struct bpf_spin_lock *, which the verifier knows.

        Returns:
            The instructions of the call. r0 holds nothing; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_spin_lock/, bpf-helpers(7)
        """

    def spin_unlock(self, lock: Pointer) -> tuple[Instruction, ...]:
        """Releases the lock that spin_lock has taken.

        Helper 94, since Linux 5.1: long bpf_spin_unlock(struct bpf_spin_lock *lock)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            lock: struct bpf_spin_lock *, which the verifier knows.

        Returns:
            The instructions of the call. r0 holds nothing; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_spin_unlock/, bpf-helpers(7)
        """

    def sk_fullsock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The full socket behind a pointer of the context. Returns NULL if there is none, as for a request or a time-wait socket.

        Helper 95, since Linux 5.1: struct bpf_sock *bpf_sk_fullsock(struct bpf_sock *sk)
        Program types: sched_cls, sched_act, cgroup_skb.
        Takes CONFIG_INET.

        Args:
            sk: struct bpf_sock *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct bpf_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_fullsock/, bpf-helpers(7)
        """

    def tcp_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The TCP fields of a full socket. Returns NULL if it is none of TCP.

        Helper 96, since Linux 5.1: struct bpf_tcp_sock *bpf_tcp_sock(struct bpf_sock *sk)
        Program types: sched_cls, sched_act, cgroup_skb, sock_ops, cgroup_sockopt.
        Takes CONFIG_INET.

        Args:
            sk: struct bpf_sock *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct bpf_tcp_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tcp_sock/, bpf-helpers(7)
        """

    def skb_ecn_set_ce(self, skb: Pointer) -> tuple[Instruction, ...]:
        """Marks the packet as one that met congestion (ECN), if it allows that. Returns 1 if it is marked, 0 if not.

        Helper 97, since Linux 5.1: long bpf_skb_ecn_set_ce(struct __sk_buff *skb)
        Program types: sched_cls, sched_act, cgroup_skb.
        Takes CONFIG_INET.

        Args:
            skb: the program's context.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_ecn_set_ce/, bpf-helpers(7)
        """

    def get_listener_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The listening socket behind a socket. Returns NULL if it does not listen.

        Helper 98, since Linux 5.1: struct bpf_sock *bpf_get_listener_sock(struct bpf_sock *sk)
        Program types: sched_cls, sched_act, cgroup_skb.
        Takes CONFIG_INET.

        Args:
            sk: struct bpf_sock *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct bpf_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_listener_sock/, bpf-helpers(7)
        """

    def skc_lookup_tcp(
        self, ctx: Pointer, tuple: Bytes, tuple_size: Size, netns: Number, flags: Number
    ) -> tuple[Instruction, ...]:
        """As sk_lookup_tcp, but finds request and time-wait sockets too. Returns one or NULL; it must be given back with sk_release.

        Helper 99, since Linux 5.2: struct bpf_sock *bpf_skc_lookup_tcp(void *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_size, __u64 netns, __u64 flags)
        Program types: sched_cls, sched_act, xdp, cgroup_skb, sk_skb, cgroup_sock_addr.
        Takes CONFIG_INET.

        Args:
            ctx: the program's context.
            tuple: memory that is read, tuple_size bytes, a struct bpf_sock_tuple.
            tuple_size: how many bytes tuple has, which may be 0.
            netns: a number, __u64.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, struct bpf_sock *, or NULL; r1 to r5 are lost.
            To be given back on every path: what is not NULL: sk_release for a socket, kptr_xchg or a kfunc for others.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skc_lookup_tcp/, bpf-helpers(7)
        """

    def tcp_check_syncookie(
        self, sk: Pointer, iph: Text, iph_len: Size, th: Bytes, th_len: Size
    ) -> tuple[Instruction, ...]:
        """Whether the ACK of this packet holds a valid SYN cookie for the listening socket. Returns 0 if it does, else a negative error.

        Helper 100, since Linux 5.2: long bpf_tcp_check_syncookie(void *sk, void *iph, __u32 iph_len, struct tcphdr *th, __u32 th_len)
        Program types: sched_cls, sched_act, xdp.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_INET.

        Args:
            sk: void *, which the verifier knows.
            iph: memory that is read, iph_len bytes.
            iph_len: how many bytes iph has.
            th: memory that is read, th_len bytes, a struct tcphdr.
            th_len: how many bytes th has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tcp_check_syncookie/, bpf-helpers(7)
        """

    def sysctl_get_name(self, ctx: Pointer, buf: Pointer, buf_len: Number, flags: Number) -> tuple[Instruction, ...]:
        """Writes the name of the sysctl that is read or written, as a path such as net/ipv4/tcp_mem; with flag 1 its last part. Returns the length, or a negative error.

        Helper 101, since Linux 5.2: long bpf_sysctl_get_name(struct bpf_sysctl *ctx, char *buf, unsigned long buf_len, __u64 flags)
        Program types: cgroup_sysctl.

        Args:
            ctx: the program's context.
            buf: text that is written, buf_len bytes.
            buf_len: how many bytes buf has.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sysctl_get_name/, bpf-helpers(7)
        """

    def sysctl_get_current_value(self, ctx: Pointer, buf: Pointer, buf_len: Number) -> tuple[Instruction, ...]:
        """Writes the present value of the sysctl, as text. Returns the length, or a negative error.

        Helper 102, since Linux 5.2: long bpf_sysctl_get_current_value(struct bpf_sysctl *ctx, char *buf, unsigned long buf_len)
        Program types: cgroup_sysctl.

        Args:
            ctx: the program's context.
            buf: text that is written, buf_len bytes.
            buf_len: how many bytes buf has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sysctl_get_current_value/, bpf-helpers(7)
        """

    def sysctl_get_new_value(self, ctx: Pointer, buf: Pointer, buf_len: Number) -> tuple[Instruction, ...]:
        """Writes the value that is being written to the sysctl, as text. Returns the length, or a negative error.

        Helper 103, since Linux 5.2: long bpf_sysctl_get_new_value(struct bpf_sysctl *ctx, char *buf, unsigned long buf_len)
        Program types: cgroup_sysctl.

        Args:
            ctx: the program's context.
            buf: text that is written, buf_len bytes.
            buf_len: how many bytes buf has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sysctl_get_new_value/, bpf-helpers(7)
        """

    def sysctl_set_new_value(self, ctx: Pointer, buf: Text, buf_len: Size) -> tuple[Instruction, ...]:
        """Replaces the value that is being written to the sysctl. Returns 0 or a negative error.

        Helper 104, since Linux 5.2: long bpf_sysctl_set_new_value(struct bpf_sysctl *ctx, const char *buf, unsigned long buf_len)
        Program types: cgroup_sysctl.

        Args:
            ctx: the program's context.
            buf: text that is read, buf_len bytes.
            buf_len: how many bytes buf has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sysctl_set_new_value/, bpf-helpers(7)
        """

    def strtol(self, buf: Text, buf_len: Size, flags: Number, res: Pointer) -> tuple[Instruction, ...]:
        """Reads a signed number from the beginning of a text; flags is the base (8, 10, 16, or 0 to see it from the text). Returns how many bytes it took, or a negative error.

        Helper 105, since Linux 5.2: long bpf_strtol(const char *buf, unsigned long buf_len, __u64 flags, long *res)
        Program types: all but lirc_mode2, ext, lsm.

        Args:
            buf: text that is read, buf_len bytes.
            buf_len: how many bytes buf has.
            flags: a number, __u64.
            res: memory that is written, 8 bytes.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_strtol/, bpf-helpers(7)
        """

    def strtoul(self, buf: Text, buf_len: Size, flags: Number, res: Pointer) -> tuple[Instruction, ...]:
        """Reads an unsigned number from the beginning of a text; flags is the base (8, 10, 16, or 0 to see it from the text). Returns how many bytes it took, or a negative error.

        Helper 106, since Linux 5.2: long bpf_strtoul(const char *buf, unsigned long buf_len, __u64 flags, unsigned long *res)
        Program types: all but lirc_mode2, ext, lsm.

        Args:
            buf: text that is read, buf_len bytes.
            buf_len: how many bytes buf has.
            flags: a number, __u64.
            res: memory that is written, 8 bytes.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_strtoul/, bpf-helpers(7)
        """

    def sk_storage_get(
        self, map: Map, sk: Pointer | None, value: Bytes | None, flags: Number
    ) -> tuple[Instruction, ...]:
        """The storage that a map keeps for a socket; flag 1 makes it, with the given value or zeros. Returns a pointer, or NULL.

        Helper 107, since Linux 5.2: void *bpf_sk_storage_get(void *map, void *sk, void *value, __u64 flags)
        Program types: sched_cls, sched_act, cgroup_skb, cgroup_sock, sock_ops, sk_msg, cgroup_sock_addr, cgroup_sockopt, tracing, struct_ops, lsm.

        Args:
            map: a map.
            sk: void *, which the verifier knows; None is NULL.
            value: memory that is read, as large as a value of the map; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is a pointer to the value in the map, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_storage_get/, bpf-helpers(7)
        """

    def sk_storage_delete(self, map: Map, sk: Pointer | None) -> tuple[Instruction, ...]:
        """Removes the storage that a map keeps for a socket. Returns 0 or a negative error.

        Helper 108, since Linux 5.2: long bpf_sk_storage_delete(void *map, void *sk)
        Program types: sched_cls, sched_act, cgroup_skb, sock_ops, sk_msg, cgroup_sock_addr, cgroup_sockopt, tracing, struct_ops, lsm.

        Args:
            map: a map.
            sk: void *, which the verifier knows; None is NULL.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_storage_delete/, bpf-helpers(7)
        """

    def send_signal(self, sig: Number) -> tuple[Instruction, ...]:
        """Sends a signal to the current process; any of its threads may get it. Returns 0 or a negative error.

        Helper 109, since Linux 5.3: long bpf_send_signal(__u32 sig)
        Program types: all but lirc_mode2, ext.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            sig: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_send_signal/, bpf-helpers(7)
        """

    def tcp_gen_syncookie(
        self, sk: Pointer, iph: Text, iph_len: Size, th: Bytes, th_len: Size
    ) -> tuple[Instruction, ...]:
        """Makes a SYN cookie for a packet that opens a connection to the listening socket. Returns the cookie in the lower 32 bits and the MSS above, or a negative error.

        Helper 110, since Linux 5.4: __s64 bpf_tcp_gen_syncookie(void *sk, void *iph, __u32 iph_len, struct tcphdr *th, __u32 th_len)
        Program types: sched_cls, sched_act, xdp.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_INET.

        Args:
            sk: void *, which the verifier knows.
            iph: memory that is read, iph_len bytes.
            iph_len: how many bytes iph has.
            th: memory that is read, th_len bytes, a struct tcphdr.
            th_len: how many bytes th has.

        Returns:
            The instructions of the call. r0 is the result, __s64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tcp_gen_syncookie/, bpf-helpers(7)
        """

    def skb_output(self, ctx: Pointer, map: Map, flags: Number, data: Text, size: Size) -> tuple[Instruction, ...]:
        """Writes a record, and bytes of the packet behind it, into a perf buffer from a program on a kernel function that has the packet. Returns 0 or a negative error.

        Helper 111, since Linux 5.5: long bpf_skb_output(void *ctx, void *map, __u64 flags, void *data, __u64 size)
        Program types: tracing, syscall.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            ctx: void *, which the verifier knows.
            map: a map.
            flags: a number, __u64.
            data: memory that is read, size bytes.
            size: how many bytes data has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_output/, bpf-helpers(7)
        """

    def probe_read_user(self, dst: Pointer, size: Number, unsafe_ptr: Number | Map) -> tuple[Instruction, ...]:
        """Copies memory of the current process without a fault; pages that are swapped out count as unreadable. Returns 0 or -EFAULT.

        Helper 112, since Linux 5.5: long bpf_probe_read_user(void *dst, __u32 size, const void *unsafe_ptr)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            dst: memory that is written, size bytes.
            size: how many bytes dst has, which may be 0.
            unsafe_ptr: an address, which the helper itself checks.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_probe_read_user/, bpf-helpers(7)
        """

    def probe_read_kernel(self, dst: Pointer, size: Number, unsafe_ptr: Number | Map) -> tuple[Instruction, ...]:
        """Copies the kernel's memory without a fault. Returns 0 or a negative error.

        Helper 113, since Linux 5.5: long bpf_probe_read_kernel(void *dst, __u32 size, const void *unsafe_ptr)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS, a kernel that is not locked down for confidentiality.

        Args:
            dst: memory that is written, size bytes.
            size: how many bytes dst has, which may be 0.
            unsafe_ptr: an address, which the helper itself checks.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_probe_read_kernel/, bpf-helpers(7)
        """

    def probe_read_user_str(self, dst: Pointer, size: Number, unsafe_ptr: Number | Map) -> tuple[Instruction, ...]:
        """Copies text of the current process up to its NUL. Returns the length with the NUL, or a negative error.

        Helper 114, since Linux 5.5: long bpf_probe_read_user_str(void *dst, __u32 size, const void *unsafe_ptr)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            dst: memory that is written, size bytes.
            size: how many bytes dst has, which may be 0.
            unsafe_ptr: an address, which the helper itself checks.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_probe_read_user_str/, bpf-helpers(7)
        """

    def probe_read_kernel_str(self, dst: Pointer, size: Number, unsafe_ptr: Number | Map) -> tuple[Instruction, ...]:
        """Copies the kernel's text up to its NUL. Returns the length with the NUL, or a negative error.

        Helper 115, since Linux 5.5: long bpf_probe_read_kernel_str(void *dst, __u32 size, const void *unsafe_ptr)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS, a kernel that is not locked down for confidentiality.

        Args:
            dst: memory that is written, size bytes.
            size: how many bytes dst has, which may be 0.
            unsafe_ptr: an address, which the helper itself checks.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_probe_read_kernel_str/, bpf-helpers(7)
        """

    def tcp_send_ack(self, tp: Pointer, rcv_nxt: Number) -> tuple[Instruction, ...]:
        """Sends an ACK from a congestion control written in BPF. Returns 0 or a negative error.

        Helper 116, since Linux 5.6: long bpf_tcp_send_ack(void *tp, __u32 rcv_nxt)
        Program types: struct_ops.

        Args:
            tp: void *, which the verifier knows.
            rcv_nxt: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tcp_send_ack/, bpf-helpers(7)
        """

    def send_signal_thread(self, sig: Number) -> tuple[Instruction, ...]:
        """Sends a signal to the current thread. Returns 0 or a negative error.

        Helper 117, since Linux 5.6: long bpf_send_signal_thread(__u32 sig)
        Program types: all but lirc_mode2, ext.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            sig: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_send_signal_thread/, bpf-helpers(7)
        """

    def jiffies64(self) -> tuple[Instruction, ...]:
        """The kernel's tick counter of 64 bits.

        Helper 118, since Linux 5.6: __u64 bpf_jiffies64(void)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_jiffies64/, bpf-helpers(7)
        """

    def read_branch_records(
        self, ctx: Pointer, buf: Pointer | None, size: Size, flags: Number
    ) -> tuple[Instruction, ...]:
        """Copies the branch records of the perf sample (LBR); with flag 1, tells how large they are. Returns the number of bytes, or a negative error.

        Helper 119, since Linux 5.7: long bpf_read_branch_records(struct bpf_perf_event_data *ctx, void *buf, __u32 size, __u64 flags)
        Program types: perf_event.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            ctx: the program's context.
            buf: memory that is written, size bytes; None is NULL.
            size: how many bytes buf has, which may be 0.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_read_branch_records/, bpf-helpers(7)
        """

    def get_ns_current_pid_tgid(
        self, dev: Number, ino: Number, nsdata: Pointer, size: Number
    ) -> tuple[Instruction, ...]:
        """The current process and thread id as a pid namespace numbers them, which the device and inode of its file under /proc name. Returns 0 or a negative error.

        Helper 120, since Linux 5.7: long bpf_get_ns_current_pid_tgid(__u64 dev, __u64 ino, struct bpf_pidns_info *nsdata, __u32 size)
        Program types: all but lirc_mode2, ext.

        Args:
            dev: a number, __u64.
            ino: a number, __u64.
            nsdata: memory that is written, size bytes, a struct bpf_pidns_info.
            size: how many bytes nsdata has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_ns_current_pid_tgid/, bpf-helpers(7)
        """

    def xdp_output(self, ctx: Pointer, map: Map, flags: Number, data: Text, size: Size) -> tuple[Instruction, ...]:
        """Writes a record, and bytes of the packet behind it, into a perf buffer from a program on an XDP program. Returns 0 or a negative error.

        Helper 121, since Linux 5.7: long bpf_xdp_output(void *ctx, void *map, __u64 flags, void *data, __u64 size)
        Program types: tracing, syscall.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            ctx: void *, which the verifier knows.
            map: a map.
            flags: a number, __u64.
            data: memory that is read, size bytes.
            size: how many bytes data has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_xdp_output/, bpf-helpers(7)
        """

    def get_netns_cookie(self, ctx: Pointer | None) -> tuple[Instruction, ...]:
        """A number that names the network namespace of the context for as long as the machine runs; with NULL, of the initial one.

        Helper 122, since Linux 5.7: __u64 bpf_get_netns_cookie(void *ctx)
        Program types: socket_filter, sched_cls, sched_act, cgroup_skb, cgroup_sock, sock_ops, sk_msg, cgroup_sock_addr, cgroup_sockopt.

        Args:
            ctx: the program's context; None is NULL.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_netns_cookie/, bpf-helpers(7)
        """

    def get_current_ancestor_cgroup_id(self, ancestor_level: Number) -> tuple[Instruction, ...]:
        """The id of an ancestor, counted from the root as 0, of the current task's cgroup (version 2), or 0.

        Helper 123, since Linux 5.7: __u64 bpf_get_current_ancestor_cgroup_id(int ancestor_level)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF, CONFIG_CGROUPS.

        Args:
            ancestor_level: a number, int.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_current_ancestor_cgroup_id/, bpf-helpers(7)
        """

    def sk_assign(self, ctx: Pointer, sk: Pointer | None, flags: Number) -> tuple[Instruction, ...]:
        """Gives the packet, or the lookup, to this socket instead of the one that would be found. Returns 0 or a negative error.

        Helper 124, since Linux 5.7: long bpf_sk_assign(void *ctx, void *sk, __u64 flags)
        Program types: sched_cls, sched_act, sk_lookup.

        Args:
            ctx: the program's context.
            sk: void *, which the verifier knows; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_assign/, bpf-helpers(7)
        """

    def ktime_get_boot_ns(self) -> tuple[Instruction, ...]:
        """Nanoseconds since boot with the time spent asleep (CLOCK_BOOTTIME).

        Helper 125, since Linux 5.8: __u64 bpf_ktime_get_boot_ns(void)
        Program types: all but ext.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ktime_get_boot_ns/, bpf-helpers(7)
        """

    def seq_printf(
        self, m: Pointer, fmt: Text, fmt_size: Size, data: Text | None, data_len: Size
    ) -> tuple[Instruction, ...]:
        """Prints formatted text into the file that the iterator fills. Returns 0 or a negative error, -EOVERFLOW when the text has to be written again.

        Helper 126, since Linux 5.8: long bpf_seq_printf(struct seq_file *m, const char *fmt, __u32 fmt_size, const void *data, __u32 data_len)
        Program types: tracing.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            m: struct seq_file *, which the verifier knows.
            fmt: text that is read, fmt_size bytes.
            fmt_size: how many bytes fmt has.
            data: memory that is read, data_len bytes; None is NULL.
            data_len: how many bytes data has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_seq_printf/, bpf-helpers(7)
        """

    def seq_write(self, m: Pointer, data: Text, len: Size) -> tuple[Instruction, ...]:
        """Writes bytes into the file that the iterator fills. Returns 0, or -EOVERFLOW when they have to be written again.

        Helper 127, since Linux 5.8: long bpf_seq_write(struct seq_file *m, const void *data, __u32 len)
        Program types: tracing.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            m: struct seq_file *, which the verifier knows.
            data: memory that is read, len bytes.
            len: how many bytes data has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_seq_write/, bpf-helpers(7)
        """

    def sk_cgroup_id(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The id of the cgroup (version 2) of a socket, or 0.

        Helper 128, since Linux 5.8: __u64 bpf_sk_cgroup_id(void *sk)
        Program types: cgroup_skb.
        Takes CONFIG_SOCK_CGROUP_DATA.

        Args:
            sk: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_cgroup_id/, bpf-helpers(7)
        """

    def sk_ancestor_cgroup_id(self, sk: Pointer, ancestor_level: Number) -> tuple[Instruction, ...]:
        """The id of an ancestor, counted from the root as 0, of the cgroup (version 2) of a socket, or 0.

        Helper 129, since Linux 5.8: __u64 bpf_sk_ancestor_cgroup_id(void *sk, int ancestor_level)
        Program types: cgroup_skb.
        Takes CONFIG_SOCK_CGROUP_DATA.

        Args:
            sk: void *, which the verifier knows.
            ancestor_level: a number, int.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sk_ancestor_cgroup_id/, bpf-helpers(7)
        """

    def ringbuf_output(self, ringbuf: Map, data: Text, size: Size, flags: Number) -> tuple[Instruction, ...]:
        """Copies a record into a ring buffer. flags: 1 does not wake the reader, 2 wakes it in any case. Returns 0 or a negative error when there is no room.

        Helper 130, since Linux 5.8: long bpf_ringbuf_output(void *ringbuf, void *data, __u64 size, __u64 flags)
        Program types: all but lirc_mode2, ext.

        Args:
            ringbuf: a map.
            data: memory that is read, size bytes.
            size: how many bytes data has, which may be 0.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ringbuf_output/, bpf-helpers(7)
        """

    def ringbuf_reserve(self, ringbuf: Map, size: Number, flags: Number) -> tuple[Instruction, ...]:
        """Reserves room for a record in a ring buffer. Returns a pointer to be given to ringbuf_submit or ringbuf_discard on every path, or NULL when there is no room.

        Helper 131, since Linux 5.8: void *bpf_ringbuf_reserve(void *ringbuf, __u64 size, __u64 flags)
        Program types: all but lirc_mode2, ext.

        Args:
            ringbuf: a map.
            size: how many bytes the result points to, a constant.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is a pointer to the record, or NULL; r1 to r5 are lost.
            To be given back on every path: the record: ringbuf_submit or ringbuf_discard.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ringbuf_reserve/, bpf-helpers(7)
        """

    def ringbuf_submit(self, data: Pointer, flags: Number) -> tuple[Instruction, ...]:
        """Hands a reserved record to the reader. flags: 1 does not wake the reader, 2 wakes it in any case.

        Helper 132, since Linux 5.8: void bpf_ringbuf_submit(void *data, __u64 flags)
        Program types: all but lirc_mode2, ext.

        Args:
            data: a record that was reserved.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 holds nothing; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ringbuf_submit/, bpf-helpers(7)
        """

    def ringbuf_discard(self, data: Pointer, flags: Number) -> tuple[Instruction, ...]:
        """Gives a reserved record up: the reader skips it. flags: 1 does not wake the reader, 2 wakes it in any case.

        Helper 133, since Linux 5.8: void bpf_ringbuf_discard(void *data, __u64 flags)
        Program types: all but lirc_mode2, ext.

        Args:
            data: a record that was reserved.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 holds nothing; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ringbuf_discard/, bpf-helpers(7)
        """

    def ringbuf_query(self, ringbuf: Map, flags: Number) -> tuple[Instruction, ...]:
        """Asks a ring buffer for the bytes not read yet (flags 0), its size (1), the reader's (2) or the writers' position (3).

        Helper 134, since Linux 5.8: __u64 bpf_ringbuf_query(void *ringbuf, __u64 flags)
        Program types: all but lirc_mode2, ext.

        Args:
            ringbuf: a map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ringbuf_query/, bpf-helpers(7)
        """

    def csum_level(self, skb: Pointer, level: Number) -> tuple[Instruction, ...]:
        """Changes, or asks for (flag 0), the number of checksums in the packet that the network card has verified; needed when headers are taken off or put on. Returns 0, the level, or a negative error.

        Helper 135, since Linux 5.8: long bpf_csum_level(struct __sk_buff *skb, __u64 level)
        Program types: sched_cls, sched_act, lwt_xmit.

        Args:
            skb: the program's context.
            level: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_csum_level/, bpf-helpers(7)
        """

    def skc_to_tcp6_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The socket as the kernel's struct tcp6_sock. Returns NULL if it is another kind.

        Helper 136, since Linux 5.9: struct tcp6_sock *bpf_skc_to_tcp6_sock(void *sk)
        Program types: all but kprobe, tracepoint, perf_event, cgroup_sock, cgroup_device, raw_tracepoint, lirc_mode2, sk_reuseport, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, struct_ops, ext, lsm, netfilter.
        Takes CAP_PERFMON.

        Args:
            sk: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct tcp6_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skc_to_tcp6_sock/, bpf-helpers(7)
        """

    def skc_to_tcp_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The socket as the kernel's struct tcp_sock. Returns NULL if it is another kind.

        Helper 137, since Linux 5.9: struct tcp_sock *bpf_skc_to_tcp_sock(void *sk)
        Program types: all but kprobe, tracepoint, perf_event, cgroup_sock, cgroup_device, raw_tracepoint, lirc_mode2, sk_reuseport, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, struct_ops, ext, lsm, netfilter.
        Takes CAP_PERFMON.

        Args:
            sk: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct tcp_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skc_to_tcp_sock/, bpf-helpers(7)
        """

    def skc_to_tcp_timewait_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The socket as the kernel's struct tcp_timewait_sock. Returns NULL if it is another kind.

        Helper 138, since Linux 5.9: struct tcp_timewait_sock *bpf_skc_to_tcp_timewait_sock(void *sk)
        Program types: all but kprobe, tracepoint, perf_event, cgroup_sock, cgroup_device, raw_tracepoint, lirc_mode2, sk_reuseport, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, struct_ops, ext, lsm, netfilter.
        Takes CAP_PERFMON.

        Args:
            sk: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct tcp_timewait_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skc_to_tcp_timewait_sock/, bpf-helpers(7)
        """

    def skc_to_tcp_request_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The socket as the kernel's struct tcp_request_sock. Returns NULL if it is another kind.

        Helper 139, since Linux 5.9: struct tcp_request_sock *bpf_skc_to_tcp_request_sock(void *sk)
        Program types: all but kprobe, tracepoint, perf_event, cgroup_sock, cgroup_device, raw_tracepoint, lirc_mode2, sk_reuseport, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, struct_ops, ext, lsm, netfilter.
        Takes CAP_PERFMON.

        Args:
            sk: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct tcp_request_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skc_to_tcp_request_sock/, bpf-helpers(7)
        """

    def skc_to_udp6_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The socket as the kernel's struct udp6_sock. Returns NULL if it is another kind.

        Helper 140, since Linux 5.9: struct udp6_sock *bpf_skc_to_udp6_sock(void *sk)
        Program types: all but kprobe, tracepoint, perf_event, cgroup_sock, cgroup_device, raw_tracepoint, lirc_mode2, sk_reuseport, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, struct_ops, ext, lsm, netfilter.
        Takes CAP_PERFMON.

        Args:
            sk: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct udp6_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skc_to_udp6_sock/, bpf-helpers(7)
        """

    def get_task_stack(self, task: Pointer, buf: Pointer, size: Number, flags: Number) -> tuple[Instruction, ...]:
        """Walks the kernel's stack of a task, or its user stack with flag 256, into a buffer. Returns the number of bytes, or a negative error.

        Helper 141, since Linux 5.9: long bpf_get_task_stack(struct task_struct *task, void *buf, __u32 size, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_PERFMON.

        Args:
            task: struct task_struct *, which the verifier knows.
            buf: memory that is written, size bytes.
            size: how many bytes buf has, which may be 0.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_task_stack/, bpf-helpers(7)
        """

    def load_hdr_opt(
        self, skops: Pointer, searchby_res: Pointer, len: Number, flags: Number
    ) -> tuple[Instruction, ...]:
        """Finds a TCP header option by its kind in the packet, or in the saved SYN. Returns its length, or a negative error.

        Helper 142, since Linux 5.10: long bpf_load_hdr_opt(struct bpf_sock_ops *skops, void *searchby_res, __u32 len, __u64 flags)
        Program types: sock_ops.

        Args:
            skops: the program's context.
            searchby_res: memory that is written, len bytes.
            len: how many bytes searchby_res has.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_load_hdr_opt/, bpf-helpers(7)
        """

    def store_hdr_opt(self, skops: Pointer, from_: Text, len: Size, flags: Number) -> tuple[Instruction, ...]:
        """Writes a TCP header option into the room that reserve_hdr_opt made. Returns 0 or a negative error.

        Helper 143, since Linux 5.10: long bpf_store_hdr_opt(struct bpf_sock_ops *skops, const void *from, __u32 len, __u64 flags)
        Program types: sock_ops.

        Args:
            skops: the program's context.
            from_: memory that is read, len bytes.
            len: how many bytes from_ has.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_store_hdr_opt/, bpf-helpers(7)
        """

    def reserve_hdr_opt(self, skops: Pointer, len: Number, flags: Number) -> tuple[Instruction, ...]:
        """Reserves room for TCP header options in the packet that is being built. Returns 0 or a negative error.

        Helper 144, since Linux 5.10: long bpf_reserve_hdr_opt(struct bpf_sock_ops *skops, __u32 len, __u64 flags)
        Program types: sock_ops.

        Args:
            skops: the program's context.
            len: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_reserve_hdr_opt/, bpf-helpers(7)
        """

    def inode_storage_get(
        self, map: Map, inode: Pointer | None, value: Bytes | None, flags: Number
    ) -> tuple[Instruction, ...]:
        """The storage that a map keeps for an inode; flag 1 makes it, with the given value or zeros. Returns a pointer, or NULL.

        Helper 145, since Linux 5.10: void *bpf_inode_storage_get(void *map, void *inode, void *value, __u64 flags)
        Program types: lsm.

        Args:
            map: a map.
            inode: void *, which the verifier knows; None is NULL.
            value: memory that is read, as large as a value of the map; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is a pointer to the value in the map, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_inode_storage_get/, bpf-helpers(7)
        """

    def inode_storage_delete(self, map: Map, inode: Pointer | None) -> tuple[Instruction, ...]:
        """Removes the storage that a map keeps for an inode. Returns 0 or a negative error.

        Helper 146, since Linux 5.10: int bpf_inode_storage_delete(void *map, void *inode)
        Program types: lsm.

        Args:
            map: a map.
            inode: void *, which the verifier knows; None is NULL.

        Returns:
            The instructions of the call. r0 is the result, int; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_inode_storage_delete/, bpf-helpers(7)
        """

    def d_path(self, path: Pointer, buf: Pointer, sz: Number) -> tuple[Instruction, ...]:
        """Writes the full path of an open file; only from functions that the kernel lists for it. Returns the length with the NUL, or a negative error.

        Helper 147, since Linux 5.10: long bpf_d_path(const struct path *path, char *buf, __u32 sz)
        Program types: tracing.

        Args:
            path: const struct path *, which the verifier knows.
            buf: text that is written, sz bytes.
            sz: how many bytes buf has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_d_path/, bpf-helpers(7)
        """

    def copy_from_user(self, dst: Pointer, size: Number, user_ptr: Number | Map) -> tuple[Instruction, ...]:
        """Copies memory of the current process, and waits for pages that are swapped out: for sleepable programs only. Returns 0 or -EFAULT.

        Helper 148, since Linux 5.10: long bpf_copy_from_user(void *dst, __u32 size, const void *user_ptr)
        Program types: kprobe, tracing, struct_ops, lsm, syscall.
        Takes CAP_PERFMON.

        Args:
            dst: memory that is written, size bytes.
            size: how many bytes dst has, which may be 0.
            user_ptr: an address, which the helper itself checks.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_copy_from_user/, bpf-helpers(7)
        """

    def snprintf_btf(
        self, str: Pointer, str_size: Number, ptr: Bytes, btf_ptr_size: Size, flags: Number
    ) -> tuple[Instruction, ...]:
        """Writes a structure of the kernel as text, by its BTF. Returns the length it takes, or a negative error.

        Helper 149, since Linux 5.10: long bpf_snprintf_btf(char *str, __u32 str_size, struct btf_ptr *ptr, __u32 btf_ptr_size, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            str: text that is written, str_size bytes.
            str_size: how many bytes str has.
            ptr: memory that is read, btf_ptr_size bytes, a struct btf_ptr.
            btf_ptr_size: how many bytes ptr has.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_snprintf_btf/, bpf-helpers(7)
        """

    def seq_printf_btf(self, m: Pointer, ptr: Bytes, ptr_size: Size, flags: Number) -> tuple[Instruction, ...]:
        """Prints a structure of the kernel as text, by its BTF, into the file that the iterator fills. Returns 0 or a negative error.

        Helper 150, since Linux 5.10: long bpf_seq_printf_btf(struct seq_file *m, struct btf_ptr *ptr, __u32 ptr_size, __u64 flags)
        Program types: tracing.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            m: struct seq_file *, which the verifier knows.
            ptr: memory that is read, ptr_size bytes, a struct btf_ptr.
            ptr_size: how many bytes ptr has, which may be 0.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_seq_printf_btf/, bpf-helpers(7)
        """

    def skb_cgroup_classid(self, skb: Pointer) -> tuple[Instruction, ...]:
        """The class id of the net_cls cgroup (version 1) of the packet's socket, or 0.

        Helper 151, since Linux 5.10: __u64 bpf_skb_cgroup_classid(struct __sk_buff *skb)
        Program types: sched_cls, sched_act.
        Takes CONFIG_CGROUP_NET_CLASSID.

        Args:
            skb: the program's context.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_cgroup_classid/, bpf-helpers(7)
        """

    def redirect_neigh(
        self, ifindex: Number, params: Bytes | None, plen: Size, flags: Number
    ) -> tuple[Instruction, ...]:
        """Sends the packet to another interface, with the link addresses that the neighbour table gives. Returns TC_ACT_REDIRECT, or TC_ACT_SHOT for a failure.

        Helper 152, since Linux 5.10: long bpf_redirect_neigh(__u32 ifindex, struct bpf_redir_neigh *params, int plen, __u64 flags)
        Program types: sched_cls, sched_act.

        Args:
            ifindex: a number, __u32.
            params: memory that is read, plen bytes, a struct bpf_redir_neigh; None is NULL.
            plen: how many bytes params has, which may be 0.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_redirect_neigh/, bpf-helpers(7)
        """

    def per_cpu_ptr(self, percpu_ptr: Pointer, cpu: Number) -> tuple[Instruction, ...]:
        """A per-CPU variable of the kernel on a certain CPU. Returns a pointer, or NULL if there is no such CPU.

        Helper 153, since Linux 5.10: void *bpf_per_cpu_ptr(const void *percpu_ptr, __u32 cpu)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            percpu_ptr: const void *, which the verifier knows.
            cpu: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, void *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_per_cpu_ptr/, bpf-helpers(7)
        """

    def this_cpu_ptr(self, percpu_ptr: Pointer) -> tuple[Instruction, ...]:
        """A per-CPU variable of the kernel on this CPU. Returns a pointer that is never NULL.

        Helper 154, since Linux 5.10: void *bpf_this_cpu_ptr(const void *percpu_ptr)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            percpu_ptr: const void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, void *; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_this_cpu_ptr/, bpf-helpers(7)
        """

    def redirect_peer(self, ifindex: Number, flags: Number) -> tuple[Instruction, ...]:
        """Sends the packet into the other end of the veth pair, straight into its network namespace. Returns TC_ACT_REDIRECT, or TC_ACT_SHOT for a failure.

        Helper 155, since Linux 5.10: long bpf_redirect_peer(__u32 ifindex, __u64 flags)
        Program types: sched_cls, sched_act.

        Args:
            ifindex: a number, __u32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_redirect_peer/, bpf-helpers(7)
        """

    def task_storage_get(
        self, map: Map, task: Pointer | None, value: Bytes | None, flags: Number
    ) -> tuple[Instruction, ...]:
        """The storage that a map keeps for a task; flag 1 makes it, with the given value or zeros. Returns a pointer, or NULL.

        Helper 156, since Linux 5.11: void *bpf_task_storage_get(void *map, struct task_struct *task, void *value, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            map: a map.
            task: struct task_struct *, which the verifier knows; None is NULL.
            value: memory that is read, as large as a value of the map; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is a pointer to the value in the map, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_task_storage_get/, bpf-helpers(7)
        """

    def task_storage_delete(self, map: Map, task: Pointer | None) -> tuple[Instruction, ...]:
        """Removes the storage that a map keeps for a task. Returns 0 or a negative error.

        Helper 157, since Linux 5.11: long bpf_task_storage_delete(void *map, struct task_struct *task)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            map: a map.
            task: struct task_struct *, which the verifier knows; None is NULL.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_task_storage_delete/, bpf-helpers(7)
        """

    def get_current_task_btf(self) -> tuple[Instruction, ...]:
        """The current task as the kernel's struct task_struct, whose fields the program may read directly.

        Helper 158, since Linux 5.11: struct task_struct *bpf_get_current_task_btf(void)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Returns:
            The instructions of the call. r0 is the result, struct task_struct *; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_current_task_btf/, bpf-helpers(7)
        """

    def bprm_opts_set(self, bprm: Pointer, flags: Number) -> tuple[Instruction, ...]:
        """Sets options of the program that is being executed, such as a secure start (AT_SECURE). Returns 0 or a negative error.

        Helper 159, since Linux 5.11: long bpf_bprm_opts_set(struct linux_binprm *bprm, __u64 flags)
        Program types: lsm.

        Args:
            bprm: struct linux_binprm *, which the verifier knows.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_bprm_opts_set/, bpf-helpers(7)
        """

    def ktime_get_coarse_ns(self) -> tuple[Instruction, ...]:
        """Nanoseconds since boot as of the last tick (CLOCK_MONOTONIC_COARSE): cheaper and less exact than ktime_get_ns.

        Helper 160, since Linux 5.11: __u64 bpf_ktime_get_coarse_ns(void)
        Program types: all but kprobe, tracepoint, perf_event, cgroup_device, raw_tracepoint, lirc_mode2, raw_tracepoint_writable, cgroup_sockopt, tracing, ext, lsm, syscall, netfilter.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ktime_get_coarse_ns/, bpf-helpers(7)
        """

    def ima_inode_hash(self, inode: Pointer, dst: Pointer, size: Number) -> tuple[Instruction, ...]:
        """Copies the hash that IMA has stored for an inode. Returns the kind of the hash, or a negative error.

        Helper 161, since Linux 5.11: long bpf_ima_inode_hash(struct inode *inode, void *dst, __u32 size)
        Program types: lsm.

        Args:
            inode: struct inode *, which the verifier knows.
            dst: memory that is written, size bytes.
            size: how many bytes dst has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ima_inode_hash/, bpf-helpers(7)
        """

    def sock_from_file(self, file: Pointer) -> tuple[Instruction, ...]:
        """The socket behind an open file. Returns NULL if the file is none.

        Helper 162, since Linux 5.11: struct socket *bpf_sock_from_file(struct file *file)
        Program types: tracing, syscall.

        Args:
            file: struct file *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct socket *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sock_from_file/, bpf-helpers(7)
        """

    def check_mtu(
        self, ctx: Pointer, ifindex: Number, mtu_len: Pointer, len_diff: Number, flags: Number
    ) -> tuple[Instruction, ...]:
        """Whether the packet, changed by a length, fits the MTU of an interface; writes that MTU. Returns 0 if it fits, a positive number that says which check failed, or a negative error.

        Helper 163, since Linux 5.12: long bpf_check_mtu(void *ctx, __u32 ifindex, __u32 *mtu_len, __s32 len_diff, __u64 flags)
        Program types: sched_cls, sched_act, xdp.
        Only for programs under a licence that is compatible with the GPL.

        Args:
            ctx: the program's context.
            ifindex: a number, __u32.
            mtu_len: memory that is written, 4 bytes.
            len_diff: a number, __s32.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_check_mtu/, bpf-helpers(7)
        """

    def for_each_map_elem(
        self, map: Map, callback_fn: Callback, callback_ctx: Pointer | None, flags: Number
    ) -> tuple[Instruction, ...]:
        """Calls a function of the program for each element of a map, until it returns 1. Returns how many elements it was called for, or a negative error.

        Helper 164, since Linux 5.13: long bpf_for_each_map_elem(void *map, void *callback_fn, void *callback_ctx, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            map: a map.
            callback_fn: the label of the subprogram that is called back.
            callback_ctx: void *, which the verifier knows; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_for_each_map_elem/, bpf-helpers(7)
        """

    def snprintf(
        self, str: Pointer | None, str_size: Size, fmt: Text, data: Bytes | None, data_len: Size
    ) -> tuple[Instruction, ...]:
        """Writes formatted text into a buffer; the format is in a read-only map, the values in an array of 64-bit numbers. Returns the length that it takes with the NUL, or a negative error.

        Helper 165, since Linux 5.13: long bpf_snprintf(char *str, __u32 str_size, const char *fmt, __u64 *data, __u32 data_len)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON.

        Args:
            str: text that is written, str_size bytes; None is NULL.
            str_size: how many bytes str has, which may be 0.
            fmt: text, or a pointer to text in a map that nobody can change.
            data: memory that is read, data_len bytes; None is NULL.
            data_len: how many bytes data has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_snprintf/, bpf-helpers(7)
        """

    def sys_bpf(self, cmd: Number, attr: Text, attr_size: Size) -> tuple[Instruction, ...]:
        """Calls bpf(2) from a syscall program, with a few of its commands. Returns what the call returns.

        Helper 166, since Linux 5.14: long bpf_sys_bpf(__u32 cmd, void *attr, __u32 attr_size)
        Program types: syscall.
        Takes CAP_PERFMON.

        Args:
            cmd: a number, __u32.
            attr: memory that is read, attr_size bytes.
            attr_size: how many bytes attr has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sys_bpf/, bpf-helpers(7)
        """

    def btf_find_by_name_kind(self, name: Text, name_sz: Size, kind: Number, flags: Number) -> tuple[Instruction, ...]:
        """Finds a type by its name and kind in the kernel's BTF and its modules'. Returns its id, with the descriptor of a module's BTF above, or a negative error.

        Helper 167, since Linux 5.14: long bpf_btf_find_by_name_kind(char *name, int name_sz, __u32 kind, int flags)
        Program types: syscall.

        Args:
            name: text that is read, name_sz bytes.
            name_sz: how many bytes name has.
            kind: a number, __u32.
            flags: a number, int.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_btf_find_by_name_kind/, bpf-helpers(7)
        """

    def sys_close(self, fd: Number) -> tuple[Instruction, ...]:
        """Closes a file descriptor, as close(2) does. Returns 0 or a negative error.

        Helper 168, since Linux 5.14: long bpf_sys_close(__u32 fd)
        Program types: syscall.

        Args:
            fd: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_sys_close/, bpf-helpers(7)
        """

    def timer_init(self, timer: Pointer, map: Map, flags: Number) -> tuple[Instruction, ...]:
        """Prepares a timer that lies in a map value, on one of three clocks (flags). Returns 0 or a negative error.

        Helper 169, since Linux 5.15: long bpf_timer_init(struct bpf_timer *timer, void *map, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_BPF.

        Args:
            timer: struct bpf_timer *, which the verifier knows.
            map: a map.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_timer_init/, bpf-helpers(7)
        """

    def timer_set_callback(self, timer: Pointer, callback_fn: Callback) -> tuple[Instruction, ...]:
        """Says which function of the program the timer calls. Returns 0 or a negative error.

        Helper 170, since Linux 5.15: long bpf_timer_set_callback(struct bpf_timer *timer, void *callback_fn)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_BPF.

        Args:
            timer: struct bpf_timer *, which the verifier knows.
            callback_fn: the label of the subprogram that is called back.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_timer_set_callback/, bpf-helpers(7)
        """

    def timer_start(self, timer: Pointer, nsecs: Number, flags: Number) -> tuple[Instruction, ...]:
        """Starts a timer that calls its function after so many nanoseconds, or at an absolute time with flag 1. Returns 0 or a negative error.

        Helper 171, since Linux 5.15: long bpf_timer_start(struct bpf_timer *timer, __u64 nsecs, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_BPF.

        Args:
            timer: struct bpf_timer *, which the verifier knows.
            nsecs: a number, __u64.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_timer_start/, bpf-helpers(7)
        """

    def timer_cancel(self, timer: Pointer) -> tuple[Instruction, ...]:
        """Stops a timer and waits until its function has ended. Returns 1 if it was running, 0 if not, or a negative error.

        Helper 172, since Linux 5.15: long bpf_timer_cancel(struct bpf_timer *timer)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_BPF.

        Args:
            timer: struct bpf_timer *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_timer_cancel/, bpf-helpers(7)
        """

    def get_func_ip(self, ctx: Pointer) -> tuple[Instruction, ...]:
        """The address of the traced function; for uprobes, of the probe. 0 where the kprobe is not at a function's entry.

        Helper 173, since Linux 5.15: __u64 bpf_get_func_ip(void *ctx)
        Program types: kprobe, tracing, lsm.

        Args:
            ctx: the program's context.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_func_ip/, bpf-helpers(7)
        """

    def get_attach_cookie(self, ctx: Pointer) -> tuple[Instruction, ...]:
        """The number that was given when the program was attached, or 0.

        Helper 174, since Linux 5.15: __u64 bpf_get_attach_cookie(void *ctx)
        Program types: kprobe, tracepoint, perf_event, raw_tracepoint, raw_tracepoint_writable, tracing, lsm.

        Args:
            ctx: the program's context.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_attach_cookie/, bpf-helpers(7)
        """

    def task_pt_regs(self, task: Pointer) -> tuple[Instruction, ...]:
        """The user registers of a task, as a pointer to the kernel's struct pt_regs.

        Helper 175, since Linux 5.15: long bpf_task_pt_regs(struct task_struct *task)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            task: struct task_struct *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_task_pt_regs/, bpf-helpers(7)
        """

    def get_branch_snapshot(self, entries: Pointer, size: Number, flags: Number) -> tuple[Instruction, ...]:
        """Copies the branches that the CPU has recorded last (LBR), and stops recording meanwhile. Returns the number of bytes, or a negative error.

        Helper 176, since Linux 5.16: long bpf_get_branch_snapshot(void *entries, __u32 size, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            entries: memory that is written, size bytes.
            size: how many bytes entries has, which may be 0.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_branch_snapshot/, bpf-helpers(7)
        """

    def trace_vprintk(self, fmt: Text, fmt_size: Size, data: Text | None, data_len: Size) -> tuple[Instruction, ...]:
        """Prints a line into the kernel's trace_pipe, with as many values as an array holds (12): for debugging. Returns the number of bytes, or a negative error.

        Helper 177, since Linux 5.16: long bpf_trace_vprintk(const char *fmt, __u32 fmt_size, const void *data, __u32 data_len)
        Program types: all but lirc_mode2, ext.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON, CONFIG_BPF_EVENTS.

        Args:
            fmt: text that is read, fmt_size bytes.
            fmt_size: how many bytes fmt has.
            data: memory that is read, data_len bytes; None is NULL.
            data_len: how many bytes data has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_trace_vprintk/, bpf-helpers(7)
        """

    def skc_to_unix_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The socket as the kernel's struct unix_sock. Returns NULL if it is another kind.

        Helper 178, since Linux 5.16: struct unix_sock *bpf_skc_to_unix_sock(void *sk)
        Program types: all but kprobe, tracepoint, perf_event, cgroup_sock, cgroup_device, raw_tracepoint, lirc_mode2, sk_reuseport, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, struct_ops, ext, lsm, netfilter.
        Takes CAP_PERFMON.

        Args:
            sk: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct unix_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skc_to_unix_sock/, bpf-helpers(7)
        """

    def kallsyms_lookup_name(self, name: Text, name_sz: Size, flags: Number, res: Pointer) -> tuple[Instruction, ...]:
        """Finds the address of a kernel symbol by its name. Returns 0 or a negative error.

        Helper 179, since Linux 5.16: long bpf_kallsyms_lookup_name(const char *name, int name_sz, int flags, __u64 *res)
        Program types: syscall.

        Args:
            name: text that is read, name_sz bytes.
            name_sz: how many bytes name has, which may be 0.
            flags: a number, int.
            res: memory that is written, 8 bytes.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_kallsyms_lookup_name/, bpf-helpers(7)
        """

    def find_vma(
        self, task: Pointer, addr: Number, callback_fn: Callback, callback_ctx: Pointer | None, flags: Number
    ) -> tuple[Instruction, ...]:
        """Calls a function of the program with the memory area of a task that holds an address. Returns 0 or a negative error.

        Helper 180, since Linux 5.17: long bpf_find_vma(struct task_struct *task, __u64 addr, void *callback_fn, void *callback_ctx, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_PERFMON.

        Args:
            task: struct task_struct *, which the verifier knows.
            addr: a number, __u64.
            callback_fn: the label of the subprogram that is called back.
            callback_ctx: void *, which the verifier knows; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_find_vma/, bpf-helpers(7)
        """

    def loop(
        self, nr_loops: Number, callback_fn: Callback, callback_ctx: Pointer | None, flags: Number
    ) -> tuple[Instruction, ...]:
        """Calls a function of the program so many times (at most 8388608), until it returns 1. Returns how many times it was called, or a negative error.

        Helper 181, since Linux 5.17: long bpf_loop(__u32 nr_loops, void *callback_fn, void *callback_ctx, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            nr_loops: a number, __u32.
            callback_fn: the label of the subprogram that is called back.
            callback_ctx: void *, which the verifier knows; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_loop/, bpf-helpers(7)
        """

    def strncmp(self, s1: Text, s1_sz: Size, s2: Text) -> tuple[Instruction, ...]:
        """Compares a text with another one that lies in a read-only map, up to a length. Returns a negative number, 0 or a positive one.

        Helper 182, since Linux 5.17: long bpf_strncmp(const char *s1, __u32 s1_sz, const char *s2)
        Program types: all but lirc_mode2, ext.

        Args:
            s1: text that is read, s1_sz bytes.
            s1_sz: how many bytes s1 has.
            s2: text, or a pointer to text in a map that nobody can change.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_strncmp/, bpf-helpers(7)
        """

    def get_func_arg(self, ctx: Pointer, n: Number, value: Pointer) -> tuple[Instruction, ...]:
        """Writes the n-th argument of the traced function. Returns 0, or -EINVAL if there are fewer.

        Helper 183, since Linux 5.17: long bpf_get_func_arg(void *ctx, __u32 n, __u64 *value)
        Program types: tracing.

        Args:
            ctx: the program's context.
            n: a number, __u32.
            value: memory that is written, 8 bytes.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_func_arg/, bpf-helpers(7)
        """

    def get_func_ret(self, ctx: Pointer, value: Pointer) -> tuple[Instruction, ...]:
        """Writes what the traced function returned. Returns 0, or -EOPNOTSUPP where the program does not run at its return.

        Helper 184, since Linux 5.17: long bpf_get_func_ret(void *ctx, __u64 *value)
        Program types: tracing.

        Args:
            ctx: the program's context.
            value: memory that is written, 8 bytes.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_func_ret/, bpf-helpers(7)
        """

    def get_func_arg_cnt(self, ctx: Pointer) -> tuple[Instruction, ...]:
        """The number of arguments of the traced function.

        Helper 185, since Linux 5.17: long bpf_get_func_arg_cnt(void *ctx)
        Program types: tracing.

        Args:
            ctx: the program's context.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_func_arg_cnt/, bpf-helpers(7)
        """

    def get_retval(self) -> tuple[Instruction, ...]:
        """What the system call behind the cgroup hook would return so far: 0 or a negative error.

        Helper 186, since Linux 5.18: int bpf_get_retval(void)
        Program types: cgroup_sock, cgroup_device, cgroup_sock_addr, cgroup_sysctl, cgroup_sockopt.

        Returns:
            The instructions of the call. r0 is the result, int; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_get_retval/, bpf-helpers(7)
        """

    def set_retval(self, retval: Number) -> tuple[Instruction, ...]:
        """Sets what the system call behind the cgroup hook returns. Returns 0 or a negative error.

        Helper 187, since Linux 5.18: int bpf_set_retval(int retval)
        Program types: cgroup_sock, cgroup_device, cgroup_sock_addr, cgroup_sysctl, cgroup_sockopt.

        Args:
            retval: a number, int.

        Returns:
            The instructions of the call. r0 is the result, int; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_set_retval/, bpf-helpers(7)
        """

    def xdp_get_buff_len(self, xdp_md: Pointer) -> tuple[Instruction, ...]:
        """The length of the packet, all of its fragments included.

        Helper 188, since Linux 5.18: __u64 bpf_xdp_get_buff_len(struct xdp_md *xdp_md)
        Program types: xdp, tracing, syscall.

        Args:
            xdp_md: struct xdp_md *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_xdp_get_buff_len/, bpf-helpers(7)
        """

    def xdp_load_bytes(self, xdp_md: Pointer, offset: Number, buf: Pointer, len: Number) -> tuple[Instruction, ...]:
        """Copies bytes of a packet, wherever in its fragments, into a buffer. Returns 0 or a negative error.

        Helper 189, since Linux 5.18: long bpf_xdp_load_bytes(struct xdp_md *xdp_md, __u32 offset, void *buf, __u32 len)
        Program types: xdp.

        Args:
            xdp_md: the program's context.
            offset: a number, __u32.
            buf: memory that is written, len bytes.
            len: how many bytes buf has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_xdp_load_bytes/, bpf-helpers(7)
        """

    def xdp_store_bytes(self, xdp_md: Pointer, offset: Number, buf: Text, len: Size) -> tuple[Instruction, ...]:
        """Copies bytes of a buffer into a packet, wherever in its fragments. Returns 0 or a negative error.

        Helper 190, since Linux 5.18: long bpf_xdp_store_bytes(struct xdp_md *xdp_md, __u32 offset, void *buf, __u32 len)
        Program types: xdp.

        Args:
            xdp_md: the program's context.
            offset: a number, __u32.
            buf: memory that is read, len bytes.
            len: how many bytes buf has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_xdp_store_bytes/, bpf-helpers(7)
        """

    def copy_from_user_task(
        self, dst: Pointer, size: Number, user_ptr: Number | Map, tsk: Pointer, flags: Number
    ) -> tuple[Instruction, ...]:
        """Copies memory of any task's process, and waits for pages that are swapped out: for sleepable programs only. Returns 0 or a negative error.

        Helper 191, since Linux 5.18: long bpf_copy_from_user_task(void *dst, __u32 size, const void *user_ptr, struct task_struct *tsk, __u64 flags)
        Program types: kprobe, tracing, struct_ops, lsm, syscall.
        Only for programs under a licence that is compatible with the GPL.
        Takes CAP_PERFMON.

        Args:
            dst: memory that is written, size bytes.
            size: how many bytes dst has, which may be 0.
            user_ptr: an address, which the helper itself checks.
            tsk: struct task_struct *, which the verifier knows.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_copy_from_user_task/, bpf-helpers(7)
        """

    def skb_set_tstamp(self, skb: Pointer, tstamp: Number, tstamp_type: Number) -> tuple[Instruction, ...]:
        """Sets the packet's time stamp and says which clock it is of, for pacing. Returns 0 or a negative error.

        Helper 192, since Linux 5.18: long bpf_skb_set_tstamp(struct __sk_buff *skb, __u64 tstamp, __u32 tstamp_type)
        Program types: sched_cls, sched_act.

        Args:
            skb: the program's context.
            tstamp: a number, __u64.
            tstamp_type: a number, __u32.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skb_set_tstamp/, bpf-helpers(7)
        """

    def ima_file_hash(self, file: Pointer, dst: Pointer, size: Number) -> tuple[Instruction, ...]:
        """Computes or copies the hash of a file through IMA. Returns the kind of the hash, or a negative error.

        Helper 193, since Linux 5.18: long bpf_ima_file_hash(struct file *file, void *dst, __u32 size)
        Program types: lsm.

        Args:
            file: struct file *, which the verifier knows.
            dst: memory that is written, size bytes.
            size: how many bytes dst has.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ima_file_hash/, bpf-helpers(7)
        """

    def kptr_xchg(self, dst: Pointer, ptr: Pointer | None) -> tuple[Instruction, ...]:
        """Puts a kernel object into a map value and takes out the one that was there. Returns the old one, to be released, or NULL.

        Helper 194, since Linux 5.19: void *bpf_kptr_xchg(void *dst, void *ptr)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            dst: void *, which the verifier knows.
            ptr: void *, which the verifier knows; None is NULL.

        Returns:
            The instructions of the call. r0 is the result, void *, or NULL; r1 to r5 are lost.
            To be given back on every path: what is not NULL: sk_release for a socket, kptr_xchg or a kfunc for others.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_kptr_xchg/, bpf-helpers(7)
        """

    def map_lookup_percpu_elem(self, map: Map, key: Bytes, cpu: Number) -> tuple[Instruction, ...]:
        """Finds the value that belongs to a key of a per-CPU map on a certain CPU. Returns a pointer to it, or NULL.

        Helper 195, since Linux 5.19: void *bpf_map_lookup_percpu_elem(void *map, const void *key, __u32 cpu)
        Program types: all but lirc_mode2, ext.

        Args:
            map: a map.
            key: memory that is read, as large as a key of the map.
            cpu: a number, __u32.

        Returns:
            The instructions of the call. r0 is a pointer to the value in the map, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_map_lookup_percpu_elem/, bpf-helpers(7)
        """

    def skc_to_mptcp_sock(self, sk: Pointer) -> tuple[Instruction, ...]:
        """The socket as the kernel's struct mptcp_sock. Returns NULL if it is another kind.

        Helper 196, since Linux 5.19: struct mptcp_sock *bpf_skc_to_mptcp_sock(void *sk)
        Program types: all but kprobe, tracepoint, perf_event, cgroup_sock, cgroup_device, raw_tracepoint, lirc_mode2, sk_reuseport, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, struct_ops, ext, lsm, netfilter.
        Takes CAP_PERFMON.

        Args:
            sk: void *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, struct mptcp_sock *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_skc_to_mptcp_sock/, bpf-helpers(7)
        """

    def dynptr_from_mem(self, data: Pointer, size: Number, flags: Number, ptr: Pointer) -> tuple[Instruction, ...]:
        """Makes a dynptr, a pointer that knows its bounds at run time, to memory of a map value. Returns 0 or a negative error.

        Helper 197, since Linux 5.19: long bpf_dynptr_from_mem(void *data, __u64 size, __u64 flags, struct bpf_dynptr *ptr)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            data: memory that is written, size bytes.
            size: how many bytes data has, which may be 0.
            flags: a number, __u64.
            ptr: struct bpf_dynptr *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_dynptr_from_mem/, bpf-helpers(7)
        """

    def ringbuf_reserve_dynptr(
        self, ringbuf: Map, size: Number, flags: Number, ptr: Pointer
    ) -> tuple[Instruction, ...]:
        """Reserves room for a record, of a size that is known at run time only, in a ring buffer. Returns 0 or a negative error; in either case the dynptr must be submitted or discarded.

        Helper 198, since Linux 5.19: long bpf_ringbuf_reserve_dynptr(void *ringbuf, __u32 size, __u64 flags, struct bpf_dynptr *ptr)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            ringbuf: a map.
            size: a number, __u32.
            flags: a number, __u64.
            ptr: struct bpf_dynptr *, which the verifier knows.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.
            To be given back on every path: the record, even after a failure: ringbuf_submit_dynptr or ringbuf_discard_dynptr.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ringbuf_reserve_dynptr/, bpf-helpers(7)
        """

    def ringbuf_submit_dynptr(self, ptr: Pointer, flags: Number) -> tuple[Instruction, ...]:
        """Hands a record behind a dynptr to the reader. flags: 1 does not wake the reader, 2 wakes it in any case.

        Helper 199, since Linux 5.19: void bpf_ringbuf_submit_dynptr(struct bpf_dynptr *ptr, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            ptr: struct bpf_dynptr *, which the verifier knows.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 holds nothing; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ringbuf_submit_dynptr/, bpf-helpers(7)
        """

    def ringbuf_discard_dynptr(self, ptr: Pointer, flags: Number) -> tuple[Instruction, ...]:
        """Gives a record behind a dynptr up: the reader skips it. flags: 1 does not wake the reader, 2 wakes it in any case.

        Helper 200, since Linux 5.19: void bpf_ringbuf_discard_dynptr(struct bpf_dynptr *ptr, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            ptr: struct bpf_dynptr *, which the verifier knows.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 holds nothing; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ringbuf_discard_dynptr/, bpf-helpers(7)
        """

    def dynptr_read(
        self, dst: Pointer, len: Number, src: Pointer, offset: Number, flags: Number
    ) -> tuple[Instruction, ...]:
        """Copies bytes behind a dynptr into a buffer. Returns 0 or a negative error, -E2BIG beyond its bounds.

        Helper 201, since Linux 5.19: long bpf_dynptr_read(void *dst, __u64 len, const struct bpf_dynptr *src, __u64 offset, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            dst: memory that is written, len bytes.
            len: how many bytes dst has, which may be 0.
            src: const struct bpf_dynptr *, which the verifier knows.
            offset: a number, __u64.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_dynptr_read/, bpf-helpers(7)
        """

    def dynptr_write(
        self, dst: Pointer, offset: Number, src: Text, len: Size, flags: Number
    ) -> tuple[Instruction, ...]:
        """Copies bytes of a buffer to what is behind a dynptr. Returns 0 or a negative error, -E2BIG beyond its bounds.

        Helper 202, since Linux 5.19: long bpf_dynptr_write(const struct bpf_dynptr *dst, __u64 offset, void *src, __u64 len, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            dst: const struct bpf_dynptr *, which the verifier knows.
            offset: a number, __u64.
            src: memory that is read, len bytes.
            len: how many bytes src has, which may be 0.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_dynptr_write/, bpf-helpers(7)
        """

    def dynptr_data(self, ptr: Pointer, offset: Number, len: Number) -> tuple[Instruction, ...]:
        """A pointer to a number of bytes, known when the program is verified, behind a dynptr. Returns NULL beyond its bounds or where it cannot be written.

        Helper 203, since Linux 5.19: void *bpf_dynptr_data(const struct bpf_dynptr *ptr, __u64 offset, __u64 len)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            ptr: const struct bpf_dynptr *, which the verifier knows.
            offset: a number, __u64.
            len: how many bytes the result points to, a constant.

        Returns:
            The instructions of the call. r0 is the result, void *, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_dynptr_data/, bpf-helpers(7)
        """

    def tcp_raw_gen_syncookie_ipv4(self, iph: Bytes, th: Bytes, th_len: Size) -> tuple[Instruction, ...]:
        """Makes a SYN cookie for an IPv4 packet without a listening socket. Returns the cookie in the lower 32 bits and the MSS above, or a negative error.

        Helper 204, since Linux 6.0: __s64 bpf_tcp_raw_gen_syncookie_ipv4(struct iphdr *iph, struct tcphdr *th, __u32 th_len)
        Program types: sched_cls, sched_act, xdp.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_SYN_COOKIES.

        Args:
            iph: memory that is read, 20 bytes, a struct iphdr.
            th: memory that is read, th_len bytes, a struct tcphdr.
            th_len: how many bytes th has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, __s64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tcp_raw_gen_syncookie_ipv4/, bpf-helpers(7)
        """

    def tcp_raw_gen_syncookie_ipv6(self, iph: Bytes, th: Bytes, th_len: Size) -> tuple[Instruction, ...]:
        """Makes a SYN cookie for an IPv6 packet without a listening socket. Returns the cookie in the lower 32 bits and the MSS above, or a negative error.

        Helper 205, since Linux 6.0: __s64 bpf_tcp_raw_gen_syncookie_ipv6(struct ipv6hdr *iph, struct tcphdr *th, __u32 th_len)
        Program types: sched_cls, sched_act, xdp.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_SYN_COOKIES.

        Args:
            iph: memory that is read, 40 bytes, a struct ipv6hdr.
            th: memory that is read, th_len bytes, a struct tcphdr.
            th_len: how many bytes th has, which may be 0.

        Returns:
            The instructions of the call. r0 is the result, __s64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tcp_raw_gen_syncookie_ipv6/, bpf-helpers(7)
        """

    def tcp_raw_check_syncookie_ipv4(self, iph: Bytes, th: Bytes) -> tuple[Instruction, ...]:
        """Whether the ACK of an IPv4 packet holds a valid SYN cookie, without a listening socket. Returns 0 if it does, else a negative error.

        Helper 206, since Linux 6.0: long bpf_tcp_raw_check_syncookie_ipv4(struct iphdr *iph, struct tcphdr *th)
        Program types: sched_cls, sched_act, xdp.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_SYN_COOKIES.

        Args:
            iph: memory that is read, 20 bytes, a struct iphdr.
            th: memory that is read, 20 bytes, a struct tcphdr.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tcp_raw_check_syncookie_ipv4/, bpf-helpers(7)
        """

    def tcp_raw_check_syncookie_ipv6(self, iph: Bytes, th: Bytes) -> tuple[Instruction, ...]:
        """Whether the ACK of an IPv6 packet holds a valid SYN cookie, without a listening socket. Returns 0 if it does, else a negative error.

        Helper 207, since Linux 6.0: long bpf_tcp_raw_check_syncookie_ipv6(struct ipv6hdr *iph, struct tcphdr *th)
        Program types: sched_cls, sched_act, xdp.
        Only for programs under a licence that is compatible with the GPL.
        Takes CONFIG_SYN_COOKIES.

        Args:
            iph: memory that is read, 40 bytes, a struct ipv6hdr.
            th: memory that is read, 20 bytes, a struct tcphdr.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_tcp_raw_check_syncookie_ipv6/, bpf-helpers(7)
        """

    def ktime_get_tai_ns(self) -> tuple[Instruction, ...]:
        """Nanoseconds since 1970 in atomic time, which has no leap seconds (CLOCK_TAI).

        Helper 208, since Linux 6.1: __u64 bpf_ktime_get_tai_ns(void)
        Program types: all but lirc_mode2, ext.

        Returns:
            The instructions of the call. r0 is the result, __u64; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_ktime_get_tai_ns/, bpf-helpers(7)
        """

    def user_ringbuf_drain(
        self, map: Map, callback_fn: Callback, ctx: Pointer | None, flags: Number
    ) -> tuple[Instruction, ...]:
        """Calls a function of the program for each record that a process has put into a user ring buffer. Returns how many there were, or a negative error.

        Helper 209, since Linux 6.1: long bpf_user_ringbuf_drain(void *map, void *callback_fn, void *ctx, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF.

        Args:
            map: a map.
            callback_fn: the label of the subprogram that is called back.
            ctx: void *, which the verifier knows; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_user_ringbuf_drain/, bpf-helpers(7)
        """

    def cgrp_storage_get(
        self, map: Map, cgroup: Pointer | None, value: Bytes | None, flags: Number
    ) -> tuple[Instruction, ...]:
        """The storage that a map keeps for a cgroup (version 2); flag 1 makes it, with the given value or zeros. Returns a pointer, or NULL.

        Helper 210, since Linux 6.2: void *bpf_cgrp_storage_get(void *map, struct cgroup *cgroup, void *value, __u64 flags)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF, CONFIG_CGROUPS.

        Args:
            map: a map.
            cgroup: struct cgroup *, which the verifier knows; None is NULL.
            value: memory that is read, as large as a value of the map; None is NULL.
            flags: a number, __u64.

        Returns:
            The instructions of the call. r0 is a pointer to the value in the map, or NULL; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_cgrp_storage_get/, bpf-helpers(7)
        """

    def cgrp_storage_delete(self, map: Map, cgroup: Pointer | None) -> tuple[Instruction, ...]:
        """Removes the storage that a map keeps for a cgroup (version 2). Returns 0 or a negative error.

        Helper 211, since Linux 6.2: long bpf_cgrp_storage_delete(void *map, struct cgroup *cgroup)
        Program types: all but lirc_mode2, ext.
        Takes CAP_BPF, CONFIG_CGROUPS.

        Args:
            map: a map.
            cgroup: struct cgroup *, which the verifier knows; None is NULL.

        Returns:
            The instructions of the call. r0 is the result, long; r1 to r5 are lost.

        Source: https://docs.ebpf.io/linux/helper-function/bpf_cgrp_storage_delete/, bpf-helpers(7)
        """
