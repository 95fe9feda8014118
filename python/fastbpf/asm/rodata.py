"""What a program only reads: text and other bytes that come with its code, as a compiler's .rodata does."""

from __future__ import annotations

from fastbpf.asm.value import Value, fill


class ReadOnly(Value):
    r"""Bytes that loading puts into a map which nobody can change any more. A map operand: `ld_map_value` takes it.

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
