"""What of the command line needs no kernel: options, refusals, help, replaying, what a terminal may show."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import polars as pl
import pytest
from rich.console import Console

import fastbpf
from fastbpf.capture import replay
from fastbpf.cli import views
from fastbpf.cli.options import Duration, field_names
from fastbpf.cli.screen import TableView, _cell, _Rate, _status, fit
from fastbpf.sinks import SinkError
from fastbpf.stream import Stats

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


def test_no_arguments_ask_for_help():
    done = run()
    assert (done.returncode, done.stdout, done.stderr) == (0, run("--help").stdout, "")


def test_help_names_the_fields():
    text = " ".join(run("trace", "--help").stdout.split())
    assert "ts pid tid uid gid cpu comm cgroup" in text
    assert "args.NAME" in text
    assert "by default ts, pid, tid, comm and all of the probe's own" in text
    assert "on a terminal the table comes at the end" in text


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["trace", "rt:sys_enter", "-n", "99999999999999999999"], "is not in the range"),
        (["replay", CAPTURE, "-n", "99999999999999999999"], "is not in the range"),
        (["trace", "rt:sys_enter", "-n", "-1"], "is not in the range"),
        (["trace", "rt:sys_enter", "-p", "0"], "is not in the range"),
        (
            ["trace", "rt:sys_enter", "-p", "1", "--", "ls"],
            "-p and -- CMD are two ways to say what is traced; give one",
        ),
        (["trace", "rt:sys_enter", "-f", ""], "-f names no field"),
        (["record", "rt:sys_enter", "-o", "/tmp/never-made.fbpf", "-f", ","], "-f names no field"),
        (["trace", "kprobe:vfs_read"], "does not trace kprobe probes"),
    ],
)
def test_it_refuses(arguments, why):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "did you mean" not in done.stderr
    assert "Traceback" not in done.stderr


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


def test_rows_are_counted_in_words():
    assert "fastbpf: 1 row, " in run("replay", CAPTURE, "-n", "1").stderr
    assert "fastbpf: 2 rows, " in run("replay", CAPTURE, "-n", "2").stderr


def test_what_is_unusual_is_told():
    stats = Stats(*([0] * 12))

    def told(stats):
        written = io.StringIO()
        Console(width=200, file=written).print(_status(stats, _Rate(), 2.0))
        return written.getvalue().split("  ")[2:]

    assert told(stats) == ["0 lost", "2.0 s\n"]
    assert told(stats._replace(lost=3, late=1)) == ["3 lost", "1 late", "2.0 s\n"]
    assert told(stats._replace(dropped=1200, late=7)) == ["0 lost", "1,200 dropped", "7 late", "2.0 s\n"]


def test_a_full_stdout():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "fastbpf", "replay", str(CAPTURE), "-n", "3"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    accounting, error = done.stderr.splitlines()
    assert accounting.startswith("fastbpf: 0 rows, ")
    assert accounting.endswith(", 3 not written")
    assert error.startswith("fastbpf: stdout takes no more (No space left on device) after 0 rows; ")
    assert error.endswith("give -o FILE")


def test_a_closed_stdout(tmp_path):
    def replay_into(*arguments):
        script = 'exec "$@" >&-'
        command = ["sh", "-c", script, "sh", sys.executable, "-m", "fastbpf", "replay", str(CAPTURE), *arguments]
        return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)

    done = replay_into()
    assert (done.returncode, done.stderr) == (2, "fastbpf: stdout is closed; give -o FILE or open stdout\n")
    assert replay_into("-o", str(tmp_path / "a.parquet")).returncode == 0
    assert pl.read_parquet(tmp_path / "a.parquet").height == replay(CAPTURE).read().num_rows


# A reader that takes nothing, and a batch of lines of which some are longer than what is written at once.
STALLED = """
import os, sys
from fastbpf.cli import views

views._PATIENCE = 0.2

class Batch:
    def to_ndjson(self):
        return b"".join(b"%05d" % n * (n % 4000) + bytes([10]) for n in range(1000, 3000))
    def __len__(self):
        return 2000

view = views.PipeView()
view.write(Batch(), lambda: True)
view.write(Batch(), lambda: True)
print(view.rows, file=sys.stderr)
"""


def test_a_reader_that_stalls_has_the_lines_that_are_counted():
    with subprocess.Popen([sys.executable, "-c", STALLED], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(20) == 0
        lines = process.stdout.read().split(b"\n")[:-1]
        assert len(lines) == int(process.stderr.read()) > 0
    assert lines == [b"%05d" % n * (n % 4000) for n in range(1000, 1000 + len(lines))]


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
    assert re.search(r"breaks at frame \d+, byte \d+", done.stderr)
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


class _Rows:
    def __init__(self, names, *rows):
        self.column_names = names
        self._rows = rows

    def __len__(self):
        return len(self._rows)

    def to_text(self, offset, length):
        return [list(row) for row in self._rows[offset : offset + length]]


def drawn(batch, width, monkeypatch, capsys):
    """What stands on a terminal of that width in the end."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "24")
    view = TableView(live=False).open(None, {})
    view.write(batch, lambda: False)
    view.close(None, 1.0)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert all(len(line) <= width for line in lines)
    return lines


def test_numbers_and_times_keep_their_width(monkeypatch, capsys):
    time, text = "12:34:56.789012", "x" * 100
    wide = _Rows(["ts", "pid", "filename", "flags"], [time, "4194303", text, "-100"], [time, "1", None, "0"])
    head, row, null = (line.split() for line in drawn(wide, 60, monkeypatch, capsys) if line)
    assert head == ["ts", "pid", "filename", "flags"]
    assert (row[:2], row[3]) == ([time, "4194303"], "-100")
    assert row[2].startswith("xxx")
    assert row[2].endswith("…")
    assert null == [time, "1", "null", "0"]


def test_columns_that_find_no_room_are_counted(monkeypatch, capsys):
    names = ["ts", "pid", "tid", "comm", *(f"argument_{n}" for n in range(6))]
    wide = _Rows(names, ["12:34:56.789012", "4194303", "4194303", "python3", *["18446744073709551615"] * 6])
    lines = [line for line in drawn(wide, 80, monkeypatch, capsys) if line]
    assert lines[0].split() == names[:5]
    assert lines[1].split() == ["12:34:56.789012", "4194303", "4194303", "python3", "18446744073709551615"]
    assert lines[2:] == ["+5 columns, see -f"]
    assert "+1 column, see -f" in drawn(_Rows(["a", "b"], ["1" * 18, "2" * 18]), 24, monkeypatch, capsys)


@pytest.mark.parametrize("room", [1, 2, 10, 37, 80, 1000])
def test_columns_fit(room):
    widths = fit([15, 5, 40, 90, 3], [15, 5, 12, 12, 3], room)
    assert sum(widths) + 2 * (len(widths) - 1) <= room


@pytest.fixture
def mixed(tmp_path):
    """A capture with several types of record, and the rows of each."""
    from tests.unit.capture.test_capture import mixture

    whole, expected = mixture()
    path = tmp_path / "mixed.fbpf"
    path.write_bytes(whole)
    return path, expected


def test_each_line_of_several_types_tells_its_own(mixed):
    path, expected = mixed
    done = run("replay", path)
    assert done.returncode == 0
    found = {name: [] for name in expected}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        assert next(iter(row)) == "record"
        found[row.pop("record")].append(row)
    assert found["Open"] == expected["Open"]
    assert found["Exit"] == expected["Exit"]
    assert [row["text"] for row in found["Text"]] == [row["text"] for row in expected["Text"]]
    assert "fastbpf: 32 rows, " in done.stderr


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_each_type_has_a_file(mixed, suffix, tmp_path):
    path, expected = mixed
    (tmp_path / f"all.Exit{suffix}").write_bytes(b"mine")
    refused = run("replay", path, "-o", tmp_path / f"all{suffix}")
    assert refused.returncode == 2
    assert f"all.Exit{suffix} exists already" in refused.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"all.Exit{suffix}", "mixed.fbpf"]
    done = run("replay", path, "-o", tmp_path / f"all{suffix}", "--force")
    assert done.returncode == 0
    read = pl.read_parquet if suffix == ".parquet" else pl.read_csv
    for name in ("Open", "Exit"):
        assert read(tmp_path / f"all.{name}{suffix}").to_dicts() == expected[name]
        assert f"all.{name}{suffix}" in done.stderr
    assert read(tmp_path / f"all.Text{suffix}")["text"].to_list() == [row["text"] for row in expected["Text"]]


def test_a_name_in_a_capture_leads_nowhere_else():
    assert views.file_names("a/b.csv", ["../x", "y.z"]) == ["a/b.___x.csv", "a/b.y_z.csv"]
    with pytest.raises(SinkError, match="one file"):
        views.file_names("a/b.csv", ["x.y", "x_y"])
