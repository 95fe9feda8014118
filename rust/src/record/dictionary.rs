//! `char[N]` to dictionary keys: one dictionary for each batch, in the order of first appearance.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};

pub(super) struct Dictionary {
    size: usize,
    values: Vec<Box<[u8]>>,
    keys: HashMap<Box<[u8]>, i32>,
    recent: Box<Recent>,
}

// The newest 16 bytes of each hash, as they stand in the record, and their key: a comm costs one comparison, which nearly
// always holds, whichever thread's it is.
struct Recent {
    words: [[u64; 2]; RECENT],
    keys: [i32; RECENT],
}

const RECENT: usize = 64;

impl Recent {
    // No words are equal to those of an empty slot that they hash to: zeros hash to slot 0, which holds something else.
    const EMPTY: [[u64; 2]; RECENT] = {
        let mut words = [[0; 2]; RECENT];
        words[0] = [1, 0];
        words
    };

    #[inline(always)]
    fn slot(first: u64, second: u64) -> usize {
        let hash = (first ^ second.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> 58) as usize
    }

    // Writes keys up to the first text that is not known; returns how many.
    //
    // SAFETY (of the caller): as for Dictionary::encode.
    #[inline(never)]
    unsafe fn encode(&self, payloads: &[*const u8], offset: usize, to: *mut i32) -> usize {
        for (i, payload) in payloads.iter().enumerate() {
            // SAFETY: promised by the caller.
            let (first, second) = unsafe {
                let words = payload.add(offset).cast::<[u64; 2]>().read_unaligned();
                (words[0], words[1])
            };
            let slot = Self::slot(first, second);
            let known = &self.words[slot];
            if (known[0] ^ first) | (known[1] ^ second) != 0 {
                return i;
            }
            // SAFETY: promised by the caller.
            unsafe { to.add(i).write(self.keys[slot]) };
        }
        payloads.len()
    }
}

impl Dictionary {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            values: Vec::new(),
            keys: HashMap::new(),
            recent: Box::new(Recent { words: Recent::EMPTY, keys: [0; RECENT] }),
        }
    }

    // Writes the key of the text at `offset` of each payload.
    //
    // SAFETY (of the caller): each payload is readable up to offset + size, and `to` is writable for as many keys.
    pub(super) unsafe fn encode(&mut self, payloads: &[*const u8], offset: usize, to: *mut i32) {
        if self.size == 16 {
            let mut row = 0;
            while row < payloads.len() {
                // SAFETY: promised by the caller.
                row += unsafe { self.recent.encode(&payloads[row..], offset, to.add(row)) };
                if let Some(payload) = payloads.get(row) {
                    // SAFETY: promised by the caller.
                    let words = unsafe { payload.add(offset).cast::<[u64; 2]>().read_unaligned() };
                    self.learn(words);
                }
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

    #[cold]
    fn learn(&mut self, words: [u64; 2]) {
        let bytes = [words[0].to_ne_bytes(), words[1].to_ne_bytes()].concat();
        let key = self.key(until_nul(&bytes));
        let slot = Recent::slot(words[0], words[1]);
        self.recent.words[slot] = words;
        self.recent.keys[slot] = key;
    }

    fn key(&mut self, text: &[u8]) -> i32 {
        if let Some(&key) = self.keys.get(text) {
            return key;
        }
        let key = i32::try_from(self.values.len()).expect("a batch has fewer rows than i32 has numbers");
        self.values.push(text.into());
        self.keys.insert(text.into(), key);
        key
    }

    // The batch's dictionary; the next batch starts with an empty one.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let values = StringArray::from_iter_values(self.values.iter().map(|text| String::from_utf8_lossy(text)));
        self.values.clear();
        self.keys.clear();
        self.recent.words = Recent::EMPTY;
        Arc::new(values)
    }
}

// Some kernels leave old bytes behind a comm's NUL; they are not part of the text.
fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
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
        let distinct: std::collections::HashSet<_> = (0..values.len()).map(|i| values.value(i)).collect();
        let lossless = rows.iter().all(|row| std::str::from_utf8(until_nul(row)).is_ok());
        assert!(!lossless || distinct.len() == values.len(), "a value stands in the dictionary twice");
        keys.iter().map(|&key| values.value(key.cast_unsigned() as usize).to_owned()).collect()
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
            for _batch in 0..2 {
                prop_assert_eq!(&encode(&mut dictionary, &rows), &expected);
            }
        }
    }
}
