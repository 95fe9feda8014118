"""Sockets: found by programs, and with programs of ours on them."""

from __future__ import annotations

import contextlib
import socket
from struct import pack

from tests.kernel.calls.running import *
from tests.kernel.raw_bpf import *

from fastbpf.asm import *


def tuple4(client, server):
    return socket.inet_aton(client[0]) + socket.inet_aton(server[0]) + pack(">HH", client[1], server[1])


@contextlib.contextmanager
def connection():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        taken, _ = server.accept()
        with taken:
            yield server, client, taken


CURRENT = U64  # BPF_F_CURRENT_NETNS


@executes(
    *("sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp", "sk_release", "sk_fullsock", "tcp_sock", "get_listener_sock"),
    *("tcp_check_syncookie", "tcp_gen_syncookie", "sk_storage_get", "sk_storage_delete", "skc_to_tcp_sock"),
    *("skc_to_tcp6_sock", "skc_to_tcp_timewait_sock", "skc_to_tcp_request_sock", "skc_to_udp6_sock"),
    *("skc_to_unix_sock", "skc_to_mptcp_sock"),
)
def sockets():
    ip = bytes.fromhex("450000280001000040060000 7f000001 7f000001".replace(" ", ""))
    syn = bytes.fromhex("04d2 0050 00000001 00000000 5002 2000 0000 0000".replace(" ", ""))
    with connection() as (server, client, _), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        port = datagrams.getsockname()[1]
        there = tuple4(client.getsockname(), server.getsockname())
        casts = (
            "tcp_sock",
            "tcp6_sock",
            "tcp_timewait_sock",
            "tcp_request_sock",
            "udp6_sock",
            "unix_sock",
            "mptcp_sock",
        )
        with RawMap("sk_storage", 4, 4, 0, 1, types=plain_value()) as storage:
            found, _ = run(
                TC,
                # an established connection
                [call.sk_lookup_tcp(r6, there, None, CURRENT, 0), keep(0), jeq(r0, 0, "no connection"), mov(r7, r0)],
                [ldxw(r0, r7, ctx.bpf_sock.state), keep(1), call.tcp_sock(r7), jeq(r0, 0, "release")],
                [ldxw(r0, r0, ctx.bpf_tcp_sock.snd_cwnd), keep(2)],
                [[getattr(call, f"skc_to_{cast}")(r7), keep(3 + n)] for n, cast in enumerate(casts)],
                [call.sk_storage_get(storage, r7, None, 1), jeq(r0, 0, "release"), stw(r0, 0, 9)],
                [call.sk_storage_get(storage, r7, None, 0), jeq(r0, 0, "release"), ldxw(r0, r0, 0), keep(10)],
                [call.sk_storage_delete(storage, r7), keep(11)],
                [label("release"), call.sk_release(r7), keep(12), label("no connection")],
                # who listens there
                [call.skc_lookup_tcp(r6, tuple4(("127.0.0.1", 9), server.getsockname()), None, CURRENT, 0)],
                [jeq(r0, 0, "no listener"), mov(r7, r0), call.sk_fullsock(r7), jeq(r0, 0, "not full")],
                [ldxw(r0, r0, ctx.bpf_sock.state), keep(13), call.get_listener_sock(r7), keep(14)],
                [call.tcp_gen_syncookie(r7, ip, None, syn, None), keep(15)],
                [call.tcp_check_syncookie(r7, ip, None, syn, None), keep(16)],
                [label("not full"), call.sk_release(r7), label("no listener")],
                [call.sk_lookup_udp(r6, tuple4(("127.0.0.1", 9), datagrams.getsockname()), None, CURRENT, 0)],
                [jeq(r0, 0, "out"), mov(r7, r0), ldxw(r8, r7, ctx.bpf_sock.src_port), call.sk_release(r7)],
                [mov(r0, r8), keep(17)],
            )
    assert found[0] > 1 << 63
    assert found[1] == 1  # TCP_ESTABLISHED
    assert found[2] > 0
    assert [value != 0 for value in found[3:10]] == [True, False, False, False, False, False, False]
    assert found[10:13] == [9, 0, 0]
    assert found[13] == 10  # TCP_LISTEN
    assert found[14] > 1 << 63
    assert signed(found[15]) < 0  # no SYN flood
    assert signed(found[16]) < 0
    assert found[17] == port


@executes("sk_assign")
def assigned():
    # struct bpf_sk_lookup: cookie, family, protocol, remote and local address
    lookup = pack("<QII", 0, socket.AF_INET, socket.IPPROTO_TCP) + socket.inet_aton("127.0.0.1") + bytes(16)
    lookup += b"\0\0\0\0" + socket.inet_aton("127.0.0.1") + bytes(16) + pack("<II", 80, 0)
    found, _ = run(Setting("sk_lookup", attach=36), call.sk_assign(r6, None, 0), keep(0), ctx=lookup)
    assert found[0] == 0


@executes("get_local_storage", "sk_cgroup_id", "sk_ancestor_cgroup_id")
def group_sockets():
    with RawMap("cgroup_storage", 8, 8, 0) as storage, RawMap("percpu_cgroup_storage", 8, 8, 0) as percpu:
        found, _ = run(
            Setting("cgroup_skb"),
            [
                call.get_local_storage(storage, 0),
                ldxdw(r1, r0, 0),
                add(r1, 5),
                stxdw(r0, 0, r1),
                ldxdw(r0, r0, 0),
                keep(0),
            ],
            [call.get_local_storage(percpu, 0), ldxdw(r0, r0, 0), keep(1)],
            [ldxdw(r7, r6, ctx.sk_buff.sk), jeq(r7, 0, "out"), call.sk_fullsock(r7), jeq(r0, 0, "out"), mov(r7, r0)],
            [call.sk_cgroup_id(r7), keep(2), call.sk_ancestor_cgroup_id(r7, 0), keep(3), mov(r0, 1), keep(4)],
        )
    assert found[:5] == [5, 0, own_group(), 1, 1]


def put(map, *sockets):
    for place, one in enumerate(sockets):
        map.update(pack("<I", place), pack("<Q", one.fileno()))


@executes(
    *("msg_redirect_map", "msg_redirect_hash", "msg_apply_bytes", "msg_cork_bytes", "msg_pull_data", "msg_push_data"),
    *("msg_pop_data",),
)
def messages():
    with (
        connection() as (_, client, _),
        connection() as (_, other, far),
        RawMap("sockmap", 4, 8, 2) as map,
        RawMap("sockhash", 4, 8, 2) as hashed,
    ):
        forget()
        with (
            program(
                Setting("sk_msg", attach=7),
                [call.msg_pull_data(r6, 0, 4, 0), keep(0), call.msg_push_data(r6, 0, 2, 0), keep(1)],
                [call.msg_pop_data(r6, 0, 3, 0), keep(2), call.msg_apply_bytes(r6, 5), keep(3)],
                [stw(fp, -4, 1), call.msg_redirect_map(r6, map, 1, 0), keep(4)],
                [call.msg_redirect_hash(r6, hashed, fp - 4, 0), keep(5), call.msg_cork_bytes(r6, 0), keep(6)],
            ) as fd,
            attached(fd, map.fd, 7),
        ):
            put(map, client, other)
            put(hashed, client, other)
            client.sendall(b"abcdef")
            far.settimeout(5)
            received = far.recv(100)
    assert received == b"bcdef"
    # 1 is SK_PASS
    assert results()[:7] == [0, 0, 0, 0, 1, 1, 0]


@executes("sk_redirect_map", "sk_redirect_hash")
def streams():
    for kind in ("sockmap", "sockhash"):
        with (
            connection() as (_, client, taken),
            connection() as (_, other, far),
            RawMap(kind, 4, 8, 2) as map,
        ):
            redirect = (
                call.sk_redirect_map(r6, map, 1, 0) if kind == "sockmap" else call.sk_redirect_hash(r6, map, fp - 4, 0)
            )
            with (
                loaded(
                    Setting("sk_skb", attach=38),
                    assemble(noted([[mov(r6, r1), stw(fp, -4, 1), redirect, exit_()]])),
                ) as fd,
                attached(fd, map.fd, 38),
            ):
                put(map, taken, other)
                client.sendall(b"through")
                far.settimeout(5)
                assert far.recv(100) == b"through"


@executes("sk_select_reuseport")
def chosen():
    for kind in ("reuseport_sockarray", "sockmap", "sockhash"):
        with RawMap(kind, 4, 8, 2) as map, contextlib.ExitStack() as stack:
            servers = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
            for server in servers:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                server.bind(servers[0].getsockname() if server is servers[1] else ("127.0.0.1", 0))
            put(map, *servers)
            code = [mov(r6, r1), stw(fp, -4, 1), call.sk_select_reuseport(r6, map, fp - 4, 0), mov(r0, 1), exit_()]
            with loaded(Setting("sk_reuseport", attach=39), assemble(noted(code))) as fd:
                servers[0].setsockopt(socket.SOL_SOCKET, 52, fd)  # SO_ATTACH_REUSEPORT_EBPF
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for _ in range(4):
                    client.sendto(b"x", servers[0].getsockname())
            servers[1].settimeout(5)
            assert [servers[1].recv(10) for _ in range(4)] == [b"x"] * 4, kind
