"""TCP: ports, flags, and the payload behind the options.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import ethernet, ipv4, packet, tcp
>>> code = assemble(
...     packet.pointers(r6, r7, r1, "xdp"),
...     ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
...     jne(r2, ethernet.IPV4, "pass"),
...     ipv4.parse(r8, r7, protocol=r2, payload=r9, fail="pass"),
...     jne(r2, ipv4.TCP, "pass"),
...     ipv4.unfragmented(r8, fail="pass"),
...     tcp.check(r9, r7, fail="pass"),
...     tcp.is_syn(r9, fail="pass"),
...     packet.match(r9, tcp.DESTINATION, 23, fail="pass"),
...     packet.verdict("XDP_DROP"),  # nobody opens a connection to telnet
...     label("pass"),
...     packet.verdict("XDP_PASS"),
... )

Source: RFC 9293.
"""

from __future__ import annotations

from fastbpf.asm.alu import add, and_, rsh
from fastbpf.asm.jump import jgt, jlt, jne
from fastbpf.asm.memory import ldxb
from fastbpf.asm.operands import Register, label_name, within
from fastbpf.asm.refusal import OperandError, checked
from fastbpf.blocks.block import block
from fastbpf.blocks.block import scratch as free
from fastbpf.blocks.header import HeaderField, advance, bounded, distinct
from fastbpf.blocks.transport import ports, swap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.blocks.block import Block

__all__ = ["ACK", "CWR", "ECE", "FIN", "LENGTH", "PSH", "RST", "SYN", "URG"]
__all__ += ["ACKNOWLEDGEMENT", "CHECKSUM", "DESTINATION", "FLAGS", "SEQUENCE", "SOURCE", "URGENT", "WINDOW"]
__all__ += ["check", "flags", "is_syn", "is_syn_ack", "parse", "ports", "swap"]

#: Without options.
LENGTH: Final = 20
SOURCE: Final = HeaderField("tcp.SOURCE", 0, 2)
DESTINATION: Final = HeaderField("tcp.DESTINATION", 2, 2)
SEQUENCE: Final = HeaderField("tcp.SEQUENCE", 4, 4)
ACKNOWLEDGEMENT: Final = HeaderField("tcp.ACKNOWLEDGEMENT", 8, 4)
FLAGS: Final = HeaderField("tcp.FLAGS", 13, 1)
WINDOW: Final = HeaderField("tcp.WINDOW", 14, 2)
CHECKSUM: Final = HeaderField("tcp.CHECKSUM", 16, 2)
URGENT: Final = HeaderField("tcp.URGENT", 18, 2)

#: Bits of FLAGS.
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))

# the length of the header in words of 4 bytes is the upper half of this byte
_LENGTH_AT: Final = 12


@checked
def check(
    header: Register, end: Register, *, fail: str | int, offset: int | Register = 0, scratch: Register | None = None
) -> Block:
    """Go on if the packet has the 20 bytes of a TCP header at `header + offset`, else go to `fail`.

    Emits: as `bounds.check`. Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import r7, r9
    >>> check(r9, r7, fail="drop")
    <Block tcp.check: clobbers r0; fails to "drop">
    """
    return bounded("tcp.check", header, end, offset, LENGTH, fail, scratch)


@checked
def parse(header: Register, end: Register, *, payload: Register, fail: str) -> Block:
    """Check a TCP header and its options, and find what follows.

    Emits: payload = header + 20, `fail` if that is beyond `end`; payload = the length that the header says, `fail` if
    that is below 20; payload += header, `fail` if that is beyond `end`.

    Args:
        header: a pointer to the header, of which nothing needs to be checked; 20 bytes may be read afterwards.
        end: the packet's end.
        payload: the result: a pointer behind the options, of which nothing is checked yet.
        fail: a label, for a packet that is too short.

    Clobbers: payload. Stack: none. Linux 4.14.

    >>> from fastbpf.asm import assemble, exit_, label, r3, r7, r9
    >>> print(assemble(parse(r9, r7, payload=r3, fail="out"), label("out"), exit_()))
       0: (bf) r3 = r9
       1: (07) r3 += 20
       2: (2d) if r3 > r7 goto pc+6         ; out
       3: (71) r3 = *(u8 *)(r9 +12)
       4: (57) r3 &= 240
       5: (77) r3 >>= 2
       6: (a5) if r3 < 0x14 goto pc+2       ; out
       7: (0f) r3 += r9
       8: (2d) if r3 > r7 goto pc+0         ; out
    out:
       9: (95) exit
    """
    distinct(header=header, end=end, payload=payload)
    to = label_name(fail)
    return block(
        "tcp.parse",
        advance(payload, header, LENGTH, end, to),
        [ldxb(payload, header, _LENGTH_AT), and_(payload, 0xF0), rsh(payload, 2), jlt(payload, LENGTH, to)],
        [add(payload, header), jgt(payload, end, to)],
        clobbers=(payload,),
        fails_to=to,
    )


@checked
def flags(
    header: Register,
    *,
    present: int = 0,
    absent: int = 0,
    fail: str,
    scratch: Register | None = None,
) -> Block:
    """Go on if all flags of `present` are set and none of `absent` is, else go to `fail`.

    Emits: the load of the flags; those that matter; if they are not `present`, goto `fail`.

    Args:
        header: to the header, which `parse` or `check` has checked.
        present: flags that must be set: `tcp.SYN | tcp.ACK`.
        absent: flags that must not be.
        fail: a label.
        scratch: which register to use.

    Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import assemble, exit_, label, r9
    >>> print(assemble(flags(r9, present=SYN, absent=ACK, fail="out"), label("out"), exit_()))
       0: (71) r0 = *(u8 *)(r9 +13)
       1: (57) r0 &= 18
       2: (55) if r0 != 0x2 goto pc+0       ; out
    out:
       3: (95) exit
    """
    wanted, unwanted = within(present, 0, 0xFF, "present"), within(absent, 0, 0xFF, "absent")
    if wanted & unwanted or not wanted | unwanted:
        raise OperandError("give flags that must be present, or absent, and none that must be both")
    other, to = free(header, wanted=scratch), label_name(fail)
    row = [ldxb(other, header, FLAGS.offset), and_(other, wanted | unwanted), jne(other, wanted, to)]
    return block("tcp.flags", row, clobbers=(other,), fails_to=to)


@checked
def is_syn(header: Register, *, fail: str, scratch: Register | None = None) -> Block:
    """Go on if this opens a connection: SYN is set and ACK is not; else go to `fail`. See `flags`.

    >>> from fastbpf.asm import r9
    >>> is_syn(r9, fail="out")
    <Block tcp.flags: clobbers r0; fails to "out">
    """
    return flags(header, present=SYN, absent=ACK, fail=fail, scratch=scratch)


@checked
def is_syn_ack(header: Register, *, fail: str, scratch: Register | None = None) -> Block:
    """Go on if this accepts a connection: SYN and ACK are set; else go to `fail`. See `flags`.

    >>> from fastbpf.asm import r9
    >>> is_syn_ack(r9, fail="out")
    <Block tcp.flags: clobbers r0; fails to "out">
    """
    return flags(header, present=SYN | ACK, fail=fail, scratch=scratch)
