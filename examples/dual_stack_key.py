"""One map for IPv4 and IPv6: an IPv4 address is the key ::ffff:a.b.c.d, as RFC 4291 maps it.

sudo python examples/dual_stack_key.py
"""

from ipaddress import IPv6Address

from packets import udp_packet

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import ethernet, ipv4, ipv6, maps, packet

senders = fb.MapSpec("hash", key=fb.raw[16], value=fb.u64, max_entries=1024, name="senders")
key = fp - 16

code = assemble(
    packet.pointers(r6, r7, r1, "xdp"),
    ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
    jeq(r2, ethernet.IPV4, "ipv4"),
    jne(r2, ethernet.IPV6, "pass"),
    ipv6.check(r8, r7, fail="pass"),
    ipv6.load_address(key, r8, ipv6.SOURCE),
    ja("count"),
    label("ipv4"),
    ipv4.check(r8, r7, fail="pass"),
    ipv6.load_mapped(key, r8, ipv4.SOURCE),
    label("count"),
    maps.increment(senders, key, new=fp - 24),
    label("pass"),
    packet.verdict("XDP_PASS"),
)


def main() -> None:
    with fb.ProgramSpec("xdp", code, name="dual_stack").load() as program:
        program.test_run(udp_packet("10.1.2.3", "10.0.0.1", (4000, 53)), repeat=5)
        program.test_run(udp_packet("2001:db8::17", "2001:db8::1", (4000, 53)), repeat=7)
        for sender, count in sorted(program.maps["senders"].items()):
            address = IPv6Address(sender)
            said = f"{address.ipv4_mapped}, as ::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else address
            print(f"{count} packets of {said}")


if __name__ == "__main__":
    main()
