"""ICMP, for IPv4 and IPv6: type, code, and what belongs to an echo.

Source: RFC 792, RFC 4443.
"""

from __future__ import annotations

from fastbpf.asm.memory import ldxb
from fastbpf.asm.operands import Register, label_name
from fastbpf.asm.refusal import checked
from fastbpf.blocks.block import block
from fastbpf.blocks.header import HeaderField, advance, bounded, distinct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.blocks.block import Block

__all__ = ["ECHO_REPLY", "ECHO_REPLY_6", "ECHO_REQUEST", "ECHO_REQUEST_6", "LENGTH", "UNREACHABLE", "UNREACHABLE_6"]
__all__ += ["CHECKSUM", "CODE", "IDENTIFIER", "SEQUENCE", "TYPE", "check", "parse"]

LENGTH: Final = 8
TYPE: Final = HeaderField("icmp.TYPE", 0, 1)
CODE: Final = HeaderField("icmp.CODE", 1, 1)
CHECKSUM: Final = HeaderField("icmp.CHECKSUM", 2, 2)
#: Of an echo.
IDENTIFIER: Final = HeaderField("icmp.IDENTIFIER", 4, 2)
SEQUENCE: Final = HeaderField("icmp.SEQUENCE", 6, 2)

#: Values of TYPE with IPv4.
ECHO_REPLY: Final = 0
UNREACHABLE: Final = 3
ECHO_REQUEST: Final = 8

#: Values of TYPE with IPv6.
UNREACHABLE_6: Final = 1
ECHO_REQUEST_6: Final = 128
ECHO_REPLY_6: Final = 129


@checked
def check(
    header: Register, end: Register, *, fail: str | int, offset: int | Register = 0, scratch: Register | None = None
) -> Block:
    """Go on if the packet has the 8 bytes of an ICMP header at `header + offset`, else go to `fail`.

    Emits: as `bounds.check`. Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import r7, r9
    >>> check(r9, r7, fail="drop")
    <Block icmp.check: clobbers r0; fails to "drop">
    """
    return bounded("icmp.check", header, end, offset, LENGTH, fail, scratch)


@checked
def parse(header: Register, end: Register, *, type: Register, payload: Register, fail: str) -> Block:
    """Check an ICMP header of IPv4 or IPv6, tell its type, and find what follows.

    Emits: payload = header + 8, `fail` if that is beyond `end`; type = the byte that tells.

    Args:
        header: a pointer to the header, of which nothing needs to be checked; 8 bytes may be read afterwards.
        end: the packet's end.
        type: the result: ECHO_REQUEST … of IPv4, ECHO_REQUEST_6 … of IPv6.
        payload: the result: a pointer behind the header, of which nothing is checked yet.
        fail: a label, for a packet that is too short.

    Clobbers: type, payload. Stack: none.

    >>> from fastbpf.asm import assemble, exit_, label, r2, r3, r7, r9
    >>> print(assemble(parse(r9, r7, type=r2, payload=r3, fail="out"), label("out"), exit_()))
       0: (bf) r3 = r9
       1: (07) r3 += 8
       2: (2d) if r3 > r7 goto pc+1         ; out
       3: (71) r2 = *(u8 *)(r9 +0)
    out:
       4: (95) exit
    """
    distinct(header=header, end=end, type=type, payload=payload)
    row = [*advance(payload, header, LENGTH, end, fail), ldxb(type, header, TYPE.offset)]
    return block("icmp.parse", row, clobbers=(type, payload), fails_to=label_name(fail))
