"""Gives packets that leave a private network another source address and port, and corrects both checksums.

sudo python examples/nat.py
"""

from packets import tcp_packet, told, udp_packet

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import ethernet, ipv4, nat, packet, tcp

code = assemble(
    mov(r6, r1),  # calls keep r6 to r9
    packet.pointers(r2, r7, r6, "sched_cls"),
    ethernet.check(r2, r7, fail="pass"),
    packet.match(r2, ethernet.PROTOCOL, ethernet.IPV4, fail="pass"),
    mov(r8, r2),
    add(r8, ethernet.LENGTH),
    ipv4.parse(r8, r7, protocol=r3, payload=r9, fail="pass"),
    jne(r3, ipv4.TCP, "pass"),
    ipv4.unfragmented(r8, fail="pass"),
    tcp.check(r9, r7, fail="pass"),
    # what follows calls helpers, which take offsets and make pointers to the packet useless
    sub(r9, r2),
    nat.snat(r6, ethernet.LENGTH, r9, protocol="tcp", address="203.0.113.1", port=40_000, stack=fp - 16, fail="drop"),
    label("pass"),
    packet.verdict("TC_ACT_OK"),
    label("drop"),
    packet.verdict("TC_ACT_SHOT"),
)


def main() -> None:
    with fb.ProgramSpec("sched_cls", code, name="nat").load() as program:
        frame = tcp_packet("192.168.0.7", "198.51.100.2", (51_234, 443), b"hello")
        print("before:", told(frame))
        print("after: ", told(program.test_run(frame).data))
        other = udp_packet("192.168.0.7", "198.51.100.2", (51_234, 53))
        print("UDP is left alone:", program.test_run(other).data == other)


if __name__ == "__main__":
    main()
