"""What an installed wheel must do on a machine without Rust; run by wheel_smoke.sh."""

import shutil
import subprocess
import sys
from importlib.metadata import files, metadata, version
from pathlib import Path


def check(what: str, holds: object) -> None:
    """Print what holds; end red at the first that does not."""
    print(f"{'ok  ' if holds else 'FAIL'} {what}")
    if not holds:
        sys.exit(1)


check("no Rust on PATH", not (shutil.which("cargo") or shutil.which("rustc")))

import fastbpf  # noqa: E402  # after the look at PATH
import fastbpf.asm as a  # noqa: E402

check("fastbpf comes from the wheel", Path(sys.prefix) in Path(fastbpf.__file__).parents)
loaded = {"fastbpf._native", "pyarrow"} & sys.modules.keys()
check("importing fastbpf and fastbpf.asm loads neither the native module nor pyarrow", not loaded)

# mov r0, 0 is opcode b7, exit is 95: RFC 9669.
check("a program assembles", bytes(a.assemble(a.mov(a.r0, 0), a.exit_())).hex() == "b7" + "00" * 7 + "95" + "00" * 7)
check("still without the native module", "fastbpf._native" not in sys.modules)

import fastbpf._native  # noqa: E402

check("the native module loads", fastbpf._native.__file__)  # it is what is tried here


class Event(fastbpf.Struct):
    """A record with a hole in front of its last field."""

    pid: fastbpf.u32
    ts: fastbpf.u64


check("a Struct is laid out as C does", (Event.size, Event.offset("ts")) == (16, 8))
check(
    "pyarrow is the one required dependency",
    [r for r in metadata("fastbpf").get_all("Requires-Dist", []) if "extra ==" not in r] == ["pyarrow>=17"],
)
listed = {str(f) for f in files("fastbpf") or ()}
check(
    "types and licences are in it",
    {"fastbpf/py.typed", "fastbpf/_native.pyi"} <= listed and any(f.endswith("LICENSE-APACHE") for f in listed),
)
for argument, told in {"--version": version("fastbpf"), "--help": "probes"}.items():
    done = subprocess.run(["fastbpf", argument], capture_output=True, text=True, check=False)
    check(f"fastbpf {argument}", done.returncode == 0 and told in done.stdout)
print(f"wheel works: fastbpf {version('fastbpf')}, Python {sys.version.split()[0]}")
