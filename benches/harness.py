"""What every benchmark needs: peers that take turns, medians, C peers, and what came out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE = Path(__file__).parent
BUILD = HERE / "build"
# bcc's Python comes from Debian, for Debian's Python.
SYSTEM_PYTHON = "/usr/bin/python3"
OURS = "fastbpf"


@dataclass(frozen=True)
class Effort:
    """How much to do: `rounds` turns of each peer; `smoke` is our side and libbpf only, short, and judges nothing.

    `events` is how many the accounting is to follow.
    """

    rounds: int = 5
    smoke: bool = False
    events: int = 100_000_000

    def scaled(self, full: int, short: int) -> int:
        return short if self.smoke else full


@dataclass(frozen=True)
class Target:
    """One thing that has to hold: `value`, as the text says it, is at most (or at least) `limit`."""

    text: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Result:
    """What came out: medians of all who did it, in `unit`, ours under "fastbpf"."""

    name: str
    work: str
    unit: str
    medians: dict[str, float]
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ours(self) -> float:
        return self.medians[OURS]

    def ratio(self, peer: str, limit: float, text: str | None = None) -> None:
        """We need at most `limit` times what the peer needs."""
        if peer in self.medians:
            self.targets.append(Target(text or f"× {peer}", self.ours / self.medians[peer], limit))

    def speedup(self, peer: str, limit: float) -> None:
        """We are at least `limit` times as fast as the peer."""
        if peer in self.medians:
            self.targets.append(
                Target(f"times faster than {peer}", self.medians[peer] / self.ours, limit, at_least=True)
            )

    def below(self, text: str, value: float, limit: float) -> None:
        self.targets.append(Target(text, value, limit))


Turns = dict[str, list[float]]


def take_turns(sides: Mapping[str, Callable[[], float]], effort: Effort, rounds: int | None = None) -> dict[str, float]:
    """Medians of what each side measures. Each warms up once, then they take turns."""
    return medians(turns(sides, effort, rounds))


def turns(sides: Mapping[str, Callable[[], float]], effort: Effort, rounds: int | None = None) -> Turns:
    """What each side measures, as `take_turns` lets them."""
    measured: Turns = {name: [] for name in sides}
    if not effort.smoke:
        for side in sides.values():
            side()
    for _ in range(1 if effort.smoke else rounds or effort.rounds):
        for name, side in sides.items():
            measured[name].append(side())
    return measured


def medians(*measured: Turns) -> dict[str, float]:
    """Of all that each side measured, at several places."""
    names = dict.fromkeys(name for one in measured for name in one)
    return {name: median(value for one in measured for value in one.get(name, ())) for name in names}


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """This process, with all its threads, on one CPU."""
    before = {thread: os.sched_getaffinity(thread) for thread in _threads()}
    for thread in before:
        os.sched_setaffinity(thread, {cpu})
    try:
        yield
    finally:
        for thread in _threads():
            os.sched_setaffinity(thread, before.get(thread, before[os.getpid()]))


def _threads() -> list[int]:
    return [int(thread.name) for thread in Path("/proc/self/task").iterdir()]


class MissingPeerError(Exception):
    """A peer cannot run here."""


def build(source: str, *, shared: bool = False, libraries: tuple[str, ...] = ()) -> Path:
    """Compiles benches/peers/SOURCE with -O2, unless that has been done."""
    origin = HERE / "peers" / source
    result = BUILD / (origin.stem + (".so" if shared else ""))
    if result.exists() and result.stat().st_mtime > origin.stat().st_mtime:
        return result
    BUILD.mkdir(exist_ok=True)
    options = ["-shared", "-fPIC"] if shared else []
    command = ["cc", "-O2", "-Wall", "-Wextra", *options, "-o", result, origin, *(f"-l{name}" for name in libraries)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPeerError(f"{source} does not compile, is libbpf-dev installed? {done.stderr.strip()[-300:]}")
    return result


def build_rust(folder: str, name: str) -> Path:
    """Compiles benches/peers/FOLDER with cargo."""
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", BUILD / folder]
    done = subprocess.run(command, cwd=HERE / "peers" / folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPeerError(f"{name} does not compile: {done.stderr.strip()[-300:]}")
    return BUILD / folder / "release" / name


def find(command: str) -> str:
    """Where a peer's command is."""
    path = shutil.which(command)
    if path is None:
        raise MissingPeerError(f"{command} is not installed")
    return path


def system_python(module: str) -> str:
    """Debian's Python, if it has the module."""
    done = subprocess.run([SYSTEM_PYTHON, "-c", f"import {module}"], capture_output=True, check=False)
    if done.returncode:
        raise MissingPeerError(f"{SYSTEM_PYTHON} has no module {module}")
    return SYSTEM_PYTHON


def say(text: str) -> None:
    """Progress, where results are not."""
    print(text, file=sys.stderr, flush=True)


def plain(number: float) -> str:
    """A number with three digits that say something."""
    if number >= 1000:
        return f"{round(number, 2 - len(str(int(number)))):,.0f}"
    return f"{number:.3g}"


Json = dict[str, Any]
