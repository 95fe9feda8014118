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
