//! Many elements a system call, by the batch commands (Linux 5.6).

use std::io;

use super::chunk::Chunk;
use crate::error::{Error, Result};
use crate::sys::bpf::read::Batch;

const ENOTSUPP: i32 = 524; // include/linux/errno.h: the kernel's own, which no C library knows
// Tries of a bucket that somebody else holds.
const MOST_TRIES: usize = 1000;

pub(super) struct Batches {
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
    pub(super) fn new(key_size: usize) -> Self {
        Self { at: None, next: vec![0; key_size.max(4)] }
    }

    // `read` asks the kernel for a batch.
    pub(super) fn fill(
        &mut self,
        entries: usize,
        chunk: &mut Chunk,
        mut read: impl FnMut(Batch<'_>) -> (usize, io::Result<()>),
    ) -> Result<Filled> {
        for _ in 0..MOST_TRIES {
            let (count, answer) = read(Batch {
                room: chunk.room,
                keys: &mut chunk.keys,
                values: &mut chunk.values,
                from: self.at.as_deref(),
                next: &mut self.next,
            });
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
                libc::ENOSPC if chunk.room <= 2 * entries => chunk.grow(chunk.room * 2),
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
                _ => return Err(failed(error)),
            }
        }
        Err(failed(io::Error::from_raw_os_error(libc::EBUSY)))
    }

    // The last key that was read, of maps that are no hashes.
    pub(super) fn key(&self, size: usize) -> Option<Vec<u8>> {
        self.at.as_ref().map(|at| at[..size].to_vec())
    }

    fn go_on(&mut self) {
        let was = self.at.take().unwrap_or_else(|| vec![0; self.next.len()]);
        self.at = Some(std::mem::replace(&mut self.next, was));
    }
}

fn failed(error: io::Error) -> Error {
    Error::kernel("cannot read the map")(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // What the kernel does with a hash, whose buckets hold keys of 4 bytes; `answers` are errors that come in between,
    // each before the bucket of that number in a call.
    fn kernel(buckets: &[Vec<u32>], answer: Option<(usize, i32)>, batch: Batch<'_>) -> (usize, io::Result<()>) {
        let start = batch.from.map_or(0, |from| u32::from_ne_bytes(from[..4].try_into().unwrap()) as usize);
        let mut count = 0;
        let mut stop = |bucket: usize| batch.next[..4].copy_from_slice(&(bucket as u32).to_ne_bytes());
        for (steps, bucket) in (start..buckets.len()).enumerate() {
            if let Some((_, errno)) = answer.filter(|&(at, _)| at == steps) {
                stop(bucket);
                return (count, Err(io::Error::from_raw_os_error(errno)));
            }
            if buckets[bucket].len() > batch.room - count {
                stop(bucket);
                let full = count == 0;
                return (count, if full { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) });
            }
            for key in &buckets[bucket] {
                batch.keys[count * 4..][..4].copy_from_slice(&key.to_ne_bytes());
                batch.values[count * 8..][..8].copy_from_slice(&(u64::from(*key) * 3).to_ne_bytes());
                count += 1;
            }
        }
        (count, Err(io::Error::from_raw_os_error(libc::ENOENT)))
    }

    fn answers() -> impl Strategy<Value = Vec<Option<(usize, i32)>>> {
        let errno = prop_oneof![Just(libc::EBUSY), Just(libc::EDEADLK), Just(libc::ETIMEDOUT)];
        prop::collection::vec(prop::option::of((0_usize..5, errno)), 0..40)
    }

    proptest! {
        #[test]
        fn every_element_comes_once(sizes in prop::collection::vec(0_usize..60, 1..40), answers in answers()) {
            let mut next = 0..;
            let buckets: Vec<Vec<u32>> = sizes.iter().map(|&size| next.by_ref().take(size).collect()).collect();
            let all = buckets.iter().map(Vec::len).sum();
            let (mut batches, mut chunk) = (Batches::new(4), Chunk::new(4, 8, 16));
            let mut answers = answers.into_iter();
            let mut read = Vec::new();
            loop {
                let filled = batches.fill(all, &mut chunk, |batch| {
                    kernel(&buckets, answers.next().flatten(), batch)
                });
                let filled = filled.unwrap();
                for at in 0..chunk.len {
                    let key = u32::from_ne_bytes(chunk.key(at).try_into().unwrap());
                    let value = &chunk.values[at * 8..][..8];
                    prop_assert_eq!(value, &(u64::from(key) * 3).to_ne_bytes()[..]);
                    read.push(key);
                }
                match filled {
                    Filled::More => {}
                    Filled::End => break,
                    Filled::Refused(error) => panic!("{error}"),
                }
            }
            prop_assert_eq!(read, (0..all as u32).collect::<Vec<_>>());
        }
    }

    fn refused(batches: &mut Batches, errno: i32) -> Result<Filled> {
        let error = |_: Batch<'_>| (7, Err(io::Error::from_raw_os_error(errno)));
        batches.fill(100, &mut Chunk::new(4, 8, 100), error)
    }

    #[test]
    fn what_the_kernel_has_no_batches_for_is_read_another_way() {
        for errno in [ENOTSUPP, libc::EINVAL] {
            let mut batches = Batches::new(2);
            assert!(matches!(refused(&mut batches, errno), Ok(Filled::Refused(_))));
            assert_eq!(batches.key(2), None);
        }
    }

    #[test]
    fn behind_a_gap_it_goes_on_from_the_last_key() {
        let mut batches = Batches::new(2);
        let mut chunk = Chunk::new(2, 8, 100);
        let one = |batch: Batch<'_>| {
            batch.next.copy_from_slice(&[5, 6, 0, 0]);
            (1, Ok(()))
        };
        assert!(matches!(batches.fill(100, &mut chunk, one), Ok(Filled::More)));
        assert!(matches!(refused(&mut batches, libc::EINTR), Ok(Filled::Refused(_))));
        assert_eq!(batches.key(2), Some(vec![5, 6]));
        // No cursor of a hash is taken for a key.
        assert!(refused(&mut batches, libc::EINVAL).is_err());
    }

    #[test]
    fn it_ends_whatever_the_kernel_answers() {
        for errno in [libc::ENOSPC, libc::EBUSY, libc::EFAULT, libc::EPERM] {
            let error = |_: Batch<'_>| (0, Err(io::Error::from_raw_os_error(errno)));
            let told = Batches::new(4).fill(100, &mut Chunk::new(4, 8, 100), error);
            assert!(matches!(told, Err(Error::Kernel { source, .. }) if source.raw_os_error() == Some(errno)));
        }
    }
}
