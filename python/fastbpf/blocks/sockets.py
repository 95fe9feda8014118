"""Keys of maps by connection: the addresses and ports of a socket, from what a program is given.

Addresses are kept as they are on the wire, ports as numbers: port 443 is 443, whatever the kernel keeps.

>>> import fastbpf as fb
>>> from fastbpf.asm import *
>>> from fastbpf.blocks import sockets
>>> peers = fb.MapSpec("hash", key=sockets.Key4, value=fb.u64, max_entries=1024, name="peers")
>>> print(assemble(sockets.key4(r6, fp - 16, "sk_skb")))
   0: (61) r0 = *(u32 *)(r6 +92)
   1: (63) *(u32 *)(r10 -16) = r0
   2: (61) r0 = *(u32 *)(r6 +96)
   3: (63) *(u32 *)(r10 -12) = r0
   4: (61) r0 = *(u32 *)(r6 +132)
   5: (dc) r0 = be32 r0
   6: (63) *(u32 *)(r10 -8) = r0
   7: (61) r0 = *(u32 *)(r6 +136)
   8: (63) *(u32 *)(r10 -4) = r0
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import register
from fastbpf.asm.refusal import OperandError, checked
from fastbpf.blocks.block import block, scratch
from fastbpf.blocks.operand import extent, one_of, place
from fastbpf.record import Struct, raw, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Place

__all__ = ["CONTEXTS", "Key4", "Key6", "key4", "key6"]

#: What the key can be taken from. A program for sk_skb, sk_msg or sock_ops has it in r1 when it begins; "sock" is a
#: `struct bpf_sock *`: ctx.sk_buff.sk, or what call.sk_lookup_tcp gives, compared with 0.
CONTEXTS: Final = {"sk_skb": "sk_buff", "sk_msg": "sk_msg_md", "sock_ops": "bpf_sock_ops", "sock": "bpf_sock"}


#: A connection over IPv4, and one over IPv6: the layouts of the keys.
Key4: Final = Struct.of("Key4", {"remote_ip": raw[4], "local_ip": raw[4], "remote_port": u32, "local_port": u32})
Key6: Final = Struct.of("Key6", {"remote_ip": raw[16], "local_ip": raw[16], "remote_port": u32, "local_port": u32})


@checked
def key4(context: Register, at: Place, kind: str, *, scratch: Register | None = None) -> Block:
    """Write a `Key4` of 16 bytes: remote and local address, remote and local port.

    Emits: loads into scratch, and stores of it, by turns, the remote port turned into a number between.

    Args:
        context: the register that points to it.
        at: where the key goes, aligned to 4.
        kind: one of `CONTEXTS`.
        scratch: the register for passing use.

    Writes the key and one scratch register. Linux 4.13 (sock_ops) to 5.1 (sock).

    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import sockets
    >>> sockets.key4(r6, fp - 16, "sock_ops")
    <Block sockets.key4: clobbers r0; writes fp - 16 to fp - 1>
    """
    return _key("key4", context, at, kind, "ip4", scratch)


@checked
def key6(context: Register, at: Place, kind: str, *, scratch: Register | None = None) -> Block:
    """Write a `Key6` of 40 bytes; else as `key4`.

    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import sockets
    >>> sockets.key6(r6, fp - 40, "sk_msg")
    <Block sockets.key6: clobbers r0; writes fp - 40 to fp - 1>
    """
    return _key("key6", context, at, kind, "ip6", scratch)


def _key(name: str, context: Register, at: Place, kind: str, ip: str, wanted: Register | None) -> Block:
    fields = getattr(ctx, CONTEXTS[one_of(kind, CONTEXTS, "kind of context")])
    remote, local = ("dst", "src") if kind == "sock" else ("remote", "local")
    register(context)
    layout = Key4 if ip == "ip4" else Key6
    key = place(at, layout.size, 4, what="the key")
    if key.base == context:
        raise OperandError(f"{context} cannot be both the context and the place of the key")
    by = scratch(context, key.base, wanted=wanted)
    steps: list[Instruction] = []
    end = key.offset
    for side in (remote, local):
        address = getattr(fields, f"{side}_{ip}")
        for word in range(address.offset, address.offset + address.size, 4):
            steps += [ldxw(by, context, word), stxw(key.base, end, by)]
            end += 4
    for side in (remote, local):
        port = getattr(fields, f"{side}_port")
        steps.append(ld_ctx(by, context, port))
        if side == remote:
            # 16 bits as on the wire; where the field has 32, in front of 16 zeros
            steps.append(be16(by) if port.size == 2 else be32(by))
        steps.append(stxw(key.base, end, by))
        end += 4
    return block(f"sockets.{name}", steps, clobbers=(by,), stack=extent(key, layout.size))
