"""Program contexts by field name: what r1 points to when a program begins.

>>> from fastbpf.asm import ldxw, r1, r2
>>> from fastbpf.asm.context import ctx, ld_ctx
>>> ctx.xdp_md.data_end
ctx.xdp_md.data_end
>>> ld_ctx(r2, r1, ctx.xdp_md.data_end), ldxw(r2, r1, ctx.sk_buff.cb[2])
(ldxw(r2, r1, 4), ldxw(r2, r1, 56))
>>> ctx.xdp_md.lenght  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
fastbpf.asm.context.contexts.UnknownFieldError: <doctest ...>:1: ctx.xdp_md has no field "lenght"; it has data, ...
"""

from __future__ import annotations

from fastbpf.asm.context.contexts import ctx
from fastbpf.asm.context.field import Field, ld_ctx

__all__ = ["Field", "ctx", "ld_ctx"]
