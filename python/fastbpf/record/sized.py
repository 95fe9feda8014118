"""Types that are nothing without their count: char[16], raw[8], text[256], stack[20]."""

from __future__ import annotations

import struct
from typing import Any, Final

from fastbpf.record.types import FieldType, Number, check_count

__all__ = ["char", "raw", "stack", "text"]


class Bytes(FieldType):
    """N bytes as they are."""

    __slots__ = ()

    def __init__(self, count: int) -> None:
        super().__init__(f"bytes[{count}]", count, 1, f"fb.raw[{count}]")

    def _pack(self, value: Any) -> bytes:
        data = value.encode() if isinstance(value, str) else value
        if not isinstance(data, bytes) or len(data) > self.size:
            raise self._refusal(value)
        return data.ljust(self.size, b"\0")

    def _unpack(self, data: bytes) -> Any:
        return bytes(data)


class Chars(Bytes):
    """Text up to a NUL, in N bytes."""

    __slots__ = ()

    def __init__(self, count: int) -> None:
        FieldType.__init__(self, f"char[{count}]", count, 1)

    def _unpack(self, data: bytes) -> str:
        return bytes(data).split(b"\0", 1)[0].decode(errors="replace")


class Text(Number):
    """Where text in the record's tail is: a number, to Python."""

    __slots__ = ()

    def __init__(self, count: int) -> None:
        super().__init__(f"text[{count}]", "=I")


class Stack(FieldType):
    """Up to N addresses, as bpf_get_stack leaves them: zeros after the last."""

    __slots__ = ()

    def __init__(self, count: int) -> None:
        super().__init__(f"stack[{count}]", 8 * count, 8)

    def _pack(self, value: Any) -> bytes:
        try:
            data = struct.pack(f"={len(value)}Q", *value)
        except (struct.error, TypeError):
            data = None
        if data is None or len(data) > self.size:
            raise self._refusal(value)
        return data.ljust(self.size, b"\0")

    def _unpack(self, data: bytes) -> tuple[int, ...]:
        addresses = struct.unpack(f"={self.size // 8}Q", data)
        return addresses[: addresses.index(0)] if 0 in addresses else addresses


class Sized:
    # char without its count, which is no type yet.
    __slots__ = ("_code", "_kind", "_name")

    def __init__(self, code: str, kind: type[Bytes | Text | Stack], name: str) -> None:
        self._code = code
        self._kind = kind
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __getitem__(self, count: int) -> FieldType:
        return self._kind(check_count(self._code, count))


# char[N]: text up to a NUL, a dictionary column; raw[N]: N bytes as they are, fixed-size binary.
char: Final = Sized("char", Chars, "fb.char")
raw: Final = Sized("bytes", Bytes, "fb.raw")
# text[N]: a u32, length << 16 | offset (the kernel's __data_loc), to text in the record's tail; at most N bytes of it
# are kept, and offset 0 is null.
text: Final = Sized("text", Text, "fb.text")
# stack[N]: N u64 as bpf_get_stack(2) fills them → list<uint64>, cut at the first zero.
stack: Final = Sized("stack", Stack, "fb.stack")
