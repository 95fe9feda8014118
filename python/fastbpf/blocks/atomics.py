"""Memory that several CPUs change at once: counters, bits, compare-and-swap.

A place is an address such as `r6 + 8`, most often within the value of a map, aligned to the size.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import atomics
>>> print(assemble(atomics.increment(r6 + 8), atomics.set_bits(r6, 1 << 40)))
   0: (b7) r0 = 1
   1: (db) lock *(u64 *)(r6 +8) += r0
   2: (18) r0 = 0x10000000000
   4: (db) lock *(u64 *)(r6 +0) |= r0
"""

from __future__ import annotations

from fastbpf.asm import (
    Address,
    Instruction,
    Register,
    atomic_add,
    atomic_and,
    atomic_cmpxchg,
    atomic_fetch_add,
    atomic_fetch_and,
    atomic_fetch_or,
    atomic_fetch_xor,
    atomic_or,
    atomic_xor,
    const,
    ja,
    jeq,
    jeq32,
    jne,
    jne32,
    label,
    ldxdw,
    ldxw,
    mov,
    mov32,
    r0,
    sub,
    xor,
)
from fastbpf.asm.operands import REGISTERS, within, writable
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import block, own, scratch
from fastbpf.blocks.header import spare
from fastbpf.blocks.operand import extent, goals, mentioned, place, settled, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal

    from fastbpf.asm.assembly import Part
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Operand, Place

    Size = Literal["u32", "u64"]

__all__ = ["add", "clear_bits", "compare_and_swap", "decrement", "increment", "set_bits", "toggle_bits", "update"]

_BYTES = {"u32": 4, "u64": 8}


@checked
def add(
    at: Place, number: Operand, *, size: Size = "u64", old: Register | None = None, scratch: Register | None = None
) -> Block:
    """Add a number or a register: lock *(at) += number; and old = what was there before, if asked for.

    Emits: scratch, or old, = number, unless it is in a register and stays there; the addition.

    Linux 4.4; with `old`, 5.12. Writes one scratch register, or `old`.

    >>> from fastbpf.asm import assemble, r1, r6, r7
    >>> from fastbpf.blocks import atomics
    >>> print(assemble(atomics.add(r6, r7), atomics.add(r6 + 8, -3, size="u32", old=r1)))
       0: (db) lock *(u64 *)(r6 +0) += r7
       1: (b7) r1 = -3
       2: (c3) r1 = atomic_fetch_add((u32 *)(r6 +8), r1)
    """
    return _change("add", (atomic_add, atomic_fetch_add), at, number, size, old, scratch)


@checked
def increment(at: Place, *, size: Size = "u64", old: Register | None = None, scratch: Register | None = None) -> Block:
    """Count up by one. As `add(at, 1)`.

    >>> from fastbpf.asm import r6
    >>> from fastbpf.blocks import atomics
    >>> atomics.increment(r6 + 8)
    <Block atomics.increment: clobbers r0>
    """
    return _change("increment", (atomic_add, atomic_fetch_add), at, 1, size, old, scratch)


@checked
def decrement(at: Place, *, size: Size = "u64", old: Register | None = None, scratch: Register | None = None) -> Block:
    """Count down by one. As `add(at, -1)`.

    >>> from fastbpf.asm import assemble, r6
    >>> from fastbpf.blocks import atomics
    >>> print(assemble(atomics.decrement(r6)))
       0: (b7) r0 = -1
       1: (db) lock *(u64 *)(r6 +0) += r0
    """
    return _change("decrement", (atomic_add, atomic_fetch_add), at, -1, size, old, scratch)


@checked
def set_bits(
    at: Place, mask: Operand, *, size: Size = "u64", old: Register | None = None, scratch: Register | None = None
) -> Block:
    """Set the bits of a mask: lock *(at) |= mask. Else as `add`. Linux 5.12.

    >>> from fastbpf.asm import assemble, r0, r6
    >>> from fastbpf.blocks import atomics
    >>> print(assemble(atomics.set_bits(r6, 1 << 31, old=r0)))
       0: (b4) w0 = -2147483648
       1: (db) r0 = atomic64_fetch_or((u64 *)(r6 +0), r0)
    """
    return _change("set_bits", (atomic_or, atomic_fetch_or), at, mask, size, old, scratch)


@checked
def clear_bits(
    at: Place, mask: Operand, *, size: Size = "u64", old: Register | None = None, scratch: Register | None = None
) -> Block:
    """Clear the bits of a mask: lock *(at) &= ~mask. Else as `add`. Linux 5.12.

    >>> from fastbpf.asm import assemble, r6, r7
    >>> from fastbpf.blocks import atomics
    >>> print(assemble(atomics.clear_bits(r6, 1), atomics.clear_bits(r6, r7)))
       0: (b7) r0 = -2
       1: (db) lock *(u64 *)(r6 +0) &= r0
       2: (bf) r0 = r7
       3: (a7) r0 ^= -1
       4: (db) lock *(u64 *)(r6 +0) &= r0
    """
    return _change("clear_bits", (atomic_and, atomic_fetch_and), at, mask, size, old, scratch, inverted=True)


@checked
def toggle_bits(
    at: Place, mask: Operand, *, size: Size = "u64", old: Register | None = None, scratch: Register | None = None
) -> Block:
    """Toggle the bits of a mask: lock *(at) ^= mask. Else as `add`. Linux 5.12.

    >>> from fastbpf.asm import assemble, r6
    >>> from fastbpf.blocks import atomics
    >>> print(assemble(atomics.toggle_bits(r6, 0xF0, size="u32")))
       0: (b7) r0 = 240
       1: (c3) lock *(u32 *)(r6 +0) ^= r0
    """
    return _change("toggle_bits", (atomic_xor, atomic_fetch_xor), at, mask, size, old, scratch)


@checked
def compare_and_swap(
    at: Place,
    expected: Operand,
    new: Operand,
    *,
    fail: str,
    size: Size = "u64",
    scratch: Register | Sequence[Register] | None = None,
) -> Block:
    """Put `new` there if what is there equals `expected`, in one step; else go to `fail`.

    Emits: r0 = expected; r0 = cmpxchg(at, r0, new); if r0 != expected goto fail.

    r0 is what was there. A number for `new`, and one for `expected` of more than 31 bits, take a scratch register each,
    which `scratch` names: one, or a tuple of two. Of registers, all 64 bits count, or the lower 32 by size. Linux 5.12.

    >>> from fastbpf.asm import *
    >>> from fastbpf.blocks import atomics
    >>> print(assemble(atomics.compare_and_swap(r6, 0, r7, fail="taken"), label("taken"), mov(r0, 0), exit_()))
       0: (b7) r0 = 0
       1: (db) r0 = atomic64_cmpxchg((u64 *)(r6 +0), r0, r7)
       2: (55) if r0 != 0x0 goto pc+0       ; taken
    taken:
       3: (b7) r0 = 0
       4: (95) exit
    """
    address, bits = _place(at, size)
    taken = [address.base, r0, *(one for one in (expected, new) if one in REGISTERS)]
    for what, one in (("the place", address.base), ("expected", expected), ("new", new)):
        if one == r0:
            raise OperandError(f"{what} cannot be r0, which the instruction compares with")
    wanted = expected if type(expected) is Register else _signed(_number(expected, bits), bits)
    wide = [wanted] if isinstance(wanted, int) and not -(1 << 31) <= wanted < 1 << 31 else []
    numbers = [*([] if type(new) is Register else [_number(new, bits)]), *wide]
    made = _passing(len(numbers), taken, scratch)
    steps = [const(register, number) for register, number in zip(made, numbers, strict=True)]
    value = new if type(new) is Register else made[0]
    wanted = made[-1] if wide else wanted
    load = mov if bits == 64 else mov32
    other = jne if bits == 64 else jne32
    swap = atomic_cmpxchg(address.base, address.offset, value, size=size)
    return block(
        "atomics.compare_and_swap",
        steps,
        [load(r0, wanted), swap, other(r0, wanted, fail)],
        clobbers=(r0, *made),
        stack=extent(address, bits // 8),
        fails_to=fail,
    )


@checked
def update(
    at: Place,
    value: Register,
    *change: Part,
    fail: str,
    size: Size = "u64",
    tries: int = 64,
    scratch: Sequence[Register] | None = None,
) -> Block:
    """Change a number in a way that no single atomic instruction has: a compare-and-swap loop.

    Emits: r0 = *(at); again: expected = r0; value = r0; the change; r0 = cmpxchg(at, r0, value); if r0 == expected goto
    done; tries -= 1; if tries != 0 goto again; goto fail; done.

    Args:
        at: where the number is.
        value: the register that the change finds it in, and leaves the new one in.
        change: instructions, blocks, labels; no calls. It may be run several times. To leave the number as it is, go to
            a label of the program's.
        fail: where to go when other CPUs were faster `tries` times.
        size: "u32" or "u64".
        tries: the loop is bounded, as the kernel demands.
        scratch: two registers to use, which the change does not mention.

    r0 is the number that was replaced, value the new one. Writes r0, value, two scratch registers, and what the change
    writes. Linux 5.12; a loop, so 5.3.

    >>> from fastbpf.asm import *
    >>> from fastbpf.blocks import atomics
    >>> highest = atomics.update(r6, r1, jge(r1, r7, "higher already"), mov(r1, r7), fail="busy")
    >>> highest
    <Block atomics.update: clobbers r0, r1, r4, r5; fails to "busy">
    """
    address, bits = _place(at, size)
    body = settled(change)
    named = mentioned(body)
    writable(value)
    within(tries, 1, 1 << 20, "tries")
    for what, one in (("the place", address.base), ("the value", value)):
        if one == r0:
            raise OperandError(f"{what} cannot be r0, which the instruction compares with")
    if value == address.base:
        raise OperandError(f"{value} is the place; the value needs a register of its own")
    changed = written(body)
    if address.base in changed or r0 in changed:
        lost = address.base if address.base in changed else r0
        raise OperandError(f"the change writes {lost}, which the loop needs; a call would, too")
    expected, left = spare(2, r0, address.base, value, *named, wanted=scratch)
    again, done = own("again", fail, *goals(body)), own("done", fail, *goals(body))
    load, copied, same = (ldxdw, mov, jeq) if bits == 64 else (ldxw, mov32, jeq32)
    return block(
        "atomics.update",
        [mov(left, tries), load(r0, address.base, address.offset)],
        [label(again), copied(expected, r0), copied(value, r0), *body],
        [atomic_cmpxchg(address.base, address.offset, value, size=size), same(r0, expected, done)],
        [sub(left, 1), jne(left, 0, again), ja(fail), label(done)],
        clobbers=(r0, value, expected, left, *changed),
        stack=extent(address, bits // 8),
        fails_to=fail,
    )


def _change(
    name: str,
    atomic: tuple[Callable[..., Instruction], Callable[..., Instruction]],
    at: Place,
    number: Operand,
    size: Size,
    old: Register | None,
    wanted: Register | None,
    *,
    inverted: bool = False,
) -> Block:
    address, bits = _place(at, size)
    given = number if type(number) is Register else None
    steps: list[Instruction] = []
    if old is not None:
        if wanted is not None:
            raise OperandError("with old=, no scratch register is used; leave scratch= out")
        writable(old)
        if old == address.base:
            raise OperandError(f"old={old} is the place; it needs a register of its own")
        by = old
    elif given is not None and not inverted:
        by = given
    else:
        by = scratch(address.base, number, wanted=wanted)
    if given is None:
        value = _number(number, bits)
        steps.append(const(by, _signed(~value if inverted else value, bits)))
    elif given != by:
        steps.append(mov(by, given))
    if given is not None and inverted:
        steps.append(xor(by, -1))
    steps.append(atomic[old is not None](address.base, address.offset, by, size=size))
    clobbers = () if by == given and old is None else (by,)
    return block(f"atomics.{name}", steps, clobbers=clobbers, stack=extent(address, bits // 8))


def _passing(count: int, taken: Sequence[object], wanted: Register | Sequence[Register] | None) -> tuple[Register, ...]:
    if wanted is not None and not count:
        raise OperandError("no scratch register is used; leave scratch= out")
    return spare(count, *taken, wanted=(wanted,) if count == 1 and type(wanted) is Register else wanted)


def _place(at: Place, size: Any) -> tuple[Address, int]:
    if not isinstance(size, str) or size not in _BYTES:
        raise OperandError(f"{show(size)} is no size; there are {', '.join(map(show, _BYTES))}")
    return place(at, _BYTES[size], _BYTES[size]), _BYTES[size] * 8


def _number(value: object, bits: int) -> int:
    return within(value, -(1 << bits - 1), (1 << bits) - 1, f"a number of {bits} bits")


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value
