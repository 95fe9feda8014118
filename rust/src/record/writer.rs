//! The column of a leaf: its parts of the slab, and how values get there.

use std::sync::Arc;

use arrow_buffer::Buffer;
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::DataType;

use super::address;
use super::block::{Part, Payloads};
use super::dictionary::Dictionary;
use super::kind::{Number, native16, native32, native64};
use super::names::Names;
use super::path::Elements;
use super::plan::{ALIGN, Form, Leaf};
use super::slab::Slab;
use super::variable::{AT_ONCE, copy_ascii, cut, tail, write_text};
use crate::sys::clock::Offsets;

pub(super) struct Writer {
    pub(super) leaf: Leaf,
    column: Column,
}

struct Column {
    // Offsets of the column's parts from the slab's base.
    values: usize,
    validity: usize,
    offsets: usize,
    // Bytes that are written, where values differ in length.
    used: usize,
    lookup: Lookup,
}

// What gives values their keys.
enum Lookup {
    None,
    Texts(Dictionary),
    Names(Box<Names>),
}

// What is the same for all columns while a block is written.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) base: *mut u8,
    // The first row that is written.
    pub(super) row: usize,
    // The address of `blank` stands for elements that are not there.
    pub(super) blank: &'a [u8],
    pub(super) clocks: &'a Offsets,
}

// Rows that are written to each column before the next one's turn: few, so that records are still near and memory is asked
// for in small portions, which work and memory then share their time by (measured: a tenth less time).
pub(super) const TOGETHER: usize = 32;
const FEW: usize = 4;

// Copies one number of each record into its column.
//
// SAFETY (of the caller): `from` gives addresses that are readable for a T, `to` is writable for `count` of them.
#[inline(never)]
pub(super) unsafe fn gather<T: Copy>(
    count: usize,
    from: impl Fn(usize) -> *const u8,
    to: *mut u8,
    map: impl Fn(T) -> T,
) {
    let to = to.cast::<T>();
    // SAFETY: promised by the caller; records need not be aligned.
    let value = |i| map(unsafe { from(i).cast::<T>().read_unaligned() });
    if count == TOGETHER {
        // A few are read before one is written, so that the compiler need not look whether the column lies in the records:
        // for so few rows that would take longer than the copy.
        for start in (0..TOGETHER).step_by(FEW) {
            let values: [T; FEW] = std::array::from_fn(|i| value(start + i));
            // SAFETY: promised by the caller; columns are aligned for T.
            unsafe { to.add(start).cast::<[T; FEW]>().write(values) };
        }
        return;
    }
    for i in 0..count {
        // SAFETY: as above.
        unsafe { to.add(i).write(value(i)) };
    }
}

// As gather, in the byte order of the record.
//
// SAFETY (of the caller): as for gather.
#[inline(always)]
unsafe fn gather_numbers(number: Number, count: usize, from: impl Fn(usize) -> *const u8, to: *mut u8) {
    // SAFETY: promised by the caller.
    unsafe {
        match (number.width(), number.big) {
            (1, _) => gather::<u8>(count, from, to, |value| value),
            (2, false) => gather::<u16>(count, from, to, |value| value),
            (4, false) => gather::<u32>(count, from, to, |value| value),
            (_, false) => gather::<u64>(count, from, to, |value| value),
            (2, true) => gather(count, from, to, |value| native16(true, value)),
            (4, true) => gather(count, from, to, |value| native32(true, value)),
            (_, true) => gather(count, from, to, |value| native64(true, value)),
        }
    }
}

// Numbers that follow each other, `len` bytes.
//
// SAFETY (of the caller): `from` is readable and `to` writable for `len` bytes.
unsafe fn copy_numbers(number: Number, from: *const u8, len: usize, to: *mut u8) {
    // SAFETY: promised by the caller.
    unsafe {
        if number.big {
            let width = number.width();
            gather_numbers(number, len / width, |i| from.wrapping_add(i * width), to);
        } else {
            copy(from, len, to);
        }
    }
}

// Copies what is often short: a call would take longer than the copy.
//
// SAFETY (of the caller): `from` is readable and `to` writable for `len` bytes.
#[inline(always)]
unsafe fn copy(from: *const u8, len: usize, to: *mut u8) {
    const AT_ONCE: usize = 32;
    // SAFETY: each part lies within the two.
    unsafe {
        let mut at = 0;
        while at + AT_ONCE <= len {
            to.add(at).cast::<[u8; AT_ONCE]>().write(from.add(at).cast::<[u8; AT_ONCE]>().read());
            at += AT_ONCE;
        }
        while at + 8 <= len {
            to.add(at).cast::<[u8; 8]>().write(from.add(at).cast::<[u8; 8]>().read());
            at += 8;
        }
        while at < len {
            to.add(at).write(from.add(at).read());
            at += 1;
        }
    }
}

// Writes a value of any length; returns the bytes written, and whether the value was longer than its column takes.
//
// SAFETY (of the caller): `to` is writable for as many bytes as the value may take (room).
#[inline(never)]
unsafe fn write_tail(form: &Form, value: &[u8], to: *mut u8) -> (usize, bool) {
    // SAFETY: promised by the caller.
    unsafe {
        match *form {
            Form::Text { most } => (write_text(cut(value, most), to), value.len() > most),
            Form::TailNumbers(number) => {
                let len = value.len() / number.width() * number.width();
                copy_numbers(number, value.as_ptr(), len, to);
                (len, false)
            }
            _ => {
                std::ptr::copy_nonoverlapping(value.as_ptr(), to, value.len());
                (value.len(), false)
            }
        }
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
    // `part` gives out parts of the slab, which has room for `rows` rows and `tail` bytes of each tail.
    pub(super) fn new(leaf: &Leaf, rows: usize, tail: usize, part: &mut impl FnMut(usize) -> usize) -> Self {
        let elements = rows * leaf.repeat;
        let column = Column {
            values: part(match leaf {
                leaf if leaf.has_tail() => tail + AT_ONCE,
                leaf if leaf.is_bit() => elements / 8,
                leaf => elements * leaf.width(),
            }),
            validity: part(if leaf.has_tail() { rows / 8 } else { 0 }),
            offsets: part(if leaf.has_offsets() { (elements + 1) * 4 } else { 0 }),
            used: 0,
            lookup: match &leaf.form {
                Form::Chars(count) => Lookup::Texts(Dictionary::new(*count)),
                Form::Enum(bits, names) => Lookup::Names(Box::new(Names::new(*bits, Arc::clone(names)))),
                _ => Lookup::None,
            },
        };
        Self { leaf: leaf.clone(), column }
    }

    // Where the values stand, from the slab's base.
    pub(super) fn values(&self) -> usize {
        self.column.values
    }

    // Bytes of the tail that are written.
    pub(super) fn used(&self) -> usize {
        self.column.used
    }

    // The next slab is empty.
    pub(super) fn start_over(&mut self) {
        self.column.used = 0;
    }

    // Returns how many texts were longer than their column takes.
    //
    // SAFETY (of the caller): the slab at the base has room for the part's rows from the target's row on and for
    // their tails; each record holds the field, and its value where that is in the tail.
    pub(super) unsafe fn append(&mut self, target: &Target<'_>, part: Part<'_, '_>) -> u64 {
        let Self { leaf, column } = self;
        let (offset, count) = (leaf.offset, part.len());
        // SAFETY: promised by the caller.
        unsafe {
            if leaf.has_tail() {
                return column.append_tails(leaf, target, part);
            }
            match part.payloads() {
                payloads if !leaf.path.is_empty() => column.append_elements(leaf, target, &payloads, count),
                Payloads::Strided { first, stride } => {
                    let first = first.wrapping_offset(offset);
                    column.append(&leaf.form, target, target.row, count, |i| first.wrapping_add(i * stride));
                }
                Payloads::Listed(payloads) => {
                    column.append(&leaf.form, target, target.row, count, |i| {
                        payloads.get_unchecked(i).wrapping_offset(offset)
                    });
                }
            }
        }
        0
    }

    // SAFETY (of the caller): rows start..end are written and will not be written again.
    pub(super) unsafe fn cut(&mut self, slab: &Arc<Slab>, start: usize, end: usize, data_type: &DataType) -> ArrayData {
        let repeat = self.leaf.repeat;
        let next = end.next_multiple_of(ALIGN);
        // SAFETY: promised by the caller.
        unsafe { self.column.cut(&self.leaf, slab, [start, end, next].map(|row| row * repeat), data_type) }
    }

    // The bits of a part of rows, of a leaf that is a bit.
    //
    // SAFETY (of the caller): as for cut.
    pub(super) unsafe fn cut_bits(&self, slab: &Arc<Slab>, start: usize, end: usize) -> Buffer {
        let repeat = self.leaf.repeat;
        // SAFETY: promised by the caller; start is a multiple of 64, so bits start on a byte.
        unsafe {
            let at = slab.base().add(self.column.values + start * repeat / 8);
            slab.buffer(at, ((end - start) * repeat).div_ceil(8))
        }
    }
}

impl Column {
    // SAFETY (of the caller): the column has room for `count` elements from `row` on; `from` gives the addresses of the
    // field in each.
    #[inline(always)]
    unsafe fn append(
        &mut self,
        form: &Form,
        target: &Target<'_>,
        row: usize,
        count: usize,
        from: impl Fn(usize) -> *const u8 + Copy,
    ) {
        let values = target.base.wrapping_add(self.values);
        // SAFETY: the column's first part has room for each element, and the field is readable (promised).
        unsafe {
            match *form {
                Form::Number(number) => gather_numbers(number, count, from, values.add(row * number.width())),
                Form::Time(clock) => {
                    let add = clock.offset(target.clocks);
                    gather::<i64>(count, from, values.add(row * 8), |value| value.wrapping_add(add));
                }
                Form::Chars(_) => {
                    if let Lookup::Texts(dictionary) = &mut self.lookup {
                        dictionary.encode(count, from, values.add(row * 4).cast());
                    }
                }
                Form::Bytes(width) => {
                    let to = values.add(row * width);
                    for i in 0..count {
                        copy(from(i), width, to.add(i * width));
                    }
                }
                Form::Numbers(number, len) => {
                    let width = number.width() * len;
                    let to = values.add(row * width);
                    for i in 0..count {
                        copy_numbers(number, from(i), width, to.add(i * width));
                    }
                }
                Form::Bool => {
                    for i in 0..count {
                        set_bit(values, row + i, from(i).read() != 0);
                    }
                }
                Form::Flag(bit) => {
                    for i in 0..count {
                        set_bit(values, row + i, from(i).read() >> bit & 1 != 0);
                    }
                }
                Form::Selected => {
                    for i in 0..count {
                        set_bit(values, row + i, from(i) != target.blank.as_ptr());
                    }
                }
                Form::Bits(bits) => {
                    let big = bits.number.big;
                    let width = bits.number.width();
                    let to = values.add(row * width);
                    let extract = |value| bits.extract(value);
                    match width {
                        1 => gather::<u8>(count, from, to, |value| extract(value.into()) as u8),
                        2 => gather(count, from, to, |value| extract(native16(big, value).into()) as u16),
                        4 => gather(count, from, to, |value| extract(native32(big, value).into()) as u32),
                        _ => gather(count, from, to, |value| extract(native64(big, value))),
                    }
                }
                Form::Enum(..) => {
                    if let Lookup::Names(names) = &mut self.lookup {
                        names.encode(count, from, values.add(row * 4).cast());
                    }
                }
                Form::Address(address) => {
                    self.append_each(target, row, count, 1, |i, to| address::write(address, from(i), to));
                }
                Form::Stack(most) => self.append_each(target, row, count, 8, |i, to| {
                    let from = from(i);
                    let is_address = |at: &usize| from.add(at * 8).cast::<u64>().read_unaligned() != 0;
                    let len = 8 * (0..most).take_while(is_address).count();
                    std::ptr::copy_nonoverlapping(from, to, len);
                    len
                }),
                // Written by append_tails.
                Form::Text { .. } | Form::TailBytes | Form::TailNumbers(_) | Form::Record => {}
            }
        }
    }

    // Values that differ in length, but not beyond a bound for which there is room; `write` returns the bytes written.
    //
    // SAFETY (of the caller): as for append.
    #[inline(always)]
    unsafe fn append_each(
        &mut self,
        target: &Target<'_>,
        row: usize,
        count: usize,
        unit: usize,
        write: impl Fn(usize, *mut u8) -> usize,
    ) {
        let offsets = self.offsets(target.base);
        // SAFETY: offsets has one more entry than there are elements (promised by the caller).
        unsafe {
            if row == 0 {
                offsets.write(0);
            }
            for i in 0..count {
                self.used += write(i, target.base.add(self.values + self.used));
                offsets.add(row + i + 1).write((self.used / unit) as i32);
            }
        }
    }

    // Elements of arrays and of unions' members.
    //
    // SAFETY (of the caller): as for Writer::append.
    #[inline(never)]
    unsafe fn append_elements(&mut self, leaf: &Leaf, target: &Target<'_>, payloads: &Payloads<'_>, count: usize) {
        let mut elements = Elements::new(leaf, target.blank, target.row);
        let mut write = |row, addresses: &[*const u8]| {
            // SAFETY: the column has room for `repeat` elements of each row, each address is that of an element or of
            // the blank, which is as long as any (Plan::new).
            unsafe { self.append(&leaf.form, target, row, addresses.len(), |i| addresses[i]) };
        };
        for i in 0..count {
            let record = match *payloads {
                Payloads::Strided { first, stride } => first.wrapping_add(i * stride),
                Payloads::Listed(payloads) => payloads[i],
            };
            // SAFETY: the record is as long as the plan says (promised by the caller).
            unsafe { elements.of(record, &mut write) };
        }
        elements.finish(&mut write);
    }

    // SAFETY (of the caller): as for Writer::append.
    unsafe fn append_tails(&mut self, leaf: &Leaf, target: &Target<'_>, part: Part<'_, '_>) -> u64 {
        let Target { base, row, .. } = *target;
        // What is copied at once: texts of other forms are not, and neither are those that would be cut.
        let shorts = if let Form::Text { most } = leaf.form { most.min(AT_ONCE) } else { 0 };
        let (values, validity) = (base.wrapping_add(self.values), base.wrapping_add(self.validity));
        // Of the bytes that offsets count, as a power of two.
        let unit = if let Form::TailNumbers(number) = leaf.form { number.width().trailing_zeros() } else { 0 };
        let mut cuts = 0;
        // SAFETY: the parts have room for these rows (promised by the caller); offsets has one more entry than rows.
        unsafe {
            let offsets = self.offsets(base);
            if row == 0 {
                offsets.write(0);
            }
            let mut used = self.used;
            for (i, record) in part.records().enumerate() {
                let value = tail(leaf, record).ok().flatten();
                set_bit(validity, row + i, value.is_some());
                let value = value.unwrap_or_default();
                let (from, len, to) = (value.as_ptr(), value.len(), values.add(used));
                if len <= shorts && part.has(from, AT_ONCE) && copy_ascii(from, len, to) {
                    used += len;
                } else {
                    let (written, is_cut) = write_tail(&leaf.form, value, to);
                    used += written;
                    cuts += u64::from(is_cut);
                }
                offsets.add(row + i + 1).write((used >> unit) as i32);
            }
            self.used = used;
        }
        cuts
    }

    fn offsets(&self, base: *mut u8) -> *mut i32 {
        base.wrapping_add(self.offsets).cast()
    }

    // SAFETY (of the caller): elements start..end are written and will not be written again; those of the next batch
    // begin at `next`.
    unsafe fn cut(
        &mut self,
        leaf: &Leaf,
        slab: &Arc<Slab>,
        [start, end, next]: [usize; 3],
        data_type: &DataType,
    ) -> ArrayData {
        let rows = end - start;
        let base = slab.base();
        let width = leaf.width();
        // SAFETY: parts of the slab that are written (promised by the caller) and not written again; start is a multiple
        // of 64, so bits start on a byte. The arrays are right by construction: keys are below the dictionary's length,
        // offsets ascend within the values, text is UTF-8 (write_text, address::write).
        unsafe {
            let part = |at: usize, len: usize| slab.buffer(base.add(at), len);
            let array = ArrayDataBuilder::new(data_type.clone()).len(rows);
            if leaf.has_offsets() {
                let mut array = array.add_buffer(part(self.offsets + start * 4, (rows + 1) * 4));
                if leaf.has_tail() {
                    array = array.null_bit_buffer(Some(part(self.validity + start / 8, rows.div_ceil(8))));
                }
                if next != end {
                    let first = self.offsets(base);
                    first.add(next).write(first.add(end).read());
                }
                let values = part(self.values, self.used);
                return match data_type {
                    DataType::List(item) => array.add_child_data(numbers(item.data_type(), values)),
                    _ => array.add_buffer(values),
                }
                .build_unchecked();
            }
            let values = if leaf.is_bit() {
                part(self.values + start / 8, rows.div_ceil(8))
            } else {
                part(self.values + start * width, rows * width)
            };
            match (data_type, &mut self.lookup) {
                (DataType::FixedSizeList(item, _), _) => array.add_child_data(numbers(item.data_type(), values)),
                (_, Lookup::Texts(dictionary)) => {
                    array.add_buffer(values).add_child_data(dictionary.finish().to_data())
                }
                (_, Lookup::Names(names)) => array.add_buffer(values).add_child_data(names.finish().to_data()),
                (_, Lookup::None) => array.add_buffer(values),
            }
            .build_unchecked()
        }
    }
}

// SAFETY (of the caller): `values` holds numbers of the type.
unsafe fn numbers(data_type: &DataType, values: Buffer) -> ArrayData {
    let len = values.len() / data_type.primitive_width().unwrap_or(1);
    // SAFETY: promised by the caller.
    unsafe { ArrayDataBuilder::new(data_type.clone()).len(len).add_buffer(values).build_unchecked() }
}
