"""IPv4: the header with its options, fragments, the time to live.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import ethernet, ipv4, packet
>>> code = assemble(
...     packet.pointers(r6, r7, r1, "xdp"),
...     ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
...     jne(r2, ethernet.IPV4, "pass"),
...     ipv4.parse(r8, r7, protocol=r2, payload=r9, fail="drop"),
...     ipv4.decrement_ttl(r8, fail="drop"),
...     label("pass"),
...     packet.verdict("XDP_PASS"),
...     label("drop"),
...     packet.verdict("XDP_DROP"),
... )

Source: RFC 791, RFC 1624 for the checksum.
"""

from __future__ import annotations

from fastbpf.asm.alu import add, and_, lsh, sub
from fastbpf.asm.jump import jgt, jle, jlt, jset
from fastbpf.asm.memory import ldxb, ldxh, stxb, stxh
from fastbpf.asm.operands import Register, label_name
from fastbpf.asm.refusal import checked
from fastbpf.blocks.block import block
from fastbpf.blocks.block import scratch as free
from fastbpf.blocks.header import HeaderField, advance, bounded, distinct, swapped
from fastbpf.blocks.packet import exchanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from fastbpf.asm.instruction import Instruction
    from fastbpf.blocks.block import Block

__all__ = ["ICMP", "LENGTH", "TCP", "UDP"]
__all__ += ["CHECKSUM", "DESTINATION", "FRAGMENT", "IDENTIFICATION", "PROTOCOL", "SOURCE", "TOS", "TOTAL_LENGTH", "TTL"]
__all__ += ["VERSION", "check", "decrement_ttl", "header_length", "parse", "swap", "unfragmented"]

#: Without options.
LENGTH: Final = 20
#: The version in the upper half of the byte, the length of the header in words of 4 bytes in the lower.
VERSION: Final = HeaderField("ipv4.VERSION", 0, 1)
TOS: Final = HeaderField("ipv4.TOS", 1, 1)
TOTAL_LENGTH: Final = HeaderField("ipv4.TOTAL_LENGTH", 2, 2)
IDENTIFICATION: Final = HeaderField("ipv4.IDENTIFICATION", 4, 2)
#: Three flags, and the place of a fragment in units of 8 bytes.
FRAGMENT: Final = HeaderField("ipv4.FRAGMENT", 6, 2)
TTL: Final = HeaderField("ipv4.TTL", 8, 1)
PROTOCOL: Final = HeaderField("ipv4.PROTOCOL", 9, 1)
CHECKSUM: Final = HeaderField("ipv4.CHECKSUM", 10, 2)
SOURCE: Final = HeaderField("ipv4.SOURCE", 12, 4)
DESTINATION: Final = HeaderField("ipv4.DESTINATION", 16, 4)

#: Values of PROTOCOL.
ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17


@checked
def check(
    header: Register, end: Register, *, fail: str | int, offset: int = 0, scratch: Register | None = None
) -> Block:
    """Go on if the packet has the 20 bytes of an IPv4 header at `header + offset`, else go to `fail`.

    Emits: as `bounds.check`. Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import r6, r7
    >>> check(r6, r7, offset=14, fail="drop")
    <Block ipv4.check: clobbers r0; fails to "drop">
    """
    return bounded("ipv4.check", header, end, offset, LENGTH, fail, scratch)


@checked
def parse(header: Register, end: Register, *, protocol: Register, payload: Register, fail: str) -> Block:
    """Check an IPv4 header and its options, and find what follows: where it begins, and which protocol it is.

    Emits: payload = header + 20, `fail` if that is beyond `end`; `fail` unless the first byte says version 4 and a
    header of at least 20 bytes; payload = header + the length that it says, `fail` if that is beyond `end`;
    protocol = the byte that tells.

    The 20 bytes at `header` may be read then. What follows begins with a header of `protocol` only in the first
    fragment: see `unfragmented`. What is behind the packet's total length is padding of Ethernet.

    Args:
        header: a pointer to the header, of which nothing needs to be checked.
        end: the packet's end.
        protocol: the result: ICMP, TCP, UDP …
        payload: the result: a pointer behind the options, of which nothing is checked yet.
        fail: a label, for a packet that is too short or no IPv4.

    Clobbers: protocol, payload. Stack: none. Linux 4.14.

    >>> from fastbpf.asm import assemble, exit_, label, r2, r7, r8, r9
    >>> print(assemble(parse(r8, r7, protocol=r2, payload=r9, fail="out"), label("out"), exit_()))
       0: (bf) r9 = r8
       1: (07) r9 += 20
       2: (2d) if r9 > r7 goto pc+8         ; out
       3: (71) r9 = *(u8 *)(r8 +0)
       4: (a5) if r9 < 0x45 goto pc+6       ; out
       5: (25) if r9 > 0x4f goto pc+5       ; out
       6: (57) r9 &= 15
       7: (67) r9 <<= 2
       8: (0f) r9 += r8
       9: (2d) if r9 > r7 goto pc+1         ; out
      10: (71) r2 = *(u8 *)(r8 +9)
    out:
      11: (95) exit
    """
    distinct(header=header, end=end, protocol=protocol, payload=payload)
    to = label_name(fail)
    return block(
        "ipv4.parse",
        advance(payload, header, LENGTH, end, to),
        ldxb(payload, header, VERSION.offset),
        # both in one: 0x45 is version 4 with 5 words, 0x4F with 15
        [jlt(payload, 0x45, to), jgt(payload, 0x4F, to)],
        _in_bytes(payload),
        [add(payload, header), jgt(payload, end, to)],
        ldxb(protocol, header, PROTOCOL.offset),
        clobbers=(protocol, payload),
        fails_to=to,
    )


@checked
def header_length(dst: Register, header: Register) -> Block:
    """dst = the length of the header in bytes, as its first byte says: a multiple of 4 up to 60, which may be wrong.

    Emits: the load; dst &= 15; dst <<= 2. Clobbers: dst. Stack: none.

    >>> from fastbpf.asm import assemble, r2, r8
    >>> print(assemble(header_length(r2, r8)))
       0: (71) r2 = *(u8 *)(r8 +0)
       1: (57) r2 &= 15
       2: (67) r2 <<= 2
    """
    return block("ipv4.header_length", ldxb(dst, header, VERSION.offset), _in_bytes(dst), clobbers=(dst,))


@checked
def unfragmented(header: Register, *, fail: str, scratch: Register | None = None) -> Block:
    """Go on if the packet is whole or the first fragment, so that its payload begins with a header; else to `fail`.

    Emits: the load of the fragment's place; if it is not 0, goto `fail`.

    Args:
        header: to the header, which `parse` or `check` has checked.
        fail: a label.
        scratch: which register to use.

    Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import assemble, exit_, label, r8
    >>> print(assemble(unfragmented(r8, fail="out"), label("out"), exit_()))
       0: (69) r0 = *(u16 *)(r8 +6)
       1: (45) if r0 & 0xff1f goto pc+0     ; out
    out:
       2: (95) exit
    """
    other, to = free(header, wanted=scratch), label_name(fail)
    row = [ldxh(other, header, FRAGMENT.offset), jset(other, swapped(0x1FFF, 2), to)]
    return block("ipv4.unfragmented", row, clobbers=(other,), fails_to=to)


@checked
def decrement_ttl(header: Register, *, fail: str, scratch: Register | None = None) -> Block:
    """Take one from the time to live and correct the header's checksum; `fail` if it is 1 or 0, as a router does.

    Emits: the load; if it is at most 1, goto `fail`; one less, and the store; the checksum is loaded, increased in
    ones' complement by what the header lost, and stored.

    Args:
        header: to the header, which `parse` or `check` has checked.
        fail: a label; the packet is unchanged then.
        scratch: which register to use.

    Clobbers: scratch. Stack: none. Linux 4.14. Source: RFC 1624; RFC 1812, 5.3.1.

    >>> from fastbpf.asm import assemble, exit_, label, r8
    >>> print(assemble(decrement_ttl(r8, fail="out"), label("out"), exit_()))
       0: (71) r0 = *(u8 *)(r8 +8)
       1: (b5) if r0 <= 0x1 goto pc+7       ; out
       2: (17) r0 -= 1
       3: (73) *(u8 *)(r8 +8) = r0
       4: (69) r0 = *(u16 *)(r8 +10)
       5: (07) r0 += 1
       6: (a5) if r0 < 0xffff goto pc+1
       7: (07) r0 += 1
       8: (6b) *(u16 *)(r8 +10) = r0
    out:
       9: (95) exit
    """
    other, to = free(header, wanted=scratch), label_name(fail)
    return block(
        "ipv4.decrement_ttl",
        [ldxb(other, header, TTL.offset), jle(other, 1, to), sub(other, 1), stxb(header, TTL.offset, other)],
        [ldxh(other, header, CHECKSUM.offset), add(other, swapped(0x0100, 2))],
        # the carry comes back at the other end; 0xFFFF is another way to write 0, which nobody sends
        [jlt(other, 0xFFFF, 1), add(other, 1), stxh(header, CHECKSUM.offset, other)],
        clobbers=(other,),
        fails_to=to,
    )


@checked
def swap(header: Register, scratch: Sequence[Register] | None = None) -> Block:
    """Exchange the two addresses, as an answer needs it; all checksums stay right.

    Emits: two loads and two stores. Clobbers: scratch, two registers. Stack: none.

    >>> from fastbpf.asm import r8
    >>> swap(r8)
    <Block ipv4.swap: clobbers r0, r5>
    """
    return exchanged("ipv4.swap", header, SOURCE, DESTINATION, scratch)


def _in_bytes(length: Register) -> list[Instruction]:
    return [and_(length, 0x0F), lsh(length, 2)]
