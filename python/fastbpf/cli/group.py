"""The group of commands, each loaded when it is called, and what errors become."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import Final

import click

from fastbpf.cli.refusal import Refused
from fastbpf.errors import Error

_COMMANDS: Final = {
    "trace": "trace a probe: a table on a terminal, NDJSON in a pipe, or a file",
    "probes": "list what can be traced, and its fields",
    "record": "trace into a capture, to be decoded later",
    "replay": "decode a capture, anywhere and without privileges",
    "map": "look at the kernel's maps, dump them into files, change them, watch them",
    "asm": "text to the raw instructions of a BPF program",
    "disasm": "raw instructions, or those of a loaded program, to text",
    "helpers": "the kernel's helper functions, and which of them this kernel allows",
    "doctor": "what this machine allows, and what to do about what it does not",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"fastbpf.cli.{cmd_name}"), cmd_name)
        return command

    # Without loading the commands.
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done (Ctrl-C included), 1 failed while running, 2 refused.",
)
@click.version_option(package_name="fastbpf", prog_name="fastbpf", message="%(prog)s %(version)s")
def fastbpf() -> None:
    """The Linux kernel as a source of Arrow tables.

    \b
    fastbpf probes openat
    fastbpf trace tracepoint:syscalls:sys_enter_openat
    fastbpf trace t:sched:sched_switch -f ts,cpu,comm --where "prev_pid != 0" --for 5s -o switches.parquet
    """  # noqa: D301  # click reads \b


def run() -> int:
    """Runs the command that the arguments name; the exit code."""
    try:
        # Not fastbpf.main(), which has its own mind about exit codes.
        with fastbpf.make_context("fastbpf", sys.argv[1:] or ["--help"]) as context:
            fastbpf.invoke(context)
        if sys.stdout:  # None when it was closed
            sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except Refused as error:
        return _say(str(error), 2)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "fastbpf"
        return _say(f"{error.format_message().rstrip('.')}; {path} --help tells what there is", 2)
    except BrokenPipeError:
        # The reader has seen enough; Python's own flush at the end must not complain.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Error, OSError) as error:
        return _say(str(error), 1)
    return 0


def _say(message: str, code: int) -> int:
    print(f"fastbpf: {message}", file=sys.stderr)
    return code
