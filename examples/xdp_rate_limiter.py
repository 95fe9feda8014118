"""Lets 100 packets a second of each sender through, 200 at once, and drops the others: in the driver, before the stack.

sudo python examples/xdp_rate_limiter.py
"""

import time

from packets import udp_packet

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import ethernet, ipv4, packet, rate_limit

buckets = fb.MapSpec("lru_hash", key=fb.u32, value=fb.u64, max_entries=65_536, name="buckets")


def limiter(rate: float, burst: int) -> fb.ProgramSpec:
    """The program; packets that are not IPv4 pass."""
    code = assemble(
        packet.pointers(r6, r7, r1, "xdp"),
        ethernet.check(r6, r7, fail="pass"),
        packet.match(r6, ethernet.PROTOCOL, ethernet.IPV4, fail="pass"),
        ipv4.check(r6, r7, offset=ethernet.LENGTH, fail="pass"),
        ldxw(r2, r6, ethernet.LENGTH + ipv4.SOURCE.offset),
        stxw(fp, -4, r2),
        rate_limit.simple(buckets, key=fp - 4, stack=fp - 16, rate=rate, burst=burst, fail="drop"),
        label("pass"),
        packet.verdict("XDP_PASS"),
        label("drop"),
        packet.verdict("XDP_DROP"),
    )
    return fb.ProgramSpec("xdp", code, name="rate_limit")


def send(program: fb.Program, sender: str, packets: int) -> int:
    """How many of them pass."""
    frame = udp_packet(sender, "10.0.0.9", (4000, 53))
    return sum(program.test_run(frame).retval == 2 for _ in range(packets))


def main() -> None:
    with limiter(rate=100, burst=200).load() as program:
        start = time.monotonic()
        for sender, packets in {"10.0.0.1": 1000, "10.0.0.2": 50}.items():
            print(f"{sender} sends {packets} at once: {send(program, sender, packets)} pass")
        time.sleep(0.5)
        passed = send(program, "10.0.0.1", 1000)
        print(f"10.0.0.1 sends 1000 more, {time.monotonic() - start:.3f} s after it began: {passed} pass")


if __name__ == "__main__":
    main()
