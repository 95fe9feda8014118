"""Maps that stand for what code names."""

from __future__ import annotations

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.map import Map
from fastbpf.maps.spec import MapSpec
from fastbpf.maps.types import RDONLY_PROG, article
from fastbpf.privileges import remedied
from fastbpf.record import raw


def read_only(content: bytes) -> Map:
    """Makes a map of one value that nobody can change any more: what code names by `ReadOnly`. Linux 5.2."""
    made = MapSpec("array", value=raw[len(content)], max_entries=1, name=".rodata", flags=RDONLY_PROG).create()
    try:
        made._native.update(bytes(4), content, 0)
        made._native.freeze()
    except KernelError as error:
        made.close()
        raise remedied(error) from None
    return made


def check_given(named: MapSpec, given: object) -> None:
    """Refuses a map that cannot stand for what code names: another type, or keys or values of another size."""
    if not isinstance(given, Map):
        raise LayoutError(f"maps={{{named.name!r}: {given!r}}}: give a map that exists; MapSpec.create() makes one")
    # Of a map of maps that was found nobody knows what goes into it, but the verifier.
    known = given.spec.inner is not None
    here, there = _shape(named, inner=known), _shape(given.spec, inner=known)
    if here != there:
        raise LayoutError(
            f"the code names {named.name!r}, {here}; the map that is given is {there}; "
            f"give one that is like the code's MapSpec"
        )
    # Instructions reach into the only element of an array, and of no larger one.
    if named.type == "array" and named.max_entries == 1 != given.spec.max_entries:
        raise LayoutError(
            f"the code names {named.name!r}, an array of one element; the map that is given has "
            f"{given.spec.max_entries}; give one that is like the code's MapSpec"
        )


# What an instruction depends on.
def _shape(spec: MapSpec, *, inner: bool = True) -> str:
    a = article(spec.type)
    if spec.key is None or spec.value is None:
        return f"{a} {spec.type}"
    if spec.inner is not None and inner:
        return f"{a} {spec.type}, each {_shape(spec.inner)}"
    key, value = ("1 byte" if kind.size == 1 else f"{kind.size} bytes" for kind in (spec.key, spec.value))
    return f"{a} {spec.type} with keys of {key} and values of {value}"
