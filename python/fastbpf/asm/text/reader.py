"""Text to code: each line with an instruction is read, and all of them put into their order."""

from __future__ import annotations

import re

from fastbpf.asm.assembly import assemble
from fastbpf.asm.disassembly import decoded
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.opcode import EXIT, GOTOL, GOTOX, JA, JMP
from fastbpf.asm.operands import map_object
from fastbpf.asm.refusal import OperandError, nearest
from fastbpf.asm.source import Source
from fastbpf.asm.text.forms import read
from fastbpf.asm.text.lines import LLVM_UNKNOWN, Row, refusal, rows
from fastbpf.asm.text.log import is_log
from fastbpf.asm.text.statement import Unread
from fastbpf.asm.text.tokens import StatementError
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf.asm.code import Code

_MAP = re.compile(r"= map\[([\w.]+)\]")
# behind these the code does not go on
_ENDS = {JMP | EXIT, JMP | JA, GOTOL, GOTOX}


def read_code(text: str, maps: Mapping[str, object], file: str) -> Code:
    """What `parse` gives."""
    for name, map in maps.items():
        try:
            map_object(map)
        except OperandError as refused:
            raise AsmError(f"maps: {name}: {refused}") from None
    in_log = is_log(text.split("\n"))
    lines = list(rows(text, file, is_log=in_log))
    labels = {label.name for row in lines for label in row.labels}
    _check_maps(lines, maps, file, text)
    placed = [(row, _instruction(row, labels, maps, file, text, in_log=in_log)) for row in lines if row.statement]
    if not placed:
        raise AsmError(f"{file}: there is no instruction in this text")
    if all(row.number is not None for row, _ in placed):
        placed = _ordered(placed, file)
    rest = [label for row in lines if not row.statement for label in row.labels]
    code = assemble([[*row.labels, insn] for row, insn in placed], rest)
    if in_log:
        _check_ends(code, placed, file, text)
    return code


def _instruction(
    row: Row, labels: set[str], maps: Mapping[str, object], file: str, text: str, *, in_log: bool
) -> Instruction:
    if row.statement == LLVM_UNKNOWN and len(row.raw) >= 8:
        (insn,) = decoded(row.raw)
        return Instruction(insn.opcode, insn.dst, insn.src, insn.off, insn.imm, source=Source(file, row.line))
    try:
        insn = read(Unread(row.statement, row.raw, labels, maps, Source(file, row.line), in_log=in_log))
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
        remedy = f"write its file descriptor, map[fd:5], or give parse() maps={{{shown}}}"
        reason = f"there is no map {name}{nearest(name, maps)}; {remedy}"
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


def _check_ends(code: Code, placed: list[tuple[Row, Instruction]], file: str, text: str) -> None:
    # The log of a refused program shows no more than what the verifier came to see.
    for (row, _), (slot, insn) in zip(placed, code.placed(), strict=True):
        ways = [] if insn.opcode in _ENDS else [slot + insn.slots]
        if insn.distance is not None:
            ways.append(slot + 1 + insn.distance)
        for to in ways:
            if not 0 <= to < len(code):
                beyond = f"a slot that the log does not show, {to - slot:+d} from here"
                reason = f"the code goes on to {beyond}; the log of a program that the kernel takes has all of it"
                raise refusal(file, text, row.line, row.statement, reason)
