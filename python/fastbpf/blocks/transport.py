"""What the headers of TCP and UDP share: their first four bytes are the two ports."""

from __future__ import annotations

from fastbpf.asm.refusal import OperandError, checked
from fastbpf.blocks.block import block
from fastbpf.blocks.header import HeaderField, bounded, distinct, is_network, loaded
from fastbpf.blocks.packet import exchanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.operands import Register
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.header import Order

__all__ = ["DESTINATION", "LENGTH", "SOURCE", "check", "ports", "swap"]

#: Of the two ports.
LENGTH: Final = 4
SOURCE: Final = HeaderField("transport.SOURCE", 0, 2)
DESTINATION: Final = HeaderField("transport.DESTINATION", 2, 2)


@checked
def check(
    header: Register, end: Register, *, fail: str | int, offset: int | Register = 0, scratch: Register | None = None
) -> Block:
    """Go on if the packet has the 4 bytes of two ports at `header + offset`, else go to `fail`.

    Emits: as `bounds.check`. Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import r7, r9
    >>> check(r9, r7, fail="drop")
    <Block transport.check: clobbers r0; fails to "drop">
    """
    return bounded("transport.check", header, end, offset, LENGTH, fail, scratch)


@checked
def ports(
    header: Register, *, source: Register | None = None, destination: Register | None = None, order: Order = "host"
) -> Block:
    """The ports of a TCP or UDP header.

    Emits: for each that is wanted the load and, in host order, the swap.

    Args:
        header: to the header, of which 4 bytes must have been checked.
        source: the result, if wanted.
        destination: the result, if wanted.
        order: "host": port 80 is 80. "network": as it lies in the packet.

    Clobbers: source, destination. Stack: none.

    >>> from fastbpf.asm import assemble, r2, r3, r9
    >>> print(assemble(ports(r9, source=r2, destination=r3)))
       0: (69) r2 = *(u16 *)(r9 +0)
       1: (dc) r2 = be16 r2
       2: (69) r3 = *(u16 *)(r9 +2)
       3: (dc) r3 = be16 r3
    """
    distinct(header=header, source=source, destination=destination)
    network = is_network(order)
    wanted = [(dst, part) for dst, part in ((source, SOURCE), (destination, DESTINATION)) if dst is not None]
    if not wanted:
        raise OperandError("say where to put the ports: source=r2, destination=r3, or one of them")
    row: list[Instruction] = []
    for dst, part in wanted:
        row += loaded(dst, header, part.offset, part.size, network=network)
    return block("transport.ports", row, clobbers=[dst for dst, _ in wanted])


@checked
def swap(header: Register, scratch: Sequence[Register] | None = None) -> Block:
    """Exchange the two ports, as an answer needs it; the checksum stays right.

    Emits: two loads and two stores. Clobbers: scratch, two registers. Stack: none.

    >>> from fastbpf.asm import r9
    >>> swap(r9)
    <Block transport.swap: clobbers r0, r5>
    """
    return exchanged("transport.swap", header, SOURCE, DESTINATION, scratch)
