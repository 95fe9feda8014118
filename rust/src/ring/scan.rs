//! Walking the records of a window, a block at a time.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{HEADER, Window};
use crate::record::block::{Block, CAPACITY};

const BUSY: u32 = 1 << 31; // BPF_RINGBUF_BUSY_BIT
const DISCARD: u32 = 1 << 30; // BPF_RINGBUF_DISCARD_BIT

#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    // Where the next record starts.
    pub(crate) at: usize,
    // How far back from `at` the last record that was passed starts.
    pub(crate) last: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    // The block is full, or holds as many records as were asked for.
    Full,
    // The window is at its end.
    End,
    // A producer has not finished the next record: what follows has to wait for it.
    Busy,
    // The next record's header cannot be right.
    Corrupt { length: u32, at: usize },
}

// Fills `block` with up to `limit` records that are complete, passing those that were discarded.
pub(crate) fn scan<'a>(window: Window<'a>, cursor: &mut Cursor, block: &mut Block<'a>, limit: usize) -> Stop {
    // SAFETY: at is at most the window's length.
    block.clear(unsafe { window.base.add(cursor.at) }, HEADER);
    let limit = limit.min(CAPACITY);
    while block.len() < limit {
        if cursor.at + HEADER > window.len() {
            return Stop::End;
        }
        let word = header(window, cursor.at);
        if word & BUSY != 0 {
            return Stop::Busy;
        }
        // A word without it is the length: no work between this header and the next.
        let length = if word & DISCARD == 0 { word } else { word & !DISCARD };
        let whole = (length as usize + HEADER + 7) & !7;
        let left = window.len() - cursor.at;
        if whole > left {
            return Stop::Corrupt { length, at: cursor.at };
        }
        if word & DISCARD != 0 {
            cursor.last = whole;
            cursor.at += whole;
            continue;
        }
        // SAFETY: `whole` bytes from there on lie within the window.
        let (payload, end) = unsafe { (window.base.add(cursor.at + HEADER), window.base.add(cursor.at + whole)) };
        if block.is_full(end) {
            return Stop::Full;
        }
        cursor.last = whole;
        if block.len() > 0 {
            // SAFETY: a record within the window, its payload behind its header.
            unsafe { block.add(payload, length, whole) };
            cursor.at += whole;
            continue;
        }
        // Records of one kind follow each other. Guessing that the next header is like this one, the processor needs not
        // wait for it to know where the one after that is: that wait would be most of the walk.
        let most = Block::most(whole).min(limit).min(left / whole);
        let unlike = |like: usize| header(window, cursor.at + like * whole) ^ word;
        let mut like = 1;
        // Several at once: each branch is one that may be guessed wrong.
        while like + 8 <= most && (like..like + 8).fold(0, |bits, like| bits | unlike(like)) == 0 {
            like += 8;
        }
        while like < most && unlike(like) == 0 {
            like += 1;
        }
        // SAFETY: so many records of this length lie within the window, each payload behind its header.
        unsafe { block.begin(payload, length, whole, like) };
        cursor.at += like * whole;
    }
    Stop::Full
}

#[inline(always)]
fn header(window: Window<'_>, at: usize) -> u32 {
    // SAFETY: the caller has seen that a header lies at `at` within the window, whose bytes stay mapped.
    let header = unsafe { window.base.add(at) };
    // SAFETY: windows start on a multiple of 8 and records take multiples of 8, so the header is aligned; the kernel
    // writes it with an xchg (bpf_ringbuf_commit), with which this load pairs: the payload is complete when BUSY is gone.
    unsafe { AtomicU32::from_ptr(header.cast_mut().cast()) }.load(Ordering::Acquire)
}
