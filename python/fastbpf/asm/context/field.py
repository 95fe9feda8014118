"""A field of a context, and the load that is made for it."""

from __future__ import annotations

from fastbpf.asm import memory
from fastbpf.asm.operands import integer
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.asm.source import here
from fastbpf.asm.value import Value, fill
from fastbpf.errors import AsmError

__all__ = ["Field", "ld_ctx"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.operands import Register

_LOADS = {1: memory.ldxb, 2: memory.ldxh, 4: memory.ldxw, 8: memory.ldxdw}


class Field(Value):
    """A field of a context. Where an instruction takes an offset, it takes a field, too.

    Attributes:
        struct: the context's name after `ctx.`, "xdp_md"; empty for `ctx.args`.
        name: the field's name, "data" or "cb[2]".
        offset: in bytes from the context's beginning.
        size: in bytes; 0 of an array whose length the kernel does not tell.
        type: the C type, that of an element if this is an array.
        elements: of an array, how many; 0 when the kernel does not tell. None: not an array.

    >>> from fastbpf.asm.context import ctx
    >>> field = ctx.sk_buff.cb
    >>> field.offset, field.size, field.type, field.elements
    (48, 20, '__u32', 5)
    >>> field[2], field[2].offset, field[2].size
    (ctx.sk_buff.cb[2], 56, 4)
    """

    __match_args__ = ("struct", "name", "offset", "size", "type", "elements")
    __slots__ = __match_args__
    struct: str
    name: str
    offset: int
    size: int
    type: str
    elements: int | None

    def __init__(self, struct: str, name: str, offset: int, size: int, type: str, elements: int | None = None) -> None:
        fill(self, "struct", struct)
        fill(self, "name", name)
        fill(self, "offset", offset)
        fill(self, "size", size)
        fill(self, "type", type)
        fill(self, "elements", elements)

    def __index__(self) -> int:
        return self.offset

    def __getitem__(self, index: int) -> Field:
        """An element of an array.

        Raises:
            AsmError: this is not an array, or it has no such element.
        """
        if self.elements is None:
            raise AsmError(f"{here()}: {self!r}[{index!r}]: {self!r} is a {self.type}, not an array")
        try:
            at = integer(index, "the number of an element")
        except OperandError as refused:
            raise AsmError(f"{here()}: {self!r}[{show(index)}]: {refused}") from None
        if at < 0 or (self.elements and at >= self.elements):
            last = f"elements 0 to {self.elements - 1}" if self.elements else "elements from 0 on"
            raise AsmError(f"{here()}: {self!r}[{at}]: there is no such element; {self!r} has {last}")
        # an array without a length is one of u64: arguments of the kernel's functions
        size = self.size // self.elements if self.elements else 8
        return Field(self.struct, f"{self.name}[{at}]", self.offset + at * size, size, self.type)

    # without it, Python would ask for one element after the other, until an error that is not an IndexError
    __iter__ = None

    def __repr__(self) -> str:
        return ".".join(["ctx", *filter(None, [self.struct]), self.name])


@checked
def ld_ctx(dst: Register, src: Register, field: Field) -> Instruction:
    """dst = a field of the context that src points to, loaded by the field's own width: ldxb, ldxh, ldxw or ldxdw.

    >>> from fastbpf.asm import r1, r2
    >>> from fastbpf.asm.context import ctx, ld_ctx
    >>> ld_ctx(r2, r1, ctx.sk_buff.protocol), ld_ctx(r2, r1, ctx.args[1])
    (ldxw(r2, r1, 16), ldxdw(r2, r1, 8))

    Raises:
        AsmError: `field` is not a field, or is an array: load one of its elements.
    """
    if not isinstance(field, Field):
        raise OperandError(f"{show(field)} is not a field; fields are written ctx.xdp_md.data, ctx.sk_buff.protocol …")
    if field.elements is not None:
        raise OperandError(f"{field!r} is an array; load one of its elements: {field[0]!r}")
    return _LOADS[field.size](dst, src, field.offset)
