"""Layouts of numpy dtypes, judged by the bytes that numpy makes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.record.decoding import rows

import fastbpf as fb

PLAIN = [f"{order}{kind}" for order in "<>" for kind in ("u2", "u4", "u8", "i2", "i4", "i8", "f4", "f8")] + [
    "u1",
    "i1",
    "?",
]


@st.composite
def dtypes(draw, depth=2):
    fields = []
    for n in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(PLAIN))
        if depth and draw(st.integers(0, 3)) == 0:
            kind = draw(dtypes(depth=depth - 1))
        numbers = kind != "?"
        shape = draw(st.sampled_from([(), (), (3,), (2, 2)])) if numbers else ()
        fields.append((f"f{n}", kind, shape))
    return np.dtype(fields, align=draw(st.booleans()))


def plain(value):
    if isinstance(value, fb.Struct):
        return [plain(getattr(value, name)) for name in type(value).fields]
    if isinstance(value, np.void):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return [plain(one) for one in value.values()]
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value.ravel()]
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return "NaN" if value != value else value


@given(st.data())
def test_values_are_numpys(data):
    dtype = data.draw(dtypes())
    layout = fb.Struct.from_dtype(dtype)
    assert layout.size == dtype.itemsize
    assert [layout.offset(name) for name in dtype.names] == [dtype.fields[name][1] for name in dtype.names]
    raw = data.draw(st.binary(min_size=layout.size, max_size=layout.size))
    theirs = np.frombuffer(raw, dtype)[0]
    ours = layout.unpack(raw)
    assert plain(ours) == plain(theirs)
    assert plain(np.frombuffer(ours.pack(), dtype)[0]) == plain(ours)
    assert [plain(row) for row in rows(layout, [raw]).to_pylist()] == [plain(ours)]


def test_text():
    dtype = np.dtype([("name", "S7"), ("lines", "S4", 2), ("pid", "u4")], align=True)
    layout = fb.Struct.from_dtype(dtype)
    # Zeros between the fields too.
    theirs = np.zeros(1, dtype)
    theirs[0] = (b"bash", [b"ab", b"cd"], 7)
    assert layout.unpack(theirs.tobytes()) == layout(name="bash", lines=b"ab\0\0cd\0\0", pid=7)
    assert layout.unpack(theirs.tobytes()).pack() == theirs.tobytes()


def test_offsets_and_other_types():
    dtype = np.dtype(
        {
            "names": ["took", "raw", "late", "flags"],
            "formats": ["m8[ns]", "V5", "<u2", ("?", 2)],
            "offsets": [8, 0, 30, 20],
            "itemsize": 40,
        }
    )
    layout = fb.Struct.from_dtype(dtype, "Took")
    assert layout.__name__ == "Took"
    assert layout.size == 40
    assert layout.columns() == [
        ("took", 8, "duration"),
        ("raw", 0, "bytes[5]"),
        ("late", 30, "u16"),
        ("flags", 20, "u8[2]"),
    ]


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("M8[ns]", "give fb.ktime or fb.boottime"),
        ("m8[us]", r"m8\[ns\]"),
        ("U4", "S16"),
        ("O", "keep its bytes, V8"),
        ("c16", "keep its bytes, V16"),
        ("f2", "keep its bytes, V2"),
        ("S0", "keep its bytes"),
    ],
)
def test_what_has_no_column_says_what_to_do(kind, remedy):
    with pytest.raises(fb.LayoutError, match=f"Record.x: .* has no column; .*{remedy}"):
        fb.Struct.from_dtype(np.dtype([("x", kind)]))


def test_what_is_no_structured_dtype():
    for wrong in (np.dtype("u4"), np.dtype([("a", "u4")]) and np.dtype(("u4", 2)), "u4", None):
        with pytest.raises(fb.LayoutError, match="no structured dtype"):
            fb.Struct.from_dtype(wrong)
