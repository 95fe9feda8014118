"""Changes of one number in a map that nobody comes between: neither programs nor other processes.

In memory that the map shares (an array with BPF_F_MMAPABLE) they are the processor's own; elsewhere a small program of
type "syscall" does them in the kernel, which has no such command (Linux 5.14).
"""

from __future__ import annotations

import operator
import struct
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

from fastbpf.asm import (
    assemble,
    atomic_cmpxchg,
    atomic_fetch_add,
    call,
    exit_,
    fp,
    jeq,
    label,
    ldxdw,
    mov,
    r0,
    r1,
    r2,
    r6,
    r7,
    stxdw,
)
from fastbpf.errors import LayoutError
from fastbpf.maps.types import article
from fastbpf.record import FieldType
from fastbpf.record.types import INTEGERS, Number, duration

if TYPE_CHECKING:
    from fastbpf import _native
    from fastbpf.maps.map import Map

__all__ = ["Atomics"]

# What a program of a type that may be run at any time can reach (kernel/bpf/verifier.c, check_map_prog_compatibility).
_KINDS: Final = {"array", "hash", "lru_hash"}
_SYSCALL: Final = 31  # BPF_PROG_TYPE_SYSCALL
_SLEEPABLE: Final = 1 << 4  # BPF_F_SLEEPABLE
_WIDEST_KEY: Final = 496  # on a stack of 512 bytes
# In the context: what to add or to put there, what is expected, what was there; then the key.
_OPERAND, _EXPECTED, _WAS, _KEY = 0, 8, 16, 24


class Atomics:
    """Of one map; closed with it."""

    def __init__(self, map: Map) -> None:
        if map.spec.type not in _KINDS:
            kinds = ", ".join(sorted(_KINDS))
            raise LayoutError(
                f"{map!r} is {article(map.spec.type)} {map.spec.type}; atomic changes are of {kinds} maps"
            )
        self._map = map
        self._programs: dict[tuple[int, int, str], _native.Program] = {}

    def add(self, key: Any, amount: int, field: str | None) -> int | None:
        """What was there before; None where there is no such key."""
        offset, kind = self._place(field)
        try:
            operand = operator.index(amount) % (1 << 64)
        except TypeError:
            raise LayoutError(f"{amount!r}: add a whole number") from None
        was = self._changed(key, offset, kind.size, operand, None)
        return None if was is None else int(_number(kind, was))

    def exchange(self, key: Any, expected: int, value: int, field: str | None) -> bool | None:
        """Whether it was what was expected; None where there is no such key."""
        offset, kind = self._place(field)
        old, new = (int.from_bytes(kind.pack(one), sys.byteorder) for one in (expected, value))
        was = self._changed(key, offset, kind.size, new, old)
        return None if was is None else was == old

    def close(self) -> None:
        """Lets go of the programs, which keep the map."""
        for program in self._programs.values():
            program.close()

    def _changed(self, key: Any, offset: int, size: int, operand: int, expected: int | None) -> int | None:
        packed = self._map._key.pack(key)
        memory = self._map._shared()
        if memory is not None and memory.writable:
            (index,) = struct.unpack("=I", packed)
            if index >= self._map.spec.max_entries:
                return None
            value = self._map.spec.value
            at = index * (value.size + -value.size % 8) + offset if value is not None else offset
            if expected is None:
                return memory.fetch_add(at, size, operand)
            return expected if memory.compare_exchange(at, size, expected, operand) else ~expected
        program = self._program(offset, size, "add" if expected is None else "exchange")
        context = struct.pack("=QQQ", operand, expected or 0, 0) + packed + bytes(-len(packed) % 8)
        found, _, _, after = program.test_run(None, context, 0)
        return struct.unpack_from("=Q", after, _WAS)[0] if found else None

    def _program(self, offset: int, size: int, change: str) -> _native.Program:
        which = offset, size, change
        if which not in self._programs:
            self._programs[which] = self._loaded(*which)
        return self._programs[which]

    def _loaded(self, offset: int, size: int, change: str) -> _native.Program:
        from fastbpf import _native

        key = self._map.spec.key
        width = 0 if key is None else key.size + -key.size % 8
        if width > _WIDEST_KEY:
            raise LayoutError(f"a key of {self._map!r} has more than {_WIDEST_KEY} bytes: a program has no room for it")
        kind: Literal["u32", "u64"] = "u32" if size == 4 else "u64"
        if change == "exchange":
            changes = [ldxdw(r0, r6, _EXPECTED), atomic_cmpxchg(r7, offset, r1, size=kind), mov(r1, r0)]
        else:
            changes = [atomic_fetch_add(r7, offset, r1, size=kind)]
        code = assemble(
            mov(r6, r1),
            [[ldxdw(r2, r6, _KEY + at), stxdw(fp, at - width, r2)] for at in range(0, width, 8)],
            call.map_lookup_elem(self._map, fp - width),
            jeq(r0, 0, "missing"),
            mov(r7, r0),
            ldxdw(r1, r6, _OPERAND),
            *changes,
            stxdw(r6, _WAS, r1),
            mov(r0, 1),
            label("missing"),
            exit_(),
        )
        linked = code.link(lambda _: self._map.fileno())
        return _native.Program(_SYSCALL, linked, "GPL", "fastbpf_atomic", flags=_SLEEPABLE)

    # Of the number that changes, in a value.
    def _place(self, field: str | None) -> tuple[int, Number]:
        layout = self._map.spec.value
        if layout is None or isinstance(layout, FieldType):
            if field is not None:
                raise LayoutError(f"{field!r}: a value of {self._map!r} is {layout!r}, without fields")
            offset, kind = 0, layout
        elif field is None:
            raise LayoutError(f"say which field of {layout.__name__} changes: {', '.join(layout.fields)}")
        else:
            offset, kind = layout.offset(field), layout.fields.get(field)
        if (
            not isinstance(kind, Number)
            or kind.size < 4
            or kind.code not in {*INTEGERS, duration.code}
            or offset % kind.size
        ):
            what = f"{field!r}, {kind!r}," if field else f"{kind!r}"
            raise LayoutError(f"{what} cannot be changed atomically: fb.u32, u64, i32 and i64 can, at their alignment")
        return offset, kind


def _number(kind: Number, raw: int) -> Any:
    return kind.unpack((raw % (1 << 8 * kind.size)).to_bytes(kind.size, sys.byteorder))
