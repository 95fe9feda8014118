"""Batches made without a kernel: records laid out by hand as a ring holds them, through the package's own decoder."""

import functools
import struct

from tests.unit.record.decoding import RingDecoder

import fastbpf as fb
from fastbpf.stream import Stats

STATS = Stats(7, 7, 0, 1, None, 0, 2, 400, 1, 3)


class Event(fb.Struct):
    ts: fb.boottime
    pid: fb.u32
    ok: fb.bool8
    comm: fb.char[16]
    big: fb.u64
    small: fb.i8
    mac: fb.raw[6]
    stack: fb.i64[2]
    name: fb.text[256]


NAMES = ["/etc/passwd", "", 'quo"te, and\nline', "smör/日本", None]


def record(i):
    name = NAMES[i % len(NAMES)]
    tail = b"" if name is None else name.encode()
    place = 0 if name is None else len(tail) << 16 | Event.size
    body = bytearray(Event.size)
    for field, form, *values in (
        ("ts", "Q", 1_000 + i),
        ("pid", "I", i),
        ("ok", "?", i % 2),
        ("comm", "16s", f"proc-{i % 7}".encode()),
        ("big", "Q", 2**63 + i),
        ("small", "b", -(i % 100)),
        ("mac", "6s", bytes([i % 256, 0, 1, 2, 3, 255])),
        ("stack", "2q", i, -i),
        ("name", "I", place),
    ):
        struct.pack_into(f"={form}", body, Event.offset(field), *values)
    data = bytes(body) + tail
    whole = struct.pack("=II", len(data), 0) + data
    return whole + bytes(-len(whole) % 8)


@functools.cache
def batch(rows, first=0):
    decoder = RingDecoder(Event.columns(), Event.size, max(rows, 1))
    decoded = decoder.decode(b"".join(map(record, range(first, first + rows))), (0, 1_700_000_000 * 10**9, 0))
    return [*decoded, decoder.finish()][0]


def nested(first, rows):
    """An array of structs with an enum and a union, beside a struct."""
    element = "struct 8{kind@0=enum u16{A=0,B=1};n@2=u16;what@4=union 4(kind){0=port:port;1=name:char[4]}}"
    columns = [("list", 0, f"{element}[2]"), ("pair", 8, element), ("took", 0, "duration")]
    decoder = RingDecoder(columns, 16, rows)
    records = (struct.pack("=IIHHHHHHI", 16, 0, n % 2, n, n, 7, n % 1000, n, n) for n in range(first, first + rows))
    return [*decoder.decode(b"".join(records), (0, 0, 0)), decoder.finish()][0]
