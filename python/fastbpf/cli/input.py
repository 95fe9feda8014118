"""What a command reads whole: a file, or stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from fastbpf.cli.refusal import Refused


def read_input(file: str) -> bytes:
    """The bytes of a file; "-" is stdin."""
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read ({error.strerror}); check the name") from None
