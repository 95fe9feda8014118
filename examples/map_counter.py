"""Counts packets for each sender in a hash map: made when a sender is new, added to atomically when it is not.

sudo python examples/map_counter.py
"""

from ipaddress import ip_address

from packets import udp_packet

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import ethernet, ipv4, maps, packet

counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1024, name="counts")

code = assemble(
    packet.pointers(r6, r7, r1, "xdp"),
    ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
    jne(r2, ethernet.IPV4, "pass"),
    ipv4.check(r8, r7, fail="pass"),
    packet.load(r2, r8, ipv4.SOURCE),
    stxw(fp, -4, r2),
    maps.increment(counts, fp - 4, new=fp - 16),
    label("pass"),
    packet.verdict("XDP_PASS"),
)


def main() -> None:
    with fb.ProgramSpec("xdp", code, name="count_senders").load() as program:
        for sender, packets in {"10.0.0.1": 3, "10.0.0.2": 1, "192.168.7.7": 40}.items():
            program.test_run(udp_packet(sender, "10.0.0.9", (4000, 53)), repeat=packets)
        print("packets")
        for sender, count in sorted(program.maps["counts"].items()):
            print(f"from {ip_address(sender)}: {count}")


if __name__ == "__main__":
    main()
