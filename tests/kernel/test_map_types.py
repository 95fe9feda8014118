"""Every type of map that the kernel makes: what goes in comes out, and programs find it; rows of docs/maps.md."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import socket
import subprocess
import time
from collections import deque
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.calls.running import attached, group_root
from tests.kernel.raw_bpf import MAP_TYPES, Setting, kernel_btf, loaded, perf_event, run_once

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.maps import possible_cpus
from fastbpf.maps.types import TYPES

ONE = fb.MapSpec("array", value=fb.u32, max_entries=1)
DESCRIBED = {
    **{kind: {"value": fb.u64, "max_entries": 3} for kind in ("array", "percpu_array", "queue", "stack")},
    **{
        kind: {"key": fb.u32, "value": fb.u64, "max_entries": 4 * possible_cpus()}
        for kind in ("hash", "lru_hash", "percpu_hash", "lru_percpu_hash", "lpm_trie")
    },
    "bloom_filter": {"value": fb.u64, "max_entries": 100},
    "stack_trace": {"value": fb.u64[4], "max_entries": 3},
    "array_of_maps": {"inner": ONE, "max_entries": 2},
    "hash_of_maps": {"key": fb.u16, "inner": ONE, "max_entries": 2},
    "sockhash": {"key": fb.u16, "max_entries": 2},
    **{kind: {"max_entries": 4096} for kind in ("ringbuf", "user_ringbuf")},
    "arena": {"max_entries": 2},
    **{kind: {"value": fb.u64} for kind in ("sk_storage", "task_storage", "inode_storage", "cgrp_storage")},
    **{kind: {"value": fb.u64} for kind in ("cgroup_storage", "percpu_cgroup_storage")},
}


def made(kind, **more):
    return fb.MapSpec(kind, **{**DESCRIBED.get(kind, {"max_entries": 2}), **more}).create()


@pytest.mark.parametrize("kind", TYPES)
def test_the_kernel_makes_it(kind):
    with made(kind, name="every_type") as map:
        told = Path(f"/proc/self/fdinfo/{map.fileno()}").read_text()
        assert int(re.search(r"map_type:\t(\d+)", told)[1]) == MAP_TYPES.index(kind)
        assert map.info.name == "every_type"
        # and whoever finds it, finds the same
        with fb.Map.from_fd(map.fileno()) as found:
            assert (found.spec.type, found.id) == (kind, map.id)
            for what in ("key", "value"):
                mine, theirs = getattr(map.spec, what), getattr(found.spec, what)
                assert getattr(mine, "size", 0) == getattr(theirs, "size", 0)


def test_there_is_no_other_type():
    """But for two, of which docs/maps.md says why not."""
    named, _ = kernel_btf()
    numbers = {one["name"]: one["val"] for one in named["ENUM", "bpf_map_type"]["values"]}
    theirs = {number for name, number in numbers.items() if name not in {"BPF_MAP_TYPE_UNSPEC", "__MAX_BPF_MAP_TYPE"}}
    assert theirs - set(TYPES.values()) <= {MAP_TYPES.index("struct_ops"), MAP_TYPES.index("insn_array")}


# -- networks ----------------------------------------------------------------------------------------------------------


def networks(kind, bits):
    return st.builds(
        lambda number, length: kind((number, length), strict=False), st.integers(0, 2**bits - 1), st.integers(0, bits)
    )


v4, v6 = networks(ipaddress.IPv4Network, 32), networks(ipaddress.IPv6Network, 128)


def longest(model, address):
    of = [one for one in model if address in one]
    return model[max(of, key=lambda one: one.prefixlen)] if of else None


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([(fb.ipv4, v4), (fb.ipv6, v6)]))
def test_the_longest_network_that_holds_an_address(data, which):
    kind, networks = which
    model = {}
    with fb.MapSpec("lpm_trie", key=kind, value=fb.u32, max_entries=100).create() as map:
        for n, network in enumerate(data.draw(st.lists(networks, max_size=15))):
            map[str(network) if n % 2 else network] = model[network] = n
        assert {ipaddress.ip_network(key): value for key, value in map.items()} == model
        for network in data.draw(st.lists(networks, max_size=5)) + list(model):
            for address in (network[0], network[-1]):
                assert map.get(str(address)) == longest(model, address)
                assert (address in map) == (longest(model, address) is not None)
        for network in list(model)[::2]:
            del map[network], model[network]
        assert {ipaddress.ip_network(key) for key in map} == set(model)


def test_what_is_no_network():
    with fb.MapSpec("lpm_trie", key=fb.ipv4, value=fb.u32, max_entries=1).create() as map:
        with pytest.raises(fb.LayoutError, match=r"bits after the first 8; write '10.0.0.0/8'"):
            map["10.1.0.0/8"] = 1
        for wrong in ("ten", "10.0.0.0/33", "::/0", None, True):
            with pytest.raises(fb.LayoutError):
                map[wrong] = 1
        map["10.0.0.0/8"] = 1
        with pytest.raises(fb.KernelError, match="is full .* 1 entries"):
            map["11.0.0.0/8"] = 1
    with fb.MapSpec("lpm_trie", key=fb.raw[3], value=fb.u32, max_entries=5).create() as map:
        map[b"ab", 12] = 7
        map[b"abc"] = 8
        assert map[b"abd"] == 7
        assert dict(map) == {(b"ab\0", 12): 7, (b"abc", 24): 8}
        with pytest.raises(fb.LayoutError, match="the first 0 to 24 bits"):
            map[b"abc", 25] = 1


def test_a_program_asks_the_trie():
    with fb.MapSpec("lpm_trie", key=fb.ipv4, value=fb.u32, max_entries=5, name="nets").create() as map:
        map["10.0.0.0/8"] = 1
        map["10.2.0.0/16"] = 2
        code = assemble(
            stw(fp, -8, 32),
            stw(fp, -4, int.from_bytes(socket.inet_aton("10.2.3.4"), "little")),
            call.map_lookup_elem(map, fp - 8),
            jeq(r0, 0, "out"),
            ldxw(r0, r0, 0),
            label("out"),
            exit_(),
        )
        with fb.ProgramSpec("socket_filter", code).load() as program:
            assert program.test_run(bytes(64)).retval == 2


# -- without keys ------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["queue", "stack"]), st.lists(st.none() | st.integers(0, 2**64 - 1), max_size=30))
def test_queues_and_stacks_are_deques(kind, steps):
    model = deque()
    with fb.MapSpec(kind, value=fb.u64, max_entries=5, name="five").create() as map:
        for value in steps:
            if value is not None:
                if len(model) == 5:
                    with pytest.raises(fb.KernelError, match="five.* is full .* 5 entries") as full:
                        map.push(value)
                    assert full.value.errno == errno.E2BIG
                else:
                    map.push(value)
                    model.append(value)
            elif model:
                take = model.popleft if kind == "queue" else model.pop
                next_one = model[0] if kind == "queue" else model[-1]
                assert (map.peek(), map.pop()) == (next_one, take())
            else:
                assert map.pop(default=None) is None
                for empty in (map.pop, map.peek):
                    with pytest.raises(IndexError, match="five.* is empty"):
                        empty()
        for wrong in (lambda: map[0], lambda: list(map), lambda: map.__delitem__(0), lambda: 0 in map):
            with pytest.raises(fb.LayoutError, match="five.* has no keys: push, pop and peek"):
                wrong()


@pytest.mark.parametrize("kind", ["queue", "stack"])
def test_a_program_and_we_share_a_queue(kind):
    with fb.MapSpec(kind, value=fb.u64, max_entries=5).create() as map:
        code = assemble(
            stdw(fp, -8, 0),
            call.map_pop_elem(map, fp - 8),
            ldxdw(r1, fp, -8),
            add(r1, 100),
            stxdw(fp, -8, r1),
            call.map_push_elem(map, fp - 8, 0),
            mov(r0, 0),
            exit_(),
        )
        map.push(1)
        map.push(2)
        with fb.ProgramSpec("socket_filter", code).load() as program:
            program.test_run(bytes(64))
        assert [map.pop(), map.pop()] == ([2, 101] if kind == "queue" else [102, 1])


def test_other_maps_have_no_ends():
    with ONE.create() as map:
        for wrong in (lambda: map.push(1), map.peek, lambda: map.add(1)):
            with pytest.raises(fb.LayoutError, match="has no (push|peek|add): .* maps have it"):
                wrong()


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 2**32 - 1), max_size=50), st.integers(0, 15))
def test_a_filter_forgets_nothing(values, hashes):
    with fb.MapSpec("bloom_filter", value=fb.u32, max_entries=100, map_extra=hashes).create() as map:
        assert map.info.map_extra == hashes
        for value in values:
            map.add(value)
        assert all(value in map for value in values)
        if not values:
            assert not any(value in map for value in range(100))


def test_a_filter_knows_most_strangers_as_the_program_does():
    with fb.MapSpec("bloom_filter", value=fb.u32, max_entries=1000, map_extra=5).create() as map:
        for value in range(0, 1000, 2):
            map.add(value)
        strangers = {value for value in range(1, 2000, 2) if value in map}
        assert len(strangers) < 200
        peek = [stxw(fp, -4, r7), call.map_peek_elem(map, fp - 4)]
        code = assemble(ldxw(r7, r1, ctx.sk_buff.len), sub(r7, 64), *peek, neg(r0), exit_())
        with fb.ProgramSpec("socket_filter", code).load() as program:
            for value in range(20):
                missing = program.test_run(bytes(64 + value + 14)).retval == errno.ENOENT
                assert missing == (value not in map)
        with pytest.raises(fb.LayoutError, match="has no keys: add, and ask with `in`"):
            map[1]


# -- of the kernel's objects -------------------------------------------------------------------------------------------


def test_hashes_of_maps():
    inner = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=5)
    with fb.MapSpec("hash_of_maps", key=fb.u16, inner=inner, max_entries=2, name="outer").create() as outer:
        with inner.create() as one, inner.create() as two, ONE.create() as other:
            outer[7], outer[9] = one, two
            assert dict(outer) == {7: one.id, 9: two.id}
            with pytest.raises(fb.KernelError, match="all its maps have one type"):
                outer[7] = other
            code = assemble(
                sth(fp, -2, 9),
                call.map_lookup_elem(outer, fp - 2),
                jeq(r0, 0, "out"),
                mov(r6, r0),
                stw(fp, -8, 5),
                stdw(fp, -16, 77),
                call.map_update_elem(r6, fp - 8, fp - 16, 0),
                label("out"),
                mov(r0, 0),
                exit_(),
            )
            with fb.ProgramSpec("socket_filter", code).load() as program:
                program.test_run(bytes(64))
            assert (dict(one), dict(two)) == ({}, {5: 77})
            assert outer.pop(7) == one.id
            assert dict(outer) == {9: two.id}


@contextlib.contextmanager
def own_group():
    group = Path(group_root(), f"fastbpf-maps-{os.getpid()}")
    group.mkdir()
    fd = os.open(group, os.O_RDONLY)
    try:
        yield group, fd
    finally:
        os.close(fd)
        group.rmdir()


def test_arrays_of_cgroups():
    with own_group() as (_, mine), made("cgroup_array") as map:
        root = os.open(group_root(), os.O_RDONLY)
        map[0], map[1] = root, mine
        os.close(root)
        for index, under in ((0, 1), (1, 0)):
            with fb.ProgramSpec(
                "raw_tracepoint", assemble(call.current_task_under_cgroup(map, index), exit_())
            ).load() as p:
                assert p.test_run().retval == under
        with pytest.raises(fb.KernelError, match="the kernel does not tell what is in"):
            map[0]
        del map[1]
        with pytest.raises(fb.KernelError, match="is no descriptor of what") as bad:
            map[1] = 10**6
        assert bad.value.errno == errno.EBADF


def cookie(one):
    return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, 57, 8), "little")  # SO_COOKIE


@contextlib.contextmanager
def connection():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        taken, _ = server.accept()
        with taken:
            yield server, client


@pytest.mark.parametrize("kind", ["sockmap", "sockhash", "reuseport_sockarray"])
def test_sockets_read_as_their_cookies(kind):
    with contextlib.ExitStack() as stack:
        _, one = stack.enter_context(connection())
        if kind == "reuseport_sockarray":
            one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", 0))
        map = stack.enter_context(made(kind))
        map[1] = one
        assert dict(map) == {1: cookie(one)}
        del map[1]
        assert 1 not in map
        map[1] = one.fileno()
        assert map[1] == cookie(one)
        for wrong in ("socket", None):
            with pytest.raises(fb.LayoutError, match="is a socket"):
                map[0] = wrong


def test_xdp_sockets_go_in_and_are_not_told():
    with made("xskmap") as map, socket.socket(44, socket.SOCK_RAW) as xdp:  # AF_XDP
        map[0] = xdp
        verdicts = []
        for key in (0, 1):
            with fb.ProgramSpec("xdp", assemble(call.redirect_map(map, key, 2), exit_())).load() as program:
                verdicts.append(program.test_run(bytes(64)).retval)
        assert verdicts == [4, 2]  # XDP_REDIRECT; XDP_PASS, which is asked for where there is none
        with pytest.raises(fb.KernelError, match="does not tell what is in"):
            map[0]
        with pytest.raises(fb.LayoutError, match="is an AF_XDP socket"):
            map[0] = "socket"
        del map[0]


class Target(fb.Struct):
    number: fb.u32
    program: fb.i32


@pytest.mark.parametrize("kind", ["devmap", "devmap_hash", "cpumap"])
@pytest.mark.parametrize("value", [None, Target])
def test_where_packets_are_redirected(kind, value):
    """To an interface, or with a queue of so many packets to a CPU."""
    number = 1 if kind != "cpumap" else 192  # the loopback interface has number 1
    target = number if value is None else Target(number=number, program=-1)
    there = number if value is None else Target(number=number, program=0)
    with made(kind, value=value) as map:
        map[0] = target
        assert map[0] == there
        assert dict(map) == {0: there}
        for key, action in ((0, 4), (1, 2)):  # XDP_REDIRECT; XDP_PASS, which is asked for where there is none
            with fb.ProgramSpec("xdp", assemble(call.redirect_map(map, key, 2), exit_())).load() as program:
                assert program_verdict(program) == action
        del map[0]
        assert not map


def program_verdict(program):
    return program.test_run(bytes(64)).retval


# -- what belongs to others --------------------------------------------------------------------------------------------


def test_storage_of_sockets():
    with connection() as (server, client), made("sk_storage") as map:
        map[client] = 5
        assert (map[client], map.get(server), client in map) == (5, None, True)
        here, there = client.getsockname(), server.getsockname()
        # the program looks our end up, whose remote is the server
        place = socket.inet_aton(there[0]) + socket.inet_aton(here[0]) + pack(">HH", there[1], here[1])
        code = assemble(
            mov(r6, r1),
            call.sk_lookup_tcp(r6, place, None, (1 << 64) - 1, 0),
            jeq(r0, 0, "out"),
            mov(r7, r0),
            call.sk_storage_get(map, r7, None, 1),
            jeq(r0, 0, "none"),
            ldxdw(r1, r0, 0),
            add(r1, 100),
            stxdw(r0, 0, r1),
            label("none"),
            call.sk_release(r7),
            label("out"),
            mov(r0, 0),
            exit_(),
        )
        with fb.ProgramSpec("sched_cls", code).load() as program:
            program.test_run(bytes(64))
        assert map[client.fileno()] == 105
        del map[client]
        with pytest.raises(KeyError):
            map[client]
        with pytest.raises(fb.LayoutError, match="a key of .* is a socket"):
            map["socket"]
        with pytest.raises(fb.KernelError, match="does not tell what is in"):
            list(map)
        with Path(os.devnull).open() as file, pytest.raises(fb.KernelError) as none:
            map[file] = 1
        assert none.value.errno == errno.ENOTSOCK


def test_storage_of_tasks():
    with made("task_storage") as map, os.fdopen(os.pidfd_open(os.getpid())) as me:
        code = assemble(
            call.get_current_task_btf(),
            mov(r6, r0),
            call.task_storage_get(map, r6, None, 1),
            jeq(r0, 0, "out"),
            ldxdw(r1, r0, 0),
            add(r1, 1),
            stxdw(r0, 0, r1),
            label("out"),
            mov(r0, 0),
            exit_(),
        )
        with loaded(Setting("syscall"), code) as program:
            for _ in range(3):
                run_once(program)
        assert map[me] == 3
        map[me] = 10
        assert map.pop(me) == 10
        assert me not in map


def test_storage_of_inodes(tmp_path):
    """Of which only LSM programs speak, which this machine does not run."""
    (tmp_path / "one").touch()
    with made("inode_storage") as map, (tmp_path / "one").open() as file, (tmp_path / "one").open() as again:
        map[file] = 7
        assert map[again] == 7
        del map[again]
        assert file not in map


def test_storage_of_cgroups():
    with made("cgrp_storage") as map, own_group() as (group, fd):
        number = group.stat().st_ino
        code = assemble(
            const(r1, number),
            call_kfunc("bpf_cgroup_from_id"),
            jeq(r0, 0, "out"),
            mov(r7, r0),
            call.cgrp_storage_get(map, r7, None, 1),
            jeq(r0, 0, "none"),
            stdw(r0, 0, 21),
            label("none"),
            mov(r1, r7),
            call_kfunc("bpf_cgroup_release"),
            label("out"),
            mov(r0, 0),
            exit_(),
        )
        with loaded(Setting("syscall"), code) as program:
            run_once(program)
        assert map[fd] == 21
        map[fd] = 22
        assert map.setdefault(fd, 3) == 22
        del map[fd]
        assert fd not in map


@pytest.mark.parametrize("kind", ["cgroup_storage", "percpu_cgroup_storage"])
def test_storage_of_programs_on_cgroups(kind):
    with made(kind) as map, own_group() as (group, fd):
        code = assemble(call.get_local_storage(map, 0), mov(r1, 1), atomic_add(r0, 0, r1), mov(r0, 1), exit_())
        with loaded(Setting("cgroup_skb"), code) as program, attached(program, fd, 0):
            number = group.stat().st_ino
            assert list(map) == [number]
            many = 1 if kind == "cgroup_storage" else [1] * possible_cpus()
            map[number] = many
            assert map[number] == many
            receive(group)
            total = map[number] if kind == "cgroup_storage" else sum(map[number])
            assert total > (1 if kind == "cgroup_storage" else possible_cpus())


def receive(group):
    """A process in the group gets a packet."""
    text = "import socket as s; a = s.socket(s.AF_INET, s.SOCK_DGRAM); a.bind(('127.0.0.1', 0)); a.settimeout(9);"
    text += "a.sendto(b'x', a.getsockname()); assert a.recv(1)"
    join = lambda: Path(group, "cgroup.procs").write_text("0")  # noqa: E731
    subprocess.run(["python3", "-S", "-E", "-c", text], check=True, preexec_fn=join)
    wait_until(lambda: not Path(group, "cgroup.procs").read_text())


def wait_until(done):
    while not done():
        time.sleep(0.01)


# -- sizes -------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 512), st.integers(1, 65536), st.sampled_from(["hash", "percpu_hash", "lru_hash"]), st.randoms())
def test_keys_and_values_of_any_size(key_size, value_size, kind, random):
    per_cpu = kind == "percpu_hash"
    value_size = min(value_size, 32768) if per_cpu else value_size  # PCPU_MIN_UNIT_SIZE
    spec = fb.MapSpec(kind, key=fb.raw[key_size], value=fb.raw[value_size], max_entries=8)
    with spec.create() as map:
        model = {}
        for _ in range(3):
            many = [random.randbytes(value_size) for _ in range(possible_cpus())]
            key, value = random.randbytes(key_size), many if per_cpu else many[0]
            map[key] = model[key] = value
        assert dict(map) == model
        for key, value in model.items():
            assert map.pop(key) == value
        assert not map


# -- flags -------------------------------------------------------------------------------------------------------------


def test_flags_of_writing():
    with fb.MapSpec("hash", key=fb.u32, value=fb.u32, max_entries=5, name="flagged").create() as map:
        map.update({1: 10}, flags="new")
        with pytest.raises(fb.KernelError, match="flagged.* has 1 already") as there:
            map.update([(1, 11)], flags="new")
        assert there.value.errno == errno.EEXIST
        with pytest.raises(KeyError):
            map.update({2: 20}, flags="existing")
        map.update({1: 12}, flags="existing")
        map.update([(3, 30)])
        assert dict(map) == {1: 12, 3: 30}
        with pytest.raises(fb.LayoutError, match="flags='never': there are 'any', 'new', 'existing'"):
            map.update({}, flags="never")
        assert map.setdefault(1, 5) == 12
        assert map.setdefault(4, 5) == 5
        assert map.pop(4) == 5
        assert map.pop(4, "none") == "none"
        with pytest.raises(KeyError):
            map.pop(4)


def test_a_tuple_is_a_record():
    with fb.MapSpec("hash", key=Target, value=Target, max_entries=5).create() as map:
        map[1, -1] = (2, -2)
        assert [(one.number, one.program) for one in map] == [(1, -1)]
        assert map[Target(number=1, program=-1)] == Target(number=2, program=-2)
        with pytest.raises(fb.LayoutError, match="Target.program: 4294967295 does not fit"):
            map[1, 2**32 - 1] = (1, 1)
        with pytest.raises(fb.LayoutError, match=r"nor a tuple of its fields .number, program"):
            map[1, 2, 3] = (1, 1)


def test_perf_events_go_in_by_their_descriptor():
    event = perf_event(1, 0)  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK
    with made("perf_event_array") as map:
        map[0] = event
        empty = []
        for index in (0, 1):
            with fb.ProgramSpec(
                "raw_tracepoint", assemble(call.perf_event_read(map, index), exit_())
            ).load() as program:
                empty.append(program.test_run().retval == 2**32 - errno.ENOENT)
        assert empty == [False, True]
        del map[0]
        with pytest.raises(KeyError):
            del map[0]
    os.close(event)


def test_a_numa_node():
    with fb.MapSpec("hash", key=fb.u32, value=fb.u32, max_entries=5, numa_node=0).create() as map:
        assert map.info.flags & 1 << 2
        map[1] = 1
    with pytest.raises(fb.KernelError) as none:
        fb.MapSpec("hash", key=fb.u32, value=fb.u32, max_entries=5, numa_node=1000).create()
    assert none.value.errno == errno.EINVAL


# -- docs/maps.md ------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs/maps.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
TOLD = {row[0].strip("`"): [cell == "yes" for cell in row[3:7]] for row in ROWS if len(row) == 8}
OTHERS = {name for row in ROWS if len(row) == 3 for name in re.findall(r"`(\w+)`", row[0])}


def test_the_page_has_a_row_for_each_type():
    assert (TOLD.keys() | OTHERS, TOLD.keys() & OTHERS) == (set(TYPES), set())


def element(kind, map, stack):
    """A key and a value that go into such a map."""
    enter = stack.enter_context
    if kind == "stack_trace":
        enter(fb.ProgramSpec("raw_tracepoint", assemble(call.get_stackid(r1, map, 0), exit_())).load()).test_run()
        return next(iter(map)), [1]
    if kind.endswith("cgroup_storage"):
        group, fd = enter(own_group())
        code = assemble(call.get_local_storage(map, 0), mov(r0, 1), exit_())
        enter(attached(enter(loaded(Setting("cgroup_skb"), code)), fd, 0))
        return group.stat().st_ino, [7] * possible_cpus() if "percpu" in kind else 7
    if kind == "prog_array":
        code = assemble(call.tail_call(r1, map, 0), mov(r0, 0), exit_())
        return 0, enter(fb.ProgramSpec("socket_filter", code).load())
    if kind == "perf_event_array":
        event = perf_event(1, 0)
        stack.callback(os.close, event)
        return 0, event
    if kind in {"cgroup_array", "cgrp_storage"}:
        _, fd = enter(own_group())
        return (0, fd) if kind == "cgroup_array" else (fd, 7)
    if kind.endswith("of_maps"):
        return 0, enter(ONE.create())
    if kind in {"sockmap", "sockhash"}:
        return 0, enter(connection())[1]
    if kind == "reuseport_sockarray":
        one = enter(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", 0))
        return 0, one
    if kind == "xskmap":
        return 0, enter(socket.socket(44, socket.SOCK_RAW))
    if kind == "sk_storage":
        return enter(socket.socket()), 7
    if kind == "task_storage":
        return enter(os.fdopen(os.pidfd_open(os.getpid()))), 7
    if kind == "inode_storage":
        return enter(Path(__file__).open()), 7
    if "map" in kind:
        return 0, 1
    return 0, [7] * possible_cpus() if "percpu" in kind else 7


def works(do):
    try:
        do()
    except (fb.KernelError, fb.LayoutError):
        return False
    return True


@pytest.mark.parametrize("kind", TOLD)
def test_the_page_says_what_works(kind):
    with made(kind, **({"key": fb.u32} if kind == "lpm_trie" else {})) as map, contextlib.ExitStack() as stack:
        key, value = element(kind, map, stack)
        wrote = works(lambda: map.__setitem__(key, value))
        read = works(lambda: map[key])
        walked = works(lambda: list(map)) and ((key, 32) if kind == "lpm_trie" else key) in list(map)
        deleted = works(lambda: map.__delitem__(key))
        assert [read, wrote, deleted, walked] == TOLD[kind]
