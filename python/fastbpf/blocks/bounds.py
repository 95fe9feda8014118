"""Whether a packet is long enough: what the verifier asks for before every access to a packet.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import bounds
>>> print(assemble(bounds.check(r6, r7, 14, 20, "drop"), label("drop"), exit_()))
   0: (bf) r0 = r6
   1: (07) r0 += 34
   2: (2d) if r0 > r7 goto pc+0         ; drop
drop:
   3: (95) exit
"""

from __future__ import annotations

from fastbpf.asm.alu import add, mov, sub
from fastbpf.asm.jump import jgt
from fastbpf.asm.operands import Register, label_name, signed32
from fastbpf.asm.refusal import checked
from fastbpf.blocks.block import block
from fastbpf.blocks.header import bounded, distinct, reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.blocks.block import Block

__all__ = ["check", "window"]


@checked
def check(
    data: Register,
    end: Register,
    offset: int | Register,
    size: int,
    fail: str | int,
    scratch: Register | None = None,
) -> Block:
    """Go on if the packet has `size` bytes at `data + offset`, else go to `fail`.

    Emits: scratch = data + offset + size; if it is beyond `end`, goto `fail`.

    The verifier then lets a program read and write those bytes by way of `data`. With an offset in a register, which
    must be known to be small (after `and_(r2, 0x3C)`, say), it lets it do so only by way of what it compared: use
    `window`, which keeps that.

    Args:
        data: a pointer to the packet.
        end: the pointer to its end.
        offset: in bytes, a number or a register.
        size: in bytes; offset + size is at most 65535.
        fail: a label, or a number of slots to skip.
        scratch: which register to use; it is left holding data + offset + size.

    Clobbers: scratch. Stack: none. Any kernel with direct packet access: tc 4.7, XDP 4.8.

    Raises:
        AsmError: `scratch` is one of the other registers; the range is further than the verifier follows.

    >>> from fastbpf.asm import r6, r7, r8
    >>> check(r6, r7, 0, 14, fail="drop", scratch=r8)
    <Block bounds.check: clobbers r8; fails to "drop">
    """
    return bounded("bounds.check", data, end, offset, size, fail, scratch)


@checked
def window(start: Register, data: Register, offset: int | Register, end: Register, size: int, fail: str) -> Block:
    """start = data + offset, a pointer to `size` bytes that may be accessed; `fail` if the packet has not so many.

    Emits: start = data; start += offset + size; if start is beyond `end`, goto `fail`; start -= size.

    Args:
        start: the result.
        data: a pointer to the packet.
        offset: in bytes, a number or a register; the verifier must know a register to be below 65535 - size.
        end: the pointer to the packet's end.
        size: in bytes.
        fail: a label.

    Clobbers: start. Stack: none.

    >>> from fastbpf.asm import assemble, exit_, label, r1, r6, r7, r8
    >>> print(assemble(window(r8, r6, r1, r7, 4, "drop"), label("drop"), exit_()))
       0: (bf) r8 = r6
       1: (0f) r8 += r1
       2: (07) r8 += 4
       3: (2d) if r8 > r7 goto pc+1         ; drop
       4: (17) r8 -= 4
    drop:
       5: (95) exit
    """
    distinct(start=start, data=data, end=end, offset=offset)
    if type(offset) is Register:
        row = [mov(start, data), add(start, offset), add(start, reach(0, size)[1])]
    else:
        row = [mov(start, data), add(start, sum(reach(offset, size)))]
    back = sub(start, signed32(size, "take less"))
    return block("bounds.window", row, jgt(start, end, label_name(fail)), back, clobbers=(start,), fails_to=fail)
