//! What a server with lost commands makes of copies, snapshots and appends that cross each other.

use crate::cluster::{config, disk_of, with_log};
use raft_core::{
    Ballot, Base, Body, Boot, Config, ConfigError, Entry, EntryId, Index, Input, LogSlice, Message, Node,
    NodeId, Output, Payload, Report, RoleName, Round, Snapshot, Stamp, Store, Term,
};

/// Server 1 of three and its disk, on a log 2 to `last` of term 1 of which some commands are lost.
struct Server {
    node: Node,
    stores: Vec<Store>,
    sent: Vec<(NodeId, Message)>,
    halted: Option<Report>,
}

fn entry(index: u64) -> Entry {
    Entry::new(EntryId::new(1, index), Payload::Command(format!("c{index}").into()))
}

fn append(prev: u64, last: u64, commit: u64) -> Body {
    let slice = LogSlice::new(EntryId::new(1, prev), (prev + 1..=last).map(entry).collect());
    Body::Append { slice: slice.unwrap(), commit: Index(commit) }
}

impl Server {
    fn that_lost(last: u64, lost: &[u64]) -> Server {
        let mut recovered = with_log(3, &vec![1; last as usize], 1, None);
        for entry in recovered.entries.iter_mut().filter(|entry| lost.contains(&entry.index().0)) {
            *entry = Entry::decayed(entry.id(), entry.hash(), entry.size() as u32);
        }
        let node = Node::new(config(1, 3), recovered).unwrap();
        let mut server = Server { node, stores: vec![], sent: vec![], halted: None };
        server.take(None);
        server
    }

    /// One input, and the receipts for all that is written.
    fn take(&mut self, input: Option<Input>) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut turn = self.node.turn();
            input.into_iter().for_each(|input| turn.input(input));
            for output in turn.drain() {
                match output {
                    Output::Persist(write) => inputs.insert(0, Some(Input::Persisted(write.persisted()))),
                    Output::Store(store) => self.stores.push(store),
                    Output::Send { to, message } => self.sent.push((to, message)),
                    Output::Halt(report) => self.halted = Some(report),
                    _ => {}
                }
            }
        }
    }

    fn tick(&mut self) {
        self.take(Some(Input::Tick { elapsed: 1 }));
    }

    fn hear(&mut self, from: u64, term: u64, body: Body) {
        let to = body.is_reply().then_some(self.node.stamp());
        let from_stamp = Stamp { disk: disk_of(from), boot: Boot(1) };
        let message = Message { from: from_stamp, to, term: Term(term), body };
        self.take(Some(Input::Receive { from: NodeId(from), message }));
    }

    /// What waits for the disk of snapshots is stored, but for those that turn out to be damaged.
    fn store(&mut self, damaged: impl Fn(&Snapshot) -> bool) {
        for store in std::mem::take(&mut self.stores) {
            let end = store.offset() + store.data().len() as u64;
            let have = if damaged(store.snapshot()) { 0 } else { end };
            self.take(Some(Input::Stored(store.stored(have))));
        }
    }

    fn snapshot(&self, index: u64) -> Snapshot {
        Snapshot { base: self.node.log().base_at(Index(index)).unwrap(), size: 4, digest: index }
    }

    /// All of it in one part.
    fn piece(&self, index: u64) -> Body {
        Body::Piece { snapshot: self.snapshot(index), offset: 0, data: "abcd".into() }
    }

    /// Who was asked since it was looked last.
    fn asked(&mut self) -> Vec<NodeId> {
        let sent = std::mem::take(&mut self.sent);
        sent.into_iter().filter(|(_, it)| matches!(it.body, Body::Lacks { .. })).map(|(to, _)| to).collect()
    }

    fn acknowledged(&self) -> Option<Index> {
        let acked = |message: &Message| match message.body {
            Body::Appended { matched } => Some(matched),
            _ => None,
        };
        self.sent.iter().filter_map(|(_, message)| acked(message)).max()
    }
}

/// A later command comes back before an earlier one, which a snapshot covers: then the later one has to be written, though
/// nothing is lacking any more. Unwritten it would never be durable, and a leader with it would never apply it.
#[test]
fn what_came_back_behind_a_snapshot_is_written() {
    let mut server = Server::that_lost(12, &[5, 9]);
    server.hear(2, 1, append(8, 12, 8));
    server.hear(3, 1, server.piece(6));
    server.store(|_| false);
    let status = server.node.status();
    assert_eq!((status.decayed, status.base.index, status.durable), (0, Index(6), Index(12)));
    while server.node.status().role == RoleName::Follower {
        server.tick();
    }
    let term = server.node.status().term.0 + 1;
    server.hear(3, term, Body::PreVoteReply { answer: Ballot::Granted });
    server.hear(3, term, Body::VoteReply { answer: Ballot::Granted });
    server.hear(3, term, Body::Appended { matched: Index(13) });
    let status = server.node.status();
    assert_eq!((status.role, status.commit, status.applied), (RoleName::Leader, Index(13), Index(13)));
}

/// A leader's snapshot that the log holds is acknowledged as far as the disk has it.
#[test]
fn a_known_snapshot_over_unwritten_copies_is_acknowledged_in_part() {
    let mut server = Server::that_lost(16, &[9, 15]);
    server.hear(2, 1, append(8, 12, 8));
    assert_eq!(server.acknowledged(), None);
    server.hear(2, 1, Body::Chunk { snapshot: server.snapshot(12), offset: 0, data: "ab".into() });
    assert_eq!((server.node.status().durable, server.acknowledged()), (Index(8), Some(Index(8))));
}

/// A transfer that its leader has given up, though it leads again, keeps nobody else's pieces out.
#[test]
fn a_transfer_that_does_not_go_on_gives_way() {
    let mut server = Server::that_lost(12, &[5]);
    server.hear(2, 1, Body::Chunk { snapshot: server.snapshot(6), offset: 0, data: "ab".into() });
    server.store(|_| false);
    for round in 1..100 {
        server.tick();
        server.hear(2, 2, Body::Heartbeat { commit: Index(0), round: Round(round) });
        server.hear(2, 2, append(12, 12, 8));
        for donor in server.asked() {
            server.hear(donor.0, 2, server.piece(8));
            server.store(|_| false);
        }
    }
    assert_eq!(server.node.status().decayed, 0);
}

/// Of two donors one has a damaged snapshot: the other one's is taken.
#[test]
fn a_damaged_snapshot_does_not_keep_out_a_good_one() {
    let mut server = Server::that_lost(12, &[5]);
    for _ in 0..100 {
        server.tick();
        for donor in server.asked() {
            let damaged = donor == NodeId(2);
            if server.node.status().decayed > 0 {
                server.hear(donor.0, 1, server.piece(if damaged { 8 } else { 7 }));
                server.store(|snapshot| snapshot.digest == 8);
            }
        }
    }
    let status = server.node.status();
    assert_eq!((status.decayed, status.base.index), (0, Index(7)));
}

/// Each part is asked for once: a repeated piece starts no second chain of questions.
#[test]
fn a_repeated_piece_is_no_new_question() {
    let mut server = Server::that_lost(12, &[5]);
    let part = || Body::Piece { snapshot: server.snapshot(8), offset: 0, data: "ab".into() };
    let part = part();
    server.hear(3, 1, part.clone());
    server.store(|_| false);
    assert_eq!(server.asked(), [NodeId(3)]);
    server.hear(3, 1, part);
    server.store(|_| false);
    assert_eq!(server.asked(), []);
}

/// A snapshot that ends with an entry of this log on another past: two truths of one cluster, and nothing is thrown away.
#[test]
fn a_snapshot_of_another_past_halts() {
    let mut server = Server::that_lost(12, &[9]);
    let Snapshot { base, size, digest } = server.snapshot(10);
    let snapshot = Snapshot { base: Base { hash: base.hash ^ 1, ..base }, size, digest };
    server.hear(3, 1, Body::Piece { snapshot, offset: 0, data: "abcd".into() });
    server.store(|_| false);
    assert_eq!(server.halted, Some(Report::SameIdOtherEntry { id: EntryId::new(1, 10) }));
    assert_eq!(server.node.status().last.index, Index(12));
}

/// Who has been away while all members that it knows were replaced hears a leader that is none of them, and asks it, too.
#[test]
fn the_leader_is_asked_whoever_it_is() {
    let mut server = Server::that_lost(12, &[9]);
    server.hear(7, 2, Body::Heartbeat { commit: Index(0), round: Round(1) });
    server.asked();
    server.tick();
    assert_eq!(server.asked(), [2, 3, 7].map(NodeId));
    let slice = LogSlice::new(EntryId::new(1, 8), vec![entry(9), entry(10)]).unwrap();
    server.hear(7, 2, Body::Copies { slice });
    assert_eq!(server.node.status().decayed, 0);
}

/// A server that was removed and stands alone, ever again, gives what it has, and its term moves nobody who hears a leader. Without
/// one the term comes with the snapshot: a leader of an earlier one, who knows nothing of what it covers, is heard no more.
#[test]
fn the_term_of_who_gives_a_snapshot_is_taken_with_it() {
    let mut server = Server::that_lost(12, &[5]);
    server.hear(2, 1, Body::Heartbeat { commit: Index(0), round: Round(1) });
    server.hear(9, 50, server.piece(8));
    server.store(|_| false);
    let status = server.node.status();
    assert_eq!((status.term, status.leader, status.decayed), (Term(1), Some(NodeId(2)), 1));
    while server.node.status().leader.is_some() {
        server.tick();
    }
    (0..30).for_each(|_| server.tick());
    server.hear(9, 50, server.piece(8));
    assert!(server.stores.is_empty(), "the term was not durable when it came");
    server.hear(9, 50, server.piece(8));
    server.store(|_| false);
    assert_eq!((server.node.status().term, server.node.status().decayed), (Term(50), 0));
    server.hear(2, 49, append(12, 13, 8));
    assert_eq!(server.node.status().last.index, Index(12), "a leader of an earlier term");
}

/// A sole member whose disk has lost commands is told so; a newcomer that knows of nobody, or of a founder alone, has the beginning
/// of a log that others have: it starts, and asks the leader that it hears.
#[test]
fn only_who_is_alone_for_certain_refuses_to_start() {
    let lost = |founded: bool| {
        let mut recovered = with_log(1, &[1; 6], 1, None);
        if !founded {
            recovered.base = None;
            recovered.snapshot = None;
            recovered.entries.insert(0, Entry::new(EntryId::new(1, 1), Payload::Noop));
        }
        let last = recovered.entries.last_mut().unwrap();
        *last = Entry::decayed(last.id(), last.hash(), last.size() as u32);
        recovered
    };
    let config = |disk| Config::new(NodeId(1), disk, None, 1);
    assert_eq!(Node::new(config(disk_of(1)), lost(true)).err(), Some(ConfigError::DecayedAlone));
    for founded in [true, false] {
        let node = Node::new(config(disk_of(7)), lost(founded)).unwrap();
        let mut server = Server { node, stores: vec![], sent: vec![], halted: None };
        server.take(None);
        server.hear(2, 1, Body::Heartbeat { commit: Index(0), round: Round(1) });
        server.asked();
        server.tick();
        server.tick();
        assert_eq!(server.asked(), [NodeId(2)], "founded: {founded}");
    }
}
