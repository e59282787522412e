//! Messages for the tests of the codec: one of each kind, and arbitrary ones.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use raft_core::{
    Acquaintance, Ballot, Base, Body, Boot, DiskId, Entry, EntryId, Index, LogSlice, Member, Membership,
    Message, NodeId, Payload, Round, Snapshot, Stamp, Standing, Term,
};

/// One message of each kind with all that it may carry, as in `fixtures/frames-v1.bin`. Never changed.
pub(crate) fn samples() -> Vec<(&'static str, Message)> {
    let (from, asker) = (stamp_of(0x0123_4567_89ab_cdef, 3), stamp_of(0xfedc_ba98_7654_3210, 258));
    let request = |body| Message { from, to: None, term: Term(7), body };
    let reply = |body| Message { from, to: Some(asker), term: Term(7), body };
    let last = EntryId::new(6, 0x0102_0304_0506_0708);
    let on_record =
        Membership::founders([1, 2].map(NodeId)).unwrap().with_disks(|id| Some(DiskId(id.0 << 40)));
    let empty = LogSlice::new(EntryId::new(5, 100), vec![]).unwrap();
    vec![
        ("Hello", request(Body::Hello)),
        ("HelloReply, founding", reply(Body::HelloReply(Acquaintance::Founding))),
        ("HelloReply, on record", reply(Body::HelloReply(Acquaintance::OnRecord(on_record)))),
        ("HelloReply, stranger", reply(Body::HelloReply(Acquaintance::Stranger))),
        ("Vote, for a transfer", request(Body::Vote { last, transfer: true, recorded: false })),
        ("Vote", request(Body::Vote { last, transfer: false, recorded: false })),
        ("VoteReply, granted", reply(Body::VoteReply { answer: Ballot::Granted })),
        ("VoteReply, refused", reply(Body::VoteReply { answer: Ballot::Refused })),
        ("PreVote", request(Body::PreVote { last, recorded: false })),
        ("PreVoteReply, granted", reply(Body::PreVoteReply { answer: Ballot::Granted })),
        ("PreVoteReply, refused", reply(Body::PreVoteReply { answer: Ballot::Refused })),
        ("Append, empty", request(Body::Append { slice: empty, commit: Index(99) })),
        ("Append of each kind of entry", request(Body::Append { slice: entries(), commit: Index(101) })),
        ("Appended", reply(Body::Appended { matched: Index(104) })),
        ("Conflict", reply(Body::Conflict { asked: EntryId::new(5, 100), hint: EntryId::new(4, 77) })),
        ("Heartbeat", request(Body::Heartbeat { commit: Index(99), round: Round(12) })),
        ("HeartbeatReply", reply(Body::HeartbeatReply { round: Round(12) })),
        ("TimeoutNow", request(Body::TimeoutNow)),
        ("Stale", reply(Body::Stale)),
    ]
}

/// One message of each kind that came with snapshots and changes of members, as in `fixtures/frames-v1-more.bin`, and a
/// configuration with what came with them. Never changed.
pub(crate) fn more_samples() -> Vec<(&'static str, Message)> {
    let (from, asker) = (stamp_of(0x0123_4567_89ab_cdef, 3), stamp_of(0xfedc_ba98_7654_3210, 258));
    let request = |body| Message { from, to: None, term: Term(7), body };
    let reply = |body| Message { from, to: Some(asker), term: Term(7), body };
    let last = EntryId::new(6, 0x0102_0304_0506_0708);
    let founders = Membership::founders([1, 2, 3].map(NodeId)).unwrap();
    let mut members = founders.with_disks(|id| Some(DiskId(id.0 << 40))).members().to_vec();
    (members[1].disk, members[1].replaced, members[1].standing) = (None, members[1].disk, Standing::Demoting);
    members.push(Member::new(NodeId(4), Standing::Entrant, Bytes::from_static(b"localhost:8004")));
    let membership = Membership::new(members).unwrap();
    let base = Base { id: last, hash: 0xa5a5_0000_5a5a_ffff, membership: membership.clone() };
    let snapshot = Snapshot { base, size: 5000, digest: 0x1122_3344_5566_7788 };
    let chunk = |offset, data: Bytes| Body::Chunk { snapshot: snapshot.clone(), offset, data };
    let empty =
        Snapshot { base: Base { id: EntryId::ORIGIN, hash: 0, membership: founders }, size: 0, digest: 0 };
    let slice = LogSlice::new(
        last,
        vec![Entry::new(
            EntryId { term: last.term, index: last.index.next() },
            Payload::Membership(membership),
        )],
    );
    vec![
        ("Chunk, which only asks", request(chunk(0, Bytes::new()))),
        ("Chunk", request(chunk(100, Bytes::from_static(b"some of the state")))),
        (
            "Chunk, the last and a large one",
            request(chunk(3800, (0..1200_u32).map(|at| (at % 251) as u8).collect())),
        ),
        ("Chunk of nothing", request(Body::Chunk { snapshot: empty, offset: 0, data: Bytes::new() })),
        ("ChunkReply", reply(Body::ChunkReply { last, have: 4096 })),
        ("ReadIndex", request(Body::ReadIndex { batch: Round(12) })),
        ("ReadIndexReply", reply(Body::ReadIndexReply { batch: Round(12), index: Index(99) })),
        ("Removed", reply(Body::Removed { at: Index(99) })),
        (
            "Append of a configuration in which a disk is replaced",
            request(Body::Append { slice: slice.unwrap(), commit: last.index }),
        ),
        ("HelloReply, taken in", reply(Body::HelloReply(Acquaintance::TakenIn))),
        ("RolledBack", reply(Body::RolledBack { seen: Boot(7) })),
    ]
}

/// The messages that came with the repair of decayed logs, as in `fixtures/frames-v1-repair.bin`. Never changed.
pub(crate) fn repair_samples() -> Vec<(&'static str, Message)> {
    let (from, asker) = (stamp_of(0x0123_4567_89ab_cdef, 3), stamp_of(0xfedc_ba98_7654_3210, 258));
    let first = EntryId::new(5, 101);
    let last = EntryId::new(6, 0x0102_0304_0506_0708);
    let base = Base { id: last, hash: 9, membership: Membership::founders([1, 2].map(NodeId)).unwrap() };
    let snapshot = Snapshot { base, size: 5000, digest: 0x1122_3344_5566_7788 };
    let piece = Body::Piece { snapshot, offset: 100, data: Bytes::from_static(b"some of the state") };
    let reply = |body| Message { from, to: Some(asker), term: Term(7), body };
    vec![
        ("Lacks", Message { from, to: None, term: Term(7), body: Body::Lacks { first, last, have: 100 } }),
        ("Copies of each kind of entry", reply(Body::Copies { slice: entries() })),
        ("Piece", reply(piece)),
        ("VoteReply, blind", reply(Body::VoteReply { answer: Ballot::Blind })),
        ("PreVoteReply, blind", reply(Body::PreVoteReply { answer: Ballot::Blind })),
    ]
}

fn stamp_of(disk: u64, boot: u64) -> Stamp {
    Stamp { disk: DiskId(disk), boot: Boot(boot) }
}

/// Entries 101 to 105: nothing, a configuration, an empty, a large and a small command.
fn entries() -> LogSlice {
    let standings =
        [Standing::Voter, Standing::Learner, Standing::Joining, Standing::Leaving, Standing::Demoting];
    let member = |(id, standing)| Member {
        disk: (id != 2).then_some(DiskId(id * 1000)),
        ..Member::new(NodeId(id), standing, Bytes::from(format!("localhost:800{id}")))
    };
    let membership = Membership::new((0..).zip(standings).map(member).collect()).unwrap();
    let payloads = [
        (5, Payload::Noop),
        (5, Payload::Membership(membership)),
        (6, Payload::Command(Bytes::new())),
        (7, Payload::Command((0..1200_u32).map(|at| (at % 251) as u8).collect())),
        (7, Payload::Command(Bytes::from_static(b"in search of an understandable consensus algorithm"))),
    ];
    let entry = |(index, (term, payload))| Entry::new(EntryId::new(term, index), payload);
    LogSlice::new(EntryId::new(5, 100), (101..).zip(payloads).map(entry).collect()).unwrap()
}

/// Small numbers as often as the largest ones.
fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0..9_u64, Just(u64::MAX), any::<u64>()]
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (number(), number()).prop_map(|(disk, boot)| stamp_of(disk, boot))
}

fn id() -> impl Strategy<Value = EntryId> {
    (number(), number()).prop_map(|(term, index)| EntryId::new(term, index))
}

fn index() -> impl Strategy<Value = Index> {
    number().prop_map(Index)
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn membership() -> impl Strategy<Value = Membership> {
    let standing = prop_oneof![
        Just(Standing::Voter),
        Just(Standing::Learner),
        Just(Standing::Entrant),
        Just(Standing::Joining),
        Just(Standing::Leaving),
        Just(Standing::Demoting),
    ];
    let member = (number(), option::of(number().prop_map(DiskId)), any::<bool>(), standing, bytes(20));
    vec(member, 0..7).prop_map(|drawn| {
        let first = Member::new(NodeId(u64::MAX - 1), Standing::Voter, Bytes::new());
        let mut members = vec![first];
        for (id, disk, given_up, standing, context) in drawn {
            if members.iter().all(|member| member.id.0 != id) {
                let (disk, replaced) = if given_up { (None, disk) } else { (disk, None) };
                members.push(Member { disk, replaced, ..Member::new(NodeId(id), standing, context) });
            }
        }
        Membership::new(members).expect("ids differ and one is a voter")
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Noop),
        bytes(40).prop_map(Payload::Command),
        bytes(3000).prop_map(Payload::Command),
        membership().prop_map(Payload::Membership),
    ]
}

/// A slice and a term of which it may be sent: each entry's term is the one before it, or a little later.
fn slice() -> impl Strategy<Value = (LogSlice, Term)> {
    let prev = prop_oneof![
        Just(EntryId::ORIGIN),
        (1..u64::MAX / 2, 1..u64::MAX / 2).prop_map(|(term, index)| EntryId::new(term, index))
    ];
    (prev, vec((0..3_u64, payload()), 0..8), 0..3_u64).prop_map(|(prev, drawn, later)| {
        let mut last = prev;
        let mut entries = Vec::new();
        for (later, payload) in drawn {
            last = EntryId::new((last.term.0 + later).max(1), last.index.0 + 1);
            entries.push(Entry::new(last, payload));
        }
        let slice = LogSlice::new(prev, entries).expect("indexes follow each other, terms don't go down");
        (slice, Term(last.term.0 + later))
    })
}

/// A part of a snapshot, and a term of which it may be sent.
fn chunk() -> impl Strategy<Value = (Body, Term)> {
    let id = prop_oneof![
        Just(EntryId::ORIGIN),
        (1..u64::MAX / 2, 1..=u64::MAX).prop_map(|(term, index)| EntryId::new(term, index))
    ];
    let place = (0..u64::MAX / 2, number().prop_map(|more| more / 2), 0..3_u64);
    (id, number(), membership(), number(), place, bytes(3000)).prop_map(
        |(id, hash, membership, digest, (offset, more, later), data)| {
            let size = (offset + data.len() as u64).saturating_add(more);
            let snapshot = Snapshot { base: Base { id, hash, membership }, size, digest };
            (Body::Chunk { snapshot, offset, data }, Term(id.term.0 + later))
        },
    )
}

fn answer() -> impl Strategy<Value = Ballot> {
    prop_oneof![Just(Ballot::Refused), Just(Ballot::Granted), Just(Ballot::Blind)]
}

fn body() -> impl Strategy<Value = (Body, Option<Term>)> {
    let acquaintance = prop_oneof![
        Just(Acquaintance::Founding),
        membership().prop_map(Acquaintance::OnRecord),
        Just(Acquaintance::Stranger),
        Just(Acquaintance::TakenIn)
    ];
    let round = || number().prop_map(Round);
    let plain = prop_oneof![
        Just(Body::Hello),
        acquaintance.prop_map(Body::HelloReply),
        id().prop_map(|last| Body::PreVote { last, recorded: false }),
        answer().prop_map(|answer| Body::PreVoteReply { answer }),
        (id(), any::<bool>()).prop_map(|(last, transfer)| Body::Vote { last, transfer, recorded: false }),
        answer().prop_map(|answer| Body::VoteReply { answer }),
        index().prop_map(|matched| Body::Appended { matched }),
        (id(), id()).prop_map(|(asked, hint)| Body::Conflict { asked, hint }),
        (index(), round()).prop_map(|(commit, round)| Body::Heartbeat { commit, round }),
        round().prop_map(|round| Body::HeartbeatReply { round }),
        (id(), number()).prop_map(|(last, have)| Body::ChunkReply { last, have }),
        round().prop_map(|batch| Body::ReadIndex { batch }),
        (round(), index()).prop_map(|(batch, index)| Body::ReadIndexReply { batch, index }),
        index().prop_map(|at| Body::Removed { at }),
        number().prop_map(|boot| Body::RolledBack { seen: Boot(boot) }),
        (id(), id(), number()).prop_map(|(first, last, have)| Body::Lacks { first, last, have }),
        Just(Body::TimeoutNow),
        Just(Body::Stale),
    ];
    prop_oneof![
        3 => plain.prop_map(|body| (body, None)),
        1 => (slice(), index()).prop_map(|((slice, term), commit)| (Body::Append { slice, commit }, Some(term))),
        1 => slice().prop_map(|(slice, term)| (Body::Copies { slice }, Some(term))),
        1 => chunk().prop_map(|(body, term)| (body, Some(term))),
        1 => chunk().prop_map(|(body, term)| match body {
            Body::Chunk { snapshot, offset, data } => (Body::Piece { snapshot, offset, data }, Some(term)),
            other => (other, Some(term)),
        }),
    ]
}

/// Any sound message.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    (stamp(), stamp(), number(), body()).prop_map(|(from, asker, term, (body, at_least))| Message {
        from,
        to: body.is_reply().then_some(asker),
        term: at_least.unwrap_or(Term(term)),
        body,
    })
}
