"""Address translation of IPv4 with TCP, UDP or neither: new addresses and ports, and both checksums.

For tc programs, by the kernel's helpers:

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import ethernet, ipv4, nat, packet, udp
>>> code = assemble(
...     mov(r6, r1),  # calls keep r6
...     nat.dnat(r6, 14, 34, protocol="tcp", address="10.0.0.2", port=8080, stack=fp - 16, fail="drop"),
...     packet.verdict("TC_ACT_OK"),
...     label("drop"),
...     packet.verdict("TC_ACT_SHOT"),
... )

For XDP programs, in the packet:

>>> code = assemble(
...     packet.pointers(r6, r7, r1, "xdp"),
...     ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
...     jne(r2, ethernet.IPV4, "pass"),
...     ipv4.parse(r8, r7, protocol=r2, payload=r9, fail="pass"),
...     jne(r2, ipv4.UDP, "pass"),
...     ipv4.unfragmented(r8, fail="pass"),
...     udp.check(r9, r7, fail="pass"),
...     nat.xdp_dnat(r8, r9, protocol="udp", address="10.0.0.2", port=53),
...     label("pass"),
...     packet.verdict("XDP_PASS"),
... )

A later fragment has no ports: test `ipv4.unfragmented` before.
"""

from __future__ import annotations

from fastbpf.asm.alu import add, mov32
from fastbpf.asm.calls import call
from fastbpf.asm.jump import jne
from fastbpf.asm.memory import ldxh, ldxw, stxh, stxw
from fastbpf.asm.operands import Address, Register, fp, label_name, r0, r3, r4, register, within
from fastbpf.asm.refusal import OperandError, checked, nearest, show
from fastbpf.blocks import ipv4, tcp, udp
from fastbpf.blocks.block import block, on_stack
from fastbpf.blocks.block import scratch as free
from fastbpf.blocks.checksum import LOST, MARK_MANGLED_0, PSEUDO_HEADER, applied, complemented
from fastbpf.blocks.header import distinct, is_network, raw, spare, swapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Literal, TypeAlias

    from fastbpf.asm.assembly import Part
    from fastbpf.asm.instruction import Instruction
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.header import Constant, HeaderField, Order

    Protocol: TypeAlias = Literal["tcp", "udp"]
    Value: TypeAlias = Register | Constant
    _Change: TypeAlias = tuple[HeaderField, Value]

__all__ = ["dnat", "rewrite", "snat", "xdp_dnat", "xdp_rewrite", "xdp_snat"]

_CHECKSUMS: Final = {"tcp": tcp.CHECKSUM, "udp": udp.CHECKSUM}
_LOADS: Final = {2: ldxh, 4: ldxw}
_STORES: Final = {2: stxh, 4: stxw}


@checked
def dnat(
    skb: Register,
    header: int | Register,
    transport: int | Register | None,
    *,
    protocol: Protocol | None,
    address: Value | None = None,
    port: Value | None = None,
    stack: Address,
    fail: str,
    order: Order = "host",
) -> Block:
    """Give a packet a new destination, in a tc program. See `rewrite`, of which this is a part.

    >>> from fastbpf.asm import fp, r6
    >>> dnat(r6, 14, 34, protocol="tcp", address="10.0.0.2", stack=fp - 8, fail="drop")
    <Block nat.dnat: clobbers r0, r1, r2, r3, r4, r5; writes fp - 8 to fp - 1; fails to "drop">
    """
    changes = _changes(protocol, destination=address, destination_port=port)
    return _by_helpers("nat.dnat", skb, header, transport, protocol, changes, stack, fail, order)


@checked
def snat(
    skb: Register,
    header: int | Register,
    transport: int | Register | None,
    *,
    protocol: Protocol | None,
    address: Value | None = None,
    port: Value | None = None,
    stack: Address,
    fail: str,
    order: Order = "host",
) -> Block:
    """Give a packet a new source, in a tc program. See `rewrite`, of which this is a part.

    >>> from fastbpf.asm import fp, r6, r7
    >>> snat(r6, 14, r7, protocol="udp", address="10.0.0.2", port=5000, stack=fp - 16, fail="drop")
    <Block nat.snat: clobbers r0, r1, r2, r3, r4, r5; writes fp - 16 to fp - 1; fails to "drop">
    """
    changes = _changes(protocol, source=address, source_port=port)
    return _by_helpers("nat.snat", skb, header, transport, protocol, changes, stack, fail, order)


@checked
def rewrite(
    skb: Register,
    header: int | Register,
    transport: int | Register | None,
    *,
    protocol: Protocol | None,
    source: Value | None = None,
    source_port: Value | None = None,
    destination: Value | None = None,
    destination_port: Value | None = None,
    stack: Address,
    fail: str,
    order: Order = "host",
) -> Block:
    """Give a packet new addresses and ports, whichever are told, and correct both checksums, in a tc program.

    Emits: the new values to the stack in network order; the old ones to the stack by skb_load_bytes; for each the
    correction of the TCP or UDP checksum by l4_csum_replace; for addresses that of the IPv4 header by l3_csum_replace;
    the new values into the packet by skb_store_bytes. A UDP checksum of 0, which is none, stays.

    All pointers to the packet are useless to the verifier afterwards; `packet.pointers` makes new ones.

    Args:
        skb: the context, in r6 to r9, which calls keep.
        header: the offset of the IPv4 header in the packet, a number or one of r6 to r9: 14 behind Ethernet without
            VLAN tags; `packet.distance` gives that of a pointer.
        transport: the offset of the TCP or UDP header, likewise; None without a protocol.
        protocol: "tcp", "udp", or None for other packets, such as ICMP, of which only the addresses change.
        source: the new source address: a register, a number, or text.
        source_port: the new source port: a register or a number.
        destination: the new destination address.
        destination_port: the new destination port.
        stack: 8 bytes for each new value, aligned to 4: `fp - 16` for an address and a port.
        fail: a label, where it goes if a helper refuses; some of the packet may be changed then, so drop it.
        order: how new values lie in registers.

    Clobbers: r0 to r5. Stack: 8 bytes for each new value. Linux 4.5; sched_cls, sched_act, lwt_xmit.

    >>> from fastbpf.asm import fp, r6, r7, r8
    >>> rewrite(r6, r7, r8, protocol="tcp", source="10.0.0.1", destination="10.0.0.2", stack=fp - 16, fail="drop")
    <Block nat.rewrite: clobbers r0, r1, r2, r3, r4, r5; writes fp - 16 to fp - 1; fails to "drop">
    """
    changes = _changes(protocol, source, source_port, destination, destination_port)
    return _by_helpers("nat.rewrite", skb, header, transport, protocol, changes, stack, fail, order)


@checked
def xdp_dnat(
    header: Register,
    transport: Register | None,
    *,
    protocol: Protocol | None,
    address: Value | None = None,
    port: Value | None = None,
    order: Order = "host",
    scratch: Sequence[Register] | None = None,
) -> Block:
    """Give a packet a new destination, in an XDP program. See `xdp_rewrite`, of which this is a part.

    >>> from fastbpf.asm import r2, r8, r9
    >>> xdp_dnat(r8, r9, protocol="udp", address=r2, port=53)
    <Block nat.xdp_dnat: clobbers r0, r4, r5>
    """
    changes = _changes(protocol, destination=address, destination_port=port)
    return _in_packet("nat.xdp_dnat", header, transport, protocol, changes, order, scratch)


@checked
def xdp_snat(
    header: Register,
    transport: Register | None,
    *,
    protocol: Protocol | None,
    address: Value | None = None,
    port: Value | None = None,
    order: Order = "host",
    scratch: Sequence[Register] | None = None,
) -> Block:
    """Give a packet a new source, in an XDP program. See `xdp_rewrite`, of which this is a part.

    >>> from fastbpf.asm import r2, r8, r9
    >>> xdp_snat(r8, r9, protocol="tcp", address=r2)
    <Block nat.xdp_snat: clobbers r0, r4, r5>
    """
    changes = _changes(protocol, source=address, source_port=port)
    return _in_packet("nat.xdp_snat", header, transport, protocol, changes, order, scratch)


@checked
def xdp_rewrite(
    header: Register,
    transport: Register | None,
    *,
    protocol: Protocol | None,
    source: Value | None = None,
    source_port: Value | None = None,
    destination: Value | None = None,
    destination_port: Value | None = None,
    order: Order = "host",
    scratch: Sequence[Register] | None = None,
) -> Block:
    """Give a packet new addresses and ports, whichever are told, and correct both checksums, in an XDP program.

    Emits: for each address the difference of old and new, and the store; the IPv4 checksum, corrected by it; for each
    port the same; the TCP or UDP checksum, corrected by all. A UDP checksum of 0, which is none, stays.

    The packet must have its checksums: one that this machine sends to itself over veth may have left them to the
    network card, unless `ethtool -K DEVICE tx off` forbids it.

    Args:
        header: a pointer to the IPv4 header, of which 20 bytes must have been checked.
        transport: a pointer to the TCP or UDP header, which must have been checked; None without a protocol.
        protocol: "tcp", "udp", or None for other packets, such as ICMP, of which only the addresses change.
        source: the new source address: a register, a number, or text.
        source_port: the new source port: a register or a number.
        destination: the new destination address.
        destination_port: the new destination port.
        order: how new values lie in registers.
        scratch: three registers to use; to be named where new values in registers leave fewer than three of r0 to r5.

    Clobbers: scratch. Stack: none. Source: RFC 1624, equation 3.

    >>> from fastbpf.asm import r2, r8, r9
    >>> xdp_rewrite(r8, r9, protocol="tcp", source="10.0.0.1", destination=r2, destination_port=80)
    <Block nat.xdp_rewrite: clobbers r0, r4, r5>
    """
    changes = _changes(protocol, source, source_port, destination, destination_port)
    return _in_packet("nat.xdp_rewrite", header, transport, protocol, changes, order, scratch)


def _changes(
    protocol: object,
    source: Value | None = None,
    source_port: Value | None = None,
    destination: Value | None = None,
    destination_port: Value | None = None,
) -> list[_Change]:
    # addresses first
    if protocol is not None and (not isinstance(protocol, str) or protocol not in _CHECKSUMS):
        guess = nearest(str(protocol), _CHECKSUMS)
        raise OperandError(f'protocol={show(protocol)} is not "tcp", "udp" or None{guess}')
    addresses = [(ipv4.SOURCE, source), (ipv4.DESTINATION, destination)]
    ports = [(tcp.SOURCE, source_port), (tcp.DESTINATION, destination_port)]
    if protocol is None and any(value is not None for _, value in ports):
        raise OperandError('only "tcp" and "udp" have ports, and protocol is None')
    changes = [(field, value) for field, value in addresses + ports if value is not None]
    if not changes:
        raise OperandError("give a new address, a new port, or both")
    for field, value in changes:
        if type(value) is not Register:
            swapped(value, field.size)
    return changes


def _in_packet(
    name: str,
    header: Register,
    transport: Register | None,
    protocol: str | None,
    changes: Sequence[_Change],
    order: Order,
    wanted: Sequence[Register] | None,
) -> Block:
    register(header)
    if protocol is not None:
        register(transport)
    distinct(header=header, transport=transport)
    values = [value for _, value in changes if type(value) is Register]
    network = is_network(order)
    # what the sums of both headers gain: of the ports, only TCP's and UDP's
    total, part, gain = spare(3, header, transport, *values, wanted=wanted)

    def changed(pointer: Register, field: HeaderField, value: Value) -> list[Instruction]:
        old = [_LOADS[field.size](part, pointer, field.offset), *complemented(part, field.size), add(gain, part)]
        new = [_STORES[field.size](pointer, field.offset, part), add(gain, part)]
        return [*old, *raw(part, value, field.size, network=network), *new]

    row: list[Part] = [mov32(gain, 0)]
    addresses = [changed(header, field, value) for field, value in changes if field.size == 4]
    if addresses:
        row += [addresses, applied(header, ipv4.CHECKSUM.offset, total, part, [add(total, gain)], optional=False)]
    if protocol is not None and transport is not None:
        row += [changed(transport, field, value) for field, value in changes if field.size == 2]
        at = _CHECKSUMS[protocol].offset
        row += applied(transport, at, total, part, [add(total, gain)], optional=protocol == "udp")
    return block(name, row, clobbers=(total, part, gain))


def _by_helpers(
    name: str,
    skb: Register,
    header: int | Register,
    transport: int | Register | None,
    protocol: str | None,
    changes: Sequence[_Change],
    stack: Address,
    fail: str,
    order: Order,
) -> Block:
    register(skb)
    _check_offset("header", header)
    if protocol is not None:
        _check_offset("transport", transport)
    for role, kept in (("skb", skb), ("header", header), ("transport", transport)):
        if type(kept) is Register and not 6 <= kept.number <= 9:
            raise OperandError(f"{role}={kept} does not last: calls lose r0 to r5; move it to one of r6 to r9 before")
    network, to = is_network(order), label_name(fail)
    size = 8 * len(changes)
    low = on_stack(stack, size, 4, what="what it keeps")
    values = [value for _, value in changes if type(value) is Register]
    other = free(skb, header, transport, *values)

    row: list[Part] = []
    loads: list[Part] = []
    corrections: list[Part] = []
    stores: list[Part] = []
    for i, (field, value) in enumerate(changes):
        new, old = low + 8 * i, low + 8 * i + 4
        row += [raw(other, value, field.size, network=network), _STORES[field.size](fp, new, other)]
        is_address = field.size == 4
        place = _place(header if is_address else transport, field)
        loads += [call.skb_load_bytes(skb, place, fp + old, field.size), jne(r0, 0, to)]
        both = [_LOADS[field.size](r3, fp, old), _LOADS[field.size](r4, fp, new)]
        if protocol is not None:
            flags = field.size | (is_address and PSEUDO_HEADER) | (protocol == "udp" and MARK_MANGLED_0)
            at = _place(transport, _CHECKSUMS[protocol])
            corrections += [both, call.l4_csum_replace(skb, at, r3, r4, flags), jne(r0, 0, to)]
        if is_address:
            at = _place(header, ipv4.CHECKSUM)
            corrections += [both, call.l3_csum_replace(skb, at, r3, r4, 4), jne(r0, 0, to)]
        stores += [call.skb_store_bytes(skb, place, fp + new, field.size, 0), jne(r0, 0, to)]
    # everything that a short packet fails comes before the first change
    return block(name, row, loads, corrections, stores, clobbers=LOST, stack=(low, low + size), fails_to=to)


def _check_offset(role: str, value: object) -> None:
    if type(value) is not Register:
        within(value, 0, 0xFFFF, f"{role}, an offset in the packet,")


def _place(base: int | Register | None, field: HeaderField) -> int | Address:
    return (0 if base is None else base) + field.offset
