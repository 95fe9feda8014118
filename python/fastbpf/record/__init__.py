"""Records: what a program writes for each event, or keeps in a map, field by field.

A `Struct` is laid out as C does it on this machine: each field aligned to its element's size, the whole to its largest.
Layouts that exist already come from ctypes, numpy dtypes and BTF.
"""

from fastbpf.record.bits import Bits, bits
from fastbpf.record.enums import Enum, enum
from fastbpf.record.network import ipv4, ipv6, mac, port
from fastbpf.record.sized import char, raw, stack, text
from fastbpf.record.struct import Struct
from fastbpf.record.types import (
    FieldType,
    be16,
    be32,
    be64,
    bool8,
    boottime,
    duration,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    ktime,
    s8,
    s16,
    s32,
    s64,
    spin_lock,
    tai,
    tail,
    u8,
    u16,
    u32,
    u64,
)
from fastbpf.record.union import union

__all__ = ["Bits", "Enum", "FieldType", "Struct", "bits", "bool8", "boottime", "char", "duration", "enum", "ktime"]
__all__ += ["ipv4", "ipv6", "mac", "port", "raw", "spin_lock", "stack", "tai", "tail", "text", "union"]
__all__ += ["i8", "i16", "i32", "i64", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64"]
__all__ += ["be16", "be32", "be64", "f32", "f64"]
