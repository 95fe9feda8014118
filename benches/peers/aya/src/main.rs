//! aya's ring buffer, with what its users write to get columns: RECORDS and the ring's FD on argv.
//!
//! Each line on stdin drains the ring once; the answer is how many records that were, and how many nanoseconds it took.

use std::error::Error;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Instant;

use aya::maps::{Map, MapData, RingBuf};

#[derive(Clone, Copy)]
#[repr(C)]
struct Event {
    ts: u64,
    pid: u32,
    cpu: u32,
    a: u64,
    b: u64,
    comm: [u8; 16],
}

#[derive(Default)]
struct Columns {
    ts: Vec<u64>,
    pid: Vec<u32>,
    cpu: Vec<u32>,
    a: Vec<u64>,
    b: Vec<u64>,
    comm: Vec<[u8; 16]>,
}

impl Columns {
    // Vectors that were written to before, and are empty.
    fn touched(rows: usize) -> Self {
        let mut columns = Self {
            ts: vec![1; rows],
            pid: vec![1; rows],
            cpu: vec![1; rows],
            a: vec![1; rows],
            b: vec![1; rows],
            comm: vec![[1; 16]; rows],
        };
        columns.clear();
        columns
    }

    fn clear(&mut self) {
        self.ts.clear();
        self.pid.clear();
        self.cpu.clear();
        self.a.clear();
        self.b.clear();
        self.comm.clear();
    }

    fn push(&mut self, event: Event) {
        self.ts.push(event.ts);
        self.pid.push(event.pid);
        self.cpu.push(event.cpu);
        self.a.push(event.a);
        self.b.push(event.b);
        self.comm.push(event.comm);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let (rows, fd) = (arguments[1].parse()?, arguments[2].parse()?);
    // SAFETY: the descriptor was passed to this process, and nobody else here has it.
    let map = MapData::from_fd(unsafe { OwnedFd::from_raw_fd(fd) })?;
    let mut ring = RingBuf::try_from(Map::RingBuf(map))?;
    let mut columns = Columns::touched(rows);
    for _ in std::io::stdin().lines() {
        columns.clear();
        let start = Instant::now();
        while let Some(item) = ring.next() {
            assert_eq!(item.len(), size_of::<Event>());
            // SAFETY: so many bytes are there, and any are an event.
            columns.push(unsafe { item.as_ptr().cast::<Event>().read_unaligned() });
        }
        println!("{} {}", columns.ts.len(), start.elapsed().as_nanos());
    }
    Ok(())
}
