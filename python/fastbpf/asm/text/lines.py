"""Lines of text: which have an instruction, where it stands, and what belongs to comments, tools and logs."""

from __future__ import annotations

import re

from fastbpf.asm.instruction import Label
from fastbpf.asm.source import Source
from fastbpf.asm.text import log
from fastbpf.asm.text.forms import reads
from fastbpf.asm.text.tokens import StatementError, name_of
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_QUOTED = re.compile(r'"(?:\\.|[^"\\])*(?:"|$)')
_COMMENT = re.compile(r";|//|(?:^|(?<=\s))#")
_SLOT = r"(?:[0-9a-f]{2} ){7}[0-9a-f]{2}"
_LINE = re.compile(
    r"(?:(?P<number>[0-9]{1,9}):\s*)?"
    rf"(?:(?P<raw>{_SLOT}(?: {_SLOT})?)(?:\s+|$))?"
    # which registers are live, in the verifier's log since Linux 6.16
    r"(?:[.0-9]{10,11} )?"
    r"(?:\((?P<opcode>[0-9a-f]{2})\)\s*)?"
    r"(?P<statement>.*)"
)
_LABEL = re.compile(r'("(?:\\.|[^"\\])*"|[A-Za-z_.$][\w.$]*)\s*:\s*')
# LLVM's "0000000000000000 <main>:", and where its branches go: "goto +0x1 <LBB0_2>"
_LLVM_LABEL = re.compile(r"(?:[0-9a-f]{8,16} )?<(.+)>:")
# what an LLVM that is older than the instruction shows, after its bytes
LLVM_UNKNOWN = "<unknown>"
_LLVM_TARGET = re.compile(r"\s<[\w.$+]+>$")
# No code: the signature of a function in what bpftool shows, what stands around the code in LLVM's output, and
# directives that put nothing into it.
_AROUND = re.compile(
    r"\w[^(]*\(.*\)\s*:|Disassembly of section .*:|.*:\s+file format .*"
    r"|\.(?:text|section|file|ident|loc|globa?l|local|weak|hidden|type|size|p2align|addrsig\w*|cfi_\w+)(?:\s.*)?"
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


def rows(text: str, file: str, *, is_log: bool) -> Iterator[Row]:
    """The lines with instructions; the last may have none, only the labels that stand at the end."""
    lines = text.split("\n")
    labels: list[Label] = []
    loaded = log.wide_loads(text) if is_log else {}
    for index, whole in enumerate(lines, 1):
        line, comment = _parts(whole)
        if not line or _AROUND.fullmatch(line):
            continue
        if found := _LLVM_LABEL.fullmatch(line):
            labels.append(Label(found[1], Source(file, index)))
            continue
        try:
            while not is_log and (found := _LABEL.match(line)):
                labels.append(Label(name_of(found[1]), Source(file, index)))
                line = line[found.end() :]
            found = _LINE.fullmatch(line)
            if not found:
                continue
            number, raw, opcode, statement = found.groups()
            if not statement or (is_log and not (number and opcode)):
                # bytes in a line of their own belong to the instruction before; in a log, all else is the log's
                continue
            if comment and not opcode:
                _check_comment(comment)
            if statement[-1] == ">" and statement != LLVM_UNKNOWN:
                statement = _LLVM_TARGET.sub("", statement).rstrip()
            if is_log:
                statement = log.without_state(statement)
                if opcode == "18":
                    statement = log.wide_load(statement, loaded.get(number, ""))
        except StatementError as refused:
            raise refusal(file, text, index, refused.token, str(refused)) from None
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


def _parts(line: str) -> tuple[str, str]:
    # what stands before a comment, and the comment
    if ";" in line or "#" in line or "//" in line:
        bare = _QUOTED.sub(lambda found: "_" * len(found[0]), line) if '"' in line else line
        if found := _COMMENT.search(bare):
            return line[: found.start()].strip(), line[found.start() :]
    return line.strip(), ""


def _check_comment(comment: str) -> None:
    # what LLVM would read as one more instruction
    statement = comment[1:].partition(";")[0].strip()
    if comment[0] == ";" and statement and reads(statement):
        raise StatementError(comment, f"; begins a comment; give {statement} a line of its own, or begin it with //")
