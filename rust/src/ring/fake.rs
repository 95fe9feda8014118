//! A ring in plain memory, and what the kernel does with one (`kernel/bpf/ringbuf.c`), for tests.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::{HEADER, Ring};
use crate::sys::memory::Mapping;

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;

pub(super) struct Kernel {
    consumer: *mut u8,
    producer: *mut u8,
    size: u64,
    // The oldest record that is not committed, and those that are still written, by their places (pending_pos).
    written: std::sync::Mutex<Vec<u64>>,
}

// SAFETY: the memory is shared as the kernel shares it, through atomics and records that one side has at a time.
unsafe impl Sync for Kernel {}
// SAFETY: as above.
unsafe impl Send for Kernel {}

#[derive(Clone, Copy, Debug)]
pub(super) struct Reserved {
    position: u64,
    length: u32,
}

impl Kernel {
    // The ring owns the memory: it has to outlive the kernel's part. Positions begin at `start`.
    pub(super) fn with_ring(size: usize, start: u64) -> (Self, Ring) {
        let page = rustix::param::page_size();
        let consumer = Mapping::anonymous(page).expect("memory");
        let producer = Mapping::of_fake_ring(size).expect("memory");
        let kernel = Self {
            consumer: consumer.base(),
            producer: producer.base(),
            size: size as u64,
            written: Vec::new().into(),
        };
        kernel.consumer_position().store(start, Ordering::Relaxed);
        kernel.producer_position().store(start, Ordering::Relaxed);
        (kernel, Ring::over(consumer, producer))
    }

    pub(super) fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the first word of a page.
        unsafe { AtomicU64::from_ptr(self.consumer.cast()) }
    }

    pub(super) fn producer_position(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr(self.producer.cast()) }
    }

    fn at(&self, position: u64) -> *mut u8 {
        self.producer.wrapping_add(rustix::param::page_size() + (position & (self.size - 1)) as usize)
    }

    fn header(&self, position: u64) -> &AtomicU32 {
        // SAFETY: positions are multiples of 8 within the ring.
        unsafe { AtomicU32::from_ptr(self.at(position).cast()) }
    }

    // __bpf_ringbuf_reserve: None when there is no room.
    pub(super) fn reserve(&self, length: usize) -> Option<Reserved> {
        let mut written = self.written.lock().expect("the lock of the ring");
        let consumed = self.consumer_position().load(Ordering::Acquire);
        let position = self.producer_position().load(Ordering::Relaxed);
        let end = position + (length + HEADER).next_multiple_of(8) as u64;
        let oldest = written.first().copied().unwrap_or(consumed).min(position);
        if end - consumed > self.size - 1 || end - oldest > self.size - 1 {
            return None;
        }
        let length = length as u32;
        self.header(position).store(length | BUSY, Ordering::Relaxed);
        self.producer_position().store(end, Ordering::Release);
        written.push(position);
        Some(Reserved { position, length })
    }

    pub(super) fn fill(&self, reserved: Reserved, payload: &[u8]) {
        assert_eq!(payload.len(), reserved.length as usize);
        // SAFETY: the record lies in the doubly mapped data, and the reader does not look before it is committed.
        unsafe {
            let to = self.at(reserved.position).add(HEADER);
            std::ptr::copy_nonoverlapping(payload.as_ptr(), to, payload.len());
        }
    }

    // bpf_ringbuf_commit: true when it wakes the reader.
    pub(super) fn commit(&self, reserved: Reserved, discard: bool) -> bool {
        let Reserved { position, length } = reserved;
        self.header(position).swap(if discard { length | DISCARD } else { length }, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.written.lock().expect("the lock of the ring").retain(|&other| other != position);
        let consumed = self.consumer_position().load(Ordering::Acquire) & (self.size - 1);
        consumed == position & (self.size - 1)
    }
}
