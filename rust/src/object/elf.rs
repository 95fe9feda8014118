//! The ELF file: what is refused before anybody reads on, and its program sections under names that aya-obj takes.
//!
//! aya-obj has a list of section names and refuses files with others, such as "tc" and "syscall". What a program is for
//! is read from the section's name elsewhere, so each program section goes by a name from that list here. It also makes
//! enums of numbers that it does not look at: they are looked at here.

use super::check::check;
use crate::btf::Btf;
use crate::error::{Error, Result};

const HEADER: usize = 64; // Elf64_Ehdr, Elf64_Shdr: include/uapi/linux/elf.h
const RELOCATABLE: u16 = 1; // ET_REL
const BPF: u16 = 247; // EM_BPF
const UNSAID: u16 = 0; // EM_NONE, as old compilers have it
const SYMBOLS: u32 = 2; // SHT_SYMTAB
const SYMBOL: usize = 24; // Elf64_Sym
const NO_BITS: u32 = 8; // SHT_NOBITS
const RUNS: u64 = 4; // SHF_EXECINSTR
// The most that the value of a map may take; no section is larger.
const MOST: u64 = i32::MAX as u64;

#[derive(Debug)]
pub(super) struct Elf {
    data: Vec<u8>,
    // The sections' own names, by index.
    pub(super) names: Vec<String>,
}

#[derive(Clone, Copy)]
struct Section {
    // Where its header stands.
    header: usize,
    kind: u32,
    flags: u64,
    offset: usize,
    size: usize,
}

impl Elf {
    // And the file as aya-obj takes it.
    pub(super) fn read(data: &[u8]) -> Result<(Self, Vec<u8>)> {
        refuse_what_is_not_ours(data)?;
        let mut elf = Self { data: data.to_vec(), names: Vec::new() };
        let damaged = || Error::Object("the ELF file is damaged: what it says of its sections does not hold".into());
        elf.rename().ok_or_else(damaged)?;
        check(&elf.data).ok_or_else(damaged)?;
        let data = std::mem::take(&mut elf.data);
        Ok((elf, data))
    }

    // What stands in place of a section's name.
    fn renamed(index: usize) -> String {
        format!("tp/{index}")
    }

    // A text of aya-obj's with the sections' own names.
    pub(super) fn said(&self, text: &str) -> String {
        let numbered = self.names.iter().enumerate().rev();
        numbered.fold(text.to_owned(), |text, (index, name)| text.replace(&Self::renamed(index), name))
    }

    fn rename(&mut self) -> Option<()> {
        let start = usize::try_from(self.long(40)?).ok()?;
        let count = self.half(60)? as usize;
        let sections: Vec<Section> =
            (0..count).map(|index| self.section(start.checked_add(index * HEADER)?)).collect::<Option<_>>()?;
        let strings = *sections.get(self.half(62)? as usize)?;
        let mut table = self.content(strings)?.to_vec();
        let names = sections.iter().map(|section| text(&table, self.word(section.header)? as usize));
        let names: Vec<String> = names.collect::<Option<_>>()?;
        let programs: Vec<usize> = (0..count)
            .filter(|&at| sections[at].flags & RUNS != 0 && sections[at].size > 0 && !names[at].starts_with(".text"))
            .collect();
        for &index in &programs {
            self.put(sections[index].header, u32::try_from(table.len()).ok()?)?;
            append(&mut table, &Self::renamed(index));
        }
        self.replace(strings, &table)?;
        for (section, _) in sections.iter().zip(&names).filter(|(_, name)| name.starts_with("maps")) {
            self.unpin(&sections, section)?;
        }
        let at = |name: &str| names.iter().position(|found| found == name).map(|index| sections[index]);
        if let Some(types) = at(".BTF") {
            Btf::parse(self.content(types)?.to_vec()).filter(Btf::is_whole)?;
        }
        if let (Some(types), Some(more)) = (at(".BTF"), at(".BTF.ext")) {
            self.rename_in_types(types, more, &names, &programs)?;
        }
        self.names = names;
        Some(())
    }

    // What .BTF.ext says of a section it says by its name, which stands among the strings of .BTF.
    fn rename_in_types(&mut self, types: Section, more: Section, names: &[String], programs: &[usize]) -> Option<()> {
        let mut content = self.content(types)?.to_vec();
        // struct btf_header: the strings are the last part, behind hdr_len + str_off, str_len bytes of them.
        let [header, start, length] = [4, 16, 20].map(|at| Some(word(&content, at)? as usize));
        let begin = header?.checked_add(start?)?;
        let strings = content.get(begin..begin.checked_add(length?)?)?.to_vec();
        // Some compilers fill up what is behind.
        content.truncate(begin + strings.len());
        let mut places = Vec::new();
        for &index in programs {
            places.push((&names[index], u32::try_from(content.len() - begin).ok()?));
            append(&mut content, &Self::renamed(index));
        }
        let length = u32::try_from(content.len() - begin).ok()?;
        content.get_mut(20..24)?.copy_from_slice(&length.to_ne_bytes());
        self.replace(types, &content)?;

        // struct btf_ext_header: hdr_len, then offset and length of each part: functions, lines, relocations (the last
        // only in a longer header). A part is the size of its records, and for each section its name, how many records
        // there are, and these.
        let header = self.word(more.offset + 4)? as usize;
        for (part, least) in [(8, 8), (16, 16), (24, 16)].into_iter().filter(|(part, _)| part + 8 <= header) {
            let [offset, length] = [0, 4].map(|at| Some(self.word(more.offset + part + at)? as usize));
            let mut at = more.offset.checked_add(header)?.checked_add(offset?)?;
            let end = at.checked_add(length?)?;
            if end == at {
                continue;
            }
            let record = self.word(at)? as usize;
            if record < least || end > more.offset + more.size {
                return None;
            }
            at += 4;
            while at < end {
                let name = text(&strings, self.word(at)? as usize)?;
                if let Some((_, place)) = places.iter().find(|(found, _)| **found == name) {
                    self.put(at, *place)?;
                }
                at = at.checked_add(8)?.checked_add(record.checked_mul(self.word(at + 4)? as usize)?)?;
            }
            if at != end {
                return None;
            }
        }
        Some(())
    }

    // Old-form maps say how to pin them in their seventh word, which fastbpf does not do (iproute2 has other numbers).
    fn unpin(&mut self, sections: &[Section], maps: &Section) -> Option<()> {
        for table in sections.iter().filter(|section| section.kind == SYMBOLS) {
            for at in (0..table.size / SYMBOL).map(|number| table.offset + number * SYMBOL) {
                let (section, value, size) = (self.half(at + 6)?, self.long(at + 8)?, self.long(at + 16)?);
                if sections.get(section as usize).is_some_and(|section| section.header == maps.header) {
                    let start = maps.offset.checked_add(usize::try_from(value).ok()?)?;
                    let end = start.checked_add(usize::try_from(size.min(28)).ok()?)?;
                    self.data.get_mut(start..end)?.iter_mut().skip(24).for_each(|byte| *byte = 0);
                }
            }
        }
        Some(())
    }

    fn section(&self, header: usize) -> Option<Section> {
        let [flags, offset, size] = [8, 24, 32].map(|at| self.long(header.checked_add(at)?));
        let kind = self.word(header.checked_add(4)?)?;
        let within = kind == NO_BITS || offset?.checked_add(size?)? <= self.data.len() as u64;
        (within && size? <= MOST).then_some(Section {
            header,
            kind,
            flags: flags?,
            offset: usize::try_from(offset?).ok()?,
            size: usize::try_from(size?).ok()?,
        })
    }

    fn content(&self, section: Section) -> Option<&[u8]> {
        if section.kind == NO_BITS {
            return None;
        }
        self.data.get(section.offset..section.offset.checked_add(section.size)?)
    }

    // A section's new content stands behind all that was there.
    fn replace(&mut self, section: Section, content: &[u8]) -> Option<()> {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let places = [(24, self.data.len()), (32, content.len())];
        for (at, number) in places {
            let at = section.header + at;
            self.data.get_mut(at..at + 8)?.copy_from_slice(&(number as u64).to_ne_bytes());
        }
        self.data.extend_from_slice(content);
        Some(())
    }

    fn put(&mut self, at: usize, number: u32) -> Option<()> {
        self.data.get_mut(at..at.checked_add(4)?)?.copy_from_slice(&number.to_ne_bytes());
        Some(())
    }

    fn half(&self, at: usize) -> Option<u16> {
        half(&self.data, at)
    }

    fn word(&self, at: usize) -> Option<u32> {
        word(&self.data, at)
    }

    fn long(&self, at: usize) -> Option<u64> {
        Some(u64::from_ne_bytes(self.data.get(at..at.checked_add(8)?)?.try_into().ok()?))
    }
}

fn refuse_what_is_not_ours(data: &[u8]) -> Result<()> {
    let refuse = |what: &str| Err(Error::Object(what.into()));
    if !data.starts_with(b"\x7fELF") {
        return refuse("this is no ELF file; give what `clang -target bpf -g -O2 -c` writes");
    }
    if data.len() < HEADER {
        return refuse("the ELF file is damaged: it ends within its first header");
    }
    let little = cfg!(target_endian = "little");
    if data[5] != if little { 1 } else { 2 } {
        let (its, ours) = if little { ("big", "little") } else { ("little", "big") };
        return Err(Error::Object(format!(
            "the object is {its}-endian and this machine {ours}-endian; compile it with `clang -target bpf{}`",
            if little { "el" } else { "eb" }
        )));
    }
    let machine = half(data, 18).unwrap_or_default();
    if data[4] != 2 || ![BPF, UNSAID].contains(&machine) {
        return Err(Error::Object(format!(
            "the ELF file is for machine {machine}, not for BPF ({BPF}); compile it with `clang -target bpf -g -O2 -c`"
        )));
    }
    if half(data, 16) != Some(RELOCATABLE) {
        return refuse("the ELF file is no object file; give what `clang -target bpf -g -O2 -c` writes, not linked");
    }
    Ok(())
}

fn half(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(data.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn text(table: &[u8], start: usize) -> Option<String> {
    let bytes = table.get(start..)?.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn append(table: &mut Vec<u8>, name: &str) {
    table.extend_from_slice(name.as_bytes());
    table.push(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // A first header that is ours, and behind it `sections` headers of what comes.
    fn file(rest: &[u8], start: u64, sections: u16, strings: u16) -> Vec<u8> {
        let mut data = vec![0; HEADER];
        data[..6].copy_from_slice(b"\x7fELF\x02\x01");
        data[16..20].copy_from_slice(&[1, 0, 247, 0]);
        data[40..48].copy_from_slice(&start.to_le_bytes());
        data[60..62].copy_from_slice(&sections.to_le_bytes());
        data[62..64].copy_from_slice(&strings.to_le_bytes());
        data.extend_from_slice(rest);
        data
    }

    proptest! {
        #[test]
        fn no_bytes_are_more_than_refused(
            rest in prop::collection::vec(prop_oneof![4 => 0..4_u8, 1 => any::<u8>()], 0..600),
            start in prop_oneof![8 => 60..70_u64, 1 => any::<u64>()],
            sections in 0..10_u16,
            strings in 0..10_u16,
        ) {
            if let Ok((elf, data)) = Elf::read(&file(&rest, start, sections, strings)) {
                prop_assert_eq!(elf.names.len(), sections as usize);
                prop_assert!(data.len() >= HEADER + rest.len());
            }
        }
    }

    #[test]
    fn texts_name_sections_as_the_file_does() {
        let names = [vec!["x".to_owned(); 12], vec!["tc".into()]].concat();
        let elf = Elf { data: Vec::new(), names };
        assert_eq!(elf.said("section `tp/12` and `tp/1`"), "section `tc` and `x`");
    }
}
