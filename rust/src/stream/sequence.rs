//! Gaps in a sequence number that a program counts up for each event, also for those that find no room.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

// Where a record has its number, and the one that tells which sequence it is of, a CPU's for instance.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) number: (usize, usize),
    pub(crate) of: Option<(usize, usize)>,
}

pub(super) struct Sequences {
    pub(super) place: Place,
    by_key: BTreeMap<u64, Sequence>,
}

struct Sequence {
    // The number that comes next when nothing is missing.
    next: u64,
    // Numbers that did not come yet, as half-open ranges by their start.
    missing: BTreeMap<u64, u64>,
    // Numbers that will not come any more.
    lost: u64,
}

// Records come in the order in which they were reserved, which several CPUs make a little different from the order of
// their numbers. So far behind, a number is waited for.
const LATE: u64 = 1 << 12;

impl Sequences {
    pub(super) fn new(place: Place) -> Self {
        Self { place, by_key: BTreeMap::new() }
    }

    pub(super) fn see(&mut self, key: u64, number: u64) {
        let width = self.place.number.1;
        match self.by_key.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Sequence { next: number.wrapping_add(1), missing: BTreeMap::new(), lost: 0 });
            }
            Entry::Occupied(mut entry) => entry.get_mut().see(number, width),
        }
    }

    // Numbers that did not come: those that still may count too when the stream is `over`.
    pub(super) fn lost(&self, over: bool) -> u64 {
        self.by_key.values().map(|sequence| sequence.lost + if over { sequence.waited_for() } else { 0 }).sum()
    }
}

impl Sequence {
    fn waited_for(&self) -> u64 {
        self.missing.iter().map(|(start, end)| end - start).sum()
    }

    fn see(&mut self, number: u64, width: usize) {
        // Numbers of fewer than 64 bits wrap: the one nearest to what is expected is meant.
        let bits = 8 * width as u32;
        let number = if bits < 64 {
            let ahead = (number.wrapping_sub(self.next) << (64 - bits)).cast_signed() >> (64 - bits);
            self.next.wrapping_add_signed(ahead)
        } else {
            number
        };
        let ahead = number.wrapping_sub(self.next).cast_signed();
        if ahead >= 0 {
            if ahead > 0 {
                self.missing.insert(self.next, number);
            }
            self.next = number.wrapping_add(1);
            self.give_up(self.next.saturating_sub(LATE));
        } else if ahead.unsigned_abs() > LATE {
            // The program began anew.
            self.give_up(u64::MAX);
            self.next = number.wrapping_add(1);
        } else if let Some((&start, &end)) = self.missing.range(..=number).next_back()
            && number < end
        {
            self.missing.remove(&start);
            if start < number {
                self.missing.insert(start, number);
            }
            if number + 1 < end {
                self.missing.insert(number + 1, end);
            }
        }
    }

    // Counts what is missing before `number`, and waits for it no longer.
    fn give_up(&mut self, number: u64) {
        while let Some(range) = self.missing.first_entry()
            && *range.get() <= number
        {
            let (start, end) = range.remove_entry();
            self.lost += end - start;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequences(width: usize) -> Sequences {
        Sequences::new(Place { number: (0, width), of: None })
    }

    proptest! {
        // Any numbers left out, the rest a little shuffled.
        #[test]
        fn what_does_not_come_is_lost(gone in prop::collection::btree_set(1_u64..999, 0..300), swaps in prop::collection::vec((0_usize..900, 1_usize..60), 0..200), width in 2_usize..=8, start in any::<u64>()) {
            let width = width.next_power_of_two();
            let mask = if width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
            let start = if width == 8 { start >> 1 } else { start };
            let mut numbers: Vec<u64> = (0..1000).filter(|number| !gone.contains(number)).collect();
            let last = numbers.len() - 1;
            for (at, by) in swaps {
                // The first says where the sequence begins.
                numbers.swap(at.clamp(1, last), (at + by).clamp(1, last));
            }
            let mut sequences = sequences(width);
            let mut before = 0;
            for number in numbers {
                sequences.see(0, start.wrapping_add(number) & mask);
                let now = sequences.lost(false);
                prop_assert!(now >= before);
                before = now;
            }
            prop_assert_eq!(sequences.lost(true), gone.len() as u64);
        }
    }

    #[test]
    fn old_gaps_are_lost_at_once() {
        let mut sequences = sequences(8);
        sequences.see(0, 10);
        sequences.see(0, 15);
        assert_eq!(sequences.lost(false), 0);
        sequences.see(0, 15 + LATE);
        assert_eq!(sequences.lost(false), 4);
        assert_eq!(sequences.lost(true), 4 + LATE - 1);
    }

    #[test]
    fn a_program_that_begins_anew_has_lost_nothing() {
        let mut sequences = sequences(8);
        for number in (1_000_000..1_000_010).chain(0..10) {
            sequences.see(0, number);
        }
        assert_eq!(sequences.lost(true), 0);
    }

    #[test]
    fn each_cpu_has_its_own() {
        let mut sequences = Sequences::new(Place { number: (0, 4), of: Some((8, 4)) });
        for number in [0, 1, 3] {
            sequences.see(0, number);
            sequences.see(1, 2 * number);
        }
        assert_eq!(sequences.lost(true), 1 + 4);
    }
}
