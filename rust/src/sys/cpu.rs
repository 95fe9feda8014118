//! The CPUs of this machine, by the numbers that the kernel gives them.

use std::{fs, io};

// Those that are running; their numbers may have holes, and they come and go.
pub(crate) fn online() -> io::Result<Vec<u32>> {
    parse(&fs::read_to_string("/sys/devices/system/cpu/online")?)
        .ok_or_else(|| io::Error::other("/sys/devices/system/cpu/online is not a list of CPUs"))
}

// The kernel's cpulist: "0,2-5".
fn parse(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse().ok()?..=last.parse::<u32>().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_holes() {
        assert_eq!(parse("0\n"), Some(vec![0]));
        assert_eq!(parse("0,2-5,9-10\n"), Some(vec![0, 2, 3, 4, 5, 9, 10]));
        assert_eq!(parse("two"), None);
    }

    // What the C library counts on its own.
    #[test]
    fn those_online_are_counted_by_others_too() {
        let online = online().expect("a list");
        // SAFETY: sysconf only looks its number up.
        let counted = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
        assert_eq!(online.len(), usize::try_from(counted).expect("a count"));
    }
}
