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
struct Recent([Known; RECENT]);

#[derive(Clone, Copy)]
#[repr(align(32))]
struct Known {
    words: [u64; 2],
    key: i32,
}

const RECENT: usize = 64;

impl Recent {
    // No words are equal to those of an empty slot that they hash to: zeros hash to slot 0, which holds something else.
    const EMPTY: Self = {
        let mut known = [Known { words: [0; 2], key: 0 }; RECENT];
        known[0].words = [1, 0];
        Self(known)
    };

    #[inline(always)]
    fn slot(words: [u64; 2]) -> usize {
        let hash = (words[0] ^ words[1].rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> 58) as usize
    }

    #[inline(always)]
    fn known(&self, words: [u64; 2]) -> (&Known, u64) {
        let known = &self.0[Self::slot(words)];
        (known, (known.words[0] ^ words[0]) | (known.words[1] ^ words[1]))
    }

    // Writes the keys of texts as if all were known, and says whether they are. A function of its own, so that what it needs
    // stays in registers.
    //
    // SAFETY (of the caller): as for Dictionary::encode.
    #[inline(never)]
    unsafe fn encode(&self, count: usize, from: impl Fn(usize) -> *const u8, to: *mut i32) -> bool {
        let mut differ = 0;
        for i in 0..count {
            // SAFETY: promised by the caller.
            let (known, different) = self.known(unsafe { from(i).cast::<[u64; 2]>().read_unaligned() });
            differ |= different;
            // SAFETY: promised by the caller.
            unsafe { to.add(i).write(known.key) };
        }
        differ == 0
    }
}

impl Dictionary {
    pub(super) fn new(size: usize) -> Self {
        Self { size, values: Vec::new(), keys: HashMap::new(), recent: Box::new(Recent::EMPTY) }
    }

    // Writes the key of each text.
    //
    // SAFETY (of the caller): `from` gives addresses that are readable for the dictionary's size, `to` is writable for
    // `count` keys.
    #[inline(always)]
    pub(super) unsafe fn encode(&mut self, count: usize, from: impl Fn(usize) -> *const u8 + Copy, to: *mut i32) {
        if self.size == 16 {
            // SAFETY: promised by the caller.
            if !unsafe { self.recent.encode(count, from, to) } {
                self.learn(count, from, to);
            }
            return;
        }
        for i in 0..count {
            // SAFETY: promised by the caller.
            let key = self.key(until_nul(unsafe { std::slice::from_raw_parts(from(i), self.size) }));
            // SAFETY: promised by the caller.
            unsafe { to.add(i).write(key) };
        }
    }

    // Writes the keys of texts of which some are not known.
    #[cold]
    fn learn(&mut self, count: usize, from: impl Fn(usize) -> *const u8, to: *mut i32) {
        for i in 0..count {
            // SAFETY: promised by the caller.
            let words = unsafe { from(i).cast::<[u64; 2]>().read_unaligned() };
            let (known, different) = self.recent.known(words);
            let key = if different == 0 {
                known.key
            } else {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&words[0].to_ne_bytes());
                bytes[8..].copy_from_slice(&words[1].to_ne_bytes());
                let key = self.key(until_nul(&bytes));
                self.recent.0[Recent::slot(words)] = Known { words, key };
                key
            };
            // SAFETY: promised by the caller.
            unsafe { to.add(i).write(key) };
        }
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
        *self.recent = Recent::EMPTY;
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
        unsafe { dictionary.encode(rows.len(), |i| payloads[i], keys.as_mut_ptr()) };
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
