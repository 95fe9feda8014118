//! One stream of several.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::queue::{Batch, Overflow, Queue};
use super::source::{Input, Source};
use super::state::Phase;
use super::{Policy, Statistics, Stream, whole};
use crate::error::{Error, Result};
use crate::record::plan::Plan;

// Tables and parts are numbered in a byte.
const MOST: usize = 255;

impl Stream {
    // One stream of several: they are over, and what they had gathered comes first.
    pub(crate) fn combine(parts: &[Arc<Self>], policy: Policy) -> Result<Arc<Self>> {
        let mut all: Vec<Arc<Plan>> = Vec::new();
        for part in parts {
            add_plans(&mut all, &part.plans);
            let state = part.lock()?;
            state.check_whole()?;
            if part.policy.decode != policy.decode {
                return Err(Error::Stream(
                    "streams that decode and streams that do not (decode=False) cannot become one".into(),
                ));
            }
            check_times(state.source.as_ref().map_or(&[][..], Source::inputs), &part.plans, &policy)?;
        }
        check_names(&all)?;
        let mut inputs = Vec::new();
        let mut per_cpu = Vec::new();
        let mut maps = Vec::new();
        let mut plans: Vec<Arc<Plan>> = Vec::new();
        let mut gathered = Queue::new(0, Overflow::Block);
        let mut statistics = Statistics::default();
        let mut sources = 0;
        for part in parts {
            let (source, queue, counted) = part.take_apart()?;
            let mut released = source.release()?;
            let renumbered = add_plans(&mut plans, &released.plans);
            for batch in queue.batches.into_iter().chain(released.queue.batches) {
                gathered.batches.push_back(if policy.decode {
                    Batch { table: renumbered[batch.table], ..batch }
                } else {
                    whole::shifted(batch, sources)?
                });
            }
            released.inputs.iter_mut().for_each(|input| input.route.renumber(&renumbered));
            released.per_cpu.iter_mut().for_each(|group| group.way.route.renumber(&renumbered));
            let own = released.inputs.iter().map(|input| input.source).max().map_or(0, |last| last + 1);
            released.inputs.iter_mut().for_each(|input| input.source += sources);
            released.per_cpu.iter_mut().for_each(|group| group.way.source += sources);
            sources += own;
            inputs.extend(released.inputs);
            per_cpu.extend(released.per_cpu);
            statistics.received += released.drained.events;
            statistics.bytes += released.drained.bytes;
            statistics.cuts += released.cuts;
            maps.extend(&part.maps);
            statistics.add(&counted);
        }
        Self::begin(inputs, per_cpu, maps, plans, policy, gathered, statistics)
    }

    // Gives away what the stream reads from, and what it has read.
    fn take_apart(self: &Arc<Self>) -> Result<(Source, Queue, Statistics)> {
        let mut state = self.lock()?;
        state.check_whole()?;
        let wakes = state.wakes();
        let source = state.source.take().ok_or_else(taken)?;
        state.phase = Phase::Closed;
        let queue = std::mem::replace(&mut state.queue, Queue::new(0, Overflow::Block));
        let mut statistics = state.statistics;
        statistics.dropped += queue.dropped;
        self.notify.signal();
        drop(state);
        self.forget(&wakes)?;
        Ok((source, Queue { dropped: 0, ..queue }, statistics))
    }
}

impl Statistics {
    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.delivered += other.delivered;
        self.bytes += other.bytes;
        self.batches += other.batches;
        self.wakeups += other.wakeups;
        self.cuts += other.cuts;
        self.dropped += other.dropped;
    }
}

// What can be read no more.
pub(super) fn taken() -> Error {
    Error::Stream("this stream was stopped or closed, or is a part of another one already".into())
}

// Records of one layout go to one table: where those of each plan go.
pub(crate) fn add_plans(all: &mut Vec<Arc<Plan>>, plans: &[Arc<Plan>]) -> Vec<usize> {
    let mut place = |plan: &Arc<Plan>| {
        all.iter().position(|known| known.is_like(plan)).unwrap_or_else(|| {
            all.push(Arc::clone(plan));
            all.len() - 1
        })
    };
    plans.iter().map(&mut place).collect()
}

// Tables are told apart by their names.
pub(crate) fn check_names(plans: &[Arc<Plan>]) -> Result<()> {
    check_count(plans.len())?;
    let mut names = BTreeSet::new();
    plans.iter().map(|plan| plan.name()).try_for_each(|name| {
        let twice = || Error::Layout(format!("two different types of record are called {name:?}; rename one of them"));
        names.insert(name).then_some(()).ok_or_else(twice)
    })
}

// Types of record, or sources: their numbers are kept in a byte.
pub(crate) fn check_count(count: usize) -> Result<()> {
    if count > MOST {
        return Err(Error::Layout(format!(
            "a stream has at most {MOST} types of record, and as many parts; make several"
        )));
    }
    Ok(())
}

pub(super) fn check_times(inputs: &[Input], plans: &[Arc<Plan>], policy: &Policy) -> Result<()> {
    if policy.look_back.is_some() && !inputs.iter().all(|input| input.tells_times(plans)) {
        return Err(Error::Layout(
            "ordered=True goes by the records' own times; give each a field such as `ts: fb.boottime`".into(),
        ));
    }
    Ok(())
}
