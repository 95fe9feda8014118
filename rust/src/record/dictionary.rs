//! `char[N]` to dictionary keys: one dictionary for each batch, in the order of first appearance.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};

pub(super) struct Dictionary {
    size: usize,
    values: Vec<Box<[u8]>>,
    keys: HashMap<Box<[u8]>, i32>,
    // The newest value of each hash, so that most records cost a comparison; only for the 16 bytes of a comm.
    recent: Box<[([u64; 2], i32); RECENT]>,
    last: ([u64; 2], i32),
}

const RECENT: usize = 64;
const NONE: i32 = -1;

impl Dictionary {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            values: Vec::new(),
            keys: HashMap::new(),
            recent: Box::new([([0; 2], NONE); RECENT]),
            last: ([0; 2], NONE),
        }
    }

    // Writes the key of the text at `offset` of each payload.
    //
    // SAFETY (of the caller): each payload is readable up to offset + size, and `to` is writable for as many keys.
    pub(super) unsafe fn encode(&mut self, payloads: &[*const u8], offset: usize, to: *mut i32) {
        if self.size == 16 {
            for (i, payload) in payloads.iter().enumerate() {
                // SAFETY: promised by the caller.
                let words: [u64; 2] =
                    unsafe { payload.add(offset).cast::<[u64; 2]>().read_unaligned() };
                let key = if words == self.last.0 && self.last.1 != NONE {
                    self.last.1
                } else {
                    self.key16(words)
                };
                // SAFETY: promised by the caller.
                unsafe { to.add(i).write(key) };
            }
        } else {
            for (i, payload) in payloads.iter().enumerate() {
                // SAFETY: promised by the caller.
                let bytes = unsafe { std::slice::from_raw_parts(payload.add(offset), self.size) };
                let key = self.key(until_nul(bytes));
                // SAFETY: promised by the caller.
                unsafe { to.add(i).write(key) };
            }
        }
    }

    fn key16(&mut self, words: [u64; 2]) -> i32 {
        let text = clear_after_nul(words);
        let hash = (text[0] ^ text[1].rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
        let slot = hash as usize % RECENT;
        let (known, mut key) = self.recent[slot];
        if known != text || key == NONE {
            let bytes = [text[0].to_ne_bytes(), text[1].to_ne_bytes()].concat();
            key = self.key(until_nul(&bytes));
            self.recent[slot] = (text, key);
        }
        self.last = (words, key);
        key
    }

    fn key(&mut self, text: &[u8]) -> i32 {
        if let Some(&key) = self.keys.get(text) {
            return key;
        }
        let key =
            i32::try_from(self.values.len()).expect("a batch has fewer rows than i32 has numbers");
        self.values.push(text.into());
        self.keys.insert(text.into(), key);
        key
    }

    // The batch's dictionary; the next batch starts with an empty one.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let values = StringArray::from_iter_values(
            self.values.iter().map(|text| String::from_utf8_lossy(text)),
        );
        self.values.clear();
        self.keys.clear();
        self.recent.fill(([0; 2], NONE));
        self.last.1 = NONE;
        Arc::new(values)
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    &bytes[..end]
}

// Some kernels leave old bytes behind a comm's NUL; they are not part of the text.
fn clear_after_nul(words: [u64; 2]) -> [u64; 2] {
    let [first, second] = words.map(u64::to_le);
    let cleared = match (below_nul(first), below_nul(second)) {
        (Some(mask), _) => [first & mask, 0],
        (None, Some(mask)) => [first, second & mask],
        (None, None) => [first, second],
    };
    cleared.map(u64::from_le)
}

// The bytes in front of the lowest zero byte, as a mask; None when there is no zero byte.
fn below_nul(word: u64) -> Option<u64> {
    let zero = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
    (zero != 0).then(|| (1 << (zero.trailing_zeros() & !7)) - 1)
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use proptest::prelude::*;

    use super::*;

    fn encode(dictionary: &mut Dictionary, rows: &[Vec<u8>]) -> Vec<String> {
        let payloads: Vec<*const u8> = rows.iter().map(Vec::as_ptr).collect();
        let mut keys = vec![0_i32; rows.len()];
        // SAFETY: every row has the dictionary's size, and there is a key for each.
        unsafe { dictionary.encode(&payloads, 0, keys.as_mut_ptr()) };
        let values = dictionary.finish();
        let values = values.as_any().downcast_ref::<StringArray>().unwrap();
        let distinct: std::collections::HashSet<_> =
            (0..values.len()).map(|i| values.value(i)).collect();
        let lossless = rows
            .iter()
            .all(|row| std::str::from_utf8(until_nul(row)).is_ok());
        assert!(
            !lossless || distinct.len() == values.len(),
            "a value stands in the dictionary twice"
        );
        keys.iter()
            .map(|&key| values.value(key.cast_unsigned() as usize).to_owned())
            .collect()
    }

    proptest! {
        #[test]
        fn keys_give_the_text_back(
            size in prop_oneof![Just(16_usize), 1_usize..40],
            seeds in prop::collection::vec((0_usize..6, any::<u8>()), 1..300),
        ) {
            // Few texts, some of them equal but for what follows the NUL.
            let rows: Vec<Vec<u8>> = seeds
                .iter()
                .map(|&(len, garbage)| {
                    let mut row = vec![garbage; size];
                    let text = b"kernel/\xff\xc3\xa9";
                    let len = (len * 2).min(text.len()).min(size);
                    row[..len].copy_from_slice(&text[..len]);
                    if len < size { row[len] = 0 }
                    row
                })
                .collect();
            let expected: Vec<String> = rows.iter().map(|row| String::from_utf8_lossy(until_nul(row)).into_owned()).collect();
            let mut dictionary = Dictionary::new(size);
            prop_assert_eq!(encode(&mut dictionary, &rows), expected.clone());
            prop_assert_eq!(encode(&mut dictionary, &rows), expected);
        }
    }
}
