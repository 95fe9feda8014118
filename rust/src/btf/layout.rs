//! What C types are made of, and where the members of structs are, as the compiler that laid them out wrote it down.

use std::cell::Cell;

use object::{Object, ObjectSection};

use super::{ARRAY, Btf, DATASEC, DEEPEST, ENUM, ENUM64, HEADER, INT, MAGIC, STRUCT, TYPEDEF, UNION, VAR};
use crate::error::{Error, Result};

const PTR: u32 = 2;
const FLOAT: u32 = 16;

// enum's BTF_INT_ encodings, include/uapi/linux/btf.h
const SIGNED: u32 = 1;
const BOOL: u32 = 4;

// As many as a field of a record may have.
const MOST_ELEMENTS: usize = 1 << 20;
// More than any struct has; damaged BTF may have them without end.
const MOST_MEMBERS: usize = 1 << 18;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    // Empty for an anonymous union.
    pub(crate) name: String,
    // From the struct's start.
    pub(crate) bit: usize,
    // Of a bitfield.
    pub(crate) width: Option<usize>,
    pub(crate) kind: Kind,
    // Of an array, all dimensions multiplied.
    pub(crate) count: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    // "u32", "u16be", "f64", "bool"; "char", and "uchar" where the compiler took char as unsigned: arrays of them are text.
    Number(String),
    Enum { base: String, names: Vec<(String, i128)> },
    Struct(Layout),
    // Bytes of which nothing is known: unions, __int128, long double, rows of text.
    Opaque(usize),
}

impl Member {
    // What is all of something.
    const fn alone(kind: Kind, count: Option<usize>) -> Self {
        Self { name: String::new(), bit: 0, width: None, kind, count }
    }
}

// How much deeper it may go, and how many members there may still be.
#[derive(Clone, Copy)]
struct Room<'a> {
    depth: usize,
    members: &'a Cell<usize>,
}

impl<'a> Room<'a> {
    const fn all(members: &'a Cell<usize>) -> Self {
        Self { depth: DEEPEST, members }
    }

    fn deeper(self) -> Option<Self> {
        self.members.set(self.members.get().checked_sub(1)?);
        Some(Self { depth: self.depth.checked_sub(1)?, ..self })
    }
}

struct Type {
    kind: Kind,
    size: usize,
    align: usize,
    count: Option<usize>,
    // Of an integer that is narrower than its storage, as compilers before BTF's bitfields wrote them: first bit, width.
    bits: Option<(usize, usize)>,
}

impl Btf {
    // From an ELF file's .BTF section, or from a file that is nothing else.
    pub(crate) fn of_object(data: Vec<u8>) -> Result<Self> {
        let types = if data.starts_with(&object::elf::ELFMAG) {
            let file = object::File::parse(&*data).map_err(|error| refusal(format!("a damaged ELF file: {error}")))?;
            let section = file
                .section_by_name(".BTF")
                .ok_or_else(|| refusal("an ELF file without a .BTF section; compile with `clang -g -target bpf`"))?;
            section.data().map_err(|error| refusal(format!("a damaged .BTF section: {error}")))?.to_vec()
        } else {
            data
        };
        if types.starts_with(&MAGIC.swap_bytes().to_ne_bytes()) {
            return Err(refusal("BTF of a machine with the other byte order"));
        }
        if types.len() < HEADER || !types.starts_with(&MAGIC.to_ne_bytes()) {
            return Err(refusal("neither an ELF file nor BTF"));
        }
        let btf = Self::parse(types).ok_or_else(|| refusal("damaged BTF"))?;
        // The strings and types of a module's own BTF begin where the kernel's end.
        if btf.types.iter().any(|&at| btf.name(at).is_none()) {
            return Err(refusal("the BTF of a kernel module, which says only what it adds to the kernel's"));
        }
        Ok(btf)
    }

    // The structs of that name, "struct event" or a typedef of one; more than one where they differ.
    pub(crate) fn layouts(&self, name: &str) -> Result<Vec<Layout>> {
        let (tag, plain) = name.strip_prefix("struct ").map_or((false, name), |tag| (true, tag.trim()));
        let mut found: Vec<Layout> = Vec::new();
        for &at in &self.types {
            if !self.is_named(at, plain) {
                continue;
            }
            let at = match self.kind(at) {
                Some((STRUCT, _)) => Some(at),
                Some((TYPEDEF, _)) if !tag => self.resolve(at).map(|(at, _)| at),
                _ => None,
            };
            let Some(at) = at.filter(|&at| self.is(at, STRUCT)) else { continue };
            let damaged = || refusal(format!("damaged BTF, in {name}"));
            let mut layout = self.layout(at, Room::all(&Cell::new(MOST_MEMBERS))).ok_or_else(damaged)?;
            // A struct that is declared in place has the typedef's name.
            plain.clone_into(&mut layout.name);
            if !found.contains(&layout) {
                found.push(layout);
            }
        }
        Ok(found)
    }

    // The type of that number; None where nothing is known of it.
    pub(crate) fn content(&self, id: u32) -> Option<Member> {
        let found = self.type_of(id, Room::all(&Cell::new(MOST_MEMBERS)))?;
        Some(Member::alone(found.kind, found.count))
    }

    // A section's variables, as a struct.
    pub(crate) fn section(&self, name: &str) -> Option<Member> {
        self.section_of(self.id(name, DATASEC)?)
    }

    // That of that number.
    pub(crate) fn section_of(&self, id: u32) -> Option<Member> {
        let at = self.at(id).filter(|&at| self.is(at, DATASEC))?;
        let (_, count) = self.kind(at)?;
        let left = Cell::new(MOST_MEMBERS);
        let variables = (0..count).map(|entry| at + 12 + 12 * entry).map(|entry| {
            let variable = self.at(self.word(entry)?).filter(|&at| self.is(at, VAR))?;
            let [place, size] = [self.word(entry + 4)?, self.word(entry + 8)?].map(|number| number as usize);
            // Compilers leave out what nobody uses of a variable, and do not say so in its type.
            let whole =
                self.type_of(self.word(variable + 8)?, Room::all(&left)).filter(|found| found.size == size && size > 0);
            let (kind, count) = whole.map_or((Kind::Opaque(size), None), |found| (found.kind, found.count));
            Some(Member { name: self.text(variable)?, bit: place.checked_mul(8)?, ..Member::alone(kind, count) })
        });
        let mut members: Vec<_> = variables.collect::<Option<_>>()?;
        members.retain(|variable| variable.kind != Kind::Opaque(0));
        let name = self.text(at)?.trim_start_matches('.').into();
        let layout = Layout { name, size: self.word(at + 8)? as usize, align: 1, members };
        Some(Member::alone(Kind::Struct(layout), None))
    }

    fn layout(&self, at: usize, room: Room<'_>) -> Option<Layout> {
        let mut layout =
            Layout { name: self.text(at)?, size: self.word(at + 8)? as usize, align: 1, members: Vec::new() };
        let mut packed = false;
        self.lay_out(at, 0, room, &mut layout, &mut packed)?;
        if packed || !layout.size.is_multiple_of(layout.align) {
            layout.align = 1;
        }
        Some(layout)
    }

    // Adds the members of a struct, those of anonymous structs in it as its own.
    fn lay_out(&self, at: usize, base: usize, room: Room<'_>, to: &mut Layout, packed: &mut bool) -> Option<()> {
        for member in self.declared(at)? {
            let [bit, width] = [member.at, member.bits].map(|number| number as usize);
            let name = member.name;
            let (inner, big_endian) = self.resolve(self.at(member.id)?)?;
            if name.is_empty() && self.is(inner, STRUCT) {
                let own = self.layout(inner, room.deeper()?)?;
                to.align = to.align.max(own.align);
                *packed |= !bit.is_multiple_of(8 * own.align);
                self.lay_out(inner, base + bit, room.deeper()?, to, &mut false)?;
                continue;
            }
            let kind = self.kind_of(inner, big_endian, room.deeper()?)?;
            let narrow = kind.bits.map_or((0, 0), |(first, width)| (first, width));
            let (bit, width) = if width == 0 { (bit + narrow.0, narrow.1) } else { (bit, width) };
            to.align = to.align.max(kind.align);
            *packed |= width == 0 && !bit.is_multiple_of(8 * kind.align);
            // Bits without a name are padding; flexible arrays and empty structs have no bytes.
            let padding = name.is_empty() && !self.is(inner, UNION);
            if padding || kind.size == 0 || kind.count == Some(0) {
                continue;
            }
            to.members.push(Member {
                name,
                bit: base + bit,
                width: (width != 0).then_some(width),
                kind: kind.kind,
                count: kind.count,
            });
        }
        Some(())
    }

    fn type_of(&self, id: u32, room: Room<'_>) -> Option<Type> {
        let (at, big_endian) = self.resolve(self.at(id)?)?;
        self.kind_of(at, big_endian, room)
    }

    fn kind_of(&self, at: usize, big_endian: bool, room: Room<'_>) -> Option<Type> {
        let (kind, count) = self.kind(at)?;
        let size = self.word(at + 8)? as usize;
        let single = |kind, size: usize, align| Some(Type { kind, size, align, count: None, bits: None });
        let number = |text: &str, size| single(Kind::Number(text.into()), size, size);
        match kind {
            INT => {
                let info = self.word(at + 12)?;
                let (encoding, first, width) = (info >> 24 & 0xF, info >> 16 & 0xFF, info & 0xFF);
                if !matches!(size, 1 | 2 | 4 | 8) {
                    return single(Kind::Opaque(size), size, size.clamp(1, 16));
                }
                let text = if encoding & BOOL != 0 && size == 1 {
                    "bool".into()
                } else if self.name(at)? == b"char" {
                    if encoding & SIGNED == 0 { "uchar" } else { "char" }.into()
                } else {
                    integer(size, encoding & SIGNED != 0, big_endian && size > 1)
                };
                let bits = (width as usize != 8 * size).then_some((first as usize, width as usize));
                Some(Type { bits, ..number(&text, size)? })
            }
            PTR => number("u64", 8),
            FLOAT if size == 4 => number("f32", 4),
            FLOAT if size == 8 => number("f64", 8),
            FLOAT => single(Kind::Opaque(size), size, size.clamp(1, 16)),
            ENUM | ENUM64 if matches!(size, 1 | 2 | 4 | 8) => {
                let told = self.word(at + 4)? >> 31 == 1;
                let signed = told || size <= 4 && self.hides_signs(at, kind, count)?;
                let base = integer(size, signed, false);
                // Compilers that know no BTF_KIND_ENUM64 cut the numbers of larger enums.
                let whole = kind == ENUM64 || size <= 4;
                let names = if whole { self.numbers(at, kind, count, signed)? } else { Vec::new() };
                let kind = if names.is_empty() { Kind::Number(base) } else { Kind::Enum { base, names } };
                single(kind, size, size)
            }
            STRUCT => {
                let layout = self.layout(at, room)?;
                let align = layout.align;
                // Unnamed bits alone have a size, and no member.
                let kind = if layout.members.is_empty() { Kind::Opaque(size) } else { Kind::Struct(layout) };
                single(kind, size, align)
            }
            UNION => {
                let mut align = 1;
                for member in self.declared(at)? {
                    align = align.max(self.type_of(member.id, room.deeper()?)?.align);
                }
                single(Kind::Opaque(size), size, if size.is_multiple_of(align) { align } else { 1 })
            }
            ARRAY => {
                let count = self.word(at + 20)? as usize;
                let element = self.type_of(self.word(at + 12)?, room.deeper()?)?;
                let size = element.size.checked_mul(count)?;
                let rows =
                    element.count.is_some() && matches!(&element.kind, Kind::Number(text) if text.ends_with("char"));
                let count = count.checked_mul(element.count.unwrap_or(1))?;
                Some(match element.kind {
                    Kind::Opaque(_) => Type { kind: Kind::Opaque(size), size, ..element },
                    _ if rows || count > MOST_ELEMENTS => {
                        Type { kind: Kind::Opaque(size), size, count: None, ..element }
                    }
                    _ => Type { count: Some(count), size, ..element },
                })
            }
            _ => None,
        }
    }

    fn numbers(&self, at: usize, kind: u32, count: usize, signed: bool) -> Option<Vec<(String, i128)>> {
        let width = if kind == ENUM { 8 } else { 12 };
        (0..count)
            .map(|one| {
                let one = at + 12 + width * one;
                let low = self.word(one + 4)?;
                let high = if kind == ENUM64 { self.word(one + 8)? } else { 0 };
                let number = match (kind, signed) {
                    (ENUM, true) => i128::from(low.cast_signed()),
                    (ENUM, false) => i128::from(low),
                    (_, true) => i128::from((u64::from(high) << 32 | u64::from(low)).cast_signed()),
                    (_, false) => i128::from(u64::from(high) << 32 | u64::from(low)),
                };
                Some((self.text(one)?, number))
            })
            .collect()
    }

    // Before clang 16 and pahole 1.24 no enum said whether it is signed; what looks negative was meant so.
    fn hides_signs(&self, at: usize, kind: u32, count: usize) -> Option<bool> {
        if kind == ENUM64 || !self.numbers(at, kind, count, true)?.iter().any(|&(_, number)| number < 0) {
            return Some(false);
        }
        let told = |&at: &usize| match self.kind(at) {
            Some((ENUM, _)) => self.word(at + 4).is_some_and(|info| info >> 31 == 1),
            found => found.is_some_and(|(kind, _)| kind == ENUM64),
        };
        Some(!self.types.iter().any(told))
    }
}

fn integer(size: usize, signed: bool, big_endian: bool) -> String {
    format!("{}{}{}", if signed { 'i' } else { 'u' }, 8 * size, if big_endian { "be" } else { "" })
}

fn refusal(what: impl std::fmt::Display) -> Error {
    Error::Layout(format!("{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_out_a_struct_of_the_running_kernel() {
        let Some(btf) = Btf::of_kernel() else { return };
        let found = btf.layouts("struct task_struct").expect("whole BTF");
        let [task] = &found[..] else { panic!("there is one task_struct") };
        let comm = task.members.iter().find(|member| member.name == "comm").expect("it has a name");
        assert!(matches!(&comm.kind, Kind::Number(text) if text.ends_with("char")));
        assert_eq!((comm.count, comm.width, comm.bit % 8), (Some(16), None, 0));
        assert!(task.members.iter().all(|member| member.bit / 8 < task.size));
        assert_eq!(btf.layouts("struct no_such_struct").expect("whole BTF"), []);
    }

    #[test]
    fn refuses_what_is_no_object() {
        for (data, told) in [
            (Vec::new(), "neither an ELF file nor BTF"),
            (MAGIC.swap_bytes().to_ne_bytes().to_vec(), "the other byte order"),
            (object::elf::ELFMAG.to_vec(), "a damaged ELF file"),
            ([&MAGIC.to_ne_bytes()[..], &[0; 22]].concat(), "damaged BTF"),
        ] {
            let error = Btf::of_object(data).err().expect("refused").to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
