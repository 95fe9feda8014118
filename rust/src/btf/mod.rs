//! The kernel's own types: which members its structs have, to ask for a feature instead of guessing from a version, and
//! the numbers of its functions and variables. Objects have theirs in the same form.

pub(crate) mod functions;
pub(crate) mod layout;
mod members;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::OnceLock;

const HEADER: usize = 24; // struct btf_header, include/uapi/linux/btf.h
const MAGIC: u16 = 0xEB9F;

const INT: u32 = 1;
const ARRAY: u32 = 3;
pub(crate) const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

// Deeper than any compiler nests; BTF that was tampered with may nest for ever.
const DEEPEST: usize = 64;

pub(crate) struct Btf {
    data: Vec<u8>,
    strings: Range<usize>,
    // Where each type's record starts; type ids count from 1.
    types: Vec<usize>,
}

impl Btf {
    // Read when it is first needed, and kept: it stays the same until the machine boots again.
    pub(crate) fn of_kernel() -> Option<&'static Self> {
        static KERNEL: OnceLock<Btf> = OnceLock::new();
        if KERNEL.get().is_none() {
            let read = Self::parse(std::fs::read("/sys/kernel/btf/vmlinux").ok()?)?;
            return Some(KERNEL.get_or_init(|| read));
        }
        KERNEL.get()
    }

    pub(crate) fn parse(data: Vec<u8>) -> Option<Self> {
        let magic = u16::from_ne_bytes(data.get(..2)?.try_into().ok()?);
        let mut btf = Self { data, strings: 0..0, types: Vec::new() };
        let [header, type_offset, type_len, string_offset, string_len] = [4, 8, 12, 16, 20].map(|at| btf.word(at));
        if magic != MAGIC || (header? as usize) < HEADER {
            return None;
        }
        let start = header? as usize;
        let section = |offset: u32, len: u32| start + offset as usize..start + offset as usize + len as usize;
        let types = section(type_offset?, type_len?);
        btf.strings = section(string_offset?, string_len?);
        let mut at = types.start;
        while at < types.end {
            btf.types.push(at);
            let (kind, count) = btf.kind(at)?;
            at += 12
                + match kind {
                    INT | VAR | DECL_TAG => 4,
                    ARRAY => 12,
                    STRUCT | UNION | DATASEC | ENUM64 => 12 * count,
                    ENUM | FUNC_PROTO => 8 * count,
                    _ => 0,
                };
        }
        Some(btf)
    }

    // Whether all names are among the strings, and variables static, global or extern.
    pub(crate) fn is_whole(&self) -> bool {
        self.types.iter().all(|&at| self.is_whole_at(at).is_some())
    }

    fn is_whole_at(&self, at: usize) -> Option<()> {
        self.name(at)?;
        let (kind, count) = self.kind(at)?;
        let width = match kind {
            STRUCT | UNION | ENUM64 => 12,
            ENUM | FUNC_PROTO => 8,
            VAR => return (self.word(at + 12)? < 3).then_some(()),
            _ => return Some(()),
        };
        (0..count).try_for_each(|one| self.name(at + 12 + width * one).map(drop))
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(self.data.get(at..at + 4)?.try_into().ok()?))
    }

    fn kind(&self, at: usize) -> Option<(u32, usize)> {
        let info = self.word(at + 4)?;
        Some((info >> 24 & 0x1F, (info & 0xFFFF) as usize))
    }

    fn name(&self, at: usize) -> Option<&[u8]> {
        self.bytes(self.word(at)?)
    }

    fn text(&self, at: usize) -> Option<String> {
        self.string(self.word(at)?)
    }

    // The text that begins at a place among the strings.
    pub(crate) fn string(&self, place: u32) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes(place)?).into_owned())
    }

    fn bytes(&self, place: u32) -> Option<&[u8]> {
        let text = self.data.get(self.strings.start.checked_add(place as usize)?..self.strings.end)?;
        text.split(|&byte| byte == 0).next()
    }

    // Where the type of that number is.
    fn at(&self, id: u32) -> Option<usize> {
        self.types.get(id.checked_sub(1)? as usize).copied()
    }

    // Past typedefs and qualifiers; whether a typedef said that the integer is big-endian.
    fn resolve(&self, mut at: usize) -> Option<(usize, bool)> {
        let mut big_endian = false;
        for _ in 0..DEEPEST {
            match self.kind(at)?.0 {
                TYPEDEF => big_endian |= matches!(self.name(at)?, b"__be16" | b"__be32" | b"__be64"),
                VOLATILE | CONST | RESTRICT | TYPE_TAG => (),
                _ => return Some((at, big_endian)),
            }
            at = self.at(self.word(at + 8)?)?;
        }
        None
    }

    // As comparing with `name`, without looking for the name's end.
    fn is_named(&self, at: usize, name: &str) -> bool {
        let Some(start) = self.word(at).map(|offset| self.strings.start + offset as usize) else { return false };
        let text = self.data.get(start..self.strings.end).and_then(|text| text.strip_prefix(name.as_bytes()));
        text.is_some_and(|rest| rest.first() == Some(&0))
    }

    // The number of the type of that kind (BTF_KIND_FUNC …) and name.
    pub(crate) fn id(&self, name: &str, kind: u32) -> Option<u32> {
        let at = self.types.iter().position(|&at| self.is(at, kind) && self.is_named(at, name))?;
        Some(at as u32 + 1)
    }

    // The names of all types of a kind; of those that carry a tag, such as "bpf_kfunc", if one is given.
    pub(crate) fn names(&self, kind: u32, tag: Option<&str>) -> Vec<String> {
        let tagged: Option<HashSet<u32>> = tag.map(|tag| {
            let tags = self.types.iter().filter(|&&at| self.is(at, DECL_TAG) && self.is_named(at, tag));
            tags.filter_map(|at| self.word(at + 8)).collect()
        });
        let numbered = (1..).zip(&self.types);
        numbered
            .filter(|&(id, &at)| self.is(at, kind) && tagged.as_ref().is_none_or(|tagged| tagged.contains(&id)))
            .filter_map(|(_, &at)| self.text(at))
            .collect()
    }

    // The names and numbers of `enum name`, those of 32 bits.
    pub(crate) fn enumerators(&self, name: &str) -> Option<Vec<(String, u32)>> {
        let at = self.at(self.id(name, ENUM)?)?;
        let (_, count) = self.kind(at)?;
        let members = (0..count).map(|member| at + 12 + 8 * member);
        members.map(|at| Some((self.text(at)?, self.word(at + 4)?))).collect()
    }

    fn is(&self, at: usize, kind: u32) -> bool {
        self.kind(at).is_some_and(|(found, _)| found == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_members_of_the_running_kernel() {
        let Some(btf) = Btf::of_kernel() else { return };
        assert!(btf.has_member("task_struct", &["comm"]));
        assert!(btf.has_member("bpf_prog", &["aux"]));
        assert!(btf.has_member("bpf_link_info", &["perf_event", "type"]));
        assert!(!btf.has_member("task_struct", &["no_such_member"]));
        assert!(!btf.has_member("no_such_struct", &["comm"]));
    }

    #[test]
    fn numbers_functions_and_variables() {
        const FUNC: u32 = 12;
        let Some(btf) = Btf::of_kernel() else { return };
        let id = btf.id("bpf_map_sum_elem_count", FUNC).expect("a kfunc since 6.6");
        let name = btf.name(btf.types[id as usize - 1]);
        assert_eq!(name, Some("bpf_map_sum_elem_count".as_bytes()));
        assert_eq!(btf.id("bpf_map_sum_elem_count", VAR), None);
        assert!(btf.id("runqueues", VAR).is_some());
        assert!(btf.names(FUNC, Some("bpf_kfunc")).len() < btf.names(FUNC, None).len());
    }

    #[test]
    fn lists_an_enum() {
        let Some(btf) = Btf::of_kernel() else { return };
        let helpers = btf.enumerators("bpf_func_id").expect("every kernel with BTF has it");
        assert_eq!(helpers[..2], [("BPF_FUNC_unspec".into(), 0), ("BPF_FUNC_map_lookup_elem".into(), 1)]);
        assert_eq!(btf.enumerators("no_such_enum"), None);
    }

    #[test]
    fn refuses_what_is_no_btf() {
        assert!(Btf::parse(Vec::new()).is_none());
        assert!(Btf::parse(vec![0; 64]).is_none());
        let mut cut = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
        cut.truncate(1000);
        assert!(Btf::parse(cut).is_none());
    }
}
