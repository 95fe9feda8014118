"""Text and numbers, and what syscall programs may do."""

from __future__ import annotations

from pathlib import Path

from tests.kernel.calls.running import *
from tests.kernel.raw_bpf import *

from fastbpf.asm import *


@executes("trace_printk", "trace_vprintk", "strtol", "strtoul", "strncmp", "snprintf", "snprintf_btf")
def texts():
    task = kernel_btf()[0]["STRUCT", "task_struct"]["id"]
    found, _ = run(
        TC,
        [call.trace_printk("fastbpf\n", None), keep(0), stdw(fp, -8, 7)],
        [call.trace_vprintk("seven %d\n", None, fp - 8, 8), keep(1)],
        [call.strtol("-42", None, 0, fp - 8), keep(2), ldxdw(r0, fp, -8), keep(3)],
        [call.strtoul("0x1f", None, 16, fp - 8), keep(4), ldxdw(r0, fp, -8), keep(5)],
        [call.strtol(b"123456", 3, 10, fp - 8), ldxdw(r0, fp, -8), keep(6)],
        [call.strncmp("abc", None, "abc"), keep(7), call.strncmp("abc", None, "abd"), keep(8)],
        [stdw(fp, -8, 12), stdw(fp, -16, -3), call.snprintf(fp - 32, 16, "%d,%d", fp - 16, 16), keep(9)],
        [ldxdw(r0, fp, -32), keep(10)],
        [call.get_current_task(), stxdw(fp, -48, r0), stw(fp, -40, task), stw(fp, -36, 0)],
        [[stdw(fp, -112 + at, 0) for at in range(0, 64, 8)], call.snprintf_btf(fp - 112, 64, fp - 48, 16, 0), keep(11)],
        [ldxdw(r0, fp, -112), keep(12)],
        [stdw(fp, -8, 0), call.snprintf(None, 0, "long", None, 0), keep(13)],
    )
    assert found[0] == len("fastbpf\n")
    assert found[1] == len("seven 7\n")
    assert (found[2], signed(found[3])) == (3, -42)
    assert found[4:7] == [4, 0x1F, 123]
    assert (found[7], signed(found[8], 32) < 0) == (0, True)
    assert found[9] == 6
    assert found[10].to_bytes(8, "little")[:6] == b"-3,12\0"
    assert found[11] > 64
    assert found[12].to_bytes(8, "little").startswith(b"(struct ")
    assert found[13] == 5


@executes("sys_bpf", "sys_close", "btf_find_by_name_kind", "kallsyms_lookup_name")
def from_syscalls():
    found, _ = run(
        SYSCALL,
        [call.btf_find_by_name_kind("task_struct", None, 4, 0), keep(0), stdw(fp, -8, 0)],
        [call.kallsyms_lookup_name("schedule", None, 0, fp - 8), keep(1)],
        [ldxdw(r0, fp, -8), keep(2), [stdw(fp, at, 0) for at in range(-96, -8, 8)]],
        # an array map of one value of 8 bytes
        [stw(fp, -96, 2), stw(fp, -92, 4), stw(fp, -88, 8), stw(fp, -84, 1)],
        [call.sys_bpf(MAP_CREATE, fp - 96, 72), keep(3), jsle(r0, 0, "out"), call.sys_close(r0), keep(4)],
    )
    assert found[0] == kernel_btf()[0]["STRUCT", "task_struct"]["id"]
    assert found[1] == 0
    symbols = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines() if line.endswith(" schedule")]
    assert found[2] in {int(line[0], 16) for line in symbols}
    assert signed(found[3]) > 2
    assert found[4] == 0
