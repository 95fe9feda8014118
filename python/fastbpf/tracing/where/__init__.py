"""`where`: a Python expression over an event's fields becomes BPF instructions that leave out the events not wanted.

The language is Python's own, with Python's meaning:

* fields by name, `pid`, and `args.NAME` for the probe's own; numbers, text, True, False, None
* `== != < <= > >=`, chained as you like; `in` and `not in` a tuple, list or set of literals; `and`, `or`, `not`
* `+ - * // % & | ^ ~ << >>` on whole numbers; a number or a bool field alone asks whether it is not zero
* of text: `==`, `!=`, `in`, `FIELD.startswith(…)`, and `is None` where a field may be null

Numbers are Python's, without bounds: a u32 is never -1, and adding to it never wraps. What may not fit 64 bits in the
end can be masked, `(a + b) & 0xffff`, but not compared, shifted right or divided: that is refused. So are shifts by
more than 63, and `//` and `%` where the left may be negative or the right 0.

Null is false, and so is its opposite: of a file name that could not be read neither `filename == "x"` nor
`not filename == "x"` holds, only `filename is None`. Text is compared as UTF-8.
"""

from __future__ import annotations

from fastbpf.tracing.where.condition import Condition, compile_where
from fastbpf.tracing.where.kinds import Chars, Kind, Number, Opaque, Place, Text, TextPlace

__all__ = ["Chars", "Condition", "Kind", "Number", "Opaque", "Place", "Text", "TextPlace", "compile_where"]
