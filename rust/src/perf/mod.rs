//! `BPF_MAP_TYPE_PERF_EVENT_ARRAY` from the consumer's side (`kernel/events/ring_buffer.c`): a buffer for each CPU, to
//! which only programs on that CPU write.
//!
//! The data pages are mapped once, so that one record a lap wraps around their end. A reader looks at a [`window`] as it
//! does of a ring. Unlike a ring's, the kernel's wake-ups do not depend on what has been read: there is one each time that
//! half a buffer has been written, and none for a few events, for which a reader looks by the clock.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod kernel_tests;
pub(crate) mod scan;
pub(crate) mod snapshot;
pub(crate) mod window;

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::scan::LEAD;
use self::window::Window;
use crate::error::{Error, Result};
use crate::record::block::Record;
use crate::sys::bpf::{self, Element, MapType};
use crate::sys::memory::Mapping;
use crate::sys::{cpu, perf_event};

// The kernel counts half of it in 32 bits.
const LARGEST: usize = 1 << 31;

pub(crate) struct Buffer {
    event: Arc<OwnedFd>,
    // Of which only programs on this CPU write here.
    cpu: u32,
    pages: Mapping,
    page: usize,
    size: u64,
    overwrite: bool,
    counts_lost: bool,
    // Our position: everything before it has been read. Of a buffer that is overwritten, everything behind it: the
    // kernel writes towards lower addresses.
    position: Cell<u64>,
    // What the kernel has been told; at or behind `position`.
    acknowledged: Cell<u64>,
    // Where reading ends.
    end: Cell<u64>,
}

// A buffer for each CPU that is online, known to the map. They stay so as long as the file of `map` is open: the kernel
// takes out what was put in through it (perf_event_fd_array_release, kernel/bpf/arraymap.c).
pub(crate) fn open(map: BorrowedFd<'_>, size: usize, overwrite: bool) -> Result<Vec<Buffer>> {
    let entries = check(map)?;
    let mut buffers = Vec::new();
    for cpu in cpu::online().map_err(Error::kernel("cannot see which CPUs are online"))? {
        if cpu >= entries {
            return Err(Error::Layout(format!(
                "this perf_event_array has {entries} entries, none for CPU {cpu}, which is online; make it with one for \
                 each possible CPU"
            )));
        }
        match Buffer::open(cpu, size, overwrite) {
            // It went offline a moment ago.
            Err(Error::Kernel { source, .. }) if source.raw_os_error() == Some(libc::ENODEV) => {}
            buffer => buffers.push(buffer?),
        }
    }
    fill(map, &buffers.iter().collect::<Vec<_>>())?;
    Ok(buffers)
}

// How many CPUs the map has room for.
fn check(map: BorrowedFd<'_>) -> Result<u32> {
    let info = bpf::map_info(map).map_err(Error::kernel("cannot look at the map"))?;
    if info.type_ != MapType::BPF_MAP_TYPE_PERF_EVENT_ARRAY as u32 {
        return Err(Error::Layout(format!(
            "map {:?} is not a perf_event_array (its type is {}); pass a map made by MapSpec(\"perf_event_array\")",
            bpf::info_name(&info.name),
            info.type_,
        )));
    }
    Ok(info.max_entries)
}

// Tells the map where programs on each CPU write. The index is the CPU's number, whatever others are offline: the kernel
// refuses output to another CPU's event (-EOPNOTSUPP, __bpf_perf_event_output in kernel/trace/bpf_trace.c).
pub(crate) fn fill(map: BorrowedFd<'_>, buffers: &[&Buffer]) -> Result<()> {
    for buffer in buffers {
        let element = Element { map, key: &buffer.cpu.to_ne_bytes() };
        let event = buffer.event.as_raw_fd().to_ne_bytes();
        element
            .update(&event, 0)
            .map_err(Error::kernel(format!("cannot make the perf buffer of CPU {} known to the map", buffer.cpu)))?;
    }
    Ok(())
}

impl Buffer {
    // `overwrite`: the newest events take the place of the oldest ones, and are read by snapshots.
    pub(crate) fn open(cpu: u32, size: usize, overwrite: bool) -> Result<Self> {
        let page = rustix::param::page_size();
        if !size.is_power_of_two() || !(page..=LARGEST).contains(&size) {
            let nearest = size.min(LARGEST).next_power_of_two().max(page);
            return Err(Error::Layout(format!(
                "a perf buffer of {size} bytes is not possible: it takes a power of two of pages, such as {nearest}"
            )));
        }
        let (event, counts_lost) = perf_event::open_output(cpu, (size / 2) as u32, overwrite)
            .map_err(Error::kernel(format!("cannot open the perf buffer of CPU {cpu}")))?;
        // The kernel overwrites what a reader cannot write its position to (RING_BUFFER_WRITABLE in perf_mmap).
        let pages = Mapping::of_map(event.as_fd(), 0, page + size, !overwrite).map_err(Error::kernel(format!(
            "cannot map the perf buffer of CPU {cpu} ({size} bytes; without CAP_IPC_LOCK, kernel.perf_event_mlock_kb \
             limits what can be mapped)"
        )))?;
        Ok(Self::over(Arc::new(event), cpu, pages, overwrite, counts_lost))
    }

    fn over(event: Arc<OwnedFd>, cpu: u32, pages: Mapping, overwrite: bool, counts_lost: bool) -> Self {
        let page = rustix::param::page_size();
        let size = (pages.len() - page) as u64;
        let start = Cell::new(0);
        Self {
            event,
            cpu,
            pages,
            page,
            size,
            overwrite,
            counts_lost,
            position: start.clone(),
            acknowledged: start,
            end: Cell::new(u64::MAX),
        }
    }

    pub(crate) fn cpu(&self) -> u32 {
        self.cpu
    }

    pub(crate) fn size(&self) -> usize {
        self.size as usize
    }

    // Where the kernel has written to. Pairs with `smp_wmb(); /* B, matches C */` before the store of data_head in
    // perf_output_put_handle: the records up to there are complete.
    fn head(&self) -> u64 {
        // SAFETY: a word of the first page, of which only loads are made; mapped as long as self lives, aligned to 8.
        unsafe { AtomicU64::from_ptr(self.pages.base().add(perf_event::DATA_HEAD).cast()) }.load(Ordering::Acquire)
    }

    // Everything between our position and the kernel's.
    pub(crate) fn window(&self) -> Window<'_> {
        debug_assert!(!self.overwrite, "those are read by snapshots");
        // Kernels before 5.2 may show a head that goes back for a moment; then there is nothing new.
        let unread = self.head().min(self.end.get()).saturating_sub(self.position.get());
        self.part(self.position.get(), unread)
    }

    fn part(&self, position: u64, len: u64) -> Window<'_> {
        let start = (position & (self.size - 1)) as usize;
        // SAFETY: the data pages follow the first one, and are mapped as long as self lives. The kernel does not write to
        // what it has published before it is given back (forward), or before output goes on (overwrite: snapshot).
        unsafe { Window::of_buffer(self.pages.base().add(self.page), self.size(), start, len.min(self.size) as usize) }
    }

    // Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.window().len() == 0
    }

    // Whether what is written from now on is left unread.
    pub(crate) fn end(&self, here: bool) {
        self.end.set(if here { self.head() } else { u64::MAX });
    }

    pub(crate) fn position(&self) -> u64 {
        self.position.get()
    }

    // A sample that has been scanned and not given back, by where its header stands; None if it wraps.
    pub(crate) fn record(&self, position: u64, length: u32) -> Option<Record<'_>> {
        let size = (LEAD + length as usize) as u64;
        let given_back = position < self.acknowledged.get() || position + size > self.position.get();
        assert!(!given_back, "a sample that was given back");
        let start = position & (self.size - 1);
        // SAFETY: the whole sample lies in the data pages, and the kernel does not write there before it is given back.
        let record = || unsafe { Record::new(self.pages.base().add(self.page + start as usize + LEAD), length, LEAD) };
        (start + size <= self.size).then(record)
    }

    pub(crate) fn advance(&self, bytes: usize) {
        self.position.set(self.position.get() + bytes as u64);
    }

    // Bytes that we have read and not yet given back.
    pub(crate) fn unacknowledged(&self) -> usize {
        (self.position.get() - self.acknowledged.get()) as usize
    }

    // Gives everything up to `back` bytes before our position back to the kernel. Pairs with the load of data_tail in __perf_output_begin
    // (the control dependency "A, matches D"): our reads of the records are done before they are overwritten.
    pub(crate) fn acknowledge(&self, back: usize) {
        debug_assert!(!self.overwrite, "those pages are read-only");
        let position = self.position.get() - back as u64;
        if position > self.acknowledged.get() {
            // SAFETY: a word of the first page, which is mapped read-write as long as self lives, aligned to 8.
            let tail = unsafe { AtomicU64::from_ptr(self.pages.base().add(perf_event::DATA_TAIL).cast()) };
            tail.store(position, Ordering::Release);
            self.acknowledged.set(position);
        }
    }

    // While it is paused, what programs write here is lost (and counted).
    pub(crate) fn pause(&self, paused: bool) -> io::Result<()> {
        perf_event::pause(self.event.as_fd(), paused)
    }

    // Events that the kernel found no room for, counted by the kernel. None where it does not (before 6.0): then there are
    // only the records that tell of losses, each of which is written in front of the next event that finds room.
    pub(crate) fn lost(&self) -> io::Result<Option<u64>> {
        if self.counts_lost { perf_event::lost(self.event.as_fd()).map(Some) } else { Ok(None) }
    }
}

impl Buffer {
    // What becomes readable when half of it has been written.
    pub(crate) fn event(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.event)
    }
}

impl AsFd for Buffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use arrow_array::cast::AsArray;
    use proptest::prelude::*;

    use super::fake::{Kernel, Record};
    use super::scan::{Cursor, Stop, scan};
    use super::*;
    use crate::record::block::Block;
    use crate::record::columns::Columns;
    use crate::record::plan::Plan;
    use crate::sys::clock::Offsets;
    use crate::sys::{Call, fake as calls};

    #[derive(Clone, Debug)]
    enum Step {
        Write(Record),
        // The first word of a sample says its number.
        Samples { size: usize, count: usize },
        Read { limits: Vec<usize>, acknowledge: bool },
        // Takes so many of the block's records, and goes back to the others.
        ReadPart { limit: usize, taken: usize },
        End(bool),
    }

    fn record() -> impl Strategy<Value = Record> {
        prop_oneof![
            4 => (4_usize..400, any::<u8>()).prop_map(|(size, fill)| Record::Sample(vec![fill; size])),
            1 => (any::<u32>(), 0_usize..20).prop_map(|(kind, words)| {
                let known = kind == 2 || kind == 9;
                Record::Other { kind: if known { 5 } else { kind }, words }
            }),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => record().prop_map(Step::Write),
            3 => (4_usize..100, 1_usize..200).prop_map(|(size, count)| Step::Samples { size, count }),
            4 => (prop::collection::vec(1_usize..80, 1..20), any::<bool>())
                .prop_map(|(limits, acknowledge)| Step::Read { limits, acknowledge }),
            2 => (1_usize..80, 0_usize..80).prop_map(|(limit, taken)| Step::ReadPart { limit, taken }),
            1 => any::<bool>().prop_map(Step::End),
        ]
    }

    fn columns() -> Columns {
        let fields = [("whole", 0, "record"), ("first", 0, "u32")];
        let fields = fields.map(|(name, offset, kind)| (name.to_owned(), offset, kind.to_owned()));
        Columns::new(Arc::new(Plan::new(fields.into(), 4).expect("a plan")), 64, 1 << 16)
    }

    // Decodes a block: each of its records is the next one of those that were written.
    fn take(columns: &mut Columns, block: &Block<'_>, expected: &mut VecDeque<Vec<u8>>) {
        assert_eq!(columns.append(block, &Offsets::now()).expect("records"), block.len());
        let Some(batch) = columns.cut().expect("columns") else { return };
        let whole = batch.column(0).as_binary::<i32>();
        let first = batch.column(1).as_primitive::<arrow_array::types::UInt32Type>();
        for row in 0..batch.num_rows() {
            let record = expected.pop_front().expect("no more than were written");
            assert_eq!(whole.value(row), record);
            assert_eq!(first.value(row).to_ne_bytes(), record[LEAD..LEAD + 4]);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(steps in prop::collection::vec(step(), 1..60)) {
            let (mut kernel, buffer) = Kernel::with_buffer(1, false);
            let mut columns = columns();
            let mut expected = VecDeque::new();
            let (mut lost, mut told) = (0, 0);
            let mut ended = None;
            for step in steps {
                match step {
                    Step::Write(record) => expected.extend(kernel.write(&record)),
                    Step::Samples { size, count } => {
                        for i in 0..count {
                            let mut bytes = vec![0xEE; size];
                            bytes[..4].copy_from_slice(&(i as u32).to_ne_bytes());
                            expected.extend(kernel.write(&Record::Sample(bytes)));
                        }
                    }
                    Step::Read { limits, acknowledge } => {
                        let window = buffer.window();
                        let mut cursor = Cursor::default();
                        let mut block = Block::new();
                        for limit in limits {
                            let stop = scan(&window, &mut cursor, &mut block, limit);
                            prop_assert!(block.len() <= limit);
                            take(&mut columns, &block, &mut expected);
                            if stop == Stop::End {
                                prop_assert_eq!(cursor.at, window.len());
                                break;
                            }
                            prop_assert!(stop == Stop::Full && block.len() > 0);
                        }
                        buffer.advance(cursor.at);
                        told += cursor.lost;
                        let read = buffer.unacknowledged();
                        if acknowledge {
                            buffer.acknowledge(0);
                            prop_assert_eq!(kernel.unread(), kernel.head() - buffer.position.get());
                        }
                        prop_assert_eq!(buffer.unacknowledged(), if acknowledge { 0 } else { read });
                    }
                    Step::ReadPart { limit, taken } => {
                        let window = buffer.window();
                        let mut cursor = Cursor::default();
                        let mut block = Block::new();
                        scan(&window, &mut cursor, &mut block, limit);
                        let taken = taken.min(block.len());
                        if taken < block.len() {
                            cursor = Cursor { at: cursor.at - block.rest(taken), ..cursor };
                        }
                        // What was taken, read again up to there.
                        let mut again = Cursor::default();
                        if taken > 0 {
                            scan(&window, &mut again, &mut block, taken);
                            take(&mut columns, &block, &mut expected);
                        }
                        prop_assert!(again.at <= cursor.at && again.lost <= cursor.lost);
                        buffer.advance(cursor.at);
                        told += cursor.lost;
                    }
                    Step::End(here) => {
                        buffer.end(here);
                        ended = here.then_some(kernel.head());
                    }
                }
                lost += kernel.take_lost();
                let readable = ended.unwrap_or_else(|| kernel.head()) - buffer.position.get();
                prop_assert_eq!(buffer.window().len() as u64, readable);
                prop_assert_eq!(buffer.is_empty(), readable == 0);
            }
            // To the end, and one more event, which tells what was lost before it.
            buffer.end(false);
            for last in [false, true] {
                if last {
                    expected.extend(kernel.write(&Record::Sample(vec![1; 8])));
                }
                let window = buffer.window();
                let (mut cursor, mut block) = (Cursor::default(), Block::new());
                loop {
                    let stop = scan(&window, &mut cursor, &mut block, 64);
                    take(&mut columns, &block, &mut expected);
                    if stop == Stop::End {
                        break;
                    }
                    prop_assert_eq!(stop, Stop::Full);
                }
                buffer.advance(cursor.at);
                buffer.acknowledge(0);
                told += cursor.lost;
            }
            prop_assert!(expected.is_empty() && buffer.is_empty());
            prop_assert_eq!(told, lost);
        }

        // Whatever stands in the pages: no record reaches out of them, and reading comes to an end.
        #[test]
        fn bytes_that_nobody_wrote_harm_nobody(
            words in prop::collection::vec(word(), 512),
            position in 0_u64..10_000,
            len in 0_u64..=512,
            limit in 1_usize..80,
        ) {
            let (mut kernel, buffer) = Kernel::with_buffer(1, false);
            kernel.set(&words, (position + len) * 8);
            buffer.advance(position as usize * 8);
            let window = buffer.window();
            let mut cursor = Cursor::default();
            let mut block = Block::new();
            loop {
                let before = cursor.at;
                let stop = scan(&window, &mut cursor, &mut block, limit);
                prop_assert!(cursor.at <= window.len());
                let bytes: usize = block.records().map(|record| record.whole().len()).sum();
                prop_assert!(bytes <= cursor.at - before && block.records().all(|record| record.payload().len() >= 4));
                match stop {
                    Stop::Full => prop_assert!(cursor.at > before),
                    Stop::End => break prop_assert_eq!(cursor.at, window.len()),
                    Stop::Corrupt { at, .. } => break prop_assert_eq!(at, cursor.at),
                }
            }
        }

        #[test]
        fn a_snapshot_holds_the_newest(rounds in prop::collection::vec(prop::collection::vec(record(), 0..60), 1..6)) {
            let (mut kernel, buffer) = Kernel::with_buffer(1, true);
            for records in rounds {
                let written: Vec<_> = records.iter().map(|record| (record, kernel.write_backward(record))).collect();
                let words = buffer.copy().expect("whole records");
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                // The newest that fit into the pages.
                let mut left = buffer.size();
                let kept = written.iter().rev().take_while(|(_, bytes)| {
                    let fits = bytes.len() <= left;
                    left = left.saturating_sub(bytes.len());
                    fits
                }).count();
                let kept = &written[written.len() - kept..];
                prop_assert_eq!(bytes, kept.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>());
                let samples = kept.iter().filter(|(record, _)| matches!(record, Record::Sample(_))).count();
                let window = Window::of_words(&words);
                let (mut cursor, mut block, mut scanned) = (Cursor::default(), Block::new(), 0);
                while scan(&window, &mut cursor, &mut block, 64) == Stop::Full {
                    scanned += block.len();
                }
                prop_assert_eq!((scanned + block.len(), cursor.at), (samples, words.len() * 8));
            }
        }
    }

    // Any word, or one that begins a sample or a record of losses, or says the size of a payload.
    fn word() -> impl Strategy<Value = u64> {
        let header = |kind: u64| (0_u64..20).prop_map(move |words| kind | (words * 8) << 48);
        prop_oneof![any::<u64>(), header(9), header(2), header(5), (0_u64..20).prop_map(|words| words * 8 + 4), Just(0)]
    }

    fn corrupt(kernel: &mut Kernel, buffer: &Buffer, words: &[u64]) -> Stop {
        kernel.set(words, size_of_val(words) as u64);
        let window = buffer.window();
        scan(&window, &mut Cursor::default(), &mut Block::new(), 64)
    }

    #[test]
    fn a_record_that_cannot_be_right_is_told() {
        let (mut kernel, buffer) = Kernel::with_buffer(1, false);
        let header =
            |kind: u64, size: u64| if cfg!(target_endian = "little") { kind | size << 48 } else { kind << 32 | size };
        let raw = |size: u32| u64::from_ne_bytes([size.to_ne_bytes(), [0; 4]].concat().try_into().expect("8 bytes"));
        let told = |kind, size| Stop::Corrupt { kind, size, at: 0 };
        assert_eq!(corrupt(&mut kernel, &buffer, &[0; 4]), told(0, 0));
        assert_eq!(corrupt(&mut kernel, &buffer, &[header(5, 12), 0, 0]), told(5, 12));
        assert_eq!(corrupt(&mut kernel, &buffer, &[header(5, 32), 0, 0]), told(5, 32));
        assert_eq!(corrupt(&mut kernel, &buffer, &[header(2, 16), 0]), told(2, 16));
        assert_eq!(corrupt(&mut kernel, &buffer, &[header(9, 24), 0, 0]), told(9, 24));
        for size in [0, 3, 5, 12, u32::MAX] {
            assert_eq!(corrupt(&mut kernel, &buffer, &[header(9, 32), 0, 0, raw(size)]), told(9, 32));
        }
        assert_eq!(corrupt(&mut kernel, &buffer, &[header(9, 32), 0, 0, raw(4)]), Stop::End);
    }

    // Kernels before 5.2 publish an older head for a moment when an interrupt writes in between.
    #[test]
    fn a_head_that_goes_back_is_nothing_new() {
        let (mut kernel, buffer) = Kernel::with_buffer(1, false);
        kernel.write(&Record::Sample(vec![1; 100]));
        buffer.advance(buffer.window().len());
        kernel.set(&[], 64);
        assert!(buffer.is_empty());
    }

    #[test]
    fn an_index_is_a_cpu() {
        use std::cell::RefCell;
        use std::rc::Rc;

        let buffers = [0, 2, 5].map(|cpu| Kernel::with_buffer(cpu, false).1);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let events = Rc::clone(&seen);
        let answer = move |call: &Call<'_>| {
            let Call::Bpf(_, attr) = call else { panic!("no other call") };
            // SAFETY: key and value point to live integers of 4 bytes.
            let element = unsafe {
                let a = attr.__bindgen_anon_2;
                ((a.key as *const u32).read_unaligned(), (a.__bindgen_anon_1.value as *const i32).read_unaligned())
            };
            events.borrow_mut().push(element);
            Ok(0)
        };
        calls::with(answer, || fill(buffers[0].as_fd(), &buffers.each_ref())).expect("filled");
        let expected = buffers.each_ref().map(|buffer| (buffer.cpu(), buffer.as_fd().as_raw_fd()));
        assert_eq!(seen.take(), expected);
    }

    #[test]
    fn a_size_that_is_not_possible_is_refused() {
        for (size, nearest) in [(0, 4096), (1000, 4096), (12_288, 16_384), (1 << 40, LARGEST)] {
            let error = Buffer::open(0, size, false).map(drop).expect_err("refused");
            assert!(matches!(&error, Error::Layout(text) if text.ends_with(&format!("such as {nearest}"))), "{error}");
        }
    }
}
