"""Global variables of programs, as attributes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple

from fastbpf.errors import KernelError, LayoutError
from fastbpf.record import FieldType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastbpf.maps.map import Map

__all__ = ["Variables"]


class _Place(NamedTuple):
    map: Map
    offset: int
    kind: FieldType


class Variables:
    """The global variables of a program: reading an attribute reads memory, and setting it writes.

    Numbers of up to 8 bytes are read and written whole, so that neither side sees half of one. What is in .rodata can
    only be read. `dir()` lists them.

    Source: Documentation/bpf/btf.rst (BTF_KIND_DATASEC); bpf(2), BPF_F_MMAPABLE (Linux 5.5).
    """

    __slots__ = ("__places",)

    __places: dict[str, _Place]

    def __init__(self, maps: Iterable[Map]) -> None:
        places = {}
        for one in maps:
            layout = one.spec.value
            if layout is None or isinstance(layout, FieldType):
                raise LayoutError(f"{one!r} has no variables: its value is {layout!r}, and not a Struct")
            for name, kind in layout.fields.items():
                places[name] = _Place(one, layout.offset(name), kind)
        object.__setattr__(self, "_Variables__places", places)

    def __dir__(self) -> list[str]:
        return sorted(self.__places)

    def __repr__(self) -> str:
        return f"<fastbpf variables: {', '.join(self.__places)}>"

    def __getattr__(self, name: str) -> Any:
        place = self.__place(name)
        memory = place.map._shared()
        if memory is not None:
            return place.kind.unpack(memory.read(place.offset, place.kind.size))
        data = place.map._native.lookup(bytes(4)) or b""
        return place.kind.unpack(data[place.offset : place.offset + place.kind.size])

    def __setattr__(self, name: str, value: Any) -> None:
        place = self.__place(name)
        memory = place.map._shared()
        if memory is None:
            raise LayoutError(f"{name} cannot be written alone: {place.map!r} was made without BPF_F_MMAPABLE")
        try:
            data = place.kind.pack(value)
        except LayoutError as error:
            raise LayoutError(f"{name}: {error}") from None
        if not memory.writable:
            text = f"{name} is a constant, in {place.map!r}; give it a value before: Object.load(variables=)"
            raise KernelError(errno.EPERM, text)
        memory.write(place.offset, data)

    def __place(self, name: str) -> _Place:
        place = self.__places.get(name)
        if place is None:
            from fastbpf.asm.refusal import nearest

            raise AttributeError(f"there is no variable {name!r}{nearest(name, self.__places)}")
        return place
