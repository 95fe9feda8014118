//! Record batches whose columns come from several records side by side: the key, the CPU, the value.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};

use crate::error::Result;
use crate::record::block::{Block, CAPACITY};
use crate::record::columns::Columns;
use crate::record::plan::Plan;
use crate::sys::clock::Offsets;

// Memory that the columns of a batch take at most, where values are large.
const MOST_BYTES: usize = 256 << 20;
const FEWEST_ROWS: usize = 64;

pub(super) struct Table {
    parts: Vec<Columns>,
    // Of all parts, under the names that were asked for.
    schema: SchemaRef,
    rows: usize,
}

// The records of a part: `length` bytes each, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Records<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) length: usize,
    pub(super) stride: usize,
}

impl Table {
    // `rows` of a batch at most.
    pub(super) fn new(plans: Vec<Plan>, names: &[String], rows: usize) -> Self {
        let fields = plans.iter().flat_map(|plan| plan.schema.fields().iter());
        let fields = fields.zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let size: usize = plans.iter().map(|plan| plan.size).sum();
        let rows = rows.min((MOST_BYTES / size.max(1)).max(FEWEST_ROWS));
        let parts = plans.into_iter().map(|plan| Columns::new(Arc::new(plan), rows, 0)).collect();
        Self { parts, schema, rows }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    // Rows of the open batch.
    pub(super) fn len(&self) -> usize {
        self.parts.first().map_or(0, Columns::len)
    }

    // Whether each part is one column that holds its records as they are.
    pub(super) fn is_plain(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(Columns::is_plain)
    }

    // Rows that the open batch has room for.
    pub(super) fn room(&self) -> usize {
        let room = self.parts.iter().map(Columns::room).min().unwrap_or(0);
        room.min(self.rows - self.len())
    }

    // Adds rows of plain parts: `fill` writes the records of each.
    pub(super) fn fill(&mut self, count: usize, mut fill: impl FnMut(usize, &mut [u8])) -> Result<()> {
        self.parts.iter_mut().enumerate().try_for_each(|(part, columns)| columns.fill(count, |to| fill(part, to)))
    }

    // Writes rows from `from` on, of which there are `rows`, and gives how many: fewer when the batch is full.
    pub(super) fn append(
        &mut self,
        records: &[Records<'_>],
        from: usize,
        rows: usize,
        clocks: &Offsets,
    ) -> Result<usize> {
        let mut block = Block::new();
        let mut at = from;
        while at < rows {
            let count = CAPACITY.min(rows - at).min(self.room());
            if count == 0 {
                break;
            }
            for (columns, part) in self.parts.iter_mut().zip(records) {
                block.strided(&part.bytes[at * part.stride..], part.length, part.stride, count);
                columns.append(&block, clocks)?;
            }
            at += count;
        }
        Ok(at - from)
    }

    // Takes the open batch, None when it has no rows.
    pub(super) fn cut(&mut self) -> Result<Option<RecordBatch>> {
        let rows = self.len();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for part in &mut self.parts {
            columns.extend(part.cut()?.map(|batch| batch.columns().to_vec()).unwrap_or_default());
        }
        if rows == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(self.schema(), columns, &options)?))
    }
}
