//! The buffers that events come through, as a stream sees them.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::perf::{self, Buffer, snapshot};
use crate::record::block::{Block, Record};
use crate::ring::{self, Ring};

pub(crate) enum Transport {
    Ring { ring: Ring, map: Arc<OwnedFd> },
    // A perf buffer of one CPU.
    Perf(Buffer),
    // Those of all CPUs, which keep the newest events: what was in them when they were looked at, and how far it was read.
    Snapshots { buffers: Vec<Buffer>, words: Vec<u64>, at: Cell<usize>, left: Cell<Looks> },
}

// The kind of buffer that records are in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Ring,
    Perf,
}

// How many more looks at overwritten buffers there may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looks {
    Any,
    One,
    None,
}

// What was there when a buffer was looked at.
pub(super) enum Window<'a> {
    Ring(ring::Window<'a>, u64),
    Perf(perf::window::Window<'a>, u64),
}

#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
    // Where the next record starts.
    pub(super) at: usize,
    // How far back from there the last record that was passed starts, where the buffer's wake-ups depend on it.
    pub(super) last: usize,
    // Events that were lost, as the records up to there tell.
    lost: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    // The block is full, or what follows cannot be in it.
    Full,
    // The window is at its end.
    End,
    // A producer has not finished the next record: what follows has to wait for it.
    Busy,
    // The next record cannot be right: so many bytes, at this place.
    Corrupt { length: usize, at: usize },
}

impl Transport {
    pub(crate) fn ring(map: OwnedFd) -> Result<Self> {
        Ok(Self::Ring { ring: Ring::open(map.as_fd())?, map: Arc::new(map) })
    }

    pub(super) fn snapshots(buffers: Vec<Buffer>) -> Self {
        Self::Snapshots { buffers, words: Vec::new(), at: Cell::new(0), left: Cell::new(Looks::Any) }
    }

    pub(super) fn form(&self) -> Form {
        match self {
            Self::Ring { .. } => Form::Ring,
            Self::Perf(_) | Self::Snapshots { .. } => Form::Perf,
        }
    }

    // What becomes readable when there are events.
    pub(super) fn wakes(&self) -> Vec<Arc<OwnedFd>> {
        match self {
            Self::Ring { map, .. } => vec![Arc::clone(map)],
            Self::Perf(buffer) => vec![buffer.event()],
            Self::Snapshots { .. } => Vec::new(),
        }
    }

    // Whether a single event makes it readable. Others are looked at by the clock.
    pub(super) fn wakes_at_once(&self) -> bool {
        matches!(self, Self::Ring { .. })
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Ring { ring, .. } => ring.size(),
            Self::Perf(buffer) => buffer.size(),
            Self::Snapshots { buffers, .. } => buffers.iter().map(Buffer::size).sum::<usize>().max(1),
        }
    }

    // Takes what buffers hold that have no window of their own.
    pub(super) fn refresh(&mut self) -> Result<()> {
        if let Self::Snapshots { buffers, words, at, left } = self
            && left.get() != Looks::None
            && at.get() == size_of_val(&words[..])
        {
            *words = snapshot::take(&buffers.iter().collect::<Vec<_>>())?.concat();
            at.set(0);
            if left.get() == Looks::One {
                left.set(Looks::None);
            }
        }
        Ok(())
    }

    pub(super) fn window(&self) -> Window<'_> {
        match self {
            Self::Ring { ring, .. } => Window::Ring(ring.window(), ring.position()),
            Self::Perf(buffer) => Window::Perf(buffer.window(), buffer.position()),
            Self::Snapshots { words, at, .. } => {
                Window::Perf(perf::window::Window::of_words(&words[at.get() / 8..]), at.get() as u64)
            }
        }
    }

    // Whether what is written from now on is left unread.
    pub(super) fn end(&self, here: bool) {
        match self {
            Self::Ring { ring, .. } => ring.end(here),
            Self::Perf(buffer) => buffer.end(here),
            Self::Snapshots { left, .. } => left.set(if here { Looks::One } else { Looks::Any }),
        }
    }

    // So many bytes of the window are read.
    pub(super) fn advance(&self, bytes: usize) {
        match self {
            Self::Ring { ring, .. } => ring.advance(bytes),
            Self::Perf(buffer) => buffer.advance(bytes),
            Self::Snapshots { at, .. } => at.set(at.get() + bytes),
        }
    }

    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Ring { ring, .. } => ring.position(),
            Self::Perf(buffer) => buffer.position(),
            Self::Snapshots { at, .. } => at.get() as u64,
        }
    }

    pub(super) fn unacknowledged(&self) -> usize {
        match self {
            Self::Ring { ring, .. } => ring.unacknowledged(),
            Self::Perf(buffer) => buffer.unacknowledged(),
            Self::Snapshots { .. } => 0,
        }
    }

    // Gives the room up to `back` bytes before the position to the producers again.
    pub(super) fn acknowledge(&self, back: usize) {
        match self {
            Self::Ring { ring, .. } => ring.acknowledge(back),
            Self::Perf(buffer) => buffer.acknowledge(back),
            Self::Snapshots { .. } => {}
        }
    }

    // True when nothing is left, so that there is something to wait for.
    pub(super) fn acknowledge_and_recheck(&self) -> bool {
        match self {
            Self::Ring { ring, .. } => ring.acknowledge_and_recheck(),
            Self::Perf(buffer) => {
                buffer.acknowledge(0);
                buffer.is_empty()
            }
            Self::Snapshots { .. } => true,
        }
    }

    // A record that was passed and is not acknowledged yet; None where it lies in two pieces.
    pub(super) fn record(&self, position: u64, length: u32) -> Option<Record<'_>> {
        match self {
            Self::Ring { ring, .. } => Some(ring.record(position, length)),
            Self::Perf(buffer) => buffer.record(position, length),
            Self::Snapshots { words, .. } => {
                Some(Record::of_words(&words[position as usize / 8..], length, perf::scan::LEAD))
            }
        }
    }

    // Events that found no room, as the kernel counts them: exactly where it can (6.0).
    pub(super) fn lost(&self) -> io::Result<Option<u64>> {
        match self {
            Self::Ring { .. } => Ok(None),
            Self::Perf(buffer) => buffer.lost(),
            Self::Snapshots { buffers, .. } => buffers
                .iter()
                .try_fold(Some(0), |all, buffer| Ok(all.zip(buffer.lost()?).map(|(all, lost)| all + lost))),
        }
    }

    pub(super) fn pause(&self, paused: bool) -> Result<()> {
        let buffers = match self {
            Self::Ring { .. } => {
                return Err(Error::Stream("the kernel cannot pause a ring buffer, only perf buffers".into()));
            }
            Self::Perf(buffer) => std::slice::from_ref(buffer),
            Self::Snapshots { buffers, .. } => buffers,
        };
        let what = if paused { "cannot pause a perf buffer" } else { "cannot resume a perf buffer" };
        buffers.iter().try_for_each(|buffer| buffer.pause(paused)).map_err(Error::kernel(what))
    }

    // Samples tell the time by themselves: where, before their payload.
    pub(super) fn stamps(&self) -> bool {
        !matches!(self, Self::Ring { .. })
    }
}

impl Window<'_> {
    // Fills `block` with up to `limit` records.
    pub(super) fn scan<'a>(&'a self, cursor: &mut Cursor, block: &mut Block<'a>, limit: usize) -> Stop {
        match self {
            Window::Ring(window, _) => {
                let mut own = ring::scan::Cursor { at: cursor.at, last: cursor.last };
                let stop = ring::scan::scan(*window, &mut own, block, limit);
                (cursor.at, cursor.last) = (own.at, own.last);
                match stop {
                    ring::scan::Stop::Full => Stop::Full,
                    ring::scan::Stop::End => Stop::End,
                    ring::scan::Stop::Busy => Stop::Busy,
                    ring::scan::Stop::Corrupt { length, at } => Stop::Corrupt { length: length as usize, at },
                }
            }
            Window::Perf(window, _) => {
                let mut own = perf::scan::Cursor { at: cursor.at, lost: cursor.lost };
                let stop = perf::scan::scan(window, &mut own, block, limit);
                (cursor.at, cursor.lost) = (own.at, own.lost);
                match stop {
                    perf::scan::Stop::Full => Stop::Full,
                    perf::scan::Stop::End => Stop::End,
                    perf::scan::Stop::Corrupt { size, at, .. } => Stop::Corrupt { length: size, at },
                }
            }
        }
    }

    // Goes back to where a block began, and passes only so many of its records.
    pub(super) fn pass_only<'a>(&'a self, cursor: &mut Cursor, from: Cursor, block: &mut Block<'a>, count: usize) {
        *cursor = from;
        if count > 0 {
            self.scan(cursor, block, count);
        }
    }

    // Whether a record is a copy of one that lies in two pieces.
    pub(super) fn has_copied(&self, record: Record<'_>) -> bool {
        matches!(self, Window::Perf(window, _) if !window.holds(record.address()))
    }

    // Where the header of a record stands, of the block that was scanned last.
    pub(super) fn position(&self, cursor: Cursor, block: &Block<'_>, index: usize) -> u64 {
        match self {
            Window::Ring(window, start) => {
                start + (block.record(index).address() - ring::HEADER - window.address()) as u64
            }
            Window::Perf(_, start) => start + (cursor.at - block.rest(index)) as u64,
        }
    }
}

impl Cursor {
    // Events that were lost between the two.
    pub(super) fn lost_since(self, before: Self) -> u64 {
        self.lost - before.lost
    }
}
