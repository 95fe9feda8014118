"""Names of the kernel's functions, for calls that go by an address."""

from __future__ import annotations

import re
from pathlib import Path


class CallNames:
    """The names of what the kernel calls instead of helpers, by the distance from `__bpf_call_base`.

    It knows none where the kernel hides its addresses (kernel.kptr_restrict, proc(5)).
    """

    def __init__(self) -> None:
        self._symbols: str | None = None
        self._base = 0

    def __call__(self, distance: int) -> str | None:
        """The name of the function, None if it is unknown."""
        if self._symbols is None:
            self._read()
        symbols = self._symbols or ""
        address = (self._base + distance) % (1 << 64)
        found = re.search(rf"^{address:016x} \w (\S+)", symbols, re.MULTILINE) if self._base else None
        return found[1] if found else None

    def _read(self) -> None:
        try:
            self._symbols = Path("/proc/kallsyms").read_text("utf-8", "replace")
        except OSError:
            self._symbols = ""
        if found := re.search(r"^([0-9a-f]+) \w __bpf_call_base$", self._symbols, re.MULTILINE):
            self._base = int(found[1], 16)
