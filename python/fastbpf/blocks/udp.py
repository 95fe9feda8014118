"""UDP: ports, length, and the payload.

Source: RFC 768.
"""

from __future__ import annotations

from fastbpf.asm.operands import Register, label_name
from fastbpf.asm.refusal import checked
from fastbpf.blocks.block import block
from fastbpf.blocks.header import HeaderField, advance, bounded, distinct
from fastbpf.blocks.transport import ports, swap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.blocks.block import Block

__all__ = ["CHECKSUM", "DESTINATION", "LENGTH", "SIZE", "SOURCE", "check", "parse", "ports", "swap"]

LENGTH: Final = 8
SOURCE: Final = HeaderField("udp.SOURCE", 0, 2)
DESTINATION: Final = HeaderField("udp.DESTINATION", 2, 2)
#: Of header and payload, in bytes.
SIZE: Final = HeaderField("udp.SIZE", 4, 2)
#: 0 where the sender gave none, over IPv4.
CHECKSUM: Final = HeaderField("udp.CHECKSUM", 6, 2)


@checked
def check(
    header: Register, end: Register, *, fail: str | int, offset: int | Register = 0, scratch: Register | None = None
) -> Block:
    """Go on if the packet has the 8 bytes of a UDP header at `header + offset`, else go to `fail`.

    Emits: as `bounds.check`. Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import r7, r9
    >>> check(r9, r7, fail="drop")
    <Block udp.check: clobbers r0; fails to "drop">
    """
    return bounded("udp.check", header, end, offset, LENGTH, fail, scratch)


@checked
def parse(header: Register, end: Register, *, payload: Register, fail: str) -> Block:
    """Check a UDP header, and find what follows.

    Emits: payload = header + 8, `fail` if that is beyond `end`.

    Args:
        header: a pointer to the header, of which nothing needs to be checked; 8 bytes may be read afterwards.
        end: the packet's end.
        payload: the result: a pointer behind the header, of which nothing is checked yet.
        fail: a label, for a packet that is too short.

    Clobbers: payload. Stack: none.

    >>> from fastbpf.asm import assemble, exit_, label, r3, r7, r9
    >>> print(assemble(parse(r9, r7, payload=r3, fail="out"), label("out"), exit_()))
       0: (bf) r3 = r9
       1: (07) r3 += 8
       2: (2d) if r3 > r7 goto pc+0         ; out
    out:
       3: (95) exit
    """
    distinct(header=header, end=end, payload=payload)
    row = advance(payload, header, LENGTH, end, fail)
    return block("udp.parse", row, clobbers=(payload,), fails_to=label_name(fail))
