"""Mistakes in a program, found before the kernel sees it: `code.check("xdp")`.

The check follows paths through the program as the kernel's verifier does. A path is certain as long as there are
numbers, for all that comes from outside, with which a run would take it. The verifier lets no run do what it forbids,
and so it has to refuse what is wrong on a certain path: that makes an error. Everything else is a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbpf.asm.check.finding import Finding

if TYPE_CHECKING:
    from fastbpf.asm.code import Code
    from fastbpf.kernel_version import KernelVersion

__all__ = ["Finding", "check"]


def check(
    code: Code, prog_type: str, kernel: str | int | tuple[int, int] | KernelVersion | None = None
) -> tuple[Finding, ...]:
    """What is wrong with a program of that type, sorted by slot. See `Code.check`.

    >>> from fastbpf.asm import assemble, call, exit_, mov, r0, r1
    >>> for finding in check(assemble(call.ktime_get_ns(), mov(r0, r1), exit_()), "xdp"):
    ...     print(finding.severity, finding.slot, finding.text)
    error 1 r0 = r1
    """
    from fastbpf.asm.check.availability import OLDEST
    from fastbpf.asm.check.cfg import Graph
    from fastbpf.asm.check.explore import Explorer
    from fastbpf.asm.check.walk import Walk
    from fastbpf.asm.context.access import accesses
    from fastbpf.asm.opcode import PSEUDO_MAP_VALUE, WIDE
    from fastbpf.helpers.prototypes import prototype
    from fastbpf.kernel_version import KernelVersion

    first = prototype(1)
    if first is not None:
        first.allows(prog_type)  # refuses a type that does not exist
    graph = Graph(code)
    version = None if kernel is None else KernelVersion.of(kernel)
    if version is not None and version < OLDEST:
        raise ValueError(f"kernel {version}: what kernels before {OLDEST} refuse is not known here; name a later one")
    walk = Walk(graph, prog_type, version, accesses(prog_type))
    for slot, kind, text in graph.mistakes():
        walk.note(slot, kind, text, error=kind != "unreached" or not graph.throws)
    for slot, insn in graph.placed():
        # the kernel puts the address in before it follows any path
        misplaced = insn.kind == (WIDE, PSEUDO_MAP_VALUE) and walk.map(insn).misplaced(insn.imm >> 32 & 0xFFFFFFFF)
        if misplaced:
            walk.note(slot, "place", misplaced, error=True)
    Explorer(walk).run()
    return tuple(walk.findings())
