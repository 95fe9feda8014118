"""The Linux kernel as a source of Arrow tables.

>>> import fastbpf as fb
>>> class Open(fb.Struct):
...     ts: fb.boottime
...     pid: fb.u32
...     comm: fb.char[16]
>>> Open.size
32

Names load what they need when they are first used: importing fastbpf loads neither the native module nor pyarrow.
"""

_HOMES = {
    "errors": (
        "AsmError",
        "CheckError",
        "Error",
        "KernelError",
        "LayoutError",
        "ObjectError",
        "ProbeError",
        "StreamError",
        "VerifierError",
        "WhereError",
    ),
    "kernel_version": ("KernelVersion",),
    "record": (
        *("Struct", "bits", "bool8", "boottime", "char", "duration", "enum", "ktime", "raw", "spin_lock", "stack"),
        *("be16", "be32", "be64", "f32", "f64", "ipv4", "ipv6", "mac", "port", "tai", "text", "union"),
        *("i8", "i16", "i32", "i64", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64"),
    ),
    "maps": ("Map", "MapSpec"),
    "programs": ("Program", "ProgramSpec"),
    "links": ("Link",),
    "objects": ("LoadedObject", "Object", "ObjectProgram"),
    "symbols": ("offsetof",),
    "stream": ("PerfBuffer", "RingBuffer", "Stats", "Stream", "UserRingBuffer"),
    "tracing": ("Trace", "trace"),
    "capture": ("Capture", "CaptureError", "replay"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted(_HOME)  # noqa: PLE0605  # a list, whatever made it


def __getattr__(name: str) -> object:
    from importlib import import_module

    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
