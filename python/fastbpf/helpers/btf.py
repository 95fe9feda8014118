"""The registry against the list of helpers in the running kernel's BTF (`enum bpf_func_id`)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from fastbpf.errors import KernelError
from fastbpf.helpers.registry import all
from fastbpf.kernel_version import KernelVersion

if TYPE_CHECKING:
    from fastbpf.helpers.helper import Helper

__all__ = ["Comparison", "check"]

_PREFIX = "BPF_FUNC_"


class Comparison(NamedTuple):
    """How the registry differs from a kernel; print it to read it.

    `missing` are helpers of the kernel that the registry does not know (id and name), `extra` helpers of the registry
    that the kernel does not have, `renamed` those that go by another name there. On an older kernel, the helpers that
    came later are `extra`.
    """

    kernel: KernelVersion
    missing: tuple[tuple[int, str], ...]
    extra: tuple[Helper, ...]
    renamed: tuple[tuple[Helper, str], ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs but what came after this kernel."""
        return not (self.missing or self.renamed or any(one.min_kernel <= self.kernel for one in self.extra))

    def __str__(self) -> str:
        lines = [
            *(f"missing: {id} {name}" for id, name in self.missing),
            *(f"renamed: {one.id} {one.name} is {name}" for one, name in self.renamed),
            *(f"extra: {one.id} {one.name}, since Linux {one.min_kernel}" for one in self.extra),
        ]
        return "\n".join([f"Linux {self.kernel}: {'agrees' if self.agrees else 'differs'}", *lines])


def check() -> Comparison:
    """Compares the registry with the running kernel. Raises `KernelError` if that has no BTF."""
    from fastbpf import _native

    listed = _native.btf_enumerators("bpf_func_id")
    if listed is None:
        raise KernelError(errno.ENOENT, "the kernel has no BTF to compare with; use one with CONFIG_DEBUG_INFO_BTF")
    return compare({number: name.removeprefix(_PREFIX) for name, number in listed if name.startswith(_PREFIX)})


def compare(listed: dict[int, str]) -> Comparison:
    """Compares the registry with the numbers and names of a kernel.

    >>> [(one.id, name) for one, name in compare({5: "ktime_get"}).renamed]
    [(5, 'ktime_get')]
    """
    known = {one.id: one for one in all()}
    return Comparison(
        kernel=KernelVersion.running(),
        missing=tuple((id, name) for id, name in sorted(listed.items()) if id not in known and id),
        extra=tuple(one for id, one in known.items() if id not in listed),
        renamed=tuple((one, listed[id]) for id, one in known.items() if id in listed and listed[id] != one.name),
    )
