"""The current process: who it is, and going on for some only.

pid is what user space calls one, the number of the process (the kernel's tgid); tid is the number of the thread (the
kernel's pid).

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import process
>>> print(assemble(process.pid(r6), process.tid(r7)))
   0: (85) call bpf_get_current_pid_tgid#14
   1: (bf) r6 = r0
   2: (77) r6 >>= 32
   3: (85) call bpf_get_current_pid_tgid#14
   4: (bc) w7 = w0
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import REGISTERS, register, within, writable
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import block
from fastbpf.blocks.operand import BY_CALLS, extent, numeric, place, size_of, survives

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Operand, Place

__all__ = ["gid", "info", "only_gid", "only_pid", "only_tid", "only_uid", "pid", "tid", "uid"]

_THREAD, _USER = "get_current_pid_tgid", "get_current_uid_gid"


@checked
def info(thread: Register, user: Register, comm: Place | None = None, size: int = 16) -> Block:
    """All at once: thread = pid << 32 | tid; user = gid << 32 | uid; and the name, if `comm` says where.

    Emits: call get_current_pid_tgid; thread = r0; call get_current_uid_gid; user = r0; with `comm`: r1 = comm;
    r2 = size; call get_current_comm.

    `pid(dst, thread)`, `uid(dst, user)` and so on take the halves out. The name ends in a NUL and is 16 bytes at most.
    thread and user must be of r6 to r9. Clobbers r0 to r5. Linux 4.2.

    >>> from fastbpf.asm import fp, r6, r7
    >>> from fastbpf.blocks import process
    >>> process.info(r6, r7, comm=fp - 16)
    <Block process.info: clobbers r0, r1, r2, r3, r4, r5, r6, r7; writes fp - 16 to fp - 1>
    """
    for dst in (thread, user):
        writable(dst)
        survives(dst, "what the block finds")
    if thread == user:
        raise OperandError(f"{thread} cannot hold both")
    parts = [*getattr(call, _THREAD)(), mov(thread, r0), *getattr(call, _USER)(), mov(user, r0)]
    if comm is None:
        return block("process.info", parts, clobbers=(*BY_CALLS, thread, user))
    at = place(comm, size_of(size))
    if at.base in (thread, user):
        raise OperandError(f"comm={show(comm)}: {at.base} holds something else by then")
    survives(at, "the place of the name")
    name = call.get_current_comm(at, size)
    return block("process.info", parts, name, clobbers=(*BY_CALLS, thread, user), stack=extent(at, size))


@checked
def pid(dst: Register = r0, thread: Register | None = None) -> Block:
    """dst = the number of the current process; of what `info` found, if `thread` is given, and then without a call.

    Emits: call get_current_pid_tgid; dst = r0; dst >>= 32.

    With a call, clobbers r0 to r5. Linux 4.2; in programs of all types from 6.10 on.

    >>> from fastbpf.asm import r1, r6
    >>> from fastbpf.blocks import process
    >>> process.pid(r1, r6)
    <Block process.pid: clobbers r1>
    """
    return _half("pid", dst, thread, _THREAD, high=True)


@checked
def tid(dst: Register = r0, thread: Register | None = None) -> Block:
    """dst = the number of the current thread. Emits dst = (u32)r0 where `pid` shifts, else the same.

    >>> from fastbpf.asm import assemble, r1, r6
    >>> from fastbpf.blocks import process
    >>> print(assemble(process.tid(r1, r6)))
       0: (bc) w1 = w6
    """
    return _half("tid", dst, thread, _THREAD, high=False)


@checked
def uid(dst: Register = r0, user: Register | None = None) -> Block:
    """dst = the number of the current user; of what `info` found, if `user` is given, and then without a call.

    Emits: call get_current_uid_gid; dst = (u32)r0.

    With a call, clobbers r0 to r5. Linux 4.2.

    >>> from fastbpf.asm import assemble
    >>> from fastbpf.blocks import process
    >>> print(assemble(process.uid()))
       0: (85) call bpf_get_current_uid_gid#15
       1: (bc) w0 = w0
    """
    return _half("uid", dst, user, _USER, high=False)


@checked
def gid(dst: Register = r0, user: Register | None = None) -> Block:
    """dst = the number of the current user's group. Emits a shift by 32 where `uid` does not, else the same.

    >>> from fastbpf.asm import assemble
    >>> from fastbpf.blocks import process
    >>> print(assemble(process.gid()))
       0: (85) call bpf_get_current_uid_gid#15
       1: (77) r0 >>= 32
    """
    return _half("gid", dst, user, _USER, high=True)


@checked
def only_pid(pid: Operand, fail: str) -> Block:
    """Go on for one process only, a number or a register of r6 to r9; else go to `fail`.

    Emits: call get_current_pid_tgid; r0 >>= 32; if w0 != pid goto fail.

    Clobbers r0 to r5. Linux 5.1.

    >>> from fastbpf.asm import *
    >>> from fastbpf.blocks import process
    >>> print(assemble(process.only_pid(4711, fail="out"), label("out"), mov(r0, 0), exit_()))
       0: (85) call bpf_get_current_pid_tgid#14
       1: (77) r0 >>= 32
       2: (56) if w0 != 0x1267 goto pc+0    ; out
    out:
       3: (b7) r0 = 0
       4: (95) exit
    """
    return _only("only_pid", pid, fail, _THREAD, high=True)


@checked
def only_tid(tid: Operand, fail: str) -> Block:
    """Go on for one thread only; else as `only_pid`, without the shift.

    >>> from fastbpf.blocks import process
    >>> process.only_tid(4711, fail="out")
    <Block process.only_tid: clobbers r0, r1, r2, r3, r4, r5; fails to "out">
    """
    return _only("only_tid", tid, fail, _THREAD, high=False)


@checked
def only_uid(uid: Operand, fail: str) -> Block:
    """Go on for one user only, a number or a register of r6 to r9; else go to `fail`.

    Emits: call get_current_uid_gid; if w0 != uid goto fail.

    Clobbers r0 to r5. Linux 5.1.

    >>> from fastbpf.blocks import process
    >>> process.only_uid(1000, fail="out")
    <Block process.only_uid: clobbers r0, r1, r2, r3, r4, r5; fails to "out">
    """
    return _only("only_uid", uid, fail, _USER, high=False)


@checked
def only_gid(gid: Operand, fail: str) -> Block:
    """Go on for one group only; else as `only_uid`, after a shift by 32.

    >>> from fastbpf.blocks import process
    >>> process.only_gid(0, fail="out")
    <Block process.only_gid: clobbers r0, r1, r2, r3, r4, r5; fails to "out">
    """
    return _only("only_gid", gid, fail, _USER, high=True)


def _half(name: str, dst: Register, both: Register | None, helper: str, *, high: bool) -> Block:
    if both is not None:
        numeric(REGISTERS[register(both)], "what `info` found", "it is in the registers that `info` was given")
    source, calls, lost = (r0, getattr(call, helper)(), BY_CALLS) if both is None else (both, (), ())
    # to shift in place, nothing need be moved
    steps = [*([mov(dst, source)] if dst != source else []), rsh(dst, 32)] if high else [mov32(dst, source)]
    return block(f"process.{name}", calls, steps, clobbers=(*lost, dst))


def _only(name: str, wanted: Operand, fail: str, helper: str, *, high: bool) -> Block:
    if wanted in REGISTERS:
        survives(wanted, "what is compared")
        numeric(wanted, "what is compared", "ldxdw(r6, fp, -8) loads a number from the stack")
    else:
        within(wanted, 0, (1 << 32) - 1, "the number")
    shift = [rsh(r0, 32)] if high else []
    return block(
        f"process.{name}", getattr(call, helper)(), shift, jne32(r0, wanted, fail), clobbers=BY_CALLS, fails_to=fail
    )
