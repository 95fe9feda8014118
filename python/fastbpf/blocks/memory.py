"""Memory: zero, fill, copy, initialize, load, store, and reads of memory that is not the program's.

A place is an address: `fp - 16` on the stack, `r6 + 8` in what r6 points to, such as a record of a ring buffer or the
value of a map, or just r6. Every access is as wide as its alignment allows, and no wider; what r6 points to is taken to
be aligned to 8 bytes, as records and values are.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import memory
>>> print(assemble(memory.zero(fp - 12, 12), memory.store(fp - 12, r6, 4)))
   0: (b7) r0 = 0
   1: (63) *(u32 *)(r10 -12) = r0
   2: (7b) *(u64 *)(r10 -8) = r0
   3: (63) *(u32 *)(r10 -12) = r6
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from fastbpf.asm import *
from fastbpf.asm.operands import within
from fastbpf.asm.refusal import OperandError, checked, nearest, show
from fastbpf.blocks.block import block, scratch
from fastbpf.blocks.operand import BY_CALLS, extent, place, size_of
from fastbpf.errors import LayoutError
from fastbpf.record.bits import Bits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Operand, Place
    from fastbpf.record import Struct

__all__ = ["copy", "fill", "init", "load", "read_kernel", "read_user", "store", "zero"]

_LOADS = {1: ldxb, 2: ldxh, 4: ldxw, 8: ldxdw}
_STORES = {1: stxb, 2: stxh, 4: stxw, 8: stxdw}


@checked
def zero(at: Place, size: int, *, scratch: Register | None = None) -> Block:
    """Make `size` bytes 0.

    Emits: scratch = 0; a store of it for every 8 bytes, narrower ones where alignment asks for them.

    Writes the bytes and one scratch register. Raises AsmError for what is not within the stack.

    >>> from fastbpf.asm import assemble, fp
    >>> from fastbpf.blocks import memory
    >>> print(assemble(memory.zero(fp - 84, 12)))
       0: (b7) r0 = 0
       1: (63) *(u32 *)(r10 -84) = r0
       2: (7b) *(u64 *)(r10 -80) = r0
    """
    return _image("zero", at, bytes(size_of(size)), scratch)


@checked
def fill(at: Place, value: int, size: int, *, each: int = 1, width: int = 8, scratch: Register | None = None) -> Block:
    """Fill `size` bytes with a number of `each` bytes (1, 2, 4 or 8), signed or unsigned, over and over.

    Emits: scratch = the number, repeated; stores of it, none wider than `width` bytes.

    Writes the bytes and one scratch register. Raises AsmError for a number that does not fit into `each` bytes, and a
    size that is not a multiple of them.

    >>> from fastbpf.asm import assemble, fp
    >>> from fastbpf.blocks import memory
    >>> print(assemble(memory.fill(fp - 16, 0xFF, 10)))
       0: (b7) r0 = -1
       1: (7b) *(u64 *)(r10 -16) = r0
       2: (6b) *(u16 *)(r10 -8) = r0
    """
    _width(each, "each")
    if size_of(size) % each:
        raise OperandError(f"{size} bytes are not a whole number of values of {each} bytes")
    return _image("fill", at, _bytes(value, each) * (size // each), scratch, width)


@checked
def copy(source: Place, target: Place, size: int, *, width: int = 8, scratch: Register | None = None) -> Block:
    """Copy `size` bytes from `source` to `target`, which may overlap when both are at the same register.

    Emits: loads into scratch and stores of it by turns, none wider than `width` bytes; from the end backwards when the
    target is the higher place.

    Writes the target's bytes and one scratch register.

    >>> from fastbpf.asm import assemble, fp
    >>> from fastbpf.blocks import memory
    >>> print(assemble(memory.copy(fp - 24, fp - 16, 16)))
       0: (79) r0 = *(u64 *)(r10 -16)
       1: (7b) *(u64 *)(r10 -8) = r0
       2: (79) r0 = *(u64 *)(r10 -24)
       3: (7b) *(u64 *)(r10 -16) = r0
    """
    begin, end = place(source, size_of(size), what="the source"), place(target, size, what="the target")
    by = _scratch(scratch, begin.base, end.base)
    parts = list(_cut((begin.offset, end.offset), size, width))
    if begin.base == end.base and begin.offset < end.offset:
        parts.reverse()
    return block(
        "memory.copy",
        [(_LOADS[n](by, begin.base, begin.offset + k), _STORES[n](end.base, end.offset + k, by)) for k, n in parts],
        clobbers=(by,),
        stack=extent(end, size),
    )


@checked
def init(at: Place, layout: type[Struct], values: Mapping[str, object], *, scratch: Register | None = None) -> Block:
    """Write a record: its fields from registers or Python values, all other bytes 0, those between fields too.

    Emits: scratch = 8 bytes of the record, and a store of them, over and over; then a store for each field whose value
    is in a register.

    Writes the record's bytes and one scratch register. Raises AsmError for a field that the layout does not have, a
    value that does not fit, a place that is not aligned as the layout is.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import assemble, fp, r7
    >>> from fastbpf.blocks import memory
    >>> class Key(fb.Struct):
    ...     protocol: fb.u8
    ...     port: fb.u16
    ...     address: fb.u32
    >>> print(assemble(memory.init(fp - 8, Key, {"protocol": 6, "address": r7})))
       0: (b7) r0 = 6
       1: (7b) *(u64 *)(r10 -8) = r0
       2: (63) *(u32 *)(r10 -4) = r7
    """
    _check_record(layout, values)
    begin = place(at, layout.size, layout.align, what=f"a {layout.__name__}")
    image, stores = bytearray(layout.size), []
    for name, value in values.items():
        if name not in layout.fields:
            guess = nearest(str(name), layout.fields) or f"; it has {', '.join(layout.fields)}"
            raise OperandError(f"{layout.__name__} has no field {show(name)}{guess}")
        kind, offset = layout.fields[name], layout.offset(name)
        if type(value) is Register:
            if kind.size != kind.align or isinstance(kind, Bits):
                raise OperandError(f"{name} is {kind!r}, which a register cannot hold")
            stores.append(_STORES[kind.size](begin.base, begin.offset + offset, value))
            continue
        try:
            kind.pack_into(image, offset, value)
        except LayoutError as error:
            raise OperandError(f"{name}: {error}") from None
    by = _scratch(scratch, begin.base, *(value for value in values.values() if type(value) is Register))
    steps = _stores(begin, bytes(image), by, 8)
    return block("memory.init", steps, stores, clobbers=(by,), stack=extent(begin, layout.size))


@checked
def load(dst: Register, at: Place, size: int) -> Block:
    """Load 1, 2, 4 or 8 bytes, unsigned: dst = *(at). On the stack they must be aligned to their size.

    >>> from fastbpf.asm import assemble, r1, r6
    >>> from fastbpf.blocks import memory
    >>> print(assemble(memory.load(r1, r6 + 12, 4)))
       0: (61) r1 = *(u32 *)(r6 +12)
    """
    begin = place(at, _width(size), size)
    return block("memory.load", _LOADS[size](dst, begin.base, begin.offset), clobbers=(dst,))


@checked
def store(at: Place, value: Operand, size: int, *, scratch: Register | None = None) -> Block:
    """Store 1, 2, 4 or 8 bytes: *(at) = a register or any number of that size, signed or unsigned.

    Emits, for a number: scratch = value; the store.

    Writes the bytes and, for a number, one scratch register. Raises AsmError for a number that does not fit, and a
    place on the stack that is not aligned to the size.

    >>> from fastbpf.asm import assemble, fp, r6
    >>> from fastbpf.blocks import memory
    >>> print(assemble(memory.store(fp - 8, 0xFFFF_FFFF_FFFF, 8), memory.store(r6 + 4, -1, 2)))
       0: (18) r0 = 0xffffffffffff
       2: (7b) *(u64 *)(r10 -8) = r0
       3: (b7) r0 = 65535
       4: (6b) *(u16 *)(r6 +4) = r0
    """
    begin = place(at, _width(size), size)
    if type(value) is not Register:
        return _image("store", begin, _bytes(value, size), scratch)
    return block("memory.store", _STORES[size](begin.base, begin.offset, value), stack=extent(begin, size))


@checked
def read_kernel(at: Place, size: int, source: Place, *, fail: str | None = None) -> Block:
    """Read `size` bytes of the kernel's memory, at whatever address `source` is, into a place of the program's.

    Emits: r1 = at; r2 = size; r3 = source; call probe_read_kernel; with `fail`: if r0 != 0 goto fail.

    r0 is 0, or a negative errno when there is no such memory; then the kernel has made the bytes 0. Clobbers r0 to r5.
    Linux 5.5.

    >>> from fastbpf.asm import assemble, fp, r6
    >>> from fastbpf.blocks import memory
    >>> print(assemble(memory.read_kernel(fp - 8, 8, r6 + 16)))
       0: (bf) r1 = r10
       1: (07) r1 += -8
       2: (b7) r2 = 8
       3: (bf) r3 = r6
       4: (07) r3 += 16
       5: (85) call bpf_probe_read_kernel#113
    """
    return _read("read_kernel", "probe_read_kernel", at, size, source, fail)


@checked
def read_user(at: Place, size: int, source: Place, *, fail: str | None = None) -> Block:
    """Read `size` bytes of the current process's memory; else as `read_kernel`. Calls probe_read_user, Linux 5.5.

    What is not in memory now cannot be read: the read fails.

    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import memory
    >>> memory.read_user(fp - 8, 8, r6, fail="gone")
    <Block memory.read_user: clobbers r0, r1, r2, r3, r4, r5; writes fp - 8 to fp - 1; fails to "gone">
    """
    return _read("read_user", "probe_read_user", at, size, source, fail)


def _read(name: str, helper: str, at: Place, size: int, source: Place, fail: str | None) -> Block:
    target, origin = place(at, size_of(size)), place(source, 1, what="the source")
    steps = getattr(call, helper)(target, size, origin)
    checks = [] if fail is None else [jne(r0, 0, fail)]
    return block(f"memory.{name}", steps, checks, clobbers=BY_CALLS, stack=extent(target, size), fails_to=fail)


def write(at: Address, data: bytes, by: Register) -> list[Instruction]:
    """The stores that put bytes to a place, by way of a register."""
    return _stores(at, data, by, 8)


def _image(name: str, at: Place, data: bytes, wanted: Register | None, width: int = 8) -> Block:
    begin = place(at, len(data), len(data) if name == "store" else 1)
    by = _scratch(wanted, begin.base)
    return block(f"memory.{name}", _stores(begin, data, by, width), clobbers=(by,), stack=extent(begin, len(data)))


def _scratch(wanted: Register | None, *taken: Register) -> Register:
    return scratch(*taken, wanted=wanted)


def _stores(at: Address, data: bytes, by: Register, width: int) -> list[Instruction]:
    cuts = [(k, n, int.from_bytes(data[k : k + n], sys.byteorder)) for k, n in _cut((at.offset,), len(data), width)]
    steps: list[Instruction] = []
    held: int | None = None
    for index, (k, n, value) in enumerate(cuts):
        if held is None or _low(held, n) != value:
            held = _widest(cuts[index:])
            steps.append(const(by, held))
        steps.append(_STORES[n](at.base, at.offset + k, by))
    return steps


def _widest(cuts: list[tuple[int, int, int]]) -> int:
    # A number of which the first cut, and as many after it as can be, are the low bytes.
    _, width, value = cuts[0]
    for _, n, other in cuts[1:]:
        if n > width and _low(other, width) == value:
            width, value = n, other
        elif _low(value, n) != other:
            break
    return value


def _low(value: int, size: int) -> int:
    return value & (1 << 8 * size) - 1


def _cut(offsets: tuple[int, ...], size: int, width: int) -> Iterator[tuple[int, int]]:
    # Cuts of 8, 4, 2 or 1 bytes, as wide as they can be while aligned at all offsets: (where, how wide).
    _width(width, "width")
    at = 0
    while at < size:
        n = width
        while n > size - at or any((offset + at) % n for offset in offsets):
            n //= 2
        yield at, n
        at += n


def _check_record(layout: object, values: object) -> None:
    if not isinstance(layout, type) or not hasattr(layout, "fields"):
        raise OperandError(f"{show(layout)} is not a Struct, a class with the fields of the record")
    if not isinstance(values, Mapping):
        raise OperandError(f"{show(values)} is not a dict of fields and their values")


def _width(value: object, what: str = "the size") -> int:
    if type(value) is int and value in _LOADS:
        return value
    raise OperandError(f"{what} is 1, 2, 4 or 8 bytes, not {show(value)}")


def _bytes(value: object, size: int) -> bytes:
    number = within(value, -(1 << 8 * size - 1), (1 << 8 * size) - 1, f"a number of {size} byte{'s' * (size > 1)}")
    return _low(number, size).to_bytes(size, sys.byteorder)
