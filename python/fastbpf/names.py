"""Names of kernel objects."""

from __future__ import annotations

import re

from fastbpf.errors import LayoutError


def check_name(name: str) -> None:
    """Refuses what the kernel would (kernel/bpf/syscall.c, bpf_obj_name_cpy).

    >>> check_name("count opens")
    Traceback (most recent call last):
        ...
    fastbpf.errors.LayoutError: 'count opens' cannot be a name: at most 15 of A-Z, a-z, 0-9, _ and .
    """
    if not re.fullmatch(r"[A-Za-z0-9_.]{0,15}", name):
        raise LayoutError(f"{name!r} cannot be a name: at most 15 of A-Z, a-z, 0-9, _ and .")
