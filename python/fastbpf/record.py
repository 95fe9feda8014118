"""Records: what a program writes for each event, or keeps in a map, field by field.

A `Struct` is laid out as C does it on this machine: each field aligned to its element's size, the whole to its largest.
"""

from __future__ import annotations

import inspect
import struct
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final

from fastbpf.errors import LayoutError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from typing import Self

    import pyarrow as pa

__all__ = ["FieldType", "Struct", "bool8", "boottime", "char", "ktime", "raw", "spin_lock", "tai", "text"]
__all__ += ["i8", "i16", "i32", "i64", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64"]


class FieldType:
    """The type of one field: how many bytes it takes, and which column it becomes.

    >>> import fastbpf as fb
    >>> fb.u64[20]
    fb.u64[20]
    >>> fb.u64[20].size, fb.u64[20].align
    (160, 8)
    """

    __slots__ = ("_array", "_format", "align", "code", "size")

    def __init__(self, code: str, size: int, align: int, packing: str, *, array: bool = False) -> None:
        self.code: Final = code
        self.size: Final = size
        self.align: Final = align
        self._format: Final = packing
        self._array: Final = array

    def __repr__(self) -> str:
        return f"fb.{self.code}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldType) and other.code == self.code

    def __hash__(self) -> int:
        return hash(self.code)

    def __getitem__(self, count: int) -> FieldType:
        if self.code not in _INTEGERS:
            raise LayoutError(f"{self!r} cannot be an array; arrays are made of integers, char and raw")
        count = _count(self.code, count)
        return FieldType(f"{self.code}[{count}]", self.size * count, self.align, f"{count}{self._format}", array=True)

    def pack(self, value: Any) -> bytes:
        r"""The value as the kernel keeps it, `size` bytes.

        >>> import fastbpf as fb
        >>> fb.u16.pack(513)
        b'\x01\x02'
        >>> fb.u8.pack(300)
        Traceback (most recent call last):
            ...
        fastbpf.errors.LayoutError: 300 does not fit into fb.u8
        """
        if self._format.endswith("s"):
            data = value.encode() if isinstance(value, str) else value
            if not isinstance(data, bytes) or len(data) > self.size:
                raise LayoutError(f"{value!r} does not fit into {self!r}")
            return data.ljust(self.size, b"\0")
        try:
            return struct.pack(f"={self._format}", *(value if self._array else (value,)))
        except (struct.error, TypeError):
            raise LayoutError(f"{value!r} does not fit into {self!r}") from None

    def unpack(self, data: bytes) -> Any:
        """The value that `pack` made these bytes from.

        >>> import fastbpf as fb
        >>> fb.char[16].unpack(b"bash".ljust(16, bytes(1)))
        'bash'
        """
        values = struct.unpack(f"={self._format}", data)
        if self.code.startswith("char"):
            return values[0].split(b"\0", 1)[0].decode(errors="replace")
        return values if self._array else values[0]


class _Sized:
    # A type that is nothing without its count: char[16].
    def __init__(self, code: str, size: int | None, align: int) -> None:
        self._code = code
        self._size = size
        self._align = align

    def __repr__(self) -> str:
        return f"fb.{'raw' if self._code == 'bytes' else self._code}"

    def __getitem__(self, count: int) -> FieldType:
        count = _count(self._code, count)
        size = count if self._size is None else self._size
        return FieldType(f"{self._code}[{count}]", size, self._align, f"{count}s" if self._size is None else "I")


def _count(code: str, count: int) -> int:
    if type(count) is not int or not 0 < count <= 1 << 20:
        raise LayoutError(f"{code}[{count!r}]: the count has to be a whole number from 1 to {1 << 20}")
    return count


u8: Final = FieldType("u8", 1, 1, "B")
u16: Final = FieldType("u16", 2, 2, "H")
u32: Final = FieldType("u32", 4, 4, "I")
u64: Final = FieldType("u64", 8, 8, "Q")
i8: Final = FieldType("i8", 1, 1, "b")
i16: Final = FieldType("i16", 2, 2, "h")
i32: Final = FieldType("i32", 4, 4, "i")
i64: Final = FieldType("i64", 8, 8, "q")
# The kernel's names for them.
s8, s16, s32, s64 = i8, i16, i32, i64
bool8: Final = FieldType("bool", 1, 1, "?")
# u64 nanoseconds of CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_TAI → timestamp[ns, UTC].
ktime: Final = FieldType("ktime", 8, 8, "Q")
boottime: Final = FieldType("boottime", 8, 8, "Q")
tai: Final = FieldType("tai", 8, 8, "Q")
# char[N]: text up to a NUL, a dictionary column; raw[N]: N bytes as they are, fixed-size binary.
char: Final = _Sized("char", None, 1)
raw: Final = _Sized("bytes", None, 1)
# text[N]: a u32, length << 16 | offset (the kernel's __data_loc), to text in the record's tail; at most N bytes of it
# are kept, and offset 0 is null.
text: Final = _Sized("text", 4, 4)

# A struct bpf_spin_lock, for programs that change a value of a map together (Linux 5.1); 0 here, and not a column.
spin_lock: Final = FieldType("spin_lock", 4, 4, "I")

_INTEGERS: Final = frozenset({"u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"})
# As text of the record's tail, other elements: made by the tracer for __data_loc arrays.
_TAIL_ELEMENTS: Final = {**{name: f"{name}[]" for name in _INTEGERS}, "bytes": "bytes[]"}


def tail(element: str) -> FieldType:
    # A list (or bytes) of any length in the record's tail, found as text[N] is.
    return FieldType(_TAIL_ELEMENTS[element], 4, 4, "I")


# The whole record as it stands in the ring: what a capture keeps.
whole_record: Final = FieldType("record", 0, 1, "0s")


class Struct:
    """A record's layout, and, with values, one record.

    Subclass it, a field a line. `Open.size` is in bytes, `Open.offset(name)` where a field begins, `Open.fields` the
    types by name, `Open.schema` the Arrow schema of its columns.

    >>> import fastbpf as fb
    >>> class Open(fb.Struct):
    ...     ts: fb.ktime
    ...     pid: fb.u32
    ...     comm: fb.char[16]
    >>> Open.size, Open.offset("comm")
    (32, 12)
    >>> Open.schema
    ts: timestamp[ns, tz=UTC] not null
    pid: uint32 not null
    comm: dictionary<values=string, indices=int32, ordered=0> not null
    >>> Open.unpack(Open(ts=1, pid=7, comm="bash").pack())
    Open(ts=1, pid=7, comm='bash')

    Raises:
        LayoutError: a field whose type is none of fastbpf's, or no field at all.
    """

    fields: ClassVar[Mapping[str, FieldType]] = {}
    size: ClassVar[int] = 0
    align: ClassVar[int] = 1
    _offsets: ClassVar[dict[str, int]] = {}

    def __init_subclass__(cls) -> None:
        annotations = inspect.get_annotations(cls)
        # The scope of the class statement, in which `from __future__ import annotations` left text to be evaluated.
        scope = sys._getframe(1)
        resolved = {name: _resolve(cls, name, kind, scope) for name, kind in annotations.items()}
        _lay_out(cls, {**cls.fields, **resolved})

    def __init__(self, **values: Any) -> None:
        for name in self.fields:
            if name not in values:
                raise LayoutError(f"{type(self).__name__} needs a value for {name!r}")
            setattr(self, name, values.pop(name))
        if values:
            raise LayoutError(
                f"{type(self).__name__} has no field {next(iter(values))!r}, only {', '.join(self.fields)}"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.fields)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in self.fields)

    __hash__ = None  # type: ignore[assignment]  # its values can be changed

    @classmethod
    def of(cls, name: str, fields: Mapping[str, FieldType]) -> type[Struct]:
        """A `Struct` made at run time, for fields whose names are not known before (or are no Python names).

        >>> import fastbpf as fb
        >>> fb.Struct.of("Pair", {"from": fb.u32, "to": fb.u64}).size
        16
        """
        return type(name, (Struct,), {"__annotations__": dict(fields)})

    @classmethod
    def offset(cls, name: str) -> int:
        """Where a field begins, in bytes from the record's start."""
        try:
            return cls._offsets[name]
        except KeyError:
            raise LayoutError(f"{cls.__name__} has no field {name!r}, only {', '.join(cls.fields)}") from None

    @classmethod
    def columns(cls) -> list[tuple[str, int, str]]:
        """The layout as `(name, offset, type)`, the form that capture files keep."""
        return [(name, cls._offsets[name], kind.code) for name, kind in cls.fields.items()]

    def pack(self) -> bytes:
        """The record's bytes, `size` of them, with zeros between the fields."""
        data = bytearray(self.size)
        for name, kind in self.fields.items():
            start = self._offsets[name]
            data[start : start + kind.size] = kind.pack(getattr(self, name))
        return bytes(data)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """A record from its bytes."""
        places = ((name, kind, cls._offsets[name]) for name, kind in cls.fields.items())
        return cls(**{name: kind.unpack(data[start : start + kind.size]) for name, kind, start in places})

    if TYPE_CHECKING:
        schema: ClassVar[pa.Schema]


class _Schema:
    # Asks Rust, which makes the columns, what they are: there is no second table of types to keep equal.
    def __get__(self, instance: object, owner: type[Struct]) -> pa.Schema:
        import pyarrow as pa

        from fastbpf import _native

        return pa.schema(_Exported(_native.record_schema(owner.columns(), owner.size)))


class _Exported:
    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __arrow_c_schema__(self) -> object:
        return self._capsule


Struct.schema = _Schema()


def _lay_out(cls: type[Struct], fields: dict[str, FieldType]) -> None:
    if not fields:
        raise LayoutError(f"{cls.__name__} has no fields; write one a line, as in `pid: fb.u32`")
    offset = 0
    offsets = {}
    for name, kind in fields.items():
        offset += -offset % kind.align
        offsets[name] = offset
        offset += kind.size
    cls.fields = fields
    cls.align = max(kind.align for kind in fields.values())
    cls.size = offset + -offset % cls.align
    cls._offsets = offsets


def _resolve(cls: type, name: str, kind: object, scope: FrameType) -> FieldType:
    if isinstance(kind, str):
        try:
            kind = eval(kind, scope.f_globals, scope.f_locals)  # noqa: S307  # the module's own text, as typing does
        except Exception as error:  # noqa: BLE001  # whatever a name's text may raise
            raise LayoutError(f"{cls.__name__}.{name}: {kind!r} cannot be evaluated ({error})") from None
    if not isinstance(kind, FieldType):
        hint = (
            "give its length, as in fb.char[16]" if isinstance(kind, _Sized) else "use fb.u32, fb.char[16], fb.ktime …"
        )
        raise LayoutError(f"{cls.__name__}.{name}: {kind!r} is not a field type; {hint}")
    return kind
