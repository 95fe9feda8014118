//! `BPF_MAP_TYPE_RINGBUF` from the consumer's side (kernel/bpf/ringbuf.c).
//!
//! The kernel maps the data pages twice in a row, so that every record is one piece of memory. A reader looks at a
//! *window*, from its own position to the producers', walks its records with [`scan`], and stores its position once.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod refusals;
pub(crate) mod scan;
#[cfg(test)]
mod tests;
pub(crate) mod user;

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::error::{Error, Result};
use crate::record::block::Record;
use crate::sys::bpf::{self, MapType};
use crate::sys::memory::Mapping;

pub(crate) const HEADER: usize = 8;

pub(crate) struct Ring {
    consumer: Mapping,
    producer: Mapping,
    size: u64,
    page: u64,
    // Our position: everything before it has been read.
    position: Cell<u64>,
    // What the kernel has been told; at or behind `position`.
    acknowledged: Cell<u64>,
    // Where reading ends.
    end: Cell<u64>,
}

impl Ring {
    pub(crate) fn open(map: BorrowedFd<'_>) -> Result<Self> {
        let info = bpf::map_info(map).map_err(Error::kernel("cannot look at the map"))?;
        if info.type_ != MapType::BPF_MAP_TYPE_RINGBUF as u32 {
            return Err(Error::Layout(format!(
                "map {:?} is not a ring buffer (its type is {}); pass a map made by MapSpec(\"ringbuf\")",
                bpf::info_name(&info.name),
                info.type_,
            )));
        }
        if info.map_flags & bpf::RINGBUF_OVERWRITE != 0 {
            return Err(Error::Layout(
                "this ring buffer overwrites its oldest records (BPF_F_RB_OVERWRITE), which a reader would see torn; \
                 make it without that flag"
                    .into(),
            ));
        }
        let page = rustix::param::page_size();
        let size = info.max_entries as usize;
        let refused = "cannot map the ring buffer's pages";
        let consumer = Mapping::of_map(map, 0, page, true).map_err(Error::kernel(refused))?;
        let producer = Mapping::of_map(map, page as u64, page + 2 * size, false).map_err(Error::kernel(refused))?;
        Ok(Self::over(consumer, producer))
    }

    fn over(consumer: Mapping, producer: Mapping) -> Self {
        let page = rustix::param::page_size();
        let start = Cell::new(0);
        let ring = Self {
            size: ((producer.len() - page) / 2) as u64,
            page: page as u64,
            consumer,
            producer,
            position: start.clone(),
            acknowledged: start,
            end: Cell::new(u64::MAX),
        };
        // A ring that someone has read before goes on where he stopped.
        let start = ring.consumer_position().load(Ordering::Acquire);
        ring.position.set(start);
        ring.acknowledged.set(start);
        ring
    }

    pub(crate) fn size(&self) -> usize {
        self.size as usize
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the first word of the consumer page; mapped read-write as long as self lives, aligned to a page.
        unsafe { AtomicU64::from_ptr(self.consumer.base().cast()) }
    }

    fn producer_position(&self) -> &AtomicU64 {
        // SAFETY: the first word of the producer page, of which only loads are made; lives as long as self, page-aligned.
        unsafe { AtomicU64::from_ptr(self.producer.base().cast()) }
    }

    // Everything between our position and the producers', in one piece. The one load of the producers' position: it pairs
    // with the store-release in __bpf_ringbuf_reserve (`smp_store_release(&rb->producer_pos, new_prod_pos)`), so that the
    // headers up to there are initialised.
    pub(crate) fn window(&self) -> Window<'_> {
        let produced = self.producer_position().load(Ordering::Acquire).min(self.end.get());
        let position = self.position.get();
        let start = (position & (self.size - 1)) as usize;
        // SAFETY: start is below size, so the address lies within the mapping's data pages, which follow its first page.
        let base = unsafe { self.producer.base().add(self.page as usize + start) };
        Window::of_ring(base, (produced - position).min(self.size) as usize)
    }

    // Whether what is reserved from now on is left unread.
    pub(crate) fn end(&self, here: bool) {
        self.end.set(if here { self.producer_position().load(Ordering::Acquire) } else { u64::MAX });
    }

    pub(crate) fn position(&self) -> u64 {
        self.position.get()
    }

    // A record that has been scanned and not given back, by where its header stands.
    pub(crate) fn record(&self, position: u64, length: u32) -> Record<'_> {
        let end = position + (HEADER as u64 + u64::from(length)).next_multiple_of(8);
        assert!(self.acknowledged.get() <= position && end <= self.position.get(), "a record that was given back");
        let start = (position & (self.size - 1)) as usize;
        // SAFETY: start is below size; the payload follows its header in the doubly mapped data, and producers do not
        // write there before it is acknowledged.
        unsafe { Record::new(self.producer.base().add(self.page as usize + start + HEADER), length, HEADER) }
    }

    pub(crate) fn advance(&self, bytes: usize) {
        self.position.set(self.position.get() + bytes as u64);
    }

    // Bytes that we have read and not yet given back.
    pub(crate) fn unacknowledged(&self) -> usize {
        (self.position.get() - self.acknowledged.get()) as usize
    }

    // Gives everything up to `back` bytes before our position back to the producers. Pairs with the load-acquire of
    // consumer_pos in __bpf_ringbuf_reserve: our reads of the records are done before they are overwritten.
    pub(crate) fn acknowledge(&self, back: usize) {
        let position = self.position.get() - back as u64;
        if position > self.acknowledged.get() {
            self.consumer_position().store(position, Ordering::Release);
            self.acknowledged.set(position);
        }
    }

    // True when there is nothing to read and the next record's commit will wake us. A producer stores its header, then
    // loads our position (bpf_ringbuf_commit: xchg, `cons_pos = smp_load_acquire(&rb->consumer_pos) & rb->mask`); we
    // store our position, then load theirs: without a full fence between, both could read the old value and nobody wake.
    pub(crate) fn acknowledge_and_recheck(&self) -> bool {
        self.acknowledge(0);
        fence(Ordering::SeqCst);
        self.producer_position().load(Ordering::Acquire) == self.position.get()
    }
}

// A run of bytes in the ring's form: records one after another, each a header and its payload, rounded up to 8.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    base: *const u8,
    len: usize,
    lifetime: std::marker::PhantomData<&'a [u8]>,
}

impl<'a> Window<'a> {
    fn of_ring(base: *const u8, len: usize) -> Self {
        Self { base, len, lifetime: std::marker::PhantomData }
    }

    // Bytes that were taken from a ring before, aligned as a ring is.
    pub(crate) fn of_words(words: &'a [u64]) -> Self {
        Self::of_ring(words.as_ptr().cast(), size_of_val(words))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn address(&self) -> usize {
        self.base.addr()
    }
}
