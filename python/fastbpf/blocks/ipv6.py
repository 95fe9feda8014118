"""IPv6: the header, extension headers, addresses on the stack, and IPv4 addresses among them.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import ethernet, ipv4, ipv6, packet
>>> source = fp - 16
>>> code = assemble(
...     packet.pointers(r6, r7, r1, "xdp"),
...     ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
...     jeq(r2, ethernet.IPV4, "ipv4"),
...     jne(r2, ethernet.IPV6, "pass"),
...     ipv6.check(r8, r7, fail="pass"),
...     ipv6.load_address(source, r8, ipv6.SOURCE),
...     ja("found"),
...     label("ipv4"),
...     ipv4.check(r8, r7, fail="pass"),
...     ipv6.load_mapped(source, r8, ipv4.SOURCE),
...     label("found"),  # 16 bytes that tell all senders apart
...     label("pass"),
...     packet.verdict("XDP_PASS"),
... )

Source: RFC 8200; RFC 4291, 2.5.5, for the addresses.
"""

from __future__ import annotations

from fastbpf.asm.alu import add, lsh, mov, mov32, rsh, sub
from fastbpf.asm.jump import ja, jeq, jgt, jle, jne, jset, label
from fastbpf.asm.memory import ldxb, ldxh, ldxw, stxb, stxdw, stxw
from fastbpf.asm.operands import Address, Register, fp, label_name, offset16, within
from fastbpf.asm.refusal import OperandError, checked
from fastbpf.blocks.block import block, on_stack, own
from fastbpf.blocks.block import scratch as free
from fastbpf.blocks.header import HeaderField, advance, bounded, distinct, swapped
from fastbpf.blocks.packet import exchanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from fastbpf.asm.assembly import Part
    from fastbpf.asm.instruction import Instruction
    from fastbpf.blocks.block import Block

__all__ = ["ADDRESS_LENGTH", "ICMP", "LENGTH", "NO_NEXT", "TCP", "UDP"]
__all__ += ["DESTINATION", "FLOW", "HOP_LIMIT", "PAYLOAD_LENGTH", "PROTOCOL", "SOURCE", "VERSION"]
__all__ += ["check", "copy_address", "decrement_hop_limit", "extensions", "load_address", "load_mapped", "parse"]
__all__ += ["store_address", "swap"]

LENGTH: Final = 40
ADDRESS_LENGTH: Final = 16
#: The version in the upper half of the byte, the upper half of the traffic class in the lower.
VERSION: Final = HeaderField("ipv6.VERSION", 0, 1)
#: Version, traffic class and flow label.
FLOW: Final = HeaderField("ipv6.FLOW", 0, 4)
PAYLOAD_LENGTH: Final = HeaderField("ipv6.PAYLOAD_LENGTH", 4, 2)
#: Which header comes next.
PROTOCOL: Final = HeaderField("ipv6.PROTOCOL", 6, 1)
HOP_LIMIT: Final = HeaderField("ipv6.HOP_LIMIT", 7, 1)
SOURCE: Final = HeaderField("ipv6.SOURCE", 8, 16)
DESTINATION: Final = HeaderField("ipv6.DESTINATION", 24, 16)

#: Values of PROTOCOL.
TCP: Final = 6
UDP: Final = 17
ICMP: Final = 58
NO_NEXT: Final = 59

# extension headers: hop-by-hop options, routing, destination options, mobility are of one make
_OPTIONS: Final = (0, 43, 60, 135)
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51


@checked
def check(
    header: Register, end: Register, *, fail: str | int, offset: int = 0, scratch: Register | None = None
) -> Block:
    """Go on if the packet has the 40 bytes of an IPv6 header at `header + offset`, else go to `fail`.

    Emits: as `bounds.check`. Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import r6, r7
    >>> check(r6, r7, offset=14, fail="drop")
    <Block ipv6.check: clobbers r0; fails to "drop">
    """
    return bounded("ipv6.check", header, end, offset, LENGTH, fail, scratch)


@checked
def parse(header: Register, end: Register, *, protocol: Register, payload: Register, fail: str) -> Block:
    """Check an IPv6 header, and find what follows: where it begins, and which protocol it is.

    Emits: payload = header + 40, `fail` if that is beyond `end`; `fail` unless the first byte says version 6;
    protocol = the byte that tells.

    The 40 bytes at `header` may be read then. What follows may be an extension header: see `extensions`.

    Args:
        header: a pointer to the header, of which nothing needs to be checked.
        end: the packet's end.
        protocol: the result: TCP, UDP, ICMP, or the number of an extension header.
        payload: the result: a pointer behind the header, of which nothing is checked yet.
        fail: a label, for a packet that is too short or no IPv6.

    Clobbers: protocol, payload. Stack: none.

    >>> from fastbpf.asm import assemble, exit_, label, r2, r7, r8, r9
    >>> print(assemble(parse(r8, r7, protocol=r2, payload=r9, fail="out"), label("out"), exit_()))
       0: (bf) r9 = r8
       1: (07) r9 += 40
       2: (2d) if r9 > r7 goto pc+4         ; out
       3: (71) r2 = *(u8 *)(r8 +0)
       4: (77) r2 >>= 4
       5: (55) if r2 != 0x6 goto pc+1       ; out
       6: (71) r2 = *(u8 *)(r8 +6)
    out:
       7: (95) exit
    """
    distinct(header=header, end=end, protocol=protocol, payload=payload)
    to = label_name(fail)
    return block(
        "ipv6.parse",
        advance(payload, header, LENGTH, end, to),
        [ldxb(protocol, header, VERSION.offset), rsh(protocol, 4), jne(protocol, 6, to)],
        ldxb(protocol, header, PROTOCOL.offset),
        clobbers=(protocol, payload),
        fails_to=to,
    )


@checked
def extensions(
    payload: Register,
    end: Register,
    *,
    protocol: Register,
    fail: str,
    most: int = 4,
    scratch: Register | None = None,
) -> Block:
    """Go past extension headers: hop-by-hop and destination options, routing, mobility, fragment, authentication.

    Emits, `most` times: done if `protocol` is none of them; `fail` if its 8 bytes are beyond `end`, or if it says that
    this is a fragment but not the first; protocol = which header comes next; payload += its length, `fail` if that is
    beyond `end`.

    Args:
        payload: a pointer to what follows the header, as `parse` gave it; moved on.
        end: the packet's end.
        protocol: which header that is; changed with it.
        fail: a label, for what is too short, and for later fragments, which have no header.
        most: how many extension headers, 1 to 8; if there are more, `protocol` says which is the next.
        scratch: which register to use.

    Clobbers: payload, protocol, scratch. Stack: none.

    >>> from fastbpf.asm import r2, r7, r9
    >>> extensions(r9, r7, protocol=r2, fail="out")
    <Block ipv6.extensions: clobbers r0, r2, r9; fails to "out">
    """
    distinct(payload=payload, end=end, protocol=protocol)
    size, to = free(payload, end, protocol, wanted=scratch), label_name(fail)
    row: list[Part] = []
    for i in range(within(most, 1, 8, "the number of extension headers")):
        options, fragment, last, joined = (own(f"{name} {i}", to) for name in ("options", "fragment", "last", "joined"))
        row += [jeq(protocol, kind, options) for kind in (*_OPTIONS, _FRAGMENT)]
        row += [jne(protocol, _AUTHENTICATION, own("done", to))]
        row += [label(options), advance(size, payload, 8, end, to), jeq(protocol, _FRAGMENT, fragment)]
        row += [ldxb(size, payload, 1), jne(protocol, _AUTHENTICATION, last)]
        # the length of an authentication header is in words of 4 bytes, less 2
        row += [add(size, 2), lsh(size, 2), ja(joined)]
        # that of others in words of 8 bytes, less 1
        row += [label(last), add(size, 1), lsh(size, 3), ja(joined)]
        row += [label(fragment), ldxh(size, payload, 2), jset(size, swapped(0xFFF8, 2), to), mov(size, 8)]
        row += [label(joined), ldxb(protocol, payload, 0), add(payload, size), jgt(payload, end, to)]
    return block("ipv6.extensions", row, label(own("done", to)), clobbers=(payload, protocol, size), fails_to=to)


@checked
def decrement_hop_limit(header: Register, *, fail: str, scratch: Register | None = None) -> Block:
    """Take one from the hop limit; `fail` if it is 1 or 0, as a router does. IPv6 headers have no checksum.

    Emits: the load; if it is at most 1, goto `fail`; one less, and the store.

    Args:
        header: to the header, which `parse` or `check` has checked.
        fail: a label; the packet is unchanged then.
        scratch: which register to use.

    Clobbers: scratch. Stack: none. Linux 4.14.

    >>> from fastbpf.asm import r8
    >>> decrement_hop_limit(r8, fail="out")
    <Block ipv6.decrement_hop_limit: clobbers r0; fails to "out">
    """
    other, to, at = free(header, wanted=scratch), label_name(fail), HOP_LIMIT.offset
    row = [ldxb(other, header, at), jle(other, 1, to), sub(other, 1), stxb(header, at, other)]
    return block("ipv6.decrement_hop_limit", row, clobbers=(other,), fails_to=to)


@checked
def load_address(place: Address, header: Register, offset: int | HeaderField, scratch: Register | None = None) -> Block:
    """Copy the 16 bytes of an address from the packet to the stack.

    Emits: four loads and four stores of 4 bytes.

    Args:
        place: where to, such as `fp - 16`; aligned to 4 bytes.
        header: a pointer to the packet; the bytes must have been checked.
        offset: where in it: `ipv6.SOURCE`, or a number of bytes.
        scratch: which register to use.

    Clobbers: scratch. Stack: 16 bytes at `place`.

    >>> from fastbpf.asm import assemble, fp, r7
    >>> print(assemble(load_address(fp - 16, r7, 22)))
       0: (61) r0 = *(u32 *)(r7 +22)
       1: (63) *(u32 *)(r10 -16) = r0
       2: (61) r0 = *(u32 *)(r7 +26)
       3: (63) *(u32 *)(r10 -12) = r0
       4: (61) r0 = *(u32 *)(r7 +30)
       5: (63) *(u32 *)(r10 -8) = r0
       6: (61) r0 = *(u32 *)(r7 +34)
       7: (63) *(u32 *)(r10 -4) = r0
    """
    at, other = on_stack(place, 16, 4, what="the address"), free(header, wanted=scratch)
    row = _copied(fp, at, header, offset16(offset), other)
    return block("ipv6.load_address", row, clobbers=(other,), stack=(at, at + 16))


@checked
def store_address(
    header: Register, offset: int | HeaderField, place: Address, scratch: Register | None = None
) -> Block:
    """Copy the 16 bytes of an address from the stack into the packet. No checksum is fixed.

    Emits: four loads and four stores of 4 bytes.

    Args:
        header: a pointer to the packet; the bytes must have been checked.
        offset: where in it: `ipv6.SOURCE`, or a number of bytes.
        place: where from, such as `fp - 16`; aligned to 4 bytes, and written before.
        scratch: which register to use.

    Clobbers: scratch. Stack: none written.

    >>> from fastbpf.asm import fp, r7
    >>> store_address(r7, DESTINATION, fp - 16)
    <Block ipv6.store_address: clobbers r0>
    """
    at, other = on_stack(place, 16, 4, what="the address"), free(header, wanted=scratch)
    return block("ipv6.store_address", _copied(header, offset16(offset), fp, at, other), clobbers=(other,))


@checked
def copy_address(place: Address, source: Address, scratch: Register | None = None) -> Block:
    """Copy the 16 bytes of an address from one place of the stack to another; the two may overlap.

    Emits: four loads and four stores of 4 bytes, from the end that is safe.

    Args:
        place: where to; aligned to 4 bytes.
        source: where from; aligned to 4 bytes.
        scratch: which register to use.

    Clobbers: scratch. Stack: 16 bytes at `place`.

    >>> from fastbpf.asm import fp
    >>> copy_address(fp - 32, fp - 16)
    <Block ipv6.copy_address: clobbers r0; writes fp - 32 to fp - 17>
    """
    to, at = on_stack(place, 16, 4, what="the address"), on_stack(source, 16, 4, what="the address")
    if to == at:
        raise OperandError(f"both addresses are at {place}")
    other = free(wanted=scratch)
    row = _copied(fp, to, fp, at, other, range(0, 16, 4) if to < at else range(12, -1, -4))
    return block("ipv6.copy_address", row, clobbers=(other,), stack=(to, to + 16))


@checked
def load_mapped(
    place: Address,
    header: Register,
    offset: int | HeaderField,
    scratch: Register | None = None,
    *,
    mapped: bool = True,
) -> Block:
    """Put an IPv4 address from the packet onto the stack as an IPv6 address, ::ffff:a.b.c.d, for keys of both kinds.

    Emits: 10 bytes of 0 and two of 0xFF, then the load and the store of the address.

    Args:
        place: where to, such as `fp - 16`; aligned to 4 bytes.
        header: a pointer to the packet; the bytes must have been checked.
        offset: where in it: `ipv4.SOURCE`, or a number of bytes.
        scratch: which register to use.
        mapped: False gives ::a.b.c.d, with 12 bytes of 0, which RFC 4291 gave up: for maps that have such keys.

    Clobbers: scratch. Stack: 16 bytes at `place`.

    >>> from fastbpf.asm import assemble, fp, r7
    >>> print(assemble(load_mapped(fp - 16, r7, 26)))
       0: (b7) r0 = 0
       1: (7b) *(u64 *)(r10 -16) = r0
       2: (b4) w0 = -65536
       3: (63) *(u32 *)(r10 -8) = r0
       4: (61) r0 = *(u32 *)(r7 +26)
       5: (63) *(u32 *)(r10 -4) = r0
    """
    at, other = on_stack(place, 16, 4, what="the address"), free(header, wanted=scratch)
    zeros = [stxw(fp, at, other), stxw(fp, at + 4, other)] if at % 8 else [stxdw(fp, at, other)]
    prefix = [mov32(other, swapped(0xFFFF, 4))] if mapped else []
    address = [ldxw(other, header, offset16(offset)), stxw(fp, at + 12, other)]
    row = [mov(other, 0), *zeros, *prefix, stxw(fp, at + 8, other), *address]
    return block("ipv6.load_mapped", row, clobbers=(other,), stack=(at, at + 16))


@checked
def swap(header: Register, scratch: Sequence[Register] | None = None) -> Block:
    """Exchange the two addresses, as an answer needs it; all checksums stay right.

    Emits: four loads and four stores of 8 bytes. Clobbers: scratch, two registers. Stack: none.

    >>> from fastbpf.asm import r8
    >>> swap(r8)
    <Block ipv6.swap: clobbers r0, r5>
    """
    return exchanged("ipv6.swap", header, SOURCE, DESTINATION, scratch)


def _copied(
    dst: Register, to: int, src: Register, at: int, other: Register, order: Iterable[int] = range(0, 16, 4)
) -> list[Instruction]:
    return [part for i in order for part in (ldxw(other, src, at + i), stxw(dst, to + i, other))]
