//! From records to the elements of a leaf that lies in arrays and unions.

use super::plan::{Leaf, Step};

// As many addresses as are gathered before they are read.
const CAPACITY: usize = 64;

pub(super) struct Elements<'a> {
    path: &'a [Step],
    // From where the path leads to the leaf.
    offset: isize,
    // Stands for elements that are not there.
    blank: *const u8,
    addresses: [*const u8; CAPACITY],
    len: usize,
    // The next row of the leaf's column.
    row: usize,
}

impl<'a> Elements<'a> {
    pub(super) fn new(leaf: &'a Leaf, blank: &[u8], row: usize) -> Self {
        let addresses = [std::ptr::null(); CAPACITY];
        Self { path: &leaf.path, offset: leaf.offset, blank: blank.as_ptr(), addresses, len: 0, row: row * leaf.repeat }
    }

    // Gathers those of a record; `write` gets them, and the row at which they begin, whenever they are many.
    //
    // SAFETY (of the caller): the record is as long as the plan says.
    #[inline(always)]
    pub(super) unsafe fn of(&mut self, record: *const u8, write: &mut impl FnMut(usize, &[*const u8])) {
        // SAFETY: promised by the caller.
        unsafe { self.walk(record, self.path, write) }
    }

    // What is left.
    pub(super) fn finish(&mut self, write: &mut impl FnMut(usize, &[*const u8])) {
        write(self.row, &self.addresses[..self.len]);
        self.row += self.len;
        self.len = 0;
    }

    // `at` is null where the member of a union does not hold.
    //
    // SAFETY (of the caller): `at` is null, or where the path up to here leads from a record.
    unsafe fn walk(&mut self, at: *const u8, path: &[Step], write: &mut impl FnMut(usize, &[*const u8])) {
        let Some((step, rest)) = path.split_first() else {
            return self.element(at, write);
        };
        match *step {
            Step::Each { offset, count, stride } => {
                let stride = if at.is_null() { 0 } else { stride };
                let mut next = if at.is_null() { at } else { at.wrapping_offset(offset) };
                for _ in 0..count {
                    if rest.is_empty() {
                        self.element(next, write);
                    } else {
                        // SAFETY: elements lie within their struct (Plan::new), so `next` is where the path leads.
                        unsafe { self.walk(next, rest, write) };
                    }
                    next = next.wrapping_add(stride);
                }
            }
            Step::If { offset, tag, value } => {
                // SAFETY: the tag lies beside the union, in the same struct (Plan::new).
                let holds = !at.is_null() && unsafe { tag.read(at.wrapping_offset(offset)) } == value;
                let at = if holds { at } else { std::ptr::null() };
                if rest.is_empty() {
                    self.element(at, write);
                } else {
                    // SAFETY: as above.
                    unsafe { self.walk(at, rest, write) };
                }
            }
        }
    }

    #[inline(always)]
    fn element(&mut self, at: *const u8, write: &mut impl FnMut(usize, &[*const u8])) {
        if self.len == CAPACITY {
            self.finish(write);
        }
        self.addresses[self.len] = if at.is_null() { self.blank } else { at.wrapping_offset(self.offset) };
        self.len += 1;
    }
}
