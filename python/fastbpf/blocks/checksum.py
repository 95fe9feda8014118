"""Checksums of the internet: corrected when a header changes, by the kernel's helpers or by arithmetic.

In programs on socket buffers (tc), the kernel's helpers do it, and know of checksums that the network card computes:

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import checksum, ipv4, tcp
>>> print(assemble(checksum.replace_l3(r6, 14 + ipv4.CHECKSUM.offset, r7, r8)))
   0: (bf) r1 = r6
   1: (b7) r2 = 24
   2: (bf) r3 = r7
   3: (bf) r4 = r8
   4: (b7) r5 = 4
   5: (85) call bpf_l3_csum_replace#10

In XDP programs there are no such helpers; `update` does it in the packet:

>>> checksum.update(r9, tcp.CHECKSUM, r2, 8080, size=2)
<Block checksum.update: clobbers r0, r5>

Source: RFC 1071, RFC 1624.
"""

from __future__ import annotations

from fastbpf.asm.alu import add, and_, mov, mov32, rsh, xor, xor32
from fastbpf.asm.calls import call
from fastbpf.asm.jump import jeq, jne, label
from fastbpf.asm.memory import ldxh, stxh
from fastbpf.asm.operands import REGISTERS, Address, Register, integer, within
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import block
from fastbpf.blocks.block import scratch as free
from fastbpf.blocks.header import distinct, is_network, raw, spare, swapped
from fastbpf.blocks.operand import place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from fastbpf.asm.assembly import Part
    from fastbpf.asm.instruction import Instruction
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.header import Constant, HeaderField, Order

__all__ = ["IPV6", "MARK_ENFORCE", "MARK_MANGLED_0", "PSEUDO_HEADER", "RECOMPUTE"]
__all__ += ["diff", "fold", "negate", "replace_l3", "replace_l4", "update"]

#: For `call.skb_store_bytes`: BPF_F_RECOMPUTE_CSUM.
RECOMPUTE: Final = 0x01
#: For `call.l4_csum_replace`, which `replace_l4` has by name: BPF_F_PSEUDO_HDR and so on.
PSEUDO_HEADER: Final = 0x10
MARK_MANGLED_0: Final = 0x20
MARK_ENFORCE: Final = 0x40
IPV6: Final = 0x80

# what a call leaves undefined
LOST: Final = REGISTERS[:6]


@checked
def replace_l3(skb: Register, offset: int | Register, old: Register | int, new: Register | int, size: int = 4) -> Block:
    """Correct the checksum of an IPv4 header of which `old` became `new`: l3_csum_replace.

    Emits: the arguments, as if moved all at once (`old` may be in r2, `new` in r3); the call.

    Args:
        skb: the context.
        offset: of the checksum in the packet, in bytes.
        old: what was there, as it lies in the packet (in network order).
        new: what is there now, likewise.
        size: of what changed: 2 or 4 bytes.

    Result: r0, 0 or a negative error. Clobbers: r0 to r5, and the verifier forgets all pointers to the packet.
    Stack: none. Linux 4.1; sched_cls, sched_act, lwt_xmit.

    >>> from fastbpf.asm import r2, r3, r6
    >>> replace_l3(r6, 24, r2, r3)
    <Block checksum.replace_l3: clobbers r0, r1, r2, r3, r4, r5>
    """
    _check_values(old, new, _size(size))
    row = call.l3_csum_replace(skb, offset, old, new, size)
    return block("checksum.replace_l3", row, clobbers=LOST)


@checked
def replace_l4(
    skb: Register,
    offset: int | Register,
    old: Register | int,
    new: Register | int,
    size: int = 4,
    *,
    pseudo: bool = False,
    mark_mangled_0: bool = False,
    mark_enforce: bool = False,
    ipv6: bool = False,
) -> Block:
    """Correct the checksum of a TCP, UDP or ICMP header where `old` became `new`: l4_csum_replace.

    Emits: the arguments, as if moved all at once; the call.

    Args:
        skb: the context.
        offset: of the checksum in the packet, in bytes.
        old: what was there, as it lies in the packet (in network order).
        new: what is there now, likewise.
        size: of what changed: 2 or 4 bytes.
        pseudo: it was an address, which TCP and UDP count as theirs (BPF_F_PSEUDO_HDR).
        mark_mangled_0: leave a checksum of 0 alone, and write 0xFFFF for 0, as UDP over IPv4 needs it.
        mark_enforce: with `mark_mangled_0`, give a checksum to what has none.
        ipv6: it was a part of an IPv6 address (BPF_F_IPV6; Linux 6.16).

    Result: r0, 0 or a negative error. Clobbers: r0 to r5, and the verifier forgets all pointers to the packet.
    Stack: none. Linux 4.1; sched_cls, sched_act, lwt_xmit.

    >>> from fastbpf.asm import r6, r7, r8
    >>> replace_l4(r6, 50, r7, r8, pseudo=True)
    <Block checksum.replace_l4: clobbers r0, r1, r2, r3, r4, r5>
    """
    if mark_enforce and not mark_mangled_0:
        raise OperandError("mark_enforce=True does nothing without mark_mangled_0=True")
    asked = {PSEUDO_HEADER: pseudo, MARK_MANGLED_0: mark_mangled_0, MARK_ENFORCE: mark_enforce, IPV6: ipv6}
    flags = sum(flag for flag, wanted in asked.items() if wanted)
    _check_values(old, new, _size(size))
    row = call.l4_csum_replace(skb, offset, old, new, size | flags)
    return block("checksum.replace_l4", row, clobbers=LOST)


@checked
def diff(
    old: Register | Address | None,
    old_size: int,
    new: Register | Address | None,
    new_size: int,
    seed: Register | int = 0,
) -> Block:
    """r0 = the checksum of the bytes at `new` less that of those at `old`, plus `seed`: csum_diff.

    Emits: the arguments, as if moved all at once; the call.

    Args:
        old: a pointer to what was there, such as `fp - 8`; None for nothing, with size 0.
        old_size: in bytes, a multiple of 4 up to 512.
        new: a pointer to what is there now; None for nothing, with size 0.
        new_size: likewise.
        seed: a sum to begin with: a register or a number.

    Result: r0, a sum of 32 bits that is not folded, or a negative error. Clobbers: r0 to r5. Stack: none written.
    Linux 4.6; sched_cls, sched_act, xdp, lwt.

    >>> from fastbpf.asm import assemble, fp
    >>> print(assemble(diff(None, 0, fp - 8, 8)))
       0: (b7) r1 = 0
       1: (b7) r2 = 0
       2: (bf) r3 = r10
       3: (07) r3 += -8
       4: (b7) r4 = 8
       5: (b7) r5 = 0
       6: (85) call bpf_csum_diff#28
    """
    _check_area(old, old_size, "old")
    _check_area(new, new_size, "new")
    if type(seed) is not Register:
        within(seed, 0, (1 << 32) - 1, "the seed")
    row = call.csum_diff(old, old_size, new, new_size, seed)
    return block("checksum.diff", row, clobbers=LOST)


@checked
def fold(total: Register, scratch: Register | None = None) -> Block:
    """total = a sum of 32 bits, folded into 16: what is above goes back in at the other end, twice.

    Emits, twice: scratch = total >> 16; total &= 0xFFFF; total += scratch.

    Args:
        total: the sum, below 2**32; changed.
        scratch: which register to use.

    Clobbers: total, scratch. Stack: none.

    >>> from fastbpf.asm import r0, r1
    >>> fold(r0, scratch=r1)
    <Block checksum.fold: clobbers r0, r1>
    """
    part = free(total, wanted=scratch)
    return block("checksum.fold", folded(total, part, 2), clobbers=(total, part))


@checked
def negate(total: Register) -> Block:
    """total = the complement of its 16 bits: what goes into a header.

    Emits: total ^= 0xFFFF; total &= 0xFFFF. Clobbers: total. Stack: none.

    >>> from fastbpf.asm import assemble, r0
    >>> print(assemble(negate(r0)))
       0: (a7) r0 ^= 65535
       1: (57) r0 &= 65535
    """
    return block("checksum.negate", xor(total, 0xFFFF), and_(total, 0xFFFF), clobbers=(total,))


@checked
def update(
    header: Register,
    field: HeaderField,
    old: Register | Constant,
    new: Register | Constant,
    size: int = 4,
    *,
    order: Order = "host",
    optional: bool = False,
    scratch: Sequence[Register] | None = None,
) -> Block:
    """Correct a checksum in the packet by arithmetic, where `old` became `new`: without a helper, for XDP.

    Emits: the complement of the checksum, plus that of `old`, plus `new`, folded; its complement is stored. What is
    known now is computed now.

    In tc programs use the helpers: there, a packet's checksum may be left to the network card.

    Args:
        header: a pointer to the header that holds the checksum, which must have been checked.
        field: the checksum: `ipv4.CHECKSUM`, `tcp.CHECKSUM`, `udp.CHECKSUM`, `icmp.CHECKSUM`.
        old: what was there: a register, a number, or the text of an IPv4 address.
        new: what is there now, likewise.
        size: of what changed: 2 or 4 bytes, which begin at an even offset.
        order: how the numbers lie in registers.
        optional: leave a checksum of 0 alone, and write 0xFFFF for 0: for UDP over IPv4.
        scratch: two registers to use.

    Clobbers: scratch. Stack: none. Source: RFC 1624, equation 3.

    >>> from fastbpf.asm import assemble, r2, r9
    >>> from fastbpf.blocks import tcp
    >>> print(assemble(update(r9, tcp.CHECKSUM, r2, 443, 2)))
       0: (69) r0 = *(u16 *)(r9 +16)
       1: (a7) r0 ^= 65535
       2: (bf) r5 = r2
       3: (dc) r5 = be16 r5
       4: (a7) r5 ^= 65535
       5: (0f) r0 += r5
       6: (07) r0 += 47873
       7: (bf) r5 = r0
       8: (77) r5 >>= 16
       9: (57) r0 &= 65535
      10: (0f) r0 += r5
      11: (bf) r5 = r0
      12: (77) r5 >>= 16
      13: (57) r0 &= 65535
      14: (0f) r0 += r5
      15: (bf) r5 = r0
      16: (77) r5 >>= 16
      17: (57) r0 &= 65535
      18: (0f) r0 += r5
      19: (a7) r0 ^= 65535
      20: (6b) *(u16 *)(r9 +16) = r0
    """
    if getattr(field, "size", None) != 2:
        raise OperandError(f"{show(field)} is not a checksum's field, such as tcp.CHECKSUM")
    distinct(header=header, old=old)
    distinct(header=header, new=new)
    network = is_network(order)
    total, part = spare(2, header, old, new, wanted=scratch)
    change = [*lost(total, part, old, _size(size), network=network), *gained(total, part, new, size, network=network)]
    row = applied(header, field.offset, total, part, change, optional=optional)
    return block("checksum.update", row, clobbers=(total, part))


def folded(total: Register, part: Register, times: int) -> list[Instruction]:
    """total, folded into 16 bits so many times."""
    return [mov(part, total), rsh(part, 16), and_(total, 0xFFFF), add(total, part)] * times


def lost(total: Register, part: Register, old: Register | Constant, size: int, *, network: bool) -> list[Instruction]:
    """total += the complement of what was there."""
    if type(old) is not Register:
        return [add(total, _sum(swapped(old, size)) ^ 0xFFFF)]
    return [*raw(part, old, size, network=network), *complemented(part, size), add(total, part)]


def gained(total: Register, part: Register, new: Register | Constant, size: int, *, network: bool) -> list[Instruction]:
    """total += what is there now."""
    if type(new) is not Register:
        return [add(total, _sum(swapped(new, size)))]
    return [*raw(part, new, size, network=network), add(total, part)]


def complemented(value: Register, size: int) -> list[Instruction]:
    """value = the complement of its 2 or 4 bytes, above which it has none."""
    return [xor32(value, -1) if size == 4 else xor(value, 0xFFFF)]


def applied(
    header: Register, at: int, total: Register, part: Register, change: Sequence[Part], *, optional: bool
) -> list[Part]:
    """The checksum at header + at, corrected by `change`, which adds to total less than 2**35."""
    row: list[Part] = [ldxh(total, header, at), xor(total, 0xFFFF), *change, *folded(total, part, 3)]
    if not optional:
        return [*row, xor(total, 0xFFFF), stxh(header, at, total)]
    row.insert(1, jeq(total, 0, "none"))
    return [*row, xor(total, 0xFFFF), jne(total, 0, 1), mov32(total, 0xFFFF), stxh(header, at, total), label("none")]


def _sum(value: int) -> int:
    # in ones' complement
    value = (value >> 16) + (value & 0xFFFF)
    return (value >> 16) + (value & 0xFFFF)


def _size(size: object) -> int:
    number = integer(size, "a size, which is 2 or 4 bytes")
    if number not in (2, 4):
        raise OperandError(f"the size must be 2 or 4 bytes, not {number}")
    return number


def _check_values(old: object, new: object, size: int) -> None:
    for what, value in (("old", old), ("new", new)):
        if type(value) is not Register:
            within(value, 0, (1 << 8 * size) - 1, f"{what}, a number of {size} bytes,")


def _check_area(pointer: object, size: object, what: str) -> None:
    number = within(size, 0, 512, f"the size of {what}")
    if number % 4:
        raise OperandError(f"the size of {what} must be a multiple of 4, not {number}")
    if (pointer is None) != (number == 0):
        raise OperandError(f"{what} is {show(pointer)} with {number} bytes; None goes with 0 bytes")
    if pointer is not None:
        place(pointer, number, what=f"what {what} is")
