"""What every sink does: keep room for the file's end, take batches, close with the accounting."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Protocol

from .errors import FULL, SinkError, SinkFull
from .output import Output

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from fastbpf import _native
    from fastbpf.stream import Stats


class Exported(Protocol):
    """Whatever tells its Arrow schema: a stream, a `pyarrow.Schema`, a batch."""

    def __arrow_c_schema__(self) -> object: ...


class Sink:
    """A file that batches are written to. `rows` is how many it holds, or will hold when it is closed."""

    # What the end of the file may take at first: it is reserved before anything begins.
    END = 64 << 10

    def __init__(self, outputs: list[Output], metadata: Mapping[str, str]) -> None:
        self._outputs = outputs
        self._output = outputs[0]
        self._metadata = {f"fastbpf.{key}": value for key, value in metadata.items()}
        self.rows = 0
        self._full = False

    @classmethod
    def claim(cls, path: str | os.PathLike[str], *, force: bool) -> list[Output]:
        """The files that such a sink writes, all of them free and writable, with room to end them."""
        made: list[Output] = []
        try:
            for name in cls.files(path):
                made.append(Output(name, force=force))
                if not made[-1].reserve(cls.END):
                    raise SinkError(errno.ENOSPC, f"there is no room for {name}; free some space")
        except BaseException:
            for output in made:
                output.discard()
            raise
        return made

    @classmethod
    def files(cls, path: str | os.PathLike[str]) -> list[str | os.PathLike[str]]:
        """The names of the files that such a sink writes, the events' first."""
        return [path]

    @property
    def path(self) -> str:
        """The file's name, as it was given."""
        return self._output.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, batch: _native.RecordBatch) -> None:
        """Takes a batch (anything with `__arrow_c_array__` for the binary forms).

        Raises:
            SinkFull: the disk filled; `close` makes a whole file of what found room.
        """
        if self._full:
            raise SinkFull(self.path, self.rows)
        self._guarded(lambda: self._take(batch))

    def close(self, stats: Stats | None) -> None:
        """Writes what was gathered and the accounting (None: it is not known), and gives the file its name.

        Raises:
            SinkFull: the disk filled; the file is whole and has its name nevertheless.
        """
        if not self._full:
            try:
                self._guarded(self._flush)
            except SinkFull:
                self._full = True
        told = stats._asdict() if stats else {}
        self._guarded(lambda: self._end(json.dumps({**told, "rows": self.rows})))
        # The events last: where they are, their accounting is.
        for output in reversed(self._outputs):
            self._guarded(output.commit)
        if self._full:
            raise SinkFull(self.path, self.rows)

    def discard(self) -> None:
        """Throws everything away, unless it was closed before."""
        for output in self._outputs:
            output.discard()

    def _guarded(self, work: Callable[[], None]) -> None:
        # Room is reserved ahead, so this meets only what no file system should do: promise, and not keep it.
        try:
            work()
        except SinkFull:
            self._full = True
            raise
        except SinkError:
            raise
        except OSError as error:
            self.discard()
            if error.errno in FULL:
                text = f"no room left for {self.path}, and nothing of it could be kept; free some space"
                raise SinkError(error.errno, text) from None
            raise SinkError(
                error.errno or errno.EIO, f"{self.path} could not be written: {error.strerror or error}"
            ) from None

    # A batch that finds no room whole is tried in halves: the disk is filled to the last row.
    def _split(self, batch: _native.RecordBatch) -> None:
        half = len(batch) // 2
        if not half:
            raise SinkFull(self.path, self.rows)
        self._take(batch.slice(0, half))
        self._take(batch.slice(half, len(batch) - half))

    # What a form does.

    def _take(self, batch: _native.RecordBatch) -> None:
        raise NotImplementedError

    def _flush(self) -> None:
        pass

    def _end(self, stats: str) -> None:
        raise NotImplementedError
