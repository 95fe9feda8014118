//! A record's layout, compiled to columns.
//!
//! Whatever is nested becomes *leaves*, each a column that is written by itself: its values stand at an offset from the
//! record's start, or are reached by steps through arrays and unions. A tree of nodes says how the columns of leaves are
//! put together again when a batch is cut.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};

use super::address;
use super::kind::{Address, Bits, Clock, Field, Kind, Names, Number, Struct, Union};
use super::parse::{LARGEST_RECORD, MOST_ELEMENTS, parse, shortened};
use super::schema::column;
use crate::error::{Error, Result};

// The perf buffers' records have this many bytes of use in front of their payload, the time and the CPU among them.
const MOST_LEAD: usize = 28;
const MOST_LEAVES: usize = 4096;
// Batches start on a multiple of this: bits of two batches never share a word, and buffers stay aligned for Arrow.
pub(super) const ALIGN: usize = 64;
// Arrow's offsets have 31 bits, and a column has room for no fewer rows.
const LARGEST_ROW: usize = i32::MAX as usize / ALIGN;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) leaves: Vec<Leaf>,
    // A node for each column of the schema.
    pub(super) nodes: Vec<Node>,
    // Every record has at least this many bytes,
    pub(crate) size: usize,
    // and so many in front of them that fields read.
    pub(crate) lead: usize,
    // What the values of a union's other members are read from.
    pub(super) blank: Box<[u8]>,
    pub(crate) schema: SchemaRef,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    // The column that it belongs to.
    pub(super) name: String,
    pub(super) form: Form,
    // From the record's start, or from where the last step led.
    pub(super) offset: isize,
    pub(super) path: Vec<Step>,
    // Elements in each record.
    pub(super) repeat: usize,
}

// How a leaf's values are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Number(Number),
    Time(Clock),
    Bool,
    Flag(u32),
    Bits(Bits),
    Bytes(usize),
    Numbers(Number, usize),
    Chars(usize),
    Enum(Bits, Names),
    Address(Address),
    Stack(usize),
    // Whether the union's member holds, a bit.
    Selected,
    // From the record's tail.
    Text { most: usize },
    TailBytes,
    TailNumbers(Number),
    Record,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    // To each element of an array.
    Each { offset: isize, count: usize, stride: usize },
    // On, if the tag has this value.
    If { offset: isize, tag: Bits, value: u64 },
}

// A column, made of leaves, which are known by their place among the plan's.
#[derive(Debug)]
pub(super) enum Node {
    Leaf(usize),
    Struct(Vec<Self>),
    List(usize, Box<Self>),
    // Each member with the leaf that says where it holds.
    Union(Vec<(usize, Self)>),
}

impl Plan {
    // Says more of the records in the schema.
    pub(crate) fn told(mut self, metadata: &HashMap<String, String>) -> Self {
        self.schema = Arc::new(self.schema.as_ref().clone().with_metadata(metadata.clone()));
        self
    }

    // The type of record, by its name.
    pub(crate) fn name(&self) -> &str {
        self.schema.metadata.get("fastbpf.record").map_or("", String::as_str)
    }

    // Whether records of the two have the same form, and become the same columns.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.size == other.size && self.schema.fields() == other.schema.fields() && self.leaves == other.leaves
    }

    // The first column that tells when the event happened.
    pub(crate) fn time(&self) -> Option<(isize, Clock)> {
        self.leaves.iter().find_map(|leaf| match leaf.form {
            Form::Time(clock) if leaf.path.is_empty() => Some((leaf.offset, clock)),
            _ => None,
        })
    }

    pub(crate) fn new(fields: Vec<(String, isize, String)>, size: usize) -> Result<Self> {
        if fields.is_empty() {
            return Err(Error::Layout("a record needs at least one field".into()));
        }
        if size > LARGEST_RECORD {
            return Err(Error::Layout(format!(
                "a record of {size} bytes is longer than any can be ({LARGEST_RECORD})"
            )));
        }
        let parsed = parsed(fields, size)?;
        let lead = parsed.iter().map(|field| field.offset.min(0).unsigned_abs()).max().unwrap_or(0);
        let mut compiler = Compiler { leaves: Vec::new(), blank: 0 };
        let nodes = parsed
            .iter()
            .map(|field| {
                let place = Place { top: &field.name, offset: 0, path: &[], repeat: 1, nested: false };
                compiler.field(field, &parsed, &place)
            })
            .collect::<std::result::Result<_, _>>()
            .map_err(Error::Layout)?;
        let schema = Arc::new(Schema::new(parsed.iter().map(column).collect::<Vec<_>>()));
        let blank = vec![0; compiler.blank].into_boxed_slice();
        Ok(Self { leaves: compiler.leaves, nodes, size, lead, blank, schema })
    }

    pub(crate) fn has_tail(&self) -> bool {
        self.leaves.iter().any(Leaf::has_tail)
    }

    // Refuses fields that stand in front of the payload, where a ring buffer has nothing for them.
    pub(crate) fn without_lead(self) -> Result<Self> {
        if self.lead == 0 {
            return Ok(self);
        }
        Err(Error::Layout(format!(
            "the layout reads {} bytes in front of the payload, which only records of a perf buffer have",
            self.lead
        )))
    }
}

impl Leaf {
    pub(super) fn has_tail(&self) -> bool {
        matches!(self.form, Form::Text { .. } | Form::TailBytes | Form::TailNumbers(_) | Form::Record)
    }

    // Whether the values differ in length, so that offsets say where each begins.
    pub(super) fn has_offsets(&self) -> bool {
        self.has_tail() || matches!(self.form, Form::Address(_) | Form::Stack(_))
    }

    pub(super) fn is_bit(&self) -> bool {
        matches!(self.form, Form::Bool | Form::Flag(_) | Form::Selected)
    }

    // Bytes of an element in the column's first buffer, at most; none where they are bits or have no bound.
    pub(super) fn width(&self) -> usize {
        match self.form {
            Form::Number(number) => number.width(),
            Form::Bits(bits) => bits.number.width(),
            Form::Time(_) => 8,
            Form::Bytes(count) => count,
            Form::Numbers(number, count) => number.width() * count,
            Form::Chars(_) | Form::Enum(..) => 4,
            Form::Address(address) => address::room(address),
            Form::Stack(count) => 8 * count,
            _ => 0, // bits, and tails
        }
    }

    // What Arrow's offsets count up in a row, at most.
    pub(super) fn offset_units(&self) -> usize {
        if self.has_offsets() { self.repeat * self.width().max(1) } else { self.repeat }
    }
}

// The fields of a record in their text form, each of which has to lie within it.
pub(crate) fn parsed(fields: Vec<(String, isize, String)>, size: usize) -> Result<Vec<Field>> {
    let mut parsed = Vec::with_capacity(fields.len());
    let mut names = HashSet::new();
    for (name, offset, text) in fields {
        let shown = shortened(&text);
        let kind = parse(&text)
            .map_err(|why| Error::Layout(format!("field {name:?} has a type that is not known, {shown:?}: {why}")))?;
        let end = offset.checked_add_unsigned(kind.size());
        if offset < -(MOST_LEAD as isize) || end.is_none_or(|end| end > size.cast_signed()) {
            return Err(Error::Layout(format!(
                "field {name:?} ({shown}) at offset {offset} does not fit into a record of {size} bytes"
            )));
        }
        if !names.insert(name.clone()) {
            return Err(Error::Layout(format!("field {name:?} is there twice; give each a name of its own")));
        }
        parsed.push(Field { name, offset, kind });
    }
    Ok(parsed)
}

struct Compiler {
    leaves: Vec<Leaf>,
    blank: usize,
}

// Where a struct lies.
struct Place<'a> {
    top: &'a str,
    offset: isize,
    path: &'a [Step],
    repeat: usize,
    nested: bool,
}

impl Compiler {
    // `level` are the fields that the field stands among.
    fn field(&mut self, field: &Field, level: &[Field], place: &Place<'_>) -> std::result::Result<Node, String> {
        let offset = place.offset + field.offset;
        let inner = Place { offset, nested: true, ..*place };
        let form = match &field.kind {
            Kind::Struct(structure) => return Ok(Node::Struct(self.fields(structure, &inner)?)),
            Kind::List(structure, count) => return self.list(structure, *count, &inner),
            Kind::Union(union) => return Ok(Node::Union(self.union(field, union, level, place, &inner)?)),
            Kind::Number(number) => Form::Number(*number),
            Kind::Port => Form::Number(Number::U16_BE),
            Kind::Duration => Form::Number(Number::I64),
            Kind::Time(clock) => Form::Time(*clock),
            Kind::Bool => Form::Bool,
            Kind::Flag(bit) => Form::Flag(*bit),
            Kind::Bits(bits) => Form::Bits(*bits),
            Kind::Bytes(count) => Form::Bytes(*count),
            Kind::RawAddress(address) => Form::Bytes(address.size()),
            Kind::Numbers(number, count) => Form::Numbers(*number, *count),
            Kind::Chars(count) => Form::Chars(*count),
            Kind::Enum(number, names) => Form::Enum(Bits::all(*number), Arc::clone(names)),
            Kind::Address(address) => Form::Address(*address),
            Kind::Stack(count) => Form::Stack(*count),
            Kind::Text { most } => Form::Text { most: *most },
            Kind::TailBytes => Form::TailBytes,
            Kind::TailNumbers(number) => Form::TailNumbers(*number),
            Kind::Record => Form::Record,
        };
        let top = place.top;
        if field.kind == Kind::Record && place.nested {
            return Err(format!("field {top:?} cannot hold a whole record in a struct or union"));
        }
        if field.kind.is_tail() && (!place.path.is_empty() || offset < 0) {
            return Err(format!(
                "field {top:?}: {:?} is of any length, which cannot be in an array, in a union or in front of the \
                 payload; give it a length, as in char[16]",
                field.name
            ));
        }
        self.leaf(form, offset, field.kind.size(), place)
    }

    fn list(&mut self, structure: &Struct, count: usize, place: &Place<'_>) -> std::result::Result<Node, String> {
        let step = Step::Each { offset: place.offset, count, stride: structure.size };
        let path = [place.path, &[step]].concat();
        let repeat = place.repeat * count;
        if repeat > MOST_ELEMENTS {
            return Err(format!("field {:?} has more than {MOST_ELEMENTS} elements", place.top));
        }
        let inner = Place { offset: 0, path: &path, repeat, ..*place };
        Ok(Node::List(count, Box::new(Node::Struct(self.fields(structure, &inner)?))))
    }

    fn fields(&mut self, structure: &Struct, place: &Place<'_>) -> std::result::Result<Vec<Node>, String> {
        structure.fields.iter().map(|field| self.field(field, &structure.fields, place)).collect()
    }

    fn union(
        &mut self,
        field: &Field,
        union: &Union,
        level: &[Field],
        place: &Place<'_>,
        inner: &Place<'_>,
    ) -> std::result::Result<Vec<(usize, Node)>, String> {
        let tagged = |why: &str| format!("the tag {:?} of the union {:?} {why}", union.tag, field.name);
        let tag = level
            .iter()
            .find(|field| field.name == union.tag)
            .ok_or_else(|| tagged("is none of the fields beside it"))?;
        let bits = tag.kind.as_tag().ok_or_else(|| tagged("is not an integer"))?;
        let mut nodes = Vec::with_capacity(union.members.len());
        for (value, member) in &union.members {
            let value = bits.holding(*value).ok_or_else(|| tagged(&format!("can never be {value}")))?;
            let step = Step::If { offset: place.offset + tag.offset, tag: bits, value };
            let path = [place.path, &[step]].concat();
            let inner = Place { path: &path, ..*inner };
            let selected = self.leaves.len();
            self.leaf(Form::Selected, inner.offset, 0, &inner)?;
            nodes.push((selected, self.field(member, &[], &inner)?));
        }
        Ok(nodes)
    }

    fn leaf(&mut self, form: Form, offset: isize, size: usize, place: &Place<'_>) -> std::result::Result<Node, String> {
        let Place { top, path, repeat, .. } = *place;
        let leaf = Leaf { name: top.into(), form, offset, path: path.into(), repeat };
        if self.leaves.len() == MOST_LEAVES {
            return Err(format!("a record can have {MOST_LEAVES} fields at most, those of its structs included"));
        }
        if leaf.offset_units() > LARGEST_ROW {
            return Err(format!("field {top:?} is too large for a column"));
        }
        if path.iter().any(|step| matches!(step, Step::If { .. })) {
            self.blank = self.blank.max(size);
        }
        self.leaves.push(leaf);
        Ok(Node::Leaf(self.leaves.len() - 1))
    }
}
