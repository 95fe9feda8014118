"""Keys of sockets, from every context that has them: real connections, judged by getsockname and getpeername."""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import pack
from tempfile import mkdtemp

import pytest

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import sockets

MAP_CREATE, MAP_UPDATE_ELEM, PROG_ATTACH, PROG_DETACH = 0, 2, 8, 9
SOCKMAP = 15
CGROUP_SOCK_OPS, SK_SKB_STREAM_VERDICT, SK_MSG_VERDICT = 3, 5, 7
ACTIVE_ESTABLISHED = 4  # BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB

FAMILIES = {
    "ipv4": (socket.AF_INET, "127.0.0.1", sockets.key4, sockets.Key4),
    "ipv6": (socket.AF_INET6, "::1", sockets.key6, sockets.Key6),
}
families = pytest.mark.parametrize("family", FAMILIES)
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(321, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@contextmanager
def connected(family):
    """A client and the server's end of its connection."""
    kind, host, _, _ = FAMILIES[family]
    with socket.socket(kind) as listener:
        listener.bind((host, 0))
        listener.listen()
        with socket.socket(kind) as client:
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            with server:
                server.settimeout(5)
                yield client, server


@contextmanager
def attached(program, target, kind):
    attributes = pack("=IIII", target, program.fileno(), kind, 0)
    bpf(PROG_ATTACH, attributes)
    try:
        yield
    finally:
        bpf(PROG_DETACH, attributes)


@contextmanager
def sockmap(of):
    fd = bpf(MAP_CREATE, pack("=IIIII", SOCKMAP, 4, 4, 2, 0))
    try:
        yield fd, lambda: put(fd, of)
    finally:
        os.close(fd)


def put(fd, of):
    key, value = ctypes.create_string_buffer(pack("=I", 0)), ctypes.create_string_buffer(pack("=I", of.fileno()))
    bpf(MAP_UPDATE_ELEM, pack("=IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0))


def program(family, kind, *before, result=1):
    """One that keeps the key of what r6 points to as the one value of the map "found"."""
    _, _, key, layout = FAMILIES[family]
    place, found = fp - 48, fb.MapSpec("array", value=layout, max_entries=1, name="found")
    return [
        [mov(r6, r1), before, key(r6, place, kind), ld_map_value(r7, found, 0)],
        [(ldxw(r0, fp, place.offset + at), stxw(r7, at, r0)) for at in range(0, layout.size, 4)],
        [label("out"), mov(r0, result)],
    ]


def expected(family, of):
    kind, _, _, layout = FAMILIES[family]
    (remote, remote_port, *_), (local, local_port, *_) = of.getpeername(), of.getsockname()
    return layout(
        remote_ip=socket.inet_pton(kind, remote),
        local_ip=socket.inet_pton(kind, local),
        remote_port=remote_port,
        local_port=local_port,
    )


@families
def test_of_received_data(family):
    code = assemble(program(family, "sk_skb"), exit_())
    with fb.ProgramSpec("sk_skb", code).load() as loaded, connected(family) as (client, server):
        with sockmap(server) as (fd, add_it), attached(loaded, fd, SK_SKB_STREAM_VERDICT):
            add_it()
            client.sendall(b"data")
            assert server.recv(4) == b"data"
            assert loaded.maps["found"][0] == expected(family, server)


@families
def test_of_sent_data(family):
    code = assemble(program(family, "sk_msg"), exit_())
    with fb.ProgramSpec("sk_msg", code).load() as loaded, connected(family) as (client, server):
        with sockmap(client) as (fd, add_it), attached(loaded, fd, SK_MSG_VERDICT):
            add_it()
            client.sendall(b"data")
            assert server.recv(4) == b"data"
            assert loaded.maps["found"][0] == expected(family, client)


@contextmanager
def cgroup():
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    place = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    mounted = Path(mkdtemp()) if place is None else None
    if mounted:
        assert libc.mount(b"none", bytes(mounted), b"cgroup2", 0, None) == 0, os.strerror(ctypes.get_errno())
    group = (place or mounted) / f"fastbpf-test-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()
        if mounted:
            libc.umount2(bytes(mounted), 0)
            mounted.rmdir()


@families
def test_of_an_event_of_a_socket(family):
    code = assemble(
        program(family, "sock_ops", ldxw(r0, r6, ctx.bpf_sock_ops.op), jne(r0, ACTIVE_ESTABLISHED, "out")), exit_()
    )
    with fb.ProgramSpec("sock_ops", code).load() as loaded, cgroup() as group:
        home = Path("/proc/self/cgroup").read_text()
        directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with attached(loaded, directory, CGROUP_SOCK_OPS), connected_within(group, family) as names:
                found = loaded.maps["found"][0]
        finally:
            os.close(directory)
        assert Path("/proc/self/cgroup").read_text() == home
    assert found == names


@contextmanager
def connected_within(group, family):
    """What the key of a connection must be that a child process, which belongs to the group, has made."""
    kind, host, _, layout = FAMILIES[family]
    with socket.socket(kind) as listener:
        listener.bind((host, 0))
        listener.listen()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            with suppress(BaseException):
                os.close(writing)
                (group / "cgroup.procs").write_text(str(os.getpid()))
                client = socket.socket(kind)
                client.connect(listener.getsockname())
                os.read(reading, 1)
            os._exit(0)
        os.close(reading)
        listener.settimeout(5)
        try:
            server, _ = listener.accept()
            with server:
                one = expected(family, server)
                yield layout(
                    remote_ip=one.local_ip,
                    local_ip=one.remote_ip,
                    remote_port=one.local_port,
                    local_port=one.remote_port,
                )
        finally:
            os.close(writing)
            os.waitpid(child, 0)


@families
def test_of_a_socket(family):
    # a packet program looks the server's end up, as if one of its packets had come
    with connected(family) as (_, server):
        kind = FAMILIES[family][0]
        (remote, remote_port, *_), (local, local_port, *_) = server.getpeername(), server.getsockname()
        addresses = socket.inet_pton(kind, remote) + socket.inet_pton(kind, local)
        wanted = addresses + pack("!HH", remote_port, local_port)
        tuples = [stw(fp, -88 + at, int.from_bytes(wanted[at : at + 4], "little")) for at in range(0, len(wanted), 4)]
        search = call.sk_lookup_tcp(r6, fp - 88, len(wanted), 0xFFFF_FFFF_FFFF_FFFF, 0)
        code = assemble(
            program(family, "sock", tuples, search, jeq(r0, 0, "none"), mov(r6, r0)),
            [call.sk_release(r6), mov(r0, 1), exit_(), label("none"), mov(r0, 0), exit_()],
        )
        with fb.ProgramSpec("sched_cls", code).load() as loaded:
            assert loaded.test_run(bytes(64)).retval == 1
            assert loaded.maps["found"][0] == expected(family, server)
