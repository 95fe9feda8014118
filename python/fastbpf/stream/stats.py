"""Where the events of a stream went."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Stats"]


class Stats(NamedTuple):
    """Where the events went: happened = delivered + queued + lost + missed + dropped.

    received: read from the buffers; delivered: handed out in batches; queued: read and not handed out yet.
    lost: found no room in a buffer, as the program counted them or gaps in a sequence tell; None where neither does.
    missed: the kernel did not run the program, which was busy on that CPU; None where the kernel does not tell.
    dropped: thrown away by the stream, which never does so unless told (`overflow`).
    cut: texts longer than their column takes; bytes: of the buffers; batches: handed out; wakeups: looks at them.
    late: events of an ordered stream that came behind later ones; lateness: seconds that the latest such was behind.
    """

    received: int
    delivered: int
    queued: int
    lost: int | None
    missed: int | None
    dropped: int
    cut: int
    bytes: int
    batches: int
    wakeups: int
    late: int = 0
    lateness: float = 0.0


def accounting(stats: Stats) -> dict[bytes, bytes]:
    """What tables tell of it in their schema's metadata."""
    told = {name: getattr(stats, name) for name in ("received", "delivered", "lost", "missed", "dropped")}
    return {f"fastbpf.{name}".encode(): str(value).encode() for name, value in told.items() if value is not None}
