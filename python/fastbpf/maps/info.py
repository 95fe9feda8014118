"""What the kernel knows of maps."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fastbpf.errors import KernelError
from fastbpf.maps.cpus import possible_cpus
from fastbpf.maps.types import type_name
from fastbpf.privileges import remedied

if TYPE_CHECKING:
    from fastbpf import _native

__all__ = ["MapInfo", "info_of", "loaded_maps"]


class MapInfo(NamedTuple):
    """What the kernel knows of a map: sizes in bytes, `memory` what it takes up (0 where the kernel does not tell).

    `type` is the kernel's name; `flags` are BPF_F_… bits; `btf_id` is 0 for a map without types; nobody can change a
    `frozen` map by bpf(2).

    Source: bpf(2), BPF_OBJ_GET_INFO_BY_FD; /proc/PID/fdinfo.
    """

    id: int
    type: str
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    map_extra: int
    btf_id: int
    memory: int
    frozen: bool


def info_of(native: _native.Map) -> MapInfo:
    """What the kernel knows of this map."""
    told = native.info()
    more = _fdinfo(native.fileno())
    return MapInfo(
        **{**told, "type": type_name(told["type"])},
        memory=int(more.get("memlock", "0")),
        frozen=more.get("frozen") == "1",
    )


def loaded_maps() -> list[MapInfo]:
    """All maps in the kernel, in the order in which they were made, of whoever made them. Linux 4.13.

    Raises:
        KernelError: without CAP_SYS_ADMIN.
    """
    from fastbpf import _native

    found = []
    try:
        for number in _native.map_ids():
            # It may be gone by now.
            try:
                native = _native.Map.of_id(number, possible_cpus())
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise
                continue
            try:
                found.append(info_of(native))
            finally:
                native.close()
    except KernelError as error:
        raise remedied(error) from None
    return found


def _fdinfo(fd: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in lines}
