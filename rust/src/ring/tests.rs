use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::thread;

use proptest::prelude::*;

use super::fake::{Kernel, Reserved};
use super::scan::{Cursor, Stop, scan};
use super::*;
use crate::record::block::{Block, CAPACITY, LEAST};

const SIZE: usize = 4096;

#[derive(Clone, Debug)]
enum Step {
    Reserve { length: usize, fill: u8 },
    // Of those that are being written, one by its place among them.
    Commit { which: usize, discard: bool },
    Write { length: usize, count: usize },
    Look { limits: Vec<usize>, keep: bool },
    End(bool),
    // As a stream does before it sleeps.
    Sleep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_usize..600, any::<u8>()).prop_map(|(length, fill)| Step::Reserve { length, fill }),
        3 => (any::<usize>(), prop::bool::weighted(0.3)).prop_map(|(which, discard)| Step::Commit { which, discard }),
        2 => (0_usize..100, 1_usize..60).prop_map(|(length, count)| Step::Write { length, count }),
        3 => (prop::collection::vec(1_usize..80, 1..20), any::<bool>()).prop_map(|(limits, keep)| Step::Look { limits, keep }),
        1 => any::<bool>().prop_map(Step::End),
        2 => Just(Step::Sleep),
    ]
}

// A record of the model.
struct Record {
    payload: Vec<u8>,
    reserved: Reserved,
    state: State,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum State {
    Busy,
    Done,
    Discarded,
}

proptest! {
    #[test]
    fn what_is_committed_is_read_in_its_order(
        steps in prop::collection::vec(step(), 1..80),
        start in prop_oneof![Just(0_u64), (0_u64..1 << 40).prop_map(|start| start * 8), Just(u64::MAX / 2 / 8 * 8)],
    ) {
        let (kernel, ring) = Kernel::with_ring(SIZE, start);
        // What has been reserved and not yet read, in its order; so many of them may be read.
        let mut model: VecDeque<Record> = VecDeque::new();
        let mut visible = None;
        let mut asleep = false;
        for step in steps {
            match step {
                Step::Reserve { length, fill } => {
                    if let Some(reserved) = kernel.reserve(length) {
                        let payload = vec![fill; length];
                        kernel.fill(reserved, &payload);
                        model.push_back(Record { payload, reserved, state: State::Busy });
                    }
                }
                Step::Write { length, count } => {
                    for i in 0..count {
                        let Some(reserved) = kernel.reserve(length) else { break };
                        let payload = vec![i as u8; length];
                        kernel.fill(reserved, &payload);
                        let woke = kernel.commit(reserved, false);
                        if asleep && model.is_empty() {
                            prop_assert!(woke, "a reader that sleeps is woken by the first record");
                            asleep = false;
                        }
                        model.push_back(Record { payload, reserved, state: State::Done });
                    }
                }
                Step::Commit { which, discard } => {
                    let mut busy: Vec<_> = model.iter_mut().filter(|record| record.state == State::Busy).collect();
                    if !busy.is_empty() {
                        let which = which % busy.len();
                        let woke = kernel.commit(busy[which].reserved, discard);
                        busy[which].state = if discard { State::Discarded } else { State::Done };
                        if asleep && model[0].state != State::Busy {
                            prop_assert!(woke, "a reader that sleeps is woken by the first record");
                            asleep = false;
                        }
                    }
                }
                Step::Look { limits, keep } => {
                    asleep = false;
                    let window = ring.window();
                    let mut cursor = Cursor::default();
                    let mut block = Block::new();
                    let mut left = visible.unwrap_or(model.len());
                    for limit in limits {
                        let stop = scan(window, &mut cursor, &mut block, limit);
                        let limit = limit.min(CAPACITY);
                        prop_assert!(block.len() <= limit);
                        // A block of long records is full earlier.
                        let full = stop == Stop::Full;
                        prop_assert!(!full || block.len() >= limit.min(LEAST));
                        let limit = if full { block.len() } else { limit };
                        let mut found = block.records();
                        let mut expected = 0;
                        while left > 0 && expected < limit && model[0].state != State::Busy {
                            let record = model.pop_front().expect("counted");
                            left -= 1;
                            if record.state == State::Done {
                                let read = found.next();
                                prop_assert_eq!(read.map(|read| read.payload().to_vec()), Some(record.payload));
                                expected += 1;
                            }
                        }
                        prop_assert!(found.next().is_none());
                        if stop != Stop::Full {
                            let busy = left > 0;
                            prop_assert_eq!(stop, if busy { Stop::Busy } else { Stop::End });
                            break;
                        }
                        // The scan stops at its limit, before discarded records that follow: so does the model.
                    }
                    visible = visible.map(|_| left);
                    ring.advance(cursor.at);
                    let back = if keep { cursor.last } else { 0 };
                    ring.acknowledge(back);
if !keep {
                        prop_assert_eq!(ring.unacknowledged(), 0);
                    }
                    prop_assert_eq!(kernel.consumer_position().load(Ordering::Relaxed), start_of(&ring));
                }
                Step::End(here) => {
                    ring.end(here);
                    visible = here.then_some(model.len());
                }
                Step::Sleep => {
                    let nothing = ring.acknowledge_and_recheck();
                    prop_assert_eq!(nothing, model.is_empty());
                    asleep = nothing;
                }
            }
        }
    }

    // No bytes make the walk leave the ring, or go on for ever.
    #[test]
    fn any_bytes_are_walked_to_an_end(words in prop::collection::vec(any_word(), 1..64), limit in 1_usize..80) {
        let window = Window::of_words(&words);
        let (mut cursor, mut block) = (Cursor::default(), Block::new());
        loop {
            let before = cursor.at;
            let stop = scan(window, &mut cursor, &mut block, limit);
            prop_assert!(cursor.at <= window.len() && cursor.at.is_multiple_of(8));
            prop_assert!(block.records().all(|record| record.payload().len() <= window.len()));
            if stop != Stop::Full {
                break;
            }
            prop_assert!(cursor.at > before);
        }
    }
}

// What the kernel has been told.
fn start_of(ring: &Ring) -> u64 {
    ring.position() - ring.unacknowledged() as u64
}

// Any word, or a header that could be right.
fn any_word() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0_u64..64, (0_u64..64).prop_map(|length| length | 1 << 30), Just(1 << 31)]
}

// Two producers and a reader, each on a thread of its own, through the memory that they share.
#[test]
fn concurrent_commits_are_read_once_and_whole() {
    const EACH: u64 = 40_000;
    let (kernel, ring) = Kernel::with_ring(SIZE, 0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let producers: Vec<_> = (0..2_u64)
            .map(|producer| {
                let kernel = &kernel;
                scope.spawn(move || {
                    for number in 0..EACH {
                        let length = 16 + (number % 7 * 13) as usize;
                        let reserved = loop {
                            match kernel.reserve(length) {
                                Some(reserved) => break reserved,
                                None => thread::yield_now(),
                            }
                        };
                        let mut payload = vec![number as u8; length];
                        payload[..8].copy_from_slice(&number.to_ne_bytes());
                        payload[8..16].copy_from_slice(&producer.to_ne_bytes());
                        kernel.fill(reserved, &payload);
                        kernel.commit(reserved, number % 5 == 3);
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            // A cell is a thread's own.
            let ring = ring;
            let mut next = [0_u64; 2];
            loop {
                let last_look = over.load(Ordering::Acquire);
                let window = ring.window();
                let (mut cursor, mut block) = (Cursor::default(), Block::new());
                loop {
                    let stop = scan(window, &mut cursor, &mut block, CAPACITY);
                    for record in block.records() {
                        let payload = record.payload();
                        let word = |at: usize| u64::from_ne_bytes(payload[at..at + 8].try_into().expect("8 bytes"));
                        let (number, producer) = (word(0), word(8) as usize);
                        next[producer] += u64::from(next[producer] % 5 == 3);
                        assert_eq!(number, next[producer]);
                        next[producer] += 1;
                        assert_eq!(payload.len(), 16 + (number % 7 * 13) as usize);
                        assert!(payload[16..].iter().all(|&byte| byte == number as u8));
                    }
                    if stop != Stop::Full {
                        assert!(!matches!(stop, Stop::Corrupt { .. }), "{stop:?}");
                        break;
                    }
                }
                ring.advance(cursor.at);
                ring.acknowledge(cursor.last);
                if cursor.at == 0 {
                    ring.acknowledge_and_recheck();
                    thread::yield_now();
                }
                if last_look && cursor.at == 0 {
                    return next;
                }
            }
        });
        for producer in producers {
            producer.join().expect("a producer");
        }
        over.store(true, Ordering::Release);
        let next = reader.join().expect("the reader");
        assert_eq!(next.map(|next| next + u64::from(next % 5 == 3)), [EACH, EACH]);
    });
}
