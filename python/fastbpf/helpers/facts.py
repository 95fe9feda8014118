"""The facts of the kernel's 211 helpers, as they stand in helpers.tsv: a line a helper, the first is number 1.

What is known of a helper stands there once. `names`, `prototypes` and `registry` read it, each as much as it needs:

    name          without `bpf_`
    since         the first kernel; ids were handed out in order, so it never decreases
    returns       the C type
    kind          what the verifier makes of the result, see Prototype.returns_kind
    flags         gpl, refined, acquires=…, releases=…, config=… (what the kernel must be built with), lockdown=… (the
                  mode that forbids it), or "-"
    parameters    C declaration and kind of each, see prototypes.py
    program types, category, capability, description
"""

from __future__ import annotations

# open(): pathlib takes longer to import than this does to read.
with open(f"{__file__.removesuffix('.py').removesuffix('facts')}helpers.tsv", encoding="utf-8") as _file:  # noqa: PTH123
    _COLUMNS, *_lines = _file.read().splitlines()

#: The lines, the columns split: `LINES[0]` is helper 1.
LINES: tuple[tuple[str, ...], ...] = tuple([tuple(line.split("\t")) for line in _lines])
del _lines
