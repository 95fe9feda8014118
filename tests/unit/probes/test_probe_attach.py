"""What cannot be attached to is refused before the kernel is asked; what the kernel refuses is told in words."""

import errno

import pytest

import fastbpf as fb
from fastbpf import _native
from fastbpf.probes import kprobes
from fastbpf.probes.attach import attach


@pytest.mark.parametrize(
    ("prog_type", "text", "message"),
    [
        ("xdp", "tc:lo:ingress", "^tc:lo:ingress takes programs of type sched_cls; this one is of type xdp$"),
        ("sched_cls", "xdp:nothing", "takes programs of type xdp; this one is of type sched_cls"),
        ("tracepoint", "k:vfs_read", "takes programs of type kprobe; this one is of type tracepoint"),
        ("xdp", "uprobe:/bin/sh:main", "'uprobe:/bin/sh:main' names no kind of probe"),
        ("xdp", "", "names no kind of probe"),
        ("xdp", "lo", r"tracepoint:CATEGORY:NAME \(t:\), raw_tracepoint:NAME \(rt:\), kprobe:.*, xdp:.*, tc:"),
        ("kprobe", "kprobe:", "names no function"),
        ("kprobe", "kprobe:vfs_read+", "'' is no offset in bytes"),
        ("kprobe", "kprobe:vfs_read+-8", "'-8' is no offset in bytes, such as 16 or 0x10"),
        ("kprobe", "kprobe:vfs_read+0x1_0", "is no offset"),
        ("kprobe", "kprobe:vfs_read+99999999999999999999", "no function is as long as that"),
        ("kprobe", "kretprobe:vfs_read+8", "leave the offset out"),
    ],
)
def test_a_text_that_is_no_place_for_the_program(prog_type, text, message):
    with pytest.raises(fb.ProbeError, match=message):
        attach(None, prog_type, text)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the kernel is asked for where it has kprobes, in `calls`; `answer` is its errno."""
    (tmp_path / "format").mkdir()
    (tmp_path / "type").write_text("8\n")
    (tmp_path / "format/retprobe").write_text("config:3\n")
    monkeypatch.setattr(kprobes, "_PMU", tmp_path)

    class Link:
        def __init__(self):
            self.calls, self.answer = [], 0

        def kprobe(self, program, *arguments):
            self.calls.append(arguments)
            if self.answer:
                raise fb.KernelError(self.answer, "cannot attach")

    monkeypatch.setattr(_native, "Link", link := Link())
    return link


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("kprobe:vfs_read", (8, 0, "vfs_read", 0)),
        ("k:vfs_read+16", (8, 0, "vfs_read", 16)),
        ("kprobe:vfs_read+0x1F", (8, 0, "vfs_read", 31)),
        ("kretprobe:vfs_read", (8, 1 << 3, "vfs_read", 0)),
    ],
)
def test_a_kprobe_is_asked_for_as_sysfs_tells(asked, text, call):
    _, full = attach(None, "kprobe", text)
    assert asked.calls == [call]
    assert full == text.replace("k:", "kprobe:")


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOENT, fb.ProbeError, "no function 'schedul' that can be probed; did you mean .*schedule"),
        (errno.EADDRNOTAVAIL, fb.KernelError, "kprobe:schedul: several functions have this name"),
        (errno.EILSEQ, fb.KernelError, "no instruction begins there"),
        (errno.EINVAL, fb.KernelError, "or no probe may be there"),
        (errno.EBUSY, fb.KernelError, "cannot attach$"),
    ],
)
def test_a_refused_kprobe_says_why(asked, number, kind, message):
    asked.answer = number
    with pytest.raises(kind, match=message) as refused:
        attach(None, "kprobe", "kprobe:schedul")
    assert getattr(refused.value, "errno", number) == number
