//! What the fuzzers in `rust/fuzz` call: bytes as they might stand in a buffer, walked and decoded as a stream does it.
//!
//! A header says how: two bytes for how many records are scanned at once and written to columns at once, two for where
//! reading begins (in words), two for how much there is to read. Then come the buffer's words.

use std::cell::RefCell;
use std::sync::Arc;

use arrow_array::Array;

use crate::perf;
use crate::record::block::Block;
use crate::record::columns::Columns;
use crate::record::plan::Plan;
use crate::ring;
use crate::sys::clock::Offsets;

const ROWS: usize = 64;
// A column of each kind.
const FIELDS: [(&str, isize, &str); 17] = [
    ("whole", 0, "record"),
    ("time", 0, "boottime"),
    ("flag", 8, "bool"),
    ("comm", 8, "char[4]"),
    ("bytes", 9, "bytes[3]"),
    ("numbers", 12, "u16[2]"),
    ("text", 16, "text[12]"),
    ("tail", 20, "bytes[]"),
    ("list", 24, "u32[]"),
    ("big", 8, "u32be"),
    ("bits", 12, "i32:3:7"),
    ("state", 8, "enum u8{IDLE=0,BUSY=200}"),
    ("address", 0, "ipv6"),
    ("stack", 0, "stack[3]"),
    ("pair", 8, "struct 8{a@0=f32;b@4=char[4]}"),
    ("pairs", 4, "struct 4{a@0=u8;b@2=u16}[3]"),
    ("either", 12, "union 4(state){0=idle:u32;200=busy:struct 4{a@0=bytes[3]}}"),
];

struct Input {
    limit: usize,
    taken: usize,
    start: usize,
    len: usize,
    words: Vec<u64>,
}

impl Input {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (header, words) = bytes.split_at_checked(8)?;
        let words: Vec<u64> =
            words.chunks_exact(8).map(|word| u64::from_ne_bytes(std::array::from_fn(|i| word[i]))).collect();
        let most = words.len() + 1;
        let word = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
        let (limit, taken) = (usize::from(header[0]) + 1, usize::from(header[1]) + 1);
        Some(Self { limit, taken, start: word(2) % most.min(words.len().max(1)) * 8, len: word(4) % most * 8, words })
    }
}

struct Decoder {
    columns: Columns,
    clocks: Offsets,
}

// Memory for columns is not made anew for each input: that would take most of the time. Each input leaves no row behind.
thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new());
}

impl Decoder {
    fn new() -> Self {
        let fields = FIELDS.map(|(name, offset, kind)| (name.to_owned(), offset, kind.to_owned()));
        let plan = Plan::new(fields.into(), 28).expect("a plan");
        let clocks = Offsets { monotonic: 1, boottime: 2, tai: 3 };
        Self { columns: Columns::new(Arc::new(plan), ROWS, 1 << 16), clocks }
    }

    // How many records went into columns; None when one is not what the plan says.
    fn take(&mut self, block: &Block<'_>) -> Option<usize> {
        if self.columns.room() == 0 {
            self.cut();
        }
        let mut written = self.columns.append(block, &self.clocks).ok()?;
        if written == 0 && block.len() > 0 {
            self.cut();
            written = self.columns.append(block, &self.clocks).ok()?;
            assert!(written > 0, "an empty batch has room for any record of 64 KiB");
        }
        Some(written)
    }

    // Arrow looks at every offset, key and character.
    fn cut(&mut self) {
        if let Some(batch) = self.columns.cut().expect("columns that make a batch") {
            for column in batch.columns() {
                column.to_data().validate_full().expect("a column as Arrow defines it");
            }
        }
    }
}

pub fn ring(bytes: &[u8]) {
    DECODER.with_borrow_mut(|decoder| decode_ring(bytes, decoder));
}

fn decode_ring(bytes: &[u8], decoder: &mut Decoder) {
    use ring::scan::{Cursor, Stop, scan};

    let Some(Input { limit, words, .. }) = Input::of(bytes) else { return };
    let window = ring::Window::of_words(&words);
    let (mut cursor, mut block) = (Cursor::new(), Block::new());
    loop {
        let before = cursor;
        let stop = scan(window, &mut cursor, &mut block, limit);
        assert!(block.len() <= limit && cursor.at <= window.len());
        let Some(written) = decoder.take(&block) else { break };
        if written < block.len() {
            cursor = before;
            scan(window, &mut cursor, &mut block, written);
            assert!(block.len() == written && before.at < cursor.at && cursor.last <= cursor.at);
        } else if stop != Stop::Full {
            break;
        }
    }
    decoder.cut();
}

pub fn perf(bytes: &[u8]) {
    DECODER.with_borrow_mut(|decoder| decode_perf(bytes, decoder));
}

fn decode_perf(bytes: &[u8], decoder: &mut Decoder) {
    use perf::scan::{Cursor, Stop, scan};

    let Some(Input { limit, taken, start, len, words }) = Input::of(bytes) else { return };
    let window = perf::window::Window::of_pages(&words, start, len);
    let (mut cursor, mut block) = (Cursor::default(), Block::new());
    loop {
        let before = cursor;
        let mut stop = scan(&window, &mut cursor, &mut block, limit);
        assert!(block.len() <= limit && before.at <= cursor.at && cursor.at <= window.len());
        if taken < block.len() {
            let back = Cursor { at: cursor.at - block.rest(taken), ..cursor };
            cursor = before;
            stop = scan(&window, &mut cursor, &mut block, taken);
            assert!((cursor, &stop) == (back, &Stop::Full), "what is left starts where what is taken ends");
        }
        let Some(written) = decoder.take(&block) else { break };
        if written < block.len() {
            cursor = before;
            scan(&window, &mut cursor, &mut block, written);
            assert!(block.len() == written && before.at < cursor.at);
        } else if stop != Stop::Full {
            break;
        }
    }
    decoder.cut();
}
