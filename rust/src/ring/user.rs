//! `BPF_MAP_TYPE_USER_RINGBUF` from the producer's side (kernel/bpf/ringbuf.c, the part on user ring buffers).
//!
//! Here a process writes and programs read (`bpf_user_ringbuf_drain`). The pages are those of the other direction with
//! the rights exchanged: the consumer's position is read-only, the producer's and the data are writable.
//!
//! A producer that reserves room and fills it later marks the record BUSY meanwhile, and DISCARD when it gives it up. A
//! [`UserRing`] writes whole records behind the producer's position, where no program looks, and moves the position once:
//! none of its records is ever busy, and a process that dies half way leaves nothing behind.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use super::HEADER;
use crate::error::{Error, Result};
use crate::record::rows::Rows;
use crate::sys::memory::Mapping;

// A program sees a record as a dynptr, whose size has 24 bits (bpf_dynptr_check_size).
const LARGEST: usize = (1 << 24) - 1;

pub(crate) struct UserRing {
    consumer: Mapping,
    producer: Mapping,
    size: u64,
    page: usize,
}

impl UserRing {
    pub(crate) fn open(map: BorrowedFd<'_>, size: usize) -> Result<Self> {
        let page = rustix::param::page_size();
        let refused = "cannot map the user ring buffer's pages";
        let consumer = Mapping::of_map(map, 0, page, false).map_err(Error::kernel(refused))?;
        let producer = Mapping::of_map(map, page as u64, page + 2 * size, true).map_err(Error::kernel(refused))?;
        Ok(Self { consumer, producer, size: size as u64, page })
    }

    // Refuses records that could never be written or read.
    pub(crate) fn check(size: usize, record: usize) -> Result<()> {
        if record > LARGEST {
            return Err(Error::Layout(format!(
                "a record of {record} bytes is longer than a program can read ({LARGEST})"
            )));
        }
        if whole(record) > size as u64 {
            return Err(Error::Layout(format!(
                "a record of {record} bytes and its header of {HEADER} do not fit into a ring of {size} bytes"
            )));
        }
        Ok(())
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the first word of the consumer page, of which only loads are made; lives as long as self, page-aligned.
        unsafe { AtomicU64::from_ptr(self.consumer.base().cast()) }
    }

    fn producer_position(&self) -> &AtomicU64 {
        // SAFETY: the first word of the producer page; mapped read-write as long as self lives, aligned to a page.
        unsafe { AtomicU64::from_ptr(self.producer.base().cast()) }
    }

    // Bytes that programs have not read.
    pub(crate) fn unread(&self) -> u64 {
        let consumed = self.consumer_position().load(Ordering::Acquire);
        self.producer_position().load(Ordering::Relaxed).wrapping_sub(consumed)
    }

    // Writes as many rows from `from` on as there is room for, and says how many.
    pub(crate) fn write(&mut self, rows: &Rows, from: usize) -> Result<usize> {
        // Nobody else moves it.
        let produced = self.producer_position().load(Ordering::Relaxed);
        // Pairs with the store-release in __bpf_user_ringbuf_sample_release: the program has read what we overwrite.
        let consumed = self.consumer_position().load(Ordering::Acquire);
        let unread = produced.wrapping_sub(consumed);
        if unread > self.size || !produced.is_multiple_of(8) {
            return Err(Error::Stream(format!(
                "the ring's positions cannot be right ({consumed} read, {produced} written, {} bytes); does another \
                 process write to the same map?",
                self.size
            )));
        }
        let whole = whole(rows.size);
        let count = ((self.size - unread) / whole).min((rows.len - from) as u64) as usize;
        let start = (produced & (self.size - 1)) as usize;
        // SAFETY: start is below size, and the records are not longer together: they lie within the data, which is mapped
        // twice in a row. Programs read none of it before the position is moved; &mut self keeps other threads away.
        unsafe {
            let base = self.producer.base().add(self.page + start);
            for record in 0..count {
                // Neither BUSY nor DISCARD; the offset of the page behind the length is the kernel's own affair.
                let header = [(rows.size as u32).to_ne_bytes(), [0; 4]];
                base.add(record * whole as usize).cast::<[[u8; 4]; 2]>().write(header);
            }
            rows.write(from, count, base.add(HEADER), whole as usize);
        }
        // Pairs with the load-acquire of producer_pos in __bpf_user_ringbuf_peek: headers and payloads are whole there.
        self.producer_position().store(produced + count as u64 * whole, Ordering::Release);
        Ok(count)
    }
}

// A record with its header.
fn whole(record: usize) -> u64 {
    (record + HEADER).next_multiple_of(8) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch};
    use proptest::prelude::*;

    use super::*;
    use crate::record::rows::Layout;

    const SIZE: usize = 4096;

    // The kernel's side of the ring (__bpf_user_ringbuf_peek and __bpf_user_ringbuf_sample_release), which reads the data
    // where it stands the second time.
    struct Fake(UserRing);

    impl Fake {
        fn new(start: u64) -> Self {
            let page = rustix::param::page_size();
            let (consumer, producer) = (Mapping::anonymous(page).unwrap(), Mapping::of_fake_ring(SIZE).unwrap());
            let ring = UserRing { consumer, producer, size: SIZE as u64, page };
            ring.consumer_position().store(start, Ordering::Relaxed);
            ring.producer_position().store(start, Ordering::Relaxed);
            Self(ring)
        }

        fn bytes(&self, position: u64, count: usize) -> Vec<u8> {
            let read = |at: usize| {
                let place = self.0.page + SIZE + (position as usize + at) % SIZE;
                // SAFETY: within the second of the two mappings.
                unsafe { self.0.producer.base().add(place).read() }
            };
            (0..count).map(read).collect()
        }

        fn read(&mut self) -> Option<Vec<u8>> {
            let produced = self.0.producer_position().load(Ordering::Acquire);
            let consumed = self.0.consumer_position().load(Ordering::Acquire);
            assert_eq!(produced % 8, 0, "EINVAL");
            if consumed >= produced {
                return None;
            }
            let word = u32::from_ne_bytes(self.bytes(consumed, 4).try_into().unwrap());
            assert_eq!(word >> 30, 0, "busy or discarded");
            let whole = (u64::from(word) + 8).next_multiple_of(8);
            assert!(whole <= produced - consumed, "EINVAL");
            let payload = self.bytes(consumed + 8, word as usize);
            self.0.consumer_position().store(consumed + whole, Ordering::Release);
            Some(payload)
        }
    }

    fn rows(layout: &Layout, values: &[Vec<u8>], width: usize) -> Rows {
        let column = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
            values.iter().map(|value| Some(value.as_slice())),
            i32::try_from(width).unwrap(),
        );
        let column: ArrayRef = Arc::new(column.unwrap());
        layout.rows(&RecordBatch::try_from_iter([("data", column)]).unwrap(), 0).unwrap()
    }

    proptest! {
        // Any records, written and read in any portions, from any place of the ring.
        #[test]
        fn what_was_written_is_read(
            start in (0..3 * SIZE as u64 / 8).prop_map(|words| words * 8),
            (width, before, after) in (1..300_usize, 0..9_usize, 0..9_usize),
            portions in prop::collection::vec((0..90_usize, 0..90_usize), 1..20),
        ) {
            let size = before + width + after;
            let layout = Layout::new(vec![("data".into(), before.cast_signed(), format!("bytes[{width}]"))], size).unwrap();
            let whole = (size + HEADER).next_multiple_of(8);
            let mut fake = Fake::new(start);
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            let mut next = 0_u8;
            for (write, read) in portions {
                let values: Vec<Vec<u8>> = (0..write)
                    .map(|_| {
                        next = next.wrapping_add(1);
                        vec![next; width]
                    })
                    .collect();
                let room = SIZE / whole - model.len();
                let given = rows(&layout, &values, width);
                let from = write / 3;
                let count = fake.0.write(&given, from).unwrap();
                prop_assert_eq!(count, room.min(write - from));
                model.extend(values[from..from + count].iter().map(|value| {
                    [&vec![0; before], value.as_slice(), &vec![0; after]].concat()
                }));
                prop_assert_eq!(fake.0.unread(), (model.len() * whole) as u64);
                for _ in 0..read {
                    prop_assert_eq!(fake.read(), model.pop_front());
                }
            }
        }
    }

    #[test]
    fn positions_that_cannot_be_right_are_refused() {
        let layout = Layout::new(vec![("data".into(), 0, "bytes[8]".into())], 8).unwrap();
        let given = rows(&layout, &[vec![1; 8]], 8);
        for (consumed, produced) in [(0, SIZE as u64 + 8), (8, 0), (0, 4)] {
            let mut fake = Fake::new(0);
            fake.0.consumer_position().store(consumed, Ordering::Relaxed);
            fake.0.producer_position().store(produced, Ordering::Relaxed);
            let error = fake.0.write(&given, 0).unwrap_err();
            assert!(error.to_string().contains("does another process write"), "{error}");
        }
    }
}
