"""docs/from-clj-ebpf.md: every name of clj-ebpf's documents is there once, and what stands beside it works."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import fastbpf as fb
from fastbpf import helpers
from fastbpf.asm import assemble, exit_, label
from fastbpf.cli.group import fastbpf
from fastbpf.probes.attach import attach

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/from-clj-ebpf.md").read_text()
CELLS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")]
ROWS = [tuple(cell.strip() for cell in cells) for cells in CELLS if "clj-ebpf 0.9" not in cells[0]]
NAMES = [
    name for name in (ROOT / "tests/data/clj_ebpf_names.txt").read_text().splitlines() if name[:1] not in {"", "#"}
]


def spans(cell):
    """What stands in it as code."""
    return re.findall(r"`([^`]+)`", cell)


COUNTERPARTS = [span for _, here, _ in ROWS for span in spans(here)]
# what else of fastbpf the last column names
COUNTERPARTS += [
    span for *_, different in ROWS for span in spans(different) if re.fullmatch(r"(\w+\.)+(?!NAME)\w+", span)
]


@pytest.fixture(scope="module")
def setting():
    """The names that the page's first lines of Python make."""
    names = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], names)
    return names


@pytest.mark.parametrize("span", dict.fromkeys(COUNTERPARTS))
def test_what_stands_beside_a_name_works(span, setting):
    if span.startswith("fastbpf "):
        done = CliRunner().invoke(fastbpf, shlex.split(span)[1:])
        assert (done.exit_code, bool(done.output)) == (0, True), done.output
    elif re.fullmatch(r"\w+/[\w/]+\.(py|md)", span):
        assert (ROOT / span).is_file()
    else:
        assert eval(span, setting) is not None


@pytest.mark.parametrize(("names", "here"), [row[:2] for row in ROWS], ids=[names for names, *_ in ROWS])
def test_a_row_has_a_counterpart_or_says_that_there_is_none(names, here):
    assert names
    assert spans(here) or here in {"not needed", "does not exist"}


def test_every_name_is_there():
    assert len(NAMES) == len(set(NAMES))
    there = [span for names, *_ in ROWS for span in spans(names)]
    assert sorted(set(NAMES) - set(there)) == []


def test_no_name_is_there_twice():
    # a cell may also be words about names
    cells = [names for names, *_ in ROWS if re.fullmatch(r"`[^`]+`(, `[^`]+`)*", names)]
    there = [span for names in cells for span in spans(names)]
    assert len(there) > len(NAMES)
    assert [name for name in there if there.count(name) > 1] == []


def test_wrappers_stand_beside_the_helper_of_their_name():
    other = {"map_lookup_elem_percpu": "map_lookup_percpu_elem"}
    wrappers = [(spans(names)[0], here) for names, here, _ in ROWS if names.startswith("`bpf/helper-")]
    wrappers = [(name, here) for name, here in wrappers if spans(here)[0].startswith("call.")]
    assert len(wrappers) > 40
    for name, here in wrappers:
        kernels = name.removeprefix("bpf/helper-").replace("-", "_")
        assert spans(here)[0].startswith(f"call.{other.get(kernels, kernels)}(")


def test_the_numbers_of_helpers_are_the_kernels(setting):
    told = [
        (here, *numbers)
        for _, here, different in ROWS
        for numbers in re.findall(r"(\d+), which is `(\w+)`; it is (\d+)", different)
    ]
    assert len(told) > 5
    for here, wrong, called, right in told:
        assert helpers.get(int(wrong)).name == called
        codes = [assemble(eval(span, setting), label("each"), exit_()) for span in spans(here)]
        assert any(f"#{right}" in str(code) for code in codes)


def test_what_the_page_attaches_to_is_known():
    probes = set(re.findall(r'`program\.attach\("([^"]+)"\)`', PAGE))
    assert len(probes) > 3
    for probe in probes:
        # a kind that is not known is refused in other words
        with pytest.raises(fb.ProbeError, match=f"^{probe} takes programs of type"):
            attach(None, "none", probe)
