"""What of the command line needs no kernel: options, refusals, help, replaying, what a terminal may show."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import polars as pl
import pytest

import fastbpf
from fastbpf.capture import replay
from fastbpf.cli.options import Duration, field_names
from fastbpf.cli.screen import _cell

CAPTURE = Path(__file__).parents[2] / "data/openat.fbpf"


def run(*arguments, **how):
    command = [sys.executable, "-m", "fastbpf", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("5s", 5), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("1.5s", 1.5), (".5", 0.5)]
)
def test_durations(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "5 parsecs", "1e3", "nan", "inf"])
def test_what_is_no_duration(text):
    with pytest.raises(click.UsageError, match="write 500ms, 5s"):
        Duration().convert(text, None, None)


def test_field_names():
    assert field_names(("ts,pid", " comm , args.pid ")) == ["ts", "pid", "comm", "args.pid"]


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra(missing):
    script = f"import sys; sys.modules[{missing!r}] = None; from fastbpf.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "fastbpf: the command line needs click and rich; pip install 'fastbpf[cli]' brings them\n"


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"fastbpf {fastbpf.__version__}\n")


@pytest.mark.parametrize("command", ["", "trace", "probes", "record", "replay", "doctor"])
def test_help_fits_a_terminal(command):
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 40
    assert "--help" in done.stdout
    assert command == "doctor" or re.search(r"^ +fastbpf (probes|trace|record|replay) ", done.stdout, re.MULTILINE)


def test_help_loads_little():
    script = "import sys; sys.argv[1:] = ['--help']; from fastbpf.cli.group import run; run(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"pyarrow", "rich", "fastbpf._native"} & set(done.stdout.splitlines()[-1].split())


def test_replay_writes_ndjson():
    done = run("replay", CAPTURE)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    table = replay(CAPTURE).read()
    assert [line["filename"] for line in lines] == table["filename"].to_pylist()
    assert f"{len(lines)} rows, 0 lost, 0 missed" in done.stderr


def test_replay_needs_no_pyarrow_for_text():
    script = f"""
import sys
sys.modules["pyarrow"] = None
sys.argv[1:] = ["replay", {str(CAPTURE)!r}, "-n", "3"]
from fastbpf.cli.group import run
sys.exit(run())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_replay_into_a_file(tmp_path):
    path = tmp_path / "a.parquet"
    assert run("replay", CAPTURE, "-o", path).returncode == 0
    assert pl.read_parquet(path).equals(pl.DataFrame(replay(CAPTURE)), null_equal=True)
    assert run("replay", CAPTURE, "-o", path).returncode == 2
    assert run("replay", CAPTURE, "-o", path, "--force").returncode == 0


def test_a_damaged_capture_gives_what_can_be_read(tmp_path):
    path = tmp_path / "a.fbpf"
    path.write_bytes(CAPTURE.read_bytes()[:-100])
    done = run("replay", path, "-o", tmp_path / "a.parquet")
    assert done.returncode == 1
    assert re.search(r"damaged at frame \d+, byte \d+", done.stderr)
    assert "Traceback" not in done.stderr
    rows = pl.read_parquet(tmp_path / "a.parquet")
    assert 0 < len(rows) <= replay(CAPTURE).read().num_rows
    assert "the accounting is missing" in done.stderr
    assert json.loads(pl.read_parquet_metadata(tmp_path / "a.parquet")["fastbpf.stats"]) == {"rows": len(rows)}


def test_no_text_moves_the_cursor():
    text = _cell("a\x1b[2Jb\r\n\x9b\u202e").plain
    assert text.isprintable()
    assert text == "a\\x1b[2Jb\\r\\n\\x9b\\u202e"
    assert _cell("größe 日本").plain == "größe 日本"
    assert _cell(None).plain == "null"
