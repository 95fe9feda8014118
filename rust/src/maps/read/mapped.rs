//! Arrays whose values are mapped into memory (`BPF_F_MMAPABLE`, Linux 5.5): read without a system call.

use std::os::fd::BorrowedFd;

use super::chunk::Chunk;
use super::table::Table;
use crate::error::{Error, Result};
use crate::sys::memory::Mapping;

pub(super) struct Mapped {
    values: Mapping,
    next: usize,
    entries: usize,
    stride: usize,
}

impl Mapped {
    // None where the kernel does not map it. Each value stands at a multiple of 8 (kernel/bpf/arraymap.c, elem_size).
    pub(super) fn new(map: BorrowedFd<'_>, entries: usize, value_size: usize) -> Option<Self> {
        let stride = value_size.next_multiple_of(8);
        let len = (entries * stride).next_multiple_of(rustix::param::page_size());
        let values = Mapping::of_map(map, 0, len, false).ok()?;
        Some(Self { values, next: 0, entries, stride })
    }

    // False at the end.
    pub(super) fn fill(&mut self, chunk: &mut Chunk) -> Result<bool> {
        self.check()?;
        let (size, stride) = (chunk.value_size, self.stride);
        chunk.len = chunk.room.min(self.entries - self.next);
        if size == stride {
            self.values.copy_words(self.next * stride, &mut chunk.values[..chunk.len * size]);
        } else {
            let values = chunk.values.chunks_exact_mut(size).take(chunk.len);
            for (at, value) in (self.next..).zip(values) {
                self.values.copy_words(at * stride, value);
            }
        }
        number(self.next, &mut chunk.keys[..4 * chunk.len]);
        self.next += chunk.len;
        Ok(self.next < self.entries)
    }

    fn check(&self) -> Result<()> {
        if self.values.is_ours() {
            return Ok(());
        }
        Err(Error::Stream("the process that began to read this map has forked; read it again in the child".into()))
    }

    // Whether values follow each other without a gap.
    pub(super) fn is_dense(&self, value_size: usize) -> bool {
        value_size == self.stride
    }

    // Copies dense values, and their numbers if there is a column for them, to where they are to stand in a table of plain
    // columns, until the batch is full or they end.
    pub(super) fn fill_table(&mut self, table: &mut Table, has_key: bool) -> Result<()> {
        self.check()?;
        let count = table.room().min(self.entries - self.next);
        table.fill(count, |part, to| {
            if has_key && part == 0 {
                number(self.next, to);
            } else {
                self.values.copy_words(self.next * self.stride, to);
            }
        })?;
        self.next += count;
        Ok(())
    }
}

// The keys of an array from one on.
fn number(from: usize, keys: &mut [u8]) {
    for (number, key) in (from..).zip(keys.as_chunks_mut().0) {
        *key = (number as u32).to_ne_bytes();
    }
}
