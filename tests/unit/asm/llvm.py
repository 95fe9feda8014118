"""The newest of LLVM's tools on this machine, and what it makes of text and of bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

# a processor that has every instruction, and its 32-bit registers in the text
NEWEST = "v4"


@cache
def tool(name: str) -> str:
    """The command: `llvm-mc-22` before `llvm-mc-19` before `llvm-mc`, which is what the distribution calls its own."""
    found = {}
    for folder in os.get_exec_path():
        for path in Path(folder).glob(f"{name}-*"):
            if version := re.fullmatch(rf"{name}-(\d+)", path.name):
                found[int(version[1])] = str(path)
    if found:
        return found[max(found)]
    plain = shutil.which(name)
    assert plain, f"{name} is missing: tools/setup.sh test installs it"
    return plain


@cache
def version() -> int:
    shown = subprocess.run([tool("llvm-mc"), "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"version (\d+)", shown)[1])


@cache
def processor() -> str:
    """The name of the newest set of instructions that this LLVM knows: v4 since 18, v3 before."""
    return NEWEST if version() >= 18 else "v3"


def encoded(lines: list[str]) -> dict[int, bytes]:
    """What LLVM makes of each line of text; lines that it does not know are left out."""
    command = [tool("llvm-mc"), "-triple=bpfel", f"-mcpu={processor()}", "--show-encoding"]
    shown, unknown = _run(command, lines)
    found = [bytes.fromhex(raw.replace("0x", "").replace(",", "")) for raw in re.findall(r"encoding: \[(.*)\]", shown)]
    return dict(zip((number for number in range(len(lines)) if number not in unknown), found, strict=True))


def decoded(instructions: list[bytes]) -> dict[int, str]:
    """How LLVM writes each instruction; those that it does not know are left out."""
    command = [tool("llvm-mc"), "-triple=bpfel", f"-mcpu={processor()}", "-mattr=+alu32", "--disassemble"]
    shown, unknown = _run(command, [" ".join(f"0x{byte:02x}" for byte in raw) for raw in instructions])
    found = [line.strip() for line in shown.splitlines() if line.strip() not in ("", ".text")]
    return dict(zip((number for number in range(len(instructions)) if number not in unknown), found, strict=True))


def _run(command: list[str], lines: list[str]) -> tuple[str, set[int]]:
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
    complaints = re.findall(r"^<stdin>:(\d+):\d+: (?:error|warning)", done.stderr, re.MULTILINE)
    assert complaints or not done.returncode, done.stderr
    return done.stdout, {int(line) - 1 for line in complaints}


def dumped(raw: bytes, folder: Path, *options: str) -> str:
    """What llvm-objdump shows of bytes as the code of an object file."""
    source, obj = folder / "code.s", folder / "code.o"
    listed = ",".join(map(str, raw))
    source.write_text(f".text\nmain:\n.byte {listed}\n")
    subprocess.run(
        [tool("llvm-mc"), "-triple=bpfel", f"-mcpu={processor()}", "-filetype=obj", "-o", obj, source], check=True
    )
    command = [tool("llvm-objdump"), "-d", f"--mcpu={processor()}", *options, obj]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
