//! Batches that wait for their reader, and what happens when it does not come.

use std::collections::VecDeque;

use arrow_array::RecordBatch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    // Leaves events in the buffer until there is room: the buffer fills, and the program counts what finds none.
    Block,
    DropNewest,
    DropOldest,
}

// A batch, and which of the stream's tables it is a part of.
pub(crate) struct Batch {
    pub(crate) table: usize,
    pub(crate) rows: RecordBatch,
}

pub(super) struct Queue {
    pub(super) batches: VecDeque<Batch>,
    pub(super) limit: usize,
    pub(super) overflow: Overflow,
    // Rows that were thrown away.
    pub(super) dropped: u64,
}

#[derive(PartialEq, Eq)]
pub(super) enum Room {
    Made,
    // What is in the buffer stays there ...
    None,
    // ... or is passed.
    Drop,
}

impl Queue {
    pub(super) fn new(limit: usize, overflow: Overflow) -> Self {
        Self { batches: VecDeque::new(), limit, overflow, dropped: 0 }
    }

    // Room for one more batch.
    pub(super) fn room(&mut self) -> Room {
        if self.batches.len() < self.limit {
            return Room::Made;
        }
        match self.overflow {
            Overflow::Block => Room::None,
            Overflow::DropNewest => Room::Drop,
            Overflow::DropOldest => {
                if let Some(oldest) = self.batches.pop_front() {
                    self.dropped += oldest.rows.num_rows() as u64;
                }
                Room::Made
            }
        }
    }
}
