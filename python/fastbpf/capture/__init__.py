"""Captures: what a program wrote into the ring buffer, byte for byte, in a file that can be decoded anywhere later.

A capture begins with 8 bytes that name the format and its version; frames follow. All numbers of the frames are
little-endian:

======== ====== =======================================================================================================
Bytes    Name   Meaning
======== ====== =======================================================================================================
4        kind   HEAD, DATA or DONE
4        number 0, 1, 2 …
8        length of the payload
4        crc    CRC-32 of the payload
4        check  CRC-32 of the 20 bytes before
length   payload
======== ====== =======================================================================================================

HEAD, the first frame, is JSON: the records' layout (`Struct.columns()` and size), what was traced, and the machine:
kernel, architecture, byte order, page size, boot id. DATA is three numbers of 8 bytes (what to add to CLOCK_MONOTONIC,
CLOCK_BOOTTIME and CLOCK_TAI to get UTC, in nanoseconds) and whole records as they stood in the ring, each with its
header and padding (kernel/bpf/ringbuf.c). DONE, the last, is JSON: the accounting.

`replay` gives the batches that the live stream would have given, without privileges and on any machine of the same
byte order.
"""

from __future__ import annotations

from .frames import CaptureError
from .reader import Capture, replay
from .writer import RECORD, CaptureSink

__all__ = ["RECORD", "Capture", "CaptureError", "CaptureSink", "replay"]
