//! Perf buffers of the running kernel, written by a program that is run once for each event.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use aya_obj::generated::bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use super::scan::{Cursor, Stop, scan};
use super::window::Window;
use super::{Buffer, check, fill, open, snapshot};
use crate::error::Error;
use crate::record::block::Block;
use crate::sys::bpf::{self, MapDefinition, MapType, program};
use crate::sys::cpu;
use crate::sys::poll::{Woken, wait};

const PAGE: usize = 4096;
const NO_ROOM: i32 = -libc::ENOSPC;

fn create(kind: MapType, entries: u32, value_size: u32) -> OwnedFd {
    let kind = kind as u32;
    let definition = MapDefinition {
        kind,
        key_size: 4,
        value_size,
        max_entries: entries,
        name: "events",
        ..MapDefinition::default()
    };
    bpf::map_create(&definition).expect("a map; these tests run as root")
}

fn events() -> OwnedFd {
    create(MapType::BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4096, 4)
}

// Writes an event on the CPU that it runs on: its context's first word again and again, in as many bytes (at most 255)
// as the second says. Answers what the helper does.
struct Program(OwnedFd);

fn code(op: u8, to: u8, from: u8, offset: i16, value: i32) -> [u8; 8] {
    let mut instruction = [op, from << 4 | to, 0, 0, 0, 0, 0, 0];
    instruction[2..4].copy_from_slice(&offset.to_ne_bytes());
    instruction[4..].copy_from_slice(&value.to_ne_bytes());
    instruction
}

impl Program {
    fn load(map: BorrowedFd<'_>) -> Self {
        let mut instructions = vec![
            code(0xbf, 6, 1, 0, 0),   // r6 = r1
            code(0x79, 7, 6, 0, 0),   // r7 = *(u64 *)(r6 + 0)
            code(0x79, 5, 6, 8, 0),   // r5 = *(u64 *)(r6 + 8)
            code(0x57, 5, 0, 0, 255), // r5 &= 255
        ];
        instructions.extend((1..=32).map(|word| code(0x7b, 10, 7, -8 * word, 0))); // *(u64 *)(r10 - 8 * word) = r7
        instructions.extend([
            code(0xbf, 4, 10, 0, 0),   // r4 = r10
            code(0x07, 4, 0, 0, -256), // r4 -= 256
        ]);
        Self::output(instructions, map)
    }

    // Writes `size` zeroes, whatever its context.
    fn of_size(map: BorrowedFd<'_>, size: i32) -> Self {
        let zeroes = create(MapType::BPF_MAP_TYPE_ARRAY, 1, size.cast_unsigned());
        let instructions = vec![
            code(0xbf, 6, 1, 0, 0),                  // r6 = r1
            code(0x7a, 10, 0, -8, 0),                // *(u64 *)(r10 - 8) = 0
            code(0x18, 1, 1, 0, zeroes.as_raw_fd()), // r1 = zeroes
            code(0, 0, 0, 0, 0),
            code(0xbf, 2, 10, 0, 0), // r2 = r10
            code(0x07, 2, 0, 0, -8), // r2 -= 8
            code(0x85, 0, 0, 0, 1),  // bpf_map_lookup_elem
            code(0x55, 0, 0, 1, 0),  // if r0 != 0 goto pc+1
            code(0x95, 0, 0, 0, 0),  // exit
            code(0xbf, 4, 0, 0, 0),  // r4 = r0
            code(0xb7, 5, 0, 0, size),
        ];
        Self::output(instructions, map)
    }

    // With the context in r6, and the bytes in r4 and r5.
    fn output(mut instructions: Vec<[u8; 8]>, map: BorrowedFd<'_>) -> Self {
        instructions.extend([
            code(0xbf, 1, 6, 0, 0),               // r1 = r6
            code(0x18, 2, 1, 0, map.as_raw_fd()), // r2 = map
            code(0, 0, 0, 0, 0),
            code(0xb4, 3, 0, 0, -1), // w3 = BPF_F_CURRENT_CPU
            code(0x85, 0, 0, 0, 25), // bpf_perf_event_output
            code(0x95, 0, 0, 0, 0),  // exit
        ]);
        let definition = program::Definition {
            kind: BPF_PROG_TYPE_RAW_TRACEPOINT as u32,
            flags: 0,
            instructions: instructions.as_flattened(),
            license: c"GPL",
            name: "event",
            fds: &[],
            functions: None,
            lines: &[],
            target: program::Target::default(),
        };
        Self(program::load(&definition, false).expect("a program").0)
    }

    fn event(&self, value: u64, size: usize) -> i32 {
        let context = [value, size as u64].map(u64::to_ne_bytes).concat();
        let run = program::test_run(self.0.as_fd(), None, Some(&context), 0).expect("a run");
        run.retval.cast_signed()
    }
}

// The thread of a test ends with it.
fn run_on(cpu: u32) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu as usize);
    sched_setaffinity(None, &cpus).expect("a CPU that is online");
}

#[derive(Debug, PartialEq)]
struct Event {
    time: u64,
    cpu: u32,
    payload: Vec<u8>,
}

fn read(window: &Window<'_>) -> (Vec<Event>, Cursor) {
    let (mut cursor, mut block, mut events) = (Cursor::default(), Block::new(), Vec::new());
    loop {
        let stop = scan(window, &mut cursor, &mut block, 64);
        events.extend(block.records().map(|record| {
            let whole = record.whole();
            Event {
                time: u64::from_ne_bytes(whole[8..16].try_into().expect("8 bytes")),
                cpu: u32::from_ne_bytes(whole[16..20].try_into().expect("4 bytes")),
                payload: record.payload().to_vec(),
            }
        }));
        match stop {
            Stop::Full => {}
            Stop::End => return (events, cursor),
            corrupt @ Stop::Corrupt { .. } => panic!("{corrupt:?}"),
        }
    }
}

fn drain(buffer: &Buffer) -> (Vec<Event>, u64) {
    let window = buffer.window();
    let (events, cursor) = read(&window);
    assert_eq!(cursor.at, window.len());
    buffer.advance(cursor.at);
    buffer.acknowledge(0);
    (events, cursor.lost)
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec * 1_000_000_000 + now.tv_nsec).cast_unsigned()
}

fn values(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| u64::from_ne_bytes(event.payload[..8].try_into().expect("8 bytes"))).collect()
}

#[test]
fn events_of_every_size_arrive_with_time_and_cpu() {
    let map = events();
    let buffers = open(map.as_fd(), PAGE, false).expect("buffers");
    assert_eq!(buffers.iter().map(Buffer::cpu).collect::<Vec<_>>(), cpu::online().expect("CPUs"));
    let program = Program::load(map.as_fd());
    for buffer in &buffers {
        run_on(buffer.cpu());
        let mut last = now();
        let mut written = Vec::new();
        // Several laps of every place where a record can wrap.
        for size in (0..=255_usize).cycle().take(2000) {
            let value = 0x0102_0304_0506_0708 + size as u64;
            assert_eq!(program.event(value, size), 0);
            written.push(size);
            if size % 7 > 0 {
                continue;
            }
            let (events, lost) = drain(buffer);
            assert_eq!((events.len(), lost), (written.len(), 0));
            for (event, size) in events.iter().zip(written.drain(..)) {
                assert_eq!(event.payload.len(), (size + 4).next_multiple_of(8) - 4);
                let word = (0x0102_0304_0506_0708 + size as u64).to_ne_bytes();
                assert!(event.payload[..size].iter().zip(word.iter().cycle()).all(|(byte, of)| byte == of));
                assert_eq!(event.cpu, buffer.cpu());
                assert!(last <= event.time && event.time <= now());
                last = event.time;
            }
        }
        drain(buffer);
        assert!(buffer.is_empty() && buffer.position.get() > 20 * PAGE as u64);
        assert_eq!(buffer.lost().expect("a count").unwrap_or(0), 0);
    }
}

#[test]
fn what_finds_no_room_is_counted() {
    let map = events();
    let buffers = open(map.as_fd(), PAGE, false).expect("buffers");
    let buffer = buffers.last().expect("a CPU");
    run_on(buffer.cpu());
    let program = Program::load(map.as_fd());
    let answers: Vec<i32> = (0..200).map(|value| program.event(value, 40)).collect();
    let stored = answers.iter().take_while(|&&answer| answer == 0).count();
    assert!(stored >= PAGE / 72 - 1 && answers[stored..].iter().all(|&answer| answer == NO_ROOM));
    let refused = 200 - stored as u64;
    // Kernels before 6.0 do not count.
    assert!(buffer.lost().expect("a count").is_none_or(|lost| lost == refused));
    let (events, told) = drain(buffer);
    assert_eq!((values(&events), told), ((0..stored as u64).collect(), 0));
    // The kernel tells with the next event that finds room.
    assert_eq!(program.event(200, 40), 0);
    let (events, told) = drain(buffer);
    assert_eq!((values(&events), told), (vec![200], refused));
}

// The kernel counts a record's size in 16 bits, and writes more than that all the same.
#[test]
fn an_event_that_is_too_large_is_told() {
    let map = events();
    let buffers = open(map.as_fd(), 64 * PAGE, false).expect("buffers");
    run_on(buffers[0].cpu());
    assert_eq!(Program::of_size(map.as_fd(), 65_500).event(0, 0), 0);
    assert_eq!(drain(&buffers[0]).0[0].payload, vec![0; 65_500]);
    if Program::of_size(map.as_fd(), 66_000).event(0, 0) == 0 {
        let stop = scan(&buffers[0].window(), &mut Cursor::default(), &mut Block::new(), 64);
        assert!(matches!(stop, Stop::Corrupt { kind: 9, .. }), "{stop:?}");
    }
}

#[test]
fn nothing_is_stored_while_output_is_paused() {
    let map = events();
    let buffers = open(map.as_fd(), PAGE, false).expect("buffers");
    run_on(buffers[0].cpu());
    let program = Program::load(map.as_fd());
    buffers[0].pause(true).expect("paused");
    assert_eq!(program.event(1, 8), NO_ROOM);
    assert!(buffers[0].is_empty());
    assert!(buffers[0].lost().expect("a count").is_none_or(|lost| lost == 1));
    buffers[0].pause(false).expect("resumed");
    assert_eq!(program.event(2, 8), 0);
    assert_eq!(values(&drain(&buffers[0]).0), [2]);
}

#[test]
fn half_a_buffer_wakes_its_reader() {
    for overwrite in [false, true] {
        let map = events();
        let buffers = open(map.as_fd(), PAGE, overwrite).expect("buffers");
        run_on(buffers[0].cpu());
        let program = Program::load(map.as_fd());
        let woken = |timeout| wait(&[buffers[0].as_fd()], Some(timeout)).expect("an answer") == Woken::Ready;
        for value in 0..PAGE as u64 / 2 / 72 {
            assert_eq!(program.event(value, 40), 0);
            assert!(!woken(Duration::ZERO));
        }
        assert_eq!(program.event(0, 40), 0);
        assert!(woken(Duration::from_secs(10)));
        // It is told once.
        assert!(!woken(Duration::ZERO));
    }
}

#[test]
fn a_snapshot_is_what_came_since_the_last_one() {
    let map = events();
    let buffers = open(map.as_fd(), PAGE, true).expect("buffers");
    let program = Program::load(map.as_fd());
    let last = buffers.len() - 1;
    run_on(buffers[last].cpu());
    let taken = || {
        let taken = snapshot::take(&buffers.iter().collect::<Vec<_>>()).expect("a snapshot");
        assert!(taken[..last].iter().all(Vec::is_empty), "nobody wrote on other CPUs");
        values(&read(&Window::of_words(&taken[last])).0)
    };
    let write = |values: std::ops::Range<u64>| values.for_each(|value| assert_eq!(program.event(value, 40), 0));
    assert_eq!(taken(), [0; 0]);
    write(0..10);
    assert_eq!(taken(), (0..10).collect::<Vec<_>>());
    assert_eq!(taken(), [0; 0]);
    // The oldest are overwritten.
    write(10..1000);
    let kept = PAGE as u64 / 72;
    assert_eq!(taken(), (1000 - kept..1000).collect::<Vec<_>>());
    write(1000..1003);
    assert_eq!(taken(), [1000, 1001, 1002]);
}

#[test]
fn a_cpu_without_a_buffer_gets_nothing() {
    let map = events();
    let program = Program::load(map.as_fd());
    let cpu = cpu::online().expect("CPUs")[0];
    run_on(cpu);
    assert_eq!(program.event(1, 8), -libc::ENOENT);
    let buffer = Buffer::open(cpu, PAGE, false).expect("a buffer");
    fill(map.as_fd(), &[&buffer]).expect("known to the map");
    assert_eq!(program.event(2, 8), 0);
    assert_eq!(values(&drain(&buffer).0), [2]);
}

#[test]
fn another_map_is_refused() {
    let array = create(MapType::BPF_MAP_TYPE_ARRAY, 1, 4);
    let error = open(array.as_fd(), PAGE, false).map(drop).expect_err("refused");
    assert!(matches!(&error, Error::Layout(text) if text.contains("\"events\" is not a perf_event_array")), "{error}");
    assert_eq!(check(create(MapType::BPF_MAP_TYPE_PERF_EVENT_ARRAY, 3, 4).as_fd()).expect("one"), 3);
}

#[test]
fn a_cpu_that_does_not_exist_has_no_buffer() {
    let error = Buffer::open(1 << 20, PAGE, false).map(drop).expect_err("refused");
    assert!(matches!(&error, Error::Kernel { what, .. } if what.contains("CPU 1048576")), "{error}");
}
