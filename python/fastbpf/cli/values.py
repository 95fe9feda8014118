"""Keys and values as people write them on a command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastbpf.cli.refusal import Refused
from fastbpf.errors import LayoutError
from fastbpf.maps.cpus import possible_cpus
from fastbpf.maps.types import PER_CPU, article
from fastbpf.record import FieldType, Struct, spin_lock
from fastbpf.record.sized import Bytes, Chars

if TYPE_CHECKING:
    from fastbpf.maps import Map
    from fastbpf.maps.types import Layout


def key_from(map: Map, text: str) -> Any:
    """The key of a map that the text means."""
    if map.spec.key is None:
        raise Refused(f"{map.spec.name or map.id} is {article(map.spec.type)} {map.spec.type}, which has no keys")
    return _from("key", map.spec.key, text, map._key)


def value_from(map: Map, texts: tuple[str, ...]) -> Any:
    """The value: where each CPU has one, one text for all of them or one for each."""
    if map.spec.value is None:
        raise Refused(f"{map.spec.name or map.id} is {article(map.spec.type)} {map.spec.type}, which has no values")
    if map.spec.type in PER_CPU:
        cpus = possible_cpus()
        if len(texts) not in {1, cpus}:
            raise Refused(f"{len(texts)} values: give one for all CPUs, or one for each of the {cpus} possible ones")
        values = [_from("value", map.spec.value, text) for text in texts]
        return values * cpus if len(values) == 1 else values
    if len(texts) != 1:
        raise Refused(f"{len(texts)} values: {map.spec.name or 'this map'} has one for each key; quote it")
    return _from("value", map.spec.value, texts[0], map._value)


def as_json(value: Any) -> str:
    """A value as JSON: structs are objects, bytes are hexadecimal.

    >>> as_json([1, b"ab", (2.5, None)])
    '[1, "6162", [2.5, null]]'
    """
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return {name: _plain(getattr(value, name)) for name, kind in type(value).fields.items() if kind != spin_lock}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return (
        value if isinstance(value, str | float | bool | None) else int(value) if isinstance(value, int) else str(value)
    )


def _from(what: str, layout: Layout, text: str, element: Any = None) -> Any:
    if not isinstance(layout, FieldType):
        return _struct(what, layout, text)
    pack = (element or layout).pack
    for read in _ways(layout):
        try:
            value = read(text)
            pack(value)
        except (LayoutError, ValueError, TypeError, KeyError):
            continue
        return value
    raise Refused(f"{what} {text}: {layout!r} cannot hold it; {_wanted(layout)}")


def _ways(layout: FieldType) -> Any:
    if isinstance(layout, Chars):
        return (str,)
    if isinstance(layout, Bytes):
        return (lambda text: _exact(bytes.fromhex(text.removeprefix("0x")), layout.size),)
    return (str, lambda text: int(text, 0), float, {"true": True, "false": False}.__getitem__, json.loads)


def _exact(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError
    return data


def _wanted(layout: FieldType) -> str:
    if isinstance(layout, Bytes) and not isinstance(layout, Chars):
        return f"give {layout.size} bytes in hexadecimal"
    return "give a value that it can"


def _struct(what: str, layout: type[Struct], text: str) -> Struct:
    fields = [name for name, kind in layout.fields.items() if kind != spin_lock]
    given = _object(text) if text.startswith("{") else _pairs(what, text, fields)
    for name in given:
        if name not in fields:
            raise Refused(f"{what} {text}: there is no field {name}, only {', '.join(fields)}")
    values: dict[str, Any] = {name: 0 for name in layout.fields if name not in fields}
    for name in fields:
        if name not in given:
            raise Refused(f"{what} {text}: {name} is missing; the fields are {', '.join(fields)}")
        one = given[name]
        values[name] = _from(f"{what} {name}", layout.fields[name], one if isinstance(one, str) else json.dumps(one))
    return layout(**values)


def _object(text: str) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise Refused(f"{text} is no JSON object: {error}") from None
    return read


# a=1,b=[2,3],c=x: commas within brackets belong to their list.
def _pairs(what: str, text: str, fields: list[str]) -> dict[str, Any]:
    parts, depth = [""], 0
    for char in text:
        depth += (char in "[{") - (char in "]}")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    given = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            example = ",".join(f"{name}=…" for name in fields)
            raise Refused(f"{what} {text}: write {example}, or a JSON object")
        given[name.strip()] = value
    return given
