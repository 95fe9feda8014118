//! Memory mappings that unmap themselves.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    // The only process that has it, if a fork does not copy it.
    process: Option<u32>,
}

// SAFETY: a mapping is memory of the process, not of a thread; who may read and write it is the holder's affair.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared Mapping only gives out its address.
unsafe impl Sync for Mapping {}

impl Mapping {
    // Pages of a map or of a perf event, left out of a forked child so that it does not keep them alive.
    pub(crate) fn of_map(map: BorrowedFd<'_>, offset: u64, len: usize, writable: bool) -> io::Result<Self> {
        Self::of_map_near(0, map, offset, len, writable)
    }

    // At that address if there is room: an arena may ask for its own, which it has in every process.
    pub(crate) fn of_map_near(
        address: usize,
        map: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> io::Result<Self> {
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: without MAP_FIXED a new mapping aliases nothing of ours, whatever the address.
        let base =
            unsafe { mmap(ptr::without_provenance_mut(address), len, protection, MapFlags::SHARED, map, offset) }?;
        let mapping = Self::owned(base, len, Some(super::process::id()));
        // SAFETY: the range is the mapping just made.
        unsafe { madvise(base, len, Advice::LinuxDontFork) }?;
        Ok(mapping)
    }

    // A page and `size` bytes that follow it twice, as the kernel maps a ring: what is written to one of the two is read
    // from the other.
    #[cfg(test)]
    pub(crate) fn of_fake_ring(size: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let file = rustix::fs::memfd_create("ring", rustix::fs::MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, (page + size) as u64)?;
        let all = Self::anonymous(page + 2 * size)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        for (at, offset, len) in [(0, 0, page + size), (page + size, page, size)] {
            let place = all.base().wrapping_add(at).cast();
            // SAFETY: within the mapping just made, which nobody has seen yet.
            unsafe { mmap(place, len, protection, MapFlags::SHARED | MapFlags::FIXED, &file, offset as u64) }?;
        }
        Ok(all)
    }

    // Zeroed memory in huge pages where the kernel has them: first touches cost more than decoding does.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as in of_map.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, protection, MapFlags::PRIVATE) }?;
        // SAFETY: the range is the mapping just made. A kernel without huge pages refuses, which harms nothing.
        let _ = unsafe { madvise(base, len, Advice::LinuxHugepage) };
        Ok(Self::owned(base, len, None))
    }

    fn owned(base: *mut core::ffi::c_void, len: usize, process: Option<u32>) -> Self {
        Self { base: NonNull::new(base.cast()).expect("mmap never answers with address 0"), len, process }
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    // A forked child has no such memory, if it is a map's.
    pub(crate) fn is_ours(&self) -> bool {
        self.process.is_none_or(|process| process == super::process::id())
    }

    // Copies memory that others may be writing to: each word of 8 bytes is one that stood there as a whole.
    pub(crate) fn copy_words(&self, at: usize, to: &mut [u8]) {
        assert!(at.is_multiple_of(8) && at + to.len().next_multiple_of(8) <= self.len, "within the mapping");
        let base = self.base.cast::<u64>();
        let word = |index: usize| {
            // SAFETY: a word of the mapping, which begins with a page: seen above. Loads of this size may be of memory
            // that cannot be written.
            unsafe { AtomicU64::from_ptr(base.add(at / 8 + index).as_ptr()) }.load(Ordering::Relaxed).to_ne_bytes()
        };
        let (words, rest) = to.as_chunks_mut();
        // SAFETY: the mapping holds as many words from there on: seen above.
        if words.len() < MANY || !unsafe { copy_many(base.add(at / 8).as_ptr(), words) } {
            for (index, to) in words.iter_mut().enumerate() {
                *to = word(index);
            }
        }
        if !rest.is_empty() {
            let whole: [u8; 8] = word(words.len());
            rest.copy_from_slice(&whole[..rest.len()]);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

// Words from which on one instruction copies them faster than a loop does.
const MANY: usize = 64;

// Copies words that others may be writing to, where the processor has an instruction for it: it moves each as a whole, for a
// word that is aligned lies in one line of the cache.
//
// SAFETY (of the caller): as many words are readable from there on.
unsafe fn copy_many(from: *const u64, to: &mut [[u8; 8]]) -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: promised by the caller; that others write meanwhile is the processor's affair.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            inout("rsi") from => _,
            inout("rdi") to.as_mut_ptr() => _,
            inout("rcx") to.len() => _,
            options(nostack, preserves_flags)
        );
        true
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (from, to);
        false
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // In a forked child another mapping may lie there by now.
        if !self.is_ours() {
            return;
        }
        // SAFETY: the range is ours alone, and whoever drops the mapping has let go of every pointer into it.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}
