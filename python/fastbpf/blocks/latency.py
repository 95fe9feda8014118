"""Latency: how long something took, from one program to another, with a map of starts between them.

>>> import fastbpf as fb
>>> from fastbpf.asm import *
>>> from fastbpf.blocks import latency, process
>>> starts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1024, name="starts")
>>> begin = assemble([process.tid(), stxw(fp, -4, r0)], latency.start(starts, fp - 4, at=fp - 16), mov(r0, 0), exit_())
>>> end = assemble(
...     [process.tid(), stxw(fp, -4, r0)],
...     latency.finish(starts, fp - 4, r6, fail="out"),  # r6 = nanoseconds
...     [label("out"), mov(r0, 0), exit_()],
... )
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import writable
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import block
from fastbpf.blocks.maps import delete, key_size, known, lookup, update
from fastbpf.blocks.operand import BY_CALLS, apart, extent, place, survives
from fastbpf.blocks.time import elapsed, stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.operands import MapObject
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Place

__all__ = ["finish", "start"]


@checked
def start(
    map: MapObject | Register, key: Place, at: Place, *, clock: str = "monotonic", fail: str | None = None
) -> Block:
    """Note under a key when something began, by way of the 8 bytes at `at`.

    Emits: call ktime_get_ns, or its sibling; *(u64 *)(at) = r0; an update of the map; with `fail`: if r0 != 0 goto
    fail.

    A start that was never finished is replaced. r0 is 0, or a negative errno when the map is full. Clobbers r0 to r5.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import assemble, fp
    >>> from fastbpf.blocks import latency
    >>> starts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1024, name="starts")
    >>> print(assemble(latency.start(starts, fp - 4, at=fp - 16)))
       0: (85) call bpf_ktime_get_ns#5
       1: (7b) *(u64 *)(r10 -16) = r0
       2: (18) r1 = map[starts]
       4: (bf) r2 = r10
       5: (07) r2 += -4
       6: (bf) r3 = r10
       7: (07) r3 += -16
       8: (b7) r4 = 0
       9: (85) call bpf_map_update_elem#2
    """
    _starts(map, key)
    begun = place(at, 8, 8)
    apart(begun, 8, "the time", key, key_size(map))
    steps = stamp(at, clock), update(map, key, at, fail=fail)
    return block("latency.start", *steps, clobbers=BY_CALLS, stack=extent(begun, 8), fails_to=fail)


@checked
def finish(map: MapObject | Register, key: Place, dst: Register, *, clock: str = "monotonic", fail: str) -> Block:
    """How long it took: dst = nanoseconds since `start` was run with that key and clock; else go to `fail`.

    Emits: a lookup; if r0 == 0 goto fail; dst = *(u64 *)(r0 + 0); a deletion; call ktime_get_ns, or its sibling;
    r0 -= dst; dst = r0.

    The start is used up. dst must be of r6 to r9. Clobbers r0 to r5.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import latency
    >>> starts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1024, name="starts")
    >>> latency.finish(starts, fp - 4, r6, fail="out")
    <Block latency.finish: clobbers r0, r1, r2, r3, r4, r5, r6; fails to "out">
    """
    _starts(map, key)
    writable(dst)
    survives(dst, "the result")
    for what, one in (("the map", map), ("the key", key)):
        if dst in (one, getattr(one, "base", None)):
            raise OperandError(f"{what} is needed after {dst} is written")
    return block(
        "latency.finish",
        lookup(map, key, fail=fail),
        ldxdw(dst, r0, 0),
        delete(map, key),
        elapsed(dst, dst, clock),
        clobbers=(*BY_CALLS, dst),
        fails_to=fail,
    )


def _starts(map: object, key: object) -> None:
    survives(map, "the map")
    survives(key, "the key")
    spec = known(map)
    if spec is None:
        return
    if "array" in spec.type:
        raise OperandError(f"{show(spec)} is an array, whose elements are always there; starts need a hash")
    if spec.value is not None and (spec.value.size, spec.value.align) != (8, 8):
        raise OperandError(f"{show(spec)} has values of {spec.value!r}; a start is fb.u64")
