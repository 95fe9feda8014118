//! Records that were taken from buffers whole, decoded again.

use std::sync::Arc;

use super::queue::Batch;
use super::tables::{Route, Tables};
use super::transport::{Cursor, Form, Stop, Window};
use crate::error::{Error, Result};
use crate::perf;
use crate::record::block::Block;
use crate::record::plan::Plan;
use crate::ring;
use crate::sys::clock::Offsets;

pub(crate) struct Replay {
    sources: Vec<(Form, Route)>,
    tables: Tables,
    ready: Vec<Batch>,
}

// What the columns of one set of batches take at most, whatever the layouts say.
const MOST: usize = 1 << 30;

impl Replay {
    pub(crate) fn new(sources: Vec<(Form, Route)>, plans: &[Arc<Plan>], max_rows: usize) -> Result<Self> {
        let mut rows = max_rows.max(1);
        loop {
            let tables = Tables::new(plans.to_vec(), rows, 0);
            if tables.slab_size() <= MOST {
                return Ok(Self { sources, tables, ready: Vec::new() });
            }
            if rows == 1 {
                return Err(Error::Layout(format!(
                    "its records are so large that a few rows take more than {MOST} bytes"
                )));
            }
            rows /= 2;
        }
    }

    // What became full is ready then, also where the bytes turn out to be none of the source's.
    pub(crate) fn decode(&mut self, source: usize, bytes: &[u8], clocks: &Offsets) -> Result<()> {
        let damaged = |why: &str| Error::Stream(format!("these are not the bytes of a buffer: {why}"));
        let Self { sources, tables, ready } = self;
        let Some((form, route)) = sources.get(source) else {
            return Err(damaged(&format!("there is no source {source}")));
        };
        let words = words(bytes);
        let window = match form {
            Form::Ring => Window::Ring(ring::Window::of_words(&words), 0),
            Form::Perf => Window::Perf(perf::window::Window::of_words(&words), 0),
        };
        let mut cursor = Cursor::default();
        let mut block = Block::new();
        // A table whose columns have no room for the next record.
        let mut full = None;
        loop {
            while let Some(table) = full.take().or_else(|| tables.full()) {
                let too_large = || damaged("a record has more text than a batch can hold");
                ready.push(tables.cut(table)?.ok_or_else(too_large)?);
            }
            let before = cursor;
            let mut stop = window.scan(&mut cursor, &mut block, tables.room());
            let found = block.len();
            let mut count = found;
            let of = route.of(&block, &mut count)?;
            let appended = tables.append(&mut block, &of, count, clocks)?;
            (count, full) = (appended.count, appended.full);
            if count < found {
                window.pass_only(&mut cursor, before, &mut block, count);
                stop = Stop::Full;
            }
            match stop {
                Stop::Full => {}
                Stop::End if cursor.at == bytes.len() => return Ok(()),
                Stop::End => return Err(damaged("they end in the middle of a record")),
                Stop::Busy => return Err(damaged("a record is unfinished")),
                Stop::Corrupt { length, .. } => {
                    return Err(damaged(&format!("a record of {length} bytes does not fit")));
                }
            }
        }
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.tables.cuts()
    }

    // The batches that became full; at the `end` the others too.
    pub(crate) fn take(&mut self, end: bool) -> Result<Vec<Batch>> {
        for table in 0..if end { self.tables.len() } else { 0 } {
            self.ready.extend(self.tables.cut(table)?);
        }
        Ok(std::mem::take(&mut self.ready))
    }
}

// Aligned as a buffer is.
fn words(bytes: &[u8]) -> Vec<u64> {
    let word = |part: &[u8]| {
        let mut whole = [0; 8];
        whole[..part.len()].copy_from_slice(part);
        u64::from_ne_bytes(whole)
    };
    bytes.chunks(8).map(word).collect()
}
