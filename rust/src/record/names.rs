//! Enums to dictionary keys: the names that are known, and the numbers that have none, as decimal text.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};

use super::kind::{Bits, Names as Known};

pub(super) struct Names {
    bits: Bits,
    known: Known,
    // The dictionary of a batch without a number that has no name.
    values: ArrayRef,
    // Key of each number below SMALL, NONE where there is none yet.
    small: Box<[i32; SMALL]>,
    keys: HashMap<u64, i32>,
    unknown: Vec<u64>,
}

const SMALL: usize = 256;
const NONE: i32 = -1;

impl Names {
    pub(super) fn new(bits: Bits, known: Known) -> Self {
        let values = Arc::new(StringArray::from_iter_values(known.iter().map(|(name, _)| name)));
        let mut names =
            Self { bits, known, values, small: Box::new([NONE; SMALL]), keys: HashMap::new(), unknown: Vec::new() };
        names.forget();
        names
    }

    fn forget(&mut self) {
        self.unknown.clear();
        self.keys.clear();
        self.small.fill(NONE);
        for key in (0..self.known.len()).rev() {
            // Of several names of a number the first is taken.
            if let Some(number) = self.bits.holding(self.known[key].1) {
                self.insert(number, key);
            }
        }
    }

    fn insert(&mut self, number: u64, key: usize) -> i32 {
        let key = i32::try_from(key).expect("a batch has fewer rows than i32 has numbers");
        if let Some(small) = self.small.get_mut(number as usize) {
            *small = key;
        }
        self.keys.insert(number, key);
        key
    }

    // Writes the key of each number.
    //
    // SAFETY (of the caller): `from` gives addresses that are readable for the enum's integer, `to` is writable for
    // `count` keys.
    #[inline(always)]
    pub(super) unsafe fn encode(&mut self, count: usize, from: impl Fn(usize) -> *const u8, to: *mut i32) {
        for i in 0..count {
            // SAFETY: promised by the caller.
            let number = unsafe { self.bits.read(from(i)) };
            let key = match self.small.get(usize::try_from(number).unwrap_or(SMALL)) {
                Some(&key) if key != NONE => key,
                _ => self.key(number),
            };
            // SAFETY: promised by the caller.
            unsafe { to.add(i).write(key) };
        }
    }

    #[cold]
    fn key(&mut self, number: u64) -> i32 {
        if let Some(&key) = self.keys.get(&number) {
            return key;
        }
        self.unknown.push(number);
        self.insert(number, self.known.len() + self.unknown.len() - 1)
    }

    // The batch's dictionary; the next batch starts with the names alone.
    pub(super) fn finish(&mut self) -> ArrayRef {
        if self.unknown.is_empty() {
            return Arc::clone(&self.values);
        }
        let known = self.known.iter().map(|(name, _)| name.clone());
        let numbers = self.unknown.iter().map(|&number| self.bits.decimal(number));
        let values = StringArray::from_iter_values(known.chain(numbers));
        self.forget();
        Arc::new(values)
    }
}
