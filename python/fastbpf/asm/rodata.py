"""What a program only reads: text and other bytes that come with its code, as a compiler's .rodata does."""

from __future__ import annotations

from fastbpf.asm.value import Value, fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class ReadOnly(Value):
    r"""Bytes that loading puts into a map which nobody can change any more. A map operand: `ld_map_value` takes it.

    All of a program share one map: the kernel lets a program have 64.

    Linux 5.2 (BPF_MAP_FREEZE).

    >>> from fastbpf.asm import call
    >>> greeting = call.trace_printk("hello", None)[0]
    >>> greeting, greeting.map
    (ld_map_value(r1, .rodata, 0), ReadOnly(b'hello\x00'))
    """

    __match_args__ = ("content",)
    __slots__ = __match_args__
    content: bytes

    __bpf_map__ = True
    name = ".rodata"

    def __init__(self, content: bytes) -> None:
        fill(self, "content", content)

    def __repr__(self) -> str:
        return f"ReadOnly({self.content!r})"


def laid_out(parts: Iterable[ReadOnly]) -> tuple[bytes, dict[ReadOnly, int]]:
    r"""All of them in one run of bytes, equal ones once, and the byte that each begins at: a multiple of 8.

    >>> laid_out([ReadOnly(b"one\0"), ReadOnly(b"three\0"), ReadOnly(b"one\0")])
    (b'one\x00\x00\x00\x00\x00three\x00', {ReadOnly(b'one\x00'): 0, ReadOnly(b'three\x00'): 8})
    """
    run, starts = bytearray(), dict[ReadOnly, int]()
    for part in parts:
        if part not in starts:
            # as a value of its own would stand, whatever the bytes are read as
            run += bytes(-len(run) % 8)
            starts[part] = len(run)
            run += part.content
    return bytes(run), starts
