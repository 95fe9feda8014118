"""The verifier's log: what only it has, and what stands in it for the maps of the code."""

from __future__ import annotations

import re

from fastbpf.asm.text.tokens import StatementError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_OPCODE = r"[0-9]+: (?:[.0-9]{10,11} )?\([0-9a-f]{2}\) "
_STATE = r"R[0-9]+(?:_[a-z]+)?="
_CODE = re.compile(_OPCODE)
_MARK = re.compile(
    rf"{_STATE}\S.*|[0-9]+: (?:frame[0-9]+: )?{_STATE}.*|{_OPCODE}[^;]*; *(?:frame[0-9]+: )?{_STATE}.*"
    r"|R[0-9]+ [!a-z].*|frame[0-9]+: .*|from [0-9]+ to [0-9]+.*|func#[0-9]+ @[0-9]+|Func#[0-9]+ .*"
    r"|Validating \w+\(\).*|mark_precise: .*|regs=.*|last_idx [0-9]+.*|parent (?:didn't|already) .*|propagating r.*"
    r"|Live regs before insn:|returning from callee:|to caller at [0-9]+:|processed [0-9]+ insns.*"
    r"|verification time [0-9]+.*|stack depth [0-9]+.*|-- (?:BEGIN|END) .* LOG --"
)
# a branch, and behind it the state of the slot that comes next: "goto pc-2 2: R6=1 R10=fp0"
_STATE_BEHIND = re.compile(r"\s[0-9]+: (?:frame[0-9]+: )?R[0-9]+[_=].*$")
# a wide load, and what is known of its register then
_WIDE = re.compile(
    r"^[ \t]*([0-9]+): (?:[.0-9]{10,11} )?\(18\) r([0-9]+) = 0x[0-9a-f]+ *;.*?\bR\2(?:_[a-z]+)?=(.*)", re.MULTILINE
)
_ADDRESS = re.compile(r"(r[0-9]+) = (0x[0-9a-f]+)")
_SCALAR = re.compile(r"P|inv|scalar|-?[0-9]")
_MAP = re.compile(r"map_(?:ptr|value)\(map=([\w.]+)(?:[^)]*,off=([0-9]+))?")


def is_log(lines: Iterable[str]) -> bool:
    """Whether the lines have instructions with number and opcode, and what only the log puts between them."""
    lines = list(map(str.strip, lines))
    return any(map(_CODE.match, lines)) and any(map(_MARK.fullmatch, lines))


def without_state(statement: str) -> str:
    """A statement without the registers that the log of Linux 5.10 shows behind some."""
    return _STATE_BEHIND.sub("", statement)


def wide_loads(text: str) -> dict[str, str]:
    """What the log says of the registers that wide loads have filled, by the number of the instruction."""
    return {slot: state for slot, _, state in _WIDE.findall(text)}


def wide_load(statement: str, state: str) -> str:
    """A wide load, with the map in the place of an address; `state` is what the log says of the register, if it does.

    Raises StatementError for an address of what has no name there.
    """
    found = _ADDRESS.fullmatch(statement)
    if not found:
        return statement
    dst, value = found.groups()
    # without a word on it: the kernel's part of the addresses, but for small negative numbers
    if _SCALAR.match(state) or (not state and not 0xFF << 56 <= int(value, 16) < (1 << 64) - 4096):
        return statement
    if found := _MAP.match(state):
        name, off = found.groups()
        return f"{dst} = map[{name}]" + (f"[0]+{off or 0}" if state.startswith("map_value") else "")
    reason = f"this is an address, and the log does not say of which map; write {dst} = map[NAME] there"
    raise StatementError(value, f"{reason}, or {dst} = {value} ll if it is a number")
