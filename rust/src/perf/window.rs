//! A run of bytes in the form of a perf buffer: records one after another, which may go on at the start of the pages.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::ops::Range;

use super::scan::RAW_SIZE;

// `struct perf_event_header`: u32 type, u16 misc, u16 size of the whole record.
pub(super) const HEADER: usize = 8;

pub(crate) struct Window<'a> {
    data: *const u8,
    // Of the pages, after which they start again.
    size: usize,
    start: usize,
    len: usize,
    // The one record that wraps, in one piece: no page can be mapped twice, for the kernel refuses a second mapping of
    // a part (perf_mmap).
    wrapped: OnceCell<Vec<u64>>,
    lifetime: PhantomData<&'a [u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u32,
    misc: u16,
    pub(super) size: u16,
}

impl<'a> Window<'a> {
    // SAFETY (of the caller): `size` bytes from `data` on, which is aligned to 8, stay readable during 'a, and nobody
    // writes to the `len` of them that begin at `start` and go on at `data`. All are multiples of 8, len at most size.
    pub(super) unsafe fn of_buffer(data: *const u8, size: usize, start: usize, len: usize) -> Self {
        debug_assert!(start <= size && len <= size && start.is_multiple_of(8), "{start} + {len} of {size}");
        let len = len / 8 * 8;
        Self { data, size, start, len, wrapped: OnceCell::new(), lifetime: PhantomData }
    }

    // Bytes that were taken from a buffer before.
    pub(crate) fn of_words(words: &'a [u64]) -> Self {
        // SAFETY: the words are borrowed for 'a.
        unsafe { Self::of_buffer(words.as_ptr().cast(), size_of_val(words), 0, size_of_val(words)) }
    }

    // As if they were the pages of a buffer, with `len` bytes unread from `start` on.
    #[cfg(fuzzing)]
    pub(crate) fn of_pages(words: &'a [u64], start: usize, len: usize) -> Self {
        // SAFETY: the words are borrowed for 'a; of_buffer asserts the rest.
        unsafe { Self::of_buffer(words.as_ptr().cast(), size_of_val(words), start, len) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    // Where the byte `at` of the window lies.
    pub(super) fn address(&self, at: usize) -> *const u8 {
        let from_start = self.start + at;
        self.data.wrapping_add(if from_start < self.size { from_start } else { from_start - self.size })
    }

    // Whether the pages start again there.
    pub(super) fn turns(&self, at: usize) -> bool {
        self.start + at == self.size
    }

    // Whether an address lies in the pages.
    pub(crate) fn holds(&self, address: usize) -> bool {
        (self.data.addr()..self.data.addr() + self.size).contains(&address)
    }

    // How many bytes from `at` on lie in one piece.
    pub(super) fn piece(&self, at: usize) -> usize {
        let to_wrap = if self.start + at < self.size { self.size - self.start - at } else { self.size };
        to_wrap.min(self.len - at)
    }

    // Records take multiples of 8 bytes, as the pages do: a word never wraps.
    #[inline(always)]
    pub(super) fn word(&self, at: usize) -> u64 {
        assert!(at.is_multiple_of(8) && at < self.len, "{at} of {}", self.len);
        // SAFETY: within the window (just seen), whose start and size are multiples of 8, as `at` is.
        unsafe { std::ptr::read(self.address(at).cast()) }
    }

    pub(super) fn header(&self, at: usize) -> Header {
        Header::of(self.word(at))
    }

    // The length of a sample's payload.
    pub(super) fn raw_size(&self, at: usize) -> u32 {
        let [a, b, c, d, ..] = self.word(at + RAW_SIZE).to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d])
    }

    // Whether samples that lie `size` bytes apart, counted from the one at `at`, have its header and its length. All lie in
    // one piece.
    #[inline(always)]
    pub(super) fn are_like(&self, at: usize, size: usize, range: Range<usize>) -> bool {
        assert!(range.end * size <= self.piece(at), "{} samples of {size} bytes", range.end);
        let first = self.address(at);
        // SAFETY: samples of the piece (just seen) have these words.
        let header = |sample: *const u8| unsafe { sample.cast::<u64>().read_unaligned() };
        // SAFETY: as above.
        let raw_size = |sample: *const u8| unsafe { sample.add(RAW_SIZE).cast::<u32>().read_unaligned() };
        let differ = |like: usize| {
            let other = first.wrapping_add(like * size);
            (header(other) ^ header(first)) | u64::from(raw_size(other) ^ raw_size(first))
        };
        range.fold(0, |bits, like| bits | differ(like)) == 0
    }

    // Copies a record.
    pub(super) fn copy(&self, at: usize, size: usize, to: &mut Vec<u64>) {
        to.extend((at..at + size).step_by(8).map(|at| self.word(at)));
    }

    // A record that wraps, in one piece.
    pub(super) fn whole(&self, at: usize, size: usize) -> *const u8 {
        let words = self.wrapped.get_or_init(|| {
            let mut words = Vec::with_capacity(size / 8);
            self.copy(at, size, &mut words);
            words
        });
        words.as_ptr().cast()
    }
}

impl Header {
    pub(super) fn of(word: u64) -> Self {
        let bytes = word.to_ne_bytes();
        Self {
            kind: u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            misc: u16::from_ne_bytes([bytes[4], bytes[5]]),
            size: u16::from_ne_bytes([bytes[6], bytes[7]]),
        }
    }
}
