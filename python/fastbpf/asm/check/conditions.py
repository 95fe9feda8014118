"""What must hold of unknown numbers on a path: whether it can, and for which numbers it does.

A path is certain as long as numbers are known, all of them possible, for which the program takes it.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from fastbpf.asm.check.arithmetic import M32, M64, compute, holds, signed
from fastbpf.asm.check.values import Leaf, Term, evaluate, highest, is_sure, leaves, weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fastbpf.asm.check.values import Number, Unknown
    from fastbpf.asm.check.walk import Walk

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


class Range(NamedTuple):
    """The values that comparisons with constants leave to a number: spans in both halves of its bits, without some."""

    spans: tuple[tuple[int, int], ...]
    without: frozenset[int]

    def holds(self, value: int) -> bool:
        """Whether it is one of them."""
        return value not in self.without and any(low <= value <= high for low, high in self.spans)

    def narrowed(self, new: Condition) -> Range:
        """Those of them for which the comparison with a constant comes out as it has to."""
        mask = M64 if new.bits == 64 else M32
        # signed numbers have the order of unsigned ones in each half
        flip = (mask >> 1) + 1 if new.comparison in {"sgt", "sge"} else 0
        constant = cast("int", new.right) & mask ^ flip
        low, high, without = 0, mask, self.without
        if new.comparison == "eq" and new.wanted:
            return Range(((constant, constant),) if self.holds(constant) else (), _NOTHING)
        if new.comparison == "eq":
            if self.holds(constant):
                without |= {constant}
        elif new.wanted:
            low = constant + (new.comparison in {"gt", "sgt"})
        else:
            high = constant - (new.comparison in {"ge", "sge"})
        spans = []
        for first, last in self.spans:
            if max(first ^ flip, low) > min(last ^ flip, high):
                continue
            start, end = max(first ^ flip, low) ^ flip, min(last ^ flip, high) ^ flip
            while start <= end and start in without:
                start += 1
            while start <= end and end in without:
                end -= 1
            if start <= end:
                spans.append((start, end))
        if without and tuple(spans) != self.spans:
            without = frozenset([value for value in without if any(low < value < high for low, high in spans)])
        return Range(tuple(spans), without)


class Known:
    """What has to hold of the numbers on a path. It stays as it is; what more is known makes another."""

    __slots__ = ("effort", "others", "ranges", "size")

    def __init__(self, ranges: dict[tuple[Unknown, int], Range], others: tuple[Condition, ...], without: int) -> None:
        #: by number and bits, what comparisons with constants say
        self.ranges = ranges
        #: the other conditions
        self.others = others
        #: how many numbers, conditions and single values there are in it
        self.size = len(ranges) + len(others) + without
        #: what it takes to go through it, in the unit of `Walk.spend`
        self.effort = (len(ranges) + len(others)) // 6 + without // 32

    def adding(self, new: Condition) -> Known | None:
        """What is known where that holds as well. None: it cannot, which is certain."""
        if isinstance(new.right, int) and new.comparison != "set":
            old = self.range(new)
            found = old.narrowed(new)
            if not found.spans:
                return None
            without = self._without + len(found.without) - len(old.without)
            return Known({**self.ranges, (new.left, new.bits): found}, self.others, without)  # type: ignore[dict-item]  # no int
        if new.reversed() in self.others:
            return None
        return self if new in self.others else Known(self.ranges, (*self.others, new), self._without)

    def range(self, new: Condition) -> Range:
        """What is known of the left side of a comparison."""
        found = self.ranges.get((new.left, new.bits))  # type: ignore[arg-type]  # of two ints nothing is asked
        if found is None:
            mask = M64 if new.bits == 64 else M32
            top, half = min(highest(new.left), mask), mask >> 1
            found = Range(((0, top),) if top <= half else ((0, half), (half + 1, top)), _NOTHING)
        return found

    def about(self, live: set[Leaf]) -> Known:
        """What it says of these numbers, and of those that it ties to them."""
        ties: dict[Leaf, list[frozenset[Leaf]]] = {}
        for together in [number.leaves for number, _ in self.ranges] + [old.leaves for old in self.others]:
            for leaf in together:
                ties.setdefault(leaf, []).append(together)
        found, left = set(live), list(live)
        while left:
            more = set().union(*ties.pop(left.pop(), ())) - found
            found |= more
            left += more
        ranges = {key: values for key, values in self.ranges.items() if not found.isdisjoint(key[0].leaves)}
        others = tuple([old for old in self.others if not found.isdisjoint(old.leaves)])
        if len(ranges) + len(others) == len(self.ranges) + len(self.others):
            return self
        return Known(ranges, others, sum([len(values.without) for values in ranges.values()]))

    @property
    def _without(self) -> int:
        return self.size - len(self.ranges) - len(self.others)


_NOTHING: Final[frozenset[int]] = frozenset()
NOTHING: Final = Known({}, (), 0)


def choose(new: Condition, known: Known, chosen: Mapping[Leaf, int], walk: Walk) -> dict[Leaf, int] | None:
    """Numbers for which it holds as well as what is known, by changing one of those chosen. None: none were found."""
    for leaf in new.leaves:
        low, high = leaf.sure or (0, 0)
        others: list[tuple[int, Callable[[Mapping[Leaf, int]], bool]]] = [
            (number.weight, partial(_within, number, bits, values))
            for (number, bits), values in known.ranges.items()
            if leaf in number.leaves
        ]
        others += [(weigh(old.left, old.right), old.holds) for old in known.others if leaf in old.leaves]
        effort = 2 * weigh(new.left, new.right) ** 2 + 1
        walk.spend(effort + known.effort + 3 * len(others))
        found = dict(chosen)
        tried = set()
        for guess in islice(_guesses(new, leaf, known, chosen), _GUESSES):
            # what it would have to be, cut to its width
            value = guess & high
            if value in tried or not low <= value <= high:
                continue
            tried.add(value)
            found[leaf] = value
            walk.spend(effort)
            if new.holds(found):
                for weight, holds_too in others:
                    walk.spend(2 * weight)
                    if not holds_too(found):
                        break
                else:
                    return found
            if walk.exhausted:
                return None
    return None


def _within(number: Unknown, bits: int, values: Range, chosen: Mapping[Leaf, int]) -> bool:
    return values.holds(evaluate(number, chosen) & (M64 if bits == 64 else M32))


def _guesses(new: Condition, leaf: Leaf, known: Known, chosen: Mapping[Leaf, int]) -> Iterator[int]:
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
    # what the other conditions leave, where those are many
    if isinstance(new.right, int) and new.comparison != "set":
        kept = evaluate(new.left, chosen) & ~mask
        for span in known.range(new).narrowed(new).spans:
            for target in span:
                yield from _solve(new.left, target | kept, leaf, chosen)


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
