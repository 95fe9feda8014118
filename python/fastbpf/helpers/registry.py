"""The registry: all helpers by number, name, category, program type and kernel, and those that you add.

Kernels are written `"5.8"`, `0x050800`, `(5, 8)` or as `uname -r` prints them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from fastbpf.helpers.facts import LINES
from fastbpf.helpers.helper import Helper, HelperError
from fastbpf.helpers.prototypes import nearest, prototype, type_since
from fastbpf.kernel_version import KernelVersion

if TYPE_CHECKING:
    Kernel = str | int | tuple[int, ...]

__all__ = ["all", "available", "by_category", "categories", "compatible", "get", "register"]  # shadows
__all__ += ["search", "since", "unregister", "until"]

# Those that were registered, by name.
_own: Final[dict[str, Helper]] = {}


# One of the kernel's, made when it is first asked for.
@cache
def _kernels(number: int) -> Helper:
    known = prototype(number)
    if known is None:
        raise LookupError(number)
    _, _, _, _, flags, _, _, category, capability, description = LINES[number - 1]
    marks = dict(flag.partition("=")[::2] for flag in flags.split(","))
    return Helper.of(known, category, description, None if capability == "-" else capability, marks)


@cache
def _all_kernels() -> tuple[Helper, ...]:
    return tuple(_kernels(number) for number in range(1, len(LINES) + 1))


@cache
def _numbers() -> dict[str, int]:
    return {line[0]: number for number, line in enumerate(LINES, 1)}


def all() -> tuple[Helper, ...]:
    """All helpers: the kernel's 211, then your own, by number.

    >>> len(all()), all()[0].name, all()[210].name
    (211, 'map_lookup_elem', 'cgrp_storage_delete')
    """
    return (*_all_kernels(), *sorted(_own.values()))


def get(helper: str | int) -> Helper:
    """The helper of that name, with or without `bpf_`, or of that number.

    Raises `HelperError`, with the nearest names, if there is none.

    >>> get(5) == get("ktime_get_ns") == get("bpf_ktime_get_ns")
    True
    >>> get("map_lookup_elm")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.helpers.helper.HelperError: there is no helper map_lookup_elm; the nearest: map_lookup_elem, ...
    """
    if isinstance(helper, Helper):
        return helper
    if isinstance(helper, int):
        if 0 < helper <= len(LINES):
            return _kernels(helper)
        for one in _own.values():
            if one.id == helper:
                return one
        raise HelperError(
            f"there is no helper {helper}: the kernel has 1 to {len(LINES)} and adds none, since it adds kfuncs "
            f"instead; helpers of your own kernel take helpers.register"
        )
    name = str(helper).removeprefix("bpf_")
    if (number := _numbers().get(name)) is not None:
        return _kernels(number)
    if name in _own:
        return _own[name]
    near = nearest_helpers(name) or "helpers.search(text) finds them by what they do"
    raise HelperError(f"there is no helper {helper}; {near}")


def nearest_helpers(name: str) -> str:
    """The end of a refusal: the nearest names by letters, then those that hold the word, or nothing."""
    names = [*_numbers(), *_own]
    said = nearest(name, names)
    if said.startswith("the nearest"):
        return said
    holding = [one for one in names if name and name in one][:5]
    return f"the nearest: {', '.join(holding)}" if holding else ""


def categories() -> tuple[str, ...]:
    """What helpers are about, in alphabetic order.

    >>> categories()[:5]
    ('cgroup', 'control', 'debug', 'dynptr', 'fs')
    """
    return tuple(sorted({one.category for one in all()}))


def by_category(category: str) -> tuple[Helper, ...]:
    """The helpers of a category, by number. Raises `HelperError` if there is no such category.

    >>> [one.name for one in by_category("sync")]
    ['spin_lock', 'spin_unlock']
    """
    found = tuple(one for one in all() if one.category == category)
    if not found:
        raise HelperError(f"there is no category {category!r}; {nearest(category, categories())}")
    return found


def available(prog_type: str, kernel: Kernel | None = None) -> tuple[Helper, ...]:
    """The helpers that programs of a type may call; with a kernel, only those that it has.

    The table knows when the kernel got a helper and when a program type, and which types may call which helpers today.
    Some types got a helper later than others: on an old kernel there may be fewer, and `probe` asks the one that runs.

    >>> len(available("xdp", "4.7")), len(available("xdp", "4.8")) < len(available("xdp")) < len(all())
    (0, True)
    """
    found = tuple(one for one in all() if one.allows(prog_type))
    return found if kernel is None else tuple(one for one in found if _has(KernelVersion.of(kernel), one, prog_type))


def compatible(helper: str | int, prog_type: str, kernel: Kernel) -> bool | None:
    """Whether a helper is `available` to programs of a type on a kernel; None if nobody knows, see `Helper.allows`.

    >>> compatible("ringbuf_reserve", "xdp", 0x050800), compatible("ringbuf_reserve", "xdp", "5.7")
    (True, False)
    """
    one = get(helper)
    told = one.allows(prog_type)
    return told if _has(KernelVersion.of(kernel), one, prog_type) else False


def _has(kernel: KernelVersion, helper: Helper, prog_type: str) -> bool:
    return helper.min_kernel <= kernel and type_since(prog_type) <= kernel


def since(kernel: Kernel) -> tuple[Helper, ...]:
    """The helpers that came with this kernel or later.

    >>> [one.name for one in since("6.2")]
    ['cgrp_storage_get', 'cgrp_storage_delete']
    """
    return tuple(one for one in all() if one.min_kernel >= KernelVersion.of(kernel))


def until(kernel: Kernel) -> tuple[Helper, ...]:
    """The helpers that a kernel of this version has.

    >>> len(until("4.1")), until("4.1")[-1].name
    (11, 'l4_csum_replace')
    """
    return tuple(one for one in all() if one.min_kernel <= KernelVersion.of(kernel))


def search(text: str) -> tuple[Helper, ...]:
    """The helpers with all these words in signature, category and description; those with them in the name come first.

    >>> [one.name for one in search("cookie tcp")][:2]
    ['tcp_check_syncookie', 'tcp_gen_syncookie']
    """
    words = text.lower().replace("bpf_", "").split()
    found = [
        one
        for one in all()
        if (told := f"{one.signature} {one.category} {one.description}".lower()) and _holds(told, words)
    ]
    return tuple(sorted(found, key=lambda one: not _holds(one.name.lower(), words)))


def _holds(text: str, words: list[str]) -> bool:
    return [word for word in words if word not in text] == []


def register(helper: Helper) -> Helper:
    """Adds a helper that your own kernel has, for this process. It is found by all queries, and `call.NAME` calls it.

    Raises `HelperError` if its name or its number is taken: 1 to 211 are the kernel's for ever.

    >>> clock = register(Helper(300, "clock", "__u64 bpf_clock(void)", "6.9", "all", "time", "Our own clock."))
    >>> get("bpf_clock").id, compatible("clock", "xdp", "6.9"), compatible("clock", "xdp", "6.8")
    (300, True, False)
    >>> unregister("clock")
    <helper 300: __u64 bpf_clock(void)>
    """
    if not isinstance(helper, Helper):
        raise HelperError(f"{helper!r} is no Helper; make one: helpers.Helper(300, ...)")
    helper = Helper(*helper)  # _replace checks nothing
    for one in all():
        if helper.name == one.name:
            raise HelperError(f"there is a helper {one.name} already, number {one.id}; {_remedy(one)}")
        if helper.id == one.id:
            raise HelperError(f"{helper.name}: number {one.id} is {one.name}; {_remedy(one)}")
    _own[helper.name] = helper
    return helper


def _remedy(taken: Helper) -> str:
    if taken.name in _own:
        return f"helpers.unregister({taken.name!r}) removes it"
    return f"the kernel's are 1 to {len(LINES)} and stay: take another name and a number above"


def own(name: str) -> Helper | None:
    """The helper of that name that `register` has added, if there is one."""
    return _own.get(name.removeprefix("bpf_"))


def unregister(name: str) -> Helper:
    """Removes a helper that `register` has added, and returns it. Raises `HelperError` for others."""
    helper = get(name)
    if helper.name not in _own:
        raise HelperError(f"{helper.name} is the kernel's; only helpers that were registered can be removed")
    return _own.pop(helper.name)
