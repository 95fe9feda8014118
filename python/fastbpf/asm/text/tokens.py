"""What the words of a statement stand for: numbers, registers, names, targets; each is refused with its own words."""

from __future__ import annotations

import re

_DISTANCE = re.compile(r"(?:pc\s*)?([+-]\s*(?:0[xX][0-9a-fA-F]+|[0-9]+))")

_REGISTERS = {str(value): value for value in range(11)}


class StatementError(Exception):
    """Why a statement is refused, and which part of it is to blame."""

    def __init__(self, token: str, message: str) -> None:
        super().__init__(message)
        self.token = token


def number(text: str, low: int, high: int, what: str, remedy: str = "") -> int:
    """A number, decimal or hexadecimal, from `low` to `high`."""
    digits = "".join(text.split()).removeprefix("+")
    try:
        value = int(digits, 16 if "x" in text or "X" in text else 10)
    except ValueError:  # Python reads no more than some thousand digits
        value = high + 1
    if not low <= value <= high:
        raise StatementError(text, f"{what} must be from {low} to {high}, not {digits}{remedy}")
    return value


def bits32(text: str) -> int:
    """A number of 32 bits, written signed or unsigned."""
    value = number(text, -(1 << 31), (1 << 32) - 1, "a number of 32 bits")
    return value - (1 << 32) if value >= 1 << 31 else value


def signed32(text: str, remedy: str) -> int:
    """A number of 32 bits that the instruction extends by its sign to 64."""
    return number(text, -(1 << 31), (1 << 31) - 1, "a number that is extended by its sign to 64 bits", remedy)


def bits64(text: str) -> int:
    """A number of 64 bits, written signed or unsigned."""
    value = number64(text)
    return value - (1 << 64) if value >= 1 << 63 else value


def number64(text: str) -> int:
    """The same number as it is written, up to 2**64 - 1."""
    return number(text, -(1 << 63), (1 << 64) - 1, "a number of 64 bits")


def offset(text: str | None) -> int:
    """The offset of a load or a store."""
    return number(text, -(1 << 15), (1 << 15) - 1, "the offset") if text else 0


def target(text: str, bits: int) -> tuple[str | None, int]:
    """Where a branch goes: to a label, or over a number of slots."""
    found = _DISTANCE.fullmatch(text)
    if not found:
        return name_of(text), 0
    remedy = "; gotol reaches further" if bits == 16 else ""
    return None, number(found[1], -(1 << bits - 1), (1 << bits - 1) - 1, "the distance", remedy)


def name_of(text: str) -> str:
    """A name, out of its quotes if it has any."""
    if text[0] != '"':
        return text
    from json import loads

    try:
        return str(loads(text))
    except ValueError:
        raise StatementError(text, "the text in quotes is not as JSON writes it") from None


def register(text: str) -> int:
    """The number of a register: r1, or w1 for its lower half."""
    value = _REGISTERS.get(text[1:])
    if value is None:
        raise StatementError(
            text, f"there is no register {text}; they are r0 to r10, and w0 to w10 for the lower halves"
        )
    return value


def whole(text: str) -> int:
    """The number of a register with all of its bits: r1."""
    value = register(text)
    if text[0] == "w":
        raise StatementError(text, f"{text} is the lower half of r{value}; here stands r{value}")
    return value


def half(text: str, bits: str) -> int:
    """The number of a register that moves to or from memory: LLVM writes w1 where it is 32 bits or less."""
    return whole(text) if bits == "64" else register(text)
