//! The Arrow type of each kind of field, and what Arrow's types cannot say, as metadata of the column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, FieldRef, TimeUnit};

use super::kind::{Address, Clock, Field, Kind, Number, Scalar, Union};

pub(super) fn column(field: &Field) -> ArrowField {
    ArrowField::new(&field.name, data_type(&field.kind), field.kind.is_tail()).with_metadata(metadata(&field.kind))
}

fn columns(fields: &[Field]) -> DataType {
    DataType::Struct(fields.iter().map(column).collect())
}

fn item(data_type: DataType) -> FieldRef {
    Arc::new(ArrowField::new("item", data_type, false))
}

fn scalar(scalar: Scalar) -> DataType {
    match scalar {
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
    }
}

fn data_type(kind: &Kind) -> DataType {
    match kind {
        Kind::Number(number) => scalar(number.scalar),
        Kind::Bits(bits) => scalar(bits.number.scalar),
        Kind::Bool | Kind::Flag(_) => DataType::Boolean,
        Kind::Time(_) => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        Kind::Duration => DataType::Duration(TimeUnit::Nanosecond),
        Kind::Address(_) | Kind::Text { .. } => DataType::Utf8,
        Kind::RawAddress(address) => DataType::FixedSizeBinary(address.size() as i32),
        Kind::Port => DataType::UInt16,
        Kind::Chars(_) | Kind::Enum(..) => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        Kind::Bytes(count) => DataType::FixedSizeBinary(*count as i32),
        Kind::Numbers(number, count) => DataType::FixedSizeList(item(scalar(number.scalar)), *count as i32),
        Kind::Stack(_) => DataType::List(item(DataType::UInt64)),
        Kind::TailBytes | Kind::Record => DataType::Binary,
        Kind::TailNumbers(number) => DataType::List(item(scalar(number.scalar))),
        Kind::Struct(structure) => columns(&structure.fields),
        Kind::List(structure, _) => DataType::List(item(columns(&structure.fields))),
        Kind::Union(Union { members, .. }) => {
            DataType::Struct(members.iter().map(|(_, member)| column(member).with_nullable(true)).collect())
        }
    }
}

// Every key is absent where it does not apply.
fn metadata(kind: &Kind) -> HashMap<String, String> {
    let unit = matches!(kind, Kind::Time(_) | Kind::Duration).then_some("ns");
    let clock = match kind {
        Kind::Time(Clock::Monotonic) => Some("monotonic"),
        Kind::Time(Clock::Boottime) => Some("boottime"),
        Kind::Time(Clock::Tai) => Some("tai"),
        _ => None,
    };
    let semantic = match kind {
        Kind::Address(address) | Kind::RawAddress(address) => Some(address.name()),
        Kind::Port => Some("port"),
        Kind::Stack(_) => Some("stack"),
        _ => None,
    };
    let known = [("c_type", c_type(kind)), ("unit", unit.map(Into::into)), ("clock", clock.map(Into::into))];
    known
        .into_iter()
        .chain([("semantic", semantic.map(Into::into))])
        .filter_map(|(key, value)| Some((format!("fastbpf.{key}"), value?)))
        .collect()
}

// C's name, or the kernel's.
fn c_type(kind: &Kind) -> Option<String> {
    Some(match *kind {
        Kind::Number(number) => c_number(number)?.into(),
        Kind::Bits(bits) => format!("{}:{}", c_number(bits.number)?, bits.width),
        Kind::Bool => "bool".into(),
        Kind::Flag(_) => "bool:1".into(),
        Kind::Time(_) | Kind::Duration => "__u64".into(),
        Kind::Address(address) | Kind::RawAddress(address) => match address {
            Address::Ipv4 => "__be32".into(),
            Address::Ipv6 => "struct in6_addr".into(),
            Address::Mac => "__u8[6]".into(),
        },
        Kind::Port => "__be16".into(),
        Kind::Chars(count) => format!("char[{count}]"),
        Kind::Bytes(count) => format!("__u8[{count}]"),
        Kind::Numbers(number, count) => format!("{}[{count}]", c_number(number)?),
        Kind::Stack(count) => format!("__u64[{count}]"),
        Kind::Text { .. } => "__data_loc char[]".into(),
        Kind::TailBytes => "__data_loc __u8[]".into(),
        Kind::TailNumbers(number) => format!("__data_loc {}[]", c_number(number)?),
        Kind::Enum(..) => "enum".into(),
        Kind::Struct(_) => "struct".into(),
        Kind::List(_, count) => format!("struct[{count}]"),
        Kind::Union(_) => "union".into(),
        Kind::Record => return None,
    })
}

fn c_number(number: Number) -> Option<&'static str> {
    Some(match (number.scalar, number.big) {
        (Scalar::U8, _) => "__u8",
        (Scalar::I8, _) => "__s8",
        (Scalar::U16, false) => "__u16",
        (Scalar::I16, false) => "__s16",
        (Scalar::U32, false) => "__u32",
        (Scalar::I32, false) => "__s32",
        (Scalar::U64, false) => "__u64",
        (Scalar::I64, false) => "__s64",
        (Scalar::F32, false) => "float",
        (Scalar::F64, false) => "double",
        (Scalar::U16 | Scalar::I16, true) => "__be16",
        (Scalar::U32 | Scalar::I32, true) => "__be32",
        (Scalar::U64 | Scalar::I64, true) => "__be64",
        (Scalar::F32 | Scalar::F64, true) => return None,
    })
}
