//! Column buffers that are written block by block, and the batches that are cut off them.
//!
//! Columns of one slab are filled from the front; a batch is a range of rows that are written and never touched again,
//! so it is lent to Arrow without a copy while later rows are still being written behind it.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::Buffer;
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::DataType;

use super::block::{Block, Payloads};
use super::dictionary::Dictionary;
use super::plan::{Field, Kind, Plan};
use super::slab::{Pool, Slab};
use super::variable::{cut, room, tail, write_text};
use crate::error::{Error, Result};
use crate::sys::clock::Offsets;

// Batches start on a multiple of this: bits of two batches never share a word, and buffers stay aligned for Arrow.
const ALIGN: usize = 64;
// What one row of text or list takes on average, for the size of a slab; a slab whose tail is full ends early.
const AVERAGE_TAIL: usize = 48;
const HUGE_PAGE: usize = 2 << 20;
// A value of __data_loc has at most this many bytes; text may grow to three times as much.
const LARGEST_TAIL: usize = 3 * 65_535;
// A record's length has 30 bits.
const LARGEST_RECORD: usize = 1 << 30;

pub(crate) struct Columns {
    plan: Arc<Plan>,
    pool: Arc<Pool>,
    shape: Shape,
    slab: Option<Arc<Slab>>,
    writers: Vec<Writer>,
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

struct Writer {
    field: Field,
    // Offsets of the column's parts from the slab's base.
    values: usize,
    validity: usize,
    offsets: usize,
    // Bytes of the tail that are written.
    used: usize,
    dictionary: Option<Dictionary>,
}

impl Kind {
    // Bytes of a row in the column's first buffer: values, keys, or the offsets of values in the tail.
    fn width(self) -> usize {
        match self {
            Self::Chars(_) => 4,
            Self::Text { .. } | Self::TailBytes | Self::TailIntegers(_) | Self::Record => 0,
            fixed => fixed.size(),
        }
    }

    fn has_tail(self) -> bool {
        matches!(self, Self::Text { .. } | Self::TailBytes | Self::TailIntegers(_) | Self::Record)
    }
}

impl Columns {
    // `batch` is how many rows a batch has at most, `record` how long a record may be.
    pub(crate) fn new(plan: Arc<Plan>, batch: usize, record: usize) -> Self {
        let mut shape = Shape { rows: batch.next_multiple_of(ALIGN), tail: 0, largest: 0, size: 0 };
        for field in plan.fields.iter().filter(|field| field.kind.has_tail()) {
            let largest = if field.kind == Kind::Record { record.min(LARGEST_RECORD) + 16 } else { LARGEST_TAIL };
            shape.largest = shape.largest.max(largest);
            // Arrow's offsets are 32 bits.
            let tail = (shape.rows * AVERAGE_TAIL).max(2 * largest).next_multiple_of(ALIGN);
            shape.tail = shape.tail.max(tail.min(i32::MAX as usize / ALIGN * ALIGN));
        }
        let row: usize =
            plan.fields.iter().map(|field| if field.kind == Kind::Bool { 1 } else { field.kind.width() }).sum();
        // A slab fills whole huge pages, with one batch that is a little smaller, or with several.
        let (_, least) = divide(&plan, &shape);
        if shape.tail == 0 && least > HUGE_PAGE / 2 {
            let rows = least.max(HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE / row.max(1) / ALIGN * ALIGN;
            shape.rows = if rows > shape.rows { rows / shape.rows * shape.rows } else { rows.max(ALIGN) };
        }
        let (writers, size) = divide(&plan, &shape);
        shape.size = if size > HUGE_PAGE / 2 { size.next_multiple_of(HUGE_PAGE) } else { size };
        let pool = Pool::new(shape.size);
        Self { plan, pool, shape, slab: None, writers, start: 0, end: 0, cuts: 0 }
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

    // Writes the records of a block that fit, from the first; at most room(). None fit: cut the batch, then try again.
    pub(crate) fn append(&mut self, block: &Block<'_>, clocks: &Offsets) -> Result<usize> {
        if block.len() == 0 {
            return Ok(0);
        }
        let slab = if let Some(slab) = &self.slab {
            Arc::clone(slab)
        } else {
            let slab = self.pool.take().map_err(Error::kernel("cannot get memory for a batch"))?;
            self.slab = Some(Arc::clone(&slab));
            slab
        };
        let count = self.fitting(block)?;
        let row = self.end;
        debug_assert!(row + count <= self.shape.rows);
        let mut ahead = block.ahead();
        let share = ahead.lines().div_ceil(self.writers.len());
        for writer in &mut self.writers {
            ahead.fetch(share);
            // SAFETY: rows from `end` on belong to no batch; the shape gave each column room for `rows` rows, and
            // fitting() saw that there is room in its tail. Records hold every field: none is shorter than the plan.
            self.cuts += unsafe { writer.append(slab.base(), row, block, count, clocks) };
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
        for writer in self.writers.iter().filter(|writer| writer.field.kind.has_tail()) {
            let mut left = self.shape.tail - writer.used;
            for (i, record) in block.records().take(count).enumerate() {
                let Ok(value) = tail(&writer.field, record) else {
                    if i > 0 {
                        count = i;
                        break;
                    }
                    return Err(Error::Layout(format!(
                        "field {:?} points out of its record; the layout is another one",
                        writer.field.name
                    )));
                };
                let needed = value.map_or(0, |value| room(writer.field.kind, value));
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
        let columns: Vec<ArrayRef> = self
            .writers
            .iter_mut()
            // SAFETY: rows start..end are written in every column, and nobody writes to them again: `start` moves on.
            .map(|writer| make_array(unsafe { writer.cut(&slab, self.start, self.end) }))
            .collect();
        self.start = self.end.next_multiple_of(ALIGN);
        if self.start + ALIGN > self.shape.rows || self.writers.iter().any(|writer| writer.is_nearly_full(&self.shape))
        {
            self.slab = None;
            self.start = 0;
            for writer in &mut self.writers {
                writer.used = 0;
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
    let writers = plan
        .fields
        .iter()
        .map(|field| {
            let kind = field.kind;
            let tailed = kind.has_tail();
            Writer {
                field: field.clone(),
                values: part(match kind {
                    Kind::Bool => shape.rows / 8,
                    _ if tailed => shape.tail,
                    _ => shape.rows * kind.width(),
                }),
                validity: part(if tailed { shape.rows / 8 } else { 0 }),
                offsets: part(if tailed { (shape.rows + 1) * 4 } else { 0 }),
                used: 0,
                dictionary: if let Kind::Chars(count) = kind { Some(Dictionary::new(count)) } else { None },
            }
        })
        .collect();
    (writers, size.next_multiple_of(HUGE_PAGE.min(1 << 16)))
}

// Copies one number of each record into its column.
//
// SAFETY (of the caller): `from` gives addresses that are readable for a T, `to` is writable for `count` of them.
#[inline(always)]
unsafe fn gather<T: Copy>(count: usize, from: impl Fn(usize) -> *const u8, to: *mut u8, map: impl Fn(T) -> T) {
    let to = to.cast::<T>();
    for i in 0..count {
        // SAFETY: promised by the caller; columns are aligned for T, records need not be.
        unsafe { to.add(i).write(map(from(i).cast::<T>().read_unaligned())) };
    }
}

// Bits are written in order, so the first of a byte clears what the byte held in an earlier life.
//
// SAFETY (of the caller): the byte of `row` is writable.
unsafe fn set_bit(bits: *mut u8, row: usize, bit: bool) {
    // SAFETY: promised by the caller.
    unsafe {
        let byte = bits.add(row / 8);
        let before = if row.is_multiple_of(8) { 0 } else { byte.read() };
        byte.write(before | u8::from(bit) << (row % 8));
    }
}

impl Writer {
    // SAFETY (of the caller): the slab at `base` has room for `count` rows from `row` on and for their tails; the first
    // `count` records hold the field, and its value where that is in the tail.
    unsafe fn append(&mut self, base: *mut u8, row: usize, block: &Block<'_>, count: usize, clocks: &Offsets) -> u64 {
        let offset = self.field.offset;
        // SAFETY: promised by the caller.
        unsafe {
            if self.field.kind.has_tail() {
                return self.append_tail(base, row, block, count);
            }
            match block.payloads(count) {
                Payloads::Strided { first, stride, count } => {
                    let first = first.wrapping_add(offset);
                    self.append_fixed(base, row, count, |i| first.wrapping_add(i * stride), clocks);
                }
                Payloads::Listed(payloads) => {
                    self.append_fixed(base, row, count, |i| payloads[i].wrapping_add(offset), clocks);
                }
            }
        }
        0
    }

    // SAFETY (of the caller): the slab has room for `count` rows; `from` gives the addresses of the field in each record.
    #[inline(always)]
    unsafe fn append_fixed(
        &mut self,
        base: *mut u8,
        row: usize,
        count: usize,
        from: impl Fn(usize) -> *const u8 + Copy,
        clocks: &Offsets,
    ) {
        let kind = self.field.kind;
        // SAFETY: the column's first part has width() bytes for each row, and the field is readable (promised).
        unsafe {
            // Of bits there are fewer than this says, and it is not used for them.
            let to = base.wrapping_add(self.values + row * kind.width());
            match kind {
                Kind::Integer(integer) => match integer.width() {
                    1 => gather::<u8>(count, from, to, |value| value),
                    2 => gather::<u16>(count, from, to, |value| value),
                    4 => gather::<u32>(count, from, to, |value| value),
                    _ => gather::<u64>(count, from, to, |value| value),
                },
                Kind::Time(clock) => {
                    let add = clock.offset(clocks);
                    gather::<i64>(count, from, to, |value| value.wrapping_add(add));
                }
                Kind::Bool => {
                    for i in 0..count {
                        set_bit(base.add(self.values), row + i, from(i).read() != 0);
                    }
                }
                Kind::Chars(_) => {
                    if let Some(dictionary) = &mut self.dictionary {
                        dictionary.encode(count, from, to.cast());
                    }
                }
                Kind::Bytes(_) | Kind::Integers(..) => {
                    let width = kind.width();
                    for i in 0..count {
                        std::ptr::copy_nonoverlapping(from(i), to.add(i * width), width);
                    }
                }
                // Written by append_tail.
                Kind::Text { .. } | Kind::TailBytes | Kind::TailIntegers(_) | Kind::Record => {}
            }
        }
    }

    // SAFETY (of the caller): as for append.
    unsafe fn append_tail(&mut self, base: *mut u8, row: usize, block: &Block<'_>, count: usize) -> u64 {
        let element = if let Kind::TailIntegers(integer) = self.field.kind { integer.width() } else { 1 };
        let mut cuts = 0;
        // SAFETY: the parts have room for these rows (promised by the caller); offsets has one more entry than rows.
        unsafe {
            let offsets = self.offsets(base);
            if row == 0 {
                offsets.write(0);
            }
            for (i, record) in block.records().take(count).enumerate() {
                let value = tail(&self.field, record).ok().flatten();
                set_bit(base.add(self.validity), row + i, value.is_some());
                let to = base.add(self.values + self.used);
                let value = value.unwrap_or_default();
                self.used += if let Kind::Text { most } = self.field.kind {
                    cuts += u64::from(value.len() > most);
                    write_text(cut(value, most), to)
                } else {
                    std::ptr::copy_nonoverlapping(value.as_ptr(), to, value.len());
                    value.len() / element * element
                };
                offsets.add(row + i + 1).write((self.used / element) as i32);
            }
        }
        cuts
    }

    fn offsets(&self, base: *mut u8) -> *mut i32 {
        base.wrapping_add(self.offsets).cast()
    }

    fn is_nearly_full(&self, shape: &Shape) -> bool {
        self.field.kind.has_tail() && self.used + shape.largest > shape.tail
    }

    // SAFETY (of the caller): rows start..end are written and will not be written again.
    unsafe fn cut(&mut self, slab: &Arc<Slab>, start: usize, end: usize) -> ArrayData {
        let kind = self.field.kind;
        let rows = end - start;
        let data_type = kind.data_type();
        let base = slab.base();
        // SAFETY: parts of the slab that are written (promised by the caller) and not written again; start is a multiple
        // of 64, so bits start on a byte. The arrays are right by construction: keys are below the dictionary's length,
        // offsets ascend within the values, text is UTF-8 (write_text).
        unsafe {
            let part = |at: usize, len: usize| slab.buffer(base.add(at), len);
            let array = ArrayDataBuilder::new(data_type).len(rows);
            let values = |width: usize| part(self.values + start * width, rows * width);
            match kind {
                Kind::Integer(_) | Kind::Time(_) | Kind::Bytes(_) => {
                    array.add_buffer(values(kind.width())).build_unchecked()
                }
                Kind::Bool => array.add_buffer(part(self.values + start / 8, rows.div_ceil(8))).build_unchecked(),
                Kind::Integers(integer, count) => array
                    .add_child_data(primitive(integer.data_type(), rows * count, values(kind.width())))
                    .build_unchecked(),
                Kind::Chars(_) => {
                    let keys = values(4);
                    let dictionary = self.dictionary.as_mut().map(|dictionary| dictionary.finish().to_data());
                    array.add_buffer(keys).child_data(dictionary.into_iter().collect()).build_unchecked()
                }
                Kind::Text { .. } | Kind::TailBytes | Kind::TailIntegers(_) | Kind::Record => {
                    let offsets = part(self.offsets + start * 4, (rows + 1) * 4);
                    let validity = part(self.validity + start / 8, rows.div_ceil(8));
                    let array = array.add_buffer(offsets).null_bit_buffer(Some(validity));
                    let values = part(self.values, self.used);
                    let next = end.next_multiple_of(ALIGN);
                    if next != end {
                        let first = self.offsets(base);
                        first.add(next).write(first.add(end).read());
                    }
                    if let Kind::TailIntegers(integer) = kind {
                        let count = self.used / integer.width();
                        array.add_child_data(primitive(integer.data_type(), count, values)).build_unchecked()
                    } else {
                        array.add_buffer(values).build_unchecked()
                    }
                }
            }
        }
    }
}

// SAFETY (of the caller): `values` holds `len` values of the type.
unsafe fn primitive(data_type: DataType, len: usize, values: Buffer) -> ArrayData {
    // SAFETY: promised by the caller.
    unsafe { ArrayDataBuilder::new(data_type).len(len).add_buffer(values).build_unchecked() }
}
