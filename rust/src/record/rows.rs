//! From Arrow columns to the bytes of records: the other way round.
//!
//! Each column is checked and packed by itself, as wide as its field is; numbers of the processor's order stay where they
//! are. Records are made of the columns where they are to stand, with zeros between the fields.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, RecordBatch};
use arrow_buffer::Buffer;
use arrow_cast::display::array_value_to_string;
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{DataType, Field as Column, TimeUnit};

use super::kind::{Address, Bits, Clock, Field, Kind, Names, Number, Scalar, Struct};
use super::plan::parsed;
use crate::error::{Error, Result};
use crate::sys::clock;

// Records that are written before the next column's turn, so that they stay in the nearest cache.
const TOGETHER: usize = 64;

// A record whose every field can be written from a column.
pub(crate) struct Layout {
    fields: Vec<Field>,
    pub(crate) size: usize,
}

// The rows of a batch, checked.
pub(crate) struct Rows {
    pub(crate) len: usize,
    pub(crate) size: usize,
    columns: Vec<Packed>,
}

// A field's values in the record's form, one after another.
struct Packed {
    offset: usize,
    width: usize,
    bytes: Buffer,
    // Bits, which share their bytes with others'.
    shared: bool,
}

// Why a column is refused.
enum Refusal {
    // The columns that would do.
    Type(String),
    Value { row: usize, why: String },
}

impl Layout {
    pub(crate) fn new(fields: Vec<(String, isize, String)>, size: usize) -> Result<Self> {
        let fields = parsed(fields, size)?;
        for Field { name, offset, kind } in &fields {
            if *offset < 0 || !can_be_written(kind) {
                return Err(Error::Layout(format!(
                    "field {name:?} cannot be written from a column; integers, bitfields, floats, bools, addresses, \
                     char[N], raw[N], structs and arrays of numbers or structs can"
                )));
            }
        }
        Ok(Self { fields, size })
    }

    // `before`: rows of the same table that stand in front of these, for the messages.
    pub(crate) fn rows(&self, batch: &RecordBatch, before: usize) -> Result<Rows> {
        let mut columns = Vec::with_capacity(self.fields.len());
        for Field { name, offset, kind } in &self.fields {
            let Some(column) = batch.column_by_name(name) else {
                let schema = batch.schema();
                let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                return Err(Error::Layout(format!("there is no column {name:?}, only {}", there.join(", "))));
            };
            let bytes = packed(kind, column).map_err(|refusal| match refusal {
                Refusal::Type(wanted) => {
                    Error::Layout(format!("column {name:?} is of the type {}; give {wanted}", column.data_type()))
                }
                Refusal::Value { row, why } => Error::Layout(format!("column {name:?}, row {}: {why}", before + row)),
            })?;
            columns.push(Packed::new(*offset, kind, bytes));
        }
        Ok(Rows { len: batch.num_rows(), size: self.size, columns })
    }
}

impl Rows {
    // Records one after another, as many as there are bytes for: `size` each.
    pub(crate) fn of(bytes: Vec<u8>, size: usize) -> Self {
        let len = bytes.len().checked_div(size).unwrap_or(0);
        Self { len, size, columns: vec![Packed { offset: 0, width: size, bytes: bytes.into(), shared: false }] }
    }

    // `count` records from row `from` on, one after another: in `room`, or where they stand already.
    pub(crate) fn packed<'a>(&'a self, from: usize, count: usize, room: &'a mut Vec<u8>) -> &'a [u8] {
        assert!(from + count <= self.len, "there are {} rows", self.len);
        match self.columns.as_slice() {
            [Packed { offset: 0, width, bytes, shared: false }] if *width == self.size => {
                &bytes[from * width..(from + count) * width]
            }
            _ => {
                room.clear();
                room.reserve(count * self.size);
                // SAFETY: there are so many rows, and it is room for them, which `write` fills whole.
                unsafe {
                    self.write(from, count, room.as_mut_ptr(), self.size);
                    room.set_len(count * self.size);
                }
                room
            }
        }
    }

    // Writes `count` records from row `from` on, each `stride` bytes behind the one before.
    //
    // SAFETY (of the caller): there are so many rows; the records lie in memory that is writable, and nobody else's.
    pub(crate) unsafe fn write(&self, from: usize, count: usize, to: *mut u8, stride: usize) {
        for start in (0..count).step_by(TOGETHER) {
            let count = TOGETHER.min(count - start);
            // SAFETY: promised by the caller; start is below the count.
            let to = unsafe { to.add(start * stride) };
            for record in 0..count {
                // SAFETY: promised by the caller.
                unsafe { to.add(record * stride).write_bytes(0, self.size) };
            }
            for Packed { offset, width, bytes, shared } in &self.columns {
                let values = &bytes[(from + start) * width..(from + start + count) * width];
                // SAFETY: fields lie within the record (parsed); `values` are so many. It was zeroed above.
                unsafe {
                    let to = to.add(*offset);
                    match width {
                        _ if *shared => {
                            for (record, value) in values.chunks_exact(*width).enumerate() {
                                for (at, byte) in value.iter().enumerate() {
                                    *to.add(record * stride + at) |= byte;
                                }
                            }
                        }
                        1 => scatter::<1>(values, to, stride),
                        2 => scatter::<2>(values, to, stride),
                        4 => scatter::<4>(values, to, stride),
                        8 => scatter::<8>(values, to, stride),
                        width => {
                            for (record, value) in values.chunks_exact(*width).enumerate() {
                                to.add(record * stride).copy_from_nonoverlapping(value.as_ptr(), *width);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Packed {
    fn new(offset: isize, kind: &Kind, bytes: Buffer) -> Self {
        let shared = matches!(kind, Kind::Bits(_) | Kind::Flag(_));
        Self { offset: offset.unsigned_abs(), width: kind.size(), bytes, shared }
    }
}

// SAFETY (of the caller): every `stride` bytes from `to` on there is room for a value, for as many as there are.
unsafe fn scatter<const WIDTH: usize>(values: &[u8], to: *mut u8, stride: usize) {
    for (record, value) in values.as_chunks::<WIDTH>().0.iter().enumerate() {
        // SAFETY: promised by the caller; an array of bytes has no alignment.
        unsafe { to.add(record * stride).cast::<[u8; WIDTH]>().write(*value) };
    }
}

fn can_be_written(kind: &Kind) -> bool {
    match kind {
        Kind::Number(_)
        | Kind::Numbers(..)
        | Kind::Enum(..)
        | Kind::Port
        | Kind::Time(_)
        | Kind::Duration
        | Kind::Bool
        | Kind::Chars(_)
        | Kind::Bytes(_)
        | Kind::Address(_)
        | Kind::RawAddress(_)
        | Kind::Bits(_)
        | Kind::Flag(_) => true,
        Kind::Struct(structure) | Kind::List(structure, _) => {
            structure.fields.iter().all(|field| can_be_written(&field.kind))
        }
        // The rest has more than one meaning or any length.
        _ => false,
    }
}

fn packed(kind: &Kind, column: &ArrayRef) -> std::result::Result<Buffer, Refusal> {
    // What it means is the dictionary's value.
    let plain = match column.data_type() {
        DataType::Dictionary(_, value) => cast(column, value, value)?,
        _ => Arc::clone(column),
    };
    if let Some(row) = null(&plain) {
        return Err(Refusal::Value { row, why: "null, and a record has a value for each field".into() });
    }
    match kind {
        Kind::Number(number) => numbers(*number, &plain),
        Kind::Enum(number, names) => numbers(*number, &numbered(&plain, names)?),
        Kind::Port => numbers(Number::U16_BE, &plain),
        Kind::Time(clock) => numbers(Number { scalar: Scalar::U64, big: false }, &readings(*clock, plain)?),
        Kind::Duration => {
            let nanoseconds = match plain.data_type() {
                DataType::Duration(_) => {
                    let long = converted(&plain, &DataType::Duration(TimeUnit::Nanosecond))?;
                    converted(&long, &DataType::Int64)?
                }
                _ => plain,
            };
            numbers(Number { scalar: Scalar::U64, big: false }, &nanoseconds)
        }
        Kind::Numbers(number, count) => lists("numbers", *count, &plain, |elements| numbers(*number, elements)),
        Kind::List(structure, count) => lists("structs", *count, &plain, |elements| structs(structure, elements)),
        Kind::Struct(structure) => structs(structure, &plain),
        Kind::Bits(bits) => some_bits(*bits, &plain),
        Kind::Bool => bools(&plain, 0),
        Kind::Flag(bit) => bools(&plain, *bit),
        Kind::Chars(width) | Kind::Bytes(width) => {
            pack_each(&plain, *width, |value| (value.len() <= *width).then(|| value.to_vec()))
        }
        Kind::RawAddress(address) => {
            pack_each(&plain, address.size(), |value| (value.len() == address.size()).then(|| value.to_vec()))
        }
        Kind::Address(address) => pack_each(&plain, address.size(), |value| read(*address, value)),
        _ => Err(Refusal::Type("no column: this type of field cannot be written".into())),
    }
}

fn numbers(number: Number, column: &ArrayRef) -> std::result::Result<Buffer, Refusal> {
    let given = column.data_type();
    if !(given.is_integer() || given.is_floating() && !number.is_integer()) {
        return Err(Refusal::Type(if number.is_integer() { "integers" } else { "floats" }.into()));
    }
    let target = match number.scalar {
        Scalar::U8 => DataType::UInt8,
        Scalar::I8 => DataType::Int8,
        Scalar::U16 => DataType::UInt16,
        Scalar::I16 => DataType::Int16,
        Scalar::U32 => DataType::UInt32,
        Scalar::I32 => DataType::Int32,
        Scalar::U64 => DataType::UInt64,
        Scalar::I64 => DataType::Int64,
        Scalar::F32 => DataType::Float32,
        Scalar::F64 => DataType::Float64,
    };
    let values = converted(column, &target)?;
    if given != &target && !number.is_integer() {
        exact(column, &values)?;
    }
    let width = number.width();
    let data = values.to_data();
    let bytes = data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width);
    if number.big && cfg!(target_endian = "little") {
        return Ok(bytes.chunks_exact(width).flat_map(|value| value.iter().rev()).copied().collect::<Vec<_>>().into());
    }
    Ok(bytes)
}

// Refuses integers that a float cannot hold, and floats that a smaller one holds as infinity only.
fn exact(given: &ArrayRef, floats: &ArrayRef) -> std::result::Result<(), Refusal> {
    let wrong = if given.data_type().is_integer() {
        let back = cast(floats, given.data_type(), given.data_type())?;
        (0..given.len()).find(|&row| given.slice(row, 1).as_ref() != back.slice(row, 1).as_ref())
    } else {
        let infinite = |floats: &ArrayRef| -> std::result::Result<Vec<bool>, Refusal> {
            let wide = cast(floats, &DataType::Float64, &DataType::Float64)?;
            Ok(wide
                .as_primitive::<arrow_array::types::Float64Type>()
                .values()
                .iter()
                .map(|x| x.is_infinite())
                .collect())
        };
        infinite(given)?.into_iter().zip(infinite(floats)?).position(|(before, after)| before != after)
    };
    wrong.map_or(Ok(()), |row| Err(unfit(given, row)))
}

// What the clock read at a time; numbers are readings already.
fn readings(clock: Clock, column: ArrayRef) -> std::result::Result<ArrayRef, Refusal> {
    let DataType::Timestamp(_, zone) = column.data_type() else {
        return Ok(column);
    };
    let utc = converted(&column, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?;
    let utc = converted(&utc, &DataType::Int64)?;
    let offset = clock.offset(&clock::look(false).latest());
    let readings = utc.as_primitive::<Int64Type>().unary::<_, Int64Type>(|time| time.saturating_sub(offset));
    match readings.values().iter().position(|&reading| reading < 0) {
        Some(row) => Err(Refusal::Value { row, why: format!("{} is before the clock began", shown(&column, row)) }),
        None => Ok(Arc::new(readings)),
    }
}

fn bools(column: &ArrayRef, bit: u32) -> std::result::Result<Buffer, Refusal> {
    let bools = column.as_boolean_opt().ok_or_else(|| Refusal::Type("bools".into()))?;
    Ok(bools.values().iter().map(|set| u8::from(set) << bit).collect::<Vec<_>>().into())
}

// A bitfield's numbers where they stand in its integer.
fn some_bits(bits: Bits, column: &ArrayRef) -> std::result::Result<Buffer, Refusal> {
    if !column.data_type().is_integer() {
        return Err(Refusal::Type("integers".into()));
    }
    let width = bits.number.width();
    let mut bytes: Vec<u8> = Vec::with_capacity(width * column.len());
    // No integer has more than 38 digits.
    let wide = converted(column, &DataType::Decimal128(38, 0))?;
    for (row, number) in wide.as_primitive::<Decimal128Type>().values().iter().enumerate() {
        let held = bits.holding(*number).ok_or_else(|| unfit(column, row))?;
        let placed = (held & (u64::MAX >> (64 - bits.width))) << bits.first;
        let little = placed.to_le_bytes();
        if bits.number.big || cfg!(target_endian = "big") {
            bytes.extend(little[..width].iter().rev());
        } else {
            bytes.extend(&little[..width]);
        }
    }
    Ok(bytes.into())
}

// The numbers of an enum, which are written as they are read: by name, or as they are where they have none.
fn numbered(column: &ArrayRef, names: &Names) -> std::result::Result<ArrayRef, Refusal> {
    if !matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        return Ok(Arc::clone(column));
    }
    let texts = converted(column, &DataType::LargeUtf8)?;
    let texts = texts.as_string::<i64>();
    let number = |row: usize| {
        let text = texts.value(row);
        let named = names.iter().find(|(name, _)| name == text).map(|(_, number)| *number);
        named.or_else(|| text.parse().ok()).ok_or_else(|| unfit(column, row))
    };
    let numbers: Vec<i128> = (0..texts.len()).map(number).collect::<std::result::Result<_, _>>()?;
    let decimals = Decimal128Array::from(numbers).with_precision_and_scale(38, 0);
    let decimals: ArrayRef = Arc::new(decimals.map_err(|_| Refusal::Type("names".into()))?);
    // Which integer it has to be is looked at later.
    let wide = if names.iter().any(|(_, number)| *number < 0) { DataType::Int64 } else { DataType::UInt64 };
    cast(&decimals, &wide, &wide)
}

fn structs(structure: &Struct, column: &ArrayRef) -> std::result::Result<Buffer, Refusal> {
    let names: Vec<_> = structure.fields.iter().map(|field| field.name.as_str()).collect();
    let wanted = || Refusal::Type(format!("structs of {}", names.join(", ")));
    let given = column.as_struct_opt().ok_or_else(wanted)?;
    let mut columns = Vec::with_capacity(structure.fields.len());
    for Field { name, offset, kind } in &structure.fields {
        let column = given.column_by_name(name).ok_or_else(wanted)?;
        let bytes = packed(kind, column).map_err(|refusal| match refusal {
            Refusal::Type(wanted) => Refusal::Type(format!("structs whose {name:?} is {wanted}")),
            Refusal::Value { row, why } => Refusal::Value { row, why: format!("{name}: {why}") },
        })?;
        columns.push(Packed::new(*offset, kind, bytes));
    }
    let rows = Rows { len: column.len(), size: structure.size, columns };
    let mut bytes = Vec::new();
    let filled = rows.packed(0, rows.len, &mut bytes);
    Ok(Buffer::from(filled))
}

// `what` the lists are of, and how these are packed.
fn lists(
    what: &str,
    count: usize,
    column: &ArrayRef,
    pack: impl Fn(&ArrayRef) -> std::result::Result<Buffer, Refusal>,
) -> std::result::Result<Buffer, Refusal> {
    let wanted = || Refusal::Type(format!("lists of {count} {what}"));
    let item = match column.data_type() {
        DataType::FixedSizeList(item, _) => item,
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            item
        }
        _ => return Err(wanted()),
    };
    let length = i32::try_from(count).map_err(|_| wanted())?;
    let target = DataType::FixedSizeList(Column::new_list_field(item.data_type().clone(), true).into(), length);
    if !can_cast_types(column.data_type(), &target) {
        return Err(wanted());
    }
    let fixed = cast(column, &target, column.data_type())?;
    if let Some(row) = null(&fixed) {
        return Err(Refusal::Value { row, why: format!("{} has not {count} elements", shown(column, row)) });
    }
    let fixed = fixed.as_fixed_size_list();
    let elements = fixed.values().slice(fixed.value_offset_at(0), fixed.len() * count);
    let in_row = |refusal| match refusal {
        Refusal::Value { row, why } => Refusal::Value { row: row / count, why },
        Refusal::Type(_) => wanted(),
    };
    if let Some(row) = null(&elements) {
        return Err(Refusal::Value { row: row / count, why: "null among the elements of a list".into() });
    }
    pack(&elements).map_err(in_row)
}

// Texts or byte strings, each in `width` bytes with zeros behind it.
fn pack_each(
    column: &ArrayRef,
    width: usize,
    pack: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> std::result::Result<Buffer, Refusal> {
    let values = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => converted(column, &DataType::LargeUtf8)?,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            converted(column, &DataType::LargeBinary)?
        }
        _ => return Err(Refusal::Type("text or bytes".into())),
    };
    let mut bytes = vec![0; width * column.len()];
    for (row, place) in bytes.chunks_exact_mut(width).enumerate() {
        let value = match values.data_type() {
            DataType::LargeUtf8 => values.as_string::<i64>().value(row).as_bytes(),
            _ => values.as_binary::<i64>().value(row),
        };
        let value = pack(value).ok_or_else(|| unfit(column, row))?;
        place[..value.len()].copy_from_slice(&value);
    }
    Ok(bytes.into())
}

// An address as text, or as it is.
fn read(address: Address, value: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    match address {
        Address::Ipv4 => Some(text.parse::<Ipv4Addr>().ok()?.octets().to_vec()),
        Address::Ipv6 => Some(text.parse::<Ipv6Addr>().ok()?.octets().to_vec()),
        Address::Mac => {
            let byte = |part: &str| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None };
            let bytes: Vec<u8> = text.split(':').map(byte).collect::<Option<_>>()?;
            (bytes.len() == address.size()).then_some(bytes)
        }
    }
}

// The column in another type; what that cannot hold is refused.
fn converted(column: &ArrayRef, target: &DataType) -> std::result::Result<ArrayRef, Refusal> {
    let values = cast(column, target, target)?;
    null(&values).map_or(Ok(values), |row| Err(unfit(column, row)))
}

// Nulls stand for what the type cannot hold.
fn cast(column: &ArrayRef, target: &DataType, wanted: &DataType) -> std::result::Result<ArrayRef, Refusal> {
    cast_with_options(column, target, &CastOptions::default()).map_err(|_| Refusal::Type(wanted.to_string()))
}

fn null(column: &ArrayRef) -> Option<usize> {
    let nulls = column.logical_nulls()?;
    (nulls.null_count() > 0).then(|| nulls.iter().position(|valid| !valid)).flatten()
}

fn unfit(column: &ArrayRef, row: usize) -> Refusal {
    Refusal::Value { row, why: format!("{} does not fit into the field", shown(column, row)) }
}

fn shown(column: &ArrayRef, row: usize) -> String {
    array_value_to_string(column, row).unwrap_or_else(|_| "the value".into())
}
