"""The registry: what it knows, how it is asked, and helpers of one's own."""

from __future__ import annotations

import csv
import inspect
import pickle
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

from fastbpf import helpers
from fastbpf.asm import assemble, call, call_id, mov, r1
from fastbpf.helpers import Helper, HelperError, registry
from fastbpf.helpers.btf import compare
from fastbpf.helpers.prototypes import PROGRAM_TYPES, prototype, type_since
from fastbpf.kernel_version import KernelVersion

CLOCK = ("__u64 bpf_clock(__u32 which)", "6.3", {"xdp", "sched_cls"}, "time", "Our own clock.")


@pytest.fixture
def clock():
    """A helper of our own, for a while."""
    yield helpers.register(Helper(300, "bpf_clock", *CLOCK))
    helpers.unregister("clock")


@pytest.mark.parametrize("one", helpers.all(), ids=lambda one: one.name)
def test_a_helper_is_whole(one):
    known = prototype(one.id)
    assert (one.name, one.min_kernel, one.prog_types) == (known.name, known.since, known.program_types)
    assert one.gpl_only is known.gpl_only
    assert (one.returns, *one.parameters) == (
        known.returns,
        *((parameter.type, parameter.name) for parameter in known.parameters),
        *([("...", "")] if known.variadic else []),
    )
    assert f" *bpf_{one.name}(" in one.signature or f" bpf_{one.name}(" in one.signature
    assert one.description.endswith(".")
    assert 30 < len(one.description) < 300
    assert one.capability in {None, "CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"}
    assert one.lockdown in {None, "integrity", "confidentiality"}
    assert one.category in helpers.categories()
    # its own checks take it as it stands
    assert Helper(**one._asdict()) == one
    assert pickle.loads(pickle.dumps(one)) == one


def test_there_are_211_in_order():
    assert [one.id for one in helpers.all()] == list(range(1, 212))
    assert len({one.description for one in helpers.all()}) == 211
    assert sum(len(helpers.by_category(one)) for one in helpers.categories()) == 211


def test_names_and_numbers_find_it():
    assert {helpers.get(spelt) for spelt in (130, "ringbuf_output", "bpf_ringbuf_output")} == {helpers.get(130)}
    assert helpers.get(helpers.get(130)) is helpers.get(130)


# among them numbers that some lists give to helpers that no kernel has
@pytest.mark.parametrize("number", [-1, 0, 212, 213, 217])
def test_no_other_numbers(number):
    with pytest.raises(HelperError, match=f"there is no helper {number}: the kernel has 1 to 211 and adds none"):
        helpers.get(number)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("map_lookup", "there is no helper map_lookup; the nearest: map_lookup_elem"),
        ("bpf_cookie", "the nearest: get_socket_cookie"),
        ("ktime_get_real_ns", "the nearest: ktime_get_tai_ns"),
        ("qqqqqqqq", r"helpers.search\(text\) finds them"),
        ("", r"helpers.search\(text\) finds them"),
    ],
)
def test_unknown_names_get_the_nearest(wrong, said):
    for ask in (helpers.get, helpers.describe, helpers.unregister, lambda name: helpers.compatible(name, "xdp", "5.8")):
        with pytest.raises(HelperError, match=said):
            ask(wrong)


def test_a_category_that_does_not_exist():
    with pytest.raises(HelperError, match="there is no category 'rinbuf'; the nearest: ringbuf"):
        helpers.by_category("rinbuf")


@pytest.mark.parametrize("kernel", ["5.8", 0x050800, (5, 8), KernelVersion(5, 8), "5.8.0-33-generic"])
def test_kernels_are_written_in_many_ways(kernel):
    assert helpers.compatible("ringbuf_reserve", "xdp", kernel) is True
    assert helpers.compatible("ktime_get_coarse_ns", "xdp", kernel) is False
    assert helpers.get("ringbuf_query") in helpers.since(kernel)
    assert helpers.get("ringbuf_query") in helpers.until(kernel)
    assert len(helpers.available("xdp", kernel)) < len(helpers.available("xdp"))


def test_since_and_until_share_only_that_kernel():
    both = set(helpers.since("5.8")) & set(helpers.until("5.8"))
    assert {one.min_kernel for one in both} == {(5, 8)}
    assert set(helpers.since("5.8")) | set(helpers.until("5.8")) == set(helpers.all())
    assert helpers.until("3.18") == ()
    assert [one.name for one in helpers.until("3.19")] == ["map_lookup_elem", "map_update_elem", "map_delete_elem"]


# What a category is about shows in the names, or in who may call its helpers.
@pytest.mark.parametrize(
    ("category", "word"), [("ringbuf", "ringbuf"), ("timer", "timer"), ("dynptr", "dynptr"), ("storage", "storage")]
)
def test_categories_by_name(category, word):
    assert all(word in one.name for one in helpers.by_category(category))
    elsewhere = {one.category for one in helpers.all() if one.name.startswith(f"{word}_")}
    assert elsewhere <= {category}


@pytest.mark.parametrize(
    ("category", "types"),
    [
        ("sysctl", {"cgroup_sysctl"}),
        ("lirc", {"lirc_mode2"}),
        ("syscall", {"syscall"}),
        ("iter", {"tracing"}),
        ("security", {"lsm"}),
        ("xdp", {"xdp", "tracing", "syscall"}),
    ],
)
def test_categories_by_program_type(category, types):
    for one in helpers.by_category(category):
        assert one.prog_types <= types


def test_types_that_do_not_exist_or_are_not_known():
    with pytest.raises(HelperError, match="'xpd' is no program type; the nearest: xdp"):
        helpers.available("xpd")
    assert helpers.compatible("xdp_adjust_head", "ext", "6.0") is None
    assert helpers.compatible("xdp_adjust_head", "ext", "4.9") is False
    assert helpers.get("xdp_adjust_head") not in helpers.available("ext")


def test_a_kernel_without_the_program_type():
    """kprobe programs are younger than maps."""
    assert [helpers.compatible("map_lookup_elem", "kprobe", kernel) for kernel in (0x031200, "3.19", "4.1")] == [
        *(False, False, True)
    ]
    assert helpers.available("netfilter", "6.3") == ()
    first = [type_since(one) for one in PROGRAM_TYPES]
    assert first == sorted(first)  # numbers are handed out in order


def test_search_reads_names_first():
    found = helpers.search("Ring BUFFER reserve")
    assert {one.name for one in found} >= {"ringbuf_reserve", "ringbuf_reserve_dynptr"}
    assert [one.name for one in helpers.search("bpf_loop")] == ["loop"]
    assert helpers.search("sk_release")[0].name == "sk_release"
    assert helpers.search("no such words") == ()


def test_stats_count_all_of_them():
    stats = helpers.stats()
    assert (stats.total, stats.built_in, stats.custom) == (211, 211, 0)
    assert sum(stats.categories.values()) == sum(stats.kernels.values()) == 211
    assert list(stats.kernels) == sorted(stats.kernels)
    assert stats.gpl_only == len([one for one in helpers.all() if one.gpl_only])


def test_description_for_reading():
    text = helpers.describe("bpf_probe_write_user")
    assert text.startswith("bpf_probe_write_user, helper 36\n\n    long bpf_probe_write_user(void *dst,")
    assert "takes          CAP_SYS_ADMIN, a kernel that is not locked down for integrity" in text
    assert max(map(len, text.splitlines())) <= 120
    assert all(helpers.describe(one.id) for one in helpers.all())


def test_a_table_for_arrow():
    table = helpers.table()
    assert table.num_rows == 211
    assert table.column("name").to_pylist() == [one.name for one in helpers.all()]
    assert set(table.column("prog_types")[0].as_py()) == set(PROGRAM_TYPES) - {"ext"}
    assert table.column("capability").null_count == 211 - sum(helpers.stats().capabilities.values())
    assert not any(table.column("custom").to_pylist())


# -- one's own ---------------------------------------------------------------------------------------------------------


def test_ones_own_helper_is_found_by_everything(clock):
    assert clock.name == "clock"
    assert helpers.get("clock") == helpers.get("bpf_clock") == helpers.get(300) == helpers.all()[-1]
    assert clock in helpers.by_category("time")
    assert clock in helpers.available("xdp")
    assert clock not in helpers.available("kprobe")
    assert [helpers.compatible("clock", "xdp", kernel) for kernel in ("6.2", "6.3", "6.5")] == [False, True, True]
    assert helpers.search("our own")[0] == clock
    assert clock in helpers.since("6.3")
    assert (helpers.stats().total, helpers.stats().custom) == (212, 1)
    assert "Our own clock." in helpers.describe("clock")
    assert helpers.table().column("custom").to_pylist()[-1]
    assert registry.own("bpf_clock") == clock
    assert registry.own("ktime_get_ns") is None
    assert bytes(assemble(call.clock(7))) == bytes(assemble(mov(r1, 7), call_id(300)))


def test_ones_own_helper_goes_again():
    helpers.register(Helper(300, "clock", *CLOCK))
    assert helpers.unregister("bpf_clock").id == 300
    with pytest.raises(HelperError, match="there is no helper clock"):
        helpers.get("clock")


@pytest.mark.parametrize(
    ("id", "name", "said"),
    [
        (5, "clock", "clock: number 5 is ktime_get_ns; the kernel's are 1 to 211 and stay"),
        (211, "clock", "number 211 is cgrp_storage_delete"),
        (300, "other", "number 300 is clock; helpers.unregister\\('clock'\\) removes it"),
        (301, "clock", "there is a helper clock already, number 300"),
        (301, "bpf_clock", "there is a helper clock already, number 300"),
        (301, "ktime_get_ns", "there is a helper ktime_get_ns already, number 5; the kernel's are 1 to 211"),
    ],
)
@pytest.mark.usefixtures("clock")
def test_what_is_taken_is_refused(id, name, said):
    plain = name.removeprefix("bpf_")
    with pytest.raises(HelperError, match=said):
        helpers.register(Helper(id, name, f"__u64 bpf_{plain}(void)", "6.3", "all", "time"))
    assert len(helpers.all()) == 212


def test_the_kernels_stay():
    with pytest.raises(HelperError, match="ktime_get_ns is the kernel's"):
        helpers.unregister("ktime_get_ns")
    with pytest.raises(HelperError, match="is no Helper"):
        helpers.register({"id": 300})


GOOD = {
    "id": 300,
    "name": "clock",
    "signature": CLOCK[0],
    "min_kernel": "6.3",
    "prog_types": "all",
    "category": "time",
}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("id", 0, "the call instruction takes 1 to 2147483647"),
        ("id", -5, "0 cannot be|-5 cannot be"),
        ("id", 1 << 31, "the call instruction takes"),
        ("id", "300", "'300' cannot be a helper's id"),
        ("name", "ktime-get-ns", "write it as in C"),
        ("name", "", "write it as in C"),
        ("name", None, "None cannot be a helper's name"),
        ("signature", "u64 bpf_other(void)", "is not its signature"),
        ("signature", "clock", "is not its signature"),
        ("signature", None, "None is not its signature"),
        ("signature", "3, 4 bpf_clock(void)", "is not its signature"),
        ("signature", "u64 bpf_clock(u32 a[4])", r"'u32 a\[4\]' is no parameter: .*u32 \*list for an array"),
        ("signature", "u64 bpf_clock(u32 a,)", "'' is no parameter"),
        ("signature", "u64 bpf_clock(u32 3)", "'u32 3' is no parameter"),
        ("signature", "u64 bpf_clock(void, u32 a)", "'void' is no parameter"),
        ("signature", "u64 bpf_clock(void a)", "'void a' is no parameter"),
        ("signature", "u64 bpf_clock(..., u32 a)", "'...' is no parameter"),
        ("signature", "u64 bpf_clock(u32 a, u64 a)", r"two parameters are called a in \(u32 a, u64 a\)"),
        ("signature", "u64 bpf_clock(u32 class, u32 class_)", "two parameters are called class_"),
        ("signature", "u64 bpf_clock(u32 arg2, u32)", "two parameters are called arg2"),
        ("signature", "u64 bpf_clock(u32 more, ...)", "two parameters are called more"),
        ("signature", "int bpf_clock(int a, int b, int c, int d, int e, int f)", "more than 5 parameters"),
        ("min_kernel", "new", "is no kernel version"),
        ("prog_types", {"xpd"}, "'xpd' is no program type; the nearest: xdp"),
        ("prog_types", (), "no program type may call it"),
        ("prog_types", None, "None are no program types"),
        ("prog_types", 6, "6 are no program types"),
        ("prog_types", [["xdp"]], r"\[\['xdp'\]\] are no program types"),
        ("prog_types", {None}, "None is no program type"),
        ("category", None, "None is no category"),
        ("category", 5, "5 is no category"),
        ("category", "", "'' is no category"),
        ("category", " ", "' ' is no category"),
        ("description", None, "None is no description"),
        ("gpl_only", None, "gpl_only is True or False, not None"),
        ("gpl_only", "no", "gpl_only is True or False, not 'no'"),
        ("config", 5, "5 is no option of the kernel"),
        ("capability", "root", "write it as CAP_PERFMON"),
        ("capability", 39, "39 is no capability"),
        ("lockdown", ["integrity"], "is no lockdown mode"),
        ("lockdown", "strict", "is no lockdown mode"),
    ],
)
def test_fields_that_no_helper_can_have(field, value, said):
    assert Helper(**GOOD).name == "clock"
    with pytest.raises(ValueError, match=said) as refused:
        Helper(**GOOD | {field: value})
    assert isinstance(refused.value, HelperError) or field == "min_kernel"
    with pytest.raises(ValueError, match=said):
        helpers.register(Helper(**GOOD)._replace(**{field: value}))
    assert len(helpers.all()) == 211


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        ("", "()"),
        ("void", "()"),
        ("u32", "(arg1)"),
        ("void *, unsigned int, const struct foo, u32 const", "(arg1, arg2, arg3, arg4)"),
        ("const char *fmt, u32 class, struct foo *, unsigned long flags", "(fmt, class_, arg3, flags)"),
        ("const char *fmt, u32 size, ...", "(fmt, size, *more)"),
        ("...", "(*more)"),
        ("void **list, u32 *const restrict place", "(list, place)"),
    ],
)
def test_every_signature_that_is_taken_can_be_shown(parameters, shown):
    helpers.register(Helper(**GOOD | {"signature": f"u64 bpf_clock({parameters})"}))
    try:
        assert str(inspect.signature(call.clock)) == shown
        assert f"u64 bpf_clock({parameters})" in pydoc.render_doc(call.clock, renderer=pydoc.plaintext)
        assert f"u64 bpf_clock({parameters})" in helpers.describe("clock")
        assert "time" in helpers.categories()
        assert helpers.stats().custom == 1
    finally:
        helpers.unregister("clock")


def test_parameters_without_a_name_are_given_by_place():
    helpers.register(Helper(**GOOD | {"signature": "u64 bpf_clock(void *, u32 which)"}))
    try:
        assert call.clock(which=7, arg1=0) == call.clock(0, 7)
    finally:
        helpers.unregister("clock")


def test_a_helper_does_not_change():
    one = Helper(**GOOD)
    with pytest.raises(AttributeError):
        one.id = 5
    assert {one: 1}[Helper(**GOOD)] == 1
    assert Helper(**GOOD | {"prog_types": "xdp"}).prog_types == {"xdp"}
    assert (one.returns, one.parameters) == ("__u64", (("__u32", "which"),))
    assert Helper(**GOOD | {"signature": "struct a *bpf_clock(const struct b  *c , int);"}).parameters == (
        ("const struct b *", "c"),
        ("int", "arg2"),
    )


# -- against a kernel's list -------------------------------------------------------------------------------------------


def test_comparison_with_a_kernels_list():
    listed = {0: "unspec"} | {one.id: one.name for one in helpers.all()}
    assert compare(listed).agrees
    assert compare(listed)[1:] == ((), (), ())
    del listed[211]
    older = compare(listed)._replace(kernel=KernelVersion(6, 1))
    assert older.agrees
    assert [one.name for one in older.extra] == ["cgrp_storage_delete"]
    assert not older._replace(kernel=KernelVersion(6, 2)).agrees
    listed |= {212: "new_one", 5: "ktime_get"}
    changed = compare(listed)
    assert changed.missing == ((212, "new_one"),)
    assert changed.renamed == ((helpers.get(5), "ktime_get"),)
    assert not changed.agrees
    assert "missing: 212 new_one\nrenamed: 5 ktime_get_ns is ktime_get\nextra: 211" in str(changed)


# -- costs and the way it is written -----------------------------------------------------------------------------------


def test_asking_loads_nothing_native():
    script = (
        "import fastbpf.helpers as h, sys; h.all(), h.stats(); "
        "print(*{'fastbpf._native', 'pyarrow'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_all_public_names_are_there():
    assert set(helpers.__all__) <= set(dir(helpers))
    stub = Path(helpers.__file__).with_suffix(".pyi").read_text()
    assert {line.split(" as ")[1] for line in stub.splitlines() if " as " in line} == set(helpers.__all__)
    assert all(getattr(helpers, name).__doc__ for name in helpers.__all__)
    with pytest.raises(AttributeError):
        helpers.nothing  # noqa: B018


def test_the_facts_are_written_one_way():
    file = Path(helpers.__file__).with_name("helpers.tsv")
    rows = list(csv.DictReader(file.read_text().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    flags = {flag.partition("=")[0] for row in rows for flag in row["flags"].split(",")}
    assert flags == {"-", "gpl", "refined", "acquires", "releases", "config", "lockdown"}
    for row in rows:
        assert row["capability"] == "-" or row["capability"].startswith("CAP_")
        assert "  " not in row["description"]
        assert row["description"].isprintable()
