//! What the kernel wants to know of a map whose values have a lock: where the `struct bpf_spin_lock` is in them.

use super::{HEADER, INT, MAGIC, STRUCT};

const STRINGS: &[u8] = b"\0int\0bpf_spin_lock\0val\0value\0lock\0key\0";
// Where they begin.
const INT_NAME: u32 = 1;
const LOCK_TYPE: u32 = 5;
const VAL: u32 = 19;
const VALUE: u32 = 23;
const LOCK: u32 = 29;
const KEY: u32 = 34;

pub(crate) struct Locked {
    // For BPF_BTF_LOAD.
    pub(crate) types: Vec<u8>,
    pub(crate) key: u32,
    pub(crate) value: u32,
}

impl Locked {
    // All else of key and value the kernel knows by its size (kernel/bpf/btf.c, btf_parse_fields).
    pub(crate) fn new(key_size: u32, value_size: u32, offset: u32) -> Self {
        let one = 1; // how many members
        let words = [
            // 1: int, of 32 bits
            &[INT_NAME, INT << 24, 4, 32][..],
            // 2: struct bpf_spin_lock { int val; }
            &[LOCK_TYPE, STRUCT << 24 | one, 4, VAL, 1, 0],
            // 3: struct value { struct bpf_spin_lock lock; }
            &[VALUE, STRUCT << 24 | one, value_size, LOCK, 2, offset * 8],
            // 4: struct key {}
            &[KEY, STRUCT << 24, key_size],
        ]
        .concat();
        let (types_len, strings_len) = (4 * words.len() as u32, STRINGS.len() as u32);
        let mut types = MAGIC.to_ne_bytes().to_vec();
        types.extend([1, 0]); // version, flags
        for word in [HEADER as u32, 0, types_len, types_len, strings_len].into_iter().chain(words) {
            types.extend(word.to_ne_bytes());
        }
        types.extend(STRINGS);
        // An array's key has to be an int.
        Self { types, key: if key_size == 4 { 1 } else { 4 }, value: 3 }
    }
}
