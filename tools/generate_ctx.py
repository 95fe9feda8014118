#!/usr/bin/env python3
"""Write python/fastbpf/asm/context/fields.py: where the fields of program contexts are.

The contexts come from the running kernel's BTF; registers and `bpf_perf_event_data`, which each architecture has in its
own way, from the headers that Debian has for each (linux-libc-dev, and linux-libc-dev-*-cross for the others), which
gcc turns into BTF, too. `--check` writes nothing, shows what would change, and then exits with 1.
"""

from __future__ import annotations

import difflib
import platform
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = Path(__file__).parents[1] / "python/fastbpf/asm/context/fields.py"
KERNEL = Path("/sys/kernel/btf/vmlinux")

# The name that people write -> the kernel's, where it is another.
CONTEXTS = {
    "sk_buff": "__sk_buff",
    "bpf_cgroup_dev_ctx": "bpf_cgroup_dev_ctx",
    "bpf_flow_keys": "bpf_flow_keys",
    "bpf_nf_ctx": "bpf_nf_ctx",
    "bpf_raw_tracepoint_args": "bpf_raw_tracepoint_args",
    "bpf_sk_lookup": "bpf_sk_lookup",
    "bpf_sock": "bpf_sock",
    "bpf_sock_addr": "bpf_sock_addr",
    "bpf_sock_ops": "bpf_sock_ops",
    "bpf_sockopt": "bpf_sockopt",
    "bpf_sysctl": "bpf_sysctl",
    "bpf_tcp_sock": "bpf_tcp_sock",
    "sk_msg_md": "sk_msg_md",
    "sk_reuseport_md": "sk_reuseport_md",
    "xdp_md": "xdp_md",
}
# The name that people write -> the folder of Debian's headers, and what the compiler of that architecture defines.
ARCHITECTURES = {
    "x86_64": ("x86_64-linux-gnu", "__x86_64__"),
    "arm64": ("aarch64-linux-gnu", "__aarch64__"),
    "ppc64le": ("powerpc64le-linux-gnu", "__powerpc64__"),
    "riscv64": ("riscv64-linux-gnu", "__riscv"),
    "s390x": ("s390x-linux-gnu", "__s390x__"),
}

# name: offset and size in bytes, the C type; of an array, those of an element, and how many there are (0: not known)
Fields = dict[str, tuple[int, int, str, int | None]]

# include/uapi/linux/btf.h: the kinds, and the bytes that follow a type of that kind, once or for each of its members
INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
FUNC_PROTO, VAR, DATASEC, DECL_TAG, ENUM64 = 13, 14, 15, 17, 19
TAIL = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}
TAIL_OF_EACH = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12, ENUM64: 12}


class Btf:
    """The types of a BTF blob."""

    def __init__(self, blob: bytes) -> None:
        header, types, types_size, texts = struct.unpack_from("<4xIIII", blob)
        self._texts = blob[header + texts :]
        self._types: list[tuple[int, str, int, bytes]] = [(0, "void", 0, b"")]
        self._named: dict[str, int] = {}
        at, end = header + types, header + types + types_size
        while at < end:
            name, info, size = struct.unpack_from("<III", blob, at)
            kind = info >> 24 & 31
            tail = TAIL.get(kind, 0) + TAIL_OF_EACH.get(kind, 0) * (info & 0xFFFF)
            if kind in (STRUCT, TYPEDEF):
                self._named.setdefault(self._text(name), len(self._types))
            self._types.append((kind, self._text(name), size, blob[at + 12 : at + 12 + tail]))
            at += 12 + tail

    def number(self, name: str) -> int:
        """The number of a struct or typedef."""
        return self._named[name]

    def fields(self, name: str) -> Fields:
        """The members of a struct; those of a struct in it under both names, those of a nameless one as its own."""
        return dict(self._members(self._struct(self.number(name)), 0, ""))

    def _members(self, number: int, base: int, prefix: str) -> Iterator[tuple[str, tuple[int, int, str, int | None]]]:
        for text, type_, bits in struct.iter_unpack("<III", self._types[number][3]):
            name, offset = self._text(text), base + bits // 8
            if inner := self._struct(type_):
                yield from self._members(inner, offset, f"{prefix}{name}_" if name else prefix)
            elif self._types[type_][0] == ARRAY:
                element, _, count = struct.unpack("<III", self._types[type_][3])
                yield prefix + name, (offset, self._size(element), self._spell(element), count)
            else:
                yield prefix + name, (offset, self._size(type_), self._spell(type_), None)

    def _text(self, at: int) -> str:
        return self._texts[at : self._texts.index(b"\0", at)].decode()

    # the struct or union that a type is, under whatever names; else 0
    def _struct(self, number: int) -> int:
        while self._types[number][0] in (TYPEDEF, VOLATILE, CONST):
            number = self._types[number][2]
        return number if self._types[number][0] in (STRUCT, UNION) else 0

    def _size(self, number: int) -> int:
        kind, _, size, _ = self._types[number]
        if kind in (TYPEDEF, VOLATILE, CONST):
            return self._size(size)
        return 8 if kind == PTR else size

    def _spell(self, number: int) -> str:
        kind, name, to, _ = self._types[number]
        if kind == PTR:
            return f"{self._spell(to)} *"
        if kind == CONST:
            return f"const {self._spell(to)}"
        return f"struct {name}" if kind in (STRUCT, FWD) else name


def contexts() -> dict[str, Fields]:
    """The contexts that are alike everywhere, from the running kernel."""
    btf = Btf(KERNEL.read_bytes())
    return {name: btf.fields(of_kernel) for name, of_kernel in CONTEXTS.items()}


def compiler_flags(architecture: str) -> list[str]:
    """What makes gcc see the kernel headers of an architecture, whichever it compiles for."""
    folder, macro = ARCHITECTURES[architecture]
    native = Path("/usr/include", folder)
    paths = (
        [native, Path("/usr/include")]
        if (native / "asm").is_dir()
        else [Path("/usr", folder, "include"), Path("/usr/include")]
    )
    others = [f"-U{name}" for _, name in ARCHITECTURES.values() if name != macro]
    return ["-nostdinc", *others, f"-D{macro}=1", *[f"-isystem{path}" for path in paths]]


def registers(architecture: str) -> Fields:
    """`bpf_user_pt_regs_t`: the beginning of struct pt_regs, on which programs may rely."""
    with tempfile.TemporaryDirectory() as scratch:
        source, made, blob = (Path(scratch, name) for name in ("regs.c", "regs.o", "btf"))
        source.write_text("#include <asm/bpf_perf_event.h>\nbpf_user_pt_regs_t regs;\n")
        subprocess.run(["gcc", "-gbtf", "-c", *compiler_flags(architecture), source, "-o", made], check=True)
        extract = ["objcopy", "-O", "binary", "-j", ".BTF", "--set-section-flags", ".BTF=alloc,readonly"]
        subprocess.run([*extract, made, blob], check=True)
        return Btf(blob.read_bytes()).fields("bpf_user_pt_regs_t")


def text() -> str:
    """All of fields.py."""
    # "6.18": a later one may have more fields
    kernel = ".".join(platform.release().split(".")[:2])
    lines = [
        f'"""Where the fields of program contexts are, in Linux {kernel}. Written by tools/generate_ctx.py."""',
        "",
        "# name: (offset, size, C type, None); of an array, size and type of an element, and how many (0: not known)",
        "Fields = dict[str, tuple[int, int, str, int | None]]",
        "",
        f'KERNEL = "{kernel}"',
    ]
    tables = {
        "CONTEXTS": contexts(),
        "REGISTERS": {architecture: registers(architecture) for architecture in ARCHITECTURES},
    }
    for title, structs in tables.items():
        lines += ["", f"{title}: dict[str, Fields] = {{"]
        for name, fields in structs.items():
            lines += [f'    "{name}": {{']
            lines += [
                f'        "{field}": ({offset}, {size}, "{type_}", {count}),'
                for field, (offset, size, type_, count) in fields.items()
            ]
            lines += ["    },"]
        lines += ["}"]
    return "\n".join([*lines, ""])


def main() -> int:
    """Write the table, or compare it."""
    new, old = text(), TABLE.read_text() if TABLE.exists() else ""
    if "--check" in sys.argv[1:]:
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True)))
        return int(new != old)
    TABLE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
