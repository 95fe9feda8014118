//! A ring and the columns that its records go to.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;

use super::LEAST_GATHER;
use crate::error::{Error, Result};
use crate::record::block::{Block, CAPACITY};
use crate::record::columns::Columns;
use crate::record::plan::Plan;
use crate::ring::Ring;
use crate::ring::scan::{Cursor, Stop, scan};
use crate::sys::clock::Offsets;

pub(super) struct Source {
    ring: Ring,
    columns: Columns,
    clocks: Offsets,
    clocks_taken: Instant,
}

// Batches that wait for a reader.
pub(super) struct Queue {
    pub(super) batches: VecDeque<RecordBatch>,
    pub(super) limit: usize,
}

impl Queue {
    fn has_room(&self) -> bool {
        self.batches.len() < self.limit
    }
}

#[derive(Default)]
pub(super) struct Drained {
    pub(super) events: u64,
    pub(super) bytes: u64,
    // There was no room for the next event.
    pub(super) full: bool,
    // The next record is still being written.
    pub(super) busy: bool,
}

// Wall clocks are slewed and set: how old the difference between the kernel's clocks and UTC may be.
const CLOCKS: Duration = Duration::from_secs(1);
// How much is read before producers get the room back.
const ACKNOWLEDGE: usize = 256 << 10;

impl Source {
    pub(super) fn open(map: BorrowedFd<'_>, plan: Plan, max_rows: usize) -> Result<Self> {
        let ring = Ring::open(map)?;
        let columns = Columns::new(Arc::new(plan.without_lead()?), max_rows, ring.size());
        Ok(Self { ring, columns, clocks: Offsets::now(), clocks_taken: Instant::now() })
    }

    pub(super) fn slab_size(&self) -> usize {
        self.columns.slab_size()
    }

    // Rows of the open batch.
    pub(super) fn gathered(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn cuts(&self) -> u64 {
        self.columns.cuts()
    }

    pub(super) fn cut(&mut self) -> Result<Option<RecordBatch>> {
        self.columns.cut()
    }

    // Reads one window: what was there when it began. Full batches go to the queue as long as it has room.
    // What was done before an error stands in `drained` too.
    pub(super) fn drain(&mut self, max_rows: usize, queue: &mut Queue, drained: &mut Drained) -> Result<()> {
        if self.clocks_taken.elapsed() > CLOCKS {
            self.clocks = Offsets::now();
            self.clocks_taken = Instant::now();
        }
        let Self { ring, columns, clocks, .. } = self;
        let window = ring.window();
        let mut cursor = Cursor::new();
        let mut block = Block::new();
        let every = ACKNOWLEDGE.min(ring.size() / 8);
        // The tail of the column buffers took less than the rows would have.
        let mut tail_full = false;
        loop {
            if tail_full || columns.len() >= max_rows || columns.room() == 0 {
                if !queue.has_room() {
                    drained.full = true;
                    break;
                }
                queue.batches.extend(columns.cut()?);
            }
            let before = cursor;
            let stop = scan(window, &mut cursor, &mut block, columns.room().min(max_rows - columns.len()));
            let written = columns.append(&block, clocks)?;
            tail_full = written < block.len();
            if tail_full {
                cursor = before.back_to(&block, written, window);
                if columns.len() == 0 {
                    return Err(Error::Layout("a record has more text than a batch can hold".into()));
                }
            }
            drained.events += written as u64;
            drained.bytes += (cursor.at - before.at) as u64;
            ring.advance(cursor.at - before.at);
            // The last record stays unacknowledged: a producer then sees that nobody waits, and wakes nobody. It does so
            // after an empty look too. A record that takes much of the ring is given back.
            let keep = if cursor.last <= every { cursor.last } else { 0 };
            if cursor.at > 0 && ring.unacknowledged() >= every {
                ring.acknowledge(keep);
            }
            match stop {
                _ if tail_full => {}
                Stop::Full => {}
                Stop::End => break,
                Stop::Busy => {
                    drained.busy = true;
                    break;
                }
                Stop::Corrupt { length, at } => {
                    return Err(Error::Stream(format!(
                        "the ring buffer holds a record that cannot be right ({length} bytes, {at} bytes into what was \
                         there to read); is another reader using the same map?"
                    )));
                }
            }
        }
        if cursor.at > 0 {
            ring.acknowledge(if cursor.last <= every { cursor.last } else { 0 });
        }
        Ok(())
    }

    // How long to let events gather: less when they take more than a quarter of the ring meanwhile.
    pub(super) fn pace(&self, gather: Duration, most: Duration, bytes: u64) -> Duration {
        let quarter = self.ring.size() as u64 / 4;
        if bytes > quarter {
            (gather / 2).max(LEAST_GATHER)
        } else if bytes < quarter / 4 {
            (gather * 2).min(most)
        } else {
            gather
        }
    }

    // Whether what is written from now on is left unread.
    pub(super) fn end(&self, here: bool) {
        self.ring.end(here);
    }

    // True when nothing is left and the next event will wake us.
    pub(super) fn acknowledge(&self) -> bool {
        self.ring.acknowledge_and_recheck()
    }

    // Events and bytes that nobody has read, which are passed: another reader of the ring begins behind them.
    pub(super) fn left(&self) -> (u64, u64) {
        let window = self.ring.window();
        let mut cursor = Cursor::new();
        let mut block = Block::new();
        let mut events = 0;
        loop {
            let stop = scan(window, &mut cursor, &mut block, CAPACITY);
            events += block.len() as u64;
            if stop != Stop::Full {
                self.ring.advance(cursor.at);
                return (events, cursor.at as u64);
            }
        }
    }
}
