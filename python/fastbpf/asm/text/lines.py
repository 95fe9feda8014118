"""Lines of text: which have an instruction, where it stands, and what belongs to comments, tools and logs."""

from __future__ import annotations

import re

from fastbpf.asm.instruction import Label
from fastbpf.asm.source import Source
from fastbpf.asm.text.tokens import StatementError, name_of
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_COMMENT = re.compile(r"\s*(?:;|//|(?:^|(?<=\s))#).*$")
_SLOT = r"(?:[0-9a-f]{2} ){7}[0-9a-f]{2}"
_LINE = re.compile(
    r"(?:(?P<number>\d+):\s*)?"
    rf"(?:(?P<raw>{_SLOT}(?: {_SLOT})?)(?:\s+|$))?"
    # which registers are live, in the verifier's log since Linux 6.16
    r"(?:[.0-9]{10,11} )?"
    r"(?:\((?P<opcode>[0-9a-f]{2})\)\s*)?"
    r"(?P<statement>.*)"
)
_LABEL = re.compile(r'("(?:\\.|[^"\\])*"|[A-Za-z_.$][\w.$]*)\s*:\s*')
# a branch in the verifier's log, and behind it the state of the slot that comes next: "goto pc-2 2: R6=1 R10=fp0"
_LOG_STATE = re.compile(r"\s\d+: (?:frame\d+: )?R\d+[_=].*$")
# LLVM's "0000000000000000 <main>:", and where its branches go: "goto +0x1 <LBB0_2>"
_LLVM_LABEL = re.compile(r"[0-9a-f]{8,16} <(.+)>:")
# what an LLVM that is older than the instruction shows, after its bytes
LLVM_UNKNOWN = "<unknown>"
_LLVM_TARGET = re.compile(r"\s+<[\w.$+]+>$")
# no code: the signature of a function in what bpftool shows, and what stands around the code in LLVM's output
_AROUND = re.compile(r"\w.*\(.*\)\s*:|Disassembly of section .*:|.*:\s+file format .*|\.text")
# What only the verifier's log has. Where a line of it stands, all that has no number and opcode is the log's, too.
_LOG = re.compile(
    r"R\d+(?:_[a-z]+)?=\S.*|R\d+ [!a-z].*|frame\d+: .*|from \d+ to \d+.*|func#\d+ @\d+|Func#\d+ .*|Validating \w+\(\).*"
    r"|mark_precise: .*|regs=.*|last_idx \d+.*|parent (?:didn't|already) .*|propagating r.*|Live regs before insn:"
    r"|returning from callee:|to caller at \d+:|processed \d+ insns.*|verification time \d+.*|stack depth \d+.*"
    r"|\(\d+\) (?:frame|live) .*|-- (?:BEGIN|END) .* LOG --"
)


class Row:
    """A line with an instruction: where it stands, what it says, and the labels before it."""

    __slots__ = ("labels", "line", "number", "raw", "statement")

    def __init__(self, line: int, number: int | None, raw: bytes, statement: str, labels: list[Label]) -> None:
        self.line = line
        self.number = number
        self.raw = raw
        self.statement = statement
        self.labels = labels


def rows(text: str, file: str) -> Iterator[Row]:
    """The lines with instructions; the last may have none, only the labels that stand at the end."""
    lines = text.split("\n")
    labels: list[Label] = []
    is_log = any(_LOG.fullmatch(line) for line in map(str.strip, lines))
    for index, whole in enumerate(lines, 1):
        line = _without_comment(whole).strip()
        if not line or _AROUND.fullmatch(line):
            continue
        if found := _LLVM_LABEL.fullmatch(line):
            labels.append(Label(found[1], Source(file, index)))
            continue
        while not is_log and (found := _LABEL.match(line)):
            try:
                name = name_of(found[1])
            except StatementError as refused:
                raise refusal(file, text, index, refused.token, str(refused)) from None
            labels.append(Label(name, Source(file, index)))
            line = line[found.end() :]
        found = _LINE.fullmatch(line)
        if not found:
            continue
        number, raw, opcode, statement = found.groups()
        if not statement or _LOG.fullmatch(statement) or (is_log and not (number and opcode)):
            # bytes in a line of their own belong to the instruction before
            continue
        if statement[-1] == ">" and statement != LLVM_UNKNOWN:
            statement = _LLVM_TARGET.sub("", statement)
        if is_log:
            statement = _LOG_STATE.sub("", statement)
        given = bytes.fromhex(raw or opcode or "")
        yield Row(index, int(number) if number else None, given, statement, labels)
        labels = []
    if labels:
        yield Row(len(lines), None, b"", "", labels)


def refusal(file: str, text: str, number: int, token: str, reason: str) -> AsmError:
    """The error that shows the line of that number, and points at the words that it is about."""
    line = text.split("\n")[number - 1].strip()
    at = line.find(token)
    caret = f"\n    {' ' * at}^" if at >= 0 else ""
    return AsmError(f"{file}:{number}: {reason}\n    {line}{caret}")


def _without_comment(line: str) -> str:
    if not (";" in line or "#" in line or "//" in line):
        return line
    bare = _QUOTED.sub(lambda found: "_" * len(found[0]), line) if '"' in line else line
    found = _COMMENT.search(bare)
    return line[: found.start()] if found else line
