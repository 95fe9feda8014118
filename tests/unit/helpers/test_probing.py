"""What probe makes of a kernel's answers: of several kernels, so without one."""

from __future__ import annotations

import errno

import pytest

from fastbpf import _native, helpers
from fastbpf.errors import KernelError
from fastbpf.helpers import HelperError, limits, probing
from fastbpf.kernel_version import KernelVersion

NEW = "program of this type cannot use helper bpf_{name}#{id}"  # as Linux 6.18 says it
OLD = "unknown func bpf_{name}#{id}"  # as older ones do
ALLOWED = "R1 !read_ok"


class Kernel:
    """Answers as a kernel would that allows helpers of certain names."""

    def __init__(self, monkeypatch):
        self.allowed = {"map_lookup_elem", "ktime_get_ns"}
        self.refusal, self.answers, self.loads = NEW, {}, []
        self.load = 0, ""
        monkeypatch.setattr(_native, "program_verdicts", self.program_verdicts)
        monkeypatch.setattr(_native, "btf_id", lambda name, kind: 7)
        monkeypatch.setattr(probing, "lacks", lambda capability: False)
        monkeypatch.setattr(probing, "locked_down", lambda mode: False)
        monkeypatch.setattr(probing, "configured", lambda option: True)
        probing._number.cache_clear()

    def program_verdicts(self, kind, attach_type, btf_id, flags, programs):
        self.loads.append((kind, attach_type, btf_id, flags))
        return [self.answer(program, attach_type, flags) for program in programs]

    def answer(self, program, attach_type, flags):
        if program[0] != 0x85:
            return self.load(attach_type, flags) if callable(self.load) else self.load
        one = helpers.get(int.from_bytes(program[4:8], "little"))
        if one.name in self.answers:
            return self.answers[one.name](attach_type, flags)
        if one.name in self.allowed:
            return (0, "") if not one.parameters else (errno.EACCES, f"0: call\n{ALLOWED}\nprocessed 1 insns")
        return errno.EINVAL, f"0: (85) call\n{self.refusal.format(name=one.name, id=one.id)}\nprocessed 1 insns\n"


@pytest.fixture
def kernel(monkeypatch):
    yield Kernel(monkeypatch)
    probing._number.cache_clear()


@pytest.mark.parametrize("refusal", [NEW, OLD, "unknown func {id}"], ids=["6.18", "older", "4.9"])
def test_both_ways_to_say_no(kernel, refusal):
    kernel.refusal = refusal
    seen = helpers.probe("xdp")
    assert seen.allowed == ("map_lookup_elem", "ktime_get_ns")
    assert repr(seen) == f"<xdp on Linux {KernelVersion.running()}: 2 of 211 helpers>"
    assert len(seen) == 211
    assert list(seen) == [one.name for one in helpers.all()]
    assert seen["bpf_ktime_get_ns"].allowed
    assert seen[1] == seen["map_lookup_elem"]
    assert str(seen["redirect"]) == "redirect: type, not for programs of type xdp on this kernel"
    assert str(seen["skb_load_bytes"]) == "skb_load_bytes: type, not for programs of type xdp"
    with pytest.raises(HelperError, match="the nearest: map_lookup_elem"):
        seen["map_lookup"]


def test_helpers_that_came_later(kernel, monkeypatch):
    kernel.refusal = "invalid func unknown#{id}"
    monkeypatch.setattr(KernelVersion, "running", classmethod(lambda cls: cls(5, 10)))
    assert str(helpers.probe("xdp")["loop"]) == "loop: kernel, since Linux 5.17, this is 5.10"


def test_what_withholds_it_is_told_apart(kernel, monkeypatch):
    monkeypatch.setattr(probing, "lacks", lambda capability: capability == "CAP_PERFMON")
    monkeypatch.setattr(probing, "locked_down", lambda mode: mode == "integrity")
    monkeypatch.setattr(probing, "configured", lambda option: option != "BPF_KPROBE_OVERRIDE")
    seen = helpers.probe("kprobe")
    assert seen["get_current_task"].status == "capability"
    assert "CAP_PERFMON" in seen["get_current_task"].why
    assert seen["probe_write_user"].status == "lockdown"
    assert seen["override_return"].why == "the kernel was built without CONFIG_BPF_KPROBE_OVERRIDE"
    assert seen["xdp_adjust_head"].status == "type"  # whatever else is missing
    assert {one.status for one in seen.withheld} == {"capability", "lockdown", "config"}
    assert "withheld: capability" in repr(seen)


def test_what_nobody_tells_is_not_claimed(kernel, monkeypatch):
    monkeypatch.setattr(probing, "locked_down", lambda mode: None)
    monkeypatch.setattr(probing, "configured", lambda option: None)
    seen = helpers.probe("kprobe")
    assert seen["probe_write_user"].status == seen["override_return"].status == "unknown"
    assert "mount securityfs" in seen["probe_write_user"].why
    assert seen["override_return"].why == "perhaps the kernel is built without CONFIG_BPF_KPROBE_OVERRIDE"


def test_helpers_that_sleep(kernel):
    sleepy = errno.EINVAL, "helper call might sleep in a non-sleepable prog\n"
    kernel.answers["copy_from_user"] = lambda attach_type, flags: (0, "") if flags else sleepy
    assert str(helpers.probe("kprobe")["copy_from_user"]) == "copy_from_user: allowed, in sleepable programs"
    assert helpers.probe("kprobe", "trace_uprobe_multi")["copy_from_user"].allowed
    assert not helpers.probe("kprobe", "trace_kprobe_multi")["copy_from_user"].allowed
    assert helpers.probe("lsm", "lsm_mac")["copy_from_user"].why == "in sleepable programs"
    assert not helpers.probe("lsm", "lsm_cgroup")["copy_from_user"].allowed
    assert str(helpers.probe("xdp")["copy_from_user"]) == "copy_from_user: type, in sleepable programs only"
    # older kernels do not say why
    kernel.answers["copy_from_user"] = lambda attach_type, flags: (0, "") if flags else (errno.EINVAL, OLD)
    assert helpers.probe("kprobe")["copy_from_user"].why == "in sleepable programs"


def test_attach_types_make_a_difference(kernel):
    no = errno.EINVAL, OLD
    bind, connect = 8, 10
    kernel.answers["bind"] = lambda attach_type, flags: (0, "") if attach_type == bind else no
    kernel.answers["setsockopt"] = lambda attach_type, flags: (0, "") if attach_type == connect else no
    seen = helpers.probe("cgroup_sock_addr")
    assert seen["bind"] == (helpers.get("bind"), "allowed", "for cgroup_inet4_bind")
    assert seen["setsockopt"].why == ""
    one = helpers.probe("cgroup_sock_addr", "cgroup_inet4_bind")
    assert (one["bind"].allowed, one["setsockopt"].allowed) == (True, False)
    assert "(cgroup_inet4_bind)" in repr(one)


def test_types_of_the_kernel_are_named_by_number(kernel):
    helpers.probe("tracing", "trace_fentry")
    assert set(kernel.loads) == {(26, 24, 7, 0)}


def test_functions_that_the_kernel_lists(kernel):
    kernel.answers["d_path"] = lambda *_: (errno.EINVAL, "helper call is not allowed in probe\n")
    assert helpers.probe("tracing", "trace_fentry")["d_path"].why == "in functions that the kernel lists for it"
    assert not helpers.probe("syscall")["d_path"].allowed


def test_what_may_not_be_loaded_is_unknown(kernel):
    fentry = {24, 25, 26}
    kernel.load = lambda attach_type, flags: (errno.EPERM, "") if attach_type in fentry else (0, "")
    seen = helpers.probe("tracing")["get_func_arg"]
    assert seen.status == "unknown"
    assert "keeping it for trace_fentry, trace_fexit, modify_return, which this process may not load" in seen.why


@pytest.mark.parametrize(
    ("answer", "lacking", "said"),
    [
        ((errno.EPERM, ""), {"CAP_BPF", "CAP_NET_ADMIN"}, "this process lacks CAP_BPF and CAP_NET_ADMIN; run as root"),
        ((errno.EPERM, ""), {"CAP_PERFMON"}, "the kernel forbids it to everybody"),
        ((errno.EINVAL, ""), set(), "cannot load a program of type xdp: this kernel knows no such programs"),
        ((errno.EINVAL, "too bad\nprocessed 0 insns\n"), set(), r"invalid argument \(errno 22\), too bad"),
        ((errno.ENOSYS, ""), set(), "function not implemented"),
    ],
)
def test_types_that_cannot_be_loaded(kernel, monkeypatch, answer, lacking, said):
    kernel.load = answer
    monkeypatch.setattr(probing, "lacks", lambda capability: capability in lacking)
    with pytest.raises(KernelError, match=said) as refused:
        helpers.probe("xdp")
    assert refused.value.errno == answer[0]


def test_old_kernels_know_one_capability(kernel, monkeypatch):
    kernel.load = errno.EPERM, ""
    monkeypatch.setattr(KernelVersion, "running", classmethod(lambda cls: cls(5, 4)))
    monkeypatch.setattr(probing, "lacks", lambda capability: True)
    with pytest.raises(KernelError, match="this process lacks CAP_SYS_ADMIN; run as root"):
        helpers.probe("xdp")


def test_no_verdict_is_no_answer(kernel):
    kernel.answers["loop"] = lambda *_: (errno.ENOMEM, "")
    with pytest.raises(KernelError, match="does not say whether it allows loop"):
        helpers.probe("xdp")


def test_old_limits_are_raised(kernel, monkeypatch):
    raised = []
    monkeypatch.setattr("fastbpf.privileges.resource.setrlimit", lambda *limit: raised.append(limit))
    loads = iter([(errno.EPERM, "")] * 2)
    kernel.load = lambda *_: next(loads, (0, ""))  # charged to RLIMIT_MEMLOCK, before 5.11
    assert len(helpers.probe("xdp").allowed) == 2
    assert len(raised) == 1


def test_types_that_do_not_exist(kernel):
    with pytest.raises(HelperError, match="'xpd' is no program type; the nearest: xdp"):
        helpers.probe("xpd")
    with pytest.raises(HelperError, match="'xdp_devmop' is no attach type; the nearest: xdp_devmap"):
        helpers.probe("xdp", "xdp_devmop")
    with pytest.raises(HelperError, match="may call what the one may call that it replaces"):
        helpers.probe("ext")
    assert kernel.loads == []


# -- what explains a refusal -------------------------------------------------------------------------------------------


@pytest.fixture
def files(monkeypatch):
    """The machine's files, as far as they are given; others are not there."""
    given = {}

    def read(path, *_):
        if str(path) not in given:
            raise FileNotFoundError(path)
        return given[str(path)]

    monkeypatch.setattr(limits.Path, "read_text", read)
    monkeypatch.setattr(limits.Path, "read_bytes", lambda path: read(path).encode())
    limits._options.cache_clear()
    yield given
    limits._options.cache_clear()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("[none] integrity confidentiality\n", (False, False)),
        ("none [integrity] confidentiality\n", (True, False)),
        ("none integrity [confidentiality]\n", (True, True)),
    ],
)
def test_lockdown_as_the_kernel_tells(files, told, expected):
    files["/sys/kernel/security/lockdown"] = told
    assert (limits.locked_down("integrity"), limits.locked_down("confidentiality")) == expected


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        ("# CONFIG_SECURITY_LOCKDOWN_LSM is not set", (False, False)),
        ("CONFIG_SECURITY_LOCKDOWN_LSM=y\nCONFIG_LOCK_DOWN_KERNEL_FORCE_NONE=y", (None, None)),
        ("CONFIG_SECURITY_LOCKDOWN_LSM=y\nCONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY=y", (True, None)),
        ("CONFIG_SECURITY_LOCKDOWN_LSM=y\nCONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY=y", (True, True)),
        (None, (None, None)),
    ],
)
def test_lockdown_where_the_kernel_does_not_tell(files, monkeypatch, built, expected):
    if built is not None:
        files[f"/boot/config-{limits.os.uname().release}"] = built
    assert (limits.locked_down("integrity"), limits.locked_down("confidentiality")) == expected


@pytest.mark.parametrize(
    ("effective", "lacking"),
    [
        (0, {"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"}),
        (1 << 39, {"CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"}),
        (1 << 21, set()),
        (1 << 38 | 1 << 39, {"CAP_NET_ADMIN", "CAP_SYS_ADMIN"}),
    ],
)
def test_capabilities(files, effective, lacking):
    files["/proc/thread-self/status"] = f"Name:\tx\nCapEff:\t{effective:016x}\n"
    assert {one for one in limits._CAPABILITIES if limits.lacks(one)} == lacking


def test_without_proc_nothing_is_said_to_be_missing(files):
    assert not limits.lacks("CAP_BPF")
    assert limits.configured("BPF") is None


def test_options_of_the_build(files):
    files[f"/boot/config-{limits.os.uname().release}"] = "CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=n\n# CONFIG_D is not set\n"
    assert [limits.configured(one) for one in "ABCD"] == [True, True, False, False]
