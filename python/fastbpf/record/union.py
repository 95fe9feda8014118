"""Unions whose member a tag tells."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import LayoutError
from fastbpf.record.enums import Enum
from fastbpf.record.nested import check_identifier
from fastbpf.record.types import FieldType, is_integer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf.record.struct import Struct

    Member = FieldType | type[Struct] | tuple[str, FieldType | type[Struct]]

__all__ = ["union"]


class Union(FieldType):
    """Members in one place, of which another field's number selects one. Made by `fb.union`."""

    __slots__ = ("members", "tag")

    def __init__(self, tag: str, members: Mapping[int, tuple[str, FieldType]]) -> None:
        self.tag: Final = tag
        self.members: Final = members
        kinds = [kind for _, kind in members.values()]
        align = max(kind.align for kind in kinds)
        size = max(kind.size for kind in kinds)
        size += -size % align
        told = ";".join(f"{number}={name}:{kind.code}" for number, (name, kind) in members.items())
        shown = ", ".join(f"{number}: ({name!r}, {kind!r})" for number, (name, kind) in members.items())
        super().__init__(f"union {size}({tag}){{{told}}}", size, align, f"fb.union({tag!r}, {{{shown}}})")

    def _pack(self, _: Any) -> bytes:
        raise LayoutError(f"{self!r} cannot be packed alone: {self.tag!r} of the Struct around it tells what it holds")

    def _unpack(self, _: bytes) -> Any:
        raise LayoutError(
            f"{self!r} cannot be unpacked alone: {self.tag!r} of the Struct around it tells what it holds"
        )

    def pack_tagged(self, tag: int, value: Any) -> bytes:
        """The bytes of the member that the tag selects; of no member, None."""
        if tag not in self.members:
            if value is not None:
                raise LayoutError(f"{self.tag}={tag} selects no member, so that the value is None, not {value!r}")
            return bytes(self.size)
        name, kind = self.members[tag]
        try:
            return kind.pack(value).ljust(self.size, b"\0")
        except LayoutError as error:
            raise LayoutError(f"{self.tag}={tag} selects {name}: {error}") from None

    def unpack_tagged(self, tag: int, data: bytes) -> Any:
        """The member that the tag selects; None if there is none."""
        if tag not in self.members:
            return None
        _, kind = self.members[tag]
        return kind.unpack(data[: kind.size])

    def check_tag(self, fields: Mapping[str, FieldType]) -> None:
        """Refuses a tag that is no field beside the union, or no integer."""
        kind = fields.get(self.tag)
        if kind is None:
            raise LayoutError(f"the union's tag {self.tag!r} is no field beside it; there are {', '.join(fields)}")
        if not is_integer(kind) and not isinstance(kind, Enum):
            raise LayoutError(f"the union's tag {self.tag!r} is {kind!r}; a tag is an integer or an enum")
        for number in self.members:
            try:
                kind.pack(number)
            except LayoutError:
                raise LayoutError(f"the union's tag {self.tag!r} is {kind!r}, which can never be {number}") from None


def union(tag: str, members: Mapping[int, Member]) -> Union:
    """A union: which member it holds stands in the field `tag` of the same `Struct`, an integer or an enum.

    A struct column with one nullable child a member, of which the selected one is set. To Python, the selected member's
    value, None where the tag selects none.

    Args:
        tag: the name of the field that tells.
        members: for each number of the tag a `Struct`, which goes by its name in small letters, or `(name, type)`.

    >>> import fastbpf as fb
    >>> class Open(fb.Struct):
    ...     flags: fb.u32
    >>> class Event(fb.Struct):
    ...     kind: fb.u32
    ...     value: fb.union("kind", {1: Open, 2: ("code", fb.i32)})
    >>> Event.unpack(Event(kind=2, value=-1).pack())
    Event(kind=2, value=-1)
    >>> Event(kind=1, value=-1).pack()
    Traceback (most recent call last):
        ...
    fastbpf.errors.LayoutError: Event.value: kind=1 selects open: -1 is no Open

    Raises:
        LayoutError: members without a name or with the same one, a tag that is no number.
    """
    from fastbpf.record.struct import Struct, field_type

    if not members:
        raise LayoutError(f'fb.union({tag!r}, {members!r}): give the tag\'s name and members, "kind", {{1: Open}}')
    check_identifier(tag, "fb.union's tag")
    named: dict[int, tuple[str, FieldType]] = {}
    for number, member in members.items():
        try:
            selected = operator.index(number)
        except TypeError:
            raise LayoutError(f"fb.union: {number!r} is no number that the tag {tag!r} could have") from None
        if isinstance(member, tuple) and len(member) == 2:
            name, kind = member
        elif isinstance(member, type) and issubclass(member, Struct):
            name, kind = member.__name__.lower(), member
        else:
            raise LayoutError(f'fb.union: {number}: {member!r} has no name; give one, as in ("code", fb.u32)')
        check_identifier(name, "fb.union")
        if name in {one for one, _ in named.values()}:
            raise LayoutError(f"fb.union: two members are named {name!r}; give one another name, as in ({name!r}, …)")
        found = field_type(kind, f"fb.union: {name}")
        if isinstance(found, Union):
            raise LayoutError(f"fb.union: {name}: a union in a union has no tag beside it; put it into a Struct")
        named[selected] = name, found
    return Union(tag, named)
