"""Text to code: each line with an instruction is read, and all of them put into their order."""

from __future__ import annotations

import re

from fastbpf.asm.assembly import assemble
from fastbpf.asm.disassembly import decoded
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.refusal import nearest
from fastbpf.asm.source import Source
from fastbpf.asm.text.forms import read
from fastbpf.asm.text.lines import LLVM_UNKNOWN, Row, refusal, rows
from fastbpf.asm.text.statement import Unread
from fastbpf.asm.text.tokens import StatementError
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf.asm.code import Code

_MAP = re.compile(r"= map\[([\w.]+)\]")


def read_code(text: str, maps: Mapping[str, object], file: str) -> Code:
    """What `parse` gives."""
    lines = list(rows(text, file))
    labels = {label.name for row in lines for label in row.labels}
    _check_maps(lines, maps, file, text)
    placed = [(row, _instruction(row, labels, maps, file, text)) for row in lines if row.statement]
    if not placed:
        raise AsmError(f"{file}: there is no instruction in this text")
    if all(row.number is not None for row, _ in placed):
        placed = _ordered(placed, file)
    rest = [label for row in lines if not row.statement for label in row.labels]
    return assemble([[*row.labels, insn] for row, insn in placed], rest)


def _instruction(row: Row, labels: set[str], maps: Mapping[str, object], file: str, text: str) -> Instruction:
    if row.statement == LLVM_UNKNOWN and len(row.raw) >= 8:
        (insn,) = decoded(row.raw)
        return Instruction(insn.opcode, insn.dst, insn.src, insn.off, insn.imm, source=Source(file, row.line))
    try:
        insn = read(Unread(row.statement, row.raw, labels, maps, Source(file, row.line)))
        if row.raw and row.raw[0] != insn.opcode:
            reason = f"this is opcode {insn.opcode:02x}, and the line says {row.raw[0]:02x}"
            raise StatementError(row.statement, reason)
    except StatementError as refused:
        raise refusal(file, text, row.line, refused.token, str(refused)) from None
    return insn


def _check_maps(lines: list[Row], maps: Mapping[str, object], file: str, text: str) -> None:
    named: dict[str, Row] = {}
    for row in lines:
        if found := _MAP.search(row.statement):
            named.setdefault(found[1], row)
    missing = {name: row for name, row in named.items() if name not in maps}
    if missing:
        name, row = next(iter(missing.items()))
        shown = ", ".join(f'"{missed}": …' for missed in missing)
        reason = f"there is no map {name}{nearest(name, maps)}; give parse() maps={{{shown}}}"
        raise refusal(file, text, row.line, name, reason)


def _ordered(placed: list[tuple[Row, Instruction]], file: str) -> list[tuple[Row, Instruction]]:
    by_number: dict[int, tuple[Row, Instruction]] = {}
    for row, insn in placed:
        number = row.number or 0
        first, same = by_number.setdefault(number, (row, insn))
        if same != insn:
            reason = f"{row.statement} has the number {number}, which {first.statement} has in line {first.line}"
            raise AsmError(f"{file}:{row.line}: {reason}; take the numbers away, and they stand one after the other")
        if first is not row:
            first.labels += row.labels
    ordered = [by_number[number] for number in sorted(by_number)]
    expected = ordered[0][0].number or 0
    for row, insn in ordered:
        number = row.number or 0
        if number != expected:
            gap = f"number {expected} is missing" if number > expected else f"number {number} is within the one before"
            raise AsmError(
                f"{file}:{row.line}: {row.statement}: {gap}; take the numbers away if this is all of the code"
            )
        expected += insn.slots
    return ordered
