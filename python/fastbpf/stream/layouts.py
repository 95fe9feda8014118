"""The types of record that a buffer carries, as the native module takes them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import LayoutError
from fastbpf.record import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

Number = tuple[int, int]
Tagged = tuple[str, int, int, list[tuple[int, int]]]
Table = tuple[list[tuple[str, int, str]], int, dict[str, str]]
# The kind of buffer, its types of record, and the tag.
Source = tuple[str, list[Table], Tagged | None]

# The integers that a tag or a sequence number can be, and their bytes.
_WIDTHS: Final = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i8": 1, "i16": 2, "i32": 4, "i64": 8}


# What the kernel writes before the payload of a perf buffer's sample (rust/src/perf/scan.rs): CLOCK_MONOTONIC, the CPU.
SAMPLE: Final = (("ts", -20, "ktime"), ("cpu", -12, "u32"))


class Layouts:
    """One type of record, or several that a tag tells apart."""

    def __init__(self, record: Any, tag: str | None, sample: Sequence[tuple[str, int, str]] = ()) -> None:
        self._sample = sample
        self.types: list[type[Struct]]
        self.tagged: Tagged | None = None
        if not isinstance(record, Mapping):
            if tag is not None:
                raise LayoutError(
                    f"tag={tag!r} tells several types of record apart: give them as {{1: First, 2: Second}}"
                )
            self.types = [_struct(record)]
            return
        if not record:
            raise LayoutError("there is no type of record in {}: give {1: First, 2: Second}")
        if tag is None:
            raise LayoutError("several types of record are told apart by a field: name it with tag=")
        self.types = list(dict.fromkeys(_struct(one) for one in record.values()))
        offset, width = place(self.types, tag, "tag")
        for value in record:
            if isinstance(value, bool) or not isinstance(value, int):
                raise LayoutError(f"{value!r} is no number that {tag!r} could hold")
            if not -(1 << (8 * width - 1)) <= value < 1 << (8 * width):
                raise LayoutError(f"{value} does not fit into {tag!r}, which has {width} bytes")
        numbers = [(value % (1 << (8 * width)), self.types.index(one)) for value, one in record.items()]
        self.tagged = (tag, offset, width, numbers)

    @cached_property
    def tables(self) -> list[Table]:
        """The form of each, in the order of the tables' numbers, and what its schema is to tell."""
        clocks = told_clocks()
        return [
            ([*self._stamps(one), *one.columns()], one.size, {"fastbpf.record": one.__name__, **clocks})
            for one in self.types
        ]

    # What stands before the record, under names that the record does not have.
    def _stamps(self, one: type[Struct]) -> list[tuple[str, int, str]]:
        return [(f"sample_{name}" if name in one.fields else name, at, code) for name, at, code in self._sample]


def told_clocks() -> dict[str, str]:
    """What turns the clocks' own readings into UTC later: nanoseconds to add, and the boot for which they hold."""
    from fastbpf import _native

    monotonic, boottime, tai = _native.clock_offsets()
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        offsets = f"monotonic={monotonic} boottime={boottime} tai={tai}"
        return {"fastbpf.boot_id": boot, "fastbpf.utc_offsets": offsets}
    return {}


def place(types: Sequence[type[Struct]], name: str, what: str) -> Number:
    """Offset and width of an integer field that stands at one place in all the types."""
    found = {(one.offset(name), one.fields[name].code) for one in types}
    if len(found) > 1:
        raise LayoutError(f"{what}={name!r} has to stand at one place in all types of record, as one type of number")
    offset, code = next(iter(found))
    if code not in _WIDTHS:
        raise LayoutError(f"{what}={name!r} is a {code}; it has to be an integer, such as fb.u32")
    return offset, _WIDTHS[code]


def sequence_places(
    types: Sequence[type[Struct]], sequence: str | tuple[str, str] | None
) -> tuple[Number, Number | None] | None:
    """Where a record has its sequence number, and the field that tells which sequence it is of."""
    if sequence is None:
        return None
    if isinstance(sequence, str):
        return place(types, sequence, "sequence"), None
    number, of = sequence
    return place(types, number, "sequence"), place(types, of, "sequence")


def _struct(record: Any) -> type[Struct]:
    if Struct not in getattr(record, "__mro__", ()):
        raise LayoutError(f"a record's layout is a Struct, not {record!r}")
    kind: type[Struct] = record
    return kind
