"""Tells connections apart by protocol, addresses and ports: a key of 40 bytes on the stack, every byte of it written.

sudo python examples/conntrack_key.py
"""

from ipaddress import IPv6Address

from packets import tcp_packet, udp_packet

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import ethernet, ipv4, ipv6, maps, memory, packet, udp


class Connection(fb.Struct):
    protocol: fb.u32
    source_port: fb.u16
    destination_port: fb.u16
    source: fb.raw[16]
    destination: fb.raw[16]


connections = fb.MapSpec("hash", key=Connection, value=fb.u64, max_entries=1024, name="connections")
key = fp - Connection.size


def at(field: str) -> Address:
    return key + Connection.offset(field)


code = assemble(
    packet.pointers(r6, r7, r1, "xdp"),
    ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
    memory.zero(key, Connection.size),
    jeq(r2, ethernet.IPV4, "ipv4"),
    jne(r2, ethernet.IPV6, "pass"),
    ipv6.parse(r8, r7, protocol=r2, payload=r9, fail="pass"),
    ipv6.load_address(at("source"), r8, ipv6.SOURCE),
    ipv6.load_address(at("destination"), r8, ipv6.DESTINATION),
    ja("ports"),
    label("ipv4"),
    ipv4.parse(r8, r7, protocol=r2, payload=r9, fail="pass"),
    ipv4.unfragmented(r8, fail="pass"),
    ipv6.load_mapped(at("source"), r8, ipv4.SOURCE),
    ipv6.load_mapped(at("destination"), r8, ipv4.DESTINATION),
    label("ports"),
    memory.store(at("protocol"), r2, 4),
    jeq(r2, ipv4.TCP, "have"),
    jne(r2, ipv4.UDP, "count"),  # the others have no ports: they stay 0
    label("have"),
    udp.check(r9, r7, fail="pass"),  # TCP's begin with the same 4 bytes
    packet.load(r2, r9, udp.SOURCE),
    memory.store(at("source_port"), r2, 2),
    packet.load(r2, r9, udp.DESTINATION),
    memory.store(at("destination_port"), r2, 2),
    label("count"),
    maps.increment(connections, key, new=fp - 48),
    label("pass"),
    packet.verdict("XDP_PASS"),
)


def shown(address: bytes) -> str:
    there = IPv6Address(address)
    return str(there.ipv4_mapped or f"[{there}]")


def main() -> None:
    with fb.ProgramSpec("xdp", code, name="conntrack").load() as program:
        program.test_run(tcp_packet("10.0.0.1", "10.0.0.2", (5000, 443)), repeat=3)
        program.test_run(tcp_packet("10.0.0.1", "10.0.0.2", (5001, 443)), repeat=4)
        program.test_run(udp_packet("10.0.0.1", "10.0.0.2", (5000, 443)), repeat=5)
        program.test_run(udp_packet("2001:db8::1", "2001:db8::2", (5000, 53)), repeat=6)
        found = program.maps["connections"].items()
        for one, packets in sorted(found, key=lambda item: item[1]):
            protocol = {6: "TCP", 17: "UDP"}[one.protocol]
            ends = f"{shown(one.source)}:{one.source_port} -> {shown(one.destination)}:{one.destination_port}"
            print(f"{protocol} {ends}: {packets} packets")


if __name__ == "__main__":
    main()
