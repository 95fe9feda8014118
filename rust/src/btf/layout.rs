//! How a type lies in memory, in the words of a record's fields: "u32", "char[16]", "bytes[12]".

use super::{ARRAY, Btf, DATASEC, ENUM, ENUM64, INT, STRUCT, UNION, VAR};

const POINTER: u32 = 2;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FLOAT: u32 = 16;
const TYPE_TAG: u32 = 18;

// Bits of an integer's encoding.
const SIGNED: u32 = 1;
const BOOL: u32 = 4;

// No compiler puts more of them around a type; damage can make a circle.
const DEPTH: u32 = 64;

pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) size: u32,
    // None when it is no struct.
    pub(crate) fields: Option<Vec<Field>>,
}

pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) at: u32,
    pub(crate) code: String,
}

impl Btf {
    // A struct has its fields, unless bits of them are not whole bytes; everything else is one field without a name.
    pub(crate) fn layout(&self, id: u32) -> Option<Layout> {
        let at = self.plain_type(id)?;
        let size = self.size(id)?;
        let fields = if self.is(at, STRUCT) { self.fields(at) } else { None };
        let name = if fields.is_some() { self.called(at)? } else { self.code(id)? };
        Some(Layout { name, size, fields })
    }

    // A section's variables, as a struct.
    pub(crate) fn section(&self, name: &str) -> Option<Layout> {
        let at = self.types[self.id(name, DATASEC)? as usize - 1];
        let (_, count) = self.kind(at)?;
        let variables = (0..count).map(|entry| at + 12 + 12 * entry).map(|entry| {
            let variable = *self.types.get(self.word(entry)?.checked_sub(1)? as usize)?;
            let of_type = self.is(variable, VAR).then(|| self.word(variable + 8)).flatten()?;
            let size = self.word(entry + 8)?;
            // Compilers leave out what nobody uses of a variable, and do not say so in its type.
            let code = if self.size(of_type)? == size { self.code(of_type)? } else { format!("bytes[{size}]") };
            Some(Field { name: self.called(variable)?, at: self.word(entry + 4)?, code })
        });
        let fields = Some(variables.collect::<Option<_>>()?);
        Some(Layout { name: name.to_owned(), size: self.word(at + 8)?, fields })
    }

    // The text that begins at a place among the strings.
    pub(crate) fn string(&self, place: u32) -> Option<String> {
        let text = self.data.get(self.strings.start.checked_add(place as usize)?..self.strings.end)?;
        Some(String::from_utf8_lossy(text.split(|&byte| byte == 0).next()?).into_owned())
    }

    fn fields(&self, at: usize) -> Option<Vec<Field>> {
        let (_, count) = self.kind(at)?;
        // kind_flag: the upper 8 bits of each offset are the width of a bit field.
        let has_bits = self.word(at + 4)? >> 31 == 1;
        let members = (0..count).map(|member| at + 12 + 12 * member).map(|member| {
            let place = self.word(member + 8)?;
            let named = self.word(member)? != 0;
            let whole = named && !(has_bits && place >> 24 != 0) && place % 8 == 0;
            let bits = if has_bits { place & 0xFF_FFFF } else { place };
            let code = self.code(self.word(member + 4)?)?;
            whole.then_some(Field { name: self.called(member)?, at: bits / 8, code })
        });
        members.collect()
    }

    fn called(&self, at: usize) -> Option<String> {
        Some(String::from_utf8_lossy(self.name(at)?).into_owned())
    }

    // The word for a type that is one field.
    fn code(&self, id: u32) -> Option<String> {
        let at = self.plain_type(id)?;
        let size = self.size(id)?;
        let code = match self.kind(at)?.0 {
            INT => self.integer(at),
            POINTER => Some("u64".into()),
            ENUM | ENUM64 => Some(format!("{}{}", self.sign(at)?, size * 8)),
            ARRAY => self.array(at),
            _ => None,
        };
        Some(code.unwrap_or_else(|| format!("bytes[{size}]")))
    }

    // Of text or of integers.
    fn array(&self, at: usize) -> Option<String> {
        let (element, count) = (self.plain_type(self.word(at + 12)?)?, self.word(at + 20)?);
        if count == 0 || !self.is(element, INT) {
            return None;
        }
        match self.integer(element)?.as_str() {
            _ if self.name(element)? == b"char" => Some(format!("char[{count}]")),
            "bool" => None,
            of => Some(format!("{of}[{count}]")),
        }
    }

    // None for one of 128 bits.
    fn integer(&self, at: usize) -> Option<String> {
        let (size, encoding) = (self.word(at + 8)?, self.word(at + 12)? >> 24);
        match (encoding & BOOL != 0, size) {
            (true, 1) => Some("bool".into()),
            (_, 1 | 2 | 4 | 8) => Some(format!("{}{}", if encoding & SIGNED == 0 { 'u' } else { 'i' }, size * 8)),
            _ => None,
        }
    }

    // An enumeration's is in kind_flag.
    fn sign(&self, at: usize) -> Option<char> {
        Some(if self.word(at + 4)? >> 31 == 1 { 'i' } else { 'u' })
    }

    fn size(&self, id: u32) -> Option<u32> {
        let (mut id, mut count) = (id, 1_u32);
        for _ in 0..DEPTH {
            let at = self.plain_type(id)?;
            let size = match self.kind(at)?.0 {
                INT | STRUCT | UNION | ENUM | ENUM64 | FLOAT => self.word(at + 8)?,
                POINTER => 8,
                ARRAY => {
                    count = count.checked_mul(self.word(at + 20)?)?;
                    id = self.word(at + 12)?;
                    continue;
                }
                _ => return None,
            };
            return size.checked_mul(count);
        }
        None
    }

    // Where the type is, without its other names and qualifiers.
    fn plain_type(&self, id: u32) -> Option<usize> {
        let mut id = id;
        for _ in 0..DEPTH {
            let at = *self.types.get(id.checked_sub(1)? as usize)?;
            match self.kind(at)?.0 {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = self.word(at + 8)?,
                _ => return Some(at),
            }
        }
        None
    }
}
