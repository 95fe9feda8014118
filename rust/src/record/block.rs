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

    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.shortest = u32::MAX;
    }

    // Records of one length that lie `stride` bytes apart; there has to be room for them.
    //
    // SAFETY (of the caller): each payload is readable for `length` bytes during 'a, and follows an 8-byte header.
    pub(crate) unsafe fn extend(&mut self, first: *const u8, length: u32, stride: usize, count: usize) {
        let range = self.len..self.len + count;
        for (i, payload) in self.payloads[range.clone()].iter_mut().enumerate() {
            *payload = first.wrapping_add(i * stride);
        }
        self.lengths[range].fill(length);
        self.len += count;
        self.shortest = self.shortest.min(length);
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
