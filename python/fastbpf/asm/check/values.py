"""What a register or a place on the stack holds, as far as it is known without running the program.

A value is an `int` (64 bits, unsigned), an `Unknown` number, a `Pointer`, `Unset`, `Released`, `Moved`, or `ANYTHING`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbpf.asm.check.arithmetic import M32, M64, compute

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, TypeAlias

    from fastbpf.asm.check.maps import MapFacts

# Expressions beyond this size become a number of which nothing is known.
_HEAVIEST: Final = 24


class Leaf:
    """A number that comes from outside: from memory that others write, from a helper.

    `sure` are the values, from and to, each of which it can have whatever else happens; None: no value is certain.
    `top` is the largest that it can have at all.
    """

    __slots__ = ("leaves", "made", "sure", "top", "weight")

    def __init__(self, top: int, sure: tuple[int, int] | None) -> None:
        # what operations have made of it
        self.made: dict[tuple[object, ...], Unknown] = {}
        self.top = top
        self.sure = sure
        self.leaves: frozenset[Leaf] = frozenset((self,))
        self.weight = 1


class Term:
    """An operation on numbers of which at least one is unknown."""

    __slots__ = ("bits", "leaves", "left", "made", "operation", "right", "sure", "top", "weight")

    def __init__(self, operation: str, bits: int, left: Number, right: Number, top: int) -> None:
        self.operation = operation
        self.bits = bits
        self.left = left
        self.right = right
        self.top = top
        self.leaves: frozenset[Leaf] = leaves(left) | leaves(right)
        self.sure = all(leaf.sure for leaf in self.leaves)
        self.weight = weigh(left, right) + 1
        self.made: dict[tuple[object, ...], Unknown] = {}


class Origin:
    """Where an address came from that may be NULL or has to be given back. Compared by identity."""

    __slots__ = ("slot",)

    def __init__(self, slot: int) -> None:
        self.slot = slot


class Pointer:
    """An address: of which kind, of what, and how far into it.

    `what` is the number of the frame for "stack", the map for "map" and "value", the size for "record", and for
    "packet" and "packet_end" how long the packet is.
    `null`: whether it may be 0: "no", "yes", or "perhaps", where newer kernels may know that it is not.
    """

    __slots__ = ("kind", "null", "off", "origin", "what")

    def __init__(
        self,
        kind: Kind,
        what: MapFacts | Number | None = None,
        off: Number = 0,
        null: Literal["no", "yes", "perhaps"] = "no",
        origin: Origin | None = None,
    ) -> None:
        self.kind = kind
        self.what = what
        self.off = off
        self.null = null
        self.origin = origin


class Unset:
    """Nothing was written, or a call has undone it: the one in slot `by`."""

    __slots__ = ("by",)

    def __init__(self, by: int | None = None) -> None:
        self.by = by


class Released:
    """The address of a record that has been given back in slot `by`."""

    __slots__ = ("by",)

    def __init__(self, by: int) -> None:
        self.by = by


class Moved:
    """What was an address in the packet before the call in slot `by`, which may have moved it: a number now."""

    __slots__ = ("by",)

    def __init__(self, by: int) -> None:
        self.by = by


class Anything:
    """A number or an address: the analysis lost track."""

    __slots__ = ()


ANYTHING: Final = Anything()

if TYPE_CHECKING:
    Kind: TypeAlias = Literal["stack", "ctx", "map", "value", "record", "packet", "packet_end", "other"]
    Unknown: TypeAlias = Leaf | Term
    Number: TypeAlias = int | Unknown
    Value: TypeAlias = Number | Pointer | Unset | Released | Moved | Anything

NUMBERS: Final = (int, Leaf, Term)


def vague(top: int = M64) -> Leaf:
    """A number of which the check does not know what it can be."""
    return Leaf(top, None)


def any_number(bits: int = 64) -> Leaf:
    """A number of so many bits that can be each of them."""
    top = (1 << bits) - 1
    return Leaf(top, (0, top))


def combine(operation: str, bits: int, left: Number, right: Number) -> Number:
    """The result of an operation on numbers, worked out where both are known."""
    if type(left) is int and type(right) is int:
        return compute(operation, bits, left, right)
    if type(right) is int:
        if operation == "sub":
            operation, right = "add", compute("sub", bits, 0, right)
        if (
            operation in {"add", "and"}
            and isinstance(left, Term)
            and (left.operation, left.bits) == (operation, bits)
            and isinstance(left.right, int)
        ):
            # two steps with known numbers are one
            return combine(operation, bits, left.left, compute(operation, bits, left.right, right))
    # the same operation on the same numbers gives the same one again
    made = right.made if isinstance(left, int) else left.made  # type: ignore[union-attr]  # one of both is no int
    step = (operation, bits, left if isinstance(left, int) else None, right)
    found = made.get(step)
    if found is None:
        top = _top(operation, M64 if bits == 64 else M32, left, right)
        heavy = weigh(left, right) >= _HEAVIEST
        found = made[step] = vague(top) if heavy else Term(operation, bits, left, right, top)
    return found


def truncate(value: Number, bits: int) -> Number:
    """The low bits of a number."""
    mask = (1 << bits) - 1
    if type(value) is int:
        return value & mask
    return value if highest(value) <= mask else combine("and", 64, value, mask)


def evaluate(value: Number, chosen: Mapping[Leaf, int]) -> int:
    """What a number is where its leaves are as chosen, each other one the lowest that it can surely be."""
    if isinstance(value, int):
        return value
    if isinstance(value, Term):
        left = value.left if type(value.left) is int else evaluate(value.left, chosen)
        right = value.right if type(value.right) is int else evaluate(value.right, chosen)
        return compute(value.operation, value.bits, left, right)
    return chosen.get(value, value.sure[0] if value.sure else 0)


def highest(value: Number) -> int:
    """The largest that a number can be."""
    return value if isinstance(value, int) else value.top


def is_sure(value: Number) -> bool:
    """Whether a number is known, or each of its leaves has values that it surely can have."""
    return isinstance(value, int) or bool(value.sure)


_NONE: Final[frozenset[Leaf]] = frozenset()


def leaves(value: Number) -> frozenset[Leaf]:
    """The unknown numbers that a number is made of."""
    return _NONE if isinstance(value, int) else value.leaves


def weigh(*values: Number) -> int:
    """Of how many unknown numbers and operations on them they are made."""
    return sum([0 if isinstance(value, int) else value.weight for value in values])


def _top(operation: str, mask: int, left: Number, right: Number) -> int:
    a, b = min(highest(left), mask), min(highest(right), mask)
    found = mask
    if operation == "and":
        found = min(a, b)
    elif operation in {"or", "xor"}:
        found = (1 << max(a.bit_length(), b.bit_length())) - 1
    elif operation == "add":
        found = a + b
    elif operation == "mul":
        found = a * b
    elif operation == "swap" and isinstance(right, int):
        found = (1 << right) - 1
    elif operation in {"div", "rsh"} or (operation == "mod" and not isinstance(right, int)):
        found = a
        if operation == "rsh" and isinstance(right, int):
            found >>= right & (mask.bit_length() - 1)
        elif operation == "div" and isinstance(right, int) and b:
            found //= b
    elif operation == "mod":
        found = min(a, b - 1) if b else a
    elif operation == "lsh" and isinstance(right, int):
        found = a << (b & (mask.bit_length() - 1))
    return min(found, mask)
