//! Many elements a system call, by the batch commands (Linux 5.6).

use std::io;
use std::os::fd::BorrowedFd;

use super::chunk::Chunk;
use crate::error::{Error, Result};
use crate::sys::bpf::read::{self, map_read_batch};

const ENOTSUPP: i32 = 524; // include/linux/errno.h: the kernel's own, which no C library knows
// Tries of a bucket that somebody else holds.
const MOST_TRIES: usize = 1000;

pub(super) struct Batches {
    delete: bool,
    flags: u64,
    // Where the next batch begins; None in front of the first. Of a hash it is a bucket's number, of other maps a key.
    at: Option<Vec<u8>>,
    next: Vec<u8>,
}

pub(super) enum Filled {
    More,
    End,
    // The kernel has no batch command for this map, or did not get beyond a gap (EINTR, before Linux 6.14).
    Refused(io::Error),
}

impl Batches {
    pub(super) fn new(key_size: usize, delete: bool, flags: u64) -> Self {
        Self { delete, flags, at: None, next: vec![0; key_size.max(4)] }
    }

    pub(super) fn fill(&mut self, map: BorrowedFd<'_>, entries: usize, chunk: &mut Chunk) -> Result<Filled> {
        for _ in 0..MOST_TRIES {
            let batch = read::Batch {
                room: chunk.room,
                keys: &mut chunk.keys,
                values: &mut chunk.values,
                from: self.at.as_deref(),
                next: &mut self.next,
            };
            let (count, answer) = map_read_batch(map, batch, self.delete, self.flags);
            let Err(error) = answer else {
                self.go_on();
                chunk.len = count;
                return Ok(Filled::More);
            };
            match error.raw_os_error().unwrap_or(0) {
                libc::ENOENT => {
                    chunk.len = count;
                    return Ok(Filled::End);
                }
                // The first bucket of the batch has more elements than there is room for; nothing was read or deleted.
                libc::ENOSPC if chunk.room <= 2 * entries.max(1 << 16) => chunk.grow(chunk.room * 2),
                // The bucket is held (kernel/bpf/hashtab.c, htab_lock_bucket); those before it were read.
                libc::EBUSY | libc::EDEADLK | libc::ETIMEDOUT => {
                    self.go_on();
                    if count > 0 {
                        chunk.len = count;
                        return Ok(Filled::More);
                    }
                    std::thread::yield_now();
                }
                ENOTSUPP | libc::EINVAL if self.at.is_none() => return Ok(Filled::Refused(error)),
                libc::EINTR => return Ok(Filled::Refused(error)),
                _ => return Err(self.failed(error)),
            }
        }
        Err(self.failed(io::Error::from_raw_os_error(libc::EBUSY)))
    }

    // The last key that was read, of maps that are no hashes.
    pub(super) fn key(&self, size: usize) -> Option<Vec<u8>> {
        self.at.as_ref().map(|at| at[..size].to_vec())
    }

    fn go_on(&mut self) {
        let was = self.at.take().unwrap_or_else(|| vec![0; self.next.len()]);
        self.at = Some(std::mem::replace(&mut self.next, was));
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::kernel(if self.delete { "cannot drain the map" } else { "cannot read the map" })(error)
    }
}
