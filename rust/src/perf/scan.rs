//! Walking the records of a window, a block at a time.

use aya_obj::generated::perf_event_type::{PERF_RECORD_LOST, PERF_RECORD_SAMPLE};

use super::window::{HEADER, Header, Window};
use crate::record::block::{Block, CAPACITY};

const SAMPLE: u32 = PERF_RECORD_SAMPLE as u32;
const LOST: u32 = PERF_RECORD_LOST as u32;

// What stands in front of a sample's payload, by its sample_type: the header, u64 time, u32 cpu, u32 (nothing), and the
// u32 length of the payload.
pub(crate) const LEAD: usize = RAW_SIZE + 4;
pub(super) const RAW_SIZE: usize = HEADER + 8 + 8;
// Where the time is, from the payload's start.
pub(crate) const TIME: isize = HEADER as isize - LEAD as isize;
// A sample has at least as many bytes.
const LEAST: usize = LEAD + 4;
// A header, u64 id, and the u64 count of events that found no room.
const LOST_SIZE: usize = 24;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    // Where the next record starts.
    pub(crate) at: usize,
    // Events that were lost, as the records up to there tell.
    pub(crate) lost: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    // The block is full, or what follows cannot be in it.
    Full,
    // The window is at its end.
    End,
    // The next record cannot be right. A program that writes more than 65,500 bytes at once makes such records: the kernel
    // counts their size in 16 bits (perf_event_header), and writes past what it has reserved.
    Corrupt { kind: u32, size: usize, at: usize },
}

// Fills `block` with up to `limit` samples, passing all other records.
pub(crate) fn scan<'a>(window: &'a Window<'_>, cursor: &mut Cursor, block: &mut Block<'a>, limit: usize) -> Stop {
    block.clear(window.address(cursor.at), LEAD);
    let limit = limit.min(CAPACITY);
    while block.len() < limit {
        let at = cursor.at;
        if at + HEADER > window.len() {
            return Stop::End;
        }
        let header = window.header(at);
        let size = header.size as usize;
        if !is_right(window, at, header) {
            return Stop::Corrupt { kind: header.kind, size, at };
        }
        // The records of a block follow each other, in one piece of memory.
        if block.len() > 0 && (header.kind != SAMPLE || window.turns(at)) {
            return Stop::Full;
        }
        if header.kind != SAMPLE {
            if header.kind == LOST {
                cursor.lost = cursor.lost.saturating_add(window.word(at + 16));
            }
            cursor.at += size;
            block.clear(window.address(cursor.at), LEAD);
            continue;
        }
        let length = (size - LEAD) as u32;
        let piece = window.piece(at);
        if size > piece {
            if block.len() == 0 {
                let whole = window.whole(at, size);
                block.clear(whole, LEAD);
                // SAFETY: a whole sample, which lives as long as the window.
                unsafe { block.begin(whole.add(LEAD), length, size, 1) };
                cursor.at += size;
            }
            return Stop::Full;
        }
        let payload = window.address(at + LEAD);
        if block.is_full(payload.wrapping_add(size - LEAD)) {
            return Stop::Full;
        }
        if block.len() > 0 {
            // SAFETY: a whole sample in one piece, its payload behind what comes with it.
            unsafe { block.add(payload, length, size) };
            cursor.at += size;
            continue;
        }
        // Records of one kind follow each other: see ring::scan.
        let most = Block::most(size).min(limit).min(piece / size);
        let mut like = 1;
        while like + 8 <= most && window.are_like(at, size, like..like + 8) {
            like += 8;
        }
        while like < most && window.are_like(at, size, like..like + 1) {
            like += 1;
        }
        // SAFETY: so many records of this length lie in one piece, each payload behind what comes with it.
        unsafe { block.begin(payload, length, size, like) };
        cursor.at += like * size;
    }
    Stop::Full
}

// Whether a record can be what its header says, and lies within the window.
#[inline(always)]
fn is_right(window: &Window<'_>, at: usize, header: Header) -> bool {
    let size = header.size as usize;
    size >= HEADER
        && size.is_multiple_of(8)
        && size <= window.len() - at
        && match header.kind {
            // The kernel pads the payload so that the record ends with it (perf_prepare_sample).
            SAMPLE => size >= LEAST && window.raw_size(at) as usize == size - LEAD,
            LOST => size >= LOST_SIZE,
            _ => true,
        }
}
