//! The protocol by which a ring's reader goes to sleep, in all interleavings that the memory model allows.
//!
//! The producer is `__bpf_ringbuf_reserve` and `bpf_ringbuf_commit` (kernel/bpf/ringbuf.c): it wakes the reader only if
//! the record that it commits is the first that the reader has not acknowledged. The reader is `stream::State::look` and
//! `ring::Ring::acknowledge_and_recheck`. Whoever sleeps while there is something to read has to be woken.

#![expect(clippy::tests_outside_test_module, reason = "all of this is a test")]

use std::sync::atomic::AtomicBool as Plain;
use std::sync::atomic::Ordering::Relaxed;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use loom::thread;

const RECORDS: u64 = 2;
// Looks after which a reader that found something each time is believed.
const LOOKS: usize = 3;

struct Ring {
    producer: AtomicU64,
    consumer: AtomicU64,
    busy: [AtomicBool; RECORDS as usize],
    woken: AtomicBool,
}

impl Ring {
    fn new() -> Self {
        Self {
            producer: AtomicU64::new(0),
            consumer: AtomicU64::new(0),
            busy: [AtomicBool::new(true), AtomicBool::new(true)],
            woken: AtomicBool::new(false),
        }
    }

    fn produce(&self) {
        for record in 0..RECORDS {
            self.producer.store(record + 1, Ordering::Release);
            self.busy[record as usize].store(false, Ordering::Release);
            // The xchg of the header is a full barrier.
            fence(Ordering::SeqCst);
            if self.consumer.load(Ordering::Acquire) == record {
                self.woken.store(true, Ordering::Release);
            }
        }
    }

    // True when the reader went to sleep, with records that it has not read.
    fn consume(&self, fenced: bool) -> bool {
        let mut position = 0;
        for _ in 0..LOOKS {
            let seen = self.producer.load(Ordering::Acquire);
            let before = position;
            while position < seen && !self.busy[position as usize].load(Ordering::Acquire) {
                position += 1;
            }
            if position == RECORDS {
                return false;
            }
            if position > before {
                // Hot: the last record stays unacknowledged, and nobody is woken.
                self.consumer.store(position - 1, Ordering::Release);
                continue;
            }
            // What it was told before it looked is old.
            self.woken.store(false, Relaxed);
            self.consumer.store(position, Ordering::Release);
            if fenced {
                fence(Ordering::SeqCst);
            }
            if self.producer.load(Ordering::Acquire) == position {
                return true;
            }
            // A record that is being written is waited for by the clock.
            thread::yield_now();
        }
        false
    }
}

// Whether some run ends with a reader that sleeps and nobody who wakes it.
fn sleeps_for_ever(fenced: bool) -> bool {
    static FOUND: [Plain; 2] = [const { Plain::new(false) }; 2];
    let mut builder = loom::model::Builder::new();
    // Two threads that do so little need no more to meet in every way that matters; all of them take half a minute.
    builder.preemption_bound = Some(4);
    builder.check(move || {
        let ring = Arc::new(Ring::new());
        let producer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.produce())
        };
        let asleep = ring.consume(fenced);
        producer.join().expect("a producer that ends");
        if asleep && !ring.woken.load(Ordering::Acquire) {
            FOUND[usize::from(fenced)].store(true, Relaxed);
        }
    });
    FOUND[usize::from(fenced)].load(Relaxed)
}

#[test]
fn no_wakeup_is_lost() {
    assert!(!sleeps_for_ever(true));
}

#[test]
fn without_the_fence_one_is() {
    assert!(sleeps_for_ever(false));
}
