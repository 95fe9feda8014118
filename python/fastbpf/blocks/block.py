"""What a building block is: a piece that says what it does to registers and stack.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks.block import block
>>> def clamp(value, most):
...     return block("clamp", jle(value, most, "fine"), mov(value, most), label("fine"), clobbers=(value,))
>>> once = clamp(r6, 100)
>>> once
<Block clamp: clobbers r6>
>>> print(assemble(once, clamp(r7, 5), exit_()))
   0: (b5) if r6 <= 0x64 goto pc+1
   1: (b7) r6 = 100
   2: (b5) if r7 <= 0x5 goto pc+1
   3: (b7) r7 = 5
   4: (95) exit
"""

from __future__ import annotations

from fastbpf.asm.assembly import Piece, piece
from fastbpf.asm.operands import Address, Register, fp, r0, r1, r2, r3, r4, r5
from fastbpf.asm.refusal import OperandError, show
from fastbpf.asm.source import here
from fastbpf.asm.value import fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastbpf.asm.assembly import Part
    from fastbpf.asm.source import Source

__all__ = ["Block", "block", "free", "on_stack", "scratch"]

DEPTH = 512

# what calls leave undefined anyway; r6 to r9 hold what programs want to keep
_PASSING = (r0, r5, r4, r3, r2, r1)


class Block(Piece):
    """A piece with a contract. Code tells where its blocks stand: `Code.pieces`.

    `clobbers` are the registers that it writes or leaves undefined; all others keep their values. `stack` is the range
    of the stack that it writes by itself, as offsets from fp, the end not included; what a body writes that you give
    it, it does not know. `fails_to` is the label of the caller that it goes to when it fails.
    """

    __match_args__ = ("parts", "name", "clobbers", "stack", "fails_to", "source")
    __slots__ = ("clobbers", "fails_to", "name", "stack")
    name: str
    clobbers: tuple[Register, ...]
    stack: tuple[int, int] | None
    fails_to: str | None

    def __init__(
        self,
        parts: tuple[Part, ...],
        name: str,
        clobbers: tuple[Register, ...],
        stack: tuple[int, int] | None,
        fails_to: str | None,
        source: Source | None = None,
    ) -> None:
        super().__init__(parts, (), source)
        fill(self, "name", name)
        fill(self, "clobbers", clobbers)
        fill(self, "stack", stack)
        fill(self, "fails_to", fails_to)

    def _content(self) -> tuple[object, ...]:
        return self.parts, self.name, self.clobbers, self.stack, self.fails_to

    def __repr__(self) -> str:
        told = [f"clobbers {', '.join(map(repr, self.clobbers))}"] if self.clobbers else []
        if self.stack:
            told.append(f"writes {fp + self.stack[0]} to {fp + (self.stack[1] - 1)}")
        if self.fails_to is not None:
            told.append(f"fails to {show(self.fails_to)}")
        return f"<Block {self.name}{': ' if told else ''}{'; '.join(told)}>"


def block(
    name: str,
    *parts: Part,
    clobbers: Iterable[Register] = (),
    stack: tuple[int, int] | None = None,
    fails_to: str | None = None,
) -> Block:
    """Make a block of parts; labels in them are its own.

    `clobbers` are the registers that it writes, results too, or leaves undefined, as r0 to r5 after a call. `stack` is
    the range of the stack that it writes, as offsets from fp, and `fails_to` a label of whoever uses it.
    """
    changed = sorted(set(clobbers), key=lambda register: register.number)
    return Block(piece(*parts).parts, name, tuple(changed), stack, fails_to, here())


def free(count: int, *taken: object) -> tuple[Register, ...]:
    """The first `count` registers that are not `taken`, in the order r0, r5, r4, r3, r2, r1; never r6 to r9."""
    left = tuple(register for register in _PASSING if register not in taken)
    if len(left) < count:
        named = "one" if count == 1 else str(count)
        if not left:
            raise OperandError(f"no register of r0 to r5 is free; name {named} with scratch=")
        only = " and ".join(map(repr, left))
        raise OperandError(
            f"only {only} of r0 to r5 {'is' if len(left) == 1 else 'are'} free; name {named} with scratch="
        )
    return left[:count]


def own(name: str, *taken: object) -> str:
    """A name for a label of a block that is none of those `taken` by whoever uses it."""
    while name in taken:
        name += "'"
    return name


def scratch(*taken: object, wanted: Register | None = None) -> Register:
    """A register for passing use: `wanted`, which must not be among those `taken`, else the first that is free.

    Only those are chosen that calls leave undefined, see `free`; r6 to r9 must be asked for.
    """
    if wanted is None:
        return free(1, *taken)[0]
    if type(wanted) is not Register or wanted == fp or wanted in taken:
        why = "cannot be written" if wanted == fp else "is in use" if wanted in taken else "is not a register"
        raise OperandError(f"scratch={show(wanted)} {why}; leave it out, and one is chosen")
    return wanted


def on_stack(place: object, size: int, align: int = 1, *, what: str = "the place") -> int:
    """The offset from fp of `size` bytes on the stack, such as `fp - 16`, which must lie within its 512 bytes."""
    if type(place) is not Address or place.base != fp:
        raise OperandError(f"{show(place)} is not on the stack; {what} is written fp - 16")
    if not -DEPTH <= place.offset <= -size:
        within = f"the stack, fp - {DEPTH} to fp - 1; the highest is fp - {size}"
        raise OperandError(f"{what} of {size} bytes at {place} is not within {within}")
    if place.offset % align:
        down = place.offset // align * align
        raise OperandError(f"{what} at {place} must be aligned to {align} bytes; such as {fp + down}")
    return place.offset
