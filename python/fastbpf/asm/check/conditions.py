"""What must hold of unknown numbers on a path: whether it can, and for which numbers it does.

A path is certain as long as numbers are known, all of them possible, for which the program takes it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from fastbpf.asm.check.arithmetic import M32, M64, compute, holds, signed
from fastbpf.asm.check.values import Leaf, Term, evaluate, highest, is_sure, leaves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastbpf.asm.check.values import Number

# Values at which comparisons and operations turn.
_EDGES: Final = (0, 1, 2, 7, 8, 0xFF, 0xFFFF, (1 << 31) - 1, 1 << 31, M32, 1 << 32, (1 << 63) - 1, 1 << 63, M64)
# How many values are tried for one unknown number.
_GUESSES: Final = 200
# `c > x` said of x first
_MIRRORED: Final = {"gt": "ge", "ge": "gt", "sgt": "sge", "sge": "sgt"}


class Condition(NamedTuple):
    """A comparison and whether it holds. At least one side is unknown, and the left one if the other is a number."""

    comparison: str
    bits: int
    left: Number
    right: Number
    wanted: bool
    leaves: frozenset[Leaf]

    def holds(self, chosen: Mapping[Leaf, int]) -> bool:
        """Whether it does, with the numbers chosen."""
        found = holds(self.comparison, self.bits, evaluate(self.left, chosen), evaluate(self.right, chosen))
        return found == self.wanted

    @property
    def sure(self) -> bool:
        """Whether numbers that are surely possible decide it."""
        return is_sure(self.left) and is_sure(self.right)

    def reversed(self) -> Condition:
        """The condition of the other branch."""
        return self._replace(wanted=not self.wanted)


def condition(comparison: str, bits: int, left: Number, right: Number) -> Condition:
    """The condition under which a comparison holds."""
    if isinstance(left, int):
        # c > x is not x >= c
        mirrored = _MIRRORED.get(comparison)
        return Condition(mirrored or comparison, bits, right, left, mirrored is None, leaves(right))
    return Condition(comparison, bits, left, right, True, leaves(left) | leaves(right))


def possible(new: Condition, known: Sequence[Condition]) -> bool:
    """Whether it can hold where the others do. False is certain, True is not."""
    if not isinstance(new.right, int):
        return new.reversed() not in known
    related = [old for old in known if old.left is new.left and isinstance(old.right, int)]
    related.append(new)
    if any(old.comparison == "set" or old.bits != new.bits for old in related):
        # numbers between those where comparisons turn may do
        return new.reversed() not in known
    mask = M64 if new.bits == 64 else M32
    top = min(highest(new.left), mask)
    turns = {0, top, (mask >> 1), (mask >> 1) + 1}
    for old in related:
        turns.update(((old.right - 1) & mask, old.right & mask, (old.right + 1) & mask))  # type: ignore[operator]
    return any(
        value <= top and all(holds(old.comparison, old.bits, value, old.right) == old.wanted for old in related)  # type: ignore[arg-type]
        for value in turns
    )


def choose(new: Condition, known: Sequence[Condition], chosen: Mapping[Leaf, int]) -> dict[Leaf, int] | None:
    """Numbers for which it holds as well as the others, by changing one of those chosen. None: none were found."""
    for leaf in new.leaves:
        low, high = leaf.sure or (0, 0)
        others = [old for old in known if leaf in old.leaves]
        tried = set()
        for guess in islice(_guesses(new, leaf, chosen), _GUESSES):
            # what it would have to be, cut to its width
            value = guess & high
            if value in tried or not low <= value <= high:
                continue
            tried.add(value)
            found = {**chosen, leaf: value}
            if new.holds(found) and all(old.holds(found) for old in others):
                return found
    return None


def _guesses(new: Condition, leaf: Leaf, chosen: Mapping[Leaf, int]) -> Iterator[int]:
    mask = M64 if new.bits == 64 else M32
    for side, other in ((new.left, new.right), (new.right, new.left)):
        if not isinstance(side, int) and leaf in side.leaves:
            edge = evaluate(other, chosen) & mask
            kept = evaluate(side, chosen) & ~mask
            for target in (edge, edge + 1, edge - 1, ~edge, 0, mask, mask >> 1, (mask >> 1) + 1):
                yield from _solve(side, target & mask | kept, leaf, chosen)
            if new.comparison == "set":
                for bit in range(edge.bit_length()):
                    if edge >> bit & 1:
                        yield from _solve(side, 1 << bit | kept, leaf, chosen)
    yield from _EDGES
    yield from leaf.sure or ()


# Values of the leaf that may make the number come out as wanted; whoever asks tries them.
def _solve(number: Number, wanted: int, leaf: Leaf, chosen: Mapping[Leaf, int]) -> Iterator[int]:
    if number is leaf:
        yield wanted
        return
    if not isinstance(number, Term):
        return
    mask = M64 if number.bits == 64 else M32
    wanted &= mask
    for side, other, left in ((number.left, number.right, True), (number.right, number.left, False)):
        if isinstance(side, int) or leaf not in side.leaves:
            continue
        constant = evaluate(other, chosen)
        now = evaluate(side, chosen)
        for back in _undo(number.operation, number.bits, wanted, constant & mask, left=left, now=now & mask):
            yield from _solve(side, back & mask | now & ~mask, leaf, chosen)


# What x was if `x (op) other` is wanted (`other (op) x` where it stood on the right). `now` is what x is at present.
def _undo(operation: str, bits: int, wanted: int, other: int, *, left: bool, now: int) -> Iterator[int]:
    mask = M64 if bits == 64 else M32
    match operation:
        case "add":
            yield wanted - other
        case "sub":
            yield wanted + other if left else other - wanted
        case "xor":
            yield wanted ^ other
        case "and":
            yield wanted | (now & ~other)
            yield wanted
        case "or":
            yield wanted & ~other
            yield wanted
        case "lsh" if left:
            count = other & bits - 1
            yield wanted >> count | now & ~(mask >> count)
        case "rsh" if left:
            count = other & bits - 1
            yield wanted << count | now & ((1 << count) - 1)
        case "arsh" if left:
            yield wanted << (other & bits - 1)
        case "mul" if other:
            yield pow(other, -1, mask + 1) * wanted if other & 1 else wanted // other
        case "div" if left:
            yield wanted * other
        case "mod" if left:
            yield wanted
        case "sdiv" if left:
            yield signed(wanted, bits) * signed(other, bits)
        case "smod" | "extend" if left:
            yield wanted
        case "swap" if left:
            yield compute("swap", bits, wanted, other)
        case _:
            yield wanted
