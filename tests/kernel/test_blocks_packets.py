"""Blocks for packets, run by the kernel on packets that scapy built, and judged by what scapy sees in them."""

from __future__ import annotations

import ipaddress
import itertools
import struct
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import bounds, checksum, ethernet, icmp, ipv4, ipv6, nat, packet, tcp, transport, udp

TYPES = ("xdp", "sched_cls")
by_kernel = settings(max_examples=60, deadline=None)

ETHERNET = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
TAGS = {
    "": ETHERNET,
    "one tag": ETHERNET / Dot1Q(vlan=5),
    "two tags": ETHERNET / Dot1AD(vlan=6) / Dot1Q(vlan=7),
    "two tags of one kind": ETHERNET / Dot1Q(vlan=8) / Dot1Q(vlan=9),
}
FOUR = {"src": "192.0.2.1", "dst": "198.51.100.2"}
SIX = {"src": "2001:db8::1", "dst": "2001:db8::2"}
NETWORKS = {
    "IPv4": IP(**FOUR),
    "IPv4 with an option": IP(**FOUR, options=[IPOption_NOP()]),
    "IPv4 with 40 bytes of options": IP(**FOUR, options=[IPOption_RR(length=39, routers=["0.0.0.0"] * 9), b"\0"]),
    "IPv4, first fragment": IP(**FOUR, flags="MF"),
    "IPv6": IPv6(**SIX),
    "IPv6 with hop-by-hop": IPv6(**SIX) / IPv6ExtHdrHopByHop(),
    "IPv6 with three": IPv6(**SIX)
    / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrRouting(addresses=["2001:db8::3"])
    / IPv6ExtHdrDestOpt(),
    "IPv6, first fragment": IPv6(**SIX) / IPv6ExtHdrFragment(offset=0, m=1, id=1),
}
TRANSPORTS = {
    "TCP": TCP(sport=1234, dport=443, flags="S"),
    "TCP with options": TCP(sport=1234, dport=443, flags="SA", options=[("MSS", 1460), ("NOP", None), ("WScale", 7)]),
    "UDP": UDP(sport=1234, dport=53),
    "ICMP": ICMP(type=8, id=3, seq=4),
}


def built(tags, network, transport, payload=b"payload"):
    """A packet with right lengths and checksums."""
    if transport is TRANSPORTS["ICMP"] and network.haslayer(IPv6):
        transport = ICMPv6EchoRequest(id=3, seq=4)
    return bytes(tags / network / transport / payload)


PACKETS = {
    f"{transport} in {network}" + (f" behind {tags}" if tags else ""): built(
        TAGS[tags], NETWORKS[network], TRANSPORTS[transport]
    )
    for tags, network, transport in itertools.product(TAGS, NETWORKS, TRANSPORTS)
}
SIMPLE = {name: PACKETS[f"{name} in IPv4"] for name in ("TCP", "UDP", "ICMP")}


def load(prog_type, *parts):
    return fb.ProgramSpec(prog_type, assemble(*parts)).load()


def run(prog_type, *parts, data=SIMPLE["TCP"]):
    with load(prog_type, *parts) as program:
        return program.test_run(data)


def returned(value):
    """End with a register's or a number's value."""
    return [mov(r0, value), exit_()]


# What a program says of a packet: how far it came, and there 4 bits of what it found and two offsets.
FAILED_AT = {"ethernet": 0x1000_0000, "network": 0x2000_0000, "transport": 0x3000_0000, "unknown": 0x4000_0000}
FOUND = {"TCP": 5, "UDP": 6, "ICMP": 7}


def found(kind, offset, payload):
    return FOUND[kind] << 28 | offset << 12 | payload


def parser(prog_type):
    """Every header that there may be; r8 the network's header, then the transport's, r9 what follows it."""

    def tell(kind):
        # offset of the transport's header, and of its payload
        return [
            [packet.distance(r2, r6, r8), packet.distance(r3, r6, r9), lsh(r2, 12), or_(r2, r3)],
            [mov(r0, FOUND[kind]), lsh(r0, 28), or_(r0, r2), exit_()],
        ]

    return [
        packet.pointers(r6, r7, r1, prog_type),
        ethernet.parse(r6, r7, protocol=r2, header=r8, fail="ethernet"),
        jeq(r2, ethernet.IPV6, "six"),
        jne(r2, ethernet.IPV4, "unknown"),
        ipv4.parse(r8, r7, protocol=r2, payload=r9, fail="network"),
        ipv4.unfragmented(r8, fail="unknown"),
        jeq(r2, ipv4.ICMP, "icmp"),
        ja("ports"),
        label("six"),
        ipv6.parse(r8, r7, protocol=r2, payload=r9, fail="network"),
        ipv6.extensions(r9, r7, protocol=r2, fail="network"),
        jeq(r2, ipv6.ICMP, "icmp"),
        label("ports"),
        mov(r8, r9),
        jeq(r2, ipv4.TCP, "tcp"),
        jne(r2, ipv4.UDP, "unknown"),
        udp.parse(r8, r7, payload=r9, fail="transport"),
        tell("UDP"),
        label("tcp"),
        tcp.parse(r8, r7, payload=r9, fail="transport"),
        tell("TCP"),
        label("icmp"),
        mov(r8, r9),
        icmp.parse(r8, r7, type=r2, payload=r9, fail="transport"),
        tell("ICMP"),
        [(label(where), const(r0, number), exit_()) for where, number in FAILED_AT.items()],
    ]


def seen_by_scapy(data):
    """Where the network's header, the transport's and the payload begin."""
    whole = Ether(data)
    network = whole.getlayer(IP) or whole.getlayer(IPv6)
    last = whole.getlayer(Raw)
    length = len(data)
    if whole.haslayer(ICMPv6EchoRequest):  # scapy keeps the payload in it
        layer, payload = whole[ICMPv6EchoRequest], length - len(whole[ICMPv6EchoRequest].data)
    else:
        layer, payload = whole.getlayer(TCP) or whole.getlayer(UDP) or whole.getlayer(ICMP), length - len(last)
    kind = "ICMP" if layer.name.startswith("ICMP") else layer.name
    return kind, length - len(network), length - len(layer), payload


def expected(data, cut):
    kind, network, layer, payload = seen_by_scapy(data)
    if cut < network:
        return FAILED_AT["ethernet"]
    if cut < layer:
        return FAILED_AT["network"]
    return found(kind, layer, payload) if cut >= payload else FAILED_AT["transport"]


def shortest(prog_type, data):
    """What the kernel takes for a test run: a socket buffer that says it is IP has that header."""
    return {0x0800: 34, 0x86DD: 54}.get(Ether(data).type, 14) if prog_type == "sched_cls" else 14


@pytest.mark.parametrize("prog_type", TYPES)
def test_every_header_is_found_and_what_is_cut_off_fails_at_every_length(prog_type):
    with load(prog_type, parser(prog_type)) as program:
        for name, data in PACKETS.items():
            for cut in range(shortest(prog_type, data), len(data) + 1):
                got, wanted = program.test_run(data[:cut]).retval, expected(data, cut)
                assert hex(got) == hex(wanted), f"{name}, {cut} of {len(data)} bytes"


def with_authentication(inner):
    # scapy has it only beside a library for ciphers: next header, (24 bytes - 8) / 4, reserved, three words, a digest
    return ETHERNET / IPv6(**SIX, nh=51) / (struct.pack(">BBHII", 6, 4, 0, 1, 1) + bytes(12) + bytes(inner))


OPTIONS = IPv6ExtHdrDestOpt()
ODD = {
    "ARP": (ETHERNET / ARP(), "unknown"),
    "three tags": (TAGS["two tags"] / Dot1Q() / IP(**FOUR) / TCP(), "unknown"),
    "SCTP": (ETHERNET / IP(**FOUR, proto=132) / bytes(40), "unknown"),
    "a later fragment": (ETHERNET / IP(**FOUR, frag=100) / bytes(40), "unknown"),
    "the second of the smallest": (ETHERNET / IP(**FOUR, frag=1, flags="MF") / bytes(40), "unknown"),
    "the last that there can be": (ETHERNET / IP(**FOUR, frag=0x1000) / bytes(40), "unknown"),
    "a later fragment of IPv6": (ETHERNET / IPv6(**SIX) / IPv6ExtHdrFragment(offset=100, nh=6) / bytes(40), "network"),
    "IPv4 that says version 6": (ETHERNET / IP(**FOUR, version=6) / TCP(), "network"),
    "an IPv4 header of 16 bytes": (ETHERNET / IP(**FOUR, ihl=4) / TCP(), "network"),
    "IPv6 that says version 4": (ETHERNET / IPv6(**SIX, version=4) / TCP(), "network"),
    "a TCP header of 16 bytes": (ETHERNET / IP(**FOUR) / TCP(dataofs=4) / bytes(40), "transport"),
    "five extension headers": (
        ETHERNET / IPv6(**SIX) / IPv6ExtHdrHopByHop() / OPTIONS / OPTIONS / OPTIONS / OPTIONS / TCP(),
        "unknown",
    ),
    "no next header": (ETHERNET / IPv6(**SIX, nh=59), "unknown"),
}


@pytest.mark.parametrize("prog_type", TYPES)
def test_what_is_no_such_packet_is_told(prog_type):
    with load(prog_type, parser(prog_type)) as program:
        got = {name: program.test_run(bytes(data)).retval for name, (data, _) in ODD.items()}
        assert got == {name: FAILED_AT[where] for name, (_, where) in ODD.items()}
        authenticated = bytes(with_authentication(TCP() / b"payload"))
        assert program.test_run(authenticated).retval == found("TCP", 14 + 40 + 24, 14 + 40 + 24 + 20)
        assert program.test_run(authenticated[: 14 + 40 + 23]).retval == FAILED_AT["network"]


def test_as_many_tags_and_extension_headers_as_there_may_be():
    parts = [
        packet.pointers(r6, r7, r1, "xdp"),
        ethernet.parse(r6, r7, protocol=r2, header=r8, fail="fail", tags=8),
        [jne(r2, ethernet.IPV6, "fail"), ipv6.parse(r8, r7, protocol=r2, payload=r9, fail="fail")],
        ipv6.extensions(r9, r7, protocol=r2, fail="fail", most=8),
        [jne(r2, ipv6.TCP, "fail"), tcp.check(r9, r7, fail="fail"), packet.distance(r2, r6, r9), returned(r2)],
        [label("fail"), returned(0)],
    ]
    with load("xdp", parts) as program:
        for tags, headers in itertools.product((0, 1, 7, 8, 9), repeat=2):
            data = ETHERNET
            for _ in range(tags):
                data /= Dot1Q()
            data /= IPv6(**SIX)
            for size in range(headers):
                data /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4 + 8 * size))])
            wanted = 0 if 9 in (tags, headers) else len(data)
            assert program.test_run(bytes(data / TCP() / b"payload")).retval == wanted, (tags, headers)


def with_headers(prog_type, *parts, transport=None):
    """A program with r6, r7 the packet's ends, r8 the IPv4 header and r9 the next one, of which both are checked."""
    return [
        mov(r5, r1),
        packet.pointers(r6, r7, r1, prog_type),
        ethernet.parse(r6, r7, protocol=r2, header=r8, fail="fail"),
        ipv4.parse(r8, r7, protocol=r2, payload=r9, fail="fail"),
        [] if transport is None else bounds.check(r9, r7, 0, transport.LENGTH, "fail"),
        [mov(r1, r5), parts],
        label("fail"),
        returned(99),
    ]


TCP_HEADER = {"sport": 1234, "dport": 443, "seq": 0x89ABCDEF, "ack": 0xFEDCBA98, "window": 4321, "urgptr": 0x8001}
FULL = ETHERNET / IP(**FOUR, tos=0x1C, id=0xABCD, ttl=77) / TCP(**TCP_HEADER, flags="SE") / b"payload"
SEEN = Ether(bytes(FULL))


def octets(address):
    return int.from_bytes(bytes.fromhex(address.replace(":", "")), "big")


FIELDS = [
    (r6, ethernet.DESTINATION, octets(SEEN.dst)),
    (r6, ethernet.SOURCE, octets(SEEN.src)),
    (r6, ethernet.PROTOCOL, SEEN.type),
    (r8, ipv4.VERSION, 0x45),
    (r8, ipv4.TOS, SEEN[IP].tos),
    (r8, ipv4.TOTAL_LENGTH, SEEN[IP].len),
    (r8, ipv4.IDENTIFICATION, SEEN[IP].id),
    (r8, ipv4.FRAGMENT, 0),
    (r8, ipv4.TTL, SEEN[IP].ttl),
    (r8, ipv4.PROTOCOL, SEEN[IP].proto),
    (r8, ipv4.CHECKSUM, SEEN[IP].chksum),
    (r8, ipv4.SOURCE, int(ipaddress.ip_address(SEEN[IP].src))),
    (r8, ipv4.DESTINATION, int(ipaddress.ip_address(SEEN[IP].dst))),
    (r9, tcp.SOURCE, SEEN[TCP].sport),
    (r9, tcp.DESTINATION, SEEN[TCP].dport),
    (r9, tcp.SEQUENCE, SEEN[TCP].seq),
    (r9, tcp.ACKNOWLEDGEMENT, SEEN[TCP].ack),
    (r9, tcp.FLAGS, int(SEEN[TCP].flags)),
    (r9, tcp.WINDOW, SEEN[TCP].window),
    (r9, tcp.CHECKSUM, SEEN[TCP].chksum),
    (r9, tcp.URGENT, SEEN[TCP].urgptr),
    (r9, packet.HeaderField("eight", 4, 8), SEEN[TCP].seq << 32 | SEEN[TCP].ack),
]


@pytest.mark.parametrize("prog_type", TYPES)
def test_fields_are_what_scapy_reads(prog_type):
    for pointer, field, value in FIELDS:
        network = int.from_bytes(value.to_bytes(field.size, "big"), "little")
        parts = [
            [packet.load(r2, pointer, field), const(r3, value), jne(r2, r3, "fail")],
            [packet.load(r2, pointer, field, order="network"), const(r3, network), jne(r2, r3, "fail")],
            [packet.match(pointer, field, value, fail="fail"), const(r3, value)],
            [packet.match(pointer, field, r3, fail="fail")],
            [packet.match(pointer, field, value ^ 1, fail="other"), ja("fail")],
            [label("other"), const(r3, value ^ 1 << field.size * 8 - 1)],
            [packet.match(pointer, field, r3, fail="last"), ja("fail"), label("last")],
            returned(1),
        ]
        assert run(prog_type, with_headers(prog_type, parts, transport=tcp), data=bytes(FULL)).retval == 1, field


@pytest.mark.parametrize("prog_type", TYPES)
def test_stores_are_what_scapy_reads(prog_type):
    for pointer, field, value in FIELDS:
        new = value ^ (0x5A << (field.size * 8 - 8)) ^ 0x81
        network = int.from_bytes(new.to_bytes(field.size, "big"), "little")
        results = []
        for store in (
            packet.store(pointer, field, new),
            [const(r3, new), packet.store(pointer, field, r3)],
            [const(r3, network), packet.store(pointer, field, r3, order="network")],
        ):
            result = run(prog_type, with_headers(prog_type, store, returned(1), transport=tcp), data=bytes(FULL))
            assert result.retval == 1
            results.append(result.data)
        base = {r6: 0, r8: 14, r9: 34}[pointer] + field.offset
        wanted = bytes(FULL)[:base] + new.to_bytes(field.size, "big") + bytes(FULL)[base + field.size :]
        assert results == [wanted] * 3, field


def test_addresses_are_written_as_text():
    parts = [
        packet.match(r8, ipv4.SOURCE, FOUR["src"], fail="fail"),
        packet.match(r6, ethernet.SOURCE, ETHERNET.src, fail="fail"),
        packet.store(r8, ipv4.SOURCE, "203.0.113.250"),
        packet.store(r6, ethernet.DESTINATION, "0A:bc:de:f0:12:34"),
        returned(1),
    ]
    result = run("xdp", with_headers("xdp", parts))
    assert result.retval == 1
    seen = Ether(result.data)
    assert (seen[IP].src, seen.dst) == ("203.0.113.250", "0a:bc:de:f0:12:34")


@pytest.mark.parametrize("prog_type", TYPES)
def test_answers_have_their_ends_exchanged(prog_type):
    data = SIMPLE["UDP"]
    parts = [ethernet.swap(r6), ipv4.swap(r8), udp.swap(r9), returned(1)]
    seen, before = Ether(run(prog_type, with_headers(prog_type, parts, transport=udp), data=data).data), Ether(data)
    assert (seen.src, seen.dst) == (before.dst, before.src)
    assert (seen[IP].src, seen[IP].dst) == (before[IP].dst, before[IP].src)
    assert (seen[UDP].sport, seen[UDP].dport) == (before[UDP].dport, before[UDP].sport)
    assert_checksums(seen)
    data = PACKETS["TCP in IPv6"]
    parts = [
        packet.pointers(r6, r7, r1, prog_type),
        ethernet.parse(r6, r7, protocol=r2, header=r8, fail="fail"),
        ipv6.parse(r8, r7, protocol=r2, payload=r9, fail="fail"),
        tcp.check(r9, r7, fail="fail"),
        [ipv6.swap(r8), tcp.swap(r9), returned(1)],
        [label("fail"), returned(0)],
    ]
    seen, before = Ether(run(prog_type, parts, data=data).data), Ether(data)
    assert (seen[IPv6].src, seen[IPv6].dst) == (before[IPv6].dst, before[IPv6].src)
    assert (seen[TCP].sport, seen[TCP].dport) == (before[TCP].dport, before[TCP].sport)
    assert_checksums(seen)


@pytest.mark.parametrize("prog_type", TYPES)
def test_ports_and_flags(prog_type):
    parts = [
        tcp.ports(r9, source=r2, destination=r3),
        [jne(r2, 1234, "fail"), jne(r3, 443, "fail")],
        udp.ports(r9, destination=r2, order="network"),
        [be16(r2), jne(r2, 443, "fail")],
        tcp.is_syn(r9, fail="no syn"),
        returned(1),
        label("no syn"),
        tcp.is_syn_ack(r9, fail="no syn, ack"),
        returned(2),
        label("no syn, ack"),
        tcp.flags(r9, present=tcp.FIN | tcp.CWR, fail="other"),
        returned(3),
        label("other"),
        tcp.flags(r9, absent=tcp.RST | tcp.URG | tcp.PSH | tcp.ECE, fail="fail"),
        returned(4),
    ]
    with load(prog_type, with_headers(prog_type, parts, transport=tcp)) as program:
        for bits in range(256):
            seen = TCP(bytes(TCP(flags=bits))).flags
            wanted = 1 if seen.S and not seen.A else 2 if seen.S and seen.A else 3 if seen.F and seen.C else 4
            if wanted == 4 and (seen.R or seen.U or seen.P or seen.E):
                wanted = 99
            data = bytes(ETHERNET / IP(**FOUR) / TCP(sport=1234, dport=443, flags=bits))
            assert program.test_run(data).retval == wanted, seen


def test_icmp_tells_its_type():
    parts = [icmp.parse(r9, r7, type=r2, payload=r3, fail="fail"), packet.distance(r4, r9, r3)]
    parts += [packet.match(r9, icmp.IDENTIFIER, 3, fail="fail"), packet.match(r9, icmp.SEQUENCE, 4, fail="fail")]
    parts += [lsh(r2, 8), or_(r2, r4), returned(r2)]
    assert run("xdp", with_headers("xdp", parts), data=SIMPLE["ICMP"]).retval == icmp.ECHO_REQUEST << 8 | 8


def test_a_window_behind_an_offset_that_is_not_known_before():
    # the UDP header by way of the length that the IPv4 header tells
    parts = [
        ipv4.header_length(r2, r8),
        bounds.window(r3, r8, r2, r7, udp.LENGTH, fail="fail"),
        packet.match(r3, udp.DESTINATION, 53, fail="fail"),
        bounds.check(r8, r7, r2, udp.LENGTH, "fail", scratch=r4),
        [ldxh(r5, r4, udp.DESTINATION.offset - udp.LENGTH), be16(r5), jne(r5, 53, "fail")],
        transport.check(r8, r7, offset=r2, fail="fail"),
        [packet.distance(r2, r8, r3), returned(r2)],
    ]
    for name, size in (("IPv4", 20), ("IPv4 with an option", 24), ("IPv4 with 40 bytes of options", 60)):
        data = PACKETS[f"UDP in {name}"]
        assert run("xdp", with_headers("xdp", parts), data=data).retval == size
        assert run("xdp", with_headers("xdp", parts), data=data[: 14 + size + 7]).retval == 99
    window = bounds.window(r8, r6, 40, r7, 10, fail="short")
    ends = [packet.pointers(r6, r7, r1, "xdp"), window, ldxb(r0, r8, 9), exit_(), label("short"), returned(300)]
    data = bytes(range(50))
    assert [run("xdp", ends, data=data[:n]).retval for n in (50, 49)] == [49, 300]


# --- addresses on the stack


def stack_to_packet(place):
    """16 bytes of the stack to the packet's first 16, where the test reads them."""
    return [ipv6.store_address(r6, 0, place), returned(1), label("fail"), returned(0)]


@pytest.mark.parametrize("place", [fp - 16, fp - 20, fp - 512, fp - 64])
def test_addresses_come_to_the_stack(place):
    six = [packet.pointers(r6, r7, r1, "xdp"), ipv6.check(r6, r7, offset=14, fail="fail"), add(r6, 14)]
    for field, name in ((ipv6.SOURCE, "src"), (ipv6.DESTINATION, "dst")):
        result = run(
            "xdp", six, ipv6.load_address(place, r6, field), stack_to_packet(place), data=PACKETS["UDP in IPv6"]
        )
        assert (result.retval, result.data[14:30]) == (1, ipaddress.ip_address(SIX[name]).packed)
    four = [packet.pointers(r6, r7, r1, "xdp"), ipv4.check(r6, r7, offset=14, fail="fail"), add(r6, 14)]
    for field, name in ((ipv4.SOURCE, "src"), (ipv4.DESTINATION, "dst")):
        for mapped, form in ((True, "::ffff:{}"), (False, "::{}")):
            block = ipv6.load_mapped(place, r6, field, mapped=mapped)
            result = run("xdp", four, block, stack_to_packet(place), data=SIMPLE["UDP"])
            assert (result.retval, result.data[14:30]) == (1, ipaddress.ip_address(form.format(FOUR[name])).packed)


@pytest.mark.parametrize("distance", [-64, -16, -12, -8, -4, 4, 8, 12, 16, 100])
def test_addresses_are_copied_even_onto_themselves(distance):
    here, there = fp - 200, fp - 200 + distance
    six = [packet.pointers(r6, r7, r1, "xdp"), ipv6.check(r6, r7, offset=14, fail="fail"), add(r6, 14)]
    parts = [ipv6.load_address(here, r6, ipv6.SOURCE), ipv6.copy_address(there, here), stack_to_packet(there)]
    result = run("xdp", six, parts, data=PACKETS["UDP in IPv6"])
    assert (result.retval, result.data[14:30]) == (1, ipaddress.ip_address(SIX["src"]).packed)


# --- checksums


def assert_checksums(seen):
    """That scapy, asked to compute all checksums anew, gives the same bytes."""
    given = bytes(seen)
    again = Ether(given)
    for layer in (IP, TCP, UDP, ICMP):
        if again.haslayer(layer):
            del again[layer].chksum
    assert bytes(again).hex() == given.hex()


@pytest.mark.parametrize("prog_type", TYPES)
def test_ttl_goes_down_and_the_checksum_follows(prog_type):
    with load(prog_type, with_headers(prog_type, ipv4.decrement_ttl(r8, fail="fail"), returned(1))) as program:
        for ttl, ident in itertools.product(range(256), (0, 1, 0x1234)):
            data = bytes(ETHERNET / IP(**FOUR, ttl=ttl, id=ident) / UDP(dport=1))
            result = program.test_run(data)
            if ttl <= 1:
                assert (result.retval, result.data) == (99, data)
            else:
                seen = Ether(result.data)
                assert (result.retval, seen[IP].ttl) == (1, ttl - 1)
                assert_checksums(seen)


def test_ttl_with_every_checksum():
    # by way of the identification, which takes all values
    with load("xdp", with_headers("xdp", ipv4.decrement_ttl(r8, fail="fail"), returned(1))) as program:
        header = bytearray(bytes(ETHERNET / IP(**FOUR, ttl=64, id=0) / UDP()))
        kept = sum(struct.unpack(">10H", header[14:24] + b"\0\0" + header[26:34]))
        seen = set()
        for ident in range(0, 65536, 3):
            header[18:20] = struct.pack(">H", ident)
            total = kept + ident
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            header[24:26] = struct.pack(">H", total ^ 0xFFFF)
            result = program.test_run(bytes(header)).data[14:34]
            seen.add(result[10:12])
            assert scapy_checksum(result) == 0
            assert result[10:12] != b"\xff\xff"
        assert len(seen) > 20000


def test_hop_limit_goes_down():
    parts = [packet.pointers(r6, r7, r1, "xdp"), ipv6.check(r6, r7, offset=14, fail="fail"), add(r6, 14)]
    parts += [ipv6.decrement_hop_limit(r6, fail="over"), returned(1), label("over"), returned(2)]
    with load("xdp", parts, label("fail"), returned(3)) as program:
        for limit, wanted in ((255, (1, 254)), (2, (1, 1)), (1, (2, 1)), (0, (2, 0))):
            result = program.test_run(bytes(ETHERNET / IPv6(**SIX, hlim=limit) / UDP()))
            assert (result.retval, Ether(result.data)[IPv6].hlim) == wanted


u16s = st.one_of(st.integers(0, 0xFFFF), st.sampled_from([0, 1, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]))
u32s = st.one_of(st.integers(0, 0xFFFFFFFF), st.sampled_from([0, 1, 0xFFFF, 0x10000, 0xFFFF0000, 0xFFFFFFFF]))


@pytest.fixture(scope="module")
def updaters():
    """Programs that put a new value from the packet's end into its middle, and correct the checksum before it."""
    field = packet.HeaderField("sum", 14, 2)
    with ExitStack() as kept:
        programs = {}
        for size, order in itertools.product((2, 4), ("host", "network")):
            old, new = packet.HeaderField("old", 16, size), packet.HeaderField("new", 28, size)
            parts = [
                packet.pointers(r6, r7, r1, "xdp"),
                bounds.check(r6, r7, 0, 32, "fail"),
                [packet.load(r2, r6, old, order=order), packet.load(r3, r6, new, order=order)],
                packet.store(r6, old, r3, order=order),
                # what is above the value does not count
                [lddw(r4, 0xFFFFFFFF << 32 if size == 4 else 0xFFFFFFFFFFFF << 16), or_(r2, r4), or_(r3, r4)],
                checksum.update(r6, field, r2, r3, size, order=order),
                [returned(1), label("fail"), returned(0)],
            ]
            programs[size, order] = kept.enter_context(load("xdp", parts))
        yield programs


@by_kernel
@given(size=st.sampled_from([2, 4]), order=st.sampled_from(["host", "network"]), rest=u32s, old=u32s, new=u32s)
def test_a_checksum_follows_any_change(updaters, size, order, rest, old, new):
    # 10 bytes that are summed: value, rest, and a 1, so that they are not all 0
    values = struct.pack(">II", old, new)
    before = values[:size].ljust(4, b"\1") + struct.pack(">IH", rest, 1)
    packed = bytes(14) + struct.pack(">H", scapy_checksum(before)) + before + b"\0\0" + values[4 : 4 + size]
    result = updaters[size, order].test_run(packed.ljust(40, b"\0"))
    after = result.data[16:26]
    assert result.retval == 1
    assert after == values[4 : 4 + size] + before[size:]
    assert result.data[14:16] == struct.pack(">H", scapy_checksum(after))


@settings(max_examples=20, deadline=None)
@given(old=u32s, new=u32s, size=st.sampled_from([2, 4]), known=st.sampled_from(["old", "new", "both"]))
def test_a_checksum_follows_a_change_that_is_known_before(old, new, size, known):
    old, new = old & (1 << 8 * size) - 1, new & (1 << 8 * size) - 1
    before = old.to_bytes(size, "big") + b"\0\1"
    after = new.to_bytes(size, "big") + b"\0\1"
    parts = [
        [packet.pointers(r6, r7, r1, "xdp"), bounds.check(r6, r7, 0, 20, "fail"), const(r2, old), const(r3, new)],
        checksum.update(
            r6,
            packet.HeaderField("sum", 14, 2),
            old if known in ("old", "both") else r2,
            new if known in ("new", "both") else r3,
            size,
        ),
        [returned(1), label("fail"), returned(0)],
    ]
    result = run("xdp", parts, data=bytes(14) + struct.pack(">H", scapy_checksum(before)) + bytes(10))
    assert (result.retval, result.data[14:16]) == (1, struct.pack(">H", scapy_checksum(after)))


def test_a_udp_checksum_that_is_none_stays_none():
    new = [
        packet.store(r9, udp.DESTINATION, 54),
        checksum.update(r9, udp.CHECKSUM, 53, 54, 2, optional=True),
        returned(1),
    ]
    with load("xdp", with_headers("xdp", new, transport=udp)) as program:
        none = bytes(ETHERNET / IP(**FOUR) / UDP(sport=1234, dport=53, chksum=0) / b"payload")
        assert Ether(program.test_run(none).data)[UDP].chksum == 0
        assert_checksums(Ether(program.test_run(SIMPLE["UDP"]).data))
        # one whose new checksum would be 0: what is added to the payload is what it lacks
        other = Ether(bytes(ETHERNET / IP(**FOUR) / UDP(sport=1234, dport=54, chksum=None) / bytes(2)))
        zero = ETHERNET / IP(**FOUR) / UDP(sport=1234, dport=53) / struct.pack(">H", other[UDP].chksum)
        result = Ether(program.test_run(bytes(zero)).data)
        assert result[UDP].chksum == 0xFFFF
        assert_checksums(result)


@by_kernel
@given(data=st.binary(min_size=4, max_size=4))
def test_fold_and_negate(folder, data):
    result = folder.test_run(bytes(14) + data)
    assert struct.pack("<H", result.retval) == struct.pack(">H", scapy_checksum(data))


@pytest.fixture(scope="module")
def folder():
    ends = [packet.pointers(r6, r7, r1, "xdp"), bounds.check(r6, r7, 0, 18, "fail"), ldxw(r0, r6, 14)]
    with load("xdp", ends, checksum.fold(r0), checksum.negate(r0), exit_(), label("fail"), returned(0)) as program:
        yield program


def test_the_difference_of_memory_is_a_checksum():
    old, new = bytes(range(1, 9)), bytes(range(240, 252))
    numbers = struct.unpack("<2I", old) + struct.unpack("<3I", new)
    stores = [stw(fp, -32 + 4 * i, number) for i, number in enumerate(numbers)]
    to_packet = [mov(r2, r0), checksum.fold(r2), checksum.negate(r2), returned(r2)]
    sums = {
        "new": (checksum.diff(None, 0, fp - 24, 12), scapy_checksum(new)),
        "seed": (checksum.diff(None, 0, fp - 24, 12, seed=0x0201), scapy_checksum(new + b"\1\2")),
        "all": (
            [checksum.diff(None, 0, fp - 32, 8), checksum.diff(None, 0, fp - 24, 12, seed=r0)],
            scapy_checksum(old + new),
        ),
    }
    for name, (block, wanted) in sums.items():
        result = run("sched_cls", stores, block, to_packet)
        assert struct.pack("<H", result.retval) == struct.pack(">H", wanted), name
    # what was there goes out again; from a register, too
    block = [
        checksum.diff(None, 0, fp - 32, 8),
        [mov(r1, fp), add(r1, -32), mov(r3, fp), add(r3, -24)],
        checksum.diff(r1, 8, r3, 12, seed=r0),
    ]
    result = run("xdp", stores, block, to_packet)
    assert struct.pack("<H", result.retval) == struct.pack(">H", scapy_checksum(new))


def test_the_helpers_correct_both_checksums():
    # the seed's example, with the values in the registers that are arguments themselves
    old, new = (struct.unpack("<I", ipaddress.ip_address(a).packed)[0] for a in (FOUR["src"], "203.0.113.9"))
    parts = [
        mov(r6, r1),
        [
            const(r2, old),
            const(r3, new),
            checksum.replace_l3(r6, 14 + ipv4.CHECKSUM.offset, r2, r3),
            jne(r0, 0, "fail"),
        ],
        [const(r4, old), const(r3, new), mov(r7, 34 + tcp.CHECKSUM.offset)],
        [checksum.replace_l4(r6, r7, r4, r3, pseudo=True), jne(r0, 0, "fail")],
        [stw(fp, -4, new), call.skb_store_bytes(r6, 26, fp - 4, 4, 0), jne(r0, 0, "fail")],
        [checksum.replace_l4(r6, 34 + tcp.CHECKSUM.offset, be(443), be(80), size=2), sth(fp, -4, be(80))],
        [call.skb_store_bytes(r6, 36, fp - 4, 2, 0), returned(1), label("fail"), returned(0)],
    ]
    result = run("sched_cls", parts)
    seen = Ether(result.data)
    assert (result.retval, seen[IP].src, seen[TCP].dport) == (1, "203.0.113.9", 80)
    assert_checksums(seen)


def be(number):
    return int.from_bytes(number.to_bytes(2, "big"), "little")


# --- address translation

NAT_PACKETS = {
    f"{transport} in {network}" + (f" behind {tags}" if tags else ""): PACKETS[
        f"{transport} in {network}" + (f" behind {tags}" if tags else "")
    ]
    for tags in ("", "two tags")
    for network in ("IPv4", "IPv4 with 40 bytes of options")
    for transport in ("TCP", "UDP", "ICMP")
} | {"UDP without a checksum": bytes(ETHERNET / IP(**FOUR) / UDP(sport=1, dport=2, chksum=0) / b"odd")}

VALUES = {"source": "203.0.113.7", "destination": "10.255.0.1", "source_port": 65535, "destination_port": 9}


def translated(data, changes):
    """The packet with new addresses and ports, its checksums computed by scapy."""
    seen = Ether(data)
    names = {"source": "src", "destination": "dst", "source_port": "sport", "destination_port": "dport"}
    layer = seen.getlayer(TCP) or seen.getlayer(UDP)
    none = layer is not None and layer.chksum == 0
    for name, value in changes.items():
        setattr(layer if "port" in name else seen[IP], names[name], value)
    del seen[IP].chksum
    if layer is not None and not none:
        del layer.chksum
    return bytes(seen)


def nat_program(prog_type, protocol, changes, how):
    """Registers hold new values as `how` says; in tc, headers are offsets."""
    registers = dict(zip(VALUES, (r1, r2, r3, r4), strict=True))
    values, sets = dict(changes), []
    if how != "numbers":
        for name, value in changes.items():
            size = 2 if "port" in name else 4
            number = value if size == 2 else int(ipaddress.ip_address(value))
            number = number if how == "host" else int.from_bytes(number.to_bytes(size, "big"), "little")
            # what is above does not count
            sets.append(lddw(registers[name], 0xABCD << 48 | number))
            values[name] = registers[name]
    order = "network" if how == "network" else "host"
    if prog_type == "xdp":
        module = {"tcp": tcp, "udp": udp, None: None}[protocol]
        # four values leave two of r0 to r5 free
        options = {"order": order, "scratch": (r0, r5, r7) if len(sets) == 4 else None}
        block = nat.xdp_rewrite(r8, r9 if protocol else None, protocol=protocol, **values, **options)
        return with_headers("xdp", sets, block, returned(1), transport=module)
    block = nat.rewrite(
        r6, r7, r8 if protocol else None, protocol=protocol, **values, order=order, stack=fp - 40, fail="fail"
    )
    offsets = [packet.distance(r3, r6, r8), packet.distance(r4, r6, r9), mov(r6, r1), mov(r7, r3), mov(r8, r4)]
    return with_headers("sched_cls", offsets, sets, block, returned(1))


CHANGES = [
    {name: VALUES[name] for name in names} for count in (1, 2, 4) for names in itertools.combinations(VALUES, count)
]


@pytest.mark.parametrize("how", ["numbers", "host", "network"])
@pytest.mark.parametrize("prog_type", TYPES)
def test_translation_is_what_scapy_would_have_built(prog_type, how):
    for protocol, changes in itertools.product(("tcp", "udp", None), CHANGES):
        if protocol is None and any("port" in name for name in changes):
            continue
        with load(prog_type, nat_program(prog_type, protocol, changes, how)) as program:
            for name, data in NAT_PACKETS.items():
                if name.startswith({"tcp": "TCP", "udp": "UDP", None: "ICMP"}[protocol]):
                    result = program.test_run(data)
                    assert (result.retval, result.data.hex()) == (1, translated(data, changes).hex()), (name, changes)


@pytest.mark.parametrize("prog_type", TYPES)
def test_source_and_destination_by_name(prog_type):
    for name, side in (("dnat", "destination"), ("snat", "source")):
        changes = {side: VALUES[side], f"{side}_port": VALUES[f"{side}_port"]}
        new = {"protocol": "tcp", "address": changes[side], "port": changes[f"{side}_port"]}
        if prog_type == "xdp":
            parts = with_headers("xdp", getattr(nat, f"xdp_{name}")(r8, r9, **new), returned(1), transport=tcp)
        else:
            block = getattr(nat, name)(r6, 14, 34, **new, stack=fp - 16, fail="fail")
            parts = [mov(r6, r1), block, returned(1), label("fail"), returned(0)]
        result = run(prog_type, parts)
        assert (result.retval, result.data.hex()) == (1, translated(SIMPLE["TCP"], changes).hex())


def test_a_packet_that_is_too_short_is_not_changed():
    parts = [mov(r6, r1), nat.dnat(r6, 14, 34, protocol="tcp", address="10.0.0.1", port=1, stack=fp - 16, fail="fail")]
    with load("sched_cls", parts, returned(1), label("fail"), returned(0)) as program:
        for cut in range(34, 38):
            result = program.test_run(SIMPLE["TCP"][:cut])
            assert (result.retval, result.data) == (0, SIMPLE["TCP"][:cut])


def test_pointers_are_made_again_after_translation():
    parts = [
        mov(r6, r1),
        nat.snat(r6, 14, 34, protocol="tcp", address="10.1.2.3", stack=fp - 8, fail="fail"),
        packet.pointers(r7, r8, r6, "sched_cls"),
        ipv4.check(r7, r8, offset=14, fail="fail"),
        [add(r7, 14), packet.match(r7, ipv4.SOURCE, "10.1.2.3", fail="fail"), returned(1)],
        [label("fail"), returned(0)],
    ]
    assert run("sched_cls", parts).retval == 1


# --- all of it


@pytest.mark.parametrize("prog_type", packet._CONTEXTS)
def test_every_type_that_has_pointers_may_follow_them(prog_type):
    parts = [packet.pointers(r6, r7, r1, prog_type), bounds.check(r6, r7, 0, 4, "end"), packet.load(r2, r6, PORT)]
    parts += [label("end"), returned(1 if prog_type == "sk_msg" else 0)]
    with load(prog_type, parts):
        pass


PORT = packet.HeaderField("port", 2, 2)


def test_the_checker_has_nothing_against_these_programs():
    for prog_type in TYPES:
        assert assemble(parser(prog_type)).check(prog_type) == ()
        for protocol in ("tcp", "udp"):
            assert assemble(nat_program(prog_type, protocol, VALUES, "host")).check(prog_type) == ()
