"""Writes inputs for the fuzzers to start from: `fuzz_seeds.py DIR` makes DIR/ring_scan and DIR/perf_scan."""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

BUSY, DISCARD = 1 << 31, 1 << 30


def payload(number: int, text: bytes = b"", tail: bytes = b"", numbers: tuple[int, ...] = ()) -> bytes:
    """A record of the plan in rust/src/fuzzing.rs."""
    rest = text + tail + struct.pack(f"{len(numbers)}I", *numbers)
    places, at = [], 28
    for length in (len(text), len(tail), 4 * len(numbers)):
        places.append(length << 16 | at if length else 0)
        at += length
    return struct.pack("=Q4sI3I", number, b"comm"[: 1 + number % 4], number, *places) + rest


def padded(data: bytes) -> bytes:
    """Records take multiples of 8 bytes."""
    return data + bytes(-len(data) % 8)


def ring(data: bytes, flags: int = 0) -> bytes:
    """A record of a ring."""
    return padded(struct.pack("=II", len(data) | flags, 0) + data)


def perf(data: bytes) -> bytes:
    """A sample of a perf buffer, with the garbage that pads it."""
    raw = (len(data) + 4 + 7) // 8 * 8 - 4
    return struct.pack("=IHHQIII", 9, 1, 28 + raw, 7, 1, 0, raw) + data.ljust(raw, b"\xaa")


def other(kind: int, words: tuple[int, ...]) -> bytes:
    """Another record of a perf buffer."""
    return struct.pack(f"=IHH{len(words)}Q", kind, 0, 8 + 8 * len(words), *words)


def header(limit: int, taken: int, start: int, words: int) -> bytes:
    """How to read what follows; `start` is in words, and so is how much there is."""
    return struct.pack("=BBHHH", limit - 1, taken - 1, start & 0xFFFF, words & 0xFFFF, 0)


PAYLOADS = [
    [payload(i) for i in range(100)],
    [payload(i, text=b"text \xff\xc3\xa9" * (i % 5), numbers=(1, 2, 3)) for i in range(10)],
    [payload(i, tail=bytes(i)) for i in range(40)],
    [payload(0)[:12], b"", payload(1)],
    [payload(1, text=b"x" * 4000)] * 20,
]


def rings() -> Iterator[bytes]:
    """Records of one length and of several, discarded, unfinished, and one that reaches out of the ring."""
    for payloads in PAYLOADS:
        records = [ring(data) for data in payloads]
        yield header(64, 64, 0, 0) + b"".join(records)
        yield header(3, 1, 0, 0) + b"".join(records) + ring(payload(9), BUSY)
        yield header(64, 64, 0, 0) + ring(payload(9), DISCARD).join(records)
        yield header(64, 64, 0, 0) + records[0] + struct.pack("=II", 1 << 29, 0)


def perfs() -> Iterator[bytes]:
    """Samples alone and between other records."""
    for payloads in PAYLOADS:
        records = [perf(data) for data in payloads]
        for separator in (b"", other(2, (77, 5)), other(5, (1, 2, 3))):
            data = separator.join(records)
            words = len(data) // 8
            # Where it was written, and turned so that records wrap.
            for start in (0, 1, words // 2, words - 2):
                pages = data[len(data) - 8 * start :] + data[: len(data) - 8 * start]
                yield header(64, 64, start, words) + pages
                yield header(7, 3, start, words) + pages


def main(folder: Path) -> None:
    """Writes a file for each."""
    for target, seeds in (("ring_scan", rings()), ("perf_scan", perfs())):
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (folder / target / f"seed-{number}").write_bytes(seed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
