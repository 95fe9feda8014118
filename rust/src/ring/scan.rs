//! Walking the records of a window, a block at a time.

use std::sync::atomic::{AtomicU32, Ordering};

use super::prefetch::{AHEAD, prefetch};
use super::{HEADER, Window};
use crate::record::block::{Block, Record};

const BUSY: u32 = 1 << 31; // BPF_RINGBUF_BUSY_BIT
const DISCARD: u32 = 1 << 30; // BPF_RINGBUF_DISCARD_BIT

#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    // Where the next record starts.
    pub(crate) at: usize,
    // How far back from `at` the last record that was passed starts.
    pub(crate) last: usize,
}

impl Cursor {
    pub(crate) fn new() -> Self {
        Self { at: 0, last: 0 }
    }

    // In front of one of the records that were scanned from here on.
    pub(crate) fn back_to(self, block: &Block<'_>, index: usize, window: Window<'_>) -> Self {
        let start = |index| block.address(index) - HEADER - window.base.addr();
        let at = start(index);
        let last = if index > 0 { at - start(index - 1) } else { self.last + at - self.at };
        Self { at, last }
    }
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
    let Cursor { mut at, mut last } = *cursor;
    let stop = block.fill(limit, || {
        if at + HEADER > window.len() {
            return Err(Stop::End);
        }
        // SAFETY: at + HEADER lies within the window, whose bytes stay mapped for 'a.
        let header = unsafe { window.base.add(at) };
        prefetch(header.wrapping_add(AHEAD));
        // SAFETY: windows start on a multiple of 8 and records take multiples of 8, so the header is aligned; the kernel
        // writes it with an xchg (bpf_ringbuf_commit), with which this load pairs: the payload is complete when BUSY is gone.
        let word = unsafe { AtomicU32::from_ptr(header.cast_mut().cast()) }.load(Ordering::Acquire);
        if word & BUSY != 0 {
            return Err(Stop::Busy);
        }
        let length = word & !DISCARD;
        let whole = (length as usize + HEADER).next_multiple_of(8);
        if whole > window.len() - at {
            return Err(Stop::Corrupt { length, at });
        }
        at += whole;
        last = whole;
        // SAFETY: the payload follows the header within the window (checked above).
        Ok((word & DISCARD == 0).then(|| unsafe { Record::new(header.add(HEADER), length) }))
    });
    *cursor = Cursor { at, last };
    stop.unwrap_or(Stop::Full)
}
