"""What fastbpf's stubs promise is there. (`make lint` compares the native module with its stub in both directions.)"""

import ast
import importlib
from pathlib import Path

import pytest

import fastbpf

PACKAGE = Path(fastbpf.__file__).parent
PUBLIC = sorted(fastbpf.__all__)


def promised(stub):
    names = set()
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname for alias in node.names if alias.asname}  # "X as X" re-exports
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def test_the_lazy_names_are_the_typed_names():
    assert promised(PACKAGE / "__init__.pyi") == {name for name in PUBLIC if not name.startswith("_")}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there_and_told(name):
    value = getattr(fastbpf, name)
    assert name in dir(fastbpf)
    assert not callable(value) or value.__doc__


def test_the_native_stub_is_complete():
    native = importlib.import_module("fastbpf._native")
    assert promised(PACKAGE / "_native.pyi") == {name for name in vars(native) if not name.startswith("_")}
