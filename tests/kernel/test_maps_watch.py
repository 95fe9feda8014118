"""Watching a map: what is told to have changed has to be what a dictionary's differences say."""

from __future__ import annotations

import threading
import time

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbpf as fb

u64s = st.integers(0, 7) | st.integers(0, 2**64 - 1)


class Flow(fb.Struct):
    source: fb.ipv4
    port: fb.be16
    path: fb.u16[2]
    name: fb.char[4]


class Seen(fb.Struct):
    packets: fb.u64
    small: fb.i16
    share: fb.f64
    name: fb.char[4]
    port: fb.u16


def counts(entries=64, kind="hash"):
    return fb.MapSpec(kind, key=fb.u32, value=fb.u64, max_entries=entries, name="counts").create()


def signed(number):
    number %= 1 << 64
    return number - (1 << 64) if number >> 63 else number


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 5), u64s, max_size=5), min_size=1, max_size=5))
def test_changes_are_those_of_dictionaries(states):
    before = None
    with counts() as map, map.watch(every=0) as watch:
        for state in states:
            for key in set(map) - state.keys():
                del map[key]
            map.update(state)
            batch = next(watch)
            told = {row["key"]: (row["value"], row["value_change"]) for row in batch.to_pylist()}
            changes = {
                key: (value, None if before is None else signed(value - before.get(key, 0)))
                for key, value in state.items()
            }
            assert told == changes
            before = state


flows = st.builds(
    Flow,
    source=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    port=st.sampled_from([80, 443]),
    path=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    name=st.sampled_from(["a", "bcd", ""]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.tuples(flows, st.integers(0, 100)), max_size=12), min_size=2, max_size=3))
def test_keys_of_several_columns(states):
    before = {}
    with fb.MapSpec("hash", key=Flow, value=Seen, max_entries=64).create() as map, map.watch(every=0) as watch:
        assert "value_port" in next(watch).schema.names
        for state in states:
            for flow, number in state:
                map[flow] = Seen(packets=number, small=-number, share=number / 4, name="x", port=number)
            batch = next(watch)
            changes = ["packets_change", "small_change", "share_change", "value_port_change"]
            assert batch.schema.names[-4:] == changes
            assert [batch.schema.field(name).type for name in changes] == [*[pa.int64()] * 2, pa.float64(), pa.int64()]
            now = before | {bytes(flow.pack()): number for flow, number in state}
            told = {}
            for row in batch.to_pylist():
                flow = Flow(source=row["source"], port=row["key_port"], path=row["path"], name=row["key_name"])
                told[flow.pack()] = tuple(row[name] for name in changes)
            expected = {}
            for key, number in now.items():
                change = number - before.get(key, 0)
                expected[key] = (change, -change, change / 4, change)
            assert told == expected
            before = now


def test_values_of_each_cpu_change_by_themselves():
    with counts(4, "percpu_hash") as map, map.watch(every=0) as watch:
        map[3] = values = list(range(fb.maps.possible_cpus()))
        next(watch)
        map[3] = [value * 10 for value in values]
        batch = next(watch)
        assert batch.select(["key", "cpu", "value_change"]).to_pylist() == [
            {"key": 3, "cpu": cpu, "value_change": 9 * cpu} for cpu in values
        ]


def test_time_and_rates():
    with counts() as map, map.watch(every=0.05, rates=True) as watch:
        map[1], before = 1000, time.time_ns()
        began = time.monotonic()
        first = next(watch)
        between = time.monotonic()
        map[1] = 3000
        time.sleep(0.05)
        between = time.monotonic() - between
        second = next(watch)
        whole = time.monotonic() - began
        assert first.schema.names == ["time", "key", "value", "value_change", "value_rate"]
        assert first.schema.field("time").type == pa.timestamp("ns", tz="UTC")
        times = [batch["time"].cast(pa.int64())[0].as_py() for batch in (first, second)]
        assert before <= times[0] < times[1] <= time.time_ns()
        assert first["value_change"].to_pylist() == first["value_rate"].to_pylist() == [None]
        # The reads were further from each other than what was between the calls, and nearer than all of it.
        (rate,) = second["value_rate"].to_pylist()
        assert 2000 / whole <= rate <= 2000 / between


def test_a_map_that_has_a_time():
    class Timed(fb.Struct):
        time: fb.u64

    with fb.MapSpec("hash", key=fb.u32, value=Timed, max_entries=4).create() as map, map.watch(every=0) as watch:
        map[1] = Timed(time=5)
        assert next(watch).schema.names == ["watch_time", "key", "time", "time_change"]


def test_closing_ends_the_wait():
    with counts() as map, map.watch(every=3600) as watch:
        next(watch)
        threading.Timer(0.05, watch.close).start()
        assert list(watch) == []


def test_a_map_that_is_closed_meanwhile():
    map = counts()
    with map.watch(every=0) as watch:
        next(watch)
        map.close()
        with pytest.raises(fb.StreamError, match="closed"):
            next(watch)


@pytest.mark.parametrize("every", [-1, float("nan"), float("inf"), "1", True, None])
def test_times_that_are_none(every):
    with counts() as map, pytest.raises(fb.LayoutError, match="give seconds"):
        map.watch(every)


def test_what_has_no_elements_is_refused_at_once():
    with fb.MapSpec("ringbuf", max_entries=4096).create() as ring, pytest.raises(fb.LayoutError, match="RingBuffer"):
        ring.watch()


def test_waiting_for_a_key():
    with counts() as map:
        map[1] = 10
        assert map.wait_for(1) == 10
        threading.Timer(0.05, lambda: map.update({2: 20})).start()
        assert map.wait_for(2, timeout=60) == 20
        with pytest.raises(TimeoutError, match=r"counts: hash> has no 3 after 0.03 s"):
            map.wait_for(3, timeout=0.03)
        with pytest.raises(TimeoutError):
            map.wait_for(3, timeout=0)
        for timeout in (-1, float("nan"), "1", True):
            with pytest.raises(fb.LayoutError, match="give seconds"):
                map.wait_for(3, timeout)
        threading.Timer(0.05, map.close).start()
        with pytest.raises(fb.StreamError, match="closed"):
            map.wait_for(3, timeout=60)


def test_names_that_watching_has_too_are_the_maps_own():
    class Odd(fb.Struct):
        cpu: fb.u32
        n_change: fb.u32
        n: fb.u64
        time: fb.u64

    with fb.MapSpec("hash", key=fb.u32, value=Odd, max_entries=4).create() as map, map.watch(every=0.001) as batches:
        map[1] = Odd(cpu=0, n_change=5, n=100, time=7)
        next(batches)
        map[1] = Odd(cpu=1, n_change=5, n=101, time=7)
        [row] = next(batches).to_pylist()
    told = {name: value for name, value in row.items() if name != "watch_time"}
    assert told == {
        "key": 1,
        "cpu": 1,
        "n_change": 5,
        "n": 101,
        "time": 7,
        "cpu_change": 1,
        "n_change_change": 0,
        "watch_n_change": 1,
        "time_change": 0,
    }
