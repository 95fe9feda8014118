//! A record's layout, compiled to what each column is made of.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};

use crate::error::{Error, Result};
use crate::sys::clock::Offsets;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integer {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Monotonic,
    Boottime,
    Tai,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer(Integer),
    Bool,
    Time(Clock),
    // NUL-terminated text in N bytes.
    Chars(usize),
    Bytes(usize),
    Integers(Integer, usize),
    // What follows stands in the record's tail: a u32 holds its place, length << 16 | offset, as the kernel's __data_loc
    // does; offset 0 means that it could not be read.
    Text { most: usize },
    TailBytes,
    TailIntegers(Integer),
    // The whole record as it stands in the ring, header and padding included.
    Record,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) offset: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) fields: Vec<Field>,
    // Every record has at least this many bytes.
    pub(crate) size: usize,
    pub(crate) schema: SchemaRef,
}

impl Clock {
    // What to add to a reading to get UTC.
    pub(crate) fn offset(self, offsets: &Offsets) -> i64 {
        match self {
            Self::Monotonic => offsets.monotonic,
            Self::Boottime => offsets.boottime,
            Self::Tai => offsets.tai,
        }
    }
}

impl Integer {
    pub(crate) fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 => 4,
            Self::U64 | Self::I64 => 8,
        }
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::U8 => DataType::UInt8,
            Self::I8 => DataType::Int8,
            Self::U16 => DataType::UInt16,
            Self::I16 => DataType::Int16,
            Self::U32 => DataType::UInt32,
            Self::I32 => DataType::Int32,
            Self::U64 => DataType::UInt64,
            Self::I64 => DataType::Int64,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "u8" => Self::U8,
            "i8" => Self::I8,
            "u16" => Self::U16,
            "i16" => Self::I16,
            "u32" => Self::U32,
            "i32" => Self::I32,
            "u64" => Self::U64,
            "i64" => Self::I64,
            _ => return None,
        })
    }
}

impl Kind {
    // The form that Python's field types and capture files write: "u32", "char[16]", "u8[4]", "text[256]", "u32[]".
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Some(element) = text.strip_suffix(']') else {
            return Some(match text {
                "bool" => Self::Bool,
                "ktime" => Self::Time(Clock::Monotonic),
                "boottime" => Self::Time(Clock::Boottime),
                "tai" => Self::Time(Clock::Tai),
                "record" => Self::Record,
                integer => Self::Integer(Integer::parse(integer)?),
            });
        };
        let (element, count) = element.split_once('[')?;
        if count.is_empty() {
            return Some(match element {
                "bytes" => Self::TailBytes,
                integer => Self::TailIntegers(Integer::parse(integer)?),
            });
        }
        let count = count.parse().ok().filter(|&count| (1..=1 << 20).contains(&count))?;
        Some(match element {
            "char" => Self::Chars(count),
            "bytes" => Self::Bytes(count),
            "text" => Self::Text { most: count },
            integer => Self::Integers(Integer::parse(integer)?, count),
        })
    }

    // Bytes in the fixed part of the record.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Integer(integer) => integer.width(),
            Self::Bool => 1,
            Self::Time(_) => 8,
            Self::Chars(count) | Self::Bytes(count) => count,
            Self::Integers(integer, count) => integer.width() * count,
            Self::Text { .. } | Self::TailBytes | Self::TailIntegers(_) => 4,
            Self::Record => 0,
        }
    }

    fn nullable(self) -> bool {
        matches!(self, Self::Text { .. } | Self::TailBytes | Self::TailIntegers(_))
    }

    pub(crate) fn data_type(self) -> DataType {
        let item = |integer: Integer| Arc::new(ArrowField::new("item", integer.data_type(), false));
        match self {
            Self::Integer(integer) => integer.data_type(),
            Self::Bool => DataType::Boolean,
            Self::Time(_) => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Self::Chars(_) => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Bytes(count) => DataType::FixedSizeBinary(as_i32(count)),
            Self::Integers(integer, count) => DataType::FixedSizeList(item(integer), as_i32(count)),
            Self::Text { .. } => DataType::Utf8,
            Self::TailBytes | Self::Record => DataType::Binary,
            Self::TailIntegers(integer) => DataType::List(item(integer)),
        }
    }
}

fn as_i32(count: usize) -> i32 {
    i32::try_from(count).expect("counts are at most 2^20")
}

impl Plan {
    // Whether records of the two have the same form, and become the same columns.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let fields = |plan: &Self| plan.fields.iter().map(|field| (field.offset, field.kind)).collect::<Vec<_>>();
        self.size == other.size && self.schema.fields() == other.schema.fields() && fields(self) == fields(other)
    }

    // The first field that tells when the event happened.
    pub(crate) fn time(&self) -> Option<(isize, Clock)> {
        self.fields.iter().find_map(|field| match field.kind {
            Kind::Time(clock) => Some((field.offset.cast_signed(), clock)),
            _ => None,
        })
    }

    pub(crate) fn new(fields: Vec<(String, usize, String)>, size: usize) -> Result<Self> {
        let mut compiled = Vec::with_capacity(fields.len());
        let mut columns = Vec::with_capacity(fields.len());
        for (name, offset, text) in fields {
            let kind = Kind::parse(&text)
                .ok_or_else(|| Error::Layout(format!("field {name:?} has a type that is not known: {text:?}")))?;
            if offset.checked_add(kind.size()).is_none_or(|end| end > size) {
                return Err(Error::Layout(format!(
                    "field {name:?} ({text}) at offset {offset} does not fit into a record of {size} bytes"
                )));
            }
            columns.push(ArrowField::new(&name, kind.data_type(), kind.nullable()));
            compiled.push(Field { name, offset, kind });
        }
        if compiled.is_empty() {
            return Err(Error::Layout("a record needs at least one field".into()));
        }
        Ok(Self { fields: compiled, size, schema: Arc::new(Schema::new(columns)) })
    }
}
