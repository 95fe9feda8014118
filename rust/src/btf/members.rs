//! The members of structs and unions, and where they are.

use super::{Btf, STRUCT, UNION};

pub(crate) struct Member {
    // Empty for an anonymous struct or union, and for bits that are only there to be skipped.
    pub(crate) name: String,
    // In bits, from where the outermost type begins.
    pub(crate) at: u32,
    // How many bits of it are the member's; 0 when it is no bit field.
    pub(crate) bits: u32,
    // The number of its type.
    pub(crate) id: u32,
}

impl Btf {
    // Those of anonymous structs and unions are members of the type that has these. None when it is neither struct nor
    // union.
    pub(crate) fn members(&self, id: u32) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        self.gather(id, 0, &mut members)?;
        Some(members)
    }

    // Whether `struct name` has a member of that path.
    pub(crate) fn has_member(&self, name: &str, path: &[&str]) -> bool {
        (1..)
            .zip(&self.types)
            .any(|(id, &at)| self.is_named(at, name) && self.is(at, STRUCT) && self.has_path(id, path))
    }

    fn has_path(&self, id: u32, path: &[&str]) -> bool {
        let Some((&first, rest)) = path.split_first() else { return true };
        let members = self.members(id).unwrap_or_default();
        members.iter().any(|member| member.name == first && self.has_path(member.id, rest))
    }

    fn gather(&self, id: u32, start: u32, members: &mut Vec<Member>) -> Option<()> {
        let (at, _) = self.resolve(self.at(id)?)?;
        for member in self.declared(at)? {
            let at = start + member.at;
            if member.name.is_empty() {
                let _ = self.gather(member.id, at, members);
            } else {
                members.push(Member { at, ..member });
            }
        }
        Some(())
    }

    // As they stand in the struct or union itself.
    pub(super) fn declared(&self, at: usize) -> Option<Vec<Member>> {
        let (STRUCT | UNION, count) = self.kind(at)? else { return None };
        // kind_flag: the upper 8 bits of each offset are the width of a bit field.
        let has_bits = self.word(at + 4)? >> 31 == 1;
        let members = (0..count).map(|member| at + 12 + 12 * member).map(|member| {
            let place = self.word(member + 8)?;
            let (bits, at) = if has_bits { (place >> 24, place & 0xFF_FFFF) } else { (0, place) };
            Some(Member { name: self.text(member)?, at, bits, id: self.word(member + 4)? })
        });
        members.collect()
    }
}
