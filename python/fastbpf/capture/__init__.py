"""Captures: what programs wrote into buffers, byte for byte, in a file that can be decoded anywhere later.

A capture begins with 8 bytes that name the format and its version, which is 2; frames follow. All numbers of the frames
are little-endian:

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

HEAD, the first frame, is JSON: the machine (kernel, architecture, byte order, page size, boot id), what was traced, and
`sources`. A source is what buffers have in common: `buffer`, "ring" or "perf"; `tables`, the types of record in them,
each with `columns` (`Struct.columns()`; of a perf buffer's samples also what the kernel put before the record), `size`
and what its schema `told`; and `tag`, null or the field that selects one: its name, offset, bytes, and pairs of a
number and the place of its type among the tables.

DATA is records in the order in which the stream gave them: three numbers of 8 bytes (what to add to CLOCK_MONOTONIC,
CLOCK_BOOTTIME and CLOCK_TAI to get UTC, in nanoseconds), the number of runs (8 bytes), for each run its source and its
length (4 bytes each), and the runs: whole records as they stood in the buffer. In a ring buffer a record is its header,
what the program wrote, and padding to 8 bytes (kernel/bpf/ringbuf.c); in a perf buffer it is a sample: `struct
perf_event_header`, u64 time, u32 CPU, u32 0, u32 length, what the program wrote, and padding (perf_event_open(2)).

DONE, the last, is JSON: the stream's accounting, and `rows`, the records in this file.

`replay` gives the batches that the live stream would have given, without privileges and on any machine of the same
byte order.
"""

from __future__ import annotations

from .frames import CaptureError
from .reader import Capture, replay
from .writer import CaptureSink

__all__ = ["Capture", "CaptureError", "CaptureSink", "replay"]
