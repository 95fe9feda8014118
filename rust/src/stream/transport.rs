//! The buffers that events come through, as a stream sees them.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::error::Result;
use crate::record::block::{Block, Record};
use crate::ring::scan::{Cursor, Stop, scan};
use crate::ring::{HEADER, Ring, Window};

pub(crate) enum Transport {
    Ring { ring: Ring, map: Arc<OwnedFd> },
}

// One look at a buffer: what was there when it began, and how far it was read.
pub(super) struct Look<'a> {
    window: Window<'a>,
    cursor: Cursor,
    start: u64,
}

impl Transport {
    pub(crate) fn ring(map: OwnedFd) -> Result<Self> {
        Ok(Self::Ring { ring: Ring::open(map.as_fd())?, map: Arc::new(map) })
    }

    // What becomes readable when there is an event.
    pub(super) fn wakes(&self) -> Arc<OwnedFd> {
        match self {
            Self::Ring { map, .. } => Arc::clone(map),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Ring { ring, .. } => ring.size(),
        }
    }

    pub(super) fn look(&self) -> Look<'_> {
        match self {
            Self::Ring { ring, .. } => Look { window: ring.window(), cursor: Cursor::new(), start: ring.position() },
        }
    }

    // What was looked at up to here is read.
    pub(super) fn advance(&self, bytes: usize) {
        match self {
            Self::Ring { ring, .. } => ring.advance(bytes),
        }
    }

    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Ring { ring, .. } => ring.position(),
        }
    }

    pub(super) fn unacknowledged(&self) -> usize {
        match self {
            Self::Ring { ring, .. } => ring.unacknowledged(),
        }
    }

    // Gives the room before `back` bytes behind the position to the producers again.
    pub(super) fn acknowledge(&self, back: usize) {
        match self {
            Self::Ring { ring, .. } => ring.acknowledge(back),
        }
    }

    // True when nothing is left, and the next event will wake us.
    pub(super) fn acknowledge_and_recheck(&self) -> bool {
        match self {
            Self::Ring { ring, .. } => ring.acknowledge_and_recheck(),
        }
    }

    // Whether what is written from now on is left unread.
    pub(super) fn end(&self, here: bool) {
        match self {
            Self::Ring { ring, .. } => ring.end(here),
        }
    }

    // A record that was passed and is not acknowledged yet.
    pub(super) fn record(&self, position: u64, length: u32) -> Record<'_> {
        match self {
            Self::Ring { ring, .. } => ring.record(position, length),
        }
    }
}

impl<'a> Look<'a> {
    pub(super) fn scan(&mut self, block: &mut Block<'a>, limit: usize) -> Stop {
        scan(self.window, &mut self.cursor, block, limit)
    }

    // Goes back to where the block began, and passes only so many of its records.
    pub(super) fn pass_only(&mut self, from: Cursor, block: &mut Block<'a>, count: usize) {
        self.cursor = from;
        if count > 0 {
            self.scan(block, count);
        }
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    // Where a record of the block stands in the buffer.
    pub(super) fn position(&self, record: Record<'_>) -> u64 {
        self.start + (record.address() - HEADER - self.window.address()) as u64
    }
}
