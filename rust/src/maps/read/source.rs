//! Which way a map is read.

use std::os::fd::BorrowedFd;

use aya_obj::generated::bpf_map_info;

use super::batch::{Batches, Filled};
use super::chunk::{Chunk, Seen};
use super::iterator::Iterator;
use super::mapped::Mapped;
use super::walk::{Pops, Walk};
use crate::error::{Error, Result};
use crate::sys::bpf::MapType;
use crate::sys::bpf::read::{LOCK, map_read_batch};

// Their keys are numbers from 0 on, which nobody deletes.
const NUMBERED: [MapType; 11] = [
    MapType::BPF_MAP_TYPE_ARRAY,
    MapType::BPF_MAP_TYPE_PERCPU_ARRAY,
    MapType::BPF_MAP_TYPE_PROG_ARRAY,
    MapType::BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    MapType::BPF_MAP_TYPE_CGROUP_ARRAY,
    MapType::BPF_MAP_TYPE_ARRAY_OF_MAPS,
    MapType::BPF_MAP_TYPE_DEVMAP,
    MapType::BPF_MAP_TYPE_CPUMAP,
    MapType::BPF_MAP_TYPE_XSKMAP,
    MapType::BPF_MAP_TYPE_SOCKMAP,
    MapType::BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
];
// Their batches go on from bucket to bucket, those of other maps from key to key.
const HASHES: [MapType; 5] = [
    MapType::BPF_MAP_TYPE_HASH,
    MapType::BPF_MAP_TYPE_LRU_HASH,
    MapType::BPF_MAP_TYPE_PERCPU_HASH,
    MapType::BPF_MAP_TYPE_LRU_PERCPU_HASH,
    MapType::BPF_MAP_TYPE_HASH_OF_MAPS,
];
// Programs can walk them (kernel/bpf/map_iter.c, bpf_iter_attach_map).
const ITERATED: [MapType; 6] = [
    MapType::BPF_MAP_TYPE_ARRAY,
    MapType::BPF_MAP_TYPE_PERCPU_ARRAY,
    MapType::BPF_MAP_TYPE_HASH,
    MapType::BPF_MAP_TYPE_LRU_HASH,
    MapType::BPF_MAP_TYPE_PERCPU_HASH,
    MapType::BPF_MAP_TYPE_LRU_PERCPU_HASH,
];
const QUEUES: [MapType; 2] = [MapType::BPF_MAP_TYPE_QUEUE, MapType::BPF_MAP_TYPE_STACK];

pub(super) struct Source {
    way: Way,
    kind: u32,
    value_size: usize,
    entries: usize,
    flags: u64,
    drain: bool,
    // The keys that were read, where the way goes from key to key and keys may vanish.
    seen: Option<Seen>,
}

enum Way {
    Unknown,
    Mapped(Mapped),
    Batches(Batches),
    Iterator(Iterator),
    Walk(Walk),
    Pops(Pops),
    End,
}

impl Source {
    pub(super) fn new(info: &bpf_map_info, drain: bool, locked: bool) -> Self {
        Self {
            way: Way::Unknown,
            kind: info.type_,
            value_size: info.value_size as usize,
            entries: info.max_entries as usize,
            flags: if locked { LOCK } else { 0 },
            drain,
            seen: None,
        }
    }

    fn is_of(&self, kinds: &[MapType]) -> bool {
        kinds.iter().any(|&kind| kind as u32 == self.kind)
    }

    // Elements into the chunk, which may be none; false at the end.
    pub(super) fn fill(&mut self, map: BorrowedFd<'_>, chunk: &mut Chunk) -> Result<bool> {
        if matches!(self.way, Way::Unknown) {
            self.choose(map, chunk);
        }
        let more = match &mut self.way {
            Way::Mapped(mapped) => mapped.fill(chunk)?,
            Way::Batches(batches) => {
                match batches.fill(self.entries, chunk, |batch| map_read_batch(map, batch, self.drain, self.flags))? {
                    Filled::More => true,
                    Filled::End => false,
                    Filled::Refused(error) if self.drain => {
                        return Err(Error::kernel(
                            "the kernel does not take elements out of this map while it reads it",
                        )(error));
                    }
                    Filled::Refused(_) => {
                        let at = batches.key(chunk.key_size);
                        self.go_on(map, chunk, at);
                        return self.fill(map, chunk);
                    }
                }
            }
            Way::Iterator(iterator) => iterator.fill(chunk)?,
            Way::Walk(walk) => walk.fill(map, chunk)?,
            Way::Pops(pops) => pops.fill(map, chunk)?,
            Way::Unknown | Way::End => return Ok(false),
        };
        if !more {
            self.way = Way::End;
        }
        if let Some(seen) = &mut self.seen {
            seen.filter(chunk)?;
        }
        Ok(true)
    }

    // The values that are mapped into memory, if they are.
    pub(super) fn mapped(&mut self, map: BorrowedFd<'_>, chunk: &Chunk) -> Option<&mut Mapped> {
        if matches!(self.way, Way::Unknown) {
            self.choose(map, chunk);
        }
        if let Way::Mapped(mapped) = &mut self.way { Some(mapped) } else { None }
    }

    fn choose(&mut self, map: BorrowedFd<'_>, chunk: &Chunk) {
        let mapped = || Mapped::new(map, self.entries, self.value_size);
        self.way = if self.drain && self.is_of(&QUEUES) {
            Way::Pops(Pops::new(self.entries))
        } else if let Some(mapped) = (self.is_of(&[MapType::BPF_MAP_TYPE_ARRAY]) && !self.drain).then(mapped).flatten()
        {
            Way::Mapped(mapped)
        } else {
            Way::Batches(Batches::new(chunk.key_size))
        };
        if !self.is_of(&HASHES) && !self.is_of(&NUMBERED) && !matches!(self.way, Way::Pops(_)) {
            self.seen = Some(Seen::new());
        }
    }

    // Without batch commands, from behind the key `at`. A program reads from the start, and takes no lock.
    fn go_on(&mut self, map: BorrowedFd<'_>, chunk: &Chunk, at: Option<Vec<u8>>) {
        let is_whole = at.is_none() && self.flags == 0 && self.is_of(&ITERATED);
        let iterator = is_whole.then(|| Iterator::new(map, chunk.key_size, chunk.value_size).ok()).flatten();
        self.way = iterator.map_or_else(|| Way::Walk(Walk::new(at, self.flags)), Way::Iterator);
        if !self.is_of(&NUMBERED) && self.seen.is_none() {
            self.seen = Some(Seen::new());
        }
    }
}
