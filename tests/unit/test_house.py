"""The house keeps its shape: who may know whom, where unsafe code is, what importing costs."""

import ast
import functools
import graphlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "python/fastbpf"
RUST = ROOT / "rust/src"

# Highest first. A module may know its own layer, as long as no circle forms, and those below.
PYTHON_LAYERS = (
    {"cli", "__main__"},
    {"tracing", "sinks", "system", "capture"},
    {"stream", "programs", "symbols", "verifier_log", "maps", "links", "objects", "probes"},
    {"record", "asm", "helpers", "blocks"},
    {"kernel_version", "names", "privileges"},
    {"errors", "_native"},
)
RUST_LAYERS = (
    {"lib"},
    {"python", "fuzzing"},
    {"stream", "attach", "object", "maps", "text"},
    {"ring", "perf", "record"},
    {"btf"},
    {"sys"},
    {"error"},
)
RUST_UNSAFE = {"sys", "ring", "perf", "record"}  # record: column buffers
RUST_PYO3 = {"lib", "python"}  # lib: the module's list of names


def modules(root, suffix):
    """Each top-level module's files; the root's own (__init__, lib) included under their names."""
    found = {}
    for file in sorted(root.rglob(f"*{suffix}")):
        found.setdefault(file.relative_to(root).parts[0].removesuffix(suffix), []).append(file)
    return found


def imported(file):
    """The top-level modules of the package that a Python file names, wherever in it."""
    package = ("fastbpf", *file.relative_to(PYTHON).parent.parts)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            paths = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for path in paths:
            if path[0] == "fastbpf":
                yield path[1] if len(path) > 1 else "the package itself"


# Raw strings, strings, characters (b'"' would open a string), comments.
_NO_CODE = re.compile(r'r(#*)".*?"\1|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'|//[^\n]*|/\*.*?\*/', re.DOTALL)


@functools.cache
def code(file):
    """A Rust file without its comments and texts."""
    return _NO_CODE.sub("", file.read_text())


def used(file):
    """The names that a Rust file takes from the crate's root: crate::a, crate::{a, b::c}, super::a."""
    for match in re.finditer(r"(?<=\b(?:crate|super)::)(\w+|\{)", code(file)):
        if match[1] != "{":
            yield match[1]
            continue
        depth, group = 1, ""
        for char in code(file)[match.end() :]:
            depth += (char == "{") - (char == "}")
            if not depth:
                break
            group += char if depth == 1 else ""
        yield from re.findall(r"(?:^|,)\s*(\w+)", group)


def heights(layers):
    return {name: height for height, names in enumerate(reversed(layers)) for name in names}


def wrong_ways(layers, graph):
    height = heights(layers)
    for name, targets in graph.items():
        for target in sorted(targets & height.keys()):
            if height[target] > height.get(name, 0):
                yield f"{name} knows {target}, which stands above it"
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as e:
        yield "a circle: " + " -> ".join(e.args[1])


def python_graph():
    graph = {}
    for name, files in modules(PYTHON, ".py").items():
        if name != "__init__":  # re-exports everything, lazily
            graph[name] = {target for file in files for target in imported(file)} - {name}
    return graph


def rust_graph():
    found = modules(RUST, ".rs")
    graph = {}
    for name, files in found.items():
        own = {p.stem for p in (RUST / name).glob("*")}  # super::x may be the module's own x
        graph[name] = {target for file in files for target in used(file)} & (found.keys() - own - {name})
    return graph


GRAPHS = {"Python": (PYTHON_LAYERS, python_graph), "Rust": (RUST_LAYERS, rust_graph)}


@pytest.mark.parametrize("language", GRAPHS)
def test_every_module_has_its_place(language):
    layers, graph = GRAPHS[language]
    names = {name for module, targets in graph().items() for name in {module, *targets}}
    assert not names - heights(layers).keys(), "give it a layer above"


@pytest.mark.parametrize("language", GRAPHS)
def test_dependencies_point_one_way(language):
    layers, graph = GRAPHS[language]
    assert list(wrong_ways(layers, graph())) == []


def test_a_wrong_way_is_seen():
    layers = ({"high"}, {"low", "other"})
    assert list(wrong_ways(layers, {"high": {"low"}, "low": {"other"}})) == []
    assert list(wrong_ways(layers, {"low": {"high"}})) == ["low knows high, which stands above it"]
    assert "circle" in next(wrong_ways(layers, {"low": {"other"}, "other": {"low"}}))


def test_rust_names_are_read(tmp_path):
    file = tmp_path / "x.rs"
    file.write_text("""
        use crate::{btf::{self, Type}, sys};
        use super::super::ring; // crate::no
        let a = ('"', "crate::no // \\"", r#"crate::"no"#, crate::perf::Ring);
    """)
    assert set(used(file)) - {"super"} == {"btf", "sys", "ring", "perf"}


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [(r"\bunsafe\b", RUST_UNSAFE), (r"\bpyo3\b", RUST_PYO3), (r"\blibc::syscall\b", {"sys"})],
    ids=["unsafe", "pyo3", "libc::syscall"],
)
def test_rust_keeps_it_behind_a_door(pattern, allowed):
    found = {name for name, files in modules(RUST, ".rs").items() if any(re.search(pattern, code(f)) for f in files)}
    assert found <= allowed


def test_clippy_asks_for_the_reason_of_every_unsafe_block():
    lints = tomllib.loads((ROOT / "Cargo.toml").read_text())["lints"]["clippy"]
    assert lints["undocumented_unsafe_blocks"] in {"warn", "deny"}  # make lint denies warnings


def test_every_pyclass_is_frozen():
    classes = [
        (file.name, match[0])
        for file in (RUST / "python").rglob("*.rs")
        for match in re.finditer(r"#\[pyclass(?:\(.*?\))?\]", code(file), flags=re.DOTALL)
    ]
    assert classes
    assert [c for c in classes if not re.search(r"\bfrozen\b", c[1])] == []


@pytest.mark.parametrize("module", ["fastbpf", "fastbpf.asm", "fastbpf.errors", "fastbpf.helpers"])
def test_importing_is_cheap(module):
    script = f"import sys, {module}; print(*{{'fastbpf._native', 'pyarrow', 'numpy'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def grep(*arguments):
    command = ["git", "-C", ROOT, "grep", "--untracked", "-nI", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode < 2, done.stderr
    return done.stdout.splitlines()


def test_no_path_of_one_machine():
    # Where the checkout stands; its parent, too, unless that is a place that every machine has.
    everywhere = {Path("/"), Path("/tmp"), Path("/home"), Path("/opt"), Path("/root"), Path("/srv"), Path("/usr/src")}
    place = ROOT if ROOT.parent in everywhere else ROOT.parent
    assert grep("-F", f"{place}{os.sep}") == []


def test_nothing_is_left_for_later():
    assert grep("-wE", "TODO|FIXME|XXX", "--", ":!tests/unit/test_house.py") == []
