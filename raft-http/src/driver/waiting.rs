//! The clients that wait for an answer of the core, by ticket.

use super::Admitted;
use crate::machine::Reply;
use raft_core::{Answer, Index, Ticket};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use tokio::sync::oneshot;

/// Who waits. Each ticket is answered once; a client that gave up is noticed only by its closed channel.
#[derive(Default)]
pub(crate) struct Waiting {
    last: u64,
    clients: HashMap<Ticket, Client>,
    /// Answers of the current turn, kept until its entries are applied; a write's longer, if the application is being
    /// restored from a snapshot meanwhile.
    answers: Vec<(Client, Answer)>,
    /// Reads that wait until an index is applied: the lowest first.
    reads: BinaryHeap<Reverse<(Index, Ticket)>>,
    applied: Index,
}

enum Client {
    Write {
        answer: oneshot::Sender<Written>,
        /// A proposal's place among those under way.
        _admitted: Admitted,
    },
    /// A read, or a request that is no command.
    Other(oneshot::Sender<Answer>),
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was committed, and the application has decided.
    Applied(Reply),
    /// It was not committed, as far as the core knows.
    Not(Answer),
}

impl Waiting {
    /// Nobody yet; the application begins with this index.
    pub(crate) fn new(applied: Index) -> Waiting {
        Waiting { applied, ..Waiting::default() }
    }

    /// A ticket for a write.
    pub(crate) fn write(&mut self, admitted: Admitted, answer: oneshot::Sender<Written>) -> Ticket {
        self.insert(Client::Write { answer, _admitted: admitted })
    }

    /// A ticket for a read, or for a request that is no command.
    pub(crate) fn read(&mut self, answer: oneshot::Sender<Answer>) -> Ticket {
        self.insert(Client::Other(answer))
    }

    fn insert(&mut self, client: Client) -> Ticket {
        self.last += 1;
        self.clients.insert(Ticket(self.last), client);
        Ticket(self.last)
    }

    /// Takes the core's answer. It reaches the client with [`Waiting::deliver`], a read's only when its index is
    /// applied.
    pub(crate) fn answered(&mut self, ticket: Ticket, answer: Answer) {
        match answer {
            Answer::ReadAt(index) if index > self.applied => self.reads.push(Reverse((index, ticket))),
            Answer::ReadAt(_)
            | Answer::Committed(_)
            | Answer::NotLeader { .. }
            | Answer::Busy(_)
            | Answer::Refused(_)
            | Answer::HandingOver { .. }
            | Answer::Lost
            | Answer::Unknown => {
                let client = self.clients.remove(&ticket).expect("the core answers each ticket once");
                self.answers.push((client, answer));
            }
        }
    }

    /// Ends a turn: tells the clients whose answers are there. `applied`: up to where entries are now, if any were
    /// applied in this turn, and what the application replied to those of clients.
    pub(crate) fn deliver(&mut self, applied: Option<Index>, replies: &[(Index, Reply)]) {
        self.applied = applied.unwrap_or(self.applied);
        while let Some(Reverse((index, ticket))) = self.reads.peek().copied() {
            if index > self.applied {
                break;
            }
            self.reads.pop();
            self.answered(ticket, Answer::ReadAt(index));
        }
        let applied = self.applied;
        let waits = |answer: &Answer| matches!(answer, Answer::Committed(id) if id.index > applied);
        for (client, answer) in self.answers.extract_if(.., |(_, answer)| !waits(answer)) {
            // A client that gave up at its deadline was told so; nobody waits for this.
            match client {
                Client::Other(sender) => drop(sender.send(answer)),
                Client::Write { answer: sender, .. } => drop(sender.send(written(answer, replies))),
            }
        }
    }
}

fn written(answer: Answer, replies: &[(Index, Reply)]) -> Written {
    let Answer::Committed(id) = answer else { return Written::Not(answer) };
    let at = replies.binary_search_by_key(&id.index, |(index, _)| *index);
    let found = at.ok().and_then(|at| replies.get(at));
    let (_, reply) = found.expect("a write is answered in the turn in which it is applied");
    Written::Applied(*reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Admission;
    use crate::machine::Verdict;
    use raft_core::EntryId;

    #[test]
    fn a_read_is_answered_when_its_index_is_applied() {
        let mut waiting = Waiting::default();
        let (early, mut early_answer) = oneshot::channel();
        let (late, mut late_answer) = oneshot::channel();
        let (early, late) = (waiting.read(early), waiting.read(late));
        waiting.answered(late, Answer::ReadAt(Index(7)));
        waiting.answered(early, Answer::ReadAt(Index(3)));
        waiting.deliver(Some(Index(2)), &[]);
        assert!(early_answer.try_recv().is_err());
        waiting.deliver(Some(Index(6)), &[]);
        assert_eq!(early_answer.try_recv(), Ok(Answer::ReadAt(Index(3))));
        assert!(late_answer.try_recv().is_err());
        waiting.deliver(Some(Index(7)), &[]);
        assert_eq!(late_answer.try_recv(), Ok(Answer::ReadAt(Index(7))));
    }

    #[test]
    fn a_write_gives_its_place_back_when_it_is_answered_not_when_the_client_left() {
        let admission = Admission::new(1, 1);
        let mut waiting = Waiting::default();
        let (sender, client) = oneshot::channel();
        let ticket = waiting.write(admission.admit(1).unwrap(), sender);
        drop(client);
        assert!(admission.admit(1).is_none());
        waiting.answered(ticket, Answer::Committed(EntryId::new(1, 1)));
        waiting.deliver(None, &[]);
        assert!(admission.admit(1).is_none(), "it is not applied: the application is being restored");
        let verdict = Verdict::Done { held: true, bits: 0 };
        let reply = Reply { id: EntryId::new(1, 1), replayed: false, verdict };
        waiting.deliver(Some(Index(1)), &[(Index(1), reply)]);
        assert!(admission.admit(1).is_some());
    }
}
