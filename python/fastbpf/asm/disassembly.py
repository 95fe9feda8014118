"""From bytes to instructions: what `bytes(code)` gave, or any other program that the kernel could load.

>>> code = disassemble(bytes.fromhex("b700000005000000 9500000000000000"))
>>> list(code)
[mov(r0, 5), exit_()]
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from struct import Struct

from fastbpf.asm import opcode as op
from fastbpf.asm.code import Code
from fastbpf.asm.instruction import MNEMONICS, Instruction
from fastbpf.errors import AsmError

__all__ = ["disassemble"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

# a slot as a number, and its parts
_WHOLE, _PARTS = Struct("<Q"), Struct("<BBhi")
# the bits of the fields in that number
_FIELDS = {"dst": 0xF << 8, "src": 0xF << 12, "off": 0xFFFF << 16, "imm": 0xFFFFFFFF << 32}
_NO_REGISTER = bytes(number & 15 > 10 or number >> 4 > 10 for number in range(256))

# What mnemonics do not show: they make these from a name or a map and refuse numbers; a module's kfunc has an offset.
_BEYOND_MNEMONICS = {
    (op.WIDE, op.PSEUDO_MAP_FD): {"dst", "imm"},
    (op.WIDE, op.PSEUDO_MAP_VALUE): {"dst", "imm"},
    (op.CALLS, op.PSEUDO_KFUNC_CALL): {"imm", "off"},
}
# the wide loads that have a number in their second slot, too
_TWO_NUMBERS = {0, op.PSEUDO_MAP_VALUE, op.PSEUDO_BTF_ID, op.PSEUDO_MAP_IDX_VALUE}
# the one unused field that the kernel does not look at, as of Linux 6.18
_NOT_LOOKED_AT = (op.JMP | op.EXIT, "off")


def disassemble(raw: bytes) -> Code:
    """The instructions that the bytes are: 8 each, little-endian, as the kernel takes them; no labels, no maps.

    Branches have distances, and what names a map has the number of its file descriptor. `bytes()` of the result is
    `raw` again. Raises AsmError, with the number of the slot, for what the kernel would refuse to read: bytes that are
    no whole slots, an opcode that there is not, a register above r10, a wide load without its second slot, and
    something other than 0 in a field that the instruction does not use. Source: RFC 9669 §3 and the verifier's checks
    of reserved fields (kernel/bpf/verifier.c).

    >>> disassemble(bytes.fromhex("9501000000000000"))
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: slot 0: (95) exit: dst is 1; the instruction does not use it, and the kernel demands 0
    """
    return Code(decoded(raw))


def decoded(raw: bytes, *, strict: bool = True) -> Iterator[Instruction]:
    """The instructions one by one; unless `strict`, with whatever is in their fields: the kernel's own marks, say.

    Raises AsmError as `disassemble` does; unless `strict`, only for bytes that end before an instruction does.
    """
    if not raw or len(raw) % 8:
        raise AsmError(f"code is made of slots of 8 bytes, at least one, not of {len(raw)} bytes")
    kinds, unused = _tables()
    slots = zip(_WHOLE.iter_unpack(raw), _PARTS.iter_unpack(raw), strict=True)
    slot = 0
    for (bits,), (opcode, registers, off, imm) in slots:
        if strict and ((mask := unused.get(bits & kinds[opcode])) is None or bits & mask or _NO_REGISTER[registers]):
            _refuse(slot, Instruction(opcode, registers & 15, registers >> 4, off, imm))
        if opcode != op.WIDE:
            yield Instruction(opcode, registers & 15, registers >> 4, off, imm)
            slot += 1
            continue
        second = next(slots, None)
        if second is None:
            raise AsmError(f"slot {slot}: a wide load (opcode 0x18) takes two slots, and the bytes end after its first")
        (more,), (*_, high) = second
        if strict and (more & 0xFFFFFFFF or (high and registers >> 4 not in _TWO_NUMBERS)):
            _refuse_second(slot, Instruction(opcode, registers & 15, registers >> 4, off, imm), more)
        yield Instruction(opcode, registers & 15, registers >> 4, off, high << 32 | imm & 0xFFFFFFFF)
        slot += 2


def used_fields(kind: tuple[int, int]) -> set[str]:
    """Which of dst, src, off and imm an instruction of that kind has a use for, the one that makes the kind included.

    >>> sorted(used_fields((0xB7, 0)))  # r1 = 5
    ['dst', 'imm', 'off']
    """
    own = {op.EXTENSIONS[kind[0]]} if kind[0] in op.EXTENSIONS else set()
    others = [name for name in _FIELDS if name not in own]
    for count in range(len(others), -1, -1):
        for names in combinations(others, count):
            # its mnemonic writes what has nothing in a field that it never fills
            if MNEMONICS[kind].write(_sample(kind, names)):
                return {*names, *own, *_BEYOND_MNEMONICS.get(kind, ())}
    return own | _BEYOND_MNEMONICS[kind]


def _sample(kind: tuple[int, int], filled: tuple[str, ...] = ()) -> Instruction:
    opcode, extension = kind
    values = dict.fromkeys(filled, 1)
    if opcode in op.EXTENSIONS:
        values[op.EXTENSIONS[opcode]] = extension
    dst, src, off, imm = (values.get(name, 0) for name in _FIELDS)
    return Instruction(opcode, dst, src, off, imm)


@cache
def _tables() -> tuple[list[int], dict[int, int]]:
    # for each opcode the bits that make the kind, and for each kind the bits that must be 0
    kinds = [0xFF | (_FIELDS[op.EXTENSIONS[opcode]] if opcode in op.EXTENSIONS else 0) for opcode in range(256)]
    unused = {}
    for kind in MNEMONICS:
        (bits,) = _WHOLE.unpack(bytes(_sample(kind))[:8])
        used = used_fields(kind)
        unused[bits & kinds[kind[0]]] = sum(mask for name, mask in _FIELDS.items() if name not in used)
    return kinds, unused


def _refuse(slot: int, insn: Instruction) -> NoReturn:
    from fastbpf.asm.text.writer import write

    opcode, extension = insn.kind
    if insn.kind in MNEMONICS:
        text = f"slot {slot}: ({opcode:02x}) {write(insn)}"
        used = used_fields(insn.kind)
        for name in _FIELDS:
            value = getattr(insn, name)
            if value and name not in used:
                who = "RFC 9669 demands" if (opcode, name) == _NOT_LOOKED_AT else "the kernel demands"
                raise AsmError(f"{text}: {name} is {value}; the instruction does not use it, and {who} 0")
        raise AsmError(f"{text}: there is no register r{max(insn.dst, insn.src)}; they are r0 to r10")
    known = [value for code, value in MNEMONICS if code == opcode]
    if not known:
        raise AsmError(f"slot {slot}: there is no instruction of opcode 0x{opcode:02x}")
    field = op.EXTENSIONS[opcode]
    values = ", ".join(map(str, sorted(known)))
    raise AsmError(f"slot {slot}: {field} of opcode 0x{opcode:02x} is {extension}; it can be {values}")


def _refuse_second(slot: int, insn: Instruction, bits: int) -> NoReturn:
    from fastbpf.asm.text.writer import write

    opcode, registers, off, imm = _PARTS.unpack(_WHOLE.pack(bits))
    fields = {"opcode": opcode, "dst": registers & 15, "src": registers >> 4, "off": off, "imm": imm}
    name, value = next((name, value) for name, value in fields.items() if value)
    text = f"slot {slot + 1}, the second of (18) {write(insn)}"
    # nor does it look at this one
    who = "RFC 9669 demands" if (insn.src, name) == (op.PSEUDO_FUNC, "imm") else "the kernel demands"
    raise AsmError(f"{text}: {name} is {value}; the instruction does not use it, and {who} 0")
