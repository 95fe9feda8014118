"""Links: programs on their hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from fastbpf import _native

__all__ = ["Link"]


class Link:
    """A program on its hook, until this is closed. It goes with the process: nothing of it stays in the kernel.

    `probe` is where it hangs, `kind` how: "perf_event" (tracepoints and kprobes), "raw_tracepoint", "xdp" and "tcx" are
    BPF links, "perf_event ioctl" is the way before perf-event links (5.15).
    """

    def __init__(self, native: _native.Link, probe: str) -> None:
        self.probe = probe
        self._native = native

    def __repr__(self) -> str:
        return f"<fastbpf.Link {self.probe}>"

    @property
    def kind(self) -> str:
        """How the program hangs on its hook."""
        return self._native.kind

    def fileno(self) -> int:
        """The file descriptor, which stays this object's."""
        return self._native.fileno()

    def close(self) -> None:
        """Detaches; the kernel takes tens of milliseconds for perf events. A second time does nothing."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
