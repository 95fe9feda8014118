"""Maps behave as dictionaries do, judged by dictionaries, and by bpftool-like looks through the kernel's own fdinfo."""

from __future__ import annotations

import errno
import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.producers import on_two_cpus

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.maps import possible_cpus

u32s = st.integers(0, 7) | st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)
RING = fb.MapSpec("ringbuf", max_entries=4096)


class Pair(fb.Struct):
    small: fb.u8
    large: fb.u64
    name: fb.char[5]


class Locked(fb.Struct):
    before: fb.u32
    lock: fb.spin_lock
    count: fb.u64


class TwoLocks(fb.Struct):
    first: fb.spin_lock
    second: fb.spin_lock


pairs = st.builds(
    Pair,
    small=st.integers(0, 255),
    large=u64s,
    name=st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=5),
)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), u32s, pairs),
        st.tuples(st.just("del"), u32s),
        st.tuples(st.just("get"), u32s),
        st.tuples(st.just("pop"), u32s),
        st.tuples(st.just("setdefault"), u32s, pairs),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_a_hash_is_a_dictionary(steps):
    model = {}
    with fb.MapSpec("hash", key=fb.u32, value=Pair, max_entries=64).create() as map:
        for step, key, *value in steps:
            if step == "set":
                map[key] = model[key] = value[0]
            elif step == "del":
                if key in model:
                    del model[key], map[key]
                else:
                    with pytest.raises(KeyError, match=str(key)):
                        del map[key]
            elif step == "get":
                assert map.get(key) == model.get(key)
                assert (key in map) == (key in model)
            elif step == "pop":
                assert map.pop(key, None) == model.pop(key, None)
            else:
                assert map.setdefault(key, value[0]) == model.setdefault(key, value[0])
        assert dict(map) == dict(map.items()) == model
        assert len(map) == len(model)
        assert sorted(map) == sorted(map.keys()) == sorted(model)
        map.clear()
        assert not list(map)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(pairs.map(lambda pair: (pair.small, pair.large, pair.name)), st.integers(-(2**31), 2**31 - 1)))
def test_a_key_may_be_a_struct(model):
    with fb.MapSpec("hash", key=Pair, value=fb.i32, max_entries=200).create() as map:
        for (small, large, name), value in model.items():
            map[Pair(small=small, large=large, name=name)] = value
        assert {(key.small, key.large, key.name): value for key, value in map.items()} == model


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), u64s), max_size=20))
def test_an_array_has_all_its_elements_from_the_start(writes):
    model = dict.fromkeys(range(10), 0)
    with fb.MapSpec("array", value=fb.u64, max_entries=10).create() as map:
        for index, value in writes:
            map[index] = model[index] = value
        assert dict(map) == model
        assert len(map) == 10
        with pytest.raises(KeyError):
            map[10]
        with pytest.raises(fb.KernelError, match="no index 10: it has room for 10") as full:
            map[10] = 1
        assert full.value.errno == errno.E2BIG
        with pytest.raises(fb.KernelError) as refused:
            del map[3]
        assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("kind", "value"), [(fb.u64, 2**64 - 1), (fb.u8, 255), (fb.u32[3], (1, 2, 3)), (fb.raw[9], b"nine bytes"[:9])]
)
def test_values_of_each_processor(kind, value):
    with fb.MapSpec("percpu_array", value=kind, max_entries=4).create() as map:
        nothing = kind.unpack(bytes(kind.size))
        assert map[3] == [nothing] * possible_cpus()
        map[3] = [value, *[nothing] * (possible_cpus() - 1)]
        assert map[3] == [value, *[nothing] * (possible_cpus() - 1)]
        assert map[2] == [nothing] * possible_cpus()
        for wrong in (1, b"", [value] * (possible_cpus() + 1), []):
            with pytest.raises(fb.LayoutError, match=f"give a list of {possible_cpus()} values, one for each possible"):
                map[3] = wrong


@pytest.mark.parametrize("kind", ["percpu_hash", "lru_percpu_hash"])
def test_a_hash_of_values_of_each_processor(kind):
    many = 200
    with fb.MapSpec(kind, key=fb.u16, value=fb.u32, max_entries=many * possible_cpus()).create() as map:
        model = {key: [key * 1000 + cpu for cpu in range(possible_cpus())] for key in range(many)}
        map.update(model)
        assert dict(map) == model
        del map[7]
        assert 7 not in map
        with pytest.raises(fb.LayoutError, match="one for each possible CPU"):
            map[8] = 1


def test_a_program_counts_on_its_own_processor():
    counts = fb.MapSpec("percpu_array", value=fb.u64, max_entries=1, name="counts")
    code = assemble(
        stw(fp, -4, 0),
        call.map_lookup_elem(counts, fp - 4),
        jeq(r0, 0, "out"),
        ldxdw(r1, r0, 0),
        add(r1, 1),
        stxdw(r0, 0, r1),
        label("out"),
        mov(r0, 0),
        exit_(),
    )
    with fb.ProgramSpec("raw_tracepoint", code).load() as program:
        for _ in range(10):
            program.test_run()
        assert sum(program.maps["counts"][0]) == 10


def test_a_full_hash():
    with fb.MapSpec("hash", key=fb.u32, value=fb.u8, max_entries=3, name="few").create() as map:
        for n in range(3):
            map[n] = n
        with pytest.raises(fb.KernelError, match=r"few.* is full .*room for 3 entries") as full:
            map[3] = 3
        assert full.value.errno == errno.E2BIG
        map[2] = 7
        assert dict(map) == {0: 0, 1: 1, 2: 7}


def test_what_does_not_fit_is_refused_before_the_kernel_is_asked():
    with fb.MapSpec("hash", key=fb.u32, value=Pair, max_entries=3).create() as map:
        for key in (-1, 2**32, "1", None, 1.5):
            with pytest.raises(fb.LayoutError, match=re.escape(repr(key))):
                map[key] = Pair(small=1, large=2, name="x")
        with pytest.raises(fb.LayoutError, match="is not a Pair"):
            map[1] = 5
        for values in ({"small": 256, "large": 0, "name": ""}, {"small": 0, "large": 0, "name": "six__ "}):
            with pytest.raises(fb.LayoutError, match="does not fit"):
                map[1] = Pair(**values)
        assert not map


NUMBERS = {
    fb.u8: 255,
    fb.i8: -128,
    fb.u16: 65535,
    fb.i16: -2,
    fb.u32: 1 << 31,
    fb.i32: -(1 << 31),
    fb.u64: 2**64 - 1,
    fb.i64: -1,
}


@pytest.mark.parametrize("kind", [*NUMBERS, fb.f64, fb.bool8, fb.i32.be, fb.ktime], ids=repr)
def test_every_number_comes_back(kind):
    value = {fb.f64: -0.5, fb.bool8: True, fb.ktime: 2**63}.get(kind, NUMBERS.get(kind, -7))
    key = kind if kind in NUMBERS else fb.u8
    with fb.MapSpec("hash", key=key, value=kind, max_entries=4).create() as map:
        one = NUMBERS.get(kind, 3)
        map[one] = value
        assert (map[one], type(map[one]), dict(map)) == (value, type(value), {one: value})
        map[one] = 0
        assert map[one] == 0
        with pytest.raises(KeyError):
            map[1]
        for bad in ("x", None, 2**64, 0.5, [1]):
            with pytest.raises(fb.LayoutError):
                map[bad]
            with pytest.raises(fb.LayoutError):
                map.get(bad)
    with pytest.raises(fb.StreamError):
        map[one]


def test_the_kernel_knows_the_map_as_it_was_described():
    with fb.MapSpec("hash", key=fb.u32, value=Pair, max_entries=77, name="known").create() as map:
        info = dict(
            line.split(":", 1)
            for line in Path(f"/proc/self/fdinfo/{map.fileno()}").read_text().splitlines()
            if ":" in line
        )
        assert {
            name: int(info[name].strip(), 0) for name in ("map_type", "key_size", "value_size", "max_entries", "map_id")
        } == {
            "map_type": 1,
            "key_size": 4,
            "value_size": Pair.size,
            "max_entries": 77,
            "map_id": map.id,
        }


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"type": "hsah", "key": fb.u32, "value": fb.u32, "max_entries": 1}, fb.LayoutError, "did you mean 'hash'"),
        ({"type": "struct_ops", "value": fb.u32}, fb.LayoutError, "makes no struct_ops maps: its value is a struct"),
        ({"type": "queue", "key": fb.u8, "value": fb.u32, "max_entries": 1}, fb.LayoutError, "a queue map has no key"),
        ({"type": "sk_storage", "value": fb.u32, "max_entries": 1}, fb.LayoutError, "max_entries=1: .* leave it out"),
        ({"type": "arena", "value": fb.u32, "max_entries": 1}, fb.LayoutError, "an arena has no key and no value"),
        ({"type": "hash", "key": fb.u8, "value": fb.u8, "numa_node": "0"}, fb.LayoutError, "numa_node='0': give a"),
        (
            {"type": "zzz"},
            fb.LayoutError,
            "there are hash, array, prog_array, .*, user_ringbuf, cgrp_storage, arena$",
        ),
        ({"type": 3}, fb.LayoutError, "no map type 3"),
        ({"type": "array", "value": fb.u32, "max_entries": 1.5}, fb.LayoutError, "max_entries=1.5: give a whole"),
        ({"type": "ringbuf", "max_entries": "4096"}, fb.LayoutError, "max_entries='4096': give a whole"),
        ({"type": "hash", "key": fb.u32, "value": fb.u32}, fb.LayoutError, "max_entries=0"),
        ({"type": "hash", "value": fb.u32, "max_entries": 1}, fb.LayoutError, "the key of a hash map"),
        ({"type": "hash", "key": fb.u32, "max_entries": 1}, fb.LayoutError, "the value of a hash map"),
        ({"type": "array", "key": fb.u64, "value": fb.u32, "max_entries": 1}, fb.LayoutError, "array map is fb.u32"),
        ({"type": "prog_array", "value": fb.u64, "max_entries": 1}, fb.LayoutError, "is a Program; leave out fb.u64"),
        ({"type": "prog_array"}, fb.LayoutError, "max_entries=0"),
        ({"type": "perf_event_array", "key": fb.u64}, fb.LayoutError, "perf_event_array map is fb.u32"),
        ({"type": "perf_event_array", "max_entries": -1}, fb.LayoutError, "max_entries=-1"),
        ({"type": "stack_trace", "max_entries": 1}, fb.LayoutError, "the value of a stack_trace map"),
        ({"type": "stack_trace", "value": fb.u32[9], "max_entries": 1}, fb.LayoutError, r"such as fb.u64\[127\]"),
        ({"type": "stack_trace", "value": fb.raw[9], "max_entries": 1}, fb.LayoutError, r"such as fb.u64\[127\]"),
        (
            {"type": "hash", "key": fb.u32, "value": TwoLocks, "max_entries": 1},
            fb.LayoutError,
            "2 locks, first and sec",
        ),
        ({"type": "array_of_maps", "max_entries": 1}, fb.LayoutError, "inner=None: say what the maps"),
        ({"type": "array_of_maps", "max_entries": 1, "inner": "hash"}, fb.LayoutError, "inner='hash'"),
        ({"type": "array_of_maps", "inner": RING}, fb.LayoutError, "max_entries=0"),
        (
            {"type": "array_of_maps", "value": fb.u64, "max_entries": 1, "inner": RING},
            fb.LayoutError,
            "is a Map; leave out",
        ),
        ({"type": "hash", "key": fb.u32, "value": fb.u32, "max_entries": 1, "inner": RING}, fb.LayoutError, "no maps"),
        ({"type": "ringbuf", "max_entries": 5000}, fb.LayoutError, "power of two"),
        ({"type": "ringbuf", "max_entries": 2048}, fb.LayoutError, "power of two"),
        ({"type": "ringbuf", "value": fb.u32, "max_entries": 4096}, fb.LayoutError, "no key and no value"),
        ({"type": "array", "value": fb.u32, "max_entries": 1, "name": "sixteen characte"}, fb.LayoutError, "15"),
        ({"type": "array", "value": fb.u32, "max_entries": 1, "name": "a b"}, fb.LayoutError, "'a b'"),
    ],
)
def test_what_is_no_map_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        fb.MapSpec(**arguments)


def test_what_the_kernel_refuses_has_its_number():
    with pytest.raises(fb.KernelError) as refused:
        fb.MapSpec("hash", key=fb.u32, value=fb.u32, max_entries=1, flags=1 << 31).create()
    assert refused.value.errno == errno.EINVAL
    assert "\n" not in str(refused.value)


def test_a_closed_map_says_so():
    map = fb.MapSpec("array", value=fb.u32, max_entries=1).create()
    map.close()
    map.close()
    for use in (lambda: map[0], map.fileno, lambda: list(map), lambda: map.id):
        with pytest.raises(fb.StreamError, match="this map is closed"):
            use()


def test_a_ring_buffer_has_no_elements():
    with fb.MapSpec("ringbuf", max_entries=4096, name="ring").create() as ring:
        for use in (lambda: ring[0], lambda: list(ring), lambda: len(ring)):
            with pytest.raises(fb.LayoutError, match=r"fb.RingBuffer\(map, Struct\)"):
                use()


def test_maps_are_objects_not_values():
    with fb.MapSpec("array", value=fb.u32, max_entries=1).create() as one:
        with fb.MapSpec("array", value=fb.u32, max_entries=1).create() as two:
            assert one != two
            assert len({one, two, one}) == 2


def returning(number, prog_type="socket_filter"):
    return fb.ProgramSpec(prog_type, assemble(mov(r0, number), exit_()))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, 0, 1])), max_size=12))
def test_a_tail_call_runs_the_program_that_is_there(changes):
    table = fb.MapSpec("prog_array", max_entries=4, name="table")
    code = assemble(ldxw(r3, r1, ctx.sk_buff.len), sub(r3, 64), call.tail_call(r1, table, r3), mov(r0, 99), exit_())
    model = {}
    with ExitStack() as stack:
        caller = stack.enter_context(fb.ProgramSpec("socket_filter", code).load())
        targets = [stack.enter_context(returning(number).load()) for number in (1, 2)]
        map = caller.maps["table"]
        for index, which in changes:
            if which is None:
                assert (map.pop(index, None) is None) == (model.pop(index, None) is None)
            else:
                map[index] = targets[which]
                model[index] = which
        assert dict(map) == {index: targets[which].id for index, which in model.items()}
        assert len(map) == len(model)
        # the index is how much longer than 64 bytes the packet is
        ran = [caller.test_run(bytes(64 + 14 + index)).retval for index in range(5)]
        assert ran == [99 if index not in model else model[index] + 1 for index in range(5)]


def test_what_no_table_of_programs_takes():
    table = fb.MapSpec("prog_array", max_entries=2, name="table")
    code = assemble(call.tail_call(r1, table, 0), mov(r0, 0), exit_())
    with fb.ProgramSpec("socket_filter", code).load() as caller, returning(2, "xdp").load() as other:
        map = caller.maps["table"]
        with pytest.raises(
            fb.KernelError, match="table.* does not take .*xdp.*: all its programs are of one type"
        ) as no:
            map[0] = other
        assert no.value.errno == errno.EINVAL
        for wrong in (other.fileno(), None, "program", table):
            with pytest.raises(fb.LayoutError, match="a value of .*table.* is a Program"):
                map[0] = wrong
        with pytest.raises(fb.KernelError, match="no index 2"):
            map[2] = caller
        assert not map


def test_maps_of_a_map_are_known_by_their_numbers():
    # The kernel compares all but the size of ring buffers (kernel/bpf/map_in_map.c, bpf_map_meta_equal).
    with (
        fb.MapSpec("array_of_maps", max_entries=3, name="rings", inner=RING).create() as rings,
        fb.MapSpec("ringbuf", max_entries=8192).create() as ring,
        fb.MapSpec("array", value=fb.u32, max_entries=1).create() as array,
    ):
        assert not rings
        rings[1] = ring
        assert dict(rings) == {1: ring.id}
        for index in (0, 2):
            with pytest.raises(KeyError):
                rings[index]
        with pytest.raises(fb.KernelError, match="rings.* does not take .*array.*: all its maps have one type"):
            rings[0] = array
        for wrong in (ring.fileno(), None, RING):
            with pytest.raises(fb.LayoutError, match="is a Map$"):
                rings[0] = wrong
        del rings[1]
        assert not rings


def test_a_map_of_maps_that_is_given_holds_maps_like_those_that_are_named():
    named = fb.MapSpec("array_of_maps", max_entries=1, name="maps", inner=RING)
    code = assemble(
        stw(fp, -4, 0), call.map_lookup_elem(named, fp - 4), jeq(r0, 0, "out"), mov(r0, 1), label("out"), exit_()
    )
    other = fb.MapSpec("array_of_maps", max_entries=1, inner=fb.MapSpec("array", value=fb.u32, max_entries=1))
    with (
        other.create() as maps,
        pytest.raises(fb.LayoutError, match="array_of_maps, each a ringbuf; .* each an arr"),
    ):
        fb.ProgramSpec("socket_filter", code).load({"maps": maps})


def test_a_stack_is_kept_once_and_read_as_addresses():
    stacks = fb.MapSpec("stack_trace", value=fb.u64[16], max_entries=64, name="stacks")
    direct = fb.MapSpec("array", value=fb.u64[16], max_entries=1, name="direct")
    code = assemble(
        mov(r6, r1),
        ld_map_value(r7, direct, 0),
        call.get_stack(r6, r7, 128, 0),
        call.get_stackid(r6, stacks, 0),
        exit_(),
    )
    with fb.ProgramSpec("raw_tracepoint", code).load() as program:
        map = program.maps["stacks"]
        numbers = {program.test_run().retval for _ in range(3)}
        assert len(numbers) == len(map) == 1
        (number,) = numbers
        assert list(map) == [number]
        # but for where in this program they were asked for
        assert map[number][1:] == [one for one in program.maps["direct"][0] if one][1:]
        assert len(map[number]) > 3
        with pytest.raises(fb.LayoutError, match="is written by the kernel"):
            map[number] = [1]
        del map[number]
        assert not map
        with pytest.raises(KeyError):
            map[number]


def test_perf_events_are_one_for_each_processor_unless_told():
    for entries in (0, 3):
        with fb.MapSpec("perf_event_array", max_entries=entries).create() as map:
            told = Path(f"/proc/self/fdinfo/{map.fileno()}").read_text()
            assert int(re.search(r"max_entries:\t(\d+)", told)[1]) == len(map) == (entries or possible_cpus())
            with pytest.raises(fb.LayoutError, match="is a perf event's descriptor"):
                map[0] = "event"
            with pytest.raises(fb.KernelError, match="does not tell what is in"):
                map[0]


@pytest.mark.parametrize(
    ("kind", "key"), [("array", fb.u32), ("hash", fb.u32), ("hash", fb.u64), ("hash", Pair), ("hash", fb.u8)]
)
def test_programs_change_a_value_under_its_lock(kind, key):
    several = fb.MapSpec(kind, key=key, value=Locked, max_entries=1, name="several")
    # written by a load and a store, which would lose counts without the lock
    code = assemble(
        [stdw(fp, at, 0) for at in range(-24, 0, 8)],
        call.map_lookup_elem(several, fp - 24),
        jeq(r0, 0, "out"),
        mov(r6, r0),
        call.spin_lock(r6 + Locked.offset("lock")),
        ldxdw(r7, r6, Locked.offset("count")),
        add(r7, 1),
        stxdw(r6, Locked.offset("count"), r7),
        call.spin_unlock(r6 + Locked.offset("lock")),
        label("out"),
        mov(r0, 0),
        exit_(),
    )
    with fb.ProgramSpec("sched_cls", code).load() as program:
        map = program.maps["several"]
        first = key.unpack(bytes(key.size))
        map[first] = Locked(before=7, lock=0, count=5)
        on_two_cpus(lambda: program.test_run(bytes(64), repeat=300_000))
        assert map[first] == Locked(before=7, lock=0, count=600_005)


@pytest.mark.parametrize("kind", ["lru_hash", "percpu_array"])
def test_a_lock_where_the_kernel_has_none(kind):
    with pytest.raises(fb.KernelError, match=f"no locks in values of {kind} maps; hash and array maps may") as refused:
        fb.MapSpec(kind, key=fb.u32, value=Locked, max_entries=1).create()
    assert refused.value.errno == errno.EOPNOTSUPP


def test_what_the_kernel_says_is_always_there_can_be_put_there():
    with fb.MapSpec("devmap", max_entries=4).create() as map:
        assert (map.setdefault(0, 1), map.setdefault(0, 2), map[0]) == (1, 1, 1)
    inner = fb.MapSpec("array", value=fb.u32, max_entries=1)
    with fb.MapSpec("array_of_maps", inner=inner, max_entries=2).create() as map, inner.create() as one:
        map.setdefault(0, one)
        assert map[0] == one.id
        with pytest.raises(fb.KernelError, match="takes no flags"):
            map.update({1: one}, flags="new")


def test_a_default_for_a_network_that_is_not_there_itself():
    with fb.MapSpec("lpm_trie", key=fb.ipv4, value=fb.u32, max_entries=4).create() as map:
        map["10.0.0.0/8"] = 1
        assert map.pop("10.2.0.0/16", None) is None
        with pytest.raises(KeyError):
            map.pop("10.2.0.0/16")
        assert (map.pop("10.0.0.0/8"), len(map)) == (1, 0)


def test_all_keys_are_walked_where_the_kernel_made_room_for_more():
    with fb.MapSpec("lru_hash", key=fb.u32, value=fb.u32, max_entries=3, flags=2).create() as map:  # NO_COMMON_LRU
        for key in range(200):
            map[key] = key
        assert sorted(map) == sorted(map.to_arrow()["key"].to_pylist())
        assert len(map) == map.to_arrow().num_rows > 0


def test_elements_of_an_array_stay():
    with fb.MapSpec("array", value=fb.u32, max_entries=2).create() as map:
        with pytest.raises(fb.KernelError, match="cannot be deleted"):
            del map[0]
        with pytest.raises(fb.KernelError, match="cannot be deleted"):
            map.clear()
    with fb.MapSpec("hash", key=fb.u32, value=fb.u32, max_entries=2).create() as map:
        with pytest.raises(fb.LayoutError, match="in another call"):
            map.update(map.to_arrow(), key=1)
