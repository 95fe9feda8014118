//! Maps that are no rings, or of another kind, as the kernel would tell of them.

use std::fs::File;
use std::os::fd::AsFd;

use aya_obj::generated::{bpf_cmd, bpf_map_info};

use super::*;
use crate::sys::{Call, fake};

// What the kernel says of a map, which is no map here: whatever is opened but refused, never gets to its pages.
fn refusal(type_: MapType, map_flags: u32) -> String {
    let answer = move |call: &Call<'_>| {
        let Call::Bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, attr) = call else { panic!("another call") };
        // SAFETY: the caller gave a bpf_map_info to be filled, which lives as long as the call.
        let info = unsafe { &mut *(attr.info.info as *mut bpf_map_info) };
        info.type_ = type_ as u32;
        info.map_flags = map_flags;
        info.max_entries = 4096;
        Ok(0)
    };
    let file = File::open("/dev/null").unwrap();
    fake::with(answer, || Ring::open(file.as_fd()).map(drop).unwrap_err().to_string())
}

#[test]
fn a_ring_that_overwrites_is_refused() {
    let why = refusal(MapType::BPF_MAP_TYPE_RINGBUF, bpf::RINGBUF_OVERWRITE);
    assert!(why.contains("BPF_F_RB_OVERWRITE") && why.contains("without that flag"), "{why}");
    let why = refusal(MapType::BPF_MAP_TYPE_RINGBUF, 0);
    assert!(why.starts_with("cannot map"), "{why}");
}

#[test]
fn another_map_is_refused() {
    let why = refusal(MapType::BPF_MAP_TYPE_HASH, 0);
    assert!(why.contains("is not a ring buffer (its type is 1)"), "{why}");
}
