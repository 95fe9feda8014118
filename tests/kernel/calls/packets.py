"""Packets: their bytes, checksums, shapes, owners and ways."""

from __future__ import annotations

import os
import socket
from struct import pack

from tests.kernel.calls.running import *
from tests.kernel.raw_bpf import *

from fastbpf.asm import *


@executes(
    *(
        "skb_store_bytes",
        "skb_load_bytes",
        "skb_load_bytes_relative",
        "l3_csum_replace",
        "l4_csum_replace",
        "csum_diff",
    ),
    *("csum_update", "csum_level", "skb_pull_data"),
)
def packets():
    new = b"\x0a\x00\x00\x63"
    old = int.from_bytes(PACKET[30:34], "little")
    fresh = int.from_bytes(new, "little")
    whole = bytearray(PACKET)
    whole[24:26] = checksum(PACKET[14:34]).to_bytes(2, "big")
    whole[40:42] = checksum(pseudo(PACKET) + PACKET[34:]).to_bytes(2, "big")
    found, ran = run(
        TC,
        [call.skb_load_bytes(r6, 30, fp - 8, 4), keep(0), ldxw(r0, fp, -8), keep(1), mov(r8, r0)],
        [call.skb_load_bytes_relative(r6, 16, fp - 8, 4, 1), keep(2), ldxw(r0, fp, -8), keep(3)],
        [call.skb_store_bytes(r6, 30, new, None, 0), keep(4), mov32(r3, r8), const(r2, fresh)],
        # the two registers are those of other arguments
        [call.l3_csum_replace(r6, 24, r3, r2, 4), keep(5)],
        [call.l4_csum_replace(r6, 40, old, fresh, 0x10 | 4), keep(6)],
        [stw(fp, -4, 0x01020304), stw(fp, -8, 0x01020304), call.csum_diff(fp - 4, 4, fp - 8, 4, 0), keep(7)],
        [call.csum_diff(None, 0, fp - 8, 4, 0), keep(8), call.csum_diff(None, None, b"\1\0\2\0", None, 0), keep(9)],
        [call.csum_update(r6, 5), keep(10), call.csum_level(r6, 0), keep(11), call.skb_pull_data(r6, 0), keep(12)],
        data=bytes(whole),
    )
    assert found[:7] == [0, old, 0, old, 0, 0, 0]
    assert ran.data[30:34] == new
    header = bytearray(ran.data[14:34])
    assert checksum(bytes(header)) == 0  # right again
    assert checksum(pseudo(ran.data) + ran.data[34:]) == 0
    assert fold(found[7]) == 0xFFFF
    assert fold(found[8]) == 0x0406
    assert fold(found[9]) == 3
    assert signed(found[10]) in {-95, -524}  # ENOTSUPP: the device has not summed it
    assert signed(found[11]) == -13
    assert found[12] == 0


@executes(
    *("skb_vlan_push", "skb_vlan_pop", "skb_change_proto", "skb_change_type", "skb_change_tail", "skb_change_head"),
    *("skb_adjust_room", "set_hash", "set_hash_invalid", "get_hash_recalc", "skb_set_tstamp", "skb_ecn_set_ce"),
)
def packet_shapes():
    found, ran = run(TC, call.skb_vlan_push(r6, 0x0081, 42), keep(0), ldxw(r0, r6, ctx.sk_buff.vlan_tci), keep(1))
    assert found[0] == 0
    assert found[1] & 0xFFF == 42
    found, ran = run(
        TC,
        call.skb_vlan_push(r6, 0x0081, 42),
        call.skb_vlan_pop(r6),
        keep(0),
        ldxw(r0, r6, ctx.sk_buff.vlan_present),
        keep(1),
    )
    assert found[:2] == [0, 0]
    assert ran.data == PACKET
    found, ran = run(TC, call.skb_change_proto(r6, 0xDD86, 0), keep(0))
    assert (found[0], len(ran.data)) == (0, len(PACKET) + 20)
    found, ran = run(
        TC,
        call.skb_change_tail(r6, 50, 0),
        keep(0),
        call.skb_change_type(r6, 3),
        keep(1),
        ldxw(r0, r6, ctx.sk_buff.pkt_type),
        keep(2),
    )
    assert (found[:3], ran.data) == ([0, 0, 3], PACKET[:50])
    found, ran = run(TC, call.skb_change_head(r6, 14, 0), keep(0))
    assert (found[0], len(ran.data)) == (0, len(PACKET) + 14)
    found, ran = run(TC, call.skb_adjust_room(r6, 8, 0, 0), keep(0))
    assert (found[0], len(ran.data)) == (0, len(PACKET) + 8)
    found, _ = run(
        TC,
        [call.set_hash(r6, 0x1234), keep(0), ldxw(r0, r6, ctx.sk_buff.hash), keep(1), call.set_hash_invalid(r6)],
        [ldxw(r0, r6, ctx.sk_buff.hash), keep(2), call.get_hash_recalc(r6), keep(3)],
        [call.skb_set_tstamp(r6, 12345, 1), keep(4), ldxdw(r0, r6, ctx.sk_buff.tstamp), keep(5)],
        [call.skb_ecn_set_ce(r6), keep(6)],
    )
    assert found[:3] == [0, 0x1234, 0]
    assert found[3] not in {0, 0x1234}
    assert found[4:6] == [0, 12345]
    assert found[6] == 0  # the packet does not speak ECN


@executes(
    *("skb_get_tunnel_key", "skb_set_tunnel_key", "skb_get_tunnel_opt", "skb_set_tunnel_opt", "skb_get_xfrm_state"),
    *("get_cgroup_classid", "get_route_realm", "skb_under_cgroup", "current_task_under_cgroup", "skb_cgroup_id"),
    *("skb_ancestor_cgroup_id", "skb_cgroup_classid", "get_socket_cookie", "get_socket_uid", "get_netns_cookie"),
)
def packet_owners():
    root = group_root()
    key = pack("<II", 77, 0x0A000001) + bytes(36)
    with RawMap("cgroup_array", 4, 4, 1) as groups:
        fd = os.open(root, os.O_RDONLY)
        groups.update(bytes(4), pack("<I", fd))
        os.close(fd)
        found, _ = run(
            TC,
            [call.skb_set_tunnel_key(r6, key, None, 0), keep(0), call.skb_get_tunnel_key(r6, fp - 44, 44, 0), keep(1)],
            [ldxw(r0, fp, -44), keep(2), call.skb_set_tunnel_opt(r6, b"\1\2\3\4\5\6\7\0", None), keep(3)],
            [call.skb_get_tunnel_opt(r6, fp - 64, 8), keep(4), call.skb_get_xfrm_state(r6, 0, fp - 64, 28, 0), keep(5)],
            [call.get_cgroup_classid(r6), keep(6), call.get_route_realm(r6), keep(7)],
            [call.skb_under_cgroup(r6, groups, 0), keep(8), call.current_task_under_cgroup(groups, 0), keep(9)],
            [call.skb_cgroup_id(r6), keep(10), call.skb_ancestor_cgroup_id(r6, 0), keep(11)],
            [call.skb_cgroup_classid(r6), keep(12), call.get_socket_cookie(r6), keep(13)],
            [
                call.get_socket_uid(r6),
                keep(14),
                call.get_netns_cookie(r6),
                keep(15),
                call.get_netns_cookie(None),
                keep(16),
            ],
        )
    assert found[0] == found[1] == 0, found
    assert found[2] == 77
    assert found[3] == 0
    assert found[4] == 8
    assert signed(found[5]) == -22  # not of IPsec
    assert found[6:8] == [0, 0]
    assert found[8:12] == [1, 1, own_group(), 1]
    assert found[12] == 0
    assert found[13] > 0
    assert found[15] > 0
    assert found[16] > 0


@executes("redirect", "redirect_neigh", "redirect_peer", "clone_redirect", "fib_lookup", "check_mtu")
def routes():
    # struct bpf_fib_lookup: family, l4_protocol, ports, length, interface, tos, source, target …
    lookup = pack("<BBHHHII", 2, 17, 0, 0, 0, IFINDEX_LO, 0) + socket.inet_aton("127.0.0.1") + bytes(12)
    lookup += socket.inet_aton("127.0.0.1") + bytes(28)
    assert len(lookup) == 64
    stored = [
        [const(r0, int.from_bytes(lookup[at : at + 8], "little")), stxdw(fp, at - 64, r0)] for at in range(0, 64, 8)
    ]
    found, _ = run(
        TC,
        [call.redirect(IFINDEX_LO, 0), keep(0), call.redirect_neigh(IFINDEX_LO, None, 0, 0), keep(1)],
        [call.redirect_peer(IFINDEX_LO, 0), keep(2), call.clone_redirect(r6, IFINDEX_LO, 1), keep(3)],
        [stored, call.fib_lookup(r6, fp - 64, 64, 0), keep(4)],
        [stw(fp, -4, 0), call.check_mtu(r6, IFINDEX_LO, fp - 4, 0, 0), keep(5), ldxw(r0, fp, -4), keep(6)],
    )
    assert found[:3] == [7, 7, 7]  # TC_ACT_REDIRECT
    assert found[3] == 0
    assert found[4] == 5  # BPF_FIB_LKUP_RET_NOT_FWDED: it is for this machine
    assert found[5:7] == [0, 65536]


@executes(
    "xdp_adjust_head", "xdp_adjust_meta", "xdp_get_buff_len", "xdp_adjust_tail", "xdp_load_bytes", "xdp_store_bytes"
)
def xdp_shapes():
    found, ran = run(
        XDP,
        [call.xdp_adjust_meta(r6, -8), keep(0), call.xdp_adjust_meta(r6, 8), keep(1)],
        [call.xdp_load_bytes(r6, 4, fp - 8, 8), keep(2), ldxdw(r0, fp, -8), keep(3)],
        [call.xdp_store_bytes(r6, 0, b"\xff\xee\xdd", None), keep(4)],
        [call.xdp_adjust_head(r6, -10), keep(5), call.xdp_adjust_tail(r6, -5), keep(6)],
        [call.xdp_store_bytes(r6, 0, bytes(10), None), keep(7), call.xdp_get_buff_len(r6), keep(8)],
    )
    assert found[:3] == [0, 0, 0]
    assert found[3].to_bytes(8, "little") == PACKET[4:12]
    assert found[4:9] == [0, 0, 0, 0, len(PACKET) + 5]
    assert ran.data == bytes(10) + b"\xff\xee\xdd" + PACKET[3:-5]


@executes("lwt_push_encap")
def tunnels():
    header = IPV4[:2] + b"\0\x14" + IPV4[4:]
    found, _ = run(Setting("lwt_xmit"), call.lwt_push_encap(r6, 2, header, None), keep(0))
    assert signed(found[0]) == -22  # the packet of a test run has no route


@executes(
    *("tcp_raw_gen_syncookie_ipv4", "tcp_raw_check_syncookie_ipv4"),
    *("tcp_raw_gen_syncookie_ipv6", "tcp_raw_check_syncookie_ipv6"),
)
def cookies():
    ip = bytes.fromhex("450000280001000040060000 0a000001 0a000002".replace(" ", ""))
    ip6 = bytes.fromhex("6000000000140640") + bytes(15) + b"\1" + bytes(15) + b"\2"
    syn = bytes.fromhex("04d2 0050 00000001 00000000 5002 2000 0000 0000".replace(" ", ""))
    ack = bytes.fromhex("04d2 0050 00000002 00000000 5010 2000 0000 0000".replace(" ", ""))
    later = [[const(r0, int.from_bytes(ack[at : at + 4], "little")), stxw(fp, at - 24, r0)] for at in range(0, 20, 4)]
    # what is acknowledged is the cookie, which the lower 32 bits are, plus one
    answer = [mov32(r7, r0), later, add32(r7, 1), be32(r7), stxw(fp, -24 + 8, r7)]
    found, _ = run(
        TC,
        [call.tcp_raw_gen_syncookie_ipv4(ip, syn, None), keep(0), answer],
        [call.tcp_raw_check_syncookie_ipv4(ip, fp - 24), keep(1)],
        [call.tcp_raw_gen_syncookie_ipv6(ip6, syn, None), keep(2), answer],
        [call.tcp_raw_check_syncookie_ipv6(ip6, fp - 24), keep(3)],
    )
    assert signed(found[0]) > 0
    assert signed(found[2]) > 0
    assert (found[1], found[3]) == (0, 0)
