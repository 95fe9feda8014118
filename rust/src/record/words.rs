//! Columns of 8- and 4-byte numbers in the machine's byte order, which most records are made of. Those of one width are
//! written one after another by one loop, which need not ask of each for each block what it is (measured, with the columns'
//! memory asked for ahead: a fifth less for six columns).

use super::block::{Part, Payloads};
use super::plan::{Form, Leaf};
use super::prefetch::Ahead;
use super::writer::{Target, gather};

#[derive(Default)]
pub(super) struct Words {
    eights: Vec<Word>,
    fours: Vec<Word>,
}

#[derive(Clone, Copy)]
struct Word {
    // From the record's start, and of the column's values from the slab's base.
    offset: isize,
    values: usize,
    // Which of the `added` makes UTC of it.
    added: usize,
}

impl Words {
    // Takes over the column of a leaf whose values stand there in the slab, if it is one of these.
    pub(super) fn take(&mut self, leaf: &Leaf, values: usize) -> bool {
        let (words, added) = match leaf.form {
            Form::Number(number) if number.width() == 8 && !number.big => (&mut self.eights, 0),
            Form::Number(number) if number.width() == 4 && !number.big => (&mut self.fours, 0),
            Form::Time(clock) => (&mut self.eights, 1 + clock as usize),
            _ => return false,
        };
        let here = leaf.path.is_empty();
        if here {
            words.push(Word { offset: leaf.offset, values, added });
        }
        here
    }

    pub(super) fn len(&self) -> usize {
        self.eights.len() + self.fours.len()
    }

    // SAFETY (of the caller): as for Writer::append.
    pub(super) unsafe fn append(&self, target: &Target<'_>, part: Part<'_, '_>, ahead: &mut Ahead) {
        let count = part.len();
        // SAFETY: promised by the caller.
        unsafe {
            match part.payloads() {
                Payloads::Strided { first, stride } => {
                    self.gather(target, count, |i| first.wrapping_add(i * stride), ahead);
                }
                Payloads::Listed(payloads) => self.gather(target, count, |i| *payloads.get_unchecked(i), ahead),
            }
        }
    }

    // SAFETY (of the caller): as for append; `from` gives the address of each record.
    #[inline(always)]
    unsafe fn gather(
        &self,
        target: &Target<'_>,
        count: usize,
        from: impl Fn(usize) -> *const u8 + Copy,
        ahead: &mut Ahead,
    ) {
        let added = [0, target.clocks.monotonic, target.clocks.boottime, target.clocks.tai];
        // By value: what is written could be the words themselves, for all that the compiler knows.
        for &Word { offset, values, added: which } in &self.eights {
            ahead.fetch();
            let add = added[which];
            let to = target.base.wrapping_add(values + target.row * 8);
            // SAFETY: the column has room, and records hold the field (promised).
            unsafe { gather::<i64>(count, |i| from(i).offset(offset), to, |value| value.wrapping_add(add)) };
        }
        for &Word { offset, values, .. } in &self.fours {
            ahead.fetch();
            let to = target.base.wrapping_add(values + target.row * 4);
            // SAFETY: as above.
            unsafe { gather::<u32>(count, |i| from(i).offset(offset), to, |value| value) };
        }
    }
}
