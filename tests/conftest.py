"""Kernel tests run where the kernel allows bpf(2), are never skipped there, and leave nothing behind."""

import collections
import ctypes
import errno
import gc
import os
import platform
import signal
import struct
from pathlib import Path

import hypothesis
import pytest

# No test is judged by time. What failed is printed, so that it can be repeated elsewhere.
hypothesis.settings.register_profile("fastbpf", deadline=None, print_blob=True)
hypothesis.settings.load_profile("fastbpf")

# Tables of calls assert, too, and are no test files.
pytest.register_assert_rewrite("tests.kernel.calls")

_KERNEL = Path(__file__).parent / "kernel"
_REFUSAL = pytest.StashKey[str | None]()
_SKIPPED = pytest.StashKey[list[str]]()
_PLACES = pytest.StashKey[set[str]]()
_COMPLAINTS = pytest.StashKey[list[tuple[str, list[str]]]]()

_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _PROG_LOAD = 0, 5
_RINGBUF, _TRACEPOINT = 27, 5


def _bpf(command, attr):
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attr, len(attr))
    fd = libc.syscall(_SYS_BPF[platform.machine()], command, buffer, len(attr))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    os.close(fd)


def _refusal():
    # Asks the kernel for the two things that every kernel test needs, without any of our own code.
    code = ctypes.create_string_buffer(bytes.fromhex("b700000000000000 9500000000000000"), 16)
    gpl = ctypes.create_string_buffer(b"GPL")
    asked = {
        "a ring buffer": (_MAP_CREATE, struct.pack("<IIII", _RINGBUF, 0, 0, os.sysconf("SC_PAGE_SIZE"))),
        "a tracepoint program": (
            _PROG_LOAD,
            struct.pack("<IIQQIIQII", _TRACEPOINT, 2, ctypes.addressof(code), ctypes.addressof(gpl), 0, 0, 0, 0, 0),
        ),
    }
    for what, (command, attr) in asked.items():
        try:
            _bpf(command, attr)
        except OSError as e:
            if e.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
                raise
            return f"the kernel refuses {what}: {e.strerror}"
    return None


def _in_kernel(path):
    return _KERNEL in Path(path).parents


def _held():
    # Our open BPF objects and perf events by kind; a mapped ring keeps its map alive after the descriptor is closed.
    held = collections.Counter()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            held[str(fd.readlink())] += 1
        except OSError:
            continue  # closed meanwhile
    held.update(line.split(maxsplit=5)[-1] + " mapping" for line in Path("/proc/self/maps").read_text().splitlines())
    kinds = ("anon_inode:bpf", "anon_inode:btf", "anon_inode:[perf_event]")
    return collections.Counter({kind: n for kind, n in held.items() if kind.startswith(kinds)})


def _places():
    # What outlives a process: named network namespaces, pins, network interfaces.
    names = {f"network namespace {p.name}" for p in Path("/run/netns").glob("*")}
    names |= {f"pin {p}" for p in Path("/sys/fs/bpf").rglob("*")}
    return names | {f"network interface {p.name}" for p in Path("/sys/class/net").glob("*")}


def pytest_configure():
    # Who runs the tests in the background (nohup, a shell's &) may ignore signals, which every child would inherit.
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_sessionstart(session):
    session.config.stash[_REFUSAL] = _refusal()
    session.config.stash[_PLACES] = _places()
    session.config.stash[_SKIPPED] = []


def pytest_collection_modifyitems(config, items):
    for item in items:
        if _in_kernel(item.path):
            item.add_marker(pytest.mark.kernel)
            if reason := config.stash[_REFUSAL]:
                item.add_marker(pytest.mark.skip(reason))


def _note_skip(node, report):
    if report.skipped and not hasattr(report, "wasxfail") and _in_kernel(node.path):
        node.config.stash[_SKIPPED].append(report.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return _note_skip(item, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _note_skip(collector, (yield))


@pytest.fixture(params=["ring", "perf"])
def transport(request, monkeypatch):
    """What traces are sent through: what this kernel has, or what those have that know no ring buffers."""
    if request.param == "perf":
        monkeypatch.setattr("fastbpf.tracing.kernel.has_ring_buffers", lambda: False)
    return request.param


@pytest.fixture(autouse=True)
def _nothing_stays_open(request):
    if "kernel" not in request.keywords:
        yield
        return
    before = _held()
    yield
    if _held() - before:
        gc.collect()  # what only a cycle keeps, ends with it
    stayed = _held() - before
    assert not stayed, f"kernel objects that this test left open: {dict(stayed)}"


def _complaints(config):
    stash = config.stash
    if stash[_REFUSAL] is None and stash[_SKIPPED]:
        yield "kernel tests skipped though the kernel allows them", stash[_SKIPPED]
    if left := _places() - stash[_PLACES]:
        yield "left behind by this run", sorted(left)


def pytest_sessionfinish(session):
    session.config.stash[_COMPLAINTS] = list(_complaints(session.config))
    if session.config.stash[_COMPLAINTS] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    for title, lines in config.stash.get(_COMPLAINTS, []):
        terminalreporter.section(f"RED: {title}", red=True)
        for line in lines:
            terminalreporter.line(line, red=True)
