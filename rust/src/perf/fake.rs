//! A perf buffer in plain memory, and what the kernel does with one (`kernel/events/ring_buffer.c`), for tests.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Buffer;
use crate::sys::memory::Mapping;
use crate::sys::perf_event::{DATA_HEAD, DATA_TAIL};

#[derive(Clone, Debug)]
pub(super) enum Record {
    Sample(Vec<u8>),
    Other { kind: u32, words: usize },
}

pub(super) struct Kernel {
    pages: *mut u8,
    size: u64,
    cpu: u32,
    time: u64,
    // Since the last record that told of losses, and since take_lost().
    untold: u64,
    lost: u64,
}

impl Kernel {
    // Of one page. The buffer owns the memory: it has to outlive the kernel's part.
    pub(super) fn with_buffer(cpu: u32, overwrite: bool) -> (Self, Buffer) {
        let page = rustix::param::page_size();
        let pages = Mapping::anonymous(2 * page).expect("memory");
        let kernel = Self { pages: pages.base(), size: page as u64, cpu, time: 0, untold: 0, lost: 0 };
        let nothing = std::sync::Arc::new(File::open("/dev/null").expect("a file").into());
        (kernel, Buffer::over(nothing, cpu, pages, overwrite, false))
    }

    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: a word of the first page, aligned to 8.
        unsafe { AtomicU64::from_ptr(self.pages.add(offset).cast()) }
    }

    pub(super) fn head(&self) -> u64 {
        self.position(DATA_HEAD).load(Ordering::Relaxed)
    }

    pub(super) fn unread(&self) -> u64 {
        self.head() - self.position(DATA_TAIL).load(Ordering::Acquire)
    }

    fn bytes(&mut self, record: &Record) -> Vec<u8> {
        let (kind, body) = match record {
            Record::Sample(payload) => {
                self.time += 1;
                let raw = (payload.len() + 4).next_multiple_of(8) - 4;
                let mut body = self.time.to_ne_bytes().to_vec();
                body.extend(self.cpu.to_ne_bytes());
                body.extend([0; 4]);
                body.extend((raw as u32).to_ne_bytes());
                body.extend(payload);
                body.resize(body.len() + raw - payload.len(), 0xAA);
                (9, body)
            }
            Record::Other { kind, words } => (*kind, vec![0xBB; words * 8]),
        };
        framed(kind, &body)
    }

    fn store(&mut self, position: u64, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            let at = position.wrapping_add(i as u64) & (self.size - 1);
            // SAFETY: within the page behind the first.
            unsafe { self.pages.add((self.size + at) as usize).write(byte) };
        }
    }

    // The sample as it stands in the buffer; None when it found no room, or is none.
    pub(super) fn write(&mut self, record: &Record) -> Option<Vec<u8>> {
        let bytes = self.bytes(record);
        let untold =
            if self.untold > 0 { framed(2, &[77, self.untold].map(u64::to_ne_bytes).concat()) } else { vec![] };
        let needed = (bytes.len() + untold.len()) as u64;
        // CIRC_SPACE: a buffer is never filled to its last byte.
        if self.size - 1 - self.unread() < needed {
            self.untold += 1;
            self.lost += 1;
            return None;
        }
        self.untold = 0;
        let head = self.head();
        self.store(head, &untold);
        self.store(head + untold.len() as u64, &bytes);
        self.position(DATA_HEAD).store(head + needed, Ordering::Release);
        matches!(record, Record::Sample(_)).then_some(bytes)
    }

    pub(super) fn write_backward(&mut self, record: &Record) -> Vec<u8> {
        let bytes = self.bytes(record);
        let head = self.head().wrapping_sub(bytes.len() as u64);
        self.store(head, &bytes);
        self.position(DATA_HEAD).store(head, Ordering::Release);
        bytes
    }

    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    // Any bytes at the start of the pages, and any head.
    pub(super) fn set(&mut self, words: &[u64], head: u64) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.store(0, &bytes);
        self.position(DATA_HEAD).store(head, Ordering::Release);
    }
}

fn framed(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(8 + body.len()).expect("a record has at most 64 KiB");
    [&kind.to_ne_bytes()[..], &1_u16.to_ne_bytes(), &size.to_ne_bytes(), body].concat()
}
