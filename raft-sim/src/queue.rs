//! What is due, in the order of (time, sequence): idle time costs nothing.

use crate::facts::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A queue of events.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    due: BinaryHeap<Reverse<(Time, u64, u32)>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    sequence: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Queue<E> {
        Queue { due: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), sequence: 0 }
    }
}

impl<E> Queue<E> {
    /// Adds an event; among those of the same time it is the last.
    pub fn push(&mut self, at: Time, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            (self.events.len() - 1) as u32
        });
        self.events[slot as usize] = Some(event);
        self.due.push(Reverse((at, self.sequence, slot)));
        self.sequence += 1;
    }

    /// All that waits, in no order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &E> {
        self.events.iter().flatten()
    }

    /// Takes the next event and its time.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        let Reverse((at, _, slot)) = self.due.pop()?;
        self.free.push(slot);
        self.events[slot as usize].take().map(|event| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_and_then_by_arrival() {
        let mut queue = Queue::default();
        for (at, event) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(at, event);
        }
        assert_eq!(queue.pop(), Some((3, 'a')));
        queue.push(5, 'e');
        let rest: Vec<char> = std::iter::from_fn(|| queue.pop().map(|(_, event)| event)).collect();
        assert_eq!(rest, ['b', 'c', 'd', 'e']);
    }
}
