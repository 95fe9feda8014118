//! The text form of types, which Python writes and capture files keep: `u32`, `char[16]`, `u16:3:5`,
//! `enum u32{A=0,B=1}`, `struct 8{a@0=u32;b@4=u32}[2]`, `union 4(tag){1=a:u32;2=b:ipv4}`.
//!
//! A file may be damaged, so every text has an end, a depth and counts that are bounded.

use std::collections::HashSet;

use super::kind::{Address, Bits, Clock, Field, Kind, Number, Scalar, Struct, Union};

// How deep structs and unions may be nested.
const DEEPEST: usize = 8;
pub(super) const MOST_ELEMENTS: usize = 1 << 20;
// A record's length has 30 bits.
pub(super) const LARGEST_RECORD: usize = 1 << 30;

type Result<T> = std::result::Result<T, String>;

pub(super) fn parse(text: &str) -> Result<Kind> {
    let mut parser = Parser { rest: text };
    let kind = parser.kind(0)?;
    if parser.rest.is_empty() { Ok(kind) } else { Err(format!("{} is too much", parser.shown())) }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    // What comes next, for messages.
    fn shown(&self) -> String {
        if self.rest.is_empty() { "the end".into() } else { format!("{:?}", shortened(self.rest)) }
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(format!("{token:?} should stand where {} is", self.shown())) }
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|char| !belongs(char)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn integer(&mut self) -> Result<i128> {
        let before = self.shown();
        let minus = if self.eat("-") { "-" } else { "" };
        let digits = self.take(|char| char.is_ascii_digit());
        // Nothing has more than 64 bits, which are 20 digits.
        let number = if digits.len() <= 20 { format!("{minus}{digits}").parse().ok() } else { None };
        number.ok_or_else(|| format!("a whole number should stand where {before} is"))
    }

    fn within(&mut self, what: &str, least: usize, most: usize) -> Result<usize> {
        let number = self.integer()?;
        let within = usize::try_from(number).ok().filter(|number| (least..=most).contains(number));
        within.ok_or_else(|| format!("{what} has to be from {least} to {most}, not {number}"))
    }

    fn name(&mut self) -> Result<String> {
        let before = self.shown();
        let name = self.take(|char| char.is_ascii_alphanumeric() || char == '_');
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(format!("a name should stand where {before} is"));
        }
        Ok(name.into())
    }

    fn kind(&mut self, depth: usize) -> Result<Kind> {
        if depth > DEEPEST {
            return Err(format!("it is nested deeper than {DEEPEST}"));
        }
        let before = self.shown();
        let word = self.take(|char| char.is_ascii_alphanumeric() || char == '.');
        match word {
            "struct" => {
                let structure = self.structure(depth)?;
                return Ok(match self.count()? {
                    Some(count) => Kind::List(structure, count),
                    None => Kind::Struct(structure),
                });
            }
            "union" => return Ok(Kind::Union(self.union(depth)?)),
            "enum" => return self.enumeration(),
            _ => {}
        }
        let unknown = || format!("{before} is no type");
        if self.eat("[]") {
            return if word == "bytes" { Some(Kind::TailBytes) } else { number(word).map(Kind::TailNumbers) }
                .ok_or_else(unknown);
        }
        if let Some(count) = self.count()? {
            return match word {
                "char" => Some(Kind::Chars(count)),
                "bytes" => Some(Kind::Bytes(count)),
                "text" => Some(Kind::Text { most: count }),
                "stack" => Some(Kind::Stack(count)),
                word => number(word).map(|number| Kind::Numbers(number, count)),
            }
            .ok_or_else(unknown);
        }
        // Colons after a bool belong to a bitfield; nothing else begins with one.
        if self.rest.starts_with(':') {
            return self.bits(word)?.ok_or_else(unknown);
        }
        plain(word).ok_or_else(unknown)
    }

    fn count(&mut self) -> Result<Option<usize>> {
        if !self.eat("[") {
            return Ok(None);
        }
        let count = self.within("a count", 1, MOST_ELEMENTS)?;
        self.expect("]")?;
        Ok(Some(count))
    }

    // u32:BIT:WIDTH, bool:BIT:1
    fn bits(&mut self, word: &str) -> Result<Option<Kind>> {
        let storage = if word == "bool" { number("u8") } else { number(word) };
        let Some(number) = storage.filter(|number| number.is_integer()) else {
            return Ok(None);
        };
        let storage = 8 * number.width();
        self.expect(":")?;
        let first = self.within("a bitfield's first bit", 0, storage - 1)?;
        self.expect(":")?;
        let most = if word == "bool" { 1 } else { storage - first };
        let width = self.within("a bitfield's width", 1, most)?;
        Ok(Some(if word == "bool" {
            Kind::Flag(first as u32)
        } else {
            Kind::Bits(Bits { number, first: first as u32, width: width as u32 })
        }))
    }

    // enum u32{RUNNING=0,STOPPED=4}
    fn enumeration(&mut self) -> Result<Kind> {
        self.expect(" ")?;
        let before = self.shown();
        let base = number(self.take(|char| char.is_ascii_alphanumeric())).filter(|number| number.is_integer());
        let base = base.ok_or_else(|| format!("an integer's type should stand where {before} is"))?;
        self.expect("{")?;
        let mut names = Vec::new();
        let mut known = HashSet::new();
        while !self.eat("}") {
            if !names.is_empty() {
                self.expect(",")?;
            }
            let name = self.name()?;
            if !known.insert(name.clone()) {
                return Err(format!("the name {name:?} is there twice"));
            }
            self.expect("=")?;
            let value = self.integer()?;
            if Bits::all(base).holding(value).is_none() {
                return Err(format!("{name} = {value} does not fit into the enum's integer"));
            }
            names.push((name, value));
        }
        Ok(Kind::Enum(base, names.into()))
    }

    // struct SIZE{name@OFFSET=TYPE;name@OFFSET=TYPE}
    fn structure(&mut self, depth: usize) -> Result<Struct> {
        self.expect(" ")?;
        let size = self.within("a size", 1, LARGEST_RECORD)?;
        self.expect("{")?;
        let mut fields = Vec::new();
        let mut known = HashSet::new();
        loop {
            let name = self.name()?;
            self.expect("@")?;
            let offset = self.within("an offset", 0, size)?;
            self.expect("=")?;
            fields.push(self.member(name, offset, size, depth, &mut known)?);
            if !self.eat(";") {
                break;
            }
        }
        self.expect("}")?;
        Ok(Struct { size, fields })
    }

    // union SIZE(TAG){1=name:TYPE;2=name:TYPE}
    fn union(&mut self, depth: usize) -> Result<Union> {
        self.expect(" ")?;
        let size = self.within("a size", 1, LARGEST_RECORD)?;
        self.expect("(")?;
        let tag = self.name()?;
        self.expect(")")?;
        self.expect("{")?;
        let mut members = Vec::new();
        let (mut known, mut values) = (HashSet::new(), HashSet::new());
        loop {
            let value = self.integer()?;
            if !values.insert(value) {
                return Err(format!("the tag {value} is there twice"));
            }
            self.expect("=")?;
            let name = self.name()?;
            self.expect(":")?;
            members.push((value, self.member(name, 0, size, depth, &mut known)?));
            if !self.eat(";") {
                break;
            }
        }
        self.expect("}")?;
        Ok(Union { size, tag, members })
    }

    fn member(
        &mut self,
        name: String,
        offset: usize,
        size: usize,
        depth: usize,
        known: &mut HashSet<String>,
    ) -> Result<Field> {
        let kind = self.kind(depth + 1)?;
        if offset + kind.size() > size {
            return Err(format!("{name} at {offset} does not fit into {size} bytes"));
        }
        if !known.insert(name.clone()) {
            return Err(format!("the name {name:?} is there twice"));
        }
        Ok(Field { name, offset: offset.cast_signed(), kind })
    }
}

// The beginning of a text that may be as long as a file.
pub(super) fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(60).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

fn plain(word: &str) -> Option<Kind> {
    Some(match word {
        "bool" => Kind::Bool,
        "ktime" => Kind::Time(Clock::Monotonic),
        "boottime" => Kind::Time(Clock::Boottime),
        "tai" => Kind::Time(Clock::Tai),
        "duration" => Kind::Duration,
        "ipv4" => Kind::Address(Address::Ipv4),
        "ipv6" => Kind::Address(Address::Ipv6),
        "mac" => Kind::Address(Address::Mac),
        "ipv4.raw" => Kind::RawAddress(Address::Ipv4),
        "ipv6.raw" => Kind::RawAddress(Address::Ipv6),
        "mac.raw" => Kind::RawAddress(Address::Mac),
        "port" => Kind::Port,
        "record" => Kind::Record,
        word => Kind::Number(number(word)?),
    })
}

fn number(word: &str) -> Option<Number> {
    let (little, big) = match word.strip_suffix("be") {
        Some(word) => (word, true),
        None => (word, false),
    };
    let scalar = match little {
        "u8" => Scalar::U8,
        "i8" => Scalar::I8,
        "u16" => Scalar::U16,
        "i16" => Scalar::I16,
        "u32" => Scalar::U32,
        "i32" => Scalar::I32,
        "u64" => Scalar::U64,
        "i64" => Scalar::I64,
        "f32" => Scalar::F32,
        "f64" => Scalar::F64,
        _ => return None,
    };
    // A byte has no order.
    (!big || scalar.width() > 1).then_some(Number { scalar, big })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXTS: &[&str] = &[
        "u32",
        "f64be",
        "ipv6.raw",
        "char[16]",
        "u16be[3]",
        "i32:3:5",
        "bool:7:1",
        "text[256]",
        "u32[]",
        "stack[127]",
        "enum i32{NONE=-1,SOME=0,}",
        "enum u8{A=0,B=255}",
        "struct 12{a@0=u32;b@4=struct 8{c@0=u8;d@4=union 4(c){1=x:u32;2=y:ipv4}}[1]}",
    ];

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(text in ".{0,60}") {
            let _ = parse(&text);
        }

        // What a damaged file may hold: a text whose pieces were cut, doubled and mixed.
        #[test]
        fn pieces_are_refused_or_read(pieces in prop::collection::vec((0..TEXTS.len(), any::<usize>(), any::<usize>()), 0..6)) {
            let text: String = pieces
                .into_iter()
                .map(|(which, a, b)| {
                    let text = TEXTS[which];
                    let (a, b) = (a % (text.len() + 1), b % (text.len() + 1));
                    &text[a.min(b)..a.max(b)]
                })
                .collect();
            let _ = parse(&text);
        }
    }

    #[test]
    fn numbers_and_their_bits() {
        let u16be = Number { scalar: Scalar::U16, big: true };
        assert_eq!(parse("u16be"), Ok(Kind::Number(u16be)));
        assert_eq!(parse("u16be[7]"), Ok(Kind::Numbers(u16be, 7)));
        assert_eq!(parse("u16be:3:13"), Ok(Kind::Bits(Bits { number: u16be, first: 3, width: 13 })));
        assert_eq!(parse("bool:7:1"), Ok(Kind::Flag(7)));
    }

    #[test]
    fn structs_lists_and_unions() {
        let kind = parse("struct 12{c@0=u8;d@4=union 4(c){1=x:u32;-2=y:ipv4};e@8=struct 2{f@1=i8}[2]}").unwrap();
        let Kind::Struct(Struct { size: 12, fields }) = kind else { panic!("{kind:?}") };
        assert_eq!(fields.iter().map(|field| field.offset).collect::<Vec<_>>(), [0, 4, 8]);
        let Kind::Union(union) = &fields[1].kind else { panic!("{fields:?}") };
        assert_eq!((union.tag.as_str(), union.members[1].0), ("c", -2));
        let Kind::List(list, 2) = &fields[2].kind else { panic!("{fields:?}") };
        assert_eq!((list.size, list.fields[0].offset), (2, 1));
    }

    #[test]
    fn the_cause_is_told() {
        let deep = format!("{}u8{}", "struct 1{a@0=".repeat(10), "}".repeat(10));
        let endless = "struct 1{a@0=".repeat(100_000);
        for (text, cause) in [
            ("", "the end is no type"),
            ("u33", "\"u33\" is no type"),
            ("u8be", "is no type"),
            ("ipv4[2]", "is no type"),
            ("u32]", "\"]\" is too much"),
            ("u32[0]", "a count has to be from 1 to 1048576, not 0"),
            ("u32[99999999999999999999999]", "a whole number should stand"),
            ("u32[2", "\"]\" should stand where the end is"),
            ("u32:30:3", "a bitfield's width has to be from 1 to 2, not 3"),
            ("u8:8:1", "a bitfield's first bit has to be from 0 to 7, not 8"),
            ("f32:0:1", "is no type"),
            ("bool:0:2", "a bitfield's width has to be from 1 to 1, not 2"),
            ("enum f32{}", "an integer's type should stand"),
            ("enum u8{A=256}", "A = 256 does not fit"),
            ("enum u8{A=-1}", "A = -1 does not fit"),
            ("enum u8{A=1,A=2}", "\"A\" is there twice"),
            ("enum u8{1A=1}", "a name should stand"),
            ("enum u8{é=1}", "a name should stand"),
            ("struct 4{}", "a name should stand"),
            ("struct 0{a@0=u8}", "a size has to be from 1"),
            ("struct 4{a@0=u64}", "a at 0 does not fit into 4 bytes"),
            ("struct 4{a@1=u32}", "a at 1 does not fit into 4 bytes"),
            ("struct 4{a@-1=u8}", "an offset has to be from 0 to 4, not -1"),
            ("struct 4{a@0=u8;a@1=u8}", "\"a\" is there twice"),
            ("struct 4{a b@0=u8}", "\"@\" should stand where \" b@0=u8}\" is"),
            ("union 4(t){1=a:u8;1=b:u8}", "the tag 1 is there twice"),
            ("union 4(t){1=a:u64}", "a at 0 does not fit into 4 bytes"),
            (&deep, "nested deeper than 8"),
            (&endless, "nested deeper than 8"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(cause), "{text}: {error}");
            assert!(error.len() < 400);
        }
    }
}
