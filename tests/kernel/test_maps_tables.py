"""Maps as tables, judged by plain dictionaries, by looks at single elements through bpf(2), and by bpftool."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from struct import pack, unpack

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel import raw_bpf

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.maps import possible_cpus
from fastbpf.maps.cpus import cpu_numbers

MAP_GET_NEXT_KEY, MAP_LOOKUP_BATCH = 4, 24
ZERO_SEED, MMAPABLE = 1 << 6, 1 << 10
CPUS = possible_cpus()
HASHES = ["hash", "lru_hash", "percpu_hash", "lru_percpu_hash"]

u64s = st.integers(0, 2**64 - 1)


class Flow(fb.Struct):
    source: fb.ipv4
    port: fb.port
    name: fb.char[5]


class Traffic(fb.Struct):
    packets: fb.u64
    bytes: fb.u64
    kind: fb.u8
    last: fb.duration
    sizes: fb.u32[3]


def elements(map, key_size, value_size):
    """Every key's value, one after another, by bpf(2) alone."""
    key, following, value = (ctypes.create_string_buffer(max(size, 8)) for size in (key_size, key_size, value_size))
    found, at = {}, 0
    while True:
        try:
            raw_bpf.bpf(MAP_GET_NEXT_KEY, pack("<IIQQQ", map.fileno(), 0, at, raw_bpf.address(following), 0))
        except FileNotFoundError:
            return found
        raw_bpf.bpf(
            raw_bpf.MAP_LOOKUP,
            pack("<IIQQQ", map.fileno(), 0, raw_bpf.address(following), raw_bpf.address(value), 0),
        )
        found[following.raw[:key_size]] = value.raw[:value_size]
        key.raw, at = following.raw, raw_bpf.address(key)


def put(map, elements, flags=0):
    for key, value in elements.items():
        map._native.update(key, value, flags)


def rows(table):
    """A table of raw keys and values as a dictionary; each key once."""
    keys = table.column("key").to_pylist()
    assert len(keys) == len(set(keys))
    return dict(zip(keys, table.column("value").to_pylist(), strict=True))


def raw_map(type, key, value, entries, flags=0):
    return fb.MapSpec(type, key=fb.raw[key], value=fb.raw[value], max_entries=entries, flags=flags).create()


# -- what a table is ---------------------------------------------------------------------------------------------------

flows = st.tuples(
    st.ip_addresses(v=4).map(str),
    st.integers(0, 2**16 - 1),
    st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=5),
)
traffic = st.tuples(
    u64s,
    u64s,
    st.integers(0, 255),
    st.integers(0, 2**63 - 1),
    st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3),
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(flows, traffic, max_size=50), st.integers(1, 60))
def test_a_table_is_the_dictionary(model, most):
    with fb.MapSpec("hash", key=Flow, value=Traffic, max_entries=64).create() as map:
        for flow, counts in model.items():
            map[Flow(**dict(zip(Flow.fields, flow, strict=True)))] = Traffic(
                **dict(zip(Traffic.fields, counts, strict=True))
            )
        table = map.to_arrow()
        assert table.schema == map.schema == pa.schema(map)
        assert table.schema.names == [*Flow.fields, *Traffic.fields]
        table = table.set_column(6, "last", table["last"].cast(pa.int64()))
        read = {
            (row["source"], row["port"], row["name"]): tuple(row[name] for name in Traffic.fields)
            for row in table.to_pylist()
        }
        assert read == model
        assert len(table) == len(model)
        sizes = [len(batch) for batch in map.batches(rows=most)]
        assert sum(sizes) == len(model)
        assert all(size == most for size in sizes[:-1])


@pytest.mark.parametrize("type", [*HASHES, "array", "percpu_array"])
@pytest.mark.parametrize("many", [0, 1, 1000])
def test_none_one_and_all(type, many):
    with fb.MapSpec(type, key=fb.u32, value=fb.u64, max_entries=1000 * CPUS).create() as map:
        room = 1000 * CPUS
        model = dict.fromkeys(range(room) if "array" in type else (), [0] * CPUS if "percpu" in type else 0)
        for key in range(many):
            map[key] = model[key] = [key + 1] * CPUS if "percpu" in type else key + 1
        table = map.to_arrow()
        if "percpu" in type:
            long = {(key, cpu): value for key, values in model.items() for cpu, value in enumerate(values)}
            read = dict(
                zip(
                    zip(*table.select(["key", "cpu"]).to_pydict().values(), strict=True),
                    table["value"].to_pylist(),
                    strict=True,
                )
            )
            assert read == long
            assert len(table) == len(long)
        else:
            assert rows(table) == model


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 13, 16, 64, 255, 511, 512])
@pytest.mark.parametrize("type", ["hash", "percpu_hash"])
def test_keys_of_any_size(type, size):
    many = min(200, 256**size)
    model = {(n * 7919).to_bytes(8, "little").ljust(size, b"\x5a")[:size]: n.to_bytes(8, "little") for n in range(many)}
    with raw_map(type, size, 8, 1000) as map:
        put(map, {key: value * (CPUS if type == "percpu_hash" else 1) for key, value in model.items()})
        if type == "percpu_hash":
            assert set(map.to_arrow()["key"].to_pylist()) == model.keys()
            assert Counter(map.to_arrow()["key"].to_pylist()) == dict.fromkeys(model, CPUS)
        else:
            assert rows(map.to_arrow()) == model == elements(map, size, 8)


@pytest.mark.parametrize("size", [1, 3, 8, 100, 4095, 65_536])
@pytest.mark.parametrize(("type", "flags"), [("hash", 0), ("array", 0), ("array", MMAPABLE), ("lru_hash", 0)])
def test_values_of_any_size(type, flags, size):
    random = np.random.default_rng(size)
    with (
        raw_map(type, 4, size, 50, flags)
        if type != "array"
        else fb.MapSpec("array", value=fb.raw[size], max_entries=50, flags=flags).create() as map
    ):
        for key in range(0, 50, 3):
            map._native.update(pack("=I", key), random.bytes(size), 0)
        there = elements(map, 4, size)
        read = rows(map.to_arrow())
        assert {key if isinstance(key, bytes) else pack("=I", key): value for key, value in read.items()} == there


def test_bpftool_sees_the_same():
    with fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=300).create() as map:
        map.update({key * 3: key**5 for key in range(300)})
        dump = json.loads(
            subprocess.run(["bpftool", "-j", "map", "dump", "id", str(map.id)], capture_output=True, check=True).stdout
        )
        number = lambda texts: int.from_bytes(bytes(int(text, 16) for text in texts), "little")  # noqa: E731
        assert rows(map.to_arrow()) == {number(one["key"]): number(one["value"]) for one in dump}


def test_names_that_clash_tell_where_they_are_from():
    class Key(fb.Struct):
        id: fb.u32
        cpu: fb.u32

    class Value(fb.Struct):
        id: fb.u64
        count: fb.u64

    with fb.MapSpec("hash", key=Key, value=Value, max_entries=4).create() as map:
        map[Key(id=1, cpu=2)] = Value(id=3, count=4)
        assert map.to_arrow().to_pydict() == {"key_id": [1], "cpu": [2], "value_id": [3], "count": [4]}
    with fb.MapSpec("percpu_hash", key=Key, value=fb.u64, max_entries=4).create() as map:
        assert map.schema.names == ["id", "key_cpu", "cpu", "value"]

    class Awkward(fb.Struct):
        id: fb.u32
        key_id: fb.u32

    with fb.MapSpec("hash", key=Awkward, value=Value, max_entries=4).create() as map:
        assert map.schema.names == ["key_id", "key_key_id", "value_id", "value_count"]


def test_readers_take_a_map():
    with fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=100).create() as map:
        model = {key: key * key for key in range(100)}
        map.update(model)
        assert rows(pa.table(map)) == model
        assert dict(pl.DataFrame(map).rows()) == model
        assert dict(pd.DataFrame.from_arrow(map).itertuples(index=False)) == model
        assert duckdb.sql("select sum(value)::bigint from map").fetchall() == [(sum(model.values()),)]


def test_batches_want_a_number():
    with fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1).create() as map:
        for rows in (0, -1, 1.5, True):
            with pytest.raises(fb.LayoutError, match="rows="):
                map.batches(rows=rows)
        with pytest.raises(fb.LayoutError, match="reduce='sum' makes the values of several CPUs one"):
            map.to_arrow(reduce="sum")
    with (
        fb.MapSpec("ringbuf", max_entries=4096).create() as ring,
        pytest.raises(fb.LayoutError, match=r"records: use fb.RingBuffer\(map, Struct\)"),
    ):
        ring.to_arrow()


# -- CPUs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 23, 1000])
@pytest.mark.parametrize("type", ["percpu_array", "percpu_hash"])
def test_values_of_each_cpu_of_any_size(type, size):
    random = np.random.default_rng(size)
    model = {key: [random.bytes(size) for _ in range(CPUS)] for key in range(20)}
    with fb.MapSpec(type, key=fb.u32, value=fb.raw[size], max_entries=20).create() as map:
        map.update(model)
        table = map.to_arrow()
        read = {key: [None] * CPUS for key in model}
        for key, cpu, value in zip(*table.to_pydict().values(), strict=True):
            read[key][cpu] = value
        assert read == model
        assert len(table) == 20 * CPUS


def test_cpus_go_by_their_numbers(monkeypatch):
    # A machine whose possible CPUs have gaps has as many values as CPUs, and not as numbers.
    numbers = [10 * index + 3 for index in range(CPUS)]
    monkeypatch.setattr("fastbpf.maps.tables.cpu_numbers", lambda: numbers)
    with fb.MapSpec("percpu_array", value=fb.u32, max_entries=2).create() as map:
        map[1] = [7 + index for index in range(CPUS)]
        assert map.to_arrow().to_pydict() == {
            "key": [0] * CPUS + [1] * CPUS,
            "cpu": numbers * 2,
            "value": [0] * CPUS + [7 + index for index in range(CPUS)],
        }
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "0-1,4,8-10\n")
    assert cpu_numbers.__wrapped__() == [0, 1, 4, 8, 9, 10]


NUMBERS = {
    fb.u8: st.integers(0, 2**8 - 1),
    fb.i8: st.integers(-(2**7), 2**7 - 1),
    fb.be16: st.integers(0, 2**16 - 1),
    fb.i32.be: st.integers(-(2**31), 2**31 - 1),
    fb.u32: st.integers(0, 2**32 - 1),
    fb.i64: st.integers(-(2**63), 2**63 - 1),
    fb.u64: u64s,
    fb.f32: st.floats(width=32, allow_nan=False, min_value=-(2**20), max_value=2**20),
    fb.f64: st.floats(allow_nan=False, min_value=-1e100, max_value=1e100),
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_values_of_all_cpus_become_one(data):
    kind = data.draw(st.sampled_from(list(NUMBERS)))
    count = data.draw(st.integers(1, 3))
    packed = data.draw(st.booleans())
    value = fb.Struct.of("Value", {"pad": fb.u8, "one": kind, "many": kind[count], "took": fb.duration}, packed=packed)
    number = NUMBERS[kind]
    values = [
        value(
            pad=cpu,
            one=data.draw(number),
            many=tuple(data.draw(st.lists(number, min_size=count, max_size=count))),
            took=data.draw(st.integers(0, 2**40)),
        )
        for cpu in range(CPUS)
    ]
    is_float = kind in (fb.f32, fb.f64)
    signed = kind in (fb.i8, fb.i32.be, fb.i64)

    def total(numbers):
        if is_float:
            return sum(numbers)
        wrapped = sum(numbers) % 2**64
        return wrapped - 2**64 if signed and wrapped >= 2**63 else wrapped

    with fb.MapSpec("percpu_hash", key=fb.u16, value=value, max_entries=3).create() as map:
        map[7] = values
        for way, one, took in (
            ("sum", total, sum),
            ("max", max, max),
            ("min", min, min),
            ("mean", lambda numbers: sum(numbers) / CPUS, lambda times: sum(times) // CPUS),
        ):
            (row,) = map.to_arrow(reduce=way).to_pylist()
            assert row["key"] == 7
            assert row["one"] == pytest.approx(one([each.one for each in values]), rel=1e-12)
            assert row["many"] == pytest.approx(
                [one([each.many[i] for each in values]) for i in range(count)], rel=1e-12
            )
            table = map.to_arrow(way)
            assert table.column("took").type == pa.duration("ns")
            assert table.column("took").cast(pa.int64()).to_pylist() == [took([each.took for each in values])]


def test_a_sum_has_room_and_a_largest_value_keeps_its_type():
    with fb.MapSpec("percpu_array", value=fb.u32, max_entries=1).create() as map:
        map[0] = [2**32 - 1] * CPUS
        assert map.to_arrow(reduce="sum").schema.field("value").type == pa.uint64()
        assert map.to_arrow(reduce="sum")["value"].to_pylist() == [(2**32 - 1) * CPUS]
        assert map.to_arrow(reduce="max").schema.field("value").type == pa.uint32()
        assert map.to_arrow(reduce="mean").schema.field("value").type == pa.float64()
        with pytest.raises(fb.LayoutError, match='reduce="median": give "sum"'):
            map.to_arrow(reduce="median")
    with (
        fb.MapSpec("percpu_array", value=fb.char[16], max_entries=1).create() as map,
        pytest.raises(fb.LayoutError, match=r"field \"value\" \(char\[16\]\) of several CPUs does not become one"),
    ):
        map.to_arrow(reduce="sum")


# -- ways to read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 8, 12, 16])
@pytest.mark.parametrize("many", [1, 4095, 4096, 4097, 100_000])
def test_an_array_that_is_mapped(size, many):
    random = np.random.default_rng(size)
    written = {key: random.bytes(size) for key in range(0, many, max(1, many // 500))}
    with fb.MapSpec("array", value=fb.raw[size], max_entries=many, flags=MMAPABLE).create() as map:
        put(map, {pack("=I", key): value for key, value in written.items()})
        read = rows(map.to_arrow())
        assert read == dict.fromkeys(range(many), bytes(size)) | written
        assert list(read) == list(range(many))
        map._native.freeze()
        assert rows(map.to_arrow()) == read


def jhash2(words, initval=0):
    """include/linux/jhash.h, jhash2 of one word each, as a hash of maps' keys uses it (kernel/bpf/hashtab.c)."""
    rotate = lambda x, k: (x << np.uint32(k)) | (x >> np.uint32(32 - k))  # noqa: E731
    a = b = c = np.full_like(words, np.uint32((0xDEADBEEF + 4 + initval) & 0xFFFFFFFF))
    a = a + words
    for left, right, bits in ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24)):
        parts = [a, b, c]
        parts[left] = (parts[left] ^ parts[right]) - rotate(parts[right], bits)
        a, b, c = parts
    return c


def colliding(many, buckets):
    """Keys of 4 bytes that all lie in bucket 0 of a hash without a seed."""
    found, at = [], 0
    while sum(map(len, found)) < many:
        words = np.arange(at, at + (1 << 20), dtype=np.uint32)
        found.append(words[jhash2(words) & np.uint32(buckets - 1) == 0])
        at += 1 << 20
    return np.concatenate(found)[:many].tolist()


@pytest.fixture(scope="module")
def crowd():
    return colliding(4500, 8192)


@pytest.mark.parametrize("type", ["hash", "percpu_hash", "lru_hash"])
def test_a_bucket_with_more_elements_than_a_batch(type, crowd):
    many = 4500 if type == "hash" else 1500
    value = fb.raw[700] if type != "hash" else fb.u64
    with fb.MapSpec(type, key=fb.u32, value=value, max_entries=8192, flags=ZERO_SEED).create() as map:
        one = value.pack(b"x" * 700 if type != "hash" else 9)
        width = len(one) + -len(one) % 8
        keys = crowd[:many] + list(range(3))
        put(map, {pack("=I", key): one.ljust(width, b"\0") * CPUS if "percpu" in type else one for key in keys})
        # The kernel does refuse a batch of fewer: the keys do lie in one bucket.
        room = many - 10
        buffers = [ctypes.create_string_buffer(size) for size in (8, 8, 4 * room, width * CPUS * room)]
        with pytest.raises(OSError, match="No space left") as refused:
            at, read = 0, 0
            while True:
                attributes = ctypes.create_string_buffer(
                    pack("<QQQQIIQQ", at, *(raw_bpf.address(one) for one in buffers[1:]), room, map.fileno(), 0, 0), 160
                )
                raw_bpf.bpf(MAP_LOOKUP_BATCH, attributes)
                read += unpack("<I", attributes.raw[32:36])[0]
                buffers[0].raw, at = buffers[1].raw, raw_bpf.address(buffers[0])
        assert refused.value.errno == errno.ENOSPC
        each = CPUS if "percpu" in type else 1
        assert Counter(map.to_arrow()["key"].to_pylist()) == dict.fromkeys(keys, each)
        taken = map.drain()
        assert Counter(taken["key"].to_pylist()) == dict.fromkeys(keys, each)
        assert not elements(map, 4, width * CPUS)


def test_a_map_of_maps_gives_ids():
    counts = fb.MapSpec("array", value=fb.u64, max_entries=1)
    with fb.MapSpec("array_of_maps", max_entries=5, inner=counts).create() as map, ExitStack() as stack:
        for index in (1, 4):
            inner = stack.enter_context(counts.create())
            map[index] = inner
            assert rows(map.to_arrow())[index] == inner.id
        assert rows(map.to_arrow()) == dict(map)


def test_programs_go_by_their_ids():
    program = fb.ProgramSpec("xdp", assemble(mov(r0, 2), exit_()), license="GPL")
    with fb.MapSpec("prog_array", max_entries=5).create() as map, program.load() as loaded:
        map[3] = loaded
        assert rows(map.to_arrow()) == {3: loaded.id}


def test_stack_traces_are_lists_of_addresses():
    with fb.MapSpec("stack_trace", value=fb.u64[127], max_entries=64).create() as map:
        code = assemble(mov(r6, r1), call.get_stackid(r6, map, 0), mov(r0, 0), exit_())
        with (
            fb.ProgramSpec("raw_tracepoint", code, license="GPL").load() as program,
            program.attach("raw_tracepoint:sys_enter"),
        ):
            os.getppid()
        read = rows(map.to_arrow())
        assert read
        assert read == dict(map.items())


def test_what_the_kernel_does_not_tell():
    with (
        fb.MapSpec("perf_event_array").create() as map,
        pytest.raises(fb.KernelError, match="does not tell what is in .*perf_event_array") as refused,
    ):
        map.to_arrow()
    assert refused.value.errno == 524
