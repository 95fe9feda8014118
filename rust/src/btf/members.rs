//! The members of the kernel's structs and unions, and where they are.

use super::{Btf, STRUCT, UNION};

// What a type is called by, and what is said of it.
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const TYPE_TAG: u32 = 18;

pub(crate) struct Member {
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

    fn gather(&self, id: u32, start: u32, members: &mut Vec<Member>) -> Option<()> {
        let at = self.plain(id)?;
        let (STRUCT | UNION, count) = self.kind(at)? else { return None };
        // kind_flag: the upper 8 bits of each offset are the width of a bit field.
        let has_bits = self.word(at + 4)? >> 31 == 1;
        for member in (0..count).map(|member| at + 12 + 12 * member) {
            let [id, place] = [self.word(member + 4)?, self.word(member + 8)?];
            let (bits, place) = if has_bits { (place >> 24, place & 0xFF_FFFF) } else { (0, place) };
            let name = String::from_utf8_lossy(self.name(member)?).into_owned();
            if name.is_empty() {
                // Bits that are only there to be skipped have no name either.
                let _ = self.gather(id, start + place, members);
            } else {
                members.push(Member { name, at: start + place, bits, id });
            }
        }
        Some(())
    }

    // Where the type is, without its other names and qualifiers.
    fn plain(&self, id: u32) -> Option<usize> {
        let at = *self.types.get(id.checked_sub(1)? as usize)?;
        match self.kind(at)?.0 {
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => self.plain(self.word(at + 8)?),
            _ => Some(at),
        }
    }
}
