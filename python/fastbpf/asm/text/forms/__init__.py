"""One statement of text as an instruction: the kernel's text and LLVM's, which differ in little.

>>> from fastbpf.asm.text.statement import Unread
>>> read(Unread("*(u64 *)(r10 -16) = r0")), read(Unread("r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)"))
(stxdw(fp, -16, r0), atomic_fetch_add(r1, 8, r2))
"""

from __future__ import annotations

import re

from fastbpf.asm.refusal import nearest
from fastbpf.asm.text.form import FORMS
from fastbpf.asm.text.forms import alu, atomic, calls, jump, memory, wide  # noqa: F401  # each enters its forms
from fastbpf.asm.text.tokens import StatementError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.text.statement import Unread

_WORD = re.compile(r"\.?\w+")
_REGISTER = re.compile(r"[rw][0-9]")
_SAMPLES = (
    "if r0 == 0x0 goto pc+1",
    "goto pc+1",
    "gotol pc+1",
    "gotox r1",
    "may_goto pc+1",
    "call bpf_ktime_get_ns#5, call pc+1",
    "exit",
    "lock *(u64 *)(r1 +0) += r2",
    "*(u64 *)(r10 -8) = r1, *(u32 *)(r10 -8) = 5",
    "store_release((u64 *)(r1 +0), r2)",
)


def read(unread: Unread) -> Instruction:
    """The instruction that a statement is. Raises StatementError."""
    text = unread.text
    for form, build in FORMS.get(text[0], ()):
        found = form.fullmatch(text)
        if found:
            return build(unread, *found.groups())
    return _not_understood(text)


def reads(text: str) -> bool:
    """Whether a text has the form of a statement."""
    return any(form.fullmatch(text) for form, _ in FORMS.get(text[0], ()))


def _not_understood(text: str) -> NoReturn:
    word = _WORD.match(text)
    first = word[0] if word else text[0]
    sample = next((sample for sample in _SAMPLES if sample.startswith(first)), "")
    if not sample and _REGISTER.match(text):
        sample = "r1 = r2, r1 += 5, w1 = 5, r1 = *(u64 *)(r10 -8), r1 = -r1"
    if sample:
        raise StatementError(text, f"this is no instruction; one that begins so is written: {sample}")
    raise StatementError(first, f"{first} begins no instruction{nearest(first, [s.split()[0] for s in _SAMPLES])}")
