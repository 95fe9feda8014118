"""Seven good practices with helper functions: numbers checked, calls documented, programs that fit their kernel.

sudo python examples/helper_practices.py
"""

from collections import defaultdict

import fastbpf as fb
from fastbpf import helpers
from fastbpf.asm import *
from fastbpf.blocks import time
from fastbpf.blocks.block import Block, block

kernel = fb.KernelVersion.running()


def verify_ids() -> None:
    """The kernel's own list is in its BTF: no header file, which may be of another kernel."""
    print("1. numbers:", str(helpers.check()).splitlines()[0])


def document() -> None:
    """A helper that only your kernel has is registered with all that there is to know, and a number that is free."""
    mine = helpers.Helper(
        id=300,
        name="bpf_packet_color",
        signature="__u64 bpf_packet_color(struct __sk_buff *skb, __u64 flags)",
        min_kernel="6.1",
        prog_types={"sched_cls", "sched_act"},
        category="network",
        description="The colour that our own module gave the packet; 0 if it gave none. flags must be 0.",
    )
    helpers.register(mine)
    print("2. documented:", helpers.describe("packet_color").splitlines()[0])
    try:
        helpers.register(mine._replace(id=5))
    except helpers.HelperError as error:
        print("   a number that is taken is refused:", error)
    helpers.unregister("packet_color")


def check_compatibility() -> None:
    """Whether a program type may call a helper on a kernel is asked before the program is written."""
    asked = [("ktime_get_tai_ns", "xdp", "6.1"), ("ktime_get_tai_ns", "xdp", "6.0"), ("skb_load_bytes", "xdp", "6.1")]
    for name, prog_type, on in asked:
        print(f"3. {name} in {prog_type} on Linux {on}: {'yes' if helpers.compatible(name, prog_type, on) else 'no'}")


def detect_the_kernel() -> None:
    """What the table says of a kernel is a guess about one that somebody built; `probe` asks the one that runs."""
    known, allowed = helpers.available("xdp", kernel), helpers.probe("xdp").allowed
    print(f"4. xdp on Linux {kernel}: {len(known)} helpers known, {len(allowed)} allowed by this kernel")


def organize_by_kernel() -> None:
    """Which helpers came with which kernel."""
    came = defaultdict(list)
    for helper in helpers.since("6.0"):
        came[helper.min_kernel].append(helper.name)
    for version, names in sorted(came.items()):
        print(f"5. Linux {version} brought {', '.join(names)}")


def owner_of(dst: Register) -> Block:
    """dst = the user id of whoever runs: the low half of what the helper gives. A wrapper says what it clobbers."""
    steps = call.get_current_uid_gid(), mov32(dst, r0)
    return block("owner_of", steps, clobbers=(r0, r1, r2, r3, r4, r5, dst))


def wrap_helpers() -> None:
    """`call.NAME` moves arguments of any kind into place; a wrapper of your own is a block."""
    with fb.ProgramSpec("raw_tracepoint", assemble(owner_of(r6), mov(r0, r6), exit_())).load() as program:
        print(f"6. a wrapper: {owner_of(r6)} returns user {program.test_run().retval}")


def timestamp(on: str | fb.KernelVersion) -> Code:
    """The clock that goes on while the machine sleeps, where the kernel has it."""
    newer = helpers.compatible("ktime_get_boot_ns", "socket_filter", on)
    return assemble(time.now(clock="boot" if newer else "monotonic"), rsh(r0, 32), exit_())


def adapt_to_the_kernel() -> None:
    """One function writes the program for each kernel."""
    for on in (kernel, "5.4"):
        with fb.ProgramSpec("socket_filter", timestamp(on)).load() as program:
            program.test_run(bytes(64))
        print(f"7. on Linux {on}: {str(timestamp(on)).splitlines()[0].partition(') ')[2]}")


def main() -> None:
    verify_ids()
    document()
    check_compatibility()
    detect_the_kernel()
    organize_by_kernel()
    wrap_helpers()
    adapt_to_the_kernel()


if __name__ == "__main__":
    main()
