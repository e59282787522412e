//! Proposals that wait for their answer. They outlive a loss of leadership: what became of a command is known only
//! when an entry is committed at its index.

use crate::ids::{EntryId, Index, Ticket};
use crate::output::Answer;
use alloc::collections::VecDeque;

/// Open proposals in the order of their indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tickets {
    open: VecDeque<(EntryId, Ticket)>,
}

impl Tickets {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// A command was appended for a ticket. After a truncation an older, higher index may still be open.
    pub(crate) fn open(&mut self, id: EntryId, ticket: Ticket) {
        let at = self.open.partition_point(|(other, _)| other.index <= id.index);
        self.open.insert(at, (id, ticket));
    }

    /// Takes the next ticket whose index is at or below `applied`, with the answer: the entry that was committed there
    /// is `committed_at(index)`.
    pub(crate) fn settle(
        &mut self,
        applied: Index,
        committed_at: impl Fn(Index) -> Option<EntryId>,
    ) -> Option<(Ticket, Answer)> {
        let (id, ticket) = self.open.pop_front_if(|(id, _)| id.index <= applied)?;
        let answer = match committed_at(id.index) {
            Some(committed) if committed == id => Answer::Committed(id),
            Some(_) => Answer::Lost,
            None => Answer::Unknown,
        };
        Some((ticket, answer))
    }

    /// Takes any open ticket.
    pub(crate) fn pop(&mut self) -> Option<Ticket> {
        self.open.pop_front().map(|(_, ticket)| ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ticket_has_one_truthful_answer() {
        let mut tickets = Tickets::default();
        tickets.open(EntryId::new(1, 7), Ticket(1));
        tickets.open(EntryId::new(1, 8), Ticket(2));
        tickets.open(EntryId::new(3, 7), Ticket(3));
        let committed = |index: Index| (index.0 > 6).then_some(EntryId { term: crate::Term(3), index });
        assert_eq!(tickets.settle(Index(6), committed), None);
        assert_eq!(tickets.settle(Index(7), committed), Some((Ticket(1), Answer::Lost)));
        assert_eq!(
            tickets.settle(Index(7), committed),
            Some((Ticket(3), Answer::Committed(EntryId::new(3, 7))))
        );
        assert_eq!(tickets.settle(Index(7), committed), None);
        assert_eq!(tickets.settle(Index(8), |_| None), Some((Ticket(2), Answer::Unknown)));
        assert_eq!(tickets.len(), 0);
    }
}
