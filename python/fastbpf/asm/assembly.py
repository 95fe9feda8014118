"""From instructions, labels and pieces to code that the kernel can load."""

from __future__ import annotations

from fastbpf.asm.code import Code, refused
from fastbpf.asm.instruction import Instruction, Label
from fastbpf.asm.opcode import FAR, NEAR, WIDE
from fastbpf.asm.operands import label_name
from fastbpf.asm.reach import stretched
from fastbpf.asm.refusal import checked, is_map, nearest, show
from fastbpf.asm.source import here
from fastbpf.asm.value import Value, fill
from fastbpf.errors import AsmError

__all__ = ["assemble", "piece"]

_TOO_DEEP = "the parts are nested too deeply, or a list contains itself"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias, TypeGuard

    from fastbpf.asm.source import Source
    from fastbpf.kernel_version import KernelVersion

    #: What `assemble` takes.
    Part: TypeAlias = Instruction | Label | "Piece" | Iterable["Part"]


class Piece(Value):
    """Parts whose labels are their own. See `piece`."""

    __match_args__ = ("parts", "export", "source")
    __slots__ = __match_args__
    parts: tuple[Part, ...]
    export: tuple[str, ...]
    source: Source | None

    def __init__(self, parts: tuple[Part, ...], export: tuple[str, ...], source: Source | None = None) -> None:
        fill(self, "parts", parts)
        fill(self, "export", export)
        fill(self, "source", source)

    def _content(self) -> tuple[object, ...]:
        return self.parts, self.export

    def __repr__(self) -> str:
        exported = f", export={list(self.export)}" if self.export else ""
        return f"piece(…{exported})"


@checked
def piece(*parts: Part, export: Iterable[str] = ()) -> Piece:
    """Parts whose labels are seen only by themselves, so that the same piece can stand in a program many times.

    Its branches go to labels of its own, else to those of what it stands in. The labels that `export` names are seen
    from there too. A piece is assembled where it stands, and gives no code by itself.

    >>> from fastbpf.asm import assemble, call, exit_, jne, label, mov, piece, r0, r6, sub
    >>> wait = piece(label("again"), sub(r6, 1), jne(r6, 0, "again"))
    >>> code = assemble(mov(r6, 5), wait, mov(r6, 9), wait, mov(r0, 0), exit_())
    >>> [insn.off for insn in code if insn.off]
    [-2, -2]
    """
    try:
        return Piece(tuple(_flat(parts)), _names(export), here())
    except RecursionError:
        raise AsmError(f"{here()}: {_TOO_DEEP}") from None


def assemble(*parts: Part, kernel: str | int | tuple[int, int] | KernelVersion | None = None) -> Code:
    """Put instructions and labels, in any nesting of iterables, into one row and turn labels into distances.

    A branch to a label that is more than 32767 slots away becomes one around a `gotol` (Linux 6.6). If `kernel`, such
    as "5.10", is one without it, that is refused; what else a kernel lacks, `Code.check` tells.

    Raises AsmError, with the number of the slot, the instruction and the line that wrote it, for a label that is
    unknown or stands twice, a branch out of reach, a part that is no instruction, and for no instruction at all.

    >>> from fastbpf.asm import assemble, exit_, ja, label, lddw, mov, r0
    >>> code = assemble(ja("end"), lddw(r0, 1 << 40), label("end"), [mov(r0, 0), exit_()])
    >>> len(code), bytes(code)[:8].hex()
    (5, '0500020000000000')
    """
    if len(parts) == 1 and type(parts[0]) is Code:
        return parts[0]
    if kernel is not None:
        from fastbpf.kernel_version import KernelVersion

        kernel = KernelVersion.of(kernel)
    row, scope = _Row(), _Scope(None)
    try:
        row.add(parts, scope)
    except RecursionError:
        raise AsmError(f"{here()}: {_TOO_DEEP}") from None
    if not row.instructions:
        raise AsmError(f"{here()}: assemble() needs at least one instruction")
    instructions, starts = row.resolve(kernel)
    labels = {name: starts[index] for name, (index, _) in scope.labels.items()}
    return Code(instructions, labels, [(starts[first], starts[end], part) for first, end, part in row.pieces])


class _Scope:
    # The labels of a piece, or of the whole, and the index of the instruction that each names.
    __slots__ = ("labels", "outer")

    def __init__(self, outer: _Scope | None) -> None:
        self.outer = outer
        self.labels: dict[str, tuple[int, Label]] = {}

    def find(self, name: str) -> int | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.labels:
                return scope.labels[name][0]
            scope = scope.outer
        return None

    def visible(self) -> Iterator[str]:
        scope: _Scope | None = self
        while scope is not None:
            yield from scope.labels
            scope = scope.outer


class _Row:
    # The instructions, the slot that each begins in and the end, those that go to a label, and the pieces.
    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.starts = [0]
        self.waiting: list[tuple[int, _Scope]] = []
        self.pieces: list[tuple[int, int, Piece]] = []

    def add(self, parts: Iterable[object], scope: _Scope) -> None:
        instructions, starts = self.instructions, self.starts
        end = starts[-1]
        for part in parts:
            if type(part) is Instruction:
                if part.label is not None and part.distance is not None:
                    self.waiting.append((len(instructions), scope))
                instructions.append(part)
                end += 2 if part.opcode == WIDE else 1
                starts.append(end)
            elif type(part) is Label:
                self._define(part, len(instructions), scope)
            elif isinstance(part, Piece):
                self._add_piece(part, scope)
                end = starts[-1]
            elif not _is_nest(part):
                raise AsmError(f"{here()}: instruction {end}: {_not_a_part(part)}")
            else:
                self.add(part, scope)
                end = starts[-1]

    def _define(self, label: Label, index: int, scope: _Scope) -> None:
        if label.name in scope.labels:
            first_index, first = scope.labels[label.name]
            place = first.source or f"instruction {self.starts[first_index]}"
            raise refused(self.starts[index], label, f"the label stands at {place} already")
        scope.labels[label.name] = index, label

    def _add_piece(self, part: Piece, scope: _Scope) -> None:
        inner, begin = _Scope(scope), self.starts[-1]
        first, place = len(self.instructions), len(self.pieces)
        self.add(part.parts, inner)
        self.pieces.insert(place, (first, len(self.instructions), part))
        for name in part.export:
            if name not in inner.labels:
                reason = f"the piece has no label({show(name)}) to export{nearest(name, inner.labels)}"
                raise refused(begin, part, reason)
            index, label = inner.labels[name]
            self._define(label, index, scope)

    def resolve(self, kernel: KernelVersion | None) -> tuple[list[Instruction], list[int]]:
        instructions, starts = self.instructions, self.starts
        targets: dict[int, int] = {}
        in_reach = True
        for index, scope in self.waiting:
            insn = instructions[index]
            name = str(insn.label)
            target = scope.find(name)
            if target is None:
                raise refused(starts[index], insn, f"there is no label({show(name)}){nearest(name, scope.visible())}")
            targets[index] = target
            distance = starts[target] - starts[index] - 1
            if -0x8000 <= distance < 0x8000 or (insn.opcode not in NEAR and insn.kind in FAR):
                instructions[index] = insn.goes(distance)
            else:
                in_reach = False
        return (instructions, starts) if in_reach else stretched(instructions, starts, targets, kernel)


# not to be looked into: text gives text for ever, a live map its keys
def _is_nest(part: object) -> TypeGuard[Iterable[Part]]:
    return hasattr(part, "__iter__") and not isinstance(part, (str, bytes)) and not is_map(part)


def _flat(parts: Iterable[Part]) -> Iterator[Part]:
    # as they are now: an iterator would be used up where the piece stands first
    for part in parts:
        if not isinstance(part, (Instruction, Label, Piece, Code)) and _is_nest(part):
            yield from _flat(part)
        else:
            yield part


def _names(names: object) -> tuple[str, ...]:
    given = (names,) if isinstance(names, str) else tuple(names)  # type: ignore[arg-type]  # label_name refuses others
    return tuple(label_name(name) for name in given)


def _not_a_part(part: object) -> str:
    if isinstance(part, str):
        return f"{show(part)} is not an instruction; a label is written label({show(part)})"
    if callable(part):
        return f"{show(part)} is not an instruction until it is called: {show(part)}(…)"
    return f"{show(part)} is not an instruction, a label, or an iterable of them"
