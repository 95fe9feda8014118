"""The Linux kernel as a source of Arrow tables."""

from fastbpf.capture import Capture as Capture
from fastbpf.capture import CaptureError as CaptureError
from fastbpf.capture import replay as replay
from fastbpf.errors import (
    AsmError as AsmError,
)
from fastbpf.errors import (
    CheckError as CheckError,
)
from fastbpf.errors import (
    Error as Error,
)
from fastbpf.errors import (
    KernelError as KernelError,
)
from fastbpf.errors import (
    LayoutError as LayoutError,
)
from fastbpf.errors import (
    ObjectError as ObjectError,
)
from fastbpf.errors import (
    ProbeError as ProbeError,
)
from fastbpf.errors import (
    StreamError as StreamError,
)
from fastbpf.errors import (
    VerifierError as VerifierError,
)
from fastbpf.errors import (
    WhereError as WhereError,
)
from fastbpf.kernel_version import KernelVersion as KernelVersion
from fastbpf.links import Link as Link
from fastbpf.maps import Map as Map
from fastbpf.maps import MapSpec as MapSpec
from fastbpf.objects import LoadedObject as LoadedObject
from fastbpf.objects import Object as Object
from fastbpf.objects import ObjectProgram as ObjectProgram
from fastbpf.programs import Program as Program
from fastbpf.programs import ProgramSpec as ProgramSpec
from fastbpf.record import (
    Struct as Struct,
)
from fastbpf.record import (
    be16 as be16,
)
from fastbpf.record import (
    be32 as be32,
)
from fastbpf.record import (
    be64 as be64,
)
from fastbpf.record import (
    bits as bits,
)
from fastbpf.record import (
    bool8 as bool8,
)
from fastbpf.record import (
    boottime as boottime,
)
from fastbpf.record import (
    char as char,
)
from fastbpf.record import (
    duration as duration,
)
from fastbpf.record import (
    enum as enum,
)
from fastbpf.record import (
    f32 as f32,
)
from fastbpf.record import (
    f64 as f64,
)
from fastbpf.record import (
    i8 as i8,
)
from fastbpf.record import (
    i16 as i16,
)
from fastbpf.record import (
    i32 as i32,
)
from fastbpf.record import (
    i64 as i64,
)
from fastbpf.record import (
    ipv4 as ipv4,
)
from fastbpf.record import (
    ipv6 as ipv6,
)
from fastbpf.record import (
    ktime as ktime,
)
from fastbpf.record import (
    mac as mac,
)
from fastbpf.record import (
    port as port,
)
from fastbpf.record import (
    raw as raw,
)
from fastbpf.record import (
    s8 as s8,
)
from fastbpf.record import (
    s16 as s16,
)
from fastbpf.record import (
    s32 as s32,
)
from fastbpf.record import (
    s64 as s64,
)
from fastbpf.record import (
    spin_lock as spin_lock,
)
from fastbpf.record import (
    stack as stack,
)
from fastbpf.record import (
    tai as tai,
)
from fastbpf.record import (
    text as text,
)
from fastbpf.record import (
    u8 as u8,
)
from fastbpf.record import (
    u16 as u16,
)
from fastbpf.record import (
    u32 as u32,
)
from fastbpf.record import (
    u64 as u64,
)
from fastbpf.record import (
    union as union,
)
from fastbpf.stream import (
    PerfBuffer as PerfBuffer,
)
from fastbpf.stream import RingBuffer as RingBuffer
from fastbpf.stream import Stats as Stats
from fastbpf.stream import Stream as Stream
from fastbpf.stream import UserRingBuffer as UserRingBuffer
from fastbpf.symbols import offsetof as offsetof
from fastbpf.tracing import Trace as Trace
from fastbpf.tracing import trace as trace

__version__: str
