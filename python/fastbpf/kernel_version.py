"""Which kernel a fact is about: its major and minor number. The rest of a release's name says nothing about BPF."""

from __future__ import annotations

from typing import NamedTuple


class KernelVersion(NamedTuple):
    """A kernel's version. It compares and sorts as the pair of its numbers, and prints as people write it.

    >>> KernelVersion.of("6.14.0-33-generic") > KernelVersion(5, 8)
    True
    >>> print(KernelVersion.of(0x050A00))
    5.10
    """

    major: int
    minor: int

    @classmethod
    def of(cls, value: str | int | tuple[int, ...] | KernelVersion) -> KernelVersion:
        """Reads a version: `"5.8"`, a release as `uname -r` prints it, the number of LINUX_VERSION_CODE, or a pair.

        Raises `ValueError` for what is none of them.

        >>> KernelVersion.of("5.8") == KernelVersion.of(0x050800) == KernelVersion.of((5, 8)) == (5, 8)
        True
        >>> KernelVersion.of("latest")
        Traceback (most recent call last):
            ...
        ValueError: 'latest' is no kernel version: write it as "5.8", "6.14.0-33-generic", 0x050800 or (5, 8)
        """
        match value:
            case str():
                major, _, rest = value.strip().partition(".")
                minor = rest[: len(rest) - len(rest.lstrip("0123456789"))]
                if major.isdecimal() and minor.isdecimal() and (major + minor).isascii():
                    return cls(int(major), int(minor))
            case (int(), int(), *_) if value[0] >= 0 and value[1] >= 0:
                return cls(value[0], value[1])
            case int() if 0x10000 <= value <= 0xFFFF_FFFF:  # major << 16 | minor << 8 | patch
                return cls(value >> 16, value >> 8 & 0xFF)
        raise ValueError(f'{value!r} is no kernel version: write it as "5.8", "6.14.0-33-generic", 0x050800 or (5, 8)')

    @classmethod
    def running(cls) -> KernelVersion:
        """The version of the kernel that runs this process, as uname(2) names it.

        >>> KernelVersion.running() >= (3, 19)
        True
        """
        import os

        return cls.of(os.uname().release)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"
