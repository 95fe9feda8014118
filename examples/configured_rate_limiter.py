"""Two limits on each packet, one for its sender and one for its backend, both set from user space while it runs.

sudo python examples/configured_rate_limiter.py
"""

from packets import udp_packet

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import ethernet, ipv4, packet, rate_limit

BY_SENDER, BY_BACKEND = 0, 1

limits = fb.MapSpec("array", value=rate_limit.Limit, max_entries=2, name="limits")
senders = fb.MapSpec("lru_hash", key=fb.u32, value=fb.u64, max_entries=65_536, name="senders")
backends = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=256, name="backends")

code = assemble(
    packet.pointers(r6, r7, r1, "xdp"),
    ethernet.check(r6, r7, fail="pass"),
    packet.match(r6, ethernet.PROTOCOL, ethernet.IPV4, fail="pass"),
    ipv4.check(r6, r7, offset=ethernet.LENGTH, fail="pass"),
    ldxw(r2, r6, ethernet.LENGTH + ipv4.SOURCE.offset),
    stxw(fp, -4, r2),
    ldxw(r2, r6, ethernet.LENGTH + ipv4.DESTINATION.offset),
    stxw(fp, -8, r2),
    rate_limit.configured(limits, BY_SENDER, senders, key=fp - 4, stack=fp - 32, fail="drop"),
    rate_limit.configured(limits, BY_BACKEND, backends, key=fp - 8, stack=fp - 32, fail="drop"),
    label("pass"),
    packet.verdict("XDP_PASS"),
    label("drop"),
    packet.verdict("XDP_DROP"),
)


def main() -> None:
    with fb.ProgramSpec("xdp", code, name="rate_limits").load() as program:

        def passed(sender: str, packets: int = 100) -> int:
            frame = udp_packet(sender, "10.0.0.9", (4000, 53))
            return sum(program.test_run(frame).retval == 2 for _ in range(packets))

        limits = program.maps["limits"]
        print("no limits:", passed("10.0.0.1"), "of 100 pass")
        # a hundredth of a packet a second: what passes is the burst
        limits[BY_SENDER] = rate_limit.limit(0.01, 20)
        print("20 for a sender:", passed("10.0.0.2"), "of 100 pass")
        limits[BY_BACKEND] = rate_limit.limit(0.01, 50)
        print("and 50 for a backend:", *(passed(f"10.0.0.{sender}") for sender in (3, 4, 5, 6)), "of 100 each pass")
        limits[BY_SENDER] = limits[BY_BACKEND] = rate_limit.OFF
        print("no limits again:", passed("10.0.0.6"), "of 100 pass")


if __name__ == "__main__":
    main()
