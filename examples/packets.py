"""Packets for the examples, made with nothing but `struct`: addresses are text, checksums are right."""

from ipaddress import ip_address
from struct import pack, unpack

TCP, UDP = 6, 17


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): 0 over data that holds its own checksum."""
    data += bytes(len(data) % 2)
    total = sum(unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ethernet(payload: bytes) -> bytes:
    """A frame around an IPv4 or IPv6 packet."""
    protocol = {4: 0x0800, 6: 0x86DD}[payload[0] >> 4]
    return bytes.fromhex("020000000002 020000000001") + pack("!H", protocol) + payload


def ip(source: str, destination: str, payload: bytes, protocol: int = UDP) -> bytes:
    """An IPv4 or IPv6 packet, as the addresses say."""
    addresses = ip_address(source).packed + ip_address(destination).packed
    if len(addresses) == 32:
        return pack("!IHBB", 6 << 28, len(payload), protocol, 64) + addresses + payload
    header = pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + addresses
    return header[:10] + pack("!H", checksum(header)) + header[12:] + payload


def udp_packet(source: str, destination: str, ports: tuple[int, int], data: bytes = b"") -> bytes:
    """A frame with a UDP datagram."""
    header = pack("!HHHH", *ports, 8 + len(data), 0)
    right = checksum(_pseudo_header(source, destination, UDP, 8 + len(data)) + header + data) or 0xFFFF
    return ethernet(ip(source, destination, header[:6] + pack("!H", right) + data, UDP))


def tcp_packet(source: str, destination: str, ports: tuple[int, int], data: bytes = b"") -> bytes:
    """A frame with a TCP segment, a SYN."""
    header = pack("!HHIIBBHHH", *ports, 1, 0, 5 << 4, 2, 65535, 0, 0)
    right = checksum(_pseudo_header(source, destination, TCP, 20 + len(data)) + header + data)
    return ethernet(ip(source, destination, header[:16] + pack("!H", right) + header[18:] + data, TCP))


def told(frame: bytes) -> str:
    """What a frame with IPv4 and TCP says: addresses, ports, and whether both checksums are right."""
    header, segment = frame[14:34], frame[34:]
    source, destination = (str(ip_address(header[at : at + 4])) for at in (12, 16))
    ports = unpack("!HH", segment[:4])
    right = checksum(header) == 0, checksum(_pseudo_header(source, destination, TCP, len(segment)) + segment) == 0
    said = ", ".join(f"{name} {'right' if one else 'WRONG'}" for name, one in zip(("IPv4", "TCP"), right, strict=True))
    return f"{source}:{ports[0]} -> {destination}:{ports[1]} (checksums: {said})"


def _pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    return ip_address(source).packed + ip_address(destination).packed + pack("!II", length, protocol)
