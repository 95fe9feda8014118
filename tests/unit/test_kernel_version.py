from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastbpf as fb
from fastbpf.kernel_version import KernelVersion


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5.8", (5, 8)),
        ("3.19.0", (3, 19)),
        ("6.14.0-33-generic", (6, 14)),
        ("6.1.0-28-cloud-amd64", (6, 1)),
        ("5.4.300", (5, 4)),
        ("6.19-rc3", (6, 19)),
        ("6.12+", (6, 12)),
        (" 4.10\n", (4, 10)),
        (0x050800, (5, 8)),
        (0x0504FF, (5, 4)),  # LINUX_VERSION_CODE stops counting patches at 255
        (0x03130A, (3, 19)),
        ((5, 8), (5, 8)),
        ((5, 8, 3), (5, 8)),
        (KernelVersion(6, 2), (6, 2)),
    ],
)
def test_versions_are_read(written, meant):
    version = KernelVersion.of(written)
    assert version == meant
    assert type(version) is KernelVersion


@pytest.mark.parametrize(
    "written", ["", "6", "6.", ".6", "latest", "v5.8", "-5.8", "٥.٨", 0, 5, -1, (5,), (-5, 8), 5.8, None]
)
def test_what_is_no_version_is_refused(written):
    with pytest.raises(ValueError, match="is no kernel version: write it as") as refusal:
        KernelVersion.of(written)
    assert repr(written) in str(refusal.value)


@given(st.integers(1, 255), st.integers(0, 255), st.integers(0, 255))
def test_text_number_and_pair_agree(major, minor, patch):
    version = KernelVersion.of((major, minor))
    assert str(version) == f"{major}.{minor}"
    assert version == KernelVersion.of(f"{version}.{patch}-any") == KernelVersion.of(major << 16 | minor << 8 | patch)
    assert version == KernelVersion.of(str(version))


def test_versions_sort_as_numbers():
    assert KernelVersion.of("5.10") > KernelVersion.of("5.9") > KernelVersion.of("4.20")


def test_the_running_kernel_is_unames():
    major, minor = os.uname().release.split(".")[:2]
    assert KernelVersion.running() == (int(major), int(minor))
    assert fb.KernelVersion is KernelVersion
