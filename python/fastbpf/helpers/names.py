"""The kernel's helper functions by number, with the names of their parameters (include/uapi/linux/bpf.h, Linux 6.18).

>>> NAMES.index("ktime_get_ns"), PARAMETERS[1]
(5, ('map', 'key'))
"""

from __future__ import annotations

from fastbpf.helpers.facts import LINES

#: The names of the helpers, without `bpf_`; the place of a name is the helper's number. Number 0 is no helper.
NAMES: tuple[str, ...] = ("unspec", *[line[0] for line in LINES])


# "void *map: map; const void *key: map_key"
def _parameters(text: str) -> tuple[str, ...]:
    if text == "-":
        return ()
    return tuple([one.partition(": ")[0].replace("*", " ").rpartition(" ")[2] for one in text.split("; ")])


#: The names of the parameters of each helper, by number; "..." is as many more as there are registers.
PARAMETERS: tuple[tuple[str, ...], ...] = ((), *[_parameters(line[5]) for line in LINES])
