//! A block of records: small enough to stay in the first-level cache while it is read once for each column, beside what
//! is asked for ahead and what is written.
//!
//! Records of one length follow each other at a fixed stride, so that the address of each is known without looking: such
//! a block is that stride and a count. Only a block with several lengths keeps a list.

use std::marker::PhantomData;

use super::prefetch::Ahead;

pub(crate) const CAPACITY: usize = 64;
// More would be evicted before its last column is written. Each block costs about 90 ns however few records it has
// (measured), so that half as much takes a quarter longer.
const BYTES: usize = 4 << 10;
pub(crate) const LEAST: usize = 16;

pub(crate) struct Block<'a> {
    // The one run of a block that has no list.
    run: Run,
    listed: bool,
    // Bytes of each record that stand before its payload.
    lead: usize,
    addresses: [*const u8; CAPACITY],
    lengths: [u32; CAPACITY],
    len: usize,
    shortest: u32,
    // Where the block begins and ends: what follows is read next.
    start: *const u8,
    end: *const u8,
    lifetime: PhantomData<&'a [u8]>,
}

#[derive(Clone, Copy)]
struct Run {
    first: *const u8,
    length: u32,
    stride: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    payload: *const u8,
    length: u32,
    lead: usize,
    lifetime: PhantomData<&'a [u8]>,
}

// Some records of a block that follow each other.
#[derive(Clone, Copy)]
pub(super) struct Part<'b, 'a> {
    block: &'b Block<'a>,
    start: usize,
    count: usize,
}

// Where their payloads are.
pub(super) enum Payloads<'b> {
    Strided { first: *const u8, stride: usize },
    Listed(&'b [*const u8]),
}

impl<'a> Block<'a> {
    pub(crate) fn new() -> Self {
        Self {
            run: Run { first: std::ptr::null(), length: 0, stride: 0 },
            listed: false,
            lead: 0,
            addresses: [std::ptr::null(); CAPACITY],
            lengths: [0; CAPACITY],
            len: 0,
            shortest: u32::MAX,
            start: std::ptr::null(),
            end: std::ptr::null(),
            lifetime: PhantomData,
        }
    }

    pub(crate) fn clear(&mut self, start: *const u8, lead: usize) {
        self.lead = lead;
        self.start = start;
        self.end = start;
        self.listed = false;
        self.len = 0;
        self.shortest = u32::MAX;
    }

    // Whether a record that ends at `end` is left to the next block.
    #[inline(always)]
    pub(crate) fn is_full(&self, end: *const u8) -> bool {
        self.len == CAPACITY || self.len >= LEAST && end.addr() - self.start.addr() > BYTES
    }

    // How many records a block takes at most, each of which has `stride` bytes.
    pub(crate) fn most(stride: usize) -> usize {
        (BYTES / stride).clamp(LEAST, CAPACITY)
    }

    // Adds records of one length that lie `stride` bytes apart to a block that is empty.
    //
    // SAFETY (of the caller): each payload is readable for `length` bytes during 'a, and follows `lead` (clear) bytes
    // of its record, which is padded to a multiple of 8 bytes. There are no more than CAPACITY.
    pub(crate) unsafe fn begin(&mut self, first: *const u8, length: u32, stride: usize, count: usize) {
        debug_assert!(self.len == 0 && count <= CAPACITY);
        self.run = Run { first, length, stride };
        self.len = count;
        self.end = first.wrapping_sub(self.lead).wrapping_add(count * stride);
        self.shortest = length;
    }

    // Adds a record of any length, which takes `whole` bytes with all that belongs to it.
    //
    // SAFETY (of the caller): as for begin.
    #[inline(always)]
    pub(crate) unsafe fn add(&mut self, payload: *const u8, length: u32, whole: usize) {
        assert!(self.len < CAPACITY, "a block has room for {CAPACITY} records");
        if !self.listed {
            self.list();
        }
        self.addresses[self.len] = payload;
        self.lengths[self.len] = length;
        self.len += 1;
        self.end = payload.wrapping_sub(self.lead).wrapping_add(whole);
        self.shortest = self.shortest.min(length);
    }

    // Becomes `count` records of memory that is no ring, from its beginning, each `stride` bytes behind the one before.
    pub(crate) fn strided(&mut self, bytes: &'a [u8], length: usize, stride: usize, count: usize) {
        let end = count.saturating_sub(1) * stride + length.next_multiple_of(8);
        assert!(count <= CAPACITY && end <= bytes.len(), "{count} records end at {end} of {} bytes", bytes.len());
        self.clear(bytes.as_ptr(), 0);
        // SAFETY: seen above, padding included.
        unsafe { self.begin(bytes.as_ptr(), length as u32, stride, count) };
        // It was written just now.
        self.start = self.end;
    }

    // Adds a record of another block; there has to be room for it.
    pub(crate) fn push(&mut self, record: Record<'a>) {
        if self.len == 0 {
            self.lead = record.lead;
        }
        assert!(self.lead == record.lead, "records of one block come through one kind of buffer");
        // SAFETY: a record is what its block was promised.
        unsafe { self.add(record.payload, record.length, 0) };
        // Records from anywhere: nobody knows what is read next.
        self.end = self.start;
    }

    // Keeps the first `len` records.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.end = self.start;
    }

    #[cold]
    fn list(&mut self) {
        self.listed = true;
        let Run { first, length, stride } = self.run;
        for (i, address) in self.addresses[..self.len].iter_mut().enumerate() {
            *address = first.wrapping_add(i * stride);
        }
        self.lengths[..self.len].fill(length);
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn shortest(&self) -> usize {
        if self.len == 0 { usize::MAX } else { self.shortest as usize }
    }

    pub(crate) fn record(&self, index: usize) -> Record<'a> {
        let (payload, length) = self.payload(index);
        Record { payload, length: length as u32, lead: self.lead, lifetime: PhantomData }
    }

    // Where a record's payload is, and how long.
    #[inline(always)]
    pub(super) fn payload(&self, index: usize) -> (*const u8, usize) {
        if self.listed {
            (self.addresses[index], self.lengths[index] as usize)
        } else {
            (self.run.first.wrapping_add(index * self.run.stride), self.run.length as usize)
        }
    }

    // Bytes from the start of a record to the end of the last one, where nothing but records of the block is between.
    pub(crate) fn rest(&self, index: usize) -> usize {
        self.end.addr() + self.lead - self.record(index).payload.addr()
    }

    // Bytes from its start to its end, None where its records are from anywhere.
    pub(super) fn bytes(&self) -> Option<usize> {
        (self.end > self.start).then(|| self.end.addr() - self.start.addr())
    }

    pub(super) fn ahead(&self, turns: usize) -> Ahead {
        Ahead::new(self.end, self.bytes().unwrap_or(0), turns)
    }

    pub(super) fn part(&self, start: usize, count: usize) -> Part<'_, 'a> {
        assert!(start + count <= self.len, "{start} + {count} of {} records", self.len);
        Part { block: self, start, count }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'a>> {
        (0..self.len).map(|index| self.record(index))
    }
}

impl<'b, 'a> Part<'b, 'a> {
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    #[inline(always)]
    pub(super) fn payloads(&self) -> Payloads<'b> {
        let Self { block, start, count } = *self;
        if block.listed {
            Payloads::Listed(&block.addresses[start..start + count])
        } else {
            let Run { first, stride, .. } = block.run;
            Payloads::Strided { first: first.wrapping_add(start * stride), stride }
        }
    }

    // Whether so many bytes from an address on lie in the block.
    #[inline(always)]
    pub(super) fn has(&self, from: *const u8, len: usize) -> bool {
        let Block { start, end, .. } = self.block;
        *start <= from && from.addr() + len <= end.addr()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record<'a>> {
        let Self { block, start, count } = *self;
        (start..start + count).map(|index| block.record(index))
    }
}

impl<'a> Record<'a> {
    // SAFETY (of the caller): as for Block::begin.
    pub(crate) unsafe fn new(payload: *const u8, length: u32, lead: usize) -> Self {
        Self { payload, length, lead, lifetime: PhantomData }
    }

    // A record of `length` bytes behind so many of `lead`, which were copied.
    pub(crate) fn of_words(words: &'a [u64], length: u32, lead: usize) -> Self {
        let whole = (lead + length as usize).next_multiple_of(8);
        assert!(whole <= size_of_val(words), "{whole} bytes in {} words", words.len());
        // SAFETY: lead, payload and padding lie within the words.
        unsafe { Self::new(words.as_ptr().cast::<u8>().add(lead), length, lead) }
    }

    pub(crate) fn to_words(self) -> Vec<u64> {
        self.whole().chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes"))).collect()
    }

    pub(crate) fn address(self) -> usize {
        self.payload.addr()
    }

    pub(crate) fn lead(self) -> usize {
        self.lead
    }

    // Bytes by their place after the payload's start, or before it.
    pub(crate) fn bytes(self, offset: isize, len: usize) -> Option<&'a [u8]> {
        let at = self.lead.checked_add_signed(offset)?;
        let end = at.checked_add(len).filter(|&end| end <= self.lead + self.length as usize)?;
        self.whole().get(at..end)
    }

    pub(crate) fn payload(self) -> &'a [u8] {
        // SAFETY: readable for `length` bytes during 'a (begin); committed records are not written to any more.
        unsafe { std::slice::from_raw_parts(self.payload, self.length as usize) }
    }

    // What stands before the payload, the payload, and padding: as they stand in the buffer.
    pub(crate) fn whole(self) -> &'a [u8] {
        let len = (self.lead + self.length as usize).next_multiple_of(8);
        // SAFETY: `lead` bytes precede the payload (begin), and records are padded to 8 bytes within their window.
        unsafe { std::slice::from_raw_parts(self.payload.sub(self.lead), len) }
    }
}
