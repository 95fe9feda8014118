"""Ethernet: addresses, the protocol, VLAN tags.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import ethernet, packet
>>> code = assemble(
...     packet.pointers(r6, r7, r1, "xdp"),
...     ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
...     jne(r2, ethernet.ARP, "pass"),
...     packet.verdict("XDP_DROP"),
...     label("pass"),
...     packet.verdict("XDP_PASS"),
... )

Source: IEEE 802.3, 802.1Q; include/uapi/linux/if_ether.h.
"""

from __future__ import annotations

from fastbpf.asm.alu import add, be16
from fastbpf.asm.jump import jeq, jgt, jne, label
from fastbpf.asm.memory import ldxh
from fastbpf.asm.operands import Register, label_name, within
from fastbpf.asm.refusal import checked
from fastbpf.blocks.block import block, own
from fastbpf.blocks.header import HeaderField, advance, bounded, distinct, swapped
from fastbpf.blocks.packet import exchanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from fastbpf.asm.assembly import Part
    from fastbpf.blocks.block import Block

__all__ = ["ARP", "DESTINATION", "IPV4", "IPV6", "LENGTH", "PROTOCOL", "QINQ", "SOURCE", "TAG_LENGTH", "VLAN"]
__all__ += ["check", "parse", "swap"]

LENGTH: Final = 14
DESTINATION: Final = HeaderField("ethernet.DESTINATION", 0, 6)
SOURCE: Final = HeaderField("ethernet.SOURCE", 6, 6)
PROTOCOL: Final = HeaderField("ethernet.PROTOCOL", 12, 2)

#: Values of PROTOCOL, in host order.
IPV4: Final = 0x0800
ARP: Final = 0x0806
IPV6: Final = 0x86DD
VLAN: Final = 0x8100
QINQ: Final = 0x88A8

TAG_LENGTH: Final = 4


@checked
def check(data: Register, end: Register, *, fail: str | int, offset: int = 0, scratch: Register | None = None) -> Block:
    """Go on if the packet has the 14 bytes of an Ethernet header at `data + offset`, else go to `fail`.

    Emits: as `bounds.check`. Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import r6, r7
    >>> check(r6, r7, fail="drop")
    <Block ethernet.check: clobbers r0; fails to "drop">
    """
    return bounded("ethernet.check", data, end, offset, LENGTH, fail, scratch)


@checked
def parse(data: Register, end: Register, *, protocol: Register, header: Register, fail: str, tags: int = 2) -> Block:
    """Find what follows the Ethernet header and its VLAN tags: where it begins, and which protocol it is.

    Emits: header = data + 14, `fail` if that is beyond `end`; protocol = the two bytes before it; then for each tag
    that may be there: if protocol is 802.1Q (0x8100) or 802.1ad (0x88a8), header += 4, `fail` if that is beyond `end`,
    protocol = the two bytes before it; last, protocol into host order.

    The bytes up to `header` may be read by way of `data` then. A packet with more than `tags` tags gives protocol
    VLAN or QINQ. Drivers and the kernel take the outer tag out of packets that tc programs see: it is
    `ctx.sk_buff.vlan_tci` there.

    Args:
        data: the packet's first byte.
        end: the packet's end.
        protocol: the result: IPV4, IPV6, ARP …, in host order.
        header: the result: a pointer to the header that follows, of which nothing is checked yet.
        fail: a label, for a packet that ends within this header.
        tags: at most how many, 0 to 8.

    Clobbers: protocol, header. Stack: none.

    >>> from fastbpf.asm import assemble, exit_, r2, r6, r7, r8
    >>> print(assemble(parse(r6, r7, protocol=r2, header=r8, fail="out", tags=1), label("out"), exit_()))
       0: (bf) r8 = r6
       1: (07) r8 += 14
       2: (2d) if r8 > r7 goto pc+7         ; out
       3: (69) r2 = *(u16 *)(r8 -2)
       4: (15) if r2 == 0x81 goto pc+1
       5: (55) if r2 != 0xa888 goto pc+3
       6: (07) r8 += 4
       7: (2d) if r8 > r7 goto pc+2         ; out
       8: (69) r2 = *(u16 *)(r8 -2)
       9: (dc) r2 = be16 r2
    out:
      10: (95) exit
    """
    distinct(data=data, end=end, protocol=protocol, header=header)
    to = label_name(fail)
    found = own("found", to)
    row: list[Part] = [*advance(header, data, LENGTH, end, to), ldxh(protocol, header, -2)]
    for i in range(within(tags, 0, 8, "the number of tags")):
        row += [jeq(protocol, swapped(VLAN, 2), own(f"tag {i}", to)), jne(protocol, swapped(QINQ, 2), found)]
        row += [label(own(f"tag {i}", to)), add(header, TAG_LENGTH), jgt(header, end, to), ldxh(protocol, header, -2)]
    return block("ethernet.parse", row, label(found), be16(protocol), clobbers=(protocol, header), fails_to=to)


@checked
def swap(data: Register, scratch: Sequence[Register] | None = None) -> Block:
    """Exchange the two addresses, as an answer to the sender needs it.

    Emits: two loads and two stores for the first 4 bytes of both, the same for the last 2.

    Args:
        data: the packet's first byte; 12 bytes must have been checked.
        scratch: two registers to use.

    Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import r6
    >>> swap(r6)
    <Block ethernet.swap: clobbers r0, r5>
    """
    return exchanged("ethernet.swap", data, DESTINATION, SOURCE, scratch)
