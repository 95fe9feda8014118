"""What packets are addressed with, in the network's byte order."""

from __future__ import annotations

import re
from typing import Any, Final

from fastbpf.record.types import FieldType, Number

__all__ = ["ipv4", "ipv6", "mac", "port"]


class Address(FieldType):
    r"""An address that Python and the column see as text; `raw` is the same as bytes.

    Packed from text, `ipaddress` objects, bytes and, of IP addresses, the number that `int(ip_address)` is.

    >>> import fastbpf as fb
    >>> fb.ipv4.pack("10.0.0.1")
    b'\n\x00\x00\x01'
    >>> fb.ipv4.unpack(bytes([10, 0, 0, 1])), fb.ipv4.raw.unpack(bytes([10, 0, 0, 1]))
    ('10.0.0.1', b'\n\x00\x00\x01')
    """

    __slots__ = ("_binary",)

    def __init__(self, code: str, size: int, align: int, *, binary: bool = False) -> None:
        super().__init__(f"{code}.raw" if binary else code, size, align)
        self._binary: Final = binary

    @property
    def raw(self) -> Address:
        """The address as it is, fixed-size binary."""
        return type(self)(self.code.removesuffix(".raw"), self.size, self.align, binary=True)

    def _pack(self, value: Any) -> bytes:
        try:
            data = self._bytes(value)
        except ValueError:
            data = b""
        if len(data) != self.size:
            raise self._refusal(value)
        return data

    def _unpack(self, data: bytes) -> str | bytes:
        return bytes(data) if self._binary else self._text(bytes(data))

    def _bytes(self, value: Any) -> bytes:
        raise NotImplementedError

    def _text(self, data: bytes) -> str:
        raise NotImplementedError


class _Ipv4(Address):
    __slots__ = ()

    def _bytes(self, value: Any) -> bytes:
        from ipaddress import IPv4Address

        return IPv4Address(value).packed

    def _text(self, data: bytes) -> str:
        from ipaddress import IPv4Address

        return str(IPv4Address(data))


class _Ipv6(Address):
    __slots__ = ()

    def _bytes(self, value: Any) -> bytes:
        from ipaddress import IPv6Address

        address = IPv6Address(value)
        # A zone would be lost: the kernel keeps it elsewhere.
        return b"" if address.scope_id else address.packed

    def _text(self, data: bytes) -> str:
        from ipaddress import IPv6Address

        address = IPv6Address(data)
        # As Rust and, from 3.13 on, Python write it.
        return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


class _Mac(Address):
    __slots__ = ()

    def _bytes(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        if isinstance(value, str) and re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", value):
            return bytes.fromhex(value.replace(":", "").replace("-", ""))
        return b""

    def _text(self, data: bytes) -> str:
        return data.hex(":")


# Aligned as the kernel's __be32 and struct in6_addr are; a MAC address is six bytes wherever they stand.
ipv4: Final = _Ipv4("ipv4", 4, 4)
ipv6: Final = _Ipv6("ipv6", 16, 4)
mac: Final = _Mac("mac", 6, 1)
# Two bytes in the network's order → uint16.
port: Final = Number("port", ">H")
