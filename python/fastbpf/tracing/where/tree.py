"""What an expression means: numbers with their ranges, and conditions, decided where the ranges decide.

Numbers are Python's, without bounds. A register holds a number modulo 2**64, which `+ - * & | ^ <<` respect: so it says
all about a number whose range fits 64 bits, signed or unsigned, whatever that was computed from. Everything else needs
such a range of its operands.

A condition is negated when it is made, down to its leaves, and a leaf that meets a null is false either way. That gives
SQL's three-valued logic, in which an event is wanted when the condition is true, not when a null leaves it open.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fastbpf.tracing.where.kinds import Chars, Number, Text


@dataclass(frozen=True)
class Range:
    """Both ends are included."""

    low: int
    high: int

    @property
    def unsigned(self) -> bool:
        """Whether it fits 64 bits, unsigned."""
        return self.low >= 0 and self.high < 1 << 64

    @property
    def signed(self) -> bool:
        """Whether it fits 64 bits, signed."""
        return self.low >= -1 << 63 and self.high < 1 << 63

    @property
    def known(self) -> bool:
        """Whether a register says which number of the range it is."""
        return self.unsigned or self.signed


@dataclass(frozen=True)
class Literal:
    """A number that is known."""

    value: int

    @property
    def range(self) -> Range:
        """Just the number."""
        return Range(self.value, self.value)


@dataclass(frozen=True)
class Field:
    """A number that an event has."""

    name: str
    kind: Number

    @property
    def range(self) -> Range:
        """What its size and sign allow."""
        if self.kind.boolean:
            return Range(0, 1)
        bits = self.kind.size * 8
        return Range(-1 << bits - 1, (1 << bits - 1) - 1) if self.kind.signed else Range(0, (1 << bits) - 1)


@dataclass(frozen=True)
class Binary:
    """A number computed from two."""

    operator: str
    left: Int
    right: Int
    range: Range


Int: TypeAlias = Literal | Field | Binary


@dataclass(frozen=True)
class Always:
    """A condition that is known."""

    value: bool


@dataclass(frozen=True)
class Compare:
    """Two numbers compared."""

    operator: str
    left: Int
    right: Int


@dataclass(frozen=True)
class Among:
    """Whether a number is one of several (at least two), or with `negated` none of them."""

    number: Int
    values: tuple[int, ...]
    negated: bool = False


@dataclass(frozen=True)
class Like:
    """Whether text is one of several literals, or if `prefix` begins with one. A null is false, `negated` or not."""

    name: str
    kind: Chars | Text
    literals: tuple[bytes, ...]
    prefix: bool = False
    negated: bool = False


@dataclass(frozen=True)
class Null:
    """Whether a text is null, or with `negated` whether it is not."""

    name: str
    kind: Text
    negated: bool = False


@dataclass(frozen=True)
class All:
    """Several conditions (at least two), all of which must hold."""

    parts: tuple[Test, ...]


@dataclass(frozen=True)
class Some:
    """Several conditions (at least two), one of which must hold."""

    parts: tuple[Test, ...]


Test: TypeAlias = Always | Compare | Among | Like | Null | All | Some


_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_SWAPPED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

_COMMUTES = {"+", "*", "&", "|", "^"}
_BITWISE: dict[str, Callable[[int, int], int]] = {"&": operator.and_, "|": operator.or_, "^": operator.xor}
_MONOTONIC: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "<<": operator.lshift,
    ">>": operator.rshift,
}
_OPERATORS = {**_BITWISE, **_MONOTONIC, "%": operator.mod}


def binary(symbol: str, left: Int, right: Int) -> Int:
    """`left symbol right`.

    For >> // % the ranges must be `known`; shifts must be by 0 to 63, and divisions of 0 or more by 1 or more.
    """
    if isinstance(left, Literal) and isinstance(right, Literal):
        return Literal(_OPERATORS[symbol](left.value, right.value))
    range_ = _range(symbol, left.range, right.range)
    if range_.low == range_.high:
        return Literal(range_.low)
    if symbol in _COMMUTES and isinstance(left, Literal):
        left, right = right, left
    return Binary(symbol, left, right, range_)


def _range(symbol: str, left: Range, right: Range) -> Range:
    if symbol in _BITWISE:
        return _bitwise(symbol, left, right)
    if symbol == "%":
        return left if left.high < right.low else Range(0, min(left.high, right.high - 1))
    # These rise or fall all the way, with each operand: their extremes are at corners.
    corners = [_MONOTONIC[symbol](a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    return Range(min(corners), max(corners))


def _bitwise(symbol: str, left: Range, right: Range) -> Range:
    # The sign is a bit like any other, the highest of infinitely many.
    negative = {_BITWISE[symbol](a, b) for a in _signs(left) for b in _signs(right)}
    bits = max((~end if end < 0 else end).bit_length() for end in (left.low, left.high, right.low, right.high))
    low, high = (-1 << bits if 1 in negative else 0), ((1 << bits) - 1 if 0 in negative else -1)
    if symbol == "|" and low == 0:  # takes no bits away
        low = max(left.low, right.low)
    if symbol == "&":  # has no bits that a number which is not negative has not
        high = min([high, *(side.high for side in (left, right) if side.low >= 0)])
    return Range(low, high)


def _signs(range_: Range) -> set[int]:
    return {int(range_.low < 0), int(range_.high < 0)}


def compare(symbol: str, left: Int, right: Int) -> Test:
    """`left symbol right`, of ranges that are `known`; a literal may be any."""
    if isinstance(left, Literal):
        symbol, left, right = _SWAPPED[symbol], right, left
    possible = _possible(symbol, left.range, right.range)
    if len(possible) == 1:
        return Always(possible.pop())
    if left.range == Range(0, 1) and right == Literal(1) and symbol in {"==", "!="}:
        return Compare(OPPOSITE[symbol], left, Literal(0))  # the cheaper question
    return Compare(symbol, left, right)


def _possible(symbol: str, left: Range, right: Range) -> set[bool]:
    if symbol in {"==", "!="}:
        apart = left.high < right.low or right.high < left.low
        same = left.low == left.high == right.low == right.high
        return {symbol == "!="} if apart else {symbol == "=="} if same else {True, False}
    compared = _COMPARISONS[symbol]
    return {compared(left.low, right.high), compared(left.high, right.low)}


def among(number: Int, values: Iterable[int]) -> Test:
    """`number in values`, of a range that is `known`."""
    low, high = number.range.low, number.range.high
    distinct = tuple(dict.fromkeys(value for value in values if low <= value <= high))
    if len(distinct) == high - low + 1:
        return Always(True)
    if len(distinct) > 1:
        return Among(number, distinct)
    return compare("==", number, Literal(distinct[0])) if distinct else Always(False)


def negated(test: Test) -> Test:
    """What holds when `test` does not; where a null is, neither holds."""
    if isinstance(test, Always):
        return Always(not test.value)
    if isinstance(test, Compare):
        return replace(test, operator=OPPOSITE[test.operator])
    if isinstance(test, All):
        return some(map(negated, test.parts))
    if isinstance(test, Some):
        return all_(map(negated, test.parts))
    return replace(test, negated=not test.negated)


def all_(tests: Iterable[Test]) -> Test:
    """`and`."""
    parts: list[Test] = []
    for test in tests:
        if test == Always(False):
            return test
        parts += test.parts if isinstance(test, All) else [] if isinstance(test, Always) else [test]
    return All(tuple(parts)) if len(parts) > 1 else parts[0] if parts else Always(True)


def some(tests: Iterable[Test]) -> Test:
    """`or`."""
    parts: list[Test] = []
    for test in tests:
        if test == Always(True):
            return test
        parts += test.parts if isinstance(test, Some) else [] if isinstance(test, Always) else [test]
    return Some(tuple(parts)) if len(parts) > 1 else parts[0] if parts else Always(False)


def fields(node: Test | Int) -> Iterator[tuple[str, Number | Chars | Text]]:
    """The fields that decide: name and kind, as often as they are looked at."""
    if isinstance(node, (All, Some)):
        for part in node.parts:
            yield from fields(part)
    elif isinstance(node, (Compare, Binary)):
        yield from fields(node.left)
        yield from fields(node.right)
    elif isinstance(node, Among):
        yield from fields(node.number)
    elif isinstance(node, (Like, Null, Field)):
        yield node.name, node.kind
