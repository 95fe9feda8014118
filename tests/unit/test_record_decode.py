"""Records of every shape, decoded; judged by numpy, ctypes, struct and ipaddress, read by pyarrow and polars."""

from __future__ import annotations

import csv
import ctypes
import datetime as dt
import io
import ipaddress
import json
import struct

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.record.decoding import RingDecoder

import fastbpf as fb
from fastbpf import _native

# The first call imports readers, which takes long: time decides nothing.
untimed = settings(deadline=None)
CLOCKS = (10**18, 2 * 10**17, -(10**9))


def native(columns, size, records):
    """The batch of these payloads, as a ring buffer holds them."""
    decoder = RingDecoder(columns, size, max(len(records), 1))
    ring = b"".join(struct.pack("=II", len(one), 0) + one + bytes(-len(one) % 8) for one in records)
    return [*decoder.decode(ring, CLOCKS), decoder.finish()][0]


def decode(columns, size, records):
    batch = pa.record_batch(native(columns, size, records))
    batch.validate(full=True)
    return batch


def one(kind, size, records):
    """The values of a record's only field, as pyarrow and as polars read them."""
    batch = decode([("x", 0, kind)], size, records)
    values = batch.column(0).to_pylist()
    assert pl.DataFrame(batch)["x"].to_list() == values
    return values


SCALARS = {"u8": "u1", "i8": "i1", "u16": "u2", "i16": "i2", "u32": "u4", "i32": "i4", "u64": "u8", "i64": "i8"}
FLOATS = {"f32": "f4", "f64": "f8"}
NUMBERS = {
    **{name: np.dtype(f"<{kind}") for name, kind in (SCALARS | FLOATS).items()},
    **{f"{name}be": np.dtype(f">{kind}") for name, kind in (SCALARS | FLOATS).items() if not kind.endswith("1")},
}


@pytest.mark.parametrize("name", NUMBERS)
@untimed
@given(data=st.data())
def test_numbers_are_numpys(name, data):
    kind = NUMBERS[name]
    count = data.draw(st.integers(1, 5))
    # unaligned on purpose
    size = 1 + kind.itemsize * (1 + count)
    records = data.draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=70))
    batch = decode([("one", 1, name), ("list", 1 + kind.itemsize, f"{name}[{count}]")], size, records)
    expected = np.array([np.frombuffer(record, kind, offset=1) for record in records]).astype(kind.newbyteorder("="))
    np.testing.assert_array_equal(batch["one"].to_numpy(zero_copy_only=False), expected[:, 0])
    np.testing.assert_array_equal(np.array(batch["list"].flatten()).reshape(-1, count), expected[:, 1:])


@untimed
@given(st.lists(st.binary(min_size=4, max_size=4), min_size=1))
def test_ipv4(addresses):
    assert one("ipv4", 4, addresses) == [str(ipaddress.IPv4Address(address)) for address in addresses]
    assert one("ipv4.raw", 4, addresses) == addresses


@untimed
@given(
    st.lists(
        st.one_of(
            st.binary(min_size=16, max_size=16),
            # zeros, which are written as ::
            st.lists(st.sampled_from([b"\0\0", b"\0\1", b"\xff\xff"]), min_size=8, max_size=8).map(b"".join),
        ),
        min_size=1,
    )
)
def test_ipv6(addresses):
    found = one("ipv6", 16, addresses)
    # Whether an embedded IPv4 address is written with dots is the writer's choice.
    assert [ipaddress.IPv6Address(text).packed for text in found] == addresses
    plain = [address for address in addresses if not address.startswith(bytes(10))]
    if plain:
        assert one("ipv6", 16, plain) == [str(ipaddress.IPv6Address(address)) for address in plain]


@untimed
@given(st.lists(st.binary(min_size=6, max_size=6), min_size=1))
def test_mac(addresses):
    assert one("mac", 6, addresses) == [address.hex(":") for address in addresses]


@untimed
@given(st.lists(st.integers(0, 65535), min_size=1))
def test_port(ports):
    assert one("port", 2, [port.to_bytes(2, "big") for port in ports]) == ports


@pytest.mark.parametrize("base", [ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint8])
@pytest.mark.parametrize("parent", [ctypes.LittleEndianStructure, ctypes.BigEndianStructure])
@untimed
@given(data=st.data())
def test_bitfields_are_cs(base, parent, data):
    size = ctypes.sizeof(base)
    widths = data.draw(st.lists(st.integers(1, 8 * size), min_size=1, max_size=6))
    while sum(widths) > 8 * size:
        widths.pop()
    fields = {"_fields_": [(f"f{i}", base, width) for i, width in enumerate(widths)]}
    theirs = type("Theirs", (parent,), fields)
    records = data.draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=9))
    big = parent is ctypes.BigEndianStructure
    sign = "i" if base(-1).value < 0 else "u"
    storage = f"{sign}{8 * size}{'be' if big and size > 1 else ''}"
    # A big-endian machine's first bitfield takes the most significant bits.
    firsts = [8 * size - sum(widths[: i + 1]) if big else sum(widths[:i]) for i in range(len(widths))]
    columns = [
        (f"f{i}", 0, f"{storage}:{first}:{width}") for i, (first, width) in enumerate(zip(firsts, widths, strict=True))
    ]
    expected = []
    for record in records:
        values = theirs.from_buffer_copy(record)
        expected.append({f"f{i}": getattr(values, f"f{i}") for i in range(len(widths))})
    assert decode(columns, size, records).to_pylist() == expected


def test_flags():
    columns = [(f"bit{i}", 0, f"bool:{i}:1") for i in range(8)]
    table = decode(columns, 1, [bytes([i]) for i in range(256)])
    assert table.num_rows == 256
    for i in range(8):
        assert table[f"bit{i}"].to_pylist() == [bool(n & 1 << i) for n in range(256)]


def test_enums():
    text = "enum i32{DOWN=-1,IDLE=0,RUNNING=7,AGAIN=7}"
    batch = decode([("state", 0, text)], 4, [struct.pack("=i", n) for n in (0, -1, 7, 300, -2, 300)])
    assert batch["state"].to_pylist() == ["IDLE", "DOWN", "RUNNING", "300", "-2", "300"]
    assert batch["state"].dictionary.to_pylist() == ["DOWN", "IDLE", "RUNNING", "AGAIN", "300", "-2"]
    assert pl.DataFrame(batch)["state"].cast(pl.String).to_list() == batch["state"].to_pylist()
    assert one("enum u16be{A=256}", 2, [b"\1\0", b"\0\1"]) == ["A", "1"]
    assert one("enum u64{MOST=18446744073709551615}", 8, [b"\xff" * 8, b"\xfe" + b"\xff" * 7]) == [
        "MOST",
        str(2**64 - 2),
    ]


def test_a_dictionary_lives_for_one_batch():
    decoder = RingDecoder([("x", 0, "enum u32{A=1}")], 4, 2)
    ring = b"".join(struct.pack("=III4x", 4, 0, n) for n in (1, 9, 1, 1))
    first, second = map(pa.record_batch, decoder.decode(ring, CLOCKS))
    assert decoder.finish() is None
    assert first["x"].dictionary.to_pylist() == ["A", "9"]
    assert second["x"].dictionary.to_pylist() == ["A"]
    assert (first["x"].to_pylist(), second["x"].to_pylist()) == (["A", "9"], ["A", "A"])


@untimed
@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.just(0), min_size=4, max_size=4), min_size=1, max_size=70))
def test_stacks_end_at_the_first_zero(stacks):
    expected = [stack[: stack.index(0)] if 0 in stack else stack for stack in stacks]
    assert one("stack[4]", 32, [struct.pack("=4Q", *stack) for stack in stacks]) == expected


def test_durations():
    column = decode([("x", 0, "duration")], 8, [struct.pack("=Q", n) for n in (0, 1500, 10**18)]).column(0)
    assert column.type == pa.duration("ns")
    assert column.cast(pa.int64()).to_pylist() == [0, 1500, 10**18]


POINT = np.dtype([("x", ">i2"), ("y", "<f4"), ("tags", "<u2", (3,)), ("name", "S5")])  # packed: 17 bytes
POINT_TEXT = "struct 17{x@0=i16be;y@2=f32;tags@6=u16[3];name@12=char[5]}"
coordinates = st.tuples(
    st.integers(-(2**15), 2**15 - 1),
    st.floats(width=32, allow_nan=False),
    st.lists(st.integers(0, 65535), min_size=3, max_size=3),
    st.text("abcdef", max_size=5),
)


def as_row(point):
    x, y, tags, name = point
    return {"x": x, "y": y, "tags": tags, "name": name}


def packed(points):
    return np.array([(x, y, tags, name.encode()) for x, y, tags, name in points], POINT).tobytes()


@untimed
@given(st.lists(coordinates, min_size=1, max_size=70))
def test_structs_become_struct_columns(points):
    assert one(POINT_TEXT, 17, [packed([point]) for point in points]) == [as_row(point) for point in points]


@untimed
@given(st.integers(1, 4), st.data())
def test_arrays_of_structs_become_lists(count, data):
    rows = data.draw(st.lists(st.lists(coordinates, min_size=count, max_size=count), min_size=1, max_size=70))
    found = one(f"{POINT_TEXT}[{count}]", 17 * count, [packed(row) for row in rows])
    assert found == [[as_row(point) for point in row] for row in rows]


def test_arrays_in_arrays():
    kind = "struct 4{in@0=struct 2{b@1=u8}[2]}[3]"
    records = [bytes(range(start, start + 12)) for start in (0, 100)]
    expected = [[{"in": [{"b": start + 4 * i + 2 * j + 1} for j in (0, 1)]} for i in range(3)] for start in (0, 100)]
    assert one(kind, 12, records) == expected


def test_a_struct_may_hold_text_of_any_length():
    columns = [("head", 0, "struct 8{pid@0=u32;name@4=text[64]}")]
    records = [struct.pack("=II", 7, 4 << 16 | 8) + b"bash", struct.pack("=II", 8, 0)]
    assert decode(columns, 8, records).to_pylist() == [
        {"head": {"pid": 7, "name": "bash"}},
        {"head": {"pid": 8, "name": None}},
    ]


@untimed
@given(st.lists(st.tuples(st.integers(0, 4), st.binary(min_size=8, max_size=8)), min_size=1, max_size=150))
def test_the_tag_says_which_member_holds(records):
    columns = [
        ("kind", 0, "u16be"),
        ("what", 2, "union 8(kind){1=number:u64;2=address:ipv4;3=pair:struct 8{a@0=i32;b@4=char[4]}}"),
    ]
    batch = decode(columns, 10, [kind.to_bytes(2, "big") + what for kind, what in records])
    expected = []
    for kind, what in records:
        a, b = struct.unpack("=i4s", what)
        expected.append(
            {
                "number": int.from_bytes(what, "little") if kind == 1 else None,
                "address": str(ipaddress.IPv4Address(what[:4])) if kind == 2 else None,
                "pair": {"a": a, "b": b.split(b"\0")[0].decode(errors="replace")} if kind == 3 else None,
            }
        )
    assert batch["what"].to_pylist() == expected
    assert pl.DataFrame(batch)["what"].to_list() == expected


def test_a_union_in_each_element_of_an_array():
    kind = "struct 5{t@0=enum u8{NUMBER=0,TEXT=1};v@1=union 4(t){0=n:u32;1=s:char[4]}}[2]"
    record = b"\0\1\0\0\0" + b"\1abc\0"
    expected = [{"t": "NUMBER", "v": {"n": 1, "s": None}}, {"t": "TEXT", "v": {"n": None, "s": "abc"}}]
    assert one(kind, 10, [record, record[5:] + record[:5]]) == [expected, expected[::-1]]


def test_lists_of_any_length_have_numbers_of_any_kind():
    for name, kind in NUMBERS.items():
        values = np.arange(3).astype(kind).tobytes()
        record = struct.pack("=I", len(values) << 16 | 4) + values
        assert one(f"{name}[]", 4, [record, bytes(4)]) == [[0, 1, 2], None]


def metadata(kind):
    field = pa.schema(Exported(_native.record_schema([("x", 0, kind)], 1 << 12))).field(0)
    return {key.decode().removeprefix("fastbpf."): value.decode() for key, value in (field.metadata or {}).items()}


class Exported:
    def __init__(self, capsule):
        self._capsule = capsule

    def __arrow_c_schema__(self):
        return self._capsule


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("u32", {"c_type": "__u32"}),
        ("i64", {"c_type": "__s64"}),
        ("u16be", {"c_type": "__be16"}),
        ("f64", {"c_type": "double"}),
        ("f32be", {}),  # C has no name for it
        ("u16[3]", {"c_type": "__u16[3]"}),
        ("u32:5:3", {"c_type": "__u32:3"}),
        ("bool:1:1", {"c_type": "bool:1"}),
        ("char[16]", {"c_type": "char[16]"}),
        ("ktime", {"c_type": "__u64", "unit": "ns", "clock": "monotonic"}),
        ("boottime", {"c_type": "__u64", "unit": "ns", "clock": "boottime"}),
        ("tai", {"c_type": "__u64", "unit": "ns", "clock": "tai"}),
        ("duration", {"c_type": "__u64", "unit": "ns"}),
        ("ipv4", {"c_type": "__be32", "semantic": "ipv4"}),
        ("ipv6.raw", {"c_type": "struct in6_addr", "semantic": "ipv6"}),
        ("mac", {"c_type": "__u8[6]", "semantic": "mac"}),
        ("port", {"c_type": "__be16", "semantic": "port"}),
        ("stack[4]", {"c_type": "__u64[4]", "semantic": "stack"}),
        ("enum u8{A=1}", {"c_type": "enum"}),
        ("struct 4{a@0=u8}", {"c_type": "struct"}),
        ("struct 4{a@0=u8}[2]", {"c_type": "struct[2]"}),
        ("text[9]", {"c_type": "__data_loc char[]"}),
        ("record", {}),
    ],
)
def test_fields_say_what_arrow_cannot(kind, expected):
    assert metadata(kind) == expected


def test_nested_fields_say_it_too():
    kind = "struct 12{t@0=u32;u@4=union 8(t){1=at:boottime}}[2]"
    batch = decode([("x", 0, kind)], 24, [bytes(24)])
    inner = batch.schema.field("x").type.value_type
    assert inner.field("t").metadata == {b"fastbpf.c_type": b"__u32"}
    at = inner.field("u").type.field("at")
    assert at.metadata[b"fastbpf.clock"] == b"boottime"
    assert at.nullable


@pytest.mark.parametrize(
    ("columns", "size", "cause"),
    [
        ([("x", 0, "u33")], 4, r'"x" has a type that is not known, "u33": "u33" is no type'),
        ([("x", 0, "struct 4{a@0=u64}")], 8, "a at 0 does not fit into 4 bytes"),
        ([("x", 0, "struct 4{a@0=u32}[2]")], 7, "does not fit into a record of 7 bytes"),
        ([("x", 0, "union 4(t){1=a:u32}")], 4, 'the tag "t" of the union "x" is none of the fields beside it'),
        ([("t", 0, "f32"), ("x", 4, "union 4(t){1=a:u32}")], 8, "is not an integer"),
        ([("t", 0, "u8"), ("x", 4, "union 4(t){256=a:u32}")], 8, "can never be 256"),
        ([("t", 0, "u8:0:2"), ("x", 4, "union 4(t){4=a:u32}")], 8, "can never be 4"),
        ([("x", 0, "struct 4{a@0=text[8]}[2]")], 8, "is of any length, which cannot be in an array"),
        ([("t", 0, "u8"), ("x", 4, "union 4(t){1=a:bytes[]}")], 8, "which cannot be in an array, in a union"),
        ([("x", 0, "struct 4{a@0=record}")], 8, "cannot hold a whole record"),
        ([("x", 0, "u8"), ("x", 1, "u8")], 8, '"x" is there twice'),
        ([("x", -29, "u8")], 8, "at offset -29 does not fit"),
        ([("x", -8, "u64")], 8, "reads 8 bytes in front of the payload, which only records of a perf buffer have"),
        ([("x", 0, "u8")], (1 << 30) + 1, "is longer than any can be"),
        ([("x", 0, "struct 1024{a@0=struct 1{b@0=u8}[1024]}[1025]")], 1 << 21, "more than 1048576 elements"),
        ([("x", 0, "struct 1048576{a@0=ipv6[1]}")], 1 << 21, "is no type"),
        ([("x", 0, "struct 16{a@0=ipv6}[1048576]")], 1 << 24, "is too large for a column"),
        ([(f"x{i}", 0, "u8") for i in range(5000)], 8, "can have 4096 fields at most"),
        ([("x", 0, "struct 1{a@0=" * 5000)], 8, "nested deeper than 8"),
        ([], 8, "at least one field"),
    ],
)
def test_layouts_that_are_refused(columns, size, cause):
    with pytest.raises(fb.LayoutError, match=cause) as caught:
        RingDecoder(columns, size, 64)
    assert len(str(caught.value)) < 400


def test_rows_of_large_arrays_are_as_many_as_offsets_can_count():
    # Offsets of Arrow's lists have 31 bits, so that not all rows fit into one column.
    kind = "struct 1{a@0=u8}[65536]"
    decoder = RingDecoder([("x", 0, kind)], 1 << 16, 1 << 20)
    ring = (struct.pack("=II", 1 << 16, 0) + bytes(range(256)) * 256) * 3
    rows = [row for batch in (*decoder.decode(ring, CLOCKS), decoder.finish()) for row in pa.record_batch(batch)["x"]]
    assert len(rows) == 3
    for row in rows:
        np.testing.assert_array_equal(row.values.field("a").to_numpy(), np.tile(np.arange(256, dtype="u1"), 256))


SHAPES = [
    ("at", 0, "struct 8{time@0=boottime}"),
    ("took", 8, "duration"),
    ("kind", 16, "enum u8{READ=1}"),
    ("data", 17, "union 4(kind){1=from:ipv4;2=f:f32}"),
    ("list", 21, "struct 3{m@0=u8;d@1=port}[2]"),
]
SHAPES_RECORD = struct.pack("<QQB4sBHBH", 10**9 + 5, 1_500_000, 1, bytes([127, 0, 0, 1]), 1, 0x5000, 2, 0xBB01)


def test_shapes_as_json():
    batch = native(SHAPES, 27, [SHAPES_RECORD])
    assert [json.loads(line) for line in batch.to_ndjson().splitlines()] == [
        {
            "at": {"time": "1976-05-03T19:33:21.000000005Z"},
            "took": 1_500_000,
            "kind": "READ",
            "data": {"from": "127.0.0.1", "f": None},
            "list": [{"m": 1, "d": 80}, {"m": 2, "d": 443}],
        }
    ]
    assert dt.datetime(1976, 5, 3, 19, 33, 21, tzinfo=dt.UTC).timestamp() == (CLOCKS[1] + 10**9) / 10**9


def test_shapes_as_csv():
    batch = native(SHAPES, 27, [SHAPES_RECORD])
    (row,) = csv.DictReader(io.StringIO(batch.to_csv().decode()))
    assert (row["took"], row["kind"]) == ("1500000", "READ")
    assert json.loads(row["at"]) == {"time": "1976-05-03T19:33:21.000000005Z"}
    assert json.loads(row["data"]) == {"from": "127.0.0.1", "f": None}
    assert json.loads(row["list"]) == [{"m": 1, "d": 80}, {"m": 2, "d": 443}]


def test_shapes_on_a_terminal():
    assert native(SHAPES, 27, [SHAPES_RECORD]).to_text(0, 1) == [
        [
            "{time: 19:33:21.000000}",
            "1.5ms",
            "READ",
            "{from: 127.0.0.1, f: null}",
            "[{m: 1, d: 80}, {m: 2, d: 443}]",
        ]
    ]


def test_floats_that_are_no_numbers_are_null_in_json():
    batch = native([("x", 0, "f64")], 8, [struct.pack("=d", value) for value in (1.5, float("nan"), float("inf"))])
    assert [json.loads(line)["x"] for line in batch.to_ndjson().splitlines()] == [1.5, None, None]
