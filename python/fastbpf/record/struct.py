"""A record's layout as a class, a field a line."""

from __future__ import annotations

import inspect
import sys
from enum import EnumMeta, IntEnum
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar

from fastbpf.errors import LayoutError
from fastbpf.record.enums import Enum, enum
from fastbpf.record.layout import Layout, lay_out
from fastbpf.record.nested import Nested, NestedArray
from fastbpf.record.sized import Sized
from fastbpf.record.types import FieldType
from fastbpf.record.union import Union

if TYPE_CHECKING:
    import ctypes
    import os
    from collections.abc import Mapping
    from types import FrameType
    from typing import Self

    import numpy as np
    import pyarrow as pa

    Annotation = type["Struct" | IntEnum] | FieldType

__all__ = ["Struct"]


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
    >>> for column in Open.schema:
    ...     print(column.name, column.type)
    ts timestamp[ns, tz=UTC]
    pid uint32
    comm dictionary<values=string, indices=int32, ordered=0>
    >>> Open.unpack(Open(ts=1, pid=7, comm="bash").pack())
    Open(ts=1, pid=7, comm='bash')

    A Struct is a type itself: `at: Place` nests one, `places: Place[4]` an array. `class Open(fb.Struct, packed=True)`
    leaves no gaps, as __attribute__((packed)) does.

    >>> class Place(fb.Struct, packed=True):
    ...     x: fb.u8
    ...     y: fb.u32
    >>> class Line(fb.Struct):
    ...     ends: Place[2]
    >>> Line.size, Line(ends=[Place(x=1, y=2), Place(x=3, y=4)]).pack().hex()
    (10, '01020000000304000000')

    Raises:
        LayoutError: a field whose type is none of fastbpf's, or no field at all.
    """

    fields: ClassVar[Mapping[str, FieldType]] = {}
    size: ClassVar[int] = 0
    align: ClassVar[int] = 1
    _layout: ClassVar[Layout] = Layout({}, {}, 0, 1)

    def __init_subclass__(cls, *, packed: bool = False, layout: Layout | None = None) -> None:
        annotations = inspect.get_annotations(cls)
        # The scope of the class statement, in which `from __future__ import annotations` left text to be evaluated.
        scope = sys._getframe(1)
        resolved = {name: _resolve(cls, name, kind, scope) for name, kind in annotations.items()}
        base = cls._layout
        try:
            if layout is None and base.fixed:
                layout = base.with_types(resolved)
            elif layout is None:
                layout = lay_out({**base.fields, **resolved}, packed=packed or base.packed)
        except LayoutError as error:
            raise LayoutError(f"{cls.__name__}.{error}") from None
        if not layout.fields:
            raise LayoutError(f"{cls.__name__} has no fields; write one a line, as in `pid: fb.u32`")
        for name, kind in layout.fields.items():
            if isinstance(kind, Union):
                try:
                    kind.check_tag(layout.fields)
                except LayoutError as error:
                    raise LayoutError(f"{cls.__name__}.{name}: {error}") from None
        cls._layout = layout
        cls.fields, cls.size, cls.align = layout.fields, layout.size, layout.align

    def __class_getitem__(cls, count: int) -> FieldType:
        if not cls.fields:
            raise LayoutError(f"{cls.__name__}[{count!r}]: make a subclass with fields, and an array of that")
        return NestedArray(cls, count)

    # Fields may have any name, those of our own methods and attributes too: only the class is asked for those.

    def __init__(self, /, **values: Any) -> None:
        cls = type(self)
        for name in cls.fields:
            if name not in values:
                raise LayoutError(f"{cls.__name__} needs a value for {name!r}")
            setattr(self, name, values.pop(name))
        if values:
            raise LayoutError(f"{cls.__name__} has no field {next(iter(values))!r}, only {', '.join(cls.fields)}")

    def __repr__(self) -> str:
        cls = type(self)
        return f"{cls.__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in cls.fields)})"

    def __eq__(self, other: object) -> bool:
        cls = type(self)
        return type(other) is cls and all(getattr(self, name) == getattr(other, name) for name in cls.fields)

    __hash__ = None  # type: ignore[assignment]  # its values can be changed

    @staticmethod
    def of(name: str, fields: Mapping[str, Annotation], *, packed: bool = False) -> type[Struct]:
        """A `Struct` made at run time, for fields whose names are not known before (or are no Python names).

        >>> import fastbpf as fb
        >>> fb.Struct.of("Pair", {"from": fb.u32, "to": fb.u64}).size
        16
        """
        return new_class(name, (Struct,), {"packed": packed}, lambda body: body.update(__annotations__=dict(fields)))

    @staticmethod
    def from_ctypes(structure: type[ctypes.Structure]) -> type[Struct]:
        """The layout of a ctypes structure: packed, big-endian, with bitfields, nested, as ctypes has laid it out.

        Pointers become `fb.u64`. Unions, which have no tag, are refused.

        >>> import ctypes
        >>> import fastbpf as fb
        >>> class Header(ctypes.BigEndianStructure):
        ...     _pack_ = 1
        ...     _layout_ = "ms"
        ...     _fields_ = [("kind", ctypes.c_uint8), ("length", ctypes.c_uint16)]
        >>> fb.Struct.from_ctypes(Header).columns()
        [('kind', 0, 'u8'), ('length', 1, 'u16be')]

        Raises:
            LayoutError: a field that has no column, with the way around it.
        """
        from fastbpf.record.ctypes import read

        return read(structure)

    @staticmethod
    def from_dtype(dtype: np.dtype[Any], name: str = "Record") -> type[Struct]:
        """The layout of a structured numpy dtype, with its offsets, byte orders, nested dtypes and subarrays.

        `S` becomes `fb.char`, `V` `fb.raw`, nanoseconds of timedelta64 `fb.duration`.

        >>> import numpy as np
        >>> import fastbpf as fb
        >>> fb.Struct.from_dtype(np.dtype([("port", ">u2"), ("name", "S6"), ("at", "f4", 2)])).columns()
        [('port', 0, 'u16be'), ('name', 2, 'char[6]'), ('at', 8, 'f32[2]')]

        Raises:
            LayoutError: a dtype that is not structured, or a field that has no column, with the way around it.
        """
        from fastbpf.record.dtype import read

        return read(dtype, name)

    @staticmethod
    def from_btf(name: str, object: str | os.PathLike[str] | bytes | None = None) -> type[Struct]:
        """The layout of a C struct as its compiler laid it out, from BTF.

        Enums keep their names, char arrays are text, `__be16` and its siblings big-endian, pointers `fb.u64`; what
        anonymous structs hold stands beside them, as in C. Unions, of which nothing tells the member, are `fb.raw[N]`;
        members without bytes are left out. A subclass gives fields a type of the same size that says more.

        Args:
            name: "struct task_struct", or a typedef's name.
            object: an ELF file with a .BTF section or a file of raw BTF (its path, or its bytes); the running kernel's
                own types if there is none.

        >>> import fastbpf as fb
        >>> class Time(fb.Struct.from_btf("struct __kernel_timespec")):
        ...     tv_nsec: fb.duration
        >>> Time.columns()
        [('tv_sec', 0, 'i64'), ('tv_nsec', 8, 'duration')]

        Raises:
            LayoutError: no such struct (with the nearest names), several different ones, a file that is not BTF, a
                kernel without it (CONFIG_DEBUG_INFO_BTF).
            OSError: a file that cannot be read.

        Source: Documentation/bpf/btf.rst; /sys/kernel/btf/vmlinux since Linux 5.4.
        """
        from fastbpf.record.btf import read

        return read(name, object)

    @classmethod
    def check_btf(cls, name: str, object: str | os.PathLike[str] | bytes | None = None) -> None:
        """Refuses this layout if it differs from what a program was compiled with: `from_btf` tells what that is.

        Each field has to be there with the same offset, size and sign, and the whole has to have the same size. A type
        may say more than C's does (`fb.ktime` for a u64); fields that this layout leaves out are no difference.

        >>> import fastbpf as fb
        >>> class Time(fb.Struct):
        ...     tv_sec: fb.u64
        ...     tv_nsec: fb.i64
        >>> Time.check_btf("struct __kernel_timespec")
        Traceback (most recent call last):
            ...
        fastbpf.errors.LayoutError: Time.tv_sec is unsigned, struct __kernel_timespec has it signed

        Raises:
            LayoutError: the first field that differs, here and there; or what `from_btf` raises.
        """
        from fastbpf.record.btf import check

        check(cls, name, object)

    @classmethod
    def offset(cls, name: str) -> int:
        """Where a field begins, in bytes from the record's start."""
        try:
            return cls._layout.offsets[name]
        except KeyError:
            raise LayoutError(f"{cls.__name__} has no field {name!r}, only {', '.join(cls.fields)}") from None

    @classmethod
    def columns(cls) -> list[tuple[str, int, str]]:
        """The layout as `(name, offset, type)`, the form that capture files keep."""
        return [(name, cls._layout.offsets[name], kind.code) for name, kind in cls.fields.items()]

    def pack(self) -> bytes:
        """The record's bytes, `size` of them, with zeros between the fields.

        Raises:
            LayoutError: a value that its field cannot hold.
        """
        cls = type(self)
        data = bytearray(cls.size)
        for name, kind in cls.fields.items():
            start, value = cls._layout.offsets[name], getattr(self, name)
            try:
                if isinstance(kind, Union):
                    tag = _number(cls.fields[kind.tag], getattr(self, kind.tag))
                    data[start : start + kind.size] = kind.pack_tagged(tag, value)
                else:
                    kind.pack_into(data, start, value)
            except LayoutError as error:
                raise LayoutError(f"{cls.__name__}.{name}: {error}") from None
        return bytes(data)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """A record from its bytes.

        Raises:
            LayoutError: fewer bytes than the record has.
        """
        if len(data) < cls.size:
            raise LayoutError(f"a {cls.__name__} has {cls.size} bytes, not {len(data)}")
        values: dict[str, Any] = {}
        for name, kind in cls.fields.items():
            start = cls._layout.offsets[name]
            part = data[start : start + kind.size]
            if isinstance(kind, Union):
                tag, at = cls.fields[kind.tag], cls._layout.offsets[kind.tag]
                values[name] = kind.unpack_tagged(_number(tag, tag.unpack(data[at : at + tag.size])), part)
            else:
                values[name] = kind.unpack(part)
        return cls(**values)

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


def placed(name: str, layout: Layout) -> type[Struct]:
    # A layout that somebody else has chosen.
    return new_class(name, (Struct,), {"layout": layout})


def field_type(kind: object, where: str) -> FieldType:
    # What may stand as an annotation.
    if isinstance(kind, FieldType):
        return kind
    if isinstance(kind, type) and issubclass(kind, Struct) and kind is not Struct:
        return Nested(kind)
    if isinstance(kind, EnumMeta) and issubclass(kind, IntEnum):
        return enum(kind)
    hint = "use fb.u32, fb.char[16], fb.ktime …, a Struct, or an enum.IntEnum"
    if isinstance(kind, Sized):
        hint = f"give its length, as in {kind!r}[16]"
    raise LayoutError(f"{where}: {kind!r} is not a field type; {hint}")


def _resolve(cls: type, name: str, kind: object, scope: FrameType) -> FieldType:
    if isinstance(kind, str):
        try:
            kind = eval(kind, scope.f_globals, scope.f_locals)  # noqa: S307  # the module's own text, as typing does
        except Exception as error:  # noqa: BLE001  # whatever a name's text may raise
            raise LayoutError(f"{cls.__name__}.{name}: {kind!r} cannot be evaluated ({error})") from None
    return field_type(kind, f"{cls.__name__}.{name}")


def _number(tag: FieldType, value: Any) -> int:
    return tag.number(value) if isinstance(tag, Enum) else value
