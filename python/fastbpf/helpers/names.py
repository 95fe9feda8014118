"""The kernel's helper functions by number, with the names of their parameters (include/uapi/linux/bpf.h, Linux 6.18).

>>> NAMES.index("ktime_get_ns"), PARAMETERS[1]
(5, ('map', 'key'))
"""

from __future__ import annotations

# A line a helper: its name, then its parameters; "..." is as many more as there are registers. The first is number 0.
_HELPERS = """\
unspec
map_lookup_elem map key
map_update_elem map key value flags
map_delete_elem map key
probe_read dst size unsafe_ptr
ktime_get_ns
trace_printk fmt fmt_size ...
get_prandom_u32
get_smp_processor_id
skb_store_bytes skb offset from len flags
l3_csum_replace skb offset from to size
l4_csum_replace skb offset from to flags
tail_call ctx prog_array_map index
clone_redirect skb ifindex flags
get_current_pid_tgid
get_current_uid_gid
get_current_comm buf size_of_buf
get_cgroup_classid skb
skb_vlan_push skb vlan_proto vlan_tci
skb_vlan_pop skb
skb_get_tunnel_key skb key size flags
skb_set_tunnel_key skb key size flags
perf_event_read map flags
redirect ifindex flags
get_route_realm skb
perf_event_output ctx map flags data size
skb_load_bytes skb offset to len
get_stackid ctx map flags
csum_diff from from_size to to_size seed
skb_get_tunnel_opt skb opt size
skb_set_tunnel_opt skb opt size
skb_change_proto skb proto flags
skb_change_type skb type
skb_under_cgroup skb map index
get_hash_recalc skb
get_current_task
probe_write_user dst src len
current_task_under_cgroup map index
skb_change_tail skb len flags
skb_pull_data skb len
csum_update skb csum
set_hash_invalid skb
get_numa_node_id
skb_change_head skb len flags
xdp_adjust_head xdp_md delta
probe_read_str dst size unsafe_ptr
get_socket_cookie ctx
get_socket_uid skb
set_hash skb hash
setsockopt bpf_socket level optname optval optlen
skb_adjust_room skb len_diff mode flags
redirect_map map key flags
sk_redirect_map skb map key flags
sock_map_update skops map key flags
xdp_adjust_meta xdp_md delta
perf_event_read_value map flags buf buf_size
perf_prog_read_value ctx buf buf_size
getsockopt bpf_socket level optname optval optlen
override_return regs rc
sock_ops_cb_flags_set bpf_sock argval
msg_redirect_map msg map key flags
msg_apply_bytes msg bytes
msg_cork_bytes msg bytes
msg_pull_data msg start end flags
bind ctx addr addr_len
xdp_adjust_tail xdp_md delta
skb_get_xfrm_state skb index xfrm_state size flags
get_stack ctx buf size flags
skb_load_bytes_relative skb offset to len start_header
fib_lookup ctx params plen flags
sock_hash_update skops map key flags
msg_redirect_hash msg map key flags
sk_redirect_hash skb map key flags
lwt_push_encap skb type hdr len
lwt_seg6_store_bytes skb offset from len
lwt_seg6_adjust_srh skb offset delta
lwt_seg6_action skb action param param_len
rc_repeat ctx
rc_keydown ctx protocol scancode toggle
skb_cgroup_id skb
get_current_cgroup_id
get_local_storage map flags
sk_select_reuseport reuse map key flags
skb_ancestor_cgroup_id skb ancestor_level
sk_lookup_tcp ctx tuple tuple_size netns flags
sk_lookup_udp ctx tuple tuple_size netns flags
sk_release sock
map_push_elem map value flags
map_pop_elem map value
map_peek_elem map value
msg_push_data msg start len flags
msg_pop_data msg start len flags
rc_pointer_rel ctx rel_x rel_y
spin_lock lock
spin_unlock lock
sk_fullsock sk
tcp_sock sk
skb_ecn_set_ce skb
get_listener_sock sk
skc_lookup_tcp ctx tuple tuple_size netns flags
tcp_check_syncookie sk iph iph_len th th_len
sysctl_get_name ctx buf buf_len flags
sysctl_get_current_value ctx buf buf_len
sysctl_get_new_value ctx buf buf_len
sysctl_set_new_value ctx buf buf_len
strtol buf buf_len flags res
strtoul buf buf_len flags res
sk_storage_get map sk value flags
sk_storage_delete map sk
send_signal sig
tcp_gen_syncookie sk iph iph_len th th_len
skb_output ctx map flags data size
probe_read_user dst size unsafe_ptr
probe_read_kernel dst size unsafe_ptr
probe_read_user_str dst size unsafe_ptr
probe_read_kernel_str dst size unsafe_ptr
tcp_send_ack tp rcv_nxt
send_signal_thread sig
jiffies64
read_branch_records ctx buf size flags
get_ns_current_pid_tgid dev ino nsdata size
xdp_output ctx map flags data size
get_netns_cookie ctx
get_current_ancestor_cgroup_id ancestor_level
sk_assign ctx sk flags
ktime_get_boot_ns
seq_printf m fmt fmt_size data data_len
seq_write m data len
sk_cgroup_id sk
sk_ancestor_cgroup_id sk ancestor_level
ringbuf_output ringbuf data size flags
ringbuf_reserve ringbuf size flags
ringbuf_submit data flags
ringbuf_discard data flags
ringbuf_query ringbuf flags
csum_level skb level
skc_to_tcp6_sock sk
skc_to_tcp_sock sk
skc_to_tcp_timewait_sock sk
skc_to_tcp_request_sock sk
skc_to_udp6_sock sk
get_task_stack task buf size flags
load_hdr_opt skops searchby_res len flags
store_hdr_opt skops from len flags
reserve_hdr_opt skops len flags
inode_storage_get map inode value flags
inode_storage_delete map inode
d_path path buf sz
copy_from_user dst size user_ptr
snprintf_btf str str_size ptr btf_ptr_size flags
seq_printf_btf m ptr ptr_size flags
skb_cgroup_classid skb
redirect_neigh ifindex params plen flags
per_cpu_ptr percpu_ptr cpu
this_cpu_ptr percpu_ptr
redirect_peer ifindex flags
task_storage_get map task value flags
task_storage_delete map task
get_current_task_btf
bprm_opts_set bprm flags
ktime_get_coarse_ns
ima_inode_hash inode dst size
sock_from_file file
check_mtu ctx ifindex mtu_len len_diff flags
for_each_map_elem map callback_fn callback_ctx flags
snprintf str str_size fmt data data_len
sys_bpf cmd attr attr_size
btf_find_by_name_kind name name_sz kind flags
sys_close fd
timer_init timer map flags
timer_set_callback timer callback_fn
timer_start timer nsecs flags
timer_cancel timer
get_func_ip ctx
get_attach_cookie ctx
task_pt_regs task
get_branch_snapshot entries size flags
trace_vprintk fmt fmt_size data data_len
skc_to_unix_sock sk
kallsyms_lookup_name name name_sz flags res
find_vma task addr callback_fn callback_ctx flags
loop nr_loops callback_fn callback_ctx flags
strncmp s1 s1_sz s2
get_func_arg ctx n value
get_func_ret ctx value
get_func_arg_cnt ctx
get_retval
set_retval retval
xdp_get_buff_len xdp_md
xdp_load_bytes xdp_md offset buf len
xdp_store_bytes xdp_md offset buf len
copy_from_user_task dst size user_ptr tsk flags
skb_set_tstamp skb tstamp tstamp_type
ima_file_hash file dst size
kptr_xchg dst ptr
map_lookup_percpu_elem map key cpu
skc_to_mptcp_sock sk
dynptr_from_mem data size flags ptr
ringbuf_reserve_dynptr ringbuf size flags ptr
ringbuf_submit_dynptr ptr flags
ringbuf_discard_dynptr ptr flags
dynptr_read dst len src offset flags
dynptr_write dst offset src len flags
dynptr_data ptr offset len
tcp_raw_gen_syncookie_ipv4 iph th th_len
tcp_raw_gen_syncookie_ipv6 iph th th_len
tcp_raw_check_syncookie_ipv4 iph th
tcp_raw_check_syncookie_ipv6 iph th
ktime_get_tai_ns
user_ringbuf_drain map callback_fn ctx flags
cgrp_storage_get map cgroup value flags
cgrp_storage_delete map cgroup
"""

_LINES = tuple(tuple(line.split()) for line in _HELPERS.splitlines())

#: The names of the helpers, without `bpf_`; the place of a name is the helper's number.
NAMES: tuple[str, ...] = tuple(line[0] for line in _LINES)

#: The names of the parameters of each helper, by number.
PARAMETERS: tuple[tuple[str, ...], ...] = tuple(line[1:] for line in _LINES)
