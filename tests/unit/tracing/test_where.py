"""What is refused, and where; what folds; in which order. What conditions mean, the kernel's tests ask."""

import itertools
import operator

import pytest

from fastbpf import WhereError
from fastbpf.asm import Instruction, fp, r7
from fastbpf.tracing.where import Chars, Number, Opaque, Place, Text, TextPlace, compile_where
from fastbpf.tracing.where.tree import Field, Range, binary

KINDS = {
    "pid": Number(4, signed=False),
    "tid": Number(4, signed=False),
    "ret": Number(8, signed=True),
    "size": Number(8, signed=False),
    "flag": Number(1, signed=False, boolean=True),
    "comm": Chars(16),
    "filename": Text(256),
    "stack": Opaque("a list"),
    "from": Number(4, signed=False),
    "args.from": Number(4, signed=True),
    "args.pass": Number(4, signed=True),
    "args.pid": Number(4, signed=True),
    "args.None": Text(8),
}
PLACES = {n: TextPlace(r7, 8, 64) if isinstance(k, Text) else Place(fp, -64) for n, k in KINDS.items()}


def instructions(text):
    return [piece for piece in compile_where(text, KINDS).emit(PLACES, "no") if isinstance(piece, Instruction)]


def test_pid_is_two_instructions():
    assert [str(i) for i in instructions("pid == 4026531840")] == ["ldxw(r0, fp, -64)", 'jne32(r0, -268435456, "no")']


def test_each_field_is_listed_once():
    own = Number(4, signed=True)
    kinds = {"pid": Number(4, signed=True), "dfd": own, "args.dfd": own, "args.pid": Number(4, signed=True)}
    with pytest.raises(WhereError, match=r"no field 'x'; the fields are pid, dfd, args\.pid\n"):
        compile_where("x == 1", kinds)


def test_bits_are_tested_at_once():
    assert [str(i) for i in instructions("not pid & 0x40")] == ["ldxw(r0, fp, -64)", 'jset(r0, 64, "no")']


def test_names_are_those_that_decide():
    assert compile_where("pid == 1 and args.pid == 2", KINDS).names == {"pid", "args.pid"}
    assert compile_where("pid == 1 and (tid == 1 or tid >= 0)", KINDS).names == {"pid"}
    assert compile_where("filename is None or pid == -1", KINDS).names == {"filename"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("args.from == 1", {"args.from"}),
        ("from == 1 and args.pass == 2", {"from", "args.pass"}),
        ("args . from == 1", {"args.from"}),
        ("args.\nfrom == 1", {"args.from"}),
        ("args.None is not None", {"args.None"}),
        ("args.None == 'from'", {"args.None"}),
        ("filename == 'args.from' or comm in ('from', '# from')", {"filename", "comm"}),
        ("\n  pid == 1  # not from\n  and tid == 2\n", {"pid", "tid"}),
        ("pid == 1 \\\n or tid == 2", {"pid", "tid"}),
        ("pid == 1\r\nor tid == 2", {"pid", "tid"}),
    ],
)
def test_names_as_they_are_written(text, names):
    assert compile_where(text, KINDS).names == names


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("True", True),
        ("not 1", False),
        ("pid == -1", False),
        ("pid != 1 << 32", True),
        ("pid >= 0", True),
        ("-1 < pid <= 0xffffffff", True),
        ("pid in (-1, 1 << 40)", False),
        ("pid not in ()", True),
        ("size < 0x1_0000_0000_0000_0000", True),
        ("ret < 1 << 63", True),
        ("ret >= -(2 << 62)", True),
        ("ret == size | (1 << 63)", False),
        ("pid + 1 > 0", True),
        ("pid - 1 >= 0", None),
        ("(pid & 3) == 4", False),
        ("(pid | -1) >= 0", False),
        ("(pid ^ pid) < 0", False),
        ("pid % 10 == 10", False),
        ("0x4_0000_0000_0000_0000 >> 63 == 8 and 0x4_0000_0000_0000_0000 > size", True),
        ("flag == 2", False),
        ("flag in (0, 1)", True),
        ("flag < 2 and pid == 1 and 2 in (1, 2)", None),
        ("pid == 1 and flag == 2", False),
        ("pid == 1 or flag != 2", True),
        ("filename == 'x' and False", False),
        ("comm is None", False),
        ("pid is not None", True),
        ("comm.startswith('')", True),
        ("comm not in ()", True),
        ("filename is not None", None),
        ("filename.startswith('')", None),
    ],
)
def test_what_needs_no_event(text, constant):
    condition = compile_where(text, KINDS)
    assert condition.constant is constant
    if constant is not None:
        assert condition.names == set()
    if constant is True:
        assert condition.emit({}, "no") == []


def test_conjuncts_are_in_the_order_of_their_cost():
    condition = compile_where(
        "filename == 'x' and comm == 'y' and pid == 1 and not (filename == 'z' or tid == 2) and ret < 0", KINDS
    )
    names = [sorted(part.names) for part in condition.conjuncts]
    assert names == [["pid"], ["tid"], ["ret"], ["comm"], ["filename"], ["filename"]]
    (only,) = compile_where("filename == 'x' or pid == 1", KINDS).conjuncts
    assert only.names == {"filename", "pid"}
    (always,) = compile_where("pid >= 0", KINDS).conjuncts
    assert always.constant is True


SUPPORTED = "; where takes fields, numbers, text"
FITS = "may not fit 64 bits; keep the bits that matter: "


# « marks the column: it stands before the character in question.
@pytest.mark.parametrize(
    ("marked", "message"),
    [
        # names
        ("«pod == 1", "there is no field 'pod'; did you mean 'pid'? The fields are pid, tid, ret, size, flag, comm"),
        ("pid == 1 and «args.pit == 1", "there is no field 'args.pit'; did you mean 'args.pid'?"),
        ("«args.filename == 'x'", "there is no field 'args.filename'; did you mean 'filename'?"),
        ("'é' == «cömm", "there is no field 'cömm'; did you mean 'comm'?"),
        ("comm == «bash", "there is no field 'bash'; the fields are"),
        ("args.from == «args.fron", "there is no field 'args.fron'; did you mean 'args.from'?"),
        ("«args == 1", "there is no field 'args'; the fields are"),
        ("«comm.lower == 'x'", f"comm.lower: only args has fields of its own, args.NAME{SUPPORTED}"),
        ("«comm.startswith", "comm.startswith: only args has fields of its own"),
        ("pid == 1 and\n  «pod", "there is no field 'pod'"),
        ("pid == 1 \\\n and «pod", "there is no field 'pod'"),
        ("comm == '''é\n''' and «pod", "there is no field 'pod'"),
        # kinds
        ("comm == «1", "comm is text and 1 is a number: these cannot be compared"),
        ("pid == «'1'", "pid is a number and '1' is text: these cannot be compared"),
        ("«stack == 1", "stack is a list, which cannot be compared"),
        ("«comm", 'comm is text, not a condition; write comm is not None, or comm != ""'),
        ("not «'x'", "'x' is text, not a condition"),
        ("«None", "None is None, not a condition"),
        ("comm < «'x'", "text takes ==, !=, in and startswith; it has no order here"),
        ("comm == «filename", "of two texts one must be a field and one a literal; these are fields"),
        ("'a' == «'a'", "of two texts one must be a field and one a literal; these are literals"),
        ("(«pid == 1) == 1", "pid == 1 is a condition; conditions take and, or, not"),
        ("~(«pid == 1)", "pid == 1 is a condition, and ~ takes numbers; conditions take and, or, not"),
        ("(«pid == 1) & pid", "pid == 1 is a condition, and & takes numbers; conditions take and, or, not"),
        ("-«comm == 1", "comm is text, and - takes numbers"),
        ("pid + «'1' == 1", "'1' is text, and + takes numbers"),
        ("filename == «None", "nothing equals None; write is None, or is not None"),
        ("pid is «1", "is compares with None alone; for anything else write =="),
        ("(«pid == 1) is None", "pid == 1 is a condition; fields can be None"),
        ("pid > «1.5", "1.5 is no whole number, and the kernel has only those"),
        ("comm == «b'x'", "text is written without the b: as text, not as bytes"),
        # in, startswith
        (
            "comm in («'bash')",
            "in takes several literals in parentheses, such as pid in (1, 2); a tuple of one has a comma",
        ),
        ("'x' in «comm", "in takes several literals in parentheses"),
        ("pid in (1, «'2')", "'2' is text; these must be numbers, written out"),
        ("pid in (1, «tid)", "tid is a field; these must be numbers, written out"),
        ("comm in ('a', «1)", "1 is a number; comm takes text in quotes"),
        ("pid in «(1, 2) == 1", "what is in something cannot be compared further; write and"),
        ("«None in (1, 2)", "None is None; in takes a field to its left"),
        ("«pid.startswith('x')", "pid is a number; fields of text have startswith"),
        ("«comm.startswith('x', 1)", "startswith takes one text, or several in parentheses"),
        ("«comm.startswith(prefix='x')", "startswith takes one text, or several in parentheses"),
        ("comm.startswith(«1)", "1 is a number; comm takes text in quotes"),
        # literals of text
        (f"filename == «'{'x' * 257}'", "filename is cut at 256 bytes and this has 257; raise text="),
        (f"filename.startswith(('x', «'{'é' * 129}'))", "filename is cut at 256 bytes and this has 258; raise text="),
        ("comm in (\"x\", «'sixteen letters!')", "comm has at most 15 bytes and this has 16"),
        ("comm == «'a\\0b'", "text of the kernel's ends at a NUL, so that none has one"),
        ("comm == «'\\ud800'", "this text has half a character (a lone surrogate), which UTF-8 cannot write"),
        # numbers
        ("«size + 1 > 5", f"size + 1 {FITS}(size + 1) & 0xffffffff"),
        ("5 > «size - 1", f"size - 1 {FITS}"),
        ("«ret | size", f"ret | size {FITS}"),
        ("(«~size) >> 1 == 3", f"~size {FITS}"),
        ("(«pid * size) // 2 == 1", f"pid * size {FITS}"),
        ("«0x1_0000_0000_0000_0000 >> (pid & 3) == 1", "0x1_0000_0000_0000_0000 may not fit 64 bits"),
        ("«-size in (1, 2)", f"-size {FITS}"),
        ("pid << «64 == 1", "64: shifts are by 0 to 63 bits"),
        ("1 << «pid == 1", "pid: shifts are by 0 to 63 bits"),
        ("pid >> «-1 == 1", "-1: shifts are by 0 to 63 bits"),
        ("«ret % 3 == 1", "% takes numbers that are never negative"),
        ("pid // «tid == 1", "// takes divisors from 1 to 2**64 - 1"),
        ("pid % «0 == 1", "% takes divisors from 1 to 2**64 - 1"),
        ("«pid ** 2 == 1", f"pid ** 2: this operator is not supported{SUPPORTED}"),
        # what the language does not have
        ("«len(comm) == 1", f"a call is not supported{SUPPORTED}"),
        ("«comm.endswith('x')", "a call is not supported"),
        ("«comm[0] == 'x'", "an index is not supported"),
        ("«lambda: 1", "a lambda is not supported"),
        ("comm == «f'{pid}'", "an f-string is not supported"),
        ("«1 if pid else 2", "if … else is not supported"),
        ("«(1, 2) == pid", "a tuple, other than after in, is not supported"),
        ("pid in («*comm,)", "a star is not supported"),
        ("(«x := 1)", "an assignment is not supported"),
        ("«[p for p in pid]", "this is not supported"),
        # not Python
        ("«", "where is empty; leave it out, or write an expression such as pid == 1"),
        ("«  # nothing", "where is empty"),
        ("pid «= 1", "invalid syntax; compare with =="),
        ("(«pid = 1)", "invalid syntax; compare with =="),
        ("tid == 2 and pid «= 1", "invalid syntax; compare with =="),
        ("pid &«& tid", "invalid syntax; write and, or, not"),
        ("«!pid", "invalid syntax; write and, or, not"),
        ("pid == 1 +«", "invalid syntax; more must follow"),
        ("  pid == 1«)", "unmatched ')'"),
        ("pid == 1 or «(tid", "'(' was never closed"),
        ("é.from == «'", "unterminated string literal"),
        ("«class == 1", "invalid syntax"),
        ("comm == «'\\d'", "invalid escape sequence '\\d'"),
        ("«pid == '\0'", "source code string cannot contain null bytes"),
        ("«pid == '\ud800'", "this cannot be read: 'utf-8' codec can't encode character"),
        ("«" + "(" * 150 + "-" * 900 + "pid" + ")" * 150, "this is nested too deeply"),
        ("«" + "-" * 20_000 + "pid", "this is nested too deeply"),
        ("«" + f"pid in {tuple(range(5000))}", "this compiles to 5001 instructions, of at most 4096; ask for less"),
    ],
)
def test_a_refusal_says_why_and_where(marked, message):
    text = marked.replace("«", "")
    with pytest.raises(WhereError) as caught:
        compile_where(text, KINDS)
    assert caught.value.message.startswith(message)
    assert (caught.value.text, caught.value.column) == (text, marked.index("«"))


def test_registers_run_out():
    text = "pid"
    for _ in range(6):
        text = f"({text} + {text})"
    with pytest.raises(WhereError, match="more registers than there are"):
        compile_where(f"{text} == 1", KINDS)


def test_where_is_text():
    with pytest.raises(TypeError, match="where is a Python expression as text, such as 'pid == 1', not 5"):
        compile_where(5, KINDS)


def test_a_text_has_a_text_place():
    with pytest.raises(TypeError, match="filename is a Text and lies at a TextPlace"):
        compile_where("filename == 'x'", KINDS).emit({"filename": Place(fp, -8)}, "no")


OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "//": operator.floordiv,
    "%": operator.mod,
}


class Of(Field):
    """A number of any range."""

    def __init__(self, low, high):
        object.__setattr__(self, "given", Range(low, high))

    range = property(lambda self: self.given)


@pytest.mark.parametrize("symbol", OPERATORS)
def test_a_range_has_every_result(symbol):
    ranges = list(itertools.combinations_with_replacement(range(-9, 10), 2))
    lowest = {"<<": 0, ">>": 0, "//": 1, "%": 1}.get(symbol, -9)
    for left, right in itertools.product(ranges, [r for r in ranges if r[0] >= lowest]):
        if symbol in {"//", "%"} and left[0] < 0:
            continue
        found = binary(symbol, Of(*left), Of(*right)).range
        compute = OPERATORS[symbol]
        results = [compute(a, b) for a in range(left[0], left[1] + 1) for b in range(right[0], right[1] + 1)]
        assert found.low <= min(results) <= max(results) <= found.high, (left, right)
