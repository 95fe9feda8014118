"""Which helpers may move the packet: the verifier makes numbers of all addresses in it, on every stack as well."""

from __future__ import annotations

from typing import Final

_NAMES: Final = """
clone_redirect l3_csum_replace l4_csum_replace lwt_push_encap lwt_seg6_action lwt_seg6_adjust_srh
lwt_seg6_store_bytes msg_pop_data msg_pull_data msg_push_data skb_adjust_room skb_change_head skb_change_proto
skb_change_tail skb_pull_data skb_store_bytes skb_vlan_pop skb_vlan_push store_hdr_opt xdp_adjust_head
xdp_adjust_meta xdp_adjust_tail
"""
#: Those of which all supported kernels think so, whatever the arguments.
#: Source: net/core/filter.c, bpf_helper_changes_pkt_data.
MOVES_PACKET: Final = frozenset(_NAMES.split())
