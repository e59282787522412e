//! Proposals that wait for their answer. They outlive a loss of leadership: what became of a command is known only
//! when an entry is committed at its index.

use crate::ids::{EntryId, Index, Term, Ticket};
use crate::output::Answer;
use alloc::collections::VecDeque;

/// Open proposals in the order of their indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tickets {
    open: VecDeque<(EntryId, Ticket)>,
    /// No open ticket is of a term below this one.
    swept: Term,
}

impl Tickets {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// A command was appended for a ticket. After a truncation an older, higher index may still be open.
    pub(crate) fn open(&mut self, id: EntryId, ticket: Ticket) {
        if self.open.back().is_none_or(|(last, _)| last.index <= id.index) {
            return self.open.push_back((id, ticket));
        }
        let at = self.open.partition_point(|(other, _)| other.index <= id.index);
        self.open.insert(at, (id, ticket));
    }

    /// Takes the next ticket whose fate is decided by what is applied up to `applied`, with the answer. The entry that
    /// was committed at its index decides; and since terms never go down along the log, nothing of an earlier term is
    /// ever committed behind an entry of a later one, even if the log doesn't reach that index yet.
    pub(crate) fn settle(
        &mut self,
        applied: EntryId,
        committed_at: impl Fn(Index) -> Option<EntryId>,
    ) -> Option<(Ticket, Answer)> {
        if let Some((id, ticket)) = self.open.pop_front_if(|(id, _)| id.index <= applied.index) {
            let answer = match committed_at(id.index) {
                Some(committed) if committed == id => Answer::Committed(id),
                Some(_) => Answer::Lost,
                None => Answer::Unknown,
            };
            return Some((ticket, answer));
        }
        if applied.term > self.swept {
            let older = self.open.iter().position(|(id, _)| id.term < applied.term);
            if let Some((_, ticket)) = older.and_then(|at| self.open.remove(at)) {
                return Some((ticket, Answer::Lost));
            }
            self.swept = applied.term;
        }
        None
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
        let committed = |index: Index| (index.0 > 6).then_some(EntryId { term: Term(1), index });
        assert_eq!(tickets.settle(EntryId::new(1, 6), committed), None);
        let committed = |index: Index| (index.0 > 6).then_some(EntryId { term: Term(3), index });
        let at_7 = EntryId::new(3, 7);
        assert_eq!(tickets.settle(at_7, committed), Some((Ticket(1), Answer::Lost)));
        assert_eq!(tickets.settle(at_7, committed), Some((Ticket(3), Answer::Committed(at_7))));
        assert_eq!(tickets.settle(at_7, committed), Some((Ticket(2), Answer::Lost)), "8@1 can't follow 7@3");
        assert_eq!(tickets.settle(at_7, committed), None);
        tickets.open(EntryId::new(3, 8), Ticket(4));
        assert_eq!(tickets.settle(at_7, committed), None);
        assert_eq!(tickets.settle(EntryId::new(3, 8), |_| None), Some((Ticket(4), Answer::Unknown)));
        assert_eq!(tickets.len(), 0);
    }
}
