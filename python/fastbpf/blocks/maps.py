"""Maps: look up, update, delete, start an element that is missing, count.

Maps are MapSpec or Map objects; a register that holds a map's address (an inner map's) does, too. Keys and values are
places: `fp - 16`, `r6 + 8`, r6. What a MapSpec tells of their sizes is checked.

>>> import fastbpf as fb
>>> from fastbpf.asm import *
>>> from fastbpf.blocks import maps
>>> counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1024, name="counts")
>>> print(assemble(maps.lookup(counts, fp - 4, fail="none"), label("none"), mov(r0, 0), exit_()))
   0: (18) r1 = map[counts]
   2: (bf) r2 = r10
   3: (07) r2 += -4
   4: (85) call bpf_map_lookup_elem#1
   5: (15) if r0 == 0x0 goto pc+0       ; none
none:
   6: (b7) r0 = 0
   7: (95) exit
"""

from __future__ import annotations

import sys

from fastbpf.asm import *
from fastbpf.asm.operands import signed32, within
from fastbpf.asm.refusal import OperandError, checked, is_map, nearest, show
from fastbpf.blocks.block import block, own
from fastbpf.blocks.memory import write
from fastbpf.blocks.operand import BY_CALLS, apart, extent, moved, numeric, place, survives

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from fastbpf.asm.assembly import Part
    from fastbpf.asm.operands import MapObject
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Operand, Place

__all__ = ["ANY", "EXIST", "NOEXIST", "delete", "increment", "lookup", "lookup_or_init", "update"]

# include/uapi/linux/bpf.h
ANY: Final = 0  # BPF_ANY: make the element, or change it
NOEXIST: Final = 1  # BPF_NOEXIST: make it; -EEXIST if it is there
EXIST: Final = 2  # BPF_EXIST: change it; -ENOENT if it is not there


@checked
def lookup(map: MapObject | Register, key: Place, dst: Register = r0, *, fail: str | None = None) -> Block:
    """Look an element up: dst = the address of its value, or 0 if there is none.

    Emits: r1 = map; r2 = key; call map_lookup_elem; with `fail`: if r0 == 0 goto fail; dst = r0.

    Without `fail` the program must compare dst with 0 before it uses it. Clobbers r0 to r5. Linux 3.19.
    Raises AsmError for a key that does not lie within the stack, and a map that has no elements.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import maps
    >>> counts = fb.MapSpec("hash", key=fb.u64, value=fb.u64, max_entries=1024, name="counts")
    >>> maps.lookup(counts, fp - 8, r6, fail="none")
    <Block maps.lookup: clobbers r0, r1, r2, r3, r4, r5, r6; fails to "none">
    >>> maps.lookup(counts, fp - 4)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: ...: lookup(counts, fp - 4): the key of 8 bytes at fp - 4 is not within the stack, ...
    """
    _element(map, key)
    checks = [] if fail is None else [jeq(r0, 0, fail)]
    steps = call.map_lookup_elem(map, key)
    return block("maps.lookup", steps, checks, moved(dst), clobbers=(*BY_CALLS, dst), fails_to=fail)


@checked
def update(
    map: MapObject | Register, key: Place, value: Place, flags: Operand = ANY, *, fail: str | None = None
) -> Block:
    """Make or change an element. `flags`: ANY, NOEXIST or EXIST.

    Emits: r1 = map; r2 = key; r3 = value; r4 = flags; call map_update_elem; with `fail`: if r0 != 0 goto fail.

    r0 is 0 or a negative errno: -EEXIST, -ENOENT, -E2BIG if the map is full. Clobbers r0 to r5. Linux 3.19.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import assemble, fp
    >>> from fastbpf.blocks import maps
    >>> counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1024, name="counts")
    >>> print(assemble(maps.update(counts, fp - 4, fp - 16, maps.NOEXIST)))
       0: (18) r1 = map[counts]
       2: (bf) r2 = r10
       3: (07) r2 += -4
       4: (bf) r3 = r10
       5: (07) r3 += -16
       6: (b7) r4 = 1
       7: (85) call bpf_map_update_elem#2
    """
    _element(map, key, value)
    if type(flags) is not Register:
        signed32(flags, "flags of maps are below that")
    checks = [] if fail is None else [jne(r0, 0, fail)]
    steps = call.map_update_elem(map, key, value, flags)
    return block("maps.update", steps, checks, clobbers=BY_CALLS, fails_to=fail)


@checked
def delete(map: MapObject | Register, key: Place, *, fail: str | None = None) -> Block:
    """Delete an element. r0 is 0, or a negative errno: -ENOENT if there is none, -EINVAL for an array.

    Emits: r1 = map; r2 = key; call map_delete_elem; with `fail`: if r0 != 0 goto fail.

    Clobbers r0 to r5. Linux 3.19.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import fp
    >>> from fastbpf.blocks import maps
    >>> maps.delete(fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1024), fp - 4)
    <Block maps.delete: clobbers r0, r1, r2, r3, r4, r5>
    """
    _element(map, key)
    checks = [] if fail is None else [jne(r0, 0, fail)]
    return block("maps.delete", call.map_delete_elem(map, key), checks, clobbers=BY_CALLS, fails_to=fail)


@checked
def lookup_or_init(
    map: MapObject | Register, key: Place, value: Place, dst: Register = r0, *, fail: str | None = None
) -> Block:
    """Look an element up, and make it of the bytes at `value` if there is none: dst = the address of its value.

    Emits: a lookup; if r0 != 0 goto found; an update, NOEXIST; a lookup; with `fail`: if r0 == 0 goto fail; found:
    dst = r0.

    An element that is there costs one lookup. When two CPUs make it at once, one does, and both find it. dst is 0 when
    the map is full. Clobbers r0 to r5; key and value must be kept in r6 to r9, or on the stack. Linux 3.19.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import assemble, fp
    >>> from fastbpf.blocks import maps
    >>> counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1024, name="counts")
    >>> len(assemble(maps.lookup_or_init(counts, fp - 4, fp - 16)))
    19
    """
    _element(map, key, value)
    for what, one in (("the map", map), ("the key", key), ("the value", value)):
        survives(one, what)
    found = own("found", fail)
    find = call.map_lookup_elem(map, key)
    return block(
        "maps.lookup_or_init",
        [*find, jne(r0, 0, found)],
        [*call.map_update_elem(map, key, value, NOEXIST), *find],
        [] if fail is None else [jeq(r0, 0, fail)],
        [label(found), *moved(dst)],
        clobbers=(*BY_CALLS, dst),
        fails_to=fail,
    )


@checked
def increment(
    map: MapObject | Register,
    key: Place,
    by: Operand = 1,
    *,
    field: str | None = None,
    new: Place | None = None,
    fail: str | None = None,
) -> Block:
    """Add to the counter that an element's value is, or to a `field` of it, atomically and where it stands.

    Emits: a lookup; if r0 == 0 goto missing, else r1 = by; lock *(r0 + field) += r1. Missing, if `new` is given: the
    value of a new element, all 0 but the counter, is written there; an update, NOEXIST; when another CPU was first, a
    second lookup and the addition.

    Args:
        map: its value is fb.u32, fb.u64, fb.i32 or fb.i64, or a `Struct` with such a field.
        key: where the key is.
        by: a number, negative ones too, or a register of r6 to r9.
        field: which field of a `Struct`.
        new: where the value of a new element is made, such as `fp - 24`. Arrays need none: their elements are there.
        fail: where to go when there is no element, and none can be made; without it, the block just ends.

    Clobbers r0 to r5. Linux 3.19.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import assemble, fp
    >>> from fastbpf.blocks import maps
    >>> hits = fb.MapSpec("array", value=fb.u64, max_entries=4, name="hits")
    >>> print(assemble(maps.increment(hits, fp - 4)))
       0: (18) r1 = map[hits]
       2: (bf) r2 = r10
       3: (07) r2 += -4
       4: (85) call bpf_map_lookup_elem#1
       5: (15) if r0 == 0x0 goto pc+2
       6: (b7) r1 = 1
       7: (db) lock *(u64 *)(r0 +0) += r1
    """
    _element(map, key)
    offset, size, whole = _counter(known(map), field)
    survives(key, "the key")
    survives(by, "what is added")
    numeric(by, "what is added", "ldxdw(r6, fp, -8) loads a number from the stack")
    amount = by if type(by) is Register else r1
    load = [] if type(by) is Register else [const(r1, _fits(by, size))]
    adding = [*load, atomic_add(r0, offset, amount, size="u64" if size == 8 else "u32")]
    find = call.map_lookup_elem(map, key)
    add_to, done = own("found", fail), own("done", fail)
    if new is None:
        steps: list[Part] = [*find, jeq(r0, 0, done if fail is None else fail), *adding, label(done)]
        return block("maps.increment", steps, clobbers=BY_CALLS, fails_to=fail)
    at = place(new, whole, 8 if whole % 8 == 0 else size, what="the new value")
    survives(map, "the map")
    survives(at, "the new value")
    apart(at, whole, "the new value", key, key_size(map))
    return block(
        "maps.increment",
        [*find, jne(r0, 0, add_to)],
        _fresh(at, whole, offset, size, by),
        [*call.map_update_elem(map, key, at, NOEXIST), jeq(r0, 0, done)],
        [*find, jeq(r0, 0, done if fail is None else fail)],
        [label(add_to), *adding, label(done)],
        clobbers=BY_CALLS,
        stack=extent(at, whole),
        fails_to=fail,
    )


def known(map: object) -> Any | None:
    """What is known of a map: its MapSpec, None when a register or another object stands for it."""
    if type(map) is Register:
        return None
    if not is_map(map):
        raise OperandError(f"{show(map)} is not a map; give a MapSpec, a Map, or the register that holds one's address")
    spec = getattr(map, "spec", map)
    return spec if hasattr(spec, "max_entries") else None


def key_size(map: object) -> int:
    """How long the keys of a map are, 1 if nothing is known of it."""
    spec = known(map)
    return 1 if spec is None or spec.key is None else int(spec.key.size)


def _element(map: object, key: object, value: object = None) -> None:
    # That the map has elements, and that their key and value are in memory that is there.
    spec = known(map)
    if spec is not None and spec.type == "ringbuf":
        raise OperandError(f"{show(spec)} is a ring buffer, which has no elements; see fastbpf.blocks.ringbuf")
    kinds = (None, None) if spec is None else (spec.key, spec.value)
    for what, at, kind in (("the key", key, kinds[0]), ("the value", value, kinds[1])):
        if at is not None:
            place(at, 1 if kind is None else kind.size, what=what)


def _counter(spec: Any | None, field: object) -> tuple[int, int, int]:
    # Where in the value the counter is, how wide it is, and the size of the whole.
    if spec is None:
        if field is not None:
            raise OperandError("a field is known by the map's MapSpec only, and this map has none")
        return 0, 8, 8
    kind, offset, whole = spec.value, 0, spec.value.size
    fields = getattr(kind, "fields", None)
    if fields is not None:
        if not isinstance(field, str) or field not in fields:
            guess = nearest(str(field), fields) or f"; there are {', '.join(fields)}"
            raise OperandError(f"field={show(field)}: which field of {kind.__name__} is the counter{guess}")
        kind, offset = fields[field], kind.offset(field)
    elif field is not None:
        raise OperandError(f"the values of {show(spec)} are {kind!r}, which has no fields")
    if kind.align not in (4, 8) or kind.size != kind.align:
        raise OperandError(f"{kind!r} cannot be counted up atomically; numbers of 32 and 64 bits can")
    return offset, kind.size, whole


def _fresh(at: Address, whole: int, offset: int, size: int, by: Operand) -> list[Instruction]:
    if type(by) is Register:
        number, last = 0, [(stxw if size == 4 else stxdw)(at.base, at.offset + offset, by)]
    else:
        number, last = _fits(by, size) & (1 << 8 * size) - 1, []
    image = bytearray(whole)
    image[offset : offset + size] = number.to_bytes(size, sys.byteorder)
    return write(at, bytes(image), r0) + last


def _fits(by: object, size: int) -> int:
    return within(by, -(1 << 8 * size - 1), (1 << 8 * size) - 1, f"what is added to {8 * size} bits")
