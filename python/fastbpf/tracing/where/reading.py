"""From the text of an expression to Python's own tree of it, in which every node knows its column in the text.

More than Python's own parser takes: fields whose names are keywords (`args.from`), and line breaks anywhere.
"""

from __future__ import annotations

import ast
import keyword
import tokenize
import warnings
from io import StringIO
from itertools import accumulate
from typing import TYPE_CHECKING

from fastbpf.errors import WhereError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

# Keywords that mean something in the language: they name a field only after a dot.
_WORDS = {"and", "or", "not", "in", "is", "None", "True", "False"}

# Takes the place of a keyword's first letter. No field is named so: the kernel's names are ASCII.
_LETTER = "ƒ"


class Source:
    """An expression: its `text` as it was written, and its `tree`. Raises WhereError when it is not Python."""

    def __init__(self, text: str, names: Container[str]) -> None:
        self.text = text
        plain = _plain(text, names)
        stripped = plain.lstrip()
        if not stripped:
            raise WhereError("where is empty; leave it out, or write an expression such as pid == 1", text, 0)
        self._lines = stripped.split("\n")
        self._starts = _starts(self._lines, len(plain) - len(stripped))
        self.tree = self._parse(stripped)

    def column(self, node: ast.expr) -> int:
        """Where in the text a node begins, in characters."""
        return self._place(node.lineno, node.col_offset)

    def written(self, node: ast.expr) -> str:
        """A node as it was written, shortened where it is long."""
        text = " ".join(self._slice(node).split())
        return text if len(text) <= 40 else f"{text[:20]} … {text[-15:]}"

    def name(self, node: ast.Name | ast.Attribute) -> str:
        """The name that a node ends in, a keyword included."""
        given = node.id if isinstance(node, ast.Name) else node.attr
        return self._slice(node)[-len(given) :]

    def refused(self, message: str, node: ast.expr) -> WhereError:
        """The error to raise about a node."""
        return WhereError(message, self.text, self.column(node))

    def _slice(self, node: ast.expr) -> str:
        return self.text[self.column(node) : self._place(node.end_lineno or 1, node.end_col_offset or 0)]

    def _place(self, line: int, offset: int) -> int:
        # Python counts the bytes of a line, people its characters.
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:offset].decode())

    def _parse(self, plain: str) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # such as for "\d", which is no escape: then an error with a column
                return ast.parse(f"{plain}\n", mode="eval").body
        except SyntaxError as error:
            column = self._starts[min(error.lineno or 1, len(self._starts)) - 1] + max(error.offset or 1, 1) - 1
            column = min(column, len(self.text))
            at = self.text[column:].strip()[:1]
            message, _, guess = error.msg.partition(". Maybe you meant ")
            if at == "=" or guess.startswith("'=='"):
                hint = "; compare with =="
            else:
                hint = "; write and, or, not" if at in {"&", "|", "!"} else "" if at else "; more must follow"
            raise WhereError(f"{message}{hint}", self.text, column) from None
        except (RecursionError, MemoryError):
            raise WhereError("this is nested too deeply", self.text, 0) from None
        except (ValueError, Warning) as error:  # such as for a NUL
            raise WhereError(f"this cannot be read: {error}", self.text, 0) from None


def _plain(text: str, names: Container[str]) -> str:
    # The text, character for character, but no name is a keyword, and comments and line breaks are blanks.
    plain = list(text.replace("\r", " "))
    opened = "(" + "".join(plain)  # within parentheses a line may break anywhere
    starts = _starts(opened.split("\n"), -1)
    before = ""
    try:
        for token in tokenize.generate_tokens(StringIO(f"{opened}\n)").readline):
            start = starts[min(token.start[0], len(starts)) - 1] + token.start[1]
            if token.type in {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE} and start < len(text):
                plain[start : start + len(token.string)] = " " * len(token.string)
            elif keyword.iskeyword(token.string) and (
                before == "." or (token.string in names and token.string not in _WORDS)
            ):
                plain[start] = _LETTER
            before = token.string if token.string.strip() else before
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass  # the parser says it better
    return "".join(plain)


def _starts(lines: Iterable[str], first: int) -> list[int]:
    return list(accumulate((len(line) + 1 for line in lines), initial=first))[:-1]
