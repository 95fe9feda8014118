//! A block of records: small enough to stay in the first-level cache while it is read once for each column.

use std::marker::PhantomData;

pub(crate) const CAPACITY: usize = 128;

pub(crate) struct Block<'a> {
    payloads: [*const u8; CAPACITY],
    lengths: [u32; CAPACITY],
    len: usize,
    shortest: u32,
    lifetime: PhantomData<&'a [u8]>,
}

#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    payload: *const u8,
    length: u32,
    lifetime: PhantomData<&'a [u8]>,
}

impl<'a> Block<'a> {
    pub(crate) fn new() -> Self {
        Self {
            payloads: [std::ptr::null(); CAPACITY],
            lengths: [0; CAPACITY],
            len: 0,
            shortest: u32::MAX,
            lifetime: PhantomData,
        }
    }

    // Records as `next` gives them, until it gives none or there are `limit`: None for one that does not count.
    #[inline(always)]
    pub(crate) fn fill<E>(
        &mut self,
        limit: usize,
        mut next: impl FnMut() -> Result<Option<Record<'a>>, E>,
    ) -> Option<E> {
        let limit = limit.min(CAPACITY);
        let (payloads, lengths) = (&mut self.payloads[..limit], &mut self.lengths[..limit]);
        // Counted in registers: this runs once for each record.
        let (mut len, mut shortest) = (0, u32::MAX);
        let mut stop = None;
        while len < limit {
            match next() {
                Ok(Some(record)) => {
                    payloads[len] = record.payload;
                    lengths[len] = record.length;
                    len += 1;
                    shortest = shortest.min(record.length);
                }
                Ok(None) => {}
                Err(reason) => {
                    stop = Some(reason);
                    break;
                }
            }
        }
        self.len = len;
        self.shortest = shortest;
        stop
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn shortest(&self) -> usize {
        if self.len == 0 { usize::MAX } else { self.shortest as usize }
    }

    pub(crate) fn address(&self, index: usize) -> usize {
        self.payloads[index].addr()
    }

    pub(super) fn payloads(&self) -> &[*const u8] {
        &self.payloads[..self.len]
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record<'a>> {
        (0..self.len).map(|i| Record { payload: self.payloads[i], length: self.lengths[i], lifetime: PhantomData })
    }
}

impl<'a> Record<'a> {
    /// # Safety
    /// `payload` is readable for `length` bytes during `'a`, and follows an 8-byte header that is readable too.
    #[inline(always)]
    pub(crate) unsafe fn new(payload: *const u8, length: u32) -> Self {
        Self { payload, length, lifetime: PhantomData }
    }

    pub(super) fn payload(self) -> &'a [u8] {
        // SAFETY: readable for `length` bytes during 'a (new); committed records are not written to any more.
        unsafe { std::slice::from_raw_parts(self.payload, self.length as usize) }
    }

    // Header, payload and padding, as they stand in the ring.
    pub(super) fn whole(self) -> &'a [u8] {
        let len = (self.length as usize + 8).next_multiple_of(8);
        // SAFETY: the header precedes the payload (new), and records are padded to 8 bytes within their window.
        unsafe { std::slice::from_raw_parts(self.payload.sub(8), len) }
    }
}
