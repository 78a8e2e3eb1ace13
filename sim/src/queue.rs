//! What will happen, in order of virtual time.
//!
//! One queue holds every delivery, timer and scheduled action of a run. Two occurrences at the same nanosecond
//! happen in the order in which they were scheduled, so the order never depends on the heap's insides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::{Context, Poll, Waker};

use crate::network::{Packet, Segment};
use crate::time::Instant;
use crate::world::World;

/// Something that happens at a moment of virtual time.
pub(crate) enum Occurrence {
    /// A timer is due. The generation tells a timer from the one that had its slot before.
    Timer(TimerId),
    /// A datagram arrives.
    Packet(Box<dyn Packet>),
    /// Something arrives over a connection.
    Segment(Segment),
    /// A fault begins or ends, or another rare thing happens.
    Action(Box<dyn FnOnce(&World)>),
}

/// When and where: the time, below that the number in the order of scheduling, and below that the slot of what happens.
/// One integer is compared in one go, and little is moved about in the heap.
type Entry = Reverse<u128>;

const SLOT_BITS: u32 = 24;
const NUMBER_BITS: u32 = 64 - SLOT_BITS;

fn at(Reverse(entry): &Entry) -> Instant {
    Instant::from_nanos((entry >> 64) as u64)
}

fn slot(Reverse(entry): &Entry) -> usize {
    (entry & ((1 << SLOT_BITS) - 1)) as usize
}

/// All that will happen.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    number: u64,
    /// What happens, each until it is taken.
    occurrences: Vec<Option<Occurrence>>,
    vacant: Vec<u32>,
    timers: Timers,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Instant, occurrence: Occurrence) {
        let slot = match self.vacant.pop() {
            Some(slot) => {
                self.occurrences[slot as usize] = Some(occurrence);
                slot
            }
            None => {
                self.occurrences.push(Some(occurrence));
                assert!(self.occurrences.len() <= 1 << SLOT_BITS, "too much is to happen");
                (self.occurrences.len() - 1) as u32
            }
        };
        self.number += 1;
        debug_assert!(self.number < 1 << NUMBER_BITS);
        let place = self.number << SLOT_BITS | u64::from(slot);
        self.heap.push(Reverse(u128::from(at.as_nanos()) << 64 | u128::from(place)));
    }

    /// Takes the next occurrence, unless it lies beyond `end`. Cancelled timers are passed over.
    pub(crate) fn pop(&mut self, end: Instant) -> Option<(Instant, Occurrence)> {
        loop {
            let at = at(self.heap.peek()?);
            if at > end {
                return None;
            }
            let slot = slot(&self.heap.pop()?);
            self.vacant.push(slot as u32);
            let occurrence = self.occurrences[slot].take()?;
            if let Occurrence::Timer(id) = &occurrence
                && !self.timers.is_pending(*id)
            {
                self.timers.cancelled -= 1;
                continue;
            }
            return Some((at, occurrence));
        }
    }

    /// Empties the queue. What was in it is returned, since dropping it may call back into the queue.
    pub(crate) fn clear(&mut self) -> impl Sized + use<> {
        self.heap.clear();
        self.vacant.clear();
        std::mem::take(&mut self.occurrences)
    }

    pub(crate) fn start_timer(&mut self, at: Instant) -> TimerId {
        let id = self.timers.occupy();
        self.push(at, Occurrence::Timer(id));
        id
    }

    /// Ends a timer, due or not. A cancelled one leaves its entry in the heap until its time comes; when most
    /// entries are such, they are swept out together, so that abandoned deadlines cost memory only for a while.
    pub(crate) fn end_timer(&mut self, id: TimerId) {
        if self.timers.vacate(id) {
            self.timers.cancelled += 1;
            if self.timers.cancelled > 64 && self.timers.cancelled * 2 > self.heap.len() {
                let Self { heap, occurrences, vacant, timers, .. } = self;
                heap.retain(|entry| {
                    let slot = slot(entry);
                    let is_kept = match &occurrences[slot] {
                        Some(Occurrence::Timer(id)) => timers.is_pending(*id),
                        _ => true,
                    };
                    if !is_kept {
                        occurrences[slot] = None;
                        vacant.push(slot as u32);
                    }
                    is_kept
                });
                timers.cancelled = 0;
            }
        }
    }

    /// Marks a timer as due and returns whom to wake.
    pub(crate) fn fire(&mut self, id: TimerId) -> Option<Waker> {
        self.timers.fire(id)
    }

    pub(crate) fn poll_timer(&mut self, id: TimerId, context: &mut Context<'_>) -> Poll<()> {
        self.timers.poll(id, context)
    }
}

/// A slot, and which of the timers that had it is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerId {
    slot: u32,
    generation: u32,
}

#[derive(Default)]
struct Timers {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// Entries of the heap whose timer was ended before its time.
    cancelled: usize,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    due: bool,
    waker: Option<Waker>,
}

impl Timers {
    fn occupy(&mut self) -> TimerId {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer than four billion timers at once")
        });
        TimerId { slot, generation: self.slots[slot as usize].generation }
    }

    fn is_pending(&self, id: TimerId) -> bool {
        let slot = &self.slots[id.slot as usize];
        slot.generation == id.generation && !slot.due
    }

    /// Frees the slot; true when the timer's entry is still in the heap.
    fn vacate(&mut self, id: TimerId) -> bool {
        let slot = &mut self.slots[id.slot as usize];
        debug_assert_eq!(slot.generation, id.generation, "a timer ends once");
        let pending = !slot.due;
        *slot = Slot { generation: slot.generation.wrapping_add(1), ..Slot::default() };
        self.vacant.push(id.slot);
        pending
    }

    fn fire(&mut self, id: TimerId) -> Option<Waker> {
        let slot = &mut self.slots[id.slot as usize];
        slot.due = true;
        slot.waker.take()
    }

    fn poll(&mut self, id: TimerId, context: &mut Context<'_>) -> Poll<()> {
        let slot = &mut self.slots[id.slot as usize];
        if slot.due {
            return Poll::Ready(());
        }
        keep_waker(&mut slot.waker, context);
        Poll::Pending
    }
}

/// Remembers whom to wake, without a clone when it is the one already remembered.
pub(crate) fn keep_waker(kept: &mut Option<Waker>, context: &mut Context<'_>) {
    match kept {
        Some(waker) => waker.clone_from(context.waker()),
        None => *kept = Some(context.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn action() -> Occurrence {
        Occurrence::Action(Box::new(|_| {}))
    }

    #[test]
    fn occurrences_come_in_order_of_time_and_then_of_scheduling() {
        let mut queue = Queue::default();
        let late = queue.start_timer(at(2));
        queue.push(at(1), action());
        let later = queue.start_timer(at(2));
        assert!(matches!(queue.pop(at(9)), Some((_, Occurrence::Action(_)))));
        assert!(matches!(queue.pop(at(9)), Some((_, Occurrence::Timer(id))) if id == late));
        assert!(matches!(queue.pop(at(9)), Some((_, Occurrence::Timer(id))) if id == later));
        assert!(queue.pop(at(9)).is_none());
    }

    #[test]
    fn nothing_is_taken_beyond_the_end() {
        let mut queue = Queue::default();
        queue.push(at(5), action());
        assert!(queue.pop(at(4)).is_none());
        assert!(queue.pop(at(5)).is_some());
    }

    #[test]
    fn a_cancelled_timer_never_fires_even_when_its_slot_is_used_again() {
        let mut queue = Queue::default();
        let cancelled = queue.start_timer(at(1));
        queue.end_timer(cancelled);
        let next = queue.start_timer(at(2));
        assert_eq!(cancelled.slot, next.slot);
        assert!(
            matches!(queue.pop(at(9)), Some((time, Occurrence::Timer(id))) if id == next && time == at(2))
        );
    }

    #[test]
    fn abandoned_deadlines_do_not_fill_the_queue() {
        let mut queue = Queue::default();
        let kept = queue.start_timer(at(1_000_000));
        for i in 0..10_000 {
            let id = queue.start_timer(at(500_000 + i));
            queue.end_timer(id);
        }
        assert!(queue.heap.len() < 200, "{} entries for one timer", queue.heap.len());
        assert!(matches!(queue.pop(at(2_000_000)), Some((_, Occurrence::Timer(id))) if id == kept));
    }
}
