"""What sinks raise."""

from __future__ import annotations

import errno

from fastbpf.errors import Error

# A disk, a quota or a limit that is full.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SinkError(Error, OSError):
    """A file that cannot be written. `errno` says why with the kernel's number."""

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(errno, message)

    def __str__(self) -> str:
        return str(self.strerror)


class SinkFull(SinkError):  # noqa: N818  # the disk is
    """The disk filled. The file, once closed, is whole and holds `rows` rows."""

    def __init__(self, path: str, rows: int) -> None:
        super().__init__(errno.ENOSPC, f"no room left for {path}: it is whole and holds {rows} rows; free some space")
        self.rows = rows
