"""Tables go into maps; what raw bpf(2) finds there has to be what ctypes makes of the rows, and a dictionary."""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import signal
import struct
import threading
import time
from contextlib import suppress

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.raw_bpf import MAP_FREEZE, RawMap, bpf

import fastbpf as fb
from fastbpf.maps.cpus import cpu_numbers

CPUS = len(cpu_numbers())


def raw(map):
    """The same map through bpf(2) alone."""
    spec = map.spec
    return RawMap(spec.type, spec.key.size if spec.key else 0, spec.value.size, spec.max_entries, fd=map.fileno())


def numbers(map, keys):
    """The u64 values of u32 keys, None where there is none."""
    found = []
    for key in keys:
        try:
            found.append(struct.unpack("=Q", raw(map).lookup(struct.pack("=I", key)))[0])
        except FileNotFoundError:
            found.append(None)
    return found


def counts(entries=64, kind="hash", **how):
    return fb.MapSpec(kind, key=fb.u32, value=fb.u64, max_entries=entries, **how).create()


def told(report):
    """(row, errno) of what failed."""
    return [(row["row"], row["errno"]) for row in report.failed.to_pylist()]


# -- what arrives ------------------------------------------------------------------------------------------------------


def integers(bits, *, signed=False):
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


# Our type, ctypes' type, values, the column's type, and what ctypes is given.
KINDS = {
    "u8": (fb.u8, ctypes.c_uint8, integers(8), pa.uint8(), None),
    "u16": (fb.u16, ctypes.c_uint16, integers(16), pa.int64(), None),
    "u32": (fb.u32, ctypes.c_uint32, integers(32), pa.uint32(), None),
    "u64": (fb.u64, ctypes.c_uint64, integers(64), pa.uint64(), None),
    "i8": (fb.i8, ctypes.c_int8, integers(8, signed=True), pa.int16(), None),
    "i32": (fb.i32, ctypes.c_int32, integers(32, signed=True), pa.int32(), None),
    "i64": (fb.i64, ctypes.c_int64, integers(64, signed=True), pa.int64(), None),
    "f64": (fb.f64, ctypes.c_double, st.floats(allow_nan=False), pa.float64(), None),
    "be16": (
        fb.be16,
        ctypes.c_uint16,
        integers(16),
        pa.uint16(),
        lambda n: int.from_bytes(n.to_bytes(2, "big"), "little"),
    ),
    "bytes": (
        fb.raw[5],
        ctypes.c_uint8 * 5,
        st.binary(min_size=5, max_size=5),
        pa.binary(),
        lambda b: (ctypes.c_uint8 * 5)(*b),
    ),
    "list": (
        fb.u16[3],
        ctypes.c_uint16 * 3,
        st.lists(integers(16), min_size=3, max_size=3),
        pa.list_(pa.uint16()),
        lambda items: (ctypes.c_uint16 * 3)(*items),
    ),
    "text": (
        fb.char[7],
        ctypes.c_uint8 * 7,
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=7),
        pa.string(),
        lambda text: (ctypes.c_uint8 * 7)(*text.encode()),
    ),
}


@st.composite
def tables(draw):
    """Two layouts, ours and ctypes', and rows for them: (key values, value values)."""
    sides = []
    for side in "kv":
        chosen = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
        sides.append({f"{side}{at}": name for at, name in enumerate(chosen)})
    row = [st.tuples(*(KINDS[name][2] for name in side.values())) for side in sides]
    return sides, draw(st.lists(st.tuples(*row), max_size=30))


def as_bytes(side, values):
    # ctypes lays it out as C does; what it leaves between fields is zero.
    made = type("Made", (ctypes.Structure,), {"_fields_": [(name, KINDS[kind][1]) for name, kind in side.items()]})()
    for (name, kind), value in zip(side.items(), values, strict=True):
        convert = KINDS[kind][4]
        setattr(made, name, convert(value) if convert else value)
    return bytes(made)


def columns(sides, rows, chunk):
    arrays = {}
    for at, side in enumerate(sides):
        for field, (name, kind) in enumerate(side.items()):
            arrays[name] = pa.array([row[at][field] for row in rows], KINDS[kind][3])
    table = pa.table(arrays)
    return pa.Table.from_batches(table.to_batches(max_chunksize=chunk), table.schema)


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from(["hash", "lru_hash"]), st.integers(1, 12))
def test_any_table_arrives(drawn, kind, chunk):
    sides, rows = drawn
    layouts = [fb.Struct.of("Side", {name: KINDS[kind][0] for name, kind in side.items()}) for side in sides]
    with fb.MapSpec(kind, key=layouts[0], value=layouts[1], max_entries=1024).create() as map:
        report = map.update(columns(sides, rows, chunk))
        assert (report.done, report.failed.num_rows) == (len(rows), 0)
        model = {as_bytes(sides[0], key): as_bytes(sides[1], value) for key, value in rows}
        assert {key: raw(map).lookup(key) for key in model} == model
        assert len(map) == len(model)
        # The same keys, twice those that come twice: the second time they are gone.
        report = map.delete(columns(sides, rows, chunk))
        assert report.done == len(model)
        assert {error for _, error in told(report)} <= {errno.ENOENT}
        assert report.failed.num_rows == len(rows) - len(model)
        assert len(map) == 0


FRAMES = {
    "pyarrow": pa.table,
    "batch": pa.record_batch,
    "polars": pl.DataFrame,
    "pandas": pd.DataFrame,
    "reader": lambda data: pa.table(data).to_reader(max_chunksize=2),
    "numpy in pyarrow": lambda data: pa.table({name: np.array(values) for name, values in data.items()}),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_any_frame_arrives(frame):
    with counts() as map:
        report = map.update(FRAMES[frame]({"value": [10, 20, 30], "key": [3, 1, 2], "more": ["a", "b", "c"]}))
        assert (report.done, told(report)) == (3, [])
        assert numbers(map, [0, 1, 2, 3]) == [None, 20, 30, 10]
        report = map.delete(FRAMES[frame]({"key": [2, 5, 3]}))
        assert (report.done, told(report)) == (2, [(1, errno.ENOENT)])
        assert report.failed["why"].to_pylist() == ["there is no such key"]
        assert numbers(map, [1, 2, 3]) == [20, None, None]


def test_text_of_frames_arrives():
    with fb.MapSpec("hash", key=fb.ipv4, value=fb.char[8], max_entries=8).create() as map:
        frame = pl.DataFrame(
            {"key": ["10.0.0.1", "10.0.0.2"], "value": ["one", "two"]}, schema_overrides={"value": pl.Categorical}
        )
        assert map.update(frame).done == 2
        assert raw(map).lookup(bytes([10, 0, 0, 2])) == b"two".ljust(8, b"\0")


def test_names_that_clash():
    class Key(fb.Struct):
        pid: fb.u32
        cpu: fb.u32

    class Value(fb.Struct):
        pid: fb.u32
        key: fb.u32
        count: fb.u64

    with fb.MapSpec("hash", key=Key, value=Value, max_entries=8).create() as map:
        with pytest.raises(fb.LayoutError, match='no column "key_pid"'):
            map.update(pa.table({"pid": [1], "cpu": [2], "key": [4], "count": [5]}))
        map.update(pa.table({"key_pid": [1], "value_pid": [3], "cpu": [2], "key": [4], "count": [5]}))
        assert raw(map).lookup(struct.pack("=II", 1, 2)) == struct.pack("=IIQ", 3, 4, 5)


def test_locks_are_no_columns():
    class Locked(fb.Struct):
        before: fb.u32
        lock: fb.spin_lock
        count: fb.u64

    with fb.MapSpec("hash", key=fb.u32, value=Locked, max_entries=8).create() as map:
        assert map.update(pa.table({"key": [1], "before": [2], "count": [3]})).done == 1
        assert raw(map).lookup(struct.pack("=I", 1)) == struct.pack("=IIQ", 2, 0, 3)


def test_an_array():
    with counts(4, "array") as map:
        report = map.update(pa.table({"key": [0, 4, 3, 9, 1], "value": [1, 2, 3, 4, 5]}))
        assert (report.done, told(report)) == (3, [(1, errno.E2BIG), (3, errno.E2BIG)])
        assert numbers(map, range(4)) == [1, 5, 0, 3]
        with pytest.raises(fb.KernelError, match="cannot be deleted") as refused:
            map.delete(pa.table({"key": [0]}))
        assert refused.value.errno == errno.EINVAL
        assert numbers(map, range(4)) == [1, 5, 0, 3]


# Values larger than what one batch is given, and more rows than one has.
@pytest.mark.parametrize(("rows", "size"), [(10_000, 8), (5, 64 << 10), (70, 40_000), (70_001, 3)])
def test_many_and_large(rows, size):
    keys = np.arange(rows, dtype=np.uint32)
    data = np.random.default_rng(7).integers(0, 256, (rows, size), dtype=np.uint8)
    values = [row.tobytes() for row in data]
    with fb.MapSpec("hash", key=fb.u32, value=fb.raw[size], max_entries=rows).create() as map:
        table = pa.table({"key": keys, "value": values})
        assert map.update(table).done == rows
        lookup = raw(map).lookup
        step = max(rows // 1000, 1)
        assert all(lookup(struct.pack("=I", key)) == values[key] for key in range(0, rows, step))
        assert lookup(struct.pack("=I", rows - 1)) == values[-1]
        assert map.delete(table.slice(1)).done == rows - 1
        assert len(map) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 5, 512])
def test_keys_of_any_size(size):
    keys = [bytes([at]) * size for at in range(100)]
    with fb.MapSpec("hash", key=fb.raw[size], value=fb.u8, max_entries=100).create() as map:
        assert map.update(pa.table({"key": keys, "value": list(range(100))})).done == 100
        assert [raw(map).lookup(key)[0] for key in keys] == list(range(100))


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from(["hash", "percpu_hash"]))
def test_what_was_read_goes_in_again(drawn, kind):
    sides, rows = drawn
    layouts = [fb.Struct.of("Side", {name: KINDS[kind][0] for name, kind in side.items()}) for side in sides]
    spec = fb.MapSpec(kind, key=layouts[0], value=layouts[1], max_entries=64)
    model = {as_bytes(sides[0], key): as_bytes(sides[1], value) for key, value in rows}
    stride = layouts[1].size + -layouts[1].size % 8
    with spec.create() as map, spec.create() as tabled, spec.create() as direct:
        made = RawMap(kind, layouts[0].size, stride, fd=map.fileno())
        for key, value in model.items():
            made.update(key, value.ljust(stride, b"\0") * (CPUS if kind == "percpu_hash" else 1))
        assert tabled.update(map.to_arrow()).done == direct.update(map).done == len(model)
        for copy in (tabled, direct):
            found = RawMap(kind, layouts[0].size, stride, fd=copy.fileno())
            for key, value in model.items():
                got = found.lookup(key)
                cpus = CPUS if kind == "percpu_hash" else 1
                assert [got[at * stride : at * stride + len(value)] for at in range(cpus)] == [value] * cpus


class Part(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int16), ("y", ctypes.c_uint32))


class Whole(ctypes.Structure):
    _fields_ = (
        ("low", ctypes.c_uint32, 5),
        ("middle", ctypes.c_uint32, 17),
        ("high", ctypes.c_uint32, 10),
        ("signed", ctypes.c_int64, 40),
        ("part", Part),
        ("parts", Part * 2),
        ("last", ctypes.c_uint8),
    )


part = st.builds(lambda x, y: {"x": x, "y": y}, integers(16, signed=True), integers(32))
whole = st.fixed_dictionaries(
    {
        "low": integers(5),
        "middle": integers(17),
        "high": integers(10),
        "signed": integers(40, signed=True),
        "part": part,
        "parts": st.lists(part, min_size=2, max_size=2),
        "last": integers(8),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(whole, max_size=12))
def test_structs_and_bitfields_arrive(rows):
    layout = fb.Struct.from_ctypes(Whole)
    with (
        fb.MapSpec("array", value=layout, max_entries=16).create() as map,
        fb.MapSpec("array", value=layout, max_entries=16).create() as copy,
    ):
        if rows:
            map.update(pa.Table.from_pylist([{"key": at, **row} for at, row in enumerate(rows)]))
        assert copy.update(map.to_arrow()).done == 16
        for at, row in enumerate(rows):
            made = Whole(**{name: value for name, value in row.items() if isinstance(value, int)})
            made.part = Part(**row["part"])
            made.parts = (Part * 2)(*(Part(**one) for one in row["parts"]))
            assert raw(map).lookup(struct.pack("=I", at)) == raw(copy).lookup(struct.pack("=I", at)) == bytes(made)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"low": 32}, 'column "low", row 1: 32 does not fit'),
        ({"signed": 1 << 39}, 'column "signed", row 1: 549755813888 does not fit'),
        ({"part": {"x": 1, "y": -1}}, 'column "part", row 1: y: -1 does not fit'),
        ({"part": {"x": 1, "y": None}}, 'column "part", row 1: y: null'),
        ({"part": None}, 'column "part", row 1: null'),
        ({"parts": [{"x": 1, "y": 1}]}, 'column "parts", row 1: '),
        ({"parts": [{"x": 1, "y": 1}, {"x": 1 << 15, "y": 1}]}, 'column "parts", row 1: x: 32768 does not fit'),
        ({"parts": [{"x": 1, "y": 1}, None]}, 'column "parts", row 1: null among'),
    ],
)
def test_structs_that_are_refused(change, why):
    good = {"low": 1, "middle": 2, "high": 3, "signed": 4, "last": 5, "part": {"x": 1, "y": 2}}
    good["parts"] = [{"x": 1, "y": 1}, {"x": 2, "y": 2}]
    with fb.MapSpec("hash", key=fb.u32, value=fb.Struct.from_ctypes(Whole), max_entries=4).create() as map:
        with pytest.raises(fb.LayoutError) as refused:
            map.update(pa.Table.from_pylist([{"key": 1, **good}, {"key": 2, **good, **change}]))
        assert why in str(refused.value)
        assert len(map) == 0


class State(enum.IntEnum):
    IDLE = 0
    BUSY = 3


def test_names_of_numbers_arrive():
    class Task(fb.Struct):
        state: State

    with fb.MapSpec("hash", key=fb.u32, value=Task, max_entries=4).create() as map:
        assert map.update(pl.DataFrame({"key": [1, 2], "state": ["BUSY", "IDLE"]})).done == 2
        assert map.update(pa.table({"key": [3, 4], "state": [3, 77]})).done == 2
        found = [raw(map).lookup(struct.pack("=I", key)) for key in (1, 2, 3, 4)]
        assert [int.from_bytes(data, "little") for data in found] == [3, 0, 3, 77]
        assert map.update(map.to_arrow()).done == 4
        with pytest.raises(fb.LayoutError, match='column "state", row 0: BSUY does not fit'):
            map.update(pa.table({"key": [1], "state": ["BSUY"]}))


def test_times_are_timestamps_or_readings():
    class Times(fb.Struct):
        mono: fb.ktime
        boot: fb.boottime
        took: fb.duration

    with fb.MapSpec("hash", key=fb.u32, value=Times, max_entries=4).create() as map:
        now = {"mono": time.clock_gettime_ns(time.CLOCK_MONOTONIC), "boot": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}
        assert map.update(pa.table({"key": [1], **{name: [at] for name, at in now.items()}, "took": [5]})).done == 1
        assert raw(map).lookup(struct.pack("=I", 1)) == struct.pack("=QQQ", *now.values(), 5)
        table = map.to_arrow().set_column(0, "key", pa.array([2], pa.uint32()))
        assert pa.types.is_timestamp(table.schema.field("mono").type)
        assert map.update(table).done == 1
        mono, boot, took = struct.unpack("=QQQ", raw(map).lookup(struct.pack("=I", 2)))
        # The clocks are compared with UTC anew.
        assert abs(mono - now["mono"]) < 10_000_000
        assert abs(boot - now["boot"]) < 10_000_000
        assert took == 5
        early = table.set_column(1, "mono", pa.array([0], pa.timestamp("ns")))
        with pytest.raises(fb.LayoutError, match='column "mono", row 0: 1970-01-01.* is before the clock began'):
            map.update(early)


def test_queues_stacks_and_bloom_filters_have_no_keys():
    values = pa.table({"value": [5, 6, 7]})
    with fb.MapSpec("queue", value=fb.u32, max_entries=2).create() as line:
        report = line.update(values)
        assert (report.done, told(report)) == (2, [(2, errno.E2BIG)])
        assert [line.pop(), line.pop()] == [5, 6]
    with fb.MapSpec("stack", value=fb.u32, max_entries=3).create() as pile:
        assert pile.update(values).done == 3
        assert [pile.pop() for _ in range(3)] == [7, 6, 5]
    with fb.MapSpec("bloom_filter", value=fb.u32, max_entries=100).create() as seen:
        assert seen.update(values).done == 3
        assert all(value in seen for value in (5, 6, 7))


def test_networks():
    with fb.MapSpec("lpm_trie", key=fb.ipv4, value=fb.u32, max_entries=8).create() as routes:
        routes["10.0.0.0/8"] = 1
        routes["10.1.0.0/16"] = 2
        with fb.MapSpec("lpm_trie", key=fb.ipv4, value=fb.u32, max_entries=8).create() as copy:
            assert copy.update(routes.to_arrow()).done == 2
            assert (copy["10.1.2.3"], copy["10.2.3.4"]) == (2, 1)


# -- what is refused by the kernel, row by row -------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["hash", "array"]),
    st.integers(1, 6),
    st.lists(
        st.tuples(
            st.sampled_from(["any", "new", "existing", "delete"]),
            st.lists(st.tuples(st.integers(0, 9), integers(64)), max_size=12),
        ),
        max_size=5,
    ),
)
def test_partial_failures_are_those_of_a_dictionary(kind, room, steps):
    model = dict.fromkeys(range(room), 0) if kind == "array" else {}
    with counts(room, kind) as map:
        for flags, rows in steps:
            table = pa.table({"key": [key for key, _ in rows], "value": pa.array([v for _, v in rows], pa.uint64())})
            table = table.set_column(0, "key", table["key"].cast(pa.uint32()))
            if flags == "delete":
                if kind == "array":
                    continue
                report = map.delete(table)
            else:
                report = map.update(table, flags=flags)
            done, failed = 0, []
            for row, (key, value) in enumerate(rows):
                there, full = key in model, len(model) == room
                if flags == "delete":
                    why = 0 if there else errno.ENOENT
                    model.pop(key, None)
                elif kind == "array":
                    # An index is always there (kernel/bpf/arraymap.c, array_map_update_elem).
                    why = errno.E2BIG if key >= room else errno.EEXIST if flags == "new" else 0
                elif flags == "new" and there:
                    why = errno.EEXIST
                elif flags == "existing" and not there:
                    why = errno.ENOENT
                else:
                    why = errno.E2BIG if full and not there else 0
                if why:
                    failed.append((row, why))
                    continue
                done += 1
                if flags != "delete":
                    model[key] = value
            assert (report.done, told(report)) == (done, failed)
            assert numbers(map, range(10)) == [model.get(key) for key in range(10)]


def test_a_map_that_fills_in_the_middle_of_a_batch():
    room, rows = 5000, 12_000
    with counts(room) as map:
        keys = np.arange(rows, dtype=np.uint32)
        keys[9000] = 17  # is there: its new value goes in though the map is full
        report = map.update(pa.table({"key": keys, "value": keys.astype(np.int64) + 1_000_000 * (keys == 17)}))
        assert report.done == room + 1
        assert told(report) == [(row, errno.E2BIG) for row in range(room, rows) if row != 9000]
        assert numbers(map, [0, room - 1, room, 17]) == [0, room - 1, None, 1_000_017]


def test_flags_of_another_name():
    with counts() as map, pytest.raises(fb.LayoutError, match="flags='nwe': did you mean 'new'"):
        map.update(pa.table({"key": [1], "value": [2]}), flags="nwe")


# -- what is refused before anything is written ------------------------------------------------------------------------

REFUSED = {
    "null": ({"key": [1, 2, None], "value": [1, 2, 3]}, 'column "key", row 2: null'),
    "null value": ({"key": [1, 2, 3], "value": [1, None, 3]}, 'column "value", row 1: null'),
    "negative": ({"key": [1, 2, 3], "value": [1, 2, -3]}, 'column "value", row 2: -3 does not fit'),
    "too large": ({"key": [1, 1 << 32, 3], "value": [1, 2, 3]}, 'column "key", row 1: 4294967296 does not fit'),
    "text": ({"key": [1, 2, 3], "value": ["1", "2", "3"]}, 'column "value" is of the type Utf8; give integers'),
    "floats": ({"key": [1.0, 2.0, 3.0], "value": [1, 2, 3]}, 'column "key" is of the type Float64; give integers'),
    "missing": ({"key": [1, 2, 3], "valeu": [1, 2, 3]}, 'there is no column "value", only key, valeu'),
    "no rows": (
        {"key": pa.array([], pa.string()), "value": pa.array([], pa.int8())},
        'column "key" is of the type Utf8',
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refused_table_writes_nothing(why):
    data, message = REFUSED[why]
    with counts() as map:
        table = pa.table(data)
        for given_table in (table, table.to_reader(max_chunksize=1), pl.DataFrame(table)):
            with pytest.raises(fb.LayoutError) as refused:
                map.update(given_table)
            assert message in str(refused.value).replace("Utf8View", "Utf8")
        assert len(map) == 0


def test_rows_are_counted_over_batches():
    good = pa.record_batch({"key": pa.array([1, 2], pa.int64()), "value": pa.array([1, 2], pa.int64())})
    bad = pa.record_batch({"key": pa.array([3, 4], pa.int64()), "value": pa.array([1, None], pa.int64())})
    with counts() as map:
        with pytest.raises(fb.LayoutError, match='column "value", row 3: null'):
            map.update(pa.Table.from_batches([good, bad]))
        assert len(map) == 0
        map.update(pa.Table.from_batches([good]))
        with pytest.raises(fb.LayoutError, match='column "key", row 2: null'):
            map.delete(pa.table({"key": [1, 2, None]}))
        assert len(map) == 2


def test_what_is_no_table():
    with counts() as map, pytest.raises(TypeError, match="does not speak Arrow's interface"):
        map.delete([1, 2])


def test_dictionaries_still_go_in():
    with counts() as map:
        map.update({1: 10})
        map.update([(2, 20)])
        assert numbers(map, [1, 2]) == [10, 20]


def test_maps_of_objects_take_no_tables():
    with fb.MapSpec("prog_array", max_entries=2).create() as map, pytest.raises(fb.LayoutError, match="a Program"):
        map.update(pa.table({"key": [0], "value": [3]}))
    with (
        fb.MapSpec("stack_trace", value=fb.u64[4], max_entries=2).create() as map,
        pytest.raises(fb.LayoutError, match="written by the kernel"),
    ):
        map.update(pa.table({"key": [0], "value": [[1, 2, 3, 4]]}))


def test_a_frozen_map():
    with counts() as map:
        map.update(pa.table({"key": [1], "value": [2]}))
        bpf(MAP_FREEZE, struct.pack("<I", map.fileno()))
        for change in (map.update, map.delete):
            with pytest.raises(fb.KernelError, match="is frozen") as refused:
                change(pa.table({"key": [1, 5], "value": [7, 8]}))
            assert refused.value.errno == errno.EPERM
        assert numbers(map, [1, 5]) == [2, None]


def test_a_closed_map():
    map = counts()
    map.close()
    with pytest.raises(fb.StreamError, match="closed"):
        map.update(pa.table({"key": [1], "value": [2]}))


# -- values of each CPU ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["percpu_hash", "percpu_array", "lru_percpu_hash"]), st.sampled_from([3, 8, 12]))
def test_values_of_each_cpu(data, kind, size):
    keys = data.draw(st.lists(st.integers(0, 15), unique=True, max_size=8))
    model = {key: [data.draw(st.binary(min_size=size, max_size=size)) for _ in range(CPUS)] for key in keys}
    rows = data.draw(st.permutations([(key, cpu, value) for key in keys for cpu, value in enumerate(model[key])]))
    table = pa.table(
        {
            "key": pa.array([row[0] for row in rows], pa.uint32()),
            "cpu": pa.array([row[1] for row in rows], pa.uint32()),
            "value": pa.array([row[2] for row in rows], pa.binary()),
        }
    )
    chunks = pa.Table.from_batches(table.to_batches(max_chunksize=3), table.schema)
    with fb.MapSpec(kind, key=fb.u32, value=fb.raw[size], max_entries=16).create() as map:
        report = map.update(chunks)
        assert (report.done, told(report)) == (len(keys), [])
        stride = size + -size % 8
        for key, values in model.items():
            found = RawMap(kind, 4, stride, fd=map.fileno()).lookup(struct.pack("=I", key))
            assert found[: stride * CPUS] == b"".join(value.ljust(stride, b"\0") for value in values)


def test_values_of_each_cpu_that_fail():
    with counts(1, "percpu_hash") as map:
        table = {"key": [4] * CPUS + [5] * CPUS, "cpu": [*range(CPUS)] * 2, "value": range(2 * CPUS)}
        report = map.update(pa.table({name: list(values) for name, values in table.items()}))
        assert (report.done, told(report)) == (1, [(CPUS, errno.E2BIG)])


@pytest.mark.parametrize(
    ("cpus", "why"),
    [
        ([*range(CPUS), 0], f'column "cpu", row {CPUS}: the key has a row for CPU 0'),
        ([*range(CPUS)][1:], 'column "cpu", row 0: the key has no row for CPU 0') if CPUS > 1 else ([1], "no CPU 1"),
        ([CPUS], f'column "cpu", row 0: there is no CPU {CPUS}'),
        ([-1], 'column "cpu", row 0: -1 does not fit'),
    ],
)
def test_cpus_that_are_wrong(cpus, why):
    with counts(8, "percpu_hash") as map:
        with pytest.raises(fb.LayoutError) as refused:
            map.update(pa.table({"key": [1] * len(cpus), "cpu": cpus, "value": [7] * len(cpus)}))
        assert why in str(refused.value)
        assert len(map) == 0


# -- other threads and signals -----------------------------------------------------------------------------------------


def test_a_map_that_is_closed_meanwhile_takes_the_whole_table():
    rows = 300_000
    table = pa.table({"key": np.arange(rows, dtype=np.uint32), "value": np.arange(rows, dtype=np.uint64)})
    map = counts(rows)
    kept = RawMap("hash", 4, 8, fd=os.dup(map.fileno()))
    reports = []

    def write():
        with suppress(fb.StreamError):
            reports.append(map.update(table))

    writer = threading.Thread(target=write)
    writer.start()
    map.close()
    writer.join()
    # It was closed before the call, or does not mind.
    assert [report.done for report in reports] in ([], [rows])
    if reports:
        assert kept.lookup(struct.pack("=I", rows - 1)) == struct.pack("=Q", rows - 1)
    kept.__exit__()


def test_ctrl_c_ends_it_with_the_first_rows_in():
    rows = 3_000_000
    table = pa.table({"key": np.arange(rows, dtype=np.uint32) % 1000, "value": np.arange(rows, dtype=np.uint64)})

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with counts(1000) as map:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                while True:
                    map.update(table)
            found = [value for value in numbers(map, range(1000)) if value is not None]
            assert all(value % 1000 == key for key, value in enumerate(found))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
