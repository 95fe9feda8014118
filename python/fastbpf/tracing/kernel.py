"""What the kernel gives a trace: asked of it, where kernels differ."""

from __future__ import annotations

import errno
import os
from functools import cache

from fastbpf import helpers
from fastbpf.errors import KernelError
from fastbpf.maps import MapSpec

__all__ = ["has_helper", "has_ring_buffers", "page"]


@cache
def has_ring_buffers() -> bool:
    """Whether the kernel makes one (5.8)."""
    try:
        MapSpec("ringbuf", max_entries=page()).create().close()
    except KernelError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


def has_helper(program_type: str, name: str) -> bool:
    """Whether programs may call a helper that is as old as ring buffers, or older: where there are those, it is too."""
    return has_ring_buffers() or name in _allowed(program_type)


@cache
def _allowed(program_type: str) -> frozenset[str]:
    return frozenset(helpers.probe(program_type).allowed)


def page() -> int:
    """The size of a page, in bytes."""
    return os.sysconf("SC_PAGE_SIZE")
