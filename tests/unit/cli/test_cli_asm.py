"""`fastbpf asm` and `fastbpf disasm`, without a kernel."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from fastbpf.asm import *
from fastbpf.cli.refusal import Refused, refusing
from fastbpf.errors import Error

TEXT = """
    r0 = 0
    if r1 == 0 goto out
    call bpf_ktime_get_ns
out:
    exit
"""
CODE = assemble(mov(r0, 0), jeq(r1, 0, "out"), call_id(5), label("out"), exit_())


def run(*arguments: object, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "fastbpf", *map(str, arguments)], input=input, capture_output=True)


def test_there_and_back(tmp_path) -> None:
    text, out = tmp_path / "drop.bpf", tmp_path / "drop.bin"
    text.write_text(TEXT)
    done = run("asm", text, "-o", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert out.read_bytes() == bytes(CODE)
    done = run("disasm", out)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (
        done.stdout.decode()
        == "\n".join(line.split("  ;")[0].rstrip() for line in str(CODE).splitlines() if line != "out:") + "\n"
    )
    assert run("asm", "-", input=run("disasm", out, "--bytes").stdout).stdout == bytes(CODE)


def test_through_pipes() -> None:
    assert run("asm", "-", input=TEXT.encode()).stdout == bytes(CODE)
    assert (
        b"   3: (95) exit\n       95 00 00 00 00 00 00 00\n" in run("disasm", "-", "--bytes", input=bytes(CODE)).stdout
    )


def test_a_byte_order_mark_is_no_text() -> None:
    assert run("asm", "-", input=TEXT.encode("utf-8-sig")).stdout == bytes(CODE)


def test_a_reader_may_leave_early() -> None:
    script = f"{sys.executable} -m fastbpf disasm - | head -n 1"
    raw = bytes(assemble([mov(r0, 0)] * 50_000, exit_()))
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], input=raw, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"   0: (b7) r0 = 0\n", b"")


def test_bugs_are_no_refusals() -> None:
    with pytest.raises(Refused, match="bad"), refusing((Error, OSError)):
        raise AsmError("bad")
    with pytest.raises(ValueError, match="invalid literal"), refusing((Error, OSError)):
        int("+-8")
    # what the library says of an argument
    with pytest.raises(Refused, match="bad"), refusing():
        raise ValueError("bad")


def test_it_replaces_nothing_unasked(tmp_path) -> None:
    out = tmp_path / "drop.bin"
    out.write_bytes(b"mine")
    done = run("asm", "-", "-o", out, input=TEXT.encode())
    assert (done.returncode, out.read_bytes()) == (2, b"mine")
    assert b"exists already; choose another name, or replace it with force (--force)" in done.stderr
    assert run("asm", "-", "-o", out, "--force", input=TEXT.encode()).returncode == 0
    assert out.read_bytes() == bytes(CODE)


@pytest.mark.parametrize(
    ("arguments", "input", "why"),
    [
        (["asm", "-"], b"r0 = 0\nexti", '<stdin>:2: exti begins no instruction; did you mean "exit"?'),
        (["asm", "-"], b"r1 = map[counts]", "<stdin>:1: there is no map counts; write its file descriptor, map[fd:5]"),
        (
            ["asm", "-"],
            b"\ncall bpf_throw#kfunc",
            "<stdin>:2: bytes cannot hold the name bpf_throw; write call kernel-function#ID",
        ),
        (["asm", "-"], b"r3 = btf[jiffies]", "<stdin>:1: bytes cannot hold the name jiffies; write r3 = btf[id:ID]"),
        (["asm", "-"], b"r0 = " + b"9" * 5000, "<stdin>:1: a number of 64 bits must be"),
        (["asm", "-"], b"\xff", "<stdin> is no text in UTF-8"),
        (["asm", "/not/there"], b"", "/not/there cannot be read (No such file or directory); check the name"),
        (["asm", "-", "-o", "/not/there/x"], b"exit", "make the folder first"),
        (["disasm", "-"], b"\x95" + bytes(6), "slots of 8 bytes, at least one, not of 7 bytes"),
        (["disasm", "-"], b"\x95\1" + bytes(6), "slot 0: (95) exit: dst is 1; the instruction does not use it"),
        (["disasm", "-"], b"\x7fELF" + bytes(60), "- is an object file; llvm-objcopy -O binary"),
        (["disasm"], b"", "give either a FILE or --prog ID"),
        (["disasm", "-", "--prog", "5"], b"", "give either a FILE or --prog ID"),
        (["disasm", "--prog", "0"], b"", "is not in the range"),
    ],
)
def test_it_refuses(arguments, input: bytes, why: str) -> None:
    done = run(*arguments, input=input)
    assert (done.returncode, done.stdout) == (2, b"")
    assert why in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_no_bytes_for_a_terminal() -> None:
    controller, terminal = pty.openpty()
    try:
        command = [sys.executable, "-m", "fastbpf", "asm", "-"]
        done = subprocess.run(command, input=TEXT.encode(), stdout=terminal, stderr=subprocess.PIPE)
    finally:
        os.close(controller)
        os.close(terminal)
    assert done.returncode == 2
    assert b"a terminal cannot show; give -o OUT" in done.stderr


@pytest.mark.parametrize("command", ["asm", "disasm"])
def test_help_fits_a_terminal(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 40
    assert b"  fastbpf disasm drop.bin\n" in done.stdout
