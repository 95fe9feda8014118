//! From records to the elements of a leaf that lies in arrays and unions.

use super::plan::Step;

// As many addresses as are gathered before they are read.
pub(super) const CAPACITY: usize = 64;

pub(super) struct Elements {
    addresses: [*const u8; CAPACITY],
    len: usize,
    // The next row of the leaf's column.
    row: usize,
}

impl Elements {
    pub(super) fn new(row: usize) -> Self {
        Self { addresses: [std::ptr::null(); CAPACITY], len: 0, row }
    }

    // Gives what was gathered, and the row at which it begins, to `write`.
    pub(super) fn flush(&mut self, write: &mut impl FnMut(usize, &[*const u8])) {
        write(self.row, &self.addresses[..self.len]);
        self.row += self.len;
        self.len = 0;
    }

    // Gathers the elements below `at`, which is null where the member of a union does not hold.
    //
    // SAFETY (of the caller): `at` is null, or where the path leads from a record that is as long as the plan says.
    pub(super) unsafe fn walk(
        &mut self,
        at: *const u8,
        path: &[Step],
        end: &impl Fn(*const u8) -> *const u8,
        write: &mut impl FnMut(usize, &[*const u8]),
    ) {
        match path.split_first() {
            None => {
                if self.len == CAPACITY {
                    self.flush(write);
                }
                self.addresses[self.len] = end(at);
                self.len += 1;
            }
            Some((&Step::Each { offset, count, stride }, rest)) => {
                for i in 0..count {
                    let next = if at.is_null() { at } else { at.wrapping_offset(offset).wrapping_add(i * stride) };
                    // SAFETY: elements lie within their struct (Plan::new), so `next` is where the path leads.
                    unsafe { self.walk(next, rest, end, write) };
                }
            }
            Some((&Step::If { offset, tag, value }, rest)) => {
                // SAFETY: the tag lies beside the union, in the same struct (Plan::new).
                let holds = !at.is_null() && unsafe { tag.read(at.wrapping_offset(offset)) } == value;
                // SAFETY: as above.
                unsafe { self.walk(if holds { at } else { std::ptr::null() }, rest, end, write) };
            }
        }
    }
}
