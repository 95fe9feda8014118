"""BPF objects to read: small C programs, and what clang makes of them. No kernel headers: what C needs is said here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HEADER = """
#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) __typeof__(value) *name
#define __array(name, value) __typeof__(value) *name[]
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
static void *(*lookup)(void *map, const void *key) = (void *) 1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *) 2;
static u64 (*get_current_pid_tgid)(void) = (void *) 14;
static long (*get_current_comm)(void *to, u32 size) = (void *) 16;
static u64 (*get_current_task)(void) = (void *) 35;
static long (*probe_read_kernel)(void *to, u32 size, const void *from) = (void *) 113;
static long (*ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *) 130;
enum { HASH = 1, ARRAY = 2, PERF_EVENT_ARRAY = 4, PERCPU_ARRAY = 6, ARRAY_OF_MAPS = 12, RINGBUF = 27 };
#ifndef LICENSE_TEXT
#define LICENSE_TEXT "GPL"
#endif
#ifndef NO_LICENSE
char LICENSE[] SEC("license") = LICENSE_TEXT;
#endif
"""


def compiled(folder: Path, text: str, name: str = "program", *options: str) -> Path:
    """The object that clang makes of C."""
    assert shutil.which("clang"), "clang is missing: tools/setup.sh test installs it"
    source, made = folder / f"{name}.c", folder / f"{name}.o"
    header = folder / "header.h"
    header.write_text(HEADER)
    source.write_text(text)
    command = ["clang", "-target", "bpf", "-g", "-O2", "-Wall", "-Wno-unused", "-include", header, *options]
    done = subprocess.run([*command, "-c", source, "-o", made], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made
