//! Records that are not decoded: each whole, as it stands in its buffer, and which of the stream's sources it is of.
//!
//! A source is what buffers have in common: their kind, and which record belongs to which table. A batch has one set of
//! clock offsets, which its schema tells.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use arrow_array::{ArrayRef, RecordBatch, UInt16Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::queue::Batch;
use super::tables::Of;
use crate::error::Result;
use crate::record::plan::Plan;
use crate::sys::clock::Offsets;

#[derive(Default)]
pub(super) struct Whole {
    // Of the open batch's records.
    sources: Vec<u16>,
    pub(super) clocks: Option<Offsets>,
}

pub(super) fn plan() -> Result<Plan> {
    Plan::new(vec![("record".into(), 0, "record".into())], 0)
}

pub(super) fn schema() -> SchemaRef {
    let fields = [Field::new("source", DataType::UInt16, false), Field::new("record", DataType::Binary, false)];
    Arc::new(Schema::new(fields.to_vec()))
}

// The same with other numbers for the sources.
pub(super) fn shifted(batch: Batch, by: usize) -> Result<Batch> {
    let rows = &batch.rows;
    let sources: UInt16Array = rows.column(0).as_primitive::<UInt16Type>().unary(|source| source + by as u16);
    let columns: Vec<ArrayRef> = vec![Arc::new(sources), Arc::clone(rows.column(1))];
    Ok(Batch { table: 0, rows: RecordBatch::try_new(rows.schema(), columns)? })
}

impl Whole {
    // The first `count` records of a block were written.
    pub(super) fn take(&mut self, of: &Of, count: usize, clocks: &Offsets) {
        if count > 0 {
            self.sources.extend((0..count).map(|row| of.table(row) as u16));
            self.clocks = Some(*clocks);
        }
    }

    pub(super) fn cut(&mut self, records: &RecordBatch) -> Result<RecordBatch> {
        let sources = UInt16Array::from(std::mem::take(&mut self.sources));
        let told = self.clocks.map(|Offsets { monotonic, boottime, tai }| {
            ("fastbpf.utc_offsets".to_owned(), format!("monotonic={monotonic} boottime={boottime} tai={tai}"))
        });
        let schema = schema().as_ref().clone().with_metadata(told.into_iter().collect::<HashMap<_, _>>());
        Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(sources), Arc::clone(records.column(0))])?)
    }
}
