"""A file that gets its name when it is whole, and for which room can be reserved."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from pathlib import Path
from typing import Final

from .errors import FULL, SinkError

_COUNT = itertools.count()
# Where there is no O_TMPFILE: EISDIR is how kernels say it that do not know it, EOPNOTSUPP how file systems do.
_NO_TMPFILE: Final = frozenset({errno.EISDIR, errno.EOPNOTSUPP, errno.ENOENT, errno.EINVAL})
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_REMEDIES: Final = {
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "its folder is none",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that is not read-only",
    errno.ENAMETOOLONG: "choose a shorter name",
    **dict.fromkeys(FULL, "free some space"),
}


class Output:
    """A new file at `path`, without a name until `commit`: `discard`, or the process's end, leaves nothing of it.

    Where the file system has no nameless files (open(2), O_TMPFILE), it has a hidden name in the same folder.

    Raises:
        SinkError: the file exists (and no `force`), or cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        self.path = os.fspath(path)
        self._force = force
        # A link is followed: its target is what is replaced.
        folder, self._name = os.path.split(os.path.realpath(self.path))
        self._hidden = f".{self._name[:200]}.fastbpf-{os.getpid()}-{next(_COUNT)}"
        self._fd = self._folder = -1
        self._position = 0
        self._reserved = 0
        try:
            # A slash at the end names a folder.
            if self.path.endswith("/"):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._check_target()
            self._fd = self._make()
        except OSError as error:
            self.discard()
            if isinstance(error, SinkError):
                raise
            number = error.errno or errno.EIO
            remedy = _REMEDIES.get(number, "choose another place")
            raise SinkError(number, f"{self.path} cannot be written ({os.strerror(number)}); {remedy}") from None

    def _check_target(self) -> None:
        try:
            mode = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise SinkError(
                errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, f"{self.path} is {what}; choose another name"
            )
        if not self._force:
            raise SinkError(
                errno.EEXIST, f"{self.path} exists already; choose another name, or replace it with force (--force)"
            )

    def _make(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC
        # /proc is what gives it a name later.
        if Path("/proc/self/fd").exists():
            try:
                fd = os.open(".", flags | os.O_TMPFILE, 0o666, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise
            else:
                self._hidden, self._link = "", self._hidden
                return fd
        fd = os.open(self._hidden, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self._folder)
        self._link = self._hidden
        return fd

    @property
    def closed(self) -> bool:
        """Whether `commit` or `discard` was called."""
        return self._fd < 0

    def tell(self) -> int:
        """Bytes written so far."""
        return self._position

    def write(self, data: bytes | memoryview) -> int:
        """Appends all of `data`."""
        view = memoryview(data).cast("B")
        rest = view
        while rest:
            done = os.pwrite(self._fd, rest, self._position)
            self._position += done
            rest = rest[done:]
        return len(view)

    def rewind(self, position: int) -> None:
        """Forgets what was written from `position` on."""
        self._position = position

    def overwrite(self, data: bytes, position: int) -> None:
        """Puts `data` where other bytes were written before."""
        os.pwrite(self._fd, data, position)

    def read(self, size: int, position: int) -> bytes:
        """What was written before, `size` bytes from `position` on."""
        return os.pread(self._fd, size, position)

    def reserve(self, size: int) -> bool:
        """Makes sure of room for the next `size` bytes; False where the disk, the quota or a limit is full."""
        end = self._position + size
        if end <= self._reserved:
            return True
        start = max(self._position, self._reserved)
        try:
            os.posix_fallocate(self._fd, start, end - start)
        except OSError as error:
            if error.errno in FULL:
                return False
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
                raise
            # A file system that cannot promise is asked what it has.
            room = os.fstatvfs(self._fd)
            return room.f_bavail * room.f_frsize >= end - start
        self._reserved = end
        return True

    def commit(self) -> None:
        """Ends the file where the last byte was written, and gives it its name.

        Raises:
            SinkError: a file of that name came up meanwhile; what was written has the name that the message tells.
        """
        os.ftruncate(self._fd, self._position)
        if self._hidden == "" and (self._force or not self._linked(self._name)):
            self._hidden = self._link
            self._linked(self._hidden)
        if self._hidden:
            self._rename()
        self._close()

    def _linked(self, name: str) -> bool:
        # linkat(2) with AT_SYMLINK_FOLLOW, which Python uses only when it is given a folder.
        try:
            os.link(f"/proc/self/fd/{self._fd}", name, dst_dir_fd=self._folder, follow_symlinks=True)
        except FileExistsError:
            return False
        return True

    def _rename(self) -> None:
        hidden, self._hidden = self._hidden, ""
        if self._force:
            os.replace(hidden, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            return
        try:
            # Unlike rename(2), link(2) replaces nothing.
            os.link(hidden, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            where = Path(self.path).parent / hidden
            self._close()
            raise SinkError(errno.EEXIST, f"{self.path} came up meanwhile; what was written is {where}") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                self._hidden = hidden
                raise
            os.replace(hidden, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            os.unlink(hidden, dir_fd=self._folder)

    def discard(self) -> None:
        """Throws away what was not committed; a second time does nothing."""
        if self._fd >= 0 and self._hidden:
            with contextlib.suppress(OSError):
                os.unlink(self._hidden, dir_fd=self._folder)
        self._close()

    def _close(self) -> None:
        for fd in (self._fd, self._folder):
            if fd >= 0:
                os.close(fd)
        self._fd = self._folder = -1
