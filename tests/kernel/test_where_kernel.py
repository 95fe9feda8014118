"""The running kernel filters as Python's own eval does, on the numbers and texts that the bytes stand for."""

import random
import re
import struct
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fastbpf import MapSpec, ProgramSpec, WhereError
from fastbpf.asm import *
from fastbpf.record import u8
from fastbpf.tracing.where import Chars, Number, Place, Text, TextPlace, compile_where

NUMBERS = {
    **{
        f"{'s' if signed else 'u'}{size * 8}": Number(size, signed) for size in (1, 2, 4, 8) for signed in (False, True)
    },
    **{f"args.{'s' if signed else 'u'}{size * 8}": Number(size, signed) for size in (4, 8) for signed in (False, True)},
    "flag": Number(1, signed=False, boolean=True),
    "wide_flag": Number(4, signed=True, boolean=True),
}
CHARS = {"comm": Chars(16), "name": Chars(5)}
TEXTS = {"path": Text(12), "args.path": Text(8)}
KINDS = {**NUMBERS, **CHARS, **TEXTS}

# Where all this lies: in the value of a map, numbers and chars at multiples of 8; programs copy these onto their stack.
PLAIN = [*NUMBERS, *CHARS]
OFFSETS = {name: 16 * i for i, name in enumerate(PLAIN)}
STACK = -16 * len(PLAIN)
LOCATIONS = {name: 16 * len(PLAIN) + 4 * i for i, name in enumerate(TEXTS)}
BYTES = 16 * len(PLAIN) + 4 * len(TEXTS)  # from here on text
LIMIT = BYTES + 40
SIZE = LIMIT + TEXTS["path"].most + 1  # not a byte more than `path` may take
LIMITS = {name: SIZE - kind.most - 1 for name, kind in TEXTS.items()}
PLACES = {
    **{name: Place(fp, STACK + OFFSETS[name]) for name in PLAIN},
    **{name: TextPlace(r7, LOCATIONS[name], LIMITS[name]) for name in TEXTS},
}
EVENT = MapSpec("array", value=u8[SIZE], max_entries=1, name="event")


# What the fields hold: (the value as Python has it, the bytes).


def bounds(kind):
    if kind.boolean:
        return 0, 1
    bits = 8 * kind.size
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if kind.signed else (0, (1 << bits) - 1)


def near_bounds(low, high):
    edges = {
        e + d for e in (low, high, 0, 127, 255, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 63) for d in (-2, -1, 0, 1, 2)
    }
    edges |= {-e for e in edges}
    return st.sampled_from(sorted(e for e in edges if low <= e <= high)) | st.integers(low, high)


WORDS = [
    "",
    "a",
    "b",
    "ab",
    "/a",
    "/ab",
    "/etc/",
    "bash",
    "bashful",
    "abababa",
    "abcdefgh",
    "abcdefghi",
    "é",
    "aé",
    "日本",
]
words = st.sampled_from(WORDS) | st.text("ab/é日", max_size=15)


def cut(most):
    """Words of at most so many bytes."""
    return words.map(lambda word: word.encode()[:most].decode(errors="ignore"))


@st.composite
def events(draw):
    noise = random.Random(draw(st.integers(0, 1 << 32)))  # what no condition may depend on
    data = bytearray(noise.randbytes(SIZE))
    values = {}
    for name, kind in NUMBERS.items():
        if kind.boolean:
            number = draw(st.sampled_from([0, 1, 2, 128, (1 << 8 * kind.size) - 1]))
            values[name] = bool(number)
        else:
            values[name] = number = draw(near_bounds(*bounds(kind)))
        raw = (number % (1 << 8 * kind.size)).to_bytes(kind.size, "little")
        data[OFFSETS[name] : OFFSETS[name] + kind.size] = raw
    for name, kind in CHARS.items():
        values[name] = text = draw(cut(kind.size - 1))
        raw = text.encode() + b"\0"
        data[OFFSETS[name] : OFFSETS[name] + len(raw)] = raw
    start = BYTES + draw(st.integers(0, 8))
    for name, kind in TEXTS.items():
        values[name] = text = draw(st.none() | words)
        if text is None:
            location = 0
        else:
            raw = text.encode()[: kind.most + 1]
            start = draw(st.sampled_from([start, LIMITS[name]])) if name == [*TEXTS][-1] else start
            data[start : start + len(raw)] = raw
            location = len(raw) << 16 | start
            start += len(raw)
        struct.pack_into("<I", data, LOCATIONS[name], location)
    return values, bytes(data)


# Expressions as data: a leaf is text; the rest is ("not", part), ("and", parts), ("or", parts). In a leaf, `?<NUMBER>`
# is the number's value in one event, `?FIELD:N?` the first N characters of a text there: so more leaves are just true.


def told(leaf, values):
    def number(match):
        return str(int(eval(match[1], names(values))))

    def text(match):
        kind = KINDS[match[1]]
        most = kind.most if isinstance(kind, Text) else kind.size - 1
        start = (values[match[1]] or "")[: int(match[2])]
        return repr(start.encode()[:most].decode(errors="ignore"))

    return re.sub(r"\?([a-z.]+):(\d+)\?", text, re.sub(r"\?<(.*)>", number, leaf))


def names(values):
    return {"args": SimpleNamespace(**{n[5:]: value for n, value in values.items() if n.startswith("args.")}), **values}


def written(part, values):
    """The text of an expression."""
    match part:
        case str():
            return told(part, values)
        case "not", inner:
            return f"not ({written(inner, values)})"
        case how, inner:
            return f" {how} ".join(f"({written(one, values)})" for one in inner)


def true(part, values, told_by):
    """Whether an expression is, by eval and the rule of nulls: None where a null decides."""
    match part:
        case str():
            text = told(part, told_by)
            nulls = any(values[n] is None and re.search(rf"(?<![.]){re.escape(n)}\b", text) for n in TEXTS)
            return None if nulls and " is " not in text else bool(eval(text, names(values)))
        case "not", inner:
            known = true(inner, values, told_by)
            return None if known is None else not known
        case how, inner:
            known = {true(one, values, told_by) for one in inner}
            decisive = how == "or"
            return decisive if decisive in known else None if None in known else not decisive


constants = near_bounds(-(1 << 65), 1 << 65) | st.integers(-300, 300)
literals = st.builds(lambda n, how: how(n), constants, st.sampled_from([str, hex, bin, oct])) | st.sampled_from(
    ["True", "False"]
)
fields = st.sampled_from([*NUMBERS])


def larger(numbers):
    return st.one_of(
        st.builds("({} {} {})".format, numbers, st.sampled_from(["+", "-", "*", "&", "|", "^"]), numbers),
        st.builds(
            "({} & {:#x})".format, numbers, st.sampled_from([1, 0x40, 0xFF, 0xFFFF_FFFF, (1 << 63) - 1, (1 << 64) - 1])
        ),
        st.builds("({} {} {})".format, numbers, st.sampled_from(["<<", ">>"]), st.integers(0, 63)),
        st.builds(
            "({} {} ({} & {}))".format, numbers, st.sampled_from(["<<", ">>"]), numbers, st.sampled_from([1, 7, 63])
        ),
        st.builds(
            "({} {} {})".format,
            st.sampled_from(["u8", "u32", "u64", "args.u64", "(u32 + u16)", "(s64 & 0xffff)", "flag"]),
            st.sampled_from(["//", "%"]),
            st.integers(1, 300)
            | st.sampled_from([1 << 31, 1 << 32, (1 << 64) - 1, "(u8 + 1)", "(u32 | 1)", "(flag + 3)"]),
        ),
        st.builds("{}({})".format, st.sampled_from("-+~"), numbers),
    )


numbers = st.recursive(fields | fields | literals, larger, max_leaves=6)
symbols = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


@st.composite
def text_leaves(draw):
    name, kind = draw(st.sampled_from([*(CHARS | TEXTS).items()]))
    most = kind.most if isinstance(kind, Text) else kind.size - 1
    literal = cut(most).map(repr) | st.integers(0, 13).map(f"?{name}:{{}}?".format)
    several = st.lists(literal, max_size=4).map(lambda items: f"({''.join(item + ', ' for item in items)})")
    return draw(
        st.one_of(
            st.builds("{} {} {}".format, st.just(name), st.sampled_from(["==", "!="]), literal),
            st.builds("{2} {1} {0}".format, st.just(name), st.sampled_from(["==", "!="]), literal),
            st.builds("{} {} {}".format, st.just(name), st.sampled_from(["in", "not in"]), several),
            st.builds("{}.startswith({})".format, st.just(name), literal | several),
            st.builds("{} {} None".format, st.just(name), st.sampled_from(["is", "is not"])),
            st.builds("{0} == {2} != {1}".format, literal, literal, st.just(name)),
        )
    )


number_leaves = st.one_of(
    st.builds("{} {} {}".format, fields, symbols, literals),
    st.builds("{} {} {}".format, numbers, symbols, numbers),
    st.builds("{0} {1} ?<{0} + {2}>".format, numbers, symbols, st.integers(-1, 1)),
    st.builds("{} {} {}".format, fields, symbols, fields),
    st.builds("{} {} {} {} {}".format, numbers, symbols, fields, symbols, numbers),
    st.builds(
        "{0} {1} ({2}, ?<{0}>, {3})".format, fields | numbers, st.sampled_from(["in", "not in"]), literals, literals
    ),
    numbers,
)
conditions = st.recursive(
    number_leaves | text_leaves(),
    lambda parts: st.one_of(
        st.tuples(st.just("not"), parts),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(parts, min_size=2, max_size=3)),
    ),
    max_leaves=5,
)


def compiled(text):
    try:
        return compile_where(text, KINDS)
    except WhereError as error:
        if "may not fit 64 bits" not in error.message:
            raise
        return None  # a chance of the draw


def program(found):
    """Returns a number. Bit 2n: whether the n-th condition wants the event; bit 2n + 1: the same by its conjuncts."""
    parts = [
        mov(r6, 0),
        stw(fp, STACK - 8, 0),
        call.map_lookup_elem(EVENT, fp + (STACK - 8)),
        jeq(r0, 0, "end"),
        mov(r7, r0),
    ]
    for at in range(0, -STACK, 8):
        parts += [ldxdw(r1, r7, at), stxdw(fp, STACK + at, r1)]
    for n, condition in enumerate(found):
        whole = condition.emit(PLACES, f"not {n}")
        split = [part.emit(PLACES, f"not all of {n}") for part in condition.conjuncts]
        for piece in (*whole, *(piece for part in split for piece in part)):
            # r6 to r9 are the caller's, r10 nobody's; branches (classes 5 and 6) only read what others write
            assert isinstance(piece, Label) or piece.dst < 6 or piece.opcode & 7 in {5, 6}
        parts += [whole, or_(r6, 1 << 2 * n), label(f"not {n}"), split, or_(r6, 2 << 2 * n), label(f"not all of {n}")]
    return assemble(parts, label("end"), mov(r0, r6), exit_())


def wanted(found, data):
    """By each condition and each event, what the kernel says."""
    with ProgramSpec("socket_filter", program(found), name="where").load() as loaded:
        for one in data:
            loaded.maps["event"][0] = one
            result = loaded.test_run(data=bytes(14)).retval
            yield [(bool(result >> 2 * n & 1), bool(result >> 2 * n & 2)) for n in range(len(found))]


@settings(max_examples=300, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.lists(conditions, min_size=1, max_size=8), st.lists(events(), min_size=1, max_size=6))
def test_the_kernel_filters_as_python_does(expressions, happened):
    first = happened[0][0]
    texts = [written(expression, first) for expression in expressions]
    tried = [(e, text, found) for e, text in zip(expressions, texts, strict=True) if (found := compiled(text))]
    assume(tried)
    results = wanted([condition for _, _, condition in tried], [data for _, data in happened])
    for (values, _), result in zip(happened, results, strict=True):
        for (expression, text, condition), (whole, split) in zip(tried, result, strict=True):
            assert (text, whole) == (text, true(expression, values, first) is True), values
            assert (text, split) == (text, whole)
            assert condition.constant in {None, whole}, text


def pressed(depth):
    """A sum that takes `depth` registers, in whatever order."""
    return "u8" if depth == 1 else f"({pressed(depth - 1)} + {pressed(depth - 1)})"


def listed(values):
    return f"({', '.join(map(repr, values))},)"


EDGE = dict.fromkeys(NUMBERS, 0) | {
    "flag": True,
    "wide_flag": True,
    "u8": 200,
    "s64": -1 << 63,
    "u64": (1 << 64) - 1,
    "s16": -3,
    "s32": -2,
    "u32": 1999,
}
# Text that is longer than is kept and lies as late as it may, and text that is empty, which is not null.
FULL = EDGE | {"comm": "c" * 15, "name": "abcd", "path": "a" * 13, "args.path": ""}
NULL = EDGE | {"comm": "", "name": "", "path": "/etc/", "args.path": None}


def laid_out(values):
    data = bytearray(SIZE)
    for name, kind in NUMBERS.items():
        number = 0x80 if values[name] is True else values[name] % (1 << 8 * kind.size)
        data[OFFSETS[name] : OFFSETS[name] + kind.size] = number.to_bytes(kind.size, "little")
    for name in CHARS:
        data[OFFSETS[name] : OFFSETS[name] + len(values[name])] = values[name].encode()
    for name, start in {"path": LIMIT, "args.path": BYTES}.items():
        if values[name] is not None:
            data[start : start + len(values[name])] = values[name].encode()
            struct.pack_into("<I", data, LOCATIONS[name], len(values[name]) << 16 | start)
    return bytes(data)


@pytest.mark.parametrize(
    "expression",
    [
        f"{pressed(6)} == 32 * u8",  # all six registers
        "u8 + (u8 + (u8 + (u8 + (u8 + (u8 + (u8 + (u8 + u8))))))) == 9 * u8",
        "u8 - ((u8 + u16) - (u8 - (u16 + (u8 - (u8 & u8))))) == 400",
        "s16 < 5 and s16 >> 1 == -2 and s64 >> 63 == -1",
        "s32 < 5 and s32 > -3 and -2 <= s32 <= -2 and not s32 >= 2147483647",
        "s64 != u64 and s64 < u64 and s64 <= u64 and u64 != s64 and u64 > s64 and u64 >= s64",
        "s64 == u64 or s64 > u64 or s64 >= u64 or u64 == s64 or u64 < s64 or u64 <= s64",
        "s64 - 1 & 0xff == 0xff and u64 + 1 & 0xffffffff == 0",
        "(u8 | 200) == 200 and u8 % 201 == 200 and (s32 | s16) == -1 and (s32 ^ -1) == 1",
        "(u8 & (-0x3_0000_0000_0000_0000 - u8)) == 56 and u8 + 0x3_0000_0000_0000_0000 & 0xffff == 200",
        "s64 == u64",
        "u64 == s64",
        "u8 & 8",
        "u8 & 7",
        "flag + wide_flag == 2 and flag == wide_flag and 3 >> flag == 1",
        "path.startswith('/etc/')",
        "path.startswith(('/etc', '/etc/x'))",
        "path == '/etc/' and args.path != 'x'",
        "path in ('/etc/x', '/etc', '/etc/')",
        "args.path.startswith('')",
        ("not", "args.path.startswith('')"),
        ("not", "args.path in ()"),
        ("not", "args.path == ''"),
        ("not", ("or", ["args.path in ('', 'x')", "u8 == 1"])),
        "args.path is None",
        "args.path is not None",
        "args.path in ('', 'x')",
        f"path.startswith('{'a' * 12}')",
        f"path == '{'a' * 12}'",
        f"path != '{'a' * 12}'",
        "args.path == ''",
        f"comm == '{'c' * 15}'",
        "name == 'abcd' and name.startswith('abcd')",
        f"u32 in {listed(range(2000))}",
        f"u32 in {listed(range(1999))}",
        f"u64 not in {listed(range(1 << 40, (1 << 40) + 1300))}",
        f"s32 in {listed(range(-3000, 0))}",
        f"path not in {listed(f'{n:012}' for n in range(150))}",
        f"comm not in {listed(f'{n:015}' for n in range(400))}",
    ],
)
@pytest.mark.parametrize("values", [FULL, NULL], ids=["full", "null"])
def test_at_the_edges(expression, values):
    condition = compile_where(written(expression, values), KINDS)
    assert list(wanted([condition], [laid_out(values)])) == [[(true(expression, values, values) is True,) * 2]]


def test_the_same_twice_in_one_program():
    condition = compile_where("s64 < u64 and u8 in (1, 200)", KINDS)
    assert list(wanted([condition, condition], [laid_out(FULL)])) == [[(True, True)] * 2]


@pytest.mark.parametrize(
    "text", ["False", "u8 == -1", "path in () or comm in ()", "path in () and u8 == 1", "u8 == 1 and False"]
)
def test_what_is_never_wanted_loads_too(text):
    assert list(wanted([compile_where(text, KINDS)], [laid_out(FULL)])) == [[(False, False)]]
