"""Refusals: what is wrong before anything has begun."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastbpf.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator


class Refused(Exception):  # noqa: N818  # it is the word for exit code 2
    """Nothing was begun; the message says why, and what to do."""


@contextmanager
def refusing() -> Iterator[None]:
    """What goes wrong in here is a refusal."""
    try:
        yield
    except (Error, ValueError, OSError) as error:
        raise Refused(str(error)) from None
