"""Maps that are emptied, changed or closed while they are read, judged by what was written and by bpf(2)."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from struct import pack

import pyarrow as pa
import pytest
from tests.kernel import raw_bpf
from tests.kernel.test_maps_tables import CPUS, HASHES, MMAPABLE, elements, put, rows

import fastbpf as fb
from fastbpf import _native
from fastbpf.maps import MapSpec
from fastbpf.maps.map import Map
from fastbpf.maps.tables import Reading

QUEUE, STACK, LPM_TRIE, HASH_OF_MAPS = 22, 23, 11, 13
LOCK = 4


@contextmanager
def process(run):
    """A process that runs `run` in a loop, on the other CPU where there is one, until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            while True:
                run()
        finally:
            os._exit(1)
    try:
        yield
    finally:
        ended, _ = os.waitpid(child, os.WNOHANG)
        assert ended == 0, "the writer failed"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


class Spec:
    """What a map is, of types that MapSpec does not make."""

    def __init__(self, type, key, value, max_entries):
        self.type, self.key, self.value, self.max_entries, self.name = type, key, value, max_entries, ""


def keyless(kind, value, entries):
    name = {QUEUE: "queue", STACK: "stack"}[kind]
    return Map(Spec(name, None, value, entries), _native.Map(kind, 0, value.size, entries, 0, "", CPUS))


def push(map, value):
    data = ctypes.create_string_buffer(value, len(value))
    raw_bpf.bpf(raw_bpf.MAP_UPDATE, pack("<IIQQQ", map.fileno(), 0, 0, raw_bpf.address(data), 0))


# -- drain -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", HASHES)
@pytest.mark.parametrize("many", [0, 1, 20_000])
def test_what_is_drained_is_gone(type, many):
    each = CPUS if "percpu" in type else 1
    with MapSpec(type, key=fb.u32, value=fb.u64, max_entries=max(many, 1) * 2 * CPUS).create() as map:
        put(map, {pack("=I", key): pack("=Q", key * 5) * each for key in range(many)})
        table = map.drain()
        assert Counter(table["key"].to_pylist()) == dict.fromkeys(range(many), each)
        assert table["value"].to_pylist() == [key * 5 for key in table["key"].to_pylist()]
        assert elements(map, 4, 8 * each) == {}
        assert len(map.drain()) == 0
        assert map.drain().schema == map.schema


@pytest.mark.parametrize("kind", [QUEUE, STACK])
@pytest.mark.parametrize("many", [0, 1, 5000])
def test_queues_and_stacks_give_their_values_in_their_order(kind, many):
    with keyless(kind, fb.u64, 5000) as map:
        for value in range(many):
            push(map, pack("=Q", value))
        with pytest.raises(fb.LayoutError, match=r"shows no values but the next, peek\(\)"):
            map.to_arrow()
        expected = list(range(many))
        assert map.drain().to_pydict() == {"value": expected if kind == QUEUE else expected[::-1]}
        assert len(map.drain()) == 0


def test_a_hash_of_maps_is_read_and_drained():
    inner = MapSpec("array", value=fb.u64, max_entries=1)
    with inner.create() as first, inner.create() as second:
        native = _native.Map(HASH_OF_MAPS, 4, 4, 100, 0, "", CPUS, inner=first._native)
        with Map(Spec("hash_of_maps", fb.u32, fb.u32, 100), native) as map:
            for key, one in ((7, first), (9, second)):
                map._native.update(pack("=I", key), pack("=I", one.fileno()), 0)
            expected = {7: first.id, 9: second.id}
            assert rows(map.to_arrow()) == rows(map.drain()) == expected
            assert not elements(map, 4, 4)


@pytest.mark.parametrize("type", ["array", "percpu_array", "stack_trace", "prog_array"])
def test_what_cannot_be_drained_says_so(type):
    value = {"prog_array": None, "stack_trace": fb.u64[4]}.get(type, fb.u64)
    with MapSpec(type, value=value, max_entries=4).create() as map:
        before = map.to_arrow()
        with pytest.raises(fb.KernelError, match=f"cannot drain .*{type}>; it takes elements out of hashes, queues"):
            map.drain()
        assert map.to_arrow() == before


@pytest.mark.parametrize("after", [0.0001, 0.002, 0.01, 0.03, 0.1])
def test_what_an_interrupted_drain_took_is_not_lost(after):
    many = 150_000
    with MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=many).create() as map:
        put(map, {pack("=I", key): pack("=Q", key) for key in range(many)})
        reading = Reading(map, drain=True)
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            # Wherever it is then, what comes out is the same.
            signal.setitimer(signal.ITIMER_REAL, after)
            with pytest.raises(KeyboardInterrupt):
                while True:
                    reading.table()
        finally:
            signal.signal(signal.SIGALRM, before)
        assert sorted(reading.table()["key"].to_pylist()) == list(range(many))
        assert len(map.drain()) == 0


def test_what_a_drain_could_not_give_comes_with_the_next(monkeypatch):
    with MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=10).create() as map:
        map[1] = 2

        def interrupted(_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(pa, "record_batch", interrupted)
            map.drain()
        assert not elements(map, 4, 8)
        map[3] = 4
        assert rows(map.drain()) == {1: 2}
        assert rows(map.drain()) == {3: 4}


def test_a_process_that_is_killed_takes_only_what_it_took():
    many, batch = 150_000, 65_536
    with MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=many).create() as map:
        model = {pack("=I", key): pack("=Q", key * 3) for key in range(many)}
        put(map, model)
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            # Stays in the middle until it is killed, where a batch was read and the next one was not begun.
            reader = Reading(map, drain=True)._native
            os.write(tell, pack("=I", len(next(reader))))
            signal.pause()
        try:
            assert os.read(told, 4) == pack("=I", batch)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(told)
            os.close(tell)
        left = elements(map, 4, 8)
        assert left.items() <= model.items()
        # The rest of the system call that filled the batch was under way.
        assert batch <= many - len(left) <= batch + 4096
        assert rows(map.drain()) == {
            int.from_bytes(k, sys.byteorder): int.from_bytes(v, sys.byteorder) for k, v in left.items()
        }


def test_drain_and_writers_lose_nothing():
    # Each number is added once; who drains meanwhile sees each once, in one of the tables or at the end.
    many = 60_000
    with MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=many).create() as map:
        child = os.fork()
        if child == 0:
            put(map, {pack("=I", key): pack("=Q", key) for key in range(many)})
            os._exit(0)
        taken, ended = [], 0
        while not ended:
            ended, status = os.waitpid(child, os.WNOHANG)
            taken += map.drain()["key"].to_pylist()
        assert status == 0
        assert sorted(taken) == list(range(many))


# -- writers -----------------------------------------------------------------------------------------------------------

STABLE = 20_000


# All four words of a value are the same, whoever wrote it.
def same(number):
    return pack("=Q", number) * 4


@pytest.mark.parametrize("type", ["hash", "percpu_hash"])
def test_a_hash_that_changes_while_it_is_read(type):
    each = CPUS if type == "percpu_hash" else 1
    with MapSpec(type, key=fb.u32, value=fb.u64[4], max_entries=4 * STABLE).create() as map:
        put(map, {pack("=I", key): same(key) * each for key in range(STABLE)})

        def churn():
            for key in random.sample(range(STABLE, 3 * STABLE), 1000):
                map._native.update(pack("=I", key), same(key) * each, 0)
            for key in random.sample(range(STABLE, 3 * STABLE), 1000):
                map._native.delete(pack("=I", key))
            for key in random.sample(range(STABLE), 100):
                map._native.update(pack("=I", key), same(random.randrange(2**64)) * each, 0)

        with process(churn):
            for _ in range(10):
                table = map.to_arrow()
                seen = Counter(table["key"].to_pylist())
                assert set(seen.values()) == {each}
                assert seen.keys() >= set(range(STABLE))
                if type == "hash":
                    assert all(len(set(words)) == 1 for words in table["value"].to_pylist())


def test_an_lpm_trie_that_changes_while_it_is_read():
    # The kernel goes from key to key here, and begins again when the key where it was is deleted.
    class Network(fb.Struct):
        prefixlen: fb.u32
        address: fb.ipv4

    many = 3000
    native = _native.Map(LPM_TRIE, 8, 8, 4 * many, 1, "", CPUS)
    with Map(Spec("lpm_trie", Network, fb.u64, 4 * many), native) as map:
        network = lambda number: pack("=I", 24) + pack(">I", number << 8)  # noqa: E731
        put(map, {network(number * 2): pack("=Q", number * 2) for number in range(many)})

        def churn():
            number = random.randrange(many) * 2 + 1
            map._native.update(network(number), pack("=Q", number), 0)
            map._native.delete(network(number))

        assert map.to_arrow()["value"].to_pylist() == list(range(0, many * 2, 2))
        with process(churn):
            for _ in range(10):
                values = Counter(map.to_arrow()["value"].to_pylist())
                assert set(values.values()) == {1}
                assert values.keys() >= set(range(0, many * 2, 2))


def test_words_of_a_mapped_array_are_whole():
    with MapSpec("array", value=fb.u64[2], max_entries=5000, flags=MMAPABLE).create() as map:
        patterns = [0, 0x1111111111111111, 0xEEEEEEEEEEEEEEEE]

        def write():
            value = pack("=QQ", *random.choices(patterns, k=2))
            for key in range(5000):
                map._native.update(pack("=I", key), value, 0)

        with process(write):
            for _ in range(30):
                values = map.to_arrow()["value"].combine_chunks().flatten()
                assert set(values.unique().to_pylist()) <= set(patterns)


@pytest.mark.parametrize("type", ["hash", "array"])
def test_values_with_a_lock_are_read_under_it(type):
    class Locked(fb.Struct):
        lock: fb.spin_lock
        words: fb.u64[60]

    with MapSpec(type, key=fb.u32, value=Locked, max_entries=64).create() as map:
        for key in range(64):
            map[key] = Locked(lock=0, words=(0,) * 60)

        def write():
            value = Locked(lock=0, words=(random.randrange(2**64),) * 60).pack()
            for key in range(64):
                map._native.update(pack("=I", key), value, LOCK)

        with process(write):
            for _ in range(200):
                table = map.to_arrow()
                assert table.schema.names == ["key", "words"]
                assert all(len(set(words)) == 1 for words in table["words"].to_pylist())


# -- closed ------------------------------------------------------------------------------------------------------------


def test_a_map_that_is_closed_while_another_thread_reads_it():
    for wait in (0, 10, 1000):
        map = MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=100_000).create()
        put(map, {pack("=I", key): pack("=Q", key) for key in range(100_000)})
        started = threading.Event()
        outcomes = []

        def read(map=map, started=started, outcomes=outcomes):
            started.set()
            while True:
                try:
                    outcomes.append(map.to_arrow()["key"].to_pylist())
                except fb.StreamError as error:
                    outcomes.append(str(error))
                    return

        reader = threading.Thread(target=read)
        reader.start()
        started.wait()
        for _ in range(wait):
            os.getppid()
        map.close()
        reader.join()
        assert outcomes[-1] == "this map is closed"
        assert all(sorted(keys) == list(range(100_000)) for keys in outcomes[:-1])


def test_batches_of_a_map_that_was_closed():
    with MapSpec("array", value=fb.u64, max_entries=100, flags=MMAPABLE).create() as map:
        batches = map.batches(rows=10)
        stream = pa.RecordBatchReader.from_stream(map)
        assert len(next(batches)) == 10
    with pytest.raises(fb.StreamError, match="this map is closed"):
        next(batches)
    with pytest.raises(Exception, match="this map is closed"):
        stream.read_next_batch()
    for read in (map.to_arrow, map.batches, map.drain, lambda: map.schema):
        with pytest.raises(fb.StreamError, match="this map is closed"):
            read()


def test_a_dictionary_whose_keys_come_and_go():
    # Those that stay are there, once each time; those that go make nothing fail.
    stay = {key: 3 * key for key in range(900)}
    with MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=2000).create() as map:
        map.update(stay)

        def churn():
            for key in range(1000, 1100):
                map[key] = 1
            for key in range(1000, 1100):
                del map[key]

        with process(churn):
            for _ in range(60):
                keys = list(map)
                assert len(set(keys)) == len(keys)
                assert stay.keys() <= set(keys)
                items = dict(map.items())
                assert stay.items() <= items.items()
                assert len(list(map.values())) >= len(stay)
                assert 900 <= len(map) <= 1000
        map.clear()
        assert (len(map), list(map.items())) == (0, [])
        with pytest.raises(KeyError):
            map.popitem()


@pytest.mark.parametrize("value", [fb.u64, fb.u32])
def test_a_child_does_not_go_on_with_the_parents_read(value):
    with MapSpec("array", value=value, max_entries=20_000, flags=MMAPABLE).create() as map:
        batches = map.batches(rows=64)
        next(batches)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                list(batches)
            except fb.StreamError:
                code = 0 if map.to_arrow().num_rows == 20_000 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sum(batch.num_rows for batch in batches) == 20_000 - 64
