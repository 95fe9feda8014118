//! Column buffers that are written block by block, and the batches that are cut off them.
//!
//! Columns of one slab are filled from the front; a batch is a range of rows that are written and never touched again,
//! so it is lent to Arrow without a copy while later rows are still being written behind it.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, make_array};

use super::block::Block;
use super::nested::Cut;
use super::parse::LARGEST_RECORD;
use super::plan::{ALIGN, Form, Leaf, Plan};
use super::slab::{Pool, Slab};
use super::variable::{all_within, room, tail};
use super::words::Words;
use super::writer::{TOGETHER, Target, Writer};
use crate::error::{Error, Result};
use crate::sys::clock::Offsets;

// What one row of text or list takes on average, for the size of a slab; a slab whose tail is full ends early.
const AVERAGE_TAIL: usize = 48;
const HUGE_PAGE: usize = 2 << 20;
// A slab of flat columns: as large as stays in a cache until its batch has been looked at, if `max_rows` is not less.
const FLAT: usize = 2 * HUGE_PAGE;
// A value of __data_loc has at most this many bytes; text may grow to three times as much.
const LARGEST_TAIL: usize = 3 * 65_535;
// No machine has memory for more; the kernel refuses it before.
const LARGEST_SLAB: usize = 1 << 40;

pub(crate) struct Columns {
    plan: Arc<Plan>,
    pool: Arc<Pool>,
    shape: Shape,
    slab: Option<Arc<Slab>>,
    writers: Vec<Writer>,
    // Columns that are written together, and the places of the others' writers.
    words: Words,
    others: Vec<usize>,
    // The rows of the open batch; what lies before `start` has been cut off.
    start: usize,
    end: usize,
    // Texts that were longer than their column takes.
    cuts: u64,
}

// How a slab is divided among the columns.
struct Shape {
    rows: usize,
    tail: usize,
    // What one value may take of it.
    largest: usize,
    size: usize,
}

impl Leaf {
    // Bytes that a row takes of the slab, besides the tail.
    fn row(&self) -> usize {
        let offsets = if self.has_offsets() && !self.has_tail() { 4 } else { 0 };
        self.repeat * (if self.is_bit() { 1 } else { self.width() } + offsets)
    }
}

impl Columns {
    // `batch` is how many rows a batch has at most, `record` how long a record may be.
    pub(crate) fn new(plan: Arc<Plan>, batch: usize, record: usize) -> Self {
        let row: usize = plan.leaves.iter().map(Leaf::row).sum();
        // Arrow's offsets are 32 bits.
        let units = plan.leaves.iter().map(Leaf::offset_units).max().unwrap_or(1);
        let most = (i32::MAX as usize / units).min(LARGEST_SLAB / row.max(1)).max(ALIGN);
        let rows = batch.min(most / ALIGN * ALIGN).next_multiple_of(ALIGN);
        let mut shape = Shape { rows, tail: 0, largest: 0, size: 0 };
        for leaf in plan.leaves.iter().filter(|leaf| leaf.has_tail()) {
            let largest =
                if matches!(leaf.form, Form::Record) { record.min(LARGEST_RECORD) + 16 } else { LARGEST_TAIL };
            shape.largest = shape.largest.max(largest);
            let tail = (shape.rows * AVERAGE_TAIL).max(2 * largest).next_multiple_of(ALIGN);
            shape.tail = shape.tail.max(tail.min(i32::MAX as usize / ALIGN * ALIGN));
        }
        // A slab fills whole huge pages, with one batch that is a little smaller, or with several.
        let (_, least) = divide(&plan, &shape);
        if shape.tail == 0 && least > HUGE_PAGE / 2 {
            // Offsets are one more than their rows.
            let slack = ALIGN * plan.leaves.iter().filter(|leaf| leaf.has_offsets()).count();
            let rows = (least.clamp(HUGE_PAGE, FLAT) / HUGE_PAGE * HUGE_PAGE - slack) / row.max(1) / ALIGN * ALIGN;
            shape.rows = if rows > shape.rows { rows / shape.rows * shape.rows } else { rows.max(ALIGN) };
        }
        let (writers, size) = divide(&plan, &shape);
        shape.size = if size > HUGE_PAGE / 2 { size.next_multiple_of(HUGE_PAGE) } else { size };
        let pool = Pool::new(shape.size);
        let mut words = Words::default();
        let others = (0..writers.len()).filter(|&at| !words.take(&writers[at].leaf, writers[at].values())).collect();
        Self { plan, pool, shape, slab: None, writers, words, others, start: 0, end: 0, cuts: 0 }
    }

    pub(crate) fn schema(&self) -> arrow_schema::SchemaRef {
        Arc::clone(&self.plan.schema)
    }

    // Rows of the open batch.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    // Rows that the open batch can still take.
    pub(crate) fn room(&self) -> usize {
        self.shape.rows - self.end
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cuts
    }

    pub(crate) fn slab_size(&self) -> usize {
        self.shape.size
    }

    // Whether its one column holds records as they are, one after another.
    pub(crate) fn is_plain(&self) -> bool {
        match self.plan.leaves.as_slice() {
            [Leaf { form: Form::Number(number), offset: 0, path, .. }] => {
                !number.big && path.is_empty() && number.width() == self.plan.size
            }
            _ => false,
        }
    }

    // Adds records to a plain column, at most room(): `fill` writes them where they are to stand.
    pub(crate) fn fill(&mut self, count: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        assert!(self.is_plain() && count <= self.room(), "{count} records");
        let size = self.plan.size;
        let at = self.base()?.wrapping_add(self.writers[0].values() + self.end * size);
        // SAFETY: the column has room for these rows, which belong to no batch; a slab's bytes are those of its mapping.
        fill(unsafe { std::slice::from_raw_parts_mut(at, count * size) });
        self.end += count;
        Ok(())
    }

    fn base(&mut self) -> Result<*mut u8> {
        if self.slab.is_none() {
            self.slab = Some(self.pool.take().map_err(Error::kernel("cannot get memory for a batch"))?);
        }
        Ok(self.slab.as_ref().map_or(std::ptr::null_mut(), |slab| slab.base()))
    }

    // Writes the records of a block that fit, from the first; at most room(). None fit: cut the batch, then try again.
    pub(crate) fn append(&mut self, block: &Block<'_>, clocks: &Offsets) -> Result<usize> {
        if block.len() == 0 {
            return Ok(0);
        }
        let base = self.base()?;
        let count = self.fitting(block)?;
        let row = self.end;
        debug_assert!(row + count <= self.shape.rows);
        let mut ahead = block.ahead(count.div_ceil(TOGETHER) * (self.words.len() + self.others.len()));
        for start in (0..count).step_by(TOGETHER) {
            let part = block.part(start, TOGETHER.min(count - start));
            let target = Target { base, row: row + start, blank: &self.plan.blank, clocks };
            // SAFETY: rows from `end` on belong to no batch; the shape gave each column room for `rows` rows, and
            // fitting() saw that there is room in its tail. Records hold every field: none is shorter than the plan, and
            // who reads a buffer has seen that there is what the plan reads in front of its records.
            unsafe { self.words.append(&target, part, &mut ahead) };
            for &at in &self.others {
                ahead.fetch();
                // SAFETY: as above.
                self.cuts += unsafe { self.writers[at].append(&target, part) };
            }
        }
        self.end += count;
        Ok(count)
    }

    // How many of the block's records there is room for in the tails. Also sees that no value points out of its record.
    pub(crate) fn fitting(&self, block: &Block<'_>) -> Result<usize> {
        let mut count = block.len().min(self.room());
        if block.shortest() < self.plan.size {
            // Those in front of the short one are good.
            let short = block.records().map(|record| record.payload().len()).position(|len| len < self.plan.size);
            count = count.min(short.unwrap_or(count));
            if count == 0 {
                return Err(Error::Layout(format!(
                    "a record of {} bytes is shorter than its layout, which has {}; declare the record as the program \
                     writes it",
                    block.shortest(),
                    self.plan.size,
                )));
            }
        }
        if self.shape.tail == 0 {
            return Ok(count);
        }
        let tails = || self.writers.iter().filter(|writer| writer.leaf.has_tail());
        // Nearly always there is more room than the block could take.
        if block.bytes().is_some_and(|bytes| tails().all(|writer| 3 * bytes <= self.shape.tail - writer.used()))
            // SAFETY: none of the records is shorter than the plan.
            && tails().all(|writer| unsafe { all_within(&writer.leaf, block, count) })
        {
            return Ok(count);
        }
        for writer in tails() {
            let mut left = self.shape.tail - writer.used();
            for (i, record) in block.records().take(count).enumerate() {
                let Ok(value) = tail(&writer.leaf, record) else {
                    if i > 0 {
                        count = i;
                        break;
                    }
                    return Err(Error::Layout(format!(
                        "field {:?} points out of its record; the layout is another one",
                        writer.leaf.name
                    )));
                };
                let needed = value.map_or(0, |value| room(&writer.leaf.form, value));
                if needed > left {
                    count = i;
                    break;
                }
                left -= needed;
            }
        }
        Ok(count)
    }

    // Takes the open batch, None when it has no rows.
    pub(crate) fn cut(&mut self) -> Result<Option<RecordBatch>> {
        let rows = self.len();
        let Some(slab) = self.slab.clone().filter(|_| rows > 0) else {
            return Ok(None);
        };
        let mut cut = Cut { writers: &mut self.writers, slab: &slab, start: self.start, end: self.end };
        let columns: Vec<ArrayRef> = self
            .plan
            .nodes
            .iter()
            .zip(self.plan.schema.fields())
            // SAFETY: rows start..end are written in every column, and nobody writes to them again: `start` moves on.
            .map(|(node, field)| make_array(unsafe { cut.column(node, field.data_type(), 1) }))
            .collect();
        self.start = self.end.next_multiple_of(ALIGN);
        let shape = &self.shape;
        let is_nearly_full = |writer: &Writer| writer.leaf.has_tail() && writer.used() + shape.largest > shape.tail;
        if self.start + ALIGN > shape.rows || self.writers.iter().any(is_nearly_full) {
            self.slab = None;
            self.start = 0;
            for writer in &mut self.writers {
                writer.start_over();
            }
        }
        self.end = self.start;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(self.schema(), columns, &options)?))
    }
}

fn divide(plan: &Plan, shape: &Shape) -> (Vec<Writer>, usize) {
    let mut size = 0;
    let mut part = |bytes: usize| {
        let at = size;
        size += bytes.next_multiple_of(ALIGN);
        at
    };
    let writers = plan.leaves.iter().map(|leaf| Writer::new(leaf, shape.rows, shape.tail, &mut part)).collect();
    (writers, size.next_multiple_of(HUGE_PAGE.min(1 << 16)))
}
