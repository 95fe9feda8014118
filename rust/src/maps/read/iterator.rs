//! A program that the kernel runs for each element (`bpf_iter/bpf_map_elem`, Linux 5.9): where there are no batch commands
//! many elements come with a system call all the same.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_prog_type::BPF_PROG_TYPE_TRACING;

use super::chunk::Chunk;
use crate::btf::Btf;
use crate::error::{Error, Result};
use crate::sys::bpf::program::{self, Definition, Target};
use crate::sys::bpf::{AttachType, iterator};

const FUNC: u32 = 12; // BTF_KIND_FUNC
// The function whose arguments the program gets (kernel/bpf/map_iter.c).
const TARGET: &str = "bpf_iter_bpf_map_elem";
// Offsets in its struct bpf_iter__bpf_map_elem, and of the seq_file in struct bpf_iter_meta.
const META: i16 = 0;
const KEY: i16 = 16;
const VALUE: i16 = 24;
const SEQ_WRITE: i32 = 127; // BPF_FUNC_seq_write

// The reader's buffer in the kernel, which has to hold an element (kernel/bpf/bpf_iter.c, bpf_seq_read: 8 pages).
const LARGEST: usize = 8 * 4096 - 1;

pub(super) struct Iterator {
    reader: OwnedFd,
    // Elements as the program writes them.
    bytes: Vec<u8>,
}

impl Iterator {
    // `value_size`: of all that a look-up gives. An error where the kernel has no such programs, or not for this map.
    pub(super) fn new(map: BorrowedFd<'_>, key_size: usize, value_size: usize) -> io::Result<Self> {
        let unknown = || io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        if key_size + value_size > LARGEST {
            return Err(unknown());
        }
        let btf_id = Btf::of_kernel().and_then(|btf| btf.id(TARGET, FUNC)).ok_or_else(unknown)?;
        let size = |size: usize| i32::try_from(size).map_err(|_| unknown());
        let instructions = writer(size(key_size)?, size(value_size)?);
        let definition = Definition {
            kind: BPF_PROG_TYPE_TRACING as u32,
            flags: 0,
            instructions: instructions.as_flattened(),
            // seq_write is for programs under the GPL.
            license: c"Dual MIT/GPL",
            name: "elements",
            fds: &[],
            functions: None,
            lines: &[],
            target: Target { attach_type: AttachType::BPF_TRACE_ITER as u32, btf_id },
        };
        let (program, _) = program::load(&definition, false).map_err(|refused| refused.error)?;
        Ok(Self { reader: iterator::over_map(program.as_fd(), map)?, bytes: Vec::new() })
    }

    // False at the end.
    pub(super) fn fill(&mut self, chunk: &mut Chunk) -> Result<bool> {
        let (key_size, size) = (chunk.key_size, chunk.key_size + chunk.value_size);
        let wanted = chunk.room * size;
        self.bytes.clear();
        let mut more = true;
        while more && self.bytes.len() < wanted {
            let start = self.bytes.len();
            self.bytes.resize(wanted, 0);
            let read = rustix::io::read(&self.reader, &mut self.bytes[start..]);
            let count = match read {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {
                    self.bytes.truncate(start);
                    continue;
                }
                Err(error) => return Err(Error::kernel("cannot read the map")(error.into())),
            };
            self.bytes.truncate(start + count);
            more = count > 0;
        }
        chunk.len = self.bytes.len() / size;
        for (at, element) in self.bytes.chunks_exact(size).enumerate() {
            let (key, value) = element.split_at(key_size);
            chunk.keys[at * key_size..][..key_size].copy_from_slice(key);
            chunk.values[at * chunk.value_size..][..chunk.value_size].copy_from_slice(value);
        }
        Ok(more)
    }
}

// Writes the key and then the value, whole or not at all: what does not fit into the reader's buffer is written again with
// the next one (kernel/bpf/bpf_iter.c, bpf_seq_read).
fn writer(key_size: i32, value_size: i32) -> [[u8; 8]; 15] {
    [
        code(0x79, 9, 1, META, 0),       // r9 = *(u64 *)(r1 + meta)
        code(0x79, 7, 1, KEY, 0),        // r7 = *(u64 *)(r1 + key)
        code(0x79, 8, 1, VALUE, 0),      // r8 = *(u64 *)(r1 + value)
        code(0x15, 7, 0, 9, 0),          // if r7 == 0 goto the end: the call behind the last element
        code(0x15, 8, 0, 8, 0),          // if r8 == 0 goto the end
        code(0x79, 1, 9, 0, 0),          // r1 = *(u64 *)(r9 + seq)
        code(0xbf, 2, 7, 0, 0),          // r2 = r7
        code(0xb7, 3, 0, 0, key_size),   // r3 = key_size
        code(0x85, 0, 0, 0, SEQ_WRITE),  // call
        code(0x79, 1, 9, 0, 0),          // r1 = *(u64 *)(r9 + seq)
        code(0xbf, 2, 8, 0, 0),          // r2 = r8
        code(0xb7, 3, 0, 0, value_size), // r3 = value_size
        code(0x85, 0, 0, 0, SEQ_WRITE),  // call
        code(0xb7, 0, 0, 0, 0),          // r0 = 0
        code(0x95, 0, 0, 0, 0),          // exit
    ]
}

fn code(operation: u8, to: u8, from: u8, offset: i16, value: i32) -> [u8; 8] {
    let mut instruction =
        [operation, if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to }, 0, 0, 0, 0, 0, 0];
    instruction[2..4].copy_from_slice(&offset.to_ne_bytes());
    instruction[4..].copy_from_slice(&value.to_ne_bytes());
    instruction
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use arrow_array::RecordBatch;
    use arrow_cast::display::array_value_to_string;
    use aya_obj::generated::bpf_cmd;

    use super::super::{Reader, Request};
    use crate::maps::Map;
    use crate::sys::bpf::{MapDefinition, MapType};
    use crate::sys::{Call, fake};

    const ENOTSUPP: i32 = 524;

    fn possible() -> Vec<u32> {
        let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
        let last = text.trim().rsplit(['-', ',']).next().unwrap();
        (0..=last.parse().unwrap()).collect()
    }

    fn map(kind: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Map {
        let kind = kind as u32;
        let definition = MapDefinition { kind, key_size, value_size, max_entries, ..MapDefinition::default() };
        Map::create(&definition, possible().len()).expect("a map; these tests run as root")
    }

    fn read(map: &Map, key_size: u32, value_size: u32, per_cpu: bool) -> Vec<BTreeMap<String, String>> {
        let field = |name: &str, size: u32| vec![(name.to_owned(), 0, format!("bytes[{size}]"))];
        let names = if per_cpu { &["key", "cpu", "value"][..] } else { &["key", "value"] };
        let request = Request {
            key: field("key", key_size),
            value: field("value", value_size),
            names: names.iter().map(|&name| name.into()).collect(),
            cpus: possible(),
            reduce: None,
            locked: false,
            drain: false,
            rows: Some(1000),
        };
        let mut reader = Reader::new(map, request).unwrap();
        let mut rows = Vec::new();
        while let Some(batch) = reader.next(map).unwrap() {
            rows.extend((0..batch.num_rows()).map(|row| shown(&batch, row)));
        }
        rows.sort();
        rows
    }

    fn shown(batch: &RecordBatch, row: usize) -> BTreeMap<String, String> {
        let schema = batch.schema();
        let values = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
        schema.fields().iter().map(|field| field.name().clone()).zip(values).collect()
    }

    // The running kernel, but for batch commands, which it refuses; counts how often it made an iterator.
    fn without_batches<R>(run: impl FnOnce() -> R) -> (R, usize) {
        thread_local! {
            static MADE: Cell<usize> = const { Cell::new(0) };
        }
        let before = MADE.get();
        let answer = |call: &Call<'_>| {
            let Call::Bpf(command, attr) = call else { panic!("no perf events here") };
            if *command as u32 == bpf_cmd::BPF_MAP_LOOKUP_BATCH as u32 {
                return Err(std::io::Error::from_raw_os_error(ENOTSUPP));
            }
            if *command as u32 == bpf_cmd::BPF_ITER_CREATE as u32 {
                MADE.set(MADE.get() + 1);
            }
            fake::pass(*command, attr)
        };
        let result = fake::with(answer, run);
        (result, MADE.get() - before)
    }

    #[test]
    fn what_a_program_reads_is_what_batches_read() {
        let cases = [
            (MapType::BPF_MAP_TYPE_HASH, false),
            (MapType::BPF_MAP_TYPE_LRU_HASH, false),
            (MapType::BPF_MAP_TYPE_PERCPU_HASH, true),
            (MapType::BPF_MAP_TYPE_ARRAY, false),
            (MapType::BPF_MAP_TYPE_PERCPU_ARRAY, true),
        ];
        for (kind, per_cpu) in cases {
            for (entries, value_size) in [(1, 1), (7, 12), (5000, 20), (300, 1000)] {
                let map = map(kind, 4, value_size, entries);
                let cpus = if per_cpu { possible().len() } else { 1 };
                let size = if per_cpu { value_size.next_multiple_of(8) } else { value_size } as usize * cpus;
                for key in 0..entries {
                    let value: Vec<u8> = (0..size).map(|at| (key as usize + at * 7) as u8).collect();
                    map.update(&key.to_ne_bytes(), &value, 0).unwrap();
                }
                let expected = read(&map, 4, value_size, per_cpu);
                // An LRU lets some go before it is full.
                assert!(expected.len() > entries as usize * cpus / 2, "{kind:?}");
                let (found, made) = without_batches(|| read(&map, 4, value_size, per_cpu));
                assert_eq!(made, 1, "{kind:?}: not read by a program");
                assert!(found == expected, "{kind:?} of {entries} values of {value_size} bytes is read in another way");
            }
        }
    }

    #[test]
    fn elements_that_a_program_cannot_write_are_walked() {
        let (size, entries) = (40_000, 3);
        let map = map(MapType::BPF_MAP_TYPE_HASH, 4, size, entries);
        for key in 0..entries {
            map.update(&key.to_ne_bytes(), &vec![key as u8; size as usize], 0).unwrap();
        }
        let (found, made) = without_batches(|| read(&map, 4, size, false));
        assert!((found.len(), made) == (3, 0) && found == read(&map, 4, size, false));
    }

    #[test]
    fn other_maps_are_walked() {
        let trie = MapDefinition {
            kind: MapType::BPF_MAP_TYPE_LPM_TRIE as u32,
            key_size: 8,
            value_size: 4,
            max_entries: 10,
            flags: 1, // BPF_F_NO_PREALLOC
            ..MapDefinition::default()
        };
        let map = Map::create(&trie, 1).unwrap();
        map.update(&[32, 0, 0, 0, 10, 0, 0, 1], &[1, 2, 3, 4], 0).unwrap();
        let (found, made) = without_batches(|| read(&map, 8, 4, false));
        assert_eq!((found.len(), made), (1, 0));
    }
}
