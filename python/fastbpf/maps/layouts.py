"""Types that an object's BTF describes, as fields and Structs."""

from __future__ import annotations

from contextlib import suppress
from types import new_class
from typing import TYPE_CHECKING, Any

from fastbpf.errors import LayoutError
from fastbpf.record import FieldType, Struct, spin_lock
from fastbpf.record.nested import Nested
from fastbpf.record.sized import Bytes

if TYPE_CHECKING:
    from fastbpf.record.btf import Types

__all__ = ["layout"]


def layout(types: Types, told: Any, size: int) -> FieldType | type[Struct] | None:
    """The type that `fastbpf._native` tells, or as many bytes if it tells none; None for no bytes.

    >>> from fastbpf.record.btf import Types
    >>> layout(Types(), ("", 0, None, 3, "u32", None, None), 12), layout(Types(), None, 12), layout(Types(), None, 0)
    (fb.u32[3], fb.raw[12], None)
    """
    if size == 0:
        return None
    # What no field can be, an integer of 128 bits for instance, is bytes too.
    with suppress(LayoutError):
        if told is not None and (found := types.content(told)).size == size:
            return found if isinstance(found, FieldType) else _with_lock(found)
    return Bytes(size)


# The kernel has to be told of locks, and fastbpf's own type tells it.
def _with_lock(struct: type[Struct]) -> type[Struct]:
    locks = {
        name: spin_lock
        for name, kind in struct.fields.items()
        if isinstance(kind, Nested) and kind.struct.__name__ == "bpf_spin_lock" and kind.size == spin_lock.size
    }
    if not locks:
        return struct
    return new_class(struct.__name__, (struct,), exec_body=lambda body: body.update(__annotations__=locks))
