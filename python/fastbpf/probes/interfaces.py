"""Network interfaces: XDP and tc. Names are those of the network namespace of the thread that calls."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from fastbpf.errors import KernelError, ProbeError

if TYPE_CHECKING:
    from fastbpf import _native

__all__ = ["tc", "xdp"]

_SIDES = ("ingress", "egress")


def xdp(program: _native.Program, place: str) -> tuple[_native.Link, str]:
    """`xdp:INTERFACE`: packets before the stack sees them; the driver runs the program if it can. Linux 5.9."""
    from fastbpf import _native

    index = _index(place)
    try:
        return _native.Link.xdp(program, index), f"xdp:{place}"
    except KernelError as error:
        message = {
            errno.EBUSY: f"there is an XDP program on {place} already, and an interface takes one; end what put it "
            f"there, or `ip link set dev {place} xdp off`",
            errno.EEXIST: f"there is an XDP program in another mode on {place} already; `ip link set dev {place} "
            f"xdp off` takes it away",
            errno.EINVAL: f"{error}: either {place} is gone, or this kernel has no links for XDP (5.9)",
            errno.EOPNOTSUPP: f"{error}: {place} cannot run XDP programs as it is set up",
        }.get(error.errno or 0)
        raise (KernelError(error.errno or 0, message) if message else error) from None


def tc(program: _native.Program, place: str) -> tuple[_native.Link, str]:
    """`tc:INTERFACE:ingress` or `:egress`: packets on their way in or out, by tcx. Linux 6.6."""
    from fastbpf import _native

    name, _, side = place.rpartition(":")
    if side not in _SIDES:
        device = place.partition(":")[0] or "INTERFACE"
        raise ProbeError(f"'tc:{place}' does not say which packets; write tc:{device}:ingress or tc:{device}:egress")
    index = _index(name)
    try:
        return _native.Link.tcx(program, index, side == "egress"), f"tc:{place}"
    except KernelError as error:
        # That is how a kernel without tcx answers (kernel/bpf/syscall.c, link_create; include/net/tcx.h).
        if error.errno != errno.EINVAL:
            raise
        message = "this kernel has no tcx, by which fastbpf attaches to tc; it came with Linux 6.6 (CONFIG_NET_XGRESS)"
        raise KernelError(errno.EINVAL, f"cannot attach to tc:{place}: {message}") from None


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except (OSError, ValueError):
        there = [known for _, known in socket.if_nameindex()]
    from difflib import get_close_matches

    close = get_close_matches(name, there, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(there)}"
    raise ProbeError(f"there is no network interface {name!r} in this network namespace; {hint}")
