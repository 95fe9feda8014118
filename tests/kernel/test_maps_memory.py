"""Maps that share their memory: arrays, arenas, global variables and atomic changes; judged by bpf(2) and programs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.objects import compiled

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.maps import loaded_maps

MMAPABLE = 1 << 10


class Pair(fb.Struct):
    count: fb.u32
    delta: fb.i64
    name: fb.char[5]


def array(value=fb.u64, entries=4, **more):
    return fb.MapSpec("array", value=value, max_entries=entries, flags=MMAPABLE, **more).create()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 95), st.binary(max_size=20)), max_size=10))
def test_memory_is_what_elements_are(writes):
    model = bytearray(4096)
    with array(fb.raw[20]) as map:
        memory = map.memory
        assert len(memory) == 4096
        for at, data in writes:
            memory[at : at + len(data)] = model[at : at + len(data)] = data
        # each value is rounded up to 8 bytes
        assert [map[n] for n in range(4)] == [model[24 * n : 24 * n + 20] for n in range(4)]
        map[2] = b"x" * 20
        assert memory[48:68] == b"x" * 20
        assert memory[90:110] == model[90:110]


OTHER = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
fd, address, size = map(int, sys.argv[1:])
got = libc.mmap(ctypes.c_void_p(address), ctypes.c_size_t(size), 3, 1, fd, ctypes.c_long(0))
assert got == address, got
print(ctypes.string_at(address + 4090, 12).decode())
ctypes.memmove(address, b"answer", 6)
"""


def test_an_arena_is_shared_with_other_processes_at_its_address():
    address = 1 << 44
    with fb.MapSpec("arena", max_entries=3, map_extra=address).create() as map:
        memory = map.memory
        size = 3 * os.sysconf("SC_PAGE_SIZE")
        assert (len(memory), map.info.map_extra) == (size, address)
        memory[4090:4102] = b"over a page."
        told = subprocess.run(
            [sys.executable, "-c", OTHER, *(str(n) for n in (map.fileno(), address, size))],
            pass_fds=[map.fileno()],
            capture_output=True,
            check=True,
        )
        assert told.stdout == b"over a page.\n"
        assert memory[0:6] == b"answer"
        with pytest.raises(fb.LayoutError, match="has no elements, but memory"):
            map[0]


def test_what_memory_refuses():
    with array() as map, fb.MapSpec("array", value=fb.u64, max_entries=1).create() as other:
        with pytest.raises(fb.LayoutError, match="shares no memory"):
            _ = other.memory
        memory = map.memory
        for wrong in (0, slice(0, 8, 2), "all"):
            with pytest.raises(fb.LayoutError, match="give a range of bytes"):
                memory[wrong]
        with pytest.raises(fb.LayoutError, match="3 bytes do not fit into 8"):
            memory[0:8] = b"abc"
        map[1] = 7
        map.freeze()
        assert map.memory[8:16] == pack("=Q", 7)
        with pytest.raises(fb.KernelError, match="can only be read") as frozen:
            map.memory[0:8] = bytes(8)
        assert frozen.value.errno == errno.EPERM


def test_a_forked_child_has_no_memory_of_ours():
    with array() as map:
        memory = map.memory
        if not (pid := os.fork()):
            try:
                _ = memory[0:8]
            except fb.LayoutError:
                os._exit(5)
            os._exit(6)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


C = """
struct point { int x; int y; };
volatile unsigned long long calls = 5;
volatile int total;
volatile struct point where = {1, -2};
volatile char label[8] = "first";
const volatile int limit = 3;
SEC("socket") int count(void *ctx) {
    calls += 1;
    total += where.x + limit;
    return label[0];
}
"""


@pytest.fixture
def loaded(tmp_path):
    with fb.Object.open(compiled(tmp_path, C)).load() as loaded:
        yield loaded


def test_variables_are_attributes(loaded):
    variables, program = loaded.variables, loaded.programs["count"]
    assert {"calls", "total", "where", "label", "limit"} <= set(dir(variables))
    assert (variables.calls, variables.total, variables.label, variables.limit) == (5, 0, "first", 3)
    assert (variables.where.x, variables.where.y) == (1, -2)
    program.test_run(bytes(64))
    assert (variables.calls, variables.total) == (6, 4)
    variables.calls = 2**64 - 1
    variables.where = type(variables.where)(x=10, y=0)
    variables.label = "zero"
    assert program.test_run(bytes(64)).retval == ord("z")
    assert (variables.calls, variables.total) == (0, 17)
    variables.total += 1
    # as bpf(2) has them
    assert loaded.maps[".bss"][0].total == 18
    assert loaded.maps[".data"].variables.label == "zero"


def test_variables_of_others_have_their_names(loaded):
    """As bpftool shows them, and as another process would open them."""
    (entry,) = json.loads(
        subprocess.run(
            ["bpftool", "-j", "map", "dump", "id", str(loaded.maps[".data"].id)], capture_output=True, check=True
        ).stdout
    )
    told = {name: value for one in entry["formatted"]["value"][".data"] for name, value in one.items()}
    assert (told["calls"], told["where"]) == (5, {"x": 1, "y": -2})
    with fb.Map.from_id(loaded.maps[".data"].id) as map:
        variables = map.variables
        assert {"calls", "where", "label"} <= set(dir(variables))
        variables.calls = 9
    assert loaded.variables.calls == 9
    with fb.Map.from_id(loaded.maps[".rodata"].id) as map:
        assert map.variables.limit == 3


def test_what_variables_refuse(loaded):
    variables = loaded.variables
    with pytest.raises(AttributeError, match="no variable 'cals'; did you mean .calls"):
        _ = variables.cals
    with pytest.raises(AttributeError):
        variables.cals = 1
    with pytest.raises(fb.LayoutError, match="total: 2147483648 does not fit into fb.i32"):
        variables.total = 2**31
    with pytest.raises(fb.KernelError, match=r"limit is a constant.* Object.load\(variables=\)"):
        variables.limit = 4
    with fb.MapSpec("hash", key=fb.u32, value=Pair, max_entries=1).create() as map:
        with pytest.raises(fb.LayoutError, match="has no variables: an array of one element"):
            _ = map.variables
    with array(fb.u64, 1) as map, pytest.raises(fb.LayoutError, match="not a Struct"):
        _ = map.variables
    with fb.MapSpec("array", value=Pair, max_entries=1).create() as map:
        map[0] = (1, 2, "x")
        assert map.variables.delta == 2
        with pytest.raises(fb.LayoutError, match="was made without BPF_F_MMAPABLE"):
            map.variables.delta = 3


ATOMIC = [("array", MMAPABLE), ("array", 0), ("hash", 0), ("lru_hash", 0)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ATOMIC), st.data())
def test_a_number_that_changes_is_as_numbers_of_numpy(which, data):
    import numpy as np

    kind, flags = which
    types = {"count": np.uint32, "delta": np.int64}
    with fb.MapSpec(kind, key=fb.u32, value=Pair, max_entries=3, flags=flags).create() as map:
        map[1] = (7, -7, "name")
        model = {"count": np.uint32(7), "delta": np.int64(-7)}
        for _ in range(data.draw(st.integers(0, 6))):
            field = data.draw(st.sampled_from(["count", "delta"]))
            amount = data.draw(st.integers(-(2**63), 2**63 - 1))
            if data.draw(st.booleans()):
                assert map.fetch_add(1, amount, field=field) == model[field]
                model[field] = np.add(model[field], np.array(amount).astype(types[field]), dtype=types[field])
            else:
                expected = data.draw(st.sampled_from([int(model[field]), 0, 7]))
                value = data.draw(st.integers(0, 2**31))
                done = map.compare_exchange(1, expected, value, field=field)
                assert done == (expected == model[field])
                model[field] = types[field](value) if done else model[field]
        assert map[1] == Pair(**{field: int(one) for field, one in model.items()}, name="name")


@pytest.mark.parametrize(("kind", "flags"), ATOMIC)
def test_nothing_is_lost_between_us_and_a_program(kind, flags):
    many = 20_000
    with fb.MapSpec(kind, key=fb.u32, value=fb.u64, max_entries=1, flags=flags).create() as map:
        map[0] = 0
        code = assemble(
            stw(fp, -4, 0),
            call.map_lookup_elem(map, fp - 4),
            jeq(r0, 0, "out"),
            mov(r1, 1),
            atomic_add(r0, 0, r1),
            label("out"),
            mov(r0, 0),
            exit_(),
        )
        with fb.ProgramSpec("socket_filter", code).load() as program, ThreadPoolExecutor(1) as pool:
            running = pool.submit(program.test_run, bytes(64), repeat=1_000_000)
            for _ in range(many):
                map.fetch_add(0)
            running.result()
        assert map[0] == 1_000_000 + many


def test_what_cannot_be_changed_atomically():
    with fb.MapSpec("percpu_array", value=fb.u64, max_entries=1).create() as map:
        with pytest.raises(fb.LayoutError, match="percpu_array; atomic changes are of array, hash, lru_hash maps"):
            map.fetch_add(0)
    for flags in (0, MMAPABLE):
        with fb.MapSpec("array", value=Pair, max_entries=1, flags=flags).create() as map:
            with pytest.raises(fb.LayoutError, match="say which field of Pair changes: count, delta, name"):
                map.fetch_add(0)
            with pytest.raises(fb.LayoutError, match=r"'name', fb.char\[5\], cannot be changed atomically"):
                map.fetch_add(0, field="name")
            with pytest.raises(fb.LayoutError, match="Pair has no field 'counts'"):
                map.fetch_add(0, field="counts")
            with pytest.raises(KeyError):
                map.fetch_add(1, field="count")
            with pytest.raises(KeyError):
                map.compare_exchange(1, 0, 1, field="count")
            with pytest.raises(fb.LayoutError, match="-1 does not fit into fb.u32"):
                map.compare_exchange(0, -1, 1, field="count")
            with pytest.raises(fb.LayoutError, match="1.5: add a whole number"):
                map.fetch_add(0, 1.5, field="count")
    with fb.MapSpec("hash", key=fb.raw[497], value=fb.u64, max_entries=1).create() as map:
        with pytest.raises(fb.LayoutError, match="more than 496 bytes"):
            map.fetch_add(b"")
    with fb.MapSpec("hash", key=fb.raw[496], value=fb.u64, max_entries=1).create() as map:
        map[b"x" * 496] = 5
        assert map.fetch_add(b"x" * 496, -1) == 5
        assert map[b"x" * 496] == 4


def test_a_closed_map_leaves_nothing_behind():
    map = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1).create()
    map[1] = 1
    map.fetch_add(1)
    number = map.id
    map.close()
    with pytest.raises(fb.StreamError, match="closed"):
        map.fetch_add(1)
    # a program is let go of after a grace period
    for _ in range(1000):
        if number not in {one.id for one in loaded_maps()}:
            return
        time.sleep(0.01)
    raise AssertionError("the map is still there")
