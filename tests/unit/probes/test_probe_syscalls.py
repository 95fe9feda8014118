"""The table of text arguments, against the kernel's own list."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbpf.probes.syscalls import TEXT

FACTS = Path(__file__).with_name("check_faultable_syscall.txt")

# The tracepoint's name where it is not that of __NR_*: the kernel's function is SYSCALL_DEFINE2(umount, …).
TRACEPOINT = {"umount2": "umount"}

# What the kernel reads as text and we do not. Its tracer takes whatever is there; in a column that would be noise.
NOT_TEXT = {
    ("shmdt", 0): "an address of shared memory, not text",
    ("syslog", 1): "the kernel writes it",
    ("flistxattr", 1): "the kernel writes it",
    ("listxattr", 1): "the kernel writes it",
    ("llistxattr", 1): "the kernel writes it",
    ("listxattrat", 3): "the kernel writes it",
}

# Of the arguments with a size, the one that kexec_file_load(2) and the kernel require to end with NUL.
SIZED_TEXT = {("kexec_file_load", 4)}


def facts(kind: str) -> set[tuple[str, int]]:
    found = set()
    for line in FACTS.read_text().splitlines():
        words = line.split()
        if words and words[0] == kind:
            found |= {(TRACEPOINT.get(w, w), int(n)) for w in words[2:] for n in words[1].split(",")}
    return found


OURS = {(syscall, position) for syscall, positions in TEXT.items() for position in positions}


def test_every_text_argument_that_the_kernel_knows_is_ours() -> None:
    assert len(facts("text")) == 109
    assert facts("text") - OURS == set(NOT_TEXT)


def test_no_buffer_is_text() -> None:
    assert facts("bytes") & OURS == set()
    assert facts("sized") & OURS == SIZED_TEXT


# What the kernel's list leaves out: the stat family, names only on other architectures, and some that it does not
# copy. Each takes a NUL-terminated string by its SYSCALL_DEFINE.
BEYOND = {
    *((name, 0) for name in ("stat", "lstat", "newstat", "newlstat", "stat64", "lstat64", "statfs64", "truncate64")),
    *((name, 0) for name in ("oldumount", "uselib")),
    *((name, 1) for name in ("fstatat64", "file_getattr", "file_setattr")),
    ("request_key", 2),
    ("kexec_file_load", 4),
}


def test_what_we_have_beyond_the_kernels_list_is_on_purpose() -> None:
    assert OURS - facts("text") == BEYOND


@pytest.mark.parametrize("syscall", ["read", "write", "getcwd", "sethostname", "setdomainname", "getrandom", "setns"])
def test_syscalls_without_text(syscall: str) -> None:
    assert syscall not in TEXT
