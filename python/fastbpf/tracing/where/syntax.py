"""From Python's tree of an expression to what it means; whatever means nothing here is refused, with its column."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fastbpf.tracing.where import tree
from fastbpf.tracing.where.kinds import Chars, Number, Opaque, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastbpf.errors import WhereError
    from fastbpf.tracing.where.kinds import Kind
    from fastbpf.tracing.where.reading import Source

_SUPPORTED = (
    "where takes fields, numbers, text, True, False, None; == != < <= > >=, in (…), is None; and, or, not; "
    "+ - * // % & | ^ ~ << >>; and FIELD.startswith(…)"
)

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_UNSUPPORTED: dict[type[ast.expr], str] = {
    ast.Call: "a call",
    ast.Lambda: "a lambda",
    ast.IfExp: "if … else",
    ast.Subscript: "an index",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment",
    ast.Starred: "a star",
    ast.Tuple: "a tuple, other than after in,",
    ast.List: "a list, other than after in,",
    ast.Set: "a set, other than after in,",
    ast.Dict: "a dict",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}


class _TextField(NamedTuple):
    """A text that an event has."""

    name: str
    kind: Chars | Text


_Value: TypeAlias = tree.Int | tree.Test | _TextField | str | None


def read(source: Source, kinds: Mapping[str, Kind]) -> tree.Test:
    """What the expression asks of an event. Raises WhereError."""
    return _Reader(source, kinds).test(source.tree)


class _Reader:
    def __init__(self, source: Source, kinds: Mapping[str, Kind]) -> None:
        self._source = source
        self._kinds = kinds

    def test(self, node: ast.expr) -> tree.Test:
        """A node as a condition: that it is true, as Python understands that."""
        value = self._value(node)
        if isinstance(value, tree.Test):
            return value
        if isinstance(value, tree.Int):
            return tree.compare("!=", self._comparable(value, node), tree.Literal(0))
        if isinstance(value, _TextField):
            text = self._source.written(node)
            raise self._refused(f'{text} is text, not a condition; write {text} is not None, or {text} != ""', node)
        raise self._refused(f"{self._source.written(node)} is {_what(value)}, not a condition", node)

    def _refused(self, message: str, node: ast.expr) -> WhereError:
        return self._source.refused(message, node)

    def _value(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._field(self._source.name(node), node)
            case ast.Attribute(value=ast.Name(id="args")):
                return self._field(f"args.{self._source.name(node)}", node)
            case ast.Attribute():
                raise self._refused(
                    f"{self._source.written(node)}: only args has fields of its own, args.NAME; {_SUPPORTED}", node
                )
            case ast.BoolOp():
                join = tree.all_ if isinstance(node.op, ast.And) else tree.some
                return join([self.test(value) for value in node.values])
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BinOp():
                return self._binary(node)
            case ast.Compare():
                return self._compare(node)
            case ast.Call(func=ast.Attribute(attr="startswith") as method):
                return self._startswith(node, method)
            case _:
                raise self._refused(f"{_UNSUPPORTED.get(type(node), 'this')} is not supported; {_SUPPORTED}", node)

    def _constant(self, node: ast.Constant) -> tree.Literal | str | None:
        value = node.value
        if isinstance(value, int):
            return tree.Literal(int(value))
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bytes):
            raise self._refused("text is written without the b: as text, not as bytes", node)
        raise self._refused(f"{self._source.written(node)} is no whole number, and the kernel has only those", node)

    def _field(self, name: str, node: ast.expr) -> tree.Field | _TextField:
        kind = self._kinds.get(name)
        if isinstance(kind, Number):
            return tree.Field(name, kind)
        if isinstance(kind, (Chars, Text)):
            return _TextField(name, kind)
        if isinstance(kind, Opaque):
            raise self._refused(f"{name} is {kind.what}, which cannot be compared", node)
        # What has its plain name, too, is the same kind under both.
        kinds = self._kinds
        names = [one for one in kinds if not (one.startswith("args.") and kinds[one] is kinds.get(one[5:]))]
        hint = _nearest(name, kinds)
        fields = f"{'? The' if hint else '; the'} fields are {', '.join(names)}"
        raise self._refused(f"there is no field {name!r}{hint}{fields}", node)

    def _number(self, value: _Value, node: ast.expr, symbol: str) -> tree.Int:
        if isinstance(value, tree.Int):
            return value
        remedy = "; conditions take and, or, not" if isinstance(value, tree.Test) else ""
        raise self._refused(f"{self._source.written(node)} is {_what(value)}, and {symbol} takes numbers{remedy}", node)

    def _known(self, number: tree.Int, node: ast.expr) -> tree.Int:
        if number.range.known:
            return number
        text = self._source.written(node)
        raise self._refused(f"{text} may not fit 64 bits; keep the bits that matter: ({text}) & 0xffffffff", node)

    def _comparable(self, number: tree.Int, node: ast.expr) -> tree.Int:
        return number if isinstance(number, tree.Literal) else self._known(number, node)

    def _unary(self, node: ast.UnaryOp) -> tree.Int | tree.Test:
        if isinstance(node.op, ast.Not):
            return tree.negated(self.test(node.operand))
        value = self._value(node.operand)
        if isinstance(node.op, ast.Invert):
            return tree.binary("^", self._number(value, node.operand, "~"), tree.Literal(-1))
        if isinstance(node.op, ast.USub):
            return tree.binary("-", tree.Literal(0), self._number(value, node.operand, "-"))
        return self._number(value, node.operand, "+")

    def _binary(self, node: ast.BinOp) -> tree.Int | tree.Test:
        symbol = _OPERATORS.get(type(node.op))
        if symbol is None:
            raise self._refused(f"{self._source.written(node)}: this operator is not supported; {_SUPPORTED}", node)
        one, other = self._value(node.left), self._value(node.right)
        if symbol in {"&", "|"} and isinstance(one, tree.Test) and isinstance(other, tree.Test):
            # As in Python, where conditions are bits, and as in polars.
            return tree.all_([one, other]) if symbol == "&" else tree.some([one, other])
        left, right = self._number(one, node.left, symbol), self._number(other, node.right, symbol)
        if symbol in {">>", "//", "%"} and not (isinstance(left, tree.Literal) and isinstance(right, tree.Literal)):
            self._known(left, node.left)
        if symbol in {"<<", ">>"} and not 0 <= right.range.low <= right.range.high <= 63:
            raise self._refused(f"{self._source.written(node.right)}: shifts are by 0 to 63 bits", node.right)
        if symbol in {"//", "%"}:
            if left.range.low < 0:
                raise self._refused(f"{symbol} takes numbers that are never negative", node.left)
            if right.range.low < 1 or not right.range.unsigned:
                raise self._refused(f"{symbol} takes divisors from 1 to 2**64 - 1", node.right)
        return tree.binary(symbol, left, right)

    def _compare(self, node: ast.Compare) -> tree.Test:
        tests: list[tree.Test] = []
        left_node, left = node.left, self._value(node.left)
        for operator, right_node in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, (ast.In, ast.NotIn)):
                if right_node is not node.comparators[-1]:
                    raise self._refused("what is in something cannot be compared further; write and", right_node)
                test = self._among(left, left_node, right_node)
                tests.append(tree.negated(test) if isinstance(operator, ast.NotIn) else test)
                break
            right = self._value(right_node)
            if isinstance(operator, (ast.Is, ast.IsNot)):
                test = self._is_none(left, left_node, right, right_node)
                tests.append(tree.negated(test) if isinstance(operator, ast.IsNot) else test)
            else:
                tests.append(self._pair(_COMPARISONS[type(operator)], left, left_node, right, right_node))
            left_node, left = right_node, right
        return tree.all_(tests)

    def _pair(self, symbol: str, left: _Value, left_node: ast.expr, right: _Value, right_node: ast.expr) -> tree.Test:
        for value, node in (left, left_node), (right, right_node):
            if isinstance(value, tree.Test):
                raise self._refused(f"{self._source.written(node)} is a condition; conditions take and, or, not", node)
            if value is None:
                raise self._refused("nothing equals None; write is None, or is not None", node)
        if isinstance(left, tree.Int) and isinstance(right, tree.Int):
            return tree.compare(symbol, self._comparable(left, left_node), self._comparable(right, right_node))
        if isinstance(left, tree.Int) or isinstance(right, tree.Int):
            texts = (self._source.written(left_node), _what(left), self._source.written(right_node), _what(right))
            raise self._refused("{} is {} and {} is {}: these cannot be compared".format(*texts), right_node)
        if symbol not in {"==", "!="}:
            raise self._refused("text takes ==, !=, in and startswith; it has no order here", right_node)
        if isinstance(left, _TextField) and isinstance(right, str):
            test = self._like(left, [self._text(right, left, right_node)], prefix=False)
        elif isinstance(left, str) and isinstance(right, _TextField):
            test = self._like(right, [self._text(left, right, left_node)], prefix=False)
        else:
            both = "literals" if isinstance(left, str) else "fields"
            raise self._refused(f"of two texts one must be a field and one a literal; these are {both}", right_node)
        return tree.negated(test) if symbol == "!=" else test

    def _is_none(self, left: _Value, left_node: ast.expr, right: _Value, right_node: ast.expr) -> tree.Test:
        if right is not None:
            raise self._refused("is compares with None alone; for anything else write ==", right_node)
        if isinstance(left, _TextField):
            return tree.Null(left.name, left.kind) if isinstance(left.kind, Text) else tree.Always(False)
        if isinstance(left, tree.Int):
            return tree.Always(False)
        raise self._refused(f"{self._source.written(left_node)} is {_what(left)}; fields can be None", left_node)

    def _among(self, left: _Value, left_node: ast.expr, right_node: ast.expr) -> tree.Test:
        if not isinstance(right_node, (ast.Tuple, ast.List, ast.Set)):
            comma = f"({self._source.written(right_node)},)"
            remedy = f"; a tuple of one has a comma: {comma}" if isinstance(right_node, ast.Constant) else ""
            raise self._refused(f"in takes several literals in parentheses, such as pid in (1, 2){remedy}", right_node)
        values = [(self._value(node), node) for node in right_node.elts]
        if isinstance(left, tree.Int):
            return tree.among(self._comparable(left, left_node), [self._literal(value, node) for value, node in values])
        if not isinstance(left, _TextField):
            raise self._refused(
                f"{self._source.written(left_node)} is {_what(left)}; in takes a field to its left", left_node
            )
        return self._like(left, [self._text(value, left, node) for value, node in values], prefix=False)

    def _startswith(self, node: ast.Call, method: ast.Attribute) -> tree.Test:
        field = self._value(method.value)
        if not isinstance(field, _TextField):
            raise self._refused(
                f"{self._source.written(method.value)} is {_what(field)}; fields of text have startswith", node
            )
        if len(node.args) != 1 or node.keywords:
            raise self._refused("startswith takes one text, or several in parentheses", node)
        given = node.args[0]
        nodes = given.elts if isinstance(given, ast.Tuple) else [given]
        return self._like(field, [self._text(self._value(one), field, one) for one in nodes], prefix=True)

    def _like(self, field: _TextField, literals: list[bytes], *, prefix: bool) -> tree.Test:
        if prefix and b"" in literals:
            # All text begins so: that is, no literal is one that it does not begin with.
            anything = tree.Like(field.name, field.kind, (), negated=True)
            return tree.Always(True) if isinstance(field.kind, Chars) else anything
        if not literals and isinstance(field.kind, Chars):
            return tree.Always(False)
        return tree.Like(field.name, field.kind, tuple(dict.fromkeys(literals)), prefix)

    def _literal(self, value: _Value, node: ast.expr) -> int:
        if isinstance(value, tree.Literal):
            return value.value
        what = "a field" if isinstance(value, tree.Int) else _what(value)
        raise self._refused(f"{self._source.written(node)} is {what}; these must be numbers, written out", node)

    def _text(self, value: _Value, field: _TextField, node: ast.expr) -> bytes:
        if not isinstance(value, str):
            raise self._refused(
                f"{self._source.written(node)} is {_what(value)}; {field.name} takes text in quotes", node
            )
        try:
            text = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise self._refused(
                "this text has half a character (a lone surrogate), which UTF-8 cannot write", node
            ) from None
        if b"\0" in text:
            raise self._refused("text of the kernel's ends at a NUL, so that none has one", node)
        kind = field.kind
        if isinstance(kind, Text) and len(text) > kind.most:
            raise self._refused(f"{field.name} is cut at {kind.most} bytes and this has {len(text)}; raise text=", node)
        if isinstance(kind, Chars) and len(text) >= kind.size:
            raise self._refused(f"{field.name} has at most {kind.size - 1} bytes and this has {len(text)}", node)
        return text


def _what(value: _Value) -> str:
    if value is None:
        return "None"
    if isinstance(value, (str, _TextField)):
        return "text"
    return "a number" if isinstance(value, tree.Int) else "a condition"


def _nearest(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches  # only errors need it

    # "args." in front is not what people mistake; of a name that is there twice, the other kind was not meant
    short = {}
    for known in sorted(names, key=lambda known: known.startswith("args.") == name.startswith("args.")):
        short[known.removeprefix("args.")] = known
    close = get_close_matches(name.removeprefix("args."), short, n=3)
    return f"; did you mean {' or '.join(repr(short[one]) for one in close)}" if close else ""
