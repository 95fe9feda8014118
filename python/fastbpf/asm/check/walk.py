"""What all steps of one check share: the program, what is known around it, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastbpf.asm.check.finding import Finding
from fastbpf.asm.check.maps import MapFacts
from fastbpf.asm.check.values import ANYTHING, Released, Unset
from fastbpf.asm.operands import REGISTERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastbpf.asm.check.cfg import Graph
    from fastbpf.asm.check.state import State
    from fastbpf.asm.check.values import Value
    from fastbpf.asm.context.access import Access
    from fastbpf.asm.instruction import Instruction
    from fastbpf.kernel_version import KernelVersion

# Program types whose main program may end without a result, or begins with other arguments than a context.
OPEN_ENDED: Final = frozenset({"ext", "struct_ops", "lsm"})


# What is spent on a program; what is left then is not looked at.
_EFFORT: Final = 1_000_000


class Walk:
    """One check of one program."""

    def __init__(self, graph: Graph, prog_type: str, kernel: KernelVersion | None, access: Access | None) -> None:
        self.graph = graph
        self.prog_type = prog_type
        self.kernel = kernel
        self.access = access
        self._spent = 0
        self._maps: dict[int, MapFacts] = {}
        self._found: dict[tuple[int, str], tuple[bool, str]] = {}

    @property
    def exhausted(self) -> bool:
        """Whether this program has taken all the time that it gets."""
        return self._spent >= _EFFORT

    def spend(self, effort: int) -> None:
        """Counts what is done, in units that take roughly a microsecond."""
        self._spent += effort

    def report(self, state: State, kind: str, message: str, *, everywhere: bool = True) -> None:
        """Notes a mistake: an error where the path is certain and kernels refuse it `everywhere`."""
        self.note(state.slot, kind, message, error=everywhere and state.certain)

    def note(self, slot: int, kind: str, message: str, *, error: bool) -> None:
        """Notes a mistake, one of a kind for each instruction; an error replaces a warning."""
        old = self._found.get((slot, kind))
        if old is None or error > old[0]:
            self._found[slot, kind] = error, message

    def findings(self) -> Iterable[Finding]:
        """What was found, in the order of the program."""
        for (slot, _), (error, message) in sorted(self._found.items()):
            insn = self.graph.at(slot)
            yield Finding("error" if error else "warning", slot, insn, message, insn.source)

    def read(self, state: State, number: int) -> Value:
        """What a register holds; it must have been set."""
        value = state.registers[number]
        if type(value) is Unset:
            self.report(state, f"unset {number}", self._unset(state.slot, number, value))
            # said once
            state.registers[number] = ANYTHING
            return ANYTHING
        if type(value) is Released:
            self.report(state, f"released {number}", self.released(number, value), everywhere=False)
        return value

    def released(self, number: int, value: Released) -> str:
        """What to say of the use of a record that is gone."""
        return f"{REGISTERS[number]} points to the record that was given back {self.where(value.by)}; it is gone"

    def where(self, slot: int) -> str:
        """An instruction, by its line if that is known."""
        source = self.graph.at(slot).source
        return f"at {source}" if source else f"in slot {slot}"

    def map(self, insn: Instruction) -> MapFacts:
        """What is known of the map that an instruction names."""
        if id(insn.map) not in self._maps:
            self._maps[id(insn.map)] = MapFacts(insn.map)
        return self._maps[id(insn.map)]

    def _unset(self, slot: int, number: int, value: Unset) -> str:
        name = REGISTERS[number]
        if value.by is None:
            return f"{name} is read before anything was written to it; set it on every path that leads here"
        if block := self._block(value.by, slot):
            clobbered = ", ".join(map(repr, block.clobbers))
            where = f" at {block.source}" if block.source else ""
            return f"{name} is read after {block.name}{where}, which clobbers {clobbered}; keep it in another before"
        call = self.graph.at(value.by)
        if number == 0:
            return f"{name} is read after {called(call)}, which gives no result; set it first"
        return (
            f"{name} is read after {called(call)}, which leaves r1 to r5 undefined; keep it in r6 to r9 before the call"
        )

    # The outermost building block that has one slot and not the other: what its user sees of it.
    def _block(self, inside: int, outside: int) -> Any:
        for first, end, piece in self.graph.pieces:
            if first <= inside < end and not first <= outside < end and hasattr(piece, "clobbers"):
                return piece
        return None


def called(insn: Instruction) -> str:
    """A call, or the packet load that is one, as the kernel writes it."""
    from fastbpf.asm.text.writer import write

    return write(insn)
