"""A process in a control group of its own, with programs on it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from struct import pack

from tests.kernel.calls.running import *
from tests.kernel.raw_bpf import *

from fastbpf.asm import *

# What a process does in a control group of its own, which programs are on.
CHILD = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
    taken, _ = server.accept()
    client.sendall(b"x")
    assert taken.recv(1) == b"x"
    taken.close()
    try:
        client.setsockopt(socket.SOL_SOCKET, 4711, 1)
    except OSError as error:
        print(error.errno)
path = "/proc/sys/net/ipv4/ip_default_ttl"
with open(path, "w") as file:
    file.write("99")
with open(path) as file:
    print(file.read().strip())
"""


def in_group(*programs):
    """What the process prints; `programs` are settings with code."""
    root = group_root()
    group = Path(root, f"fastbpf-calls-{os.getpid()}")
    group.mkdir()
    forget()
    try:
        with contextlib.ExitStack() as stack:
            fd = os.open(group, os.O_RDONLY)
            stack.callback(os.close, fd)
            for setting, parts in programs:
                stack.enter_context(attached(stack.enter_context(program(setting, parts)), fd, setting.attach))
            done = subprocess.run(
                [sys.executable, "-S", "-E", "-c", CHILD],
                capture_output=True,
                text=True,
                check=False,
                preexec_fn=lambda: Path(group, "cgroup.procs").write_text("0"),
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.split()
    finally:
        group.rmdir()


@executes(
    *("setsockopt", "getsockopt", "sock_map_update", "sock_hash_update", "sock_ops_cb_flags_set", "load_hdr_opt"),
    *("store_hdr_opt", "reserve_hdr_opt", "bind", "sysctl_get_name", "sysctl_get_current_value"),
    *("sysctl_get_new_value", "sysctl_set_new_value", "get_retval", "set_retval"),
)
def group():
    ops = ctx.bpf_sock_ops
    with RawMap("sockmap", 4, 8, 1) as map, RawMap("sockhash", 4, 8, 1) as hashed:
        on_sockets = [
            [ldxw(r7, r6, ops.op), stdw(fp, -8, 0), stw(fp, -12, 3), stdw(fp, -24, 0), stw(fp, -24, 2)],
            # connects: ask to write options of TCP
            [jne(r7, 3, "not connecting"), call.sock_ops_cb_flags_set(r6, 1 << 6), keep(0), label("not connecting")],
            [jne(r7, 4, "not connected"), call.sock_map_update(r6, map, fp - 8, 0), keep(1)],
            [call.sock_hash_update(r6, hashed, fp - 8, 0), keep(2)],
            [call.setsockopt(r6, socket.SOL_SOCKET, socket.SO_PRIORITY, fp - 12, 4), keep(3), stw(fp, -12, 0)],
            [
                call.getsockopt(r6, socket.SOL_SOCKET, socket.SO_PRIORITY, fp - 12, 4),
                keep(4),
                ldxw(r0, fp, -12),
                keep(5),
            ],
            # the option 2, the size of segments
            [call.load_hdr_opt(r6, fp - 24, 4, 0), keep(6), label("not connected")],
            [jne(r7, 14, "no length"), call.reserve_hdr_opt(r6, 4, 0), keep(7), label("no length")],
            [
                jne(r7, 15, "no option"),
                call.store_hdr_opt(r6, b"\xfd\x04\xeb\x9f", None, 0),
                keep(8),
                label("no option"),
            ],
        ]
        here = pack("<H", socket.AF_INET) + bytes(2) + socket.inet_aton("127.0.0.1") + bytes(8)
        on_addresses = [call.bind(r6, here, None), keep(9)]
        on_sysctl = [
            [ldxw(r0, r6, ctx.bpf_sysctl.write), jeq(r0, 0, "out"), [stdw(fp, at, 0) for at in range(-64, 0, 8)]],
            [call.sysctl_get_name(r6, fp - 32, 32, 1), keep(10), ldxdw(r0, fp, -32), keep(11)],
            [
                call.sysctl_get_current_value(r6, fp - 40, 8),
                keep(12),
                call.sysctl_get_new_value(r6, fp - 48, 8),
                keep(13),
            ],
            [ldxdw(r0, fp, -48), keep(14), call.sysctl_set_new_value(r6, b"77", None), keep(15)],
        ]
        on_options = [
            [ldxw(r0, r6, ctx.bpf_sockopt.optname), jne(r0, 4711, "out"), call.get_retval(), keep(16)],
            [call.set_retval(-106), keep(17), mov(r0, 0), exit_()],
        ]
        printed = in_group(
            (Setting("sock_ops", attach=3), on_sockets),
            (Setting("cgroup_sock_addr", attach=10), on_addresses),
            (Setting("cgroup_sysctl", attach=18), on_sysctl),
            (Setting("cgroup_sockopt", attach=22), on_options),
        )
    found = results()
    assert printed == ["106", "77"]
    assert found[:6] == [0, 0, 0, 0, 0, 3]
    assert found[6:10] == [4, 0, 0, 0]
    assert found[10] == len("ip_default_ttl")
    assert found[11].to_bytes(8, "little") == b"ip_defau"
    assert signed(found[12]) > 0
    assert found[13] == 2
    assert found[14].to_bytes(8, "little")[:3] == b"99\0"
    assert found[15:18] == [0, 0, 0]
