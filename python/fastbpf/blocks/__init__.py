"""Building blocks of programs: headers, checksums, maps, ring buffers, time, rate limits. Pure Python.

Each block is a part that `assemble` takes, with labels of its own, and says which registers it clobbers, which bytes of
the stack it writes, and where it goes when it fails.

>>> from fastbpf import blocks
>>> from fastbpf.asm import assemble, r6
>>> print(assemble(blocks.time.now(r6)))
   0: (85) call bpf_ktime_get_ns#5
   1: (bf) r6 = r0
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from fastbpf.blocks.block import Block, block

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Block", "block"]


def __getattr__(name: str) -> ModuleType:
    # a file is loaded when it is first named
    if name in __dir__():
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"fastbpf.blocks has no {name}; it has {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return sorted(found.name for found in iter_modules(__path__))
