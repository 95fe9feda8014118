"""Strings of the kernel's and of user space, read safely.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import strings
>>> print(assemble(strings.read_user(fp - 256, 256, r6, fail="out"), label("out"), mov(r0, 0), exit_()))
   0: (bf) r1 = r10
   1: (07) r1 += -256
   2: (b7) r2 = 256
   3: (bf) r3 = r6
   4: (85) call bpf_probe_read_user_str#114
   5: (c5) if r0 s< 0x0 goto pc+0       ; out
out:
   6: (b7) r0 = 0
   7: (95) exit
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.refusal import checked
from fastbpf.blocks.block import block
from fastbpf.blocks.operand import BY_CALLS, extent, place, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Place

__all__ = ["read_kernel", "read_user"]


@checked
def read_kernel(at: Place, size: int, source: Place, *, fail: str | None = None) -> Block:
    """Read a string of the kernel's, up to its NUL, into a place of `size` bytes: r0 = its length, the NUL included.

    Emits: r1 = at; r2 = size; r3 = source; call probe_read_kernel_str; with `fail`: if r0 < 0, signed, goto fail.

    One that is longer is cut off, and ends in a NUL all the same. r0 is a negative errno when there is no such memory.
    What is behind the NUL may be anything. Clobbers r0 to r5.
    Linux 5.5.

    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import strings
    >>> strings.read_kernel(fp - 64, 64, r6, fail="out")
    <Block strings.read_kernel: clobbers r0, r1, r2, r3, r4, r5; writes fp - 64 to fp - 1; fails to "out">
    """
    return _read("read_kernel", "probe_read_kernel_str", at, size, source, fail)


@checked
def read_user(at: Place, size: int, source: Place, *, fail: str | None = None) -> Block:
    """Read a string of the current process's; else as `read_kernel`. Calls probe_read_user_str, Linux 5.5.

    What is not in memory now cannot be read: the read fails.

    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import strings
    >>> strings.read_user(fp - 600, 600, r6)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: ...: the place of 600 bytes at fp - 600 is not within the stack, fp - 512 to fp - 1; ...
    """
    return _read("read_user", "probe_read_user_str", at, size, source, fail)


def _read(name: str, helper: str, at: Place, size: int, source: Place, fail: str | None) -> Block:
    target, origin = place(at, size_of(size)), place(source, 1, what="the source")
    steps = getattr(call, helper)(target, size, origin)
    checks = [] if fail is None else [jslt(r0, 0, fail)]
    return block(f"strings.{name}", steps, checks, clobbers=BY_CALLS, stack=extent(target, size), fails_to=fail)
