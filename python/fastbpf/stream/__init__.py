"""Streams: endless sources of record batches, iterated, or read for a time or a number of rows."""

from fastbpf.stream.checks import check_whole, size_in_bytes
from fastbpf.stream.perf_buffer import PerfBuffer
from fastbpf.stream.ring_buffer import RingBuffer
from fastbpf.stream.stats import Stats
from fastbpf.stream.stream import Stream
from fastbpf.stream.taken import Taken
from fastbpf.stream.user_ring_buffer import UserRingBuffer

__all__ = ["PerfBuffer", "RingBuffer", "Stats", "Stream", "Taken", "UserRingBuffer", "check_whole", "size_in_bytes"]
