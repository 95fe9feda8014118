"""Ring buffers: reserve room for a record, fill it, submit it; or copy a record that is elsewhere. Linux 5.8.

A program that reserves must submit or discard on every way to its end. The record holds what was there before: fill all
of it (`memory.zero`, `memory.init`), or whoever reads the ring sees old memory of the kernel's.

>>> import fastbpf as fb
>>> from fastbpf.asm import *
>>> from fastbpf.blocks import ringbuf
>>> events = fb.MapSpec("ringbuf", max_entries=4096, name="events")
>>> print(
...     assemble(
...         ringbuf.reserve(events, 16, r6, fail="full"),
...         stdw(r6, 0, 1),
...         stdw(r6, 8, 2),
...         ringbuf.submit(r6),
...         label("full"),
...         mov(r0, 0),
...         exit_(),
...     )
... )
   0: (18) r1 = map[events]
   2: (b7) r2 = 16
   3: (b7) r3 = 0
   4: (85) call bpf_ringbuf_reserve#131
   5: (15) if r0 == 0x0 goto pc+6       ; full
   6: (bf) r6 = r0
   7: (7a) *(u64 *)(r6 +0) = 1
   8: (7a) *(u64 *)(r6 +8) = 2
   9: (bf) r1 = r6
  10: (b7) r2 = 0
  11: (85) call bpf_ringbuf_submit#132
full:
  12: (b7) r0 = 0
  13: (95) exit
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import integer, register, within
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import block
from fastbpf.blocks.maps import known
from fastbpf.blocks.operand import BY_CALLS, moved, place, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.asm.operands import MapObject
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Operand, Place

__all__ = ["AVAIL_DATA", "CONS_POS", "FORCE_WAKEUP", "NO_WAKEUP", "PROD_POS", "RING_SIZE"]
__all__ += ["discard", "output", "query", "reserve", "submit"]

# include/uapi/linux/bpf.h
NO_WAKEUP: Final = 1  # BPF_RB_NO_WAKEUP: do not wake who waits for records
FORCE_WAKEUP: Final = 2  # BPF_RB_FORCE_WAKEUP: wake them, even when older records wait unread
AVAIL_DATA: Final = 0  # BPF_RB_AVAIL_DATA: bytes that are not read yet
RING_SIZE: Final = 1  # BPF_RB_RING_SIZE
CONS_POS: Final = 2  # BPF_RB_CONS_POS: bytes that have been read, ever
PROD_POS: Final = 3  # BPF_RB_PROD_POS: bytes that have been reserved, ever

# each record has a header of 8 bytes, and begins at a multiple of 8; a ring is never full to its last byte
_HEADER = 8


@checked
def reserve(ring: MapObject | Register, size: int, dst: Register = r0, *, fail: str | None = None) -> Block:
    """Reserve room for a record: dst = its address, or 0 when the ring is full.

    Emits: r1 = ring; r2 = size; r3 = 0; call ringbuf_reserve; with `fail`: if r0 == 0 goto fail; dst = r0.

    Clobbers r0 to r5. On the way to `fail` nothing is reserved, and dst is as it was (unless it is one of those).
    Raises AsmError for a map that is no ring buffer, and a size that the ring can never hold.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import r6
    >>> from fastbpf.blocks import ringbuf
    >>> events = fb.MapSpec("ringbuf", max_entries=4096)
    >>> ringbuf.reserve(events, 64, r6, fail="full")
    <Block ringbuf.reserve: clobbers r0, r1, r2, r3, r4, r5, r6; fails to "full">
    >>> ringbuf.reserve(events, 5000)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: ...: ...: a record of 5000 bytes never fits: the ring of 4096 bytes holds 4080 at most
    """
    _ring(ring, size)
    checks = [] if fail is None else [jeq(r0, 0, fail)]
    steps = call.ringbuf_reserve(ring, size, 0)
    return block("ringbuf.reserve", steps, checks, moved(dst), clobbers=(*BY_CALLS, dst), fails_to=fail)


@checked
def submit(record: Register, flags: Operand = 0) -> Block:
    """Submit a record that was reserved: whoever reads the ring gets it.

    Emits: r1 = record; r2 = flags; call ringbuf_submit.

    `flags` is 0 (wake readers when they have read all before it), NO_WAKEUP or FORCE_WAKEUP. Clobbers r0 to r5; the
    record is lost.

    >>> from fastbpf.asm import assemble, r6
    >>> from fastbpf.blocks import ringbuf
    >>> print(assemble(ringbuf.submit(r6, ringbuf.NO_WAKEUP)))
       0: (bf) r1 = r6
       1: (b7) r2 = 1
       2: (85) call bpf_ringbuf_submit#132
    """
    register(record)
    return block("ringbuf.submit", call.ringbuf_submit(record, _wakeup(flags)), clobbers=BY_CALLS)


@checked
def discard(record: Register, flags: Operand = 0) -> Block:
    """Give a record that was reserved back: nobody gets it. Else as `submit`; calls ringbuf_discard.

    >>> from fastbpf.asm import r6
    >>> from fastbpf.blocks import ringbuf
    >>> ringbuf.discard(r6)
    <Block ringbuf.discard: clobbers r0, r1, r2, r3, r4, r5>
    """
    register(record)
    return block("ringbuf.discard", call.ringbuf_discard(record, _wakeup(flags)), clobbers=BY_CALLS)


@checked
def output(
    ring: MapObject | Register, data: Place, size: Operand, flags: Operand = 0, *, fail: str | None = None
) -> Block:
    """Copy a record of `size` bytes into the ring, from the stack or from what a register points to.

    Emits: r1 = ring; r2 = data; r3 = size; r4 = flags; call ringbuf_output; with `fail`: if r0 != 0 goto fail.

    r0 is 0, or a negative errno when the ring is full. `flags` as for `submit`. Clobbers r0 to r5.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import assemble, fp
    >>> from fastbpf.blocks import ringbuf
    >>> events = fb.MapSpec("ringbuf", max_entries=4096, name="events")
    >>> print(assemble(ringbuf.output(events, fp - 24, 24)))
       0: (18) r1 = map[events]
       2: (bf) r2 = r10
       3: (07) r2 += -24
       4: (b7) r3 = 24
       5: (b7) r4 = 0
       6: (85) call bpf_ringbuf_output#130
    """
    if type(size) is Register:
        _ring(ring, 1)
        place(data, 1, what="the record")
    else:
        _ring(ring, size)
        place(data, integer(size), what="the record")
    # as it was written, so that a register is moved and not added to
    steps = call.ringbuf_output(ring, data, size, _wakeup(flags))
    checks = [] if fail is None else [jne(r0, 0, fail)]
    return block("ringbuf.output", steps, checks, clobbers=BY_CALLS, fails_to=fail)


@checked
def query(ring: MapObject | Register, what: Operand = AVAIL_DATA, dst: Register = r0) -> Block:
    """Ask a ring how it is doing: dst = AVAIL_DATA, RING_SIZE, CONS_POS or PROD_POS.

    Emits: r1 = ring; r2 = what; call ringbuf_query; dst = r0.

    A snapshot, which may be old at once. Clobbers r0 to r5.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import assemble
    >>> from fastbpf.blocks import ringbuf
    >>> print(assemble(ringbuf.query(fb.MapSpec("ringbuf", max_entries=4096, name="events"))))
       0: (18) r1 = map[events]
       2: (b7) r2 = 0
       3: (85) call bpf_ringbuf_query#134
    """
    _ring(ring, 1)
    if type(what) is not Register:
        within(what, AVAIL_DATA, PROD_POS, "what is asked")
    return block("ringbuf.query", call.ringbuf_query(ring, what), moved(dst), clobbers=(*BY_CALLS, dst))


def _ring(ring: object, size: object) -> None:
    count = size_of(size, (1 << 30) - 1, "the size of a record")
    spec = known(ring)
    if spec is None:
        return
    if spec.type != "ringbuf":
        raise OperandError(f"{show(spec)} is no ring buffer but of type {spec.type}")
    most = spec.max_entries - 2 * _HEADER
    if count > most:
        room = f"the ring of {spec.max_entries} bytes holds {most} at most"
        raise OperandError(f"a record of {count} bytes never fits: {room}")


def _wakeup(flags: Operand) -> Operand:
    if type(flags) is not Register:
        within(flags, 0, FORCE_WAKEUP, "flags, 0, NO_WAKEUP or FORCE_WAKEUP,")
    return flags
