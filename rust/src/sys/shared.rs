//! A map's memory, which programs and other processes change while we look at it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::memory::Mapping;
use super::process;

pub(crate) struct Shared {
    mapping: Mapping,
    writable: bool,
    // A forked child does not have the pages.
    process: u32,
}

// By how much a number of so many bytes is shifted for its bytes to be a u64's first.
const SHIFT: [u32; 9] = if cfg!(target_endian = "big") { [0, 56, 48, 40, 32, 24, 16, 8, 0] } else { [0; 9] };

// Loads and stores of one whole cell, as programs make them.
macro_rules! cells {
    ($($size:literal $atomic:ident $number:ident),*) => {
        fn load(&self, at: usize, size: usize) -> Option<u64> {
            match size {
                $($size => Some(self.cell::<$atomic>(at)?.load(Ordering::Acquire).into()),)*
                _ => None,
            }
        }

        fn store(&self, at: usize, size: usize, value: u64) -> Option<()> {
            match size {
                $($size => Some(self.cell::<$atomic>(at)?.store(value as $number, Ordering::Release)),)*
                _ => None,
            }
        }

        // What was there before; wraps around.
        fn add(&self, at: usize, size: usize, value: u64) -> Option<u64> {
            match size {
                $($size => Some(self.cell::<$atomic>(at)?.fetch_add(value as $number, Ordering::SeqCst).into()),)*
                _ => None,
            }
        }

        fn exchange(&self, at: usize, size: usize, old: u64, new: u64) -> Option<bool> {
            match size {
                $($size => {
                    let cell = self.cell::<$atomic>(at)?;
                    let (old, new) = (old as $number, new as $number);
                    Some(cell.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok())
                })*
                _ => None,
            }
        }
    };
}

impl Shared {
    pub(crate) fn of_map(map: BorrowedFd<'_>, address: usize, len: usize, writable: bool) -> io::Result<Self> {
        let mapping = Mapping::of_map_near(address, map, 0, len, writable)?;
        Ok(Self { mapping, writable, process: process::id() })
    }

    pub(crate) fn len(&self) -> usize {
        self.mapping.len()
    }

    cells!(1 AtomicU8 u8, 2 AtomicU16 u16, 4 AtomicU32 u32, 8 AtomicU64 u64);

    fn is_ours(&self) -> bool {
        process::id() == self.process
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable && self.is_ours()
    }

    // None for what is not all in the memory, or not aligned.
    fn cell<T>(&self, at: usize) -> Option<&T> {
        let size = size_of::<T>();
        if !at.is_multiple_of(size) || at.checked_add(size)? > self.len() {
            return None;
        }
        // SAFETY: within the mapping, which lives as long as the reference, and aligned as its page is; every bit pattern
        // is a value of an atomic integer, and nobody in this process makes a plain reference to these pages.
        Some(unsafe { &*self.mapping.base().add(at).cast::<T>() })
    }

    // In whole cells of up to 8 bytes where they are aligned: a number is never half old and half new.
    pub(crate) fn read(&self, at: usize, bytes: &mut [u8]) -> Option<()> {
        self.is_ours().then_some(())?;
        let mut done = 0;
        while done < bytes.len() {
            let size = step(at + done, bytes.len() - done);
            let value = self.load(at + done, size)? << SHIFT[size];
            bytes[done..done + size].copy_from_slice(&value.to_ne_bytes()[..size]);
            done += size;
        }
        Some(())
    }

    pub(crate) fn write(&self, at: usize, bytes: &[u8]) -> Option<()> {
        if !self.is_writable() || at.checked_add(bytes.len())? > self.len() {
            return None;
        }
        let mut done = 0;
        while done < bytes.len() {
            let size = step(at + done, bytes.len() - done);
            let mut value = [0; 8];
            value[..size].copy_from_slice(&bytes[done..done + size]);
            self.store(at + done, size, u64::from_ne_bytes(value) >> SHIFT[size])?;
            done += size;
        }
        Some(())
    }

    pub(crate) fn fetch_add(&self, at: usize, size: usize, value: u64) -> Option<u64> {
        self.is_writable().then(|| self.add(at, size, value))?
    }

    pub(crate) fn compare_exchange(&self, at: usize, size: usize, old: u64, new: u64) -> Option<bool> {
        self.is_writable().then(|| self.exchange(at, size, old, new))?
    }
}

// The largest cell that begins there.
fn step(at: usize, left: usize) -> usize {
    [8, 4, 2].into_iter().find(|&size| at.is_multiple_of(size) && size <= left).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;

    fn page(writable: bool) -> Shared {
        let file = rustix::fs::memfd_create("shared", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 4096).unwrap();
        Shared::of_map(file.as_fd(), 0, 4096, writable).unwrap()
    }

    proptest! {
        #[test]
        fn is_memory(writes in prop::collection::vec((0..4200_usize, prop::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let (shared, mut model) = (page(true), vec![0; 4096]);
            for (at, bytes) in writes {
                let fits = at + bytes.len() <= model.len();
                prop_assert_eq!(shared.write(at, &bytes).is_some(), fits);
                if fits {
                    model[at..at + bytes.len()].copy_from_slice(&bytes);
                }
                let mut read = vec![0; bytes.len()];
                prop_assert_eq!(shared.read(at, &mut read).is_some(), fits || bytes.is_empty());
                prop_assert!(!fits || read == bytes);
            }
            let mut read = vec![0; 4096];
            shared.read(0, &mut read).unwrap();
            prop_assert_eq!(read, model);
        }
    }

    #[test]
    fn changes_numbers_where_they_are() {
        let shared = page(true);
        for (size, at) in [(1, 9), (2, 18), (4, 28), (8, 40)] {
            let most = u64::MAX >> (64 - 8 * size);
            assert_eq!(shared.fetch_add(at, size, 5), Some(0));
            assert_eq!(shared.fetch_add(at, size, u64::MAX), Some(5));
            assert_eq!(shared.compare_exchange(at, size, 5, 7), Some(false));
            assert_eq!(shared.compare_exchange(at, size, 4, most), Some(true));
            assert_eq!(shared.fetch_add(at, size, 1), Some(most));
            assert_eq!(shared.fetch_add(at, size, 0), Some(0));
        }
        // unaligned, of no such size, beyond the end
        for (at, size) in [(1, 8), (2, 4), (0, 3), (4096, 1), (4089, 8), (usize::MAX & !7, 8)] {
            assert_eq!((shared.fetch_add(at, size, 1), shared.compare_exchange(at, size, 0, 1)), (None, None));
        }
        let mut whole = [0; 4096];
        shared.read(0, &mut whole).unwrap();
        assert!(whole.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn what_is_mapped_for_reading_is_read() {
        let shared = page(false);
        assert_eq!(shared.read(0, &mut [1; 16]), Some(()));
        assert_eq!((shared.write(0, &[1]), shared.fetch_add(0, 8, 1), shared.is_writable()), (None, None, false));
    }

    #[test]
    fn a_number_is_never_half_old_and_half_new() {
        let (shared, over) = (page(true), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    shared.write(4, &[0; 12]).unwrap();
                    shared.write(4, &[255; 12]).unwrap();
                }
            });
            for _ in 0..200_000 {
                let mut read = [0; 12];
                shared.read(4, &mut read).unwrap();
                // 4 bytes, and 8
                let whole = |part: &[u8]| part.iter().all(|&byte| byte == part[0]);
                assert!(whole(&read[..4]) && whole(&read[4..]), "{read:?}");
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
