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
def refusing(kinds: tuple[type[Exception], ...] = (Error, ValueError, OSError)) -> Iterator[None]:
    """What goes wrong in here is a refusal, if it is of these kinds; anything else is a bug of ours.

    `ValueError` is for where the library gets what people gave, such as `--since`, and refuses it so.
    """
    try:
        yield
    except kinds as error:
        raise Refused(str(error)) from None
