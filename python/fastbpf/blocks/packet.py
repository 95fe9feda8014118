"""Packets: pointers to their bytes, fields of their headers, verdicts.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import packet, ethernet
>>> code = assemble(
...     packet.pointers(r6, r7, r1, "xdp"),
...     ethernet.check(r6, r7, fail="pass"),
...     packet.match(r6, ethernet.PROTOCOL, ethernet.IPV6, fail="pass"),
...     packet.verdict("XDP_DROP"),
...     label("pass"),
...     packet.verdict("XDP_PASS"),
... )
>>> print(code)
   0: (61) r6 = *(u32 *)(r1 +0)
   1: (61) r7 = *(u32 *)(r1 +4)
   2: (bf) r0 = r6
   3: (07) r0 += 14
   4: (2d) if r0 > r7 goto pc+4         ; pass
   5: (69) r0 = *(u16 *)(r6 +12)
   6: (55) if r0 != 0xdd86 goto pc+2    ; pass
   7: (b7) r0 = 1
   8: (95) exit
pass:
   9: (b7) r0 = 2
  10: (95) exit
"""

from __future__ import annotations

from fastbpf.asm.alu import be64, const, lsh, mov, rsh, sub
from fastbpf.asm.context import ctx, ld_ctx
from fastbpf.asm.jump import exit_, jne, jne32
from fastbpf.asm.memory import ldxh, ldxw, stb, sth, stw, stxdw, stxh, stxw
from fastbpf.asm.operands import Register, integer, label_name, register
from fastbpf.asm.refusal import OperandError, checked, nearest, show
from fastbpf.blocks.block import block
from fastbpf.blocks.block import scratch as free
from fastbpf.blocks.header import (
    LOADS,
    STORES,
    SWAPS,
    HeaderField,
    distinct,
    field,
    is_network,
    loaded,
    loaded_six,
    spare,
    swapped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from fastbpf.asm.instruction import Instruction
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.header import Constant, Order

__all__ = ["HeaderField", "distance", "load", "match", "pointers", "store", "swap", "verdict"]

# the types whose programs may follow these pointers, and their contexts: is_valid_access, net/core/filter.c
_CONTEXTS: Final = {"xdp": "xdp_md", "sk_msg": "sk_msg_md", "sk_reuseport": "sk_reuseport_md"} | dict.fromkeys(
    ("sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "sk_skb", "flow_dissector"), "sk_buff"
)

# enum xdp_action and TC_ACT_*, include/uapi/linux/bpf.h and pkt_cls.h
_XDP: Final = ("ABORTED", "DROP", "PASS", "TX", "REDIRECT")
_TC: Final = ("OK", "RECLASSIFY", "SHOT", "PIPE", "STOLEN", "QUEUED", "REPEAT", "REDIRECT", "TRAP")
_VERDICTS: Final = {"TC_ACT_UNSPEC": -1}
_VERDICTS.update((f"XDP_{name}", number) for number, name in enumerate(_XDP))
_VERDICTS.update((f"TC_ACT_{name}", number) for number, name in enumerate(_TC))


@checked
def pointers(data: Register, end: Register, context: Register, prog_type: str) -> Block:
    """data = the packet's first byte, end = the byte behind its last, from the context.

    Emits: two loads, each of the width that the context has there.

    Calls of helpers that change the packet make all pointers to it useless to the verifier; emit this again after
    them. `data` or `end` may be the register of the context, which is then lost.

    Args:
        data: the result; what the verifier allows to be read from it depends on comparisons with `end`.
        end: the result.
        context: what r1 holds when the program begins.
        prog_type: the kernel's name for the program type: "xdp", "sched_cls", "cgroup_skb" …

    Clobbers: data, end. Stack: none. Linux 4.8 for xdp, 4.7 for sched_cls.

    Raises:
        AsmError: programs of that type have no such pointers.

    >>> from fastbpf.asm import assemble, r1, r6, r7
    >>> print(assemble(pointers(r6, r7, r1, "sched_cls")))
       0: (61) r6 = *(u32 *)(r1 +76)
       1: (61) r7 = *(u32 *)(r1 +80)
    """
    distinct(data=data, end=end)
    fields = getattr(ctx, _context(prog_type))
    # what overwrites the context comes last
    row = [ld_ctx(data, context, fields.data), ld_ctx(end, context, fields.data_end)]
    return block("packet.pointers", row[::-1] if data == context else row, clobbers=(data, end))


@checked
def verdict(action: int | str) -> Block:
    """End the program with that action: a number, or the kernel's name for it: "XDP_DROP", "TC_ACT_OK".

    Emits: r0 = action; exit. Clobbers: r0. Stack: none.

    Raises:
        AsmError: there is no action of that name.

    >>> from fastbpf.asm import assemble
    >>> print(assemble(verdict("XDP_PASS")))
       0: (b7) r0 = 2
       1: (95) exit
    """
    if isinstance(action, str):
        if action not in _VERDICTS:
            raise OperandError(f"there is no action {show(action)}{nearest(action.upper(), _VERDICTS)}")
        action = _VERDICTS[action]
    r0 = Register(0)
    return block("packet.verdict", mov(r0, integer(action, "an action")), exit_(), clobbers=(r0,))


@checked
def distance(dst: Register, start: Register, stop: Register) -> Block:
    """dst = stop - start, two pointers to one packet: the offset of a header, or the length of what is left.

    Emits: dst = stop; dst -= start. The verifier knows nothing of the result: bound it before it is added to a
    pointer. It needs CAP_PERFMON, as all arithmetic with two pointers does.

    Clobbers: dst. Stack: none.

    >>> from fastbpf.asm import assemble, r0, r6, r8
    >>> print(assemble(distance(r0, r6, r8)))
       0: (bf) r0 = r8
       1: (1f) r0 -= r6
    """
    distinct(dst=dst, start=start)
    return block("packet.distance", mov(dst, stop), sub(dst, start), clobbers=(dst,))


@checked
def load(
    dst: Register, pointer: Register, field: HeaderField, order: Order = "host", scratch: Register | None = None
) -> Block:
    """dst = a field of the header at `pointer`, whose bytes must have been checked.

    Emits: the load; in host order and above one byte, the swap. The 6 bytes of a MAC address take two loads.

    Args:
        dst: the result, its upper bytes 0; for fields below 6 bytes it may be `pointer`.
        pointer: to the header.
        field: which one: `ipv4.SOURCE`, or a `HeaderField` of your own.
        order: "host": a number to count with. "network": as it lies in the packet, for map keys and comparisons.
        scratch: for 6 bytes, a second register.

    Clobbers: dst; for 6 bytes, scratch. Stack: none.

    >>> from fastbpf.asm import assemble, r2, r8
    >>> from fastbpf.blocks import ethernet, ipv4
    >>> print(assemble(load(r2, r8, ipv4.SOURCE)))
       0: (61) r2 = *(u32 *)(r8 +12)
       1: (dc) r2 = be32 r2
    >>> load(r2, r8, ethernet.SOURCE)
    <Block packet.load: clobbers r0, r2>
    """
    part, network = _field(field), is_network(order)
    if part.size != 6:
        row = loaded(dst, pointer, part.offset, part.size, network=network)
        return block("packet.load", row, clobbers=(dst,))
    distinct(dst=dst, pointer=pointer)
    other = free(dst, pointer, wanted=scratch)
    row = loaded_six(dst, pointer, part.offset, other, network=network)
    return block("packet.load", row, clobbers=(dst, other))


@checked
def store(
    pointer: Register,
    field: HeaderField,
    value: Register | Constant,
    order: Order = "host",
    scratch: Register | None = None,
) -> Block:
    """Put a value into a field of the header at `pointer`, whose bytes must have been checked. No checksum is fixed.

    Emits: for a number, stores of what it is in network order; for a register, a copy, the swap and the store.

    Args:
        pointer: to the header.
        field: which one.
        value: a register, a number, or the text of an address: "10.0.0.1", "02:00:00:00:00:01".
        order: how the number lies in a register.
        scratch: for a register that must be swapped, and for numbers of 8 bytes.

    Clobbers: scratch, where there is one. Stack: none.

    >>> from fastbpf.asm import assemble, r2, r8
    >>> from fastbpf.blocks import tcp
    >>> print(assemble(store(r8, tcp.DESTINATION, 443), store(r8, tcp.WINDOW, r2)))
       0: (6a) *(u16 *)(r8 +2) = 47873
       1: (bf) r0 = r2
       2: (dc) r0 = be16 r0
       3: (6b) *(u16 *)(r8 +14) = r0
    """
    part, network = _field(field), is_network(order)
    at, size = part.offset, part.size
    register(pointer)
    if type(value) is not Register:
        constant = swapped(value, size)
        if size == 8:
            other = free(pointer, wanted=scratch)
            return block("packet.store", const(other, constant), stxdw(pointer, at, other), clobbers=(other,))
        return block("packet.store", _store_number(pointer, at, size, constant))
    if size == 1 or (network and size != 6):
        return block("packet.store", STORES[size](pointer, at, value))
    other = free(pointer, value, wanted=scratch)
    if size == 6:
        turned = [] if network else [lsh(other, 16), be64(other)]
        row = [mov(other, value), *turned, stxw(pointer, at, other), rsh(other, 32), stxh(pointer, at + 4, other)]
        return block("packet.store", row, clobbers=(other,))
    return block(
        "packet.store", mov(other, value), SWAPS[size](other), STORES[size](pointer, at, other), clobbers=(other,)
    )


@checked
def match(
    pointer: Register, field: HeaderField, value: Register | Constant, *, fail: str, scratch: Register | None = None
) -> Block:
    """Go on if a field of the header at `pointer` holds that value, else go to `fail`.

    Emits: the load and a comparison with the number in network order; with a register, the load in host order and a
    comparison. 6 bytes are compared in two parts.

    Args:
        pointer: to the header, whose bytes must have been checked.
        field: which one.
        value: a number, the text of an address, or a register that holds a number in host order.
        fail: a label.
        scratch: which register to use.

    Clobbers: scratch. Stack: none. Fields of 4 and 6 bytes: Linux 5.1.

    >>> from fastbpf.asm import assemble, exit_, label, r8
    >>> from fastbpf.blocks import ipv4, tcp
    >>> print(assemble(match(r8, ipv4.SOURCE, "192.168.0.1", fail="no"), label("no"), exit_()))
       0: (61) r0 = *(u32 *)(r8 +12)
       1: (56) if w0 != 0x100a8c0 goto pc+0         ; no
    no:
       2: (95) exit
    """
    part, to = _field(field), label_name(fail)
    at, size = part.offset, part.size
    one = free(pointer, value, wanted=scratch)
    if type(value) is Register:
        if size == 6:
            other = free(pointer, value, one)
            row = loaded_six(one, pointer, at, other, network=False)
            return block("packet.match", row, jne(one, value, to), clobbers=(one, other), fails_to=to)
        row = loaded(one, pointer, at, size, network=False)
        return block("packet.match", row, jne(one, value, to), clobbers=(one,), fails_to=to)
    constant = swapped(value, size)
    if size == 8:
        other = free(pointer, one)
        row = [LOADS[8](one, pointer, at), const(other, constant), jne(one, other, to)]
        return block("packet.match", row, clobbers=(one, other), fails_to=to)
    if size == 6:
        row = [ldxw(one, pointer, at), jne32(one, constant & 0xFFFFFFFF, to)]
        row += [ldxh(one, pointer, at + 4), jne(one, constant >> 32, to)]
    else:
        compare = jne32 if size == 4 else jne
        row = [LOADS[size](one, pointer, at), compare(one, constant, to)]
    return block("packet.match", row, clobbers=(one,), fails_to=to)


@checked
def swap(pointer: Register, one: HeaderField, other: HeaderField, scratch: Sequence[Register] | None = None) -> Block:
    """Exchange two fields of one size, of the header at `pointer`. Checksums stay right, if both are at even offsets.

    Emits: for each 8, 4, 2 or 1 bytes of them, two loads and two stores.

    Args:
        pointer: to the header, whose bytes must have been checked.
        one: a field of 1 to 16 bytes.
        other: another of the same size.
        scratch: two registers to use.

    Clobbers: scratch. Stack: none.

    >>> from fastbpf.asm import assemble, r8
    >>> from fastbpf.blocks import udp
    >>> print(assemble(swap(r8, udp.SOURCE, udp.DESTINATION)))
       0: (69) r0 = *(u16 *)(r8 +0)
       1: (69) r5 = *(u16 *)(r8 +2)
       2: (6b) *(u16 *)(r8 +0) = r5
       3: (6b) *(u16 *)(r8 +2) = r0
    """
    return exchanged("packet.swap", pointer, one, other, scratch)


def exchanged(
    name: str, pointer: Register, one: HeaderField, other: HeaderField, wanted: Sequence[Register] | None
) -> Block:
    """The block of `swap`, under the name of who asks."""
    for each in (one, other):
        if not isinstance(each, HeaderField):
            raise OperandError(f"{show(each)} is not a field; give one such as ipv4.SOURCE")
    if one.size != other.size or abs(one.offset - other.offset) < one.size:
        raise OperandError(f"{one!r} and {other!r} are not two fields of the same size")
    first, second = spare(2, pointer, wanted=wanted)
    row: list[Instruction] = []
    done = 0
    while done < one.size:
        size = next(width for width in (8, 4, 2, 1) if width <= one.size - done)
        a, b = one.offset + done, other.offset + done
        row += [LOADS[size](first, pointer, a), LOADS[size](second, pointer, b)]
        row += [STORES[size](pointer, a, second), STORES[size](pointer, b, first)]
        done += size
    return block(name, row, clobbers=(first, second))


# `field` is also the name of parameters here
_field = field


def _context(prog_type: object) -> str:
    if isinstance(prog_type, str) and prog_type in _CONTEXTS:
        return _CONTEXTS[prog_type]
    guess = nearest(str(prog_type), _CONTEXTS) or f"; those of {', '.join(_CONTEXTS)} have"
    raise OperandError(f"programs of type {show(prog_type)} have no pointers to the packet{guess}")


def _store_number(pointer: Register, at: int, size: int, constant: int) -> list[Instruction]:
    if size == 6:
        return [stw(pointer, at, constant & 0xFFFFFFFF), sth(pointer, at + 4, constant >> 32)]
    return [{1: stb, 2: sth, 4: stw}[size](pointer, at, constant)]
