//! Bytes that were taken from a ring, decoded again.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::error::{Error, Result};
use crate::record::block::Block;
use crate::record::columns::Columns;
use crate::record::plan::Plan;
use crate::ring::Window;
use crate::ring::scan::{Cursor, Stop, scan};
use crate::sys::clock::Offsets;

pub(crate) struct Replay {
    columns: Columns,
    max_rows: usize,
}

impl Replay {
    pub(crate) fn new(plan: Arc<Plan>, max_rows: usize) -> Self {
        let max_rows = max_rows.max(1);
        Self { columns: Columns::new(plan, max_rows, 0), max_rows }
    }

    // The batches that became full.
    pub(crate) fn decode(&mut self, bytes: &[u8], clocks: &Offsets) -> Result<Vec<RecordBatch>> {
        let damaged = |why: &str| Error::Stream(format!("these are not the bytes of a ring buffer: {why}"));
        let mut aligned = vec![0_u64; bytes.len().div_ceil(8)];
        for (word, chunk) in aligned.iter_mut().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(whole);
        }
        let window = Window::of_words(&aligned);
        let mut cursor = Cursor::new();
        let mut block = Block::new();
        let mut batches = Vec::new();
        loop {
            if self.columns.len() >= self.max_rows || self.columns.room() == 0 {
                batches.extend(self.columns.cut()?);
            }
            let before = cursor;
            let limit = self.columns.room().min(self.max_rows - self.columns.len());
            let stop = scan(window, &mut cursor, &mut block, limit);
            let written = self.columns.append(&block, clocks)?;
            if written < block.len() {
                cursor = before;
                if written > 0 {
                    scan(window, &mut cursor, &mut block, written);
                }
                let batch =
                    self.columns.cut()?.ok_or_else(|| damaged("a record has more text than a batch can hold"))?;
                batches.push(batch);
                continue;
            }
            match stop {
                Stop::Full => {}
                Stop::End if cursor.at == aligned.len() * 8 && bytes.len().is_multiple_of(8) => {
                    return Ok(batches);
                }
                Stop::End => return Err(damaged("they end in the middle of a record")),
                Stop::Busy => return Err(damaged("a record is unfinished")),
                Stop::Corrupt { length, .. } => {
                    return Err(damaged(&format!("a record of {length} bytes does not fit")));
                }
            }
        }
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.columns.cuts()
    }

    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        self.columns.cut()
    }
}
