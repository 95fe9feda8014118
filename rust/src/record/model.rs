//! Every layout, judged by a plain model that reads one value after another.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    DurationNanosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use proptest::prelude::*;

use super::block::Block;
use super::columns::Columns;
use super::kind::{Address, Bits, Clock, Field, Kind, Number, Scalar, Struct, Union};
use super::parse::parse;
use super::plan::Plan;
use super::variable::cut;
use crate::sys::clock::Offsets;

const CLOCKS: Offsets = Offsets { monotonic: 5, boottime: -7, tai: i64::MAX };
const LEAD: usize = 28;
const PADDING: usize = 8;

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Number(i128),
    // The bits, for a NaN is equal to none.
    Float(u64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Struct(Vec<(String, Self)>),
}

// --- the model ---

fn number(bytes: &[u8], number: Number) -> i128 {
    let mut bytes = bytes[..number.width()].to_vec();
    if number.big {
        bytes.reverse();
    }
    let unsigned = bytes.iter().rev().fold(0_i128, |value, &byte| value << 8 | i128::from(byte));
    let signed = matches!(number.scalar, Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64);
    if signed && bytes[bytes.len() - 1] > 127 { unsigned - (1 << (8 * bytes.len())) } else { unsigned }
}

fn bits(bytes: &[u8], bits: Bits) -> i128 {
    let unsigned = (number(bytes, bits.number) >> bits.first) & ((1 << bits.width) - 1);
    let signed = number(&[0xFF; 8], bits.number) < 0;
    if signed && unsigned >> (bits.width - 1) == 1 { unsigned - (1 << bits.width) } else { unsigned }
}

fn value(bytes: &[u8], a_number: Number) -> Value {
    let value = number(bytes, a_number);
    if a_number.is_integer() { Value::Number(value) } else { Value::Float(u64::try_from(value).unwrap()) }
}

fn numbers(bytes: &[u8], number: Number) -> Value {
    Value::List(bytes.chunks_exact(number.width()).map(|bytes| value(bytes, number)).collect())
}

fn text(bytes: &[u8]) -> Value {
    Value::Text(String::from_utf8_lossy(bytes).into_owned())
}

// `at` is where the field begins; `record` has LEAD bytes before the payload and PADDING behind it.
fn read(kind: &Kind, record: &[u8], at: usize, level: &[Field], start: usize) -> Value {
    let bytes = &record[at..at + kind.size()];
    let word = || u64::from_ne_bytes(bytes.try_into().unwrap()).cast_signed();
    let tail = || {
        let place = u32::from_ne_bytes(bytes.try_into().unwrap()) as usize;
        let offset = LEAD + (place & 0xFFFF);
        (place & 0xFFFF != 0).then(|| &record[offset..offset + (place >> 16)])
    };
    match kind {
        Kind::Number(number) => value(bytes, *number),
        Kind::Bool => Value::Bool(bytes[0] != 0),
        Kind::Flag(bit) => Value::Bool(bytes[0] & (1 << bit) != 0),
        Kind::Time(clock) => Value::Number(i128::from(word().wrapping_add(match clock {
            Clock::Monotonic => CLOCKS.monotonic,
            Clock::Boottime => CLOCKS.boottime,
            Clock::Tai => CLOCKS.tai,
        }))),
        Kind::Duration => Value::Number(word().into()),
        Kind::Address(Address::Ipv4) => {
            Value::Text(bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
        }
        Kind::Address(Address::Ipv6) => {
            Value::Text(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string())
        }
        Kind::Address(Address::Mac) => {
            Value::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
        }
        Kind::RawAddress(_) | Kind::Bytes(_) => Value::Bytes(bytes.into()),
        Kind::Port => Value::Number(i128::from(bytes[0]) * 256 + i128::from(bytes[1])),
        Kind::Chars(_) => text(bytes.split(|&byte| byte == 0).next().unwrap()),
        Kind::Numbers(number, _) => numbers(bytes, *number),
        Kind::Stack(_) => {
            let end = bytes.chunks(8).position(|word| word == [0; 8]).unwrap_or(bytes.len() / 8);
            numbers(&bytes[..end * 8], Number { scalar: Scalar::U64, big: false })
        }
        Kind::Enum(base, names) => {
            let number = number(bytes, *base);
            let name = names.iter().find(|(_, value)| *value == number);
            Value::Text(name.map_or_else(|| number.to_string(), |(name, _)| name.clone()))
        }
        Kind::Bits(field) => Value::Number(bits(bytes, *field)),
        Kind::Text { most } => tail().map_or(Value::Null, |bytes| text(cut(bytes, *most))),
        Kind::TailBytes => tail().map_or(Value::Null, |bytes| Value::Bytes(bytes.into())),
        Kind::TailNumbers(number) => tail().map_or(Value::Null, |bytes| numbers(bytes, *number)),
        // The header's 8 bytes stand in front of the payload; the padding behind it belongs to it.
        Kind::Record => {
            let whole = (record.len() - PADDING - LEAD + 8).next_multiple_of(8);
            Value::Bytes(record[LEAD - 8..LEAD - 8 + whole].into())
        }
        Kind::Struct(Struct { fields, .. }) => Value::Struct(fields_of(fields, record, at)),
        Kind::List(Struct { size, fields }, count) => {
            Value::List((0..*count).map(|i| Value::Struct(fields_of(fields, record, at + i * size))).collect())
        }
        Kind::Union(Union { tag, members, .. }) => {
            let tag = level.iter().find(|field| field.name == *tag).unwrap();
            let place = start.wrapping_add_signed(tag.offset);
            let tag = match &tag.kind {
                Kind::Number(base) | Kind::Enum(base, _) => number(&record[place..], *base),
                Kind::Bits(field) => bits(&record[place..], *field),
                kind => panic!("{kind:?} is no tag"),
            };
            let member = |(value, member): &(i128, Field)| {
                let holds = *value == tag;
                let value = if holds { read(&member.kind, record, at, &[], at) } else { Value::Null };
                (member.name.clone(), value)
            };
            Value::Struct(members.iter().map(member).collect())
        }
    }
}

fn fields_of(fields: &[Field], record: &[u8], start: usize) -> Vec<(String, Value)> {
    fields
        .iter()
        .map(|field| {
            let at = start.wrapping_add_signed(field.offset);
            (field.name.clone(), read(&field.kind, record, at, fields, start))
        })
        .collect()
}

// --- what Arrow holds ---

fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    macro_rules! number {
        ($t:ty) => {
            Value::Number(array.as_primitive::<$t>().value(row).into())
        };
    }
    match array.data_type() {
        DataType::UInt8 => number!(UInt8Type),
        DataType::Int8 => number!(Int8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::Int16 => number!(Int16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::Int32 => number!(Int32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Int64 => number!(Int64Type),
        DataType::Timestamp(..) => number!(TimestampNanosecondType),
        DataType::Duration(_) => number!(DurationNanosecondType),
        DataType::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row).to_bits().into()),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).into()),
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).into()),
        DataType::FixedSizeBinary(_) => Value::Bytes(array.as_fixed_size_binary().value(row).into()),
        DataType::Dictionary(..) => {
            let array = array.as_dictionary::<Int32Type>();
            cell(array.values(), array.key(row).unwrap())
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row)),
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            Value::Struct(
                fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), cell(column, row))).collect(),
            )
        }
        other => panic!("no column has the type {other}"),
    }
}

fn list(array: &dyn Array) -> Value {
    Value::List((0..array.len()).map(|i| cell(array, i)).collect())
}

fn rows(batch: &RecordBatch) -> Vec<Vec<(String, Value)>> {
    let schema = batch.schema();
    let columns = || schema.fields().iter().zip(batch.columns());
    (0..batch.num_rows())
        .map(|row| columns().map(|(field, column)| (field.name().clone(), cell(column, row))).collect())
        .collect()
}

// --- any layout ---

fn shown(kind: &Kind) -> String {
    let number = |number: &Number| format!("{:?}{}", number.scalar, if number.big { "be" } else { "" }).to_lowercase();
    let fields = |Struct { size, fields }: &Struct| {
        let fields: Vec<_> =
            fields.iter().map(|field| format!("{}@{}={}", field.name, field.offset, shown(&field.kind))).collect();
        format!("struct {size}{{{}}}", fields.join(";"))
    };
    match kind {
        Kind::Number(a_number) => number(a_number),
        Kind::Bool => "bool".into(),
        Kind::Flag(bit) => format!("bool:{bit}:1"),
        Kind::Bits(bits) => format!("{}:{}:{}", number(&bits.number), bits.first, bits.width),
        Kind::Time(Clock::Monotonic) => "ktime".into(),
        Kind::Time(Clock::Boottime) => "boottime".into(),
        Kind::Time(Clock::Tai) => "tai".into(),
        Kind::Duration => "duration".into(),
        Kind::Address(address) => address.name().into(),
        Kind::RawAddress(address) => format!("{}.raw", address.name()),
        Kind::Port => "port".into(),
        Kind::Chars(count) => format!("char[{count}]"),
        Kind::Bytes(count) => format!("bytes[{count}]"),
        Kind::Numbers(a_number, count) => format!("{}[{count}]", number(a_number)),
        Kind::Stack(count) => format!("stack[{count}]"),
        Kind::Enum(base, names) => {
            let names: Vec<_> = names.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("enum {}{{{}}}", number(base), names.join(","))
        }
        Kind::Text { most } => format!("text[{most}]"),
        Kind::TailBytes => "bytes[]".into(),
        Kind::TailNumbers(a_number) => format!("{}[]", number(a_number)),
        Kind::Record => "record".into(),
        Kind::Struct(structure) => fields(structure),
        Kind::List(structure, count) => format!("{}[{count}]", fields(structure)),
        Kind::Union(Union { size, tag, members }) => {
            let members: Vec<_> = members
                .iter()
                .map(|(value, member)| format!("{value}={}:{}", member.name, shown(&member.kind)))
                .collect();
            format!("union {size}({tag}){{{}}}", members.join(";"))
        }
    }
}

fn any_number() -> impl Strategy<Value = Number> {
    use Scalar::{F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    (prop::sample::select(vec![U8, I8, U16, I16, U32, I32, U64, I64, F32, F64]), any::<bool>())
        .prop_map(|(scalar, big)| Number { scalar, big: big && scalar.width() > 1 })
}

fn any_integer() -> impl Strategy<Value = Number> {
    any_number().prop_filter("an integer", |number| number.is_integer())
}

fn any_bits() -> impl Strategy<Value = Bits> {
    (any_integer(), any::<u32>(), any::<u32>()).prop_map(|(number, first, width)| {
        let all = 8 * number.width() as u32;
        let first = first % all;
        Bits { number, first, width: 1 + width % (all - first) }
    })
}

fn any_enum() -> impl Strategy<Value = Kind> {
    (any_integer(), prop::collection::vec(-3_i128..4, 0..6)).prop_map(|(base, values)| {
        let values = values.into_iter().filter(|&value| Bits::all(base).holding(value).is_some());
        Kind::Enum(base, values.enumerate().map(|(i, value)| (format!("N{i}"), value)).collect())
    })
}

fn any_address() -> impl Strategy<Value = Address> {
    prop::sample::select(vec![Address::Ipv4, Address::Ipv6, Address::Mac])
}

fn any_leaf() -> impl Strategy<Value = Kind> {
    let clocks = vec![Clock::Monotonic, Clock::Boottime, Clock::Tai];
    prop_oneof![
        4 => any_number().prop_map(Kind::Number),
        2 => any_enum(),
        2 => any_bits().prop_map(Kind::Bits),
        1 => (0_u32..8).prop_map(Kind::Flag),
        1 => Just(Kind::Bool),
        1 => prop::sample::select(clocks).prop_map(Kind::Time),
        1 => Just(Kind::Duration),
        2 => any_address().prop_map(Kind::Address),
        1 => any_address().prop_map(Kind::RawAddress),
        1 => Just(Kind::Port),
        2 => prop_oneof![Just(16_usize), 1_usize..20].prop_map(Kind::Chars),
        1 => (1_usize..20).prop_map(Kind::Bytes),
        1 => (any_number(), 1_usize..5).prop_map(|(number, count)| Kind::Numbers(number, count)),
        1 => (1_usize..5).prop_map(Kind::Stack),
    ]
}

// Tags that hold few numbers, so that each member has its turn.
fn any_tag() -> impl Strategy<Value = Kind> {
    (any_bits(), any::<bool>()).prop_map(|(bits, whole)| {
        if whole {
            Kind::Enum(Number { scalar: Scalar::I8, big: false }, [("ZERO".into(), 0)].into())
        } else {
            Kind::Bits(Bits { width: bits.width.min(2), ..bits })
        }
    })
}

// Fields one after another with gaps between; the first is the tag of every union.
fn lay_out(tag: Kind, kinds: Vec<(Kind, usize)>) -> (Vec<Field>, usize) {
    let mut end = 0;
    let mut fields = Vec::new();
    for (i, (mut kind, gap)) in std::iter::once((tag, 1)).chain(kinds).enumerate() {
        if let Kind::Union(union) = &mut kind {
            union.tag = "f0".into();
            let Field { kind, .. } = &fields[0];
            let tag: Bits = Kind::as_tag(kind).unwrap();
            let least = if number(&[0xFF; 8], tag.number) < 0 { -1 } else { 0 };
            for (i, (value, _)) in union.members.iter_mut().enumerate() {
                *value = least + i as i128;
            }
            union.members.retain(|(value, _)| tag.holding(*value).is_some());
        }
        fields.push(Field { name: format!("f{i}"), offset: (end + gap).cast_signed(), kind });
        end += gap + fields[i].kind.size();
    }
    (fields, end)
}

fn any_structure(inner: impl Strategy<Value = Kind>) -> impl Strategy<Value = Struct> {
    (any_tag(), prop::collection::vec((inner, 0_usize..4), 0..4), 0_usize..3).prop_map(|(tag, kinds, pad)| {
        let (fields, end) = lay_out(tag, kinds);
        Struct { size: end + pad, fields }
    })
}

fn any_nested() -> impl Strategy<Value = Kind> {
    any_leaf().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            2 => any_structure(inner.clone()).prop_map(Kind::Struct),
            2 => (any_structure(inner.clone()), 1_usize..4).prop_map(|(structure, count)| Kind::List(structure, count)),
            3 => prop::collection::vec(inner, 1..4).prop_map(|kinds| {
                let size = kinds.iter().map(Kind::size).max().unwrap();
                let members = kinds.into_iter().enumerate().filter(|(_, kind)| !matches!(kind, Kind::Union(_)));
                let members: Vec<_> = members
                    .map(|(i, kind)| (0, Field { name: format!("m{i}"), offset: 0, kind }))
                    .collect();
                if members.is_empty() { Kind::Bool } else { Kind::Union(Union { size, tag: String::new(), members }) }
            }),
        ]
    })
}

fn any_tail() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1_usize..12).prop_map(|most| Kind::Text { most }),
        Just(Kind::TailBytes),
        any_number().prop_map(Kind::TailNumbers),
        Just(Kind::Record),
    ]
}

// A layout; fields from LEAD before the payload on.
fn any_layout() -> impl Strategy<Value = (Vec<Field>, usize)> {
    let fields = prop::collection::vec((any_nested(), 0_usize..4), 0..4);
    let tails = prop::collection::vec(any_tail(), 0..3);
    (any_tag(), fields, tails, any_structure(any_leaf()), 0..LEAD).prop_map(|(tag, fields, tails, mut inner, lead)| {
        let (mut fields, end) = lay_out(tag, fields);
        let shift = if fields.len() > 1 { lead.cast_signed() } else { 0 };
        for field in &mut fields {
            field.offset -= shift;
        }
        let mut end = end.saturating_add_signed(-shift);
        // A tail in a struct, too.
        for (i, kind) in tails.into_iter().enumerate() {
            if i == 1 && kind != Kind::Record {
                inner.fields.push(Field { name: "tail".into(), offset: inner.size.cast_signed(), kind });
                inner.size += 4;
                fields.push(Field {
                    name: "inner".into(),
                    offset: end.cast_signed(),
                    kind: Kind::Struct(inner.clone()),
                });
            } else {
                fields.push(Field { name: format!("t{i}"), offset: end.cast_signed(), kind });
            }
            end += fields[fields.len() - 1].kind.size();
        }
        (fields, end)
    })
}

// Makes places in the tail be some in the record.
fn mend(fields: &[Field], start: usize, record: &mut [u8]) {
    for field in fields {
        let at = start.wrapping_add_signed(field.offset);
        if let Kind::Struct(structure) = &field.kind {
            mend(&structure.fields, at, record);
        } else if field.kind.is_tail() {
            let seed = record[at] as usize;
            let payload = record.len() - LEAD;
            let offset = (seed >> 2) % payload;
            let len = record[at + 1] as usize % (payload - offset + 1);
            let place = if seed.is_multiple_of(4) { 0 } else { len << 16 | offset };
            record[at..at + 4].copy_from_slice(&(place as u32).to_ne_bytes());
        }
    }
}

// Decodes records that lie `gap` bytes apart behind a header, in blocks; a batch is cut after some of them.
fn decode(plan: Plan, records: &[Vec<u8>], blocks: &[(usize, bool)], misaligned: usize) -> Vec<RecordBatch> {
    let mut columns = Columns::new(std::sync::Arc::new(plan), 100, 1 << 20);
    let mut batches = Vec::new();
    let mut next = 0;
    for &(count, ends) in blocks.iter().cycle() {
        let some = &records[next..records.len().min(next + count)];
        if some.is_empty() {
            break;
        }
        // Each has room behind it for the padding of a ring.
        let mut memory = vec![0_u8; misaligned];
        let mut places = Vec::new();
        for record in some {
            places.push(memory.len() + LEAD);
            memory.extend_from_slice(record);
            memory.resize(memory.len() + record.len().next_multiple_of(4) - record.len() + 8, 0xEE);
        }
        let mut block = Block::new();
        block.clear(memory.as_ptr(), 8);
        let stride = some[0].len().next_multiple_of(4) + 8;
        let at = |place: usize| memory.as_ptr().wrapping_add(place);
        let alike =
            places.windows(2).all(|two| two[1] - two[0] == stride) && some.iter().all(|one| one.len() == some[0].len());
        if alike {
            // SAFETY: the records lie in `memory`, which lives as long as the block.
            unsafe { block.begin(at(places[0]), (some[0].len() - LEAD) as u32, stride, some.len()) };
        } else {
            for (record, &place) in some.iter().zip(&places) {
                let whole = record.len().next_multiple_of(4) + 8;
                // SAFETY: as above.
                unsafe { block.add(at(place), (record.len() - LEAD) as u32, whole) };
            }
        }
        let written = columns.append(&block, &CLOCKS).unwrap();
        assert!(written > 0 || columns.len() > 0, "there is room for no record");
        next += written;
        if ends || written < block.len() || columns.room() == 0 {
            batches.extend(columns.cut().unwrap());
        }
    }
    batches.extend(columns.cut().unwrap());
    batches
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_layout_is_read_as_the_model_reads_it(
        (fields, size) in any_layout(),
        seeds in prop::collection::vec((any::<[u8; 32]>(), 0_usize..3, 0_u32..3), 1..200),
        blocks in prop::collection::vec((1_usize..64, any::<bool>()), 1..8),
        alike in any::<bool>(),
        misaligned in 0_usize..8,
    ) {
        let size = size.max(1);
        let texts = fields.iter().map(|field| (field.name.clone(), field.offset, shown(&field.kind)));
        for (field, (_, _, text)) in fields.iter().zip(texts.clone()) {
            prop_assert_eq!(parse(&text), Ok(field.kind.clone()), "{}", text);
        }
        let plan = Plan::new(texts.collect(), size).unwrap();
        // Records of few different bytes, many of them zero.
        let records: Vec<Vec<u8>> = seeds
            .iter()
            .map(|(seed, more, sparse)| {
                let len = LEAD + size + if alike { 0 } else { more * 3 };
                let mut record: Vec<u8> = (0..len)
                    .map(|i| if (i / 8) as u32 % 3 < *sparse { 0 } else { seed[i % 32] })
                    .collect();
                mend(&fields, LEAD, &mut record);
                record
            })
            .collect();
        let expected: Vec<_> = records
            .iter()
            .map(|record| fields_of(&fields, &[record.as_slice(), &[0xEE; PADDING]].concat(), LEAD))
            .collect();
        let batches = decode(plan, &records, &blocks, misaligned);
        for batch in &batches {
            for column in batch.columns() {
                column.to_data().validate_full().unwrap();
            }
        }
        let found: Vec<_> = batches.iter().flat_map(rows).collect();
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!(found, expected);
        }
    }
}
