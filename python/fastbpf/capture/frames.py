"""The frames of a capture: lengths and checksums around payloads."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from fastbpf.errors import Error

if TYPE_CHECKING:
    from typing import BinaryIO

# As PNG begins: a byte that is no text, and ends of lines that a transfer as text would change. Then the version.
MAGIC: Final = b"\x89FBPF\r\n\x02"
HEAD: Final = b"HEAD"
DATA: Final = b"DATA"
DONE: Final = b"DONE"

_HEADER: Final = struct.Struct("<4sIQI")
_CHECK: Final = struct.Struct("<I")
OVERHEAD: Final = _HEADER.size + _CHECK.size
# No frame of ours is longer: one record may fill a ring buffer, which has at most 1 GiB (and a little for the rest).
# One that says so is damaged in a way that its checksum missed.
LARGEST: Final = (1 << 30) + (1 << 16)


class CaptureError(Error, ValueError):
    """A file that is no capture, or is damaged: in which `frame` (a number) it broke, and at which byte (`offset`)."""

    def __init__(self, message: str, frame: int, offset: int) -> None:
        super().__init__(message, frame, offset)
        self.message = message
        self.frame = frame
        self.offset = offset

    def __str__(self) -> str:
        return self.message


class Frame(NamedTuple):
    """One frame: its kind, number and place in the file, and what it holds."""

    kind: bytes
    number: int
    offset: int
    payload: bytes


def header(kind: bytes, number: int, *parts: bytes | memoryview) -> bytes:
    """What stands in front of a payload that is made of `parts`."""
    crc = 0
    for part in parts:
        crc = crc32(part, crc)
    head = _HEADER.pack(kind, number, sum(len(part) for part in parts), crc)
    return head + _CHECK.pack(crc32(head))


class Frames:
    """Reads the frames of a file, one after another, and believes none of them before its checksum is right.

    Raises:
        CaptureError: where the file is no capture, broken, or ends too early.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.number = 0
        self.offset = len(MAGIC)
        magic = file.read(len(MAGIC))
        if magic[:-1] != MAGIC[:-1]:
            raise CaptureError(f"{name} is no capture; `fastbpf record` makes them", 0, 0)
        if magic != MAGIC:
            remedy = "use a newer one" if magic[-1:] > MAGIC[-1:] else "record it anew"
            text = f"{name} is a capture of version {magic[-1]}, and this fastbpf reads {MAGIC[-1]}; {remedy}"
            raise CaptureError(text, 0, 7)

    def next(self) -> Frame:
        """The next frame."""
        head = self._file.read(OVERHEAD)
        if len(head) < OVERHEAD:
            raise self.broken("the file ends here, before its accounting")
        kind, number, length, crc = _HEADER.unpack_from(head)
        if crc32(head[: _HEADER.size]) != _CHECK.unpack_from(head, _HEADER.size)[0]:
            raise self.broken("the frame's header is damaged")
        if number != self.number:
            raise self.broken(f"frame {number} stands where frame {self.number} should")
        if length > LARGEST:
            raise self.broken(f"the frame claims to have {length} bytes")
        payload = self._file.read(length)
        if len(payload) < length:
            raise self.broken(f"the file ends in the middle of the frame, which has {length} bytes")
        if crc32(payload) != crc:
            raise self.broken("the frame's content is damaged")
        frame = Frame(kind, number, self.offset, payload)
        self.number += 1
        self.offset += OVERHEAD + length
        return frame

    def finish(self) -> None:
        """Nothing may follow the last frame."""
        if self._file.read(1):
            raise self.broken("something follows the accounting")

    def broken(self, why: str, frame: Frame | None = None) -> CaptureError:
        """The error that says what is wrong, and where."""
        number, offset = (frame.number, frame.offset) if frame else (self.number, self.offset)
        text = f"{self._name} breaks at frame {number}, byte {offset}: {why}; what stands before it is good"
        return CaptureError(text, number, offset)
