"""What code names: the kernel's functions, variables and members of structs, and its own functions, for callbacks."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from fastbpf.asm.opcode import CALLS, PSEUDO_CALL, PSEUDO_FUNC, PSEUDO_KFUNC_CALL, WIDE
from fastbpf.asm.refusal import nearest
from fastbpf.errors import AsmError, KernelError, LayoutError

if TYPE_CHECKING:
    from fastbpf.asm import Code, Instruction

__all__ = ["btf_id", "functions", "offsetof"]

# include/uapi/linux/btf.h
_STRUCT, _UNION, _FUNC, _VAR = 4, 5, 12, 14
# Instructions that name one of the program's own functions.
_SUBPROGRAMS: Final = {(CALLS, PSEUDO_CALL), (WIDE, PSEUDO_FUNC)}


def btf_id(insn: Instruction) -> int:
    """The number that the running kernel gives to the function or variable which the instruction names.

    Raises:
        AsmError: it has none of that name.
        KernelError: it has no BTF to look into (CONFIG_DEBUG_INFO_BTF).
    """
    from fastbpf import _native

    name = str(insn.label)
    called = insn.kind == (CALLS, PSEUDO_KFUNC_CALL)
    # A wide load takes the address of either.
    for kind in (_FUNC,) if called else (_VAR, _FUNC):
        if (found := _native.btf_id(name, kind)) is not None:
            return found
    if called:
        # Kernels before 6.10 do not tell which of their functions are for programs.
        known = _native.btf_names(_FUNC, "bpf_kfunc") or [
            one for one in _native.btf_names(_FUNC) if one.startswith("bpf_")
        ]
        what = "function of that name, not counting those of its modules"
    else:
        known = _native.btf_names(_VAR)
        what = "variable of that name in its BTF, which has the per-CPU ones"
    if not known:
        raise _no_btf(name)
    where = f"{insn.source}: " if insn.source else ""
    raise AsmError(f"{where}{insn!r}: this kernel has no {what}{nearest(name, known)}")


def offsetof(type: str, member: str) -> int:
    """Where the running kernel's struct or union has a member, in bytes: what C's `offsetof` is for a header's.

    Kernels differ in this; code that is given these offsets is for the kernel that was asked.

    Args:
        type: the name of a struct or union, with or without that word in front.
        member: the name of a member; dots lead into members that are themselves structs or unions. What is behind a
            pointer is in another place: read the pointer, then ask for the offset there.

    Raises:
        LayoutError: there is no such type or member, with the nearest names; or it is no whole number of bytes.
        KernelError: the kernel has no BTF to look into (CONFIG_DEBUG_INFO_BTF).

    >>> import fastbpf as fb
    >>> from fastbpf.asm import *
    >>> from fastbpf.blocks import memory
    >>> parent = [
    ...     call.get_current_task(),
    ...     memory.read_kernel(fp - 8, 8, r0 + fb.offsetof("task_struct", "real_parent")),
    ...     ldxdw(r6, fp, -8),
    ...     memory.read_kernel(fp - 8, 4, r6 + fb.offsetof("task_struct", "tgid")),
    ... ]
    >>> fb.offsetof("in6_addr", "in6_u.u6_addr32")
    0
    >>> fb.offsetof("task_struct", "tgidd")
    Traceback (most recent call last):
        ...
    fastbpf.errors.LayoutError: struct task_struct has no member 'tgidd'; did you mean "tgid"?

    Source: Documentation/bpf/btf.rst.
    """
    from fastbpf import _native

    words = type.split()
    kinds = {"struct": _STRUCT, "union": _UNION}
    if len(words) == 2 and words[0] in kinds:
        kinds = {words[0]: kinds[words[0]]}
    name = words[-1] if words else ""
    asked = ((word, _native.btf_id(name, kind) if name else None) for word, kind in kinds.items())
    what, number = next(((f"{word} {name}", number) for word, number in asked if number is not None), ("", 0))
    if not what:
        known = [one for kind in kinds.values() for one in _native.btf_names(kind) if one]
        if not known:
            raise _no_btf(type)
        raise LayoutError(f"this kernel has no {' or '.join(kinds)} {name!r}{nearest(name, known)}")
    place = bits = 0
    path = ""
    for part in member.split("."):
        if (members := _native.btf_members(number)) is None:
            raise LayoutError(
                f"{what} has no members in {path!r}, which is neither struct nor union; if it is a pointer, read that "
                f"first, and what it points to at an offset of its own"
            )
        found = {one: (at, width, id) for one, at, width, id in members}
        if part not in found:
            whole = f"{what} has no member {part!r}" + (f" in {path!r}" if path else "")
            raise LayoutError(f"{whole}{nearest(part, found)}")
        at, bits, number = found[part]
        place += at
        path = f"{path}.{part}" if path else part
    if bits:
        raise LayoutError(f"{member!r} of {what} is a bit field, {bits} wide from bit {place} on: no whole bytes")
    return place // 8


def functions(code: Code, name: str) -> list[tuple[int, str]]:
    """The slots where the program and its subprograms begin, with their names, if one is called back; else none.

    The kernel wants to be told of callbacks (Linux 5.13, kernel/bpf/verifier.c, check_ld_imm), and then of all.
    """
    placed = [(slot, insn) for slot, insn in code.placed() if insn.kind in _SUBPROGRAMS]
    if all(insn.opcode != WIDE for _, insn in placed):
        return []
    named = {slot: label for label, slot in reversed(code.labels.items())}
    starts = sorted({slot + 1 + (insn.distance or 0) for slot, insn in placed} - {0})
    return [(0, _identifier(name or "main")), *((at, _identifier(named.get(at, f"sub_{at}"))) for at in starts)]


def _no_btf(name: str) -> KernelError:
    text = f"the kernel has no BTF, so {name} cannot be found; use one with CONFIG_DEBUG_INFO_BTF"
    return KernelError(errno.ENOENT, text)


# A name as BTF takes it (kernel/bpf/btf.c, btf_name_valid_identifier): a C name of at most 127 characters.
def _identifier(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:126]
    return f"_{plain}" if plain[:1].isdigit() else plain
