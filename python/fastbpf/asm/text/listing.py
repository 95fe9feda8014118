"""Code as a listing: numbered lines as the verifier's log and `bpftool prog dump xlated` have them, and labels."""

from __future__ import annotations

from fastbpf.asm.text.words import quoted
from fastbpf.asm.text.writer import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastbpf.asm.code import Code
    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.source import Source


# Where a comment begins, as in the verifier's log: far enough to the right, in steps.
def _column(line: str) -> int:
    return max(40, (len(line) + 11) // 8 * 8)


def listing(
    code: Code,
    *,
    bytes: bool = False,  # the word that people know
    sources: bool = False,
    write: Callable[[Instruction, str | None], str] = write,
) -> str:
    """The listing of `code`; `bytes` and `sources` as `Code.text` has them, `write` gives the text of an instruction.

    A map goes by its name, and one that has none, or another's, by `map1`, `map2` … in order of first use.
    """
    lines: list[str] = []
    labels: dict[int, list[str]] = {}
    for name, slot in code.labels.items():
        labels.setdefault(slot, []).append(quoted(name))
    maps = _map_names(code)
    source: Source | None = None
    for slot, insn in code.placed():
        lines += [f"{name}:" for name in labels.get(slot, ())]
        if sources and insn.source is not None and insn.source != source:
            lines.append(_source_line(insn.source))
        source = insn.source
        line = f"{slot:4}: ({insn.opcode:02x}) {write(insn, maps.get(id(insn.map)))}"
        if labels and (distance := insn.distance) is not None and (to := labels.get(slot + 1 + distance)):
            line = f"{line:<{_column(line)}}; {to[0]}"
        lines.append(line)
        if bytes:
            # in a line of their own, as bpftool's "opcodes" has them
            lines.append(f"       {insn.__bytes__().hex(' ')}")
    # a label may stand behind the last instruction
    lines += [f"{name}:" for name in labels.get(len(code), ())]
    return "\n".join(lines)


def _map_names(code: Code) -> dict[int, str]:
    names: dict[int, str] = {}
    free = _numbered({str(getattr(map, "name", "")) for map in code.maps})
    for map in code.maps:
        name = str(getattr(map, "name", ""))
        names[id(map)] = name if name and name not in names.values() else next(free)
    return names


def _numbered(taken: set[str]) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        if f"map{number}" not in taken:
            yield f"map{number}"


def _source_line(source: Source) -> str:
    from linecache import getline

    # as the verifier's log shows lines of C
    text = getline(source.file, source.line).strip()
    return f"; {text} @ {source}" if text else f"; @ {source}"
