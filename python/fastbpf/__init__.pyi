"""The Linux kernel as a source of Arrow tables."""

from fastbpf.errors import (
    AsmError as AsmError,
    Error as Error,
    KernelError as KernelError,
    LayoutError as LayoutError,
    ProbeError as ProbeError,
    StreamError as StreamError,
    VerifierError as VerifierError,
    WhereError as WhereError,
)
from fastbpf.links import Link as Link
from fastbpf.maps import Map as Map, MapSpec as MapSpec
from fastbpf.programs import Program as Program, ProgramSpec as ProgramSpec
from fastbpf.record import (
    Struct as Struct,
    bool8 as bool8,
    boottime as boottime,
    char as char,
    i8 as i8,
    i16 as i16,
    i32 as i32,
    i64 as i64,
    ktime as ktime,
    raw as raw,
    s8 as s8,
    s16 as s16,
    s32 as s32,
    s64 as s64,
    tai as tai,
    text as text,
    u8 as u8,
    u16 as u16,
    u32 as u32,
    u64 as u64,
)
from fastbpf.stream import RingBuffer as RingBuffer, Stats as Stats, Stream as Stream
from fastbpf.trace import Trace as Trace, trace as trace

__version__: str
