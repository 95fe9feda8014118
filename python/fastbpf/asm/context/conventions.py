"""Where calls leave arguments and results in struct pt_regs, by architecture: what bpf_tracing.h of libbpf says, too.

`arg1` and so on are a function's arguments, as many as registers hold; `ret` is its result; `ip`, `sp` and `fp` are the
instruction, stack and frame pointer. `syscall_arg1` to `syscall_arg6` are a system call's: x86-64 passes the fourth in
another register, and the other architectures keep the first apart, because the result takes its register.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

# How os.uname() names the architectures that are written otherwise here.
MACHINES: Final[Mapping[str, str]] = {"aarch64": "arm64", "AMD64": "x86_64"}

# Registers that follow the part which programs may rely on: arch/*/include/asm/ptrace.h
KERNEL_ONLY: Final[Mapping[str, Mapping[str, int]]] = {
    "arm64": {"orig_x0": 272},
    "riscv64": {"status": 256, "badaddr": 264, "cause": 272, "orig_a0": 280},
    "s390x": {"orig_gpr2": 152},
}

# In the order arg1 to arg8, then syscall_arg1 to syscall_arg6.
_ARGUMENTS: Final = {
    "x86_64": ("rdi rsi rdx rcx r8 r9", "rdi rsi rdx r10 r8 r9"),
    "arm64": (
        "regs[0] regs[1] regs[2] regs[3] regs[4] regs[5] regs[6] regs[7]",
        "orig_x0 regs[1] regs[2] regs[3] regs[4] regs[5]",
    ),
    "ppc64le": (
        "gpr[3] gpr[4] gpr[5] gpr[6] gpr[7] gpr[8] gpr[9] gpr[10]",
        "orig_gpr3 gpr[4] gpr[5] gpr[6] gpr[7] gpr[8]",
    ),
    "riscv64": ("a0 a1 a2 a3 a4 a5 a6 a7", "orig_a0 a1 a2 a3 a4 a5"),
    "s390x": (
        "gprs[2] gprs[3] gprs[4] gprs[5] gprs[6]",
        "orig_gpr2 gprs[3] gprs[4] gprs[5] gprs[6] gprs[7]",
    ),
}
# ppc64le keeps no frame pointer
_OTHERS: Final = {
    "x86_64": {"ret": "rax", "ip": "rip", "sp": "rsp", "fp": "rbp"},
    "arm64": {"ret": "regs[0]", "ip": "pc", "sp": "sp", "fp": "regs[29]"},
    "ppc64le": {"ret": "gpr[3]", "ip": "nip", "sp": "gpr[1]"},
    "riscv64": {"ret": "a0", "ip": "pc", "sp": "sp", "fp": "s0"},
    "s390x": {"ret": "gprs[2]", "ip": "psw_addr", "sp": "gprs[15]", "fp": "gprs[11]"},
}


def roles(architecture: str) -> dict[str, str]:
    """Which register has which role: {"arg1": "rdi", …}."""
    arguments, of_calls = (registers.split() for registers in _ARGUMENTS[architecture])
    found = {f"arg{number}": register for number, register in enumerate(arguments, 1)}
    found |= {f"syscall_arg{number}": register for number, register in enumerate(of_calls, 1)}
    return found | _OTHERS[architecture]
