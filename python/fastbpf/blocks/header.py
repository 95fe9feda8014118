"""Fields of packet headers, the numbers that go into them, and what the blocks for packets share.

>>> from fastbpf.blocks import ipv4
>>> ipv4.SOURCE, ipv4.SOURCE.offset, ipv4.SOURCE.size
(ipv4.SOURCE, 12, 4)
"""

from __future__ import annotations

from fastbpf.asm.alu import add, and_, be16, be32, be64, lsh, mov, mov32, or_, rsh
from fastbpf.asm.jump import jgt
from fastbpf.asm.memory import ldxb, ldxdw, ldxh, ldxw, stxb, stxdw, stxh, stxw
from fastbpf.asm.operands import Register, integer, label_name, within
from fastbpf.asm.refusal import OperandError, show
from fastbpf.asm.value import Value, fill
from fastbpf.blocks.block import block, free, scratch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal, TypeAlias

    from fastbpf.asm.instruction import Instruction
    from fastbpf.blocks.block import Block

    #: How a number lies in a register: as the machine counts, or as it lies in the packet.
    Order: TypeAlias = Literal["host", "network"]
    #: What fits into a field: a number, or text for addresses: "10.0.0.1", "02:00:00:00:00:01".
    Constant: TypeAlias = int | str

__all__ = ["HeaderField"]

LOADS: Final = {1: ldxb, 2: ldxh, 4: ldxw, 8: ldxdw}
STORES: Final = {1: stxb, 2: stxh, 4: stxw, 8: stxdw}
SWAPS: Final = {2: be16, 4: be32, 8: be64}

# how far from its beginning the verifier follows accesses to a packet: MAX_PACKET_OFF, kernel/bpf/verifier.c
_REACH = 0xFFFF


class HeaderField(Value):
    """A field of a header: where an instruction takes an offset, it takes a field, too.

    >>> from fastbpf.asm import ldxb, r0, r8
    >>> ldxb(r0, r8, HeaderField("mine.KIND", 3, 1))
    ldxb(r0, r8, 3)
    """

    __match_args__ = ("name", "offset", "size")
    __slots__ = __match_args__
    name: str
    offset: int
    size: int

    def __init__(self, name: str, offset: int, size: int) -> None:
        fill(self, "name", name)
        fill(self, "offset", offset)
        fill(self, "size", size)

    def __index__(self) -> int:
        return self.offset

    def __repr__(self) -> str:
        return self.name


def field(value: object) -> HeaderField:
    """A field, of a size that packets have fields of."""
    if not isinstance(value, HeaderField):
        raise OperandError(f'{show(value)} is not a field; give one such as ipv4.TTL or HeaderField("mine.KIND", 3, 1)')
    if value.size not in {1, 2, 4, 6, 8}:
        raise OperandError(f"{value!r} has {value.size} bytes; only 1, 2, 4, 6 or 8 get into a register")
    return value


def distinct(**roles: object) -> None:
    """Registers that must not be one another; None and numbers are none."""
    seen: dict[Register, str] = {}
    for role, value in roles.items():
        if type(value) is Register:
            if value in seen:
                raise OperandError(f"{seen[value]} and {role} are both {value}; they must be different registers")
            seen[value] = role
        elif value is not None and not isinstance(value, int | str):
            raise OperandError(f"{role} is {show(value)}, not a register; registers are r0 to r10")


def spare(count: int, *taken: object, wanted: object = None) -> tuple[Register, ...]:
    """So many registers for passing use: those `wanted`, or the first of r0 to r5 that are free."""
    if wanted is None:
        return free(count, *taken)
    if not isinstance(wanted, tuple | list) or len(wanted) != count:
        asked = "one register" if count == 1 else f"a tuple of {count} registers"
        raise OperandError(f"scratch={show(wanted)} is not {asked}; leave it out, and they are chosen")
    found: list[Register] = []
    for one in wanted:
        found.append(scratch(*taken, *found, wanted=one))
    return tuple(found)


def is_network(order: object) -> bool:
    """Whether that is the order that packets have."""
    if order not in ("host", "network"):
        raise OperandError(f'order={show(order)} is neither "host" nor "network"')
    return order == "network"


def number(value: object, size: int) -> int:
    """What goes into a field of that many bytes, as a number: an int, or the text of an address."""
    if isinstance(value, str):
        if size == 4:
            from ipaddress import AddressValueError, IPv4Address  # takes milliseconds to import

            try:
                return int(IPv4Address(value))
            except AddressValueError:
                raise OperandError(f'{show(value)} is not an IPv4 address, such as "10.0.0.1"') from None
        pairs = value.split(":")
        if (
            size == 6
            and len(pairs) == 6
            and all(len(p) == 2 and set(p) <= set("0123456789abcdefABCDEF") for p in pairs)
        ):
            return int("".join(pairs), 16)
        wanted = 'a MAC address, such as "02:00:00:00:00:01"' if size == 6 else "a number"
        raise OperandError(f"{show(value)} is not {wanted}")
    return within(integer(value, "a register or a number"), 0, (1 << 8 * size) - 1, f"a number of {size} bytes")


def swapped(value: object, size: int) -> int:
    """The same as the machine, which is little-endian, reads it from the packet."""
    return int.from_bytes(number(value, size).to_bytes(size, "big"), "little")


def raw(dst: Register, value: Register | Constant, size: int, *, network: bool) -> list[Instruction]:
    """dst = what a load of 2 or 4 bytes from the packet would give if `value` were there; the rest of dst is 0."""
    if type(value) is not Register:
        return [mov32(dst, swapped(value, size))]
    if size == 4:
        return [mov32(dst, value)] if network else [mov(dst, value), be32(dst)]
    return [mov(dst, value), and_(dst, 0xFFFF) if network else be16(dst)]


def loaded(dst: Register, pointer: Register, at: int, size: int, *, network: bool) -> list[Instruction]:
    """dst = `size` bytes, 1, 2, 4 or 8, at pointer + at."""
    load = LOADS[size](dst, pointer, at)
    return [load] if network or size == 1 else [load, SWAPS[size](dst)]


def loaded_six(dst: Register, pointer: Register, at: int, other: Register, *, network: bool) -> list[Instruction]:
    """dst = the 6 bytes of a MAC address."""
    row = [ldxw(dst, pointer, at), ldxh(other, pointer, at + 4), lsh(other, 32), or_(dst, other)]
    return row if network else [*row, be64(dst), rsh(dst, 16)]


def advance(pointer: Register, start: Register, size: int, end: Register, fail: str) -> list[Instruction]:
    """pointer = start + size, or fail if the packet ends before."""
    return [mov(pointer, start), add(pointer, size), jgt(pointer, end, label_name(fail))]


def reach(offset: object, size: object) -> tuple[int, int]:
    """An offset and a size that the verifier follows."""
    checked_offset = within(offset, 0, _REACH, "the offset")
    checked_size = within(size, 1, _REACH, "the size")
    if checked_offset + checked_size > _REACH:
        raise OperandError(f"{checked_offset} + {checked_size} is further than the verifier follows, which is {_REACH}")
    return checked_offset, checked_size


def bounded(
    name: str,
    data: Register,
    end: Register,
    offset: int | Register,
    size: int,
    fail: str | int,
    wanted: Register | None,
) -> Block:
    """The block of `bounds.check`, under the name of who asks."""
    distinct(data=data, end=end, offset=offset)
    top = scratch(data, end, offset, wanted=wanted)
    if type(offset) is Register:
        row = [mov(top, data), add(top, offset), add(top, reach(0, size)[1])]
    else:
        row = [mov(top, data), add(top, sum(reach(offset, size)))]
    fails_to = fail if isinstance(fail, str) else None
    return block(name, row, jgt(top, end, fail), clobbers=(top,), fails_to=fails_to)
