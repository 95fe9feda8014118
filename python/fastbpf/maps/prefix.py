"""Keys of LPM tries: networks."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any, Final

from fastbpf.errors import LayoutError
from fastbpf.record import FieldType, ipv4, ipv6

__all__ = ["Prefix"]

_NETWORKS: Final[dict[FieldType, Any]] = {ipv4: ipaddress.IPv4Network, ipv6: ipaddress.IPv6Network}


class Prefix(FieldType):
    """The first bits of something, as a trie's key: their number, and the something (struct bpf_lpm_trie_key).

    Of `fb.ipv4` and `fb.ipv6` it is a network, to Python text such as "10.0.0.0/8"; of all else it is the something
    and how many bits of it count, `(b"ab", 12)`. All bits are meant where no number is given.

    >>> import fastbpf as fb
    >>> networks = Prefix(fb.ipv4)
    >>> networks.pack("10.0.0.0/8").hex(" ", 4)
    '08000000 0a000000'
    >>> networks.unpack(networks.pack("10.1.2.3"))
    '10.1.2.3/32'
    >>> networks.pack("10.1.2.3/8")
    Traceback (most recent call last):
        ...
    fastbpf.errors.LayoutError: '10.1.2.3/8' is no network of fb.ipv4: it has bits after the first 8; write '10.0.0.0/8'
    """

    __slots__ = ("data",)

    def __init__(self, data: FieldType) -> None:
        size = 4 + data.size
        super().__init__(f"struct {size}{{prefixlen@0=u32;data@4={data.code}}}", size, 4, f"{data!r}")
        self.data: Final = data

    def _pack(self, value: Any) -> bytes:
        network = _NETWORKS.get(self.data)
        length, data = self._bits(value) if network is None else self._network(network, value)
        return struct.pack("=I", length) + data

    def _network(self, network: Any, value: Any) -> tuple[int, bytes]:
        if value is None or isinstance(value, bool):
            raise self._refusal(value)
        try:
            found = network(value, strict=False)
        except ValueError:
            raise LayoutError(f"{value!r} is no network of {self.data!r}, such as '{_EXAMPLES[self.data]}'") from None
        try:
            network(value)
        except ValueError:
            told = f"it has bits after the first {found.prefixlen}; write '{found}'"
            raise LayoutError(f"{value!r} is no network of {self.data!r}: {told}") from None
        return found.prefixlen, found.network_address.packed

    def _bits(self, value: Any) -> tuple[int, bytes]:
        most = 8 * self.data.size
        data, length = value if isinstance(value, tuple) and len(value) == 2 else (value, most)
        if type(length) is not int or not 0 <= length <= most:
            raise LayoutError(f"{value!r}: the first 0 to {most} bits of {self.data!r} count, not {length!r}")
        return length, self.data.pack(data)

    def _unpack(self, data: bytes) -> Any:
        (length,) = struct.unpack_from("=I", data)
        value = self.data.unpack(data[4 : 4 + self.data.size])
        return f"{value}/{length}" if self.data in _NETWORKS else (value, length)


_EXAMPLES: Final[dict[FieldType, str]] = {ipv4: "10.0.0.0/8", ipv6: "2001:db8::/32"}
