//! A driver that carries out outputs of different kinds in any order: writes, receipts, messages, work with snapshots and
//! the taking of outputs all happen at any time, in between crashes and changes of the voters. What must hold, holds after
//! every step.

use crate::Draw;
use crate::cluster::{Cluster, Event, Packet, Work};
use raft_core::{
    Answer, Body, Change, Config, Entry, Index, Input, NodeId, Payload, Recovered, RoleName, Term, Ticket,
};
use std::collections::BTreeMap;

/// What has happened so far, and what must stay true.
#[derive(Default)]
struct Witness {
    leaders: BTreeMap<Term, u64>,
    /// The entry applied at each index, by whoever was first.
    applied: BTreeMap<Index, Entry>,
    /// Each server's term, commit index and last applied index in this boot.
    seen: BTreeMap<u64, (Term, Index, Index)>,
    answers: BTreeMap<Ticket, Answer>,
    /// Which command was proposed with a ticket.
    proposed: BTreeMap<Ticket, String>,
    /// How far any server had applied when a read was asked for.
    read_from: BTreeMap<Ticket, Index>,
    /// Snapshots from a leader that were loaded.
    restored: usize,
    /// Snapshots taken.
    captured: usize,
}

impl Witness {
    /// Looks at everything that has happened since it looked last.
    fn look(&mut self, cluster: &mut Cluster) {
        for event in std::mem::take(&mut cluster.events) {
            match event {
                Event::Send(packet) | Event::Lost(packet) => promise_is_durable(cluster, &packet),
                Event::Apply { at, entry } => {
                    let (_, _, last) = self.seen.entry(at).or_default();
                    assert_eq!(entry.index(), last.next(), "{at} applies in order");
                    *last = entry.index();
                    let first = self.applied.entry(entry.index()).or_insert_with(|| entry.clone());
                    assert_eq!(*first, entry, "{at} applies what others did");
                }
                Event::Restore { at, snapshot } => {
                    let (_, _, last) = self.seen.entry(at).or_default();
                    assert!(snapshot.last().index > *last, "{at} restores what is newer");
                    *last = snapshot.last().index;
                    let loaded = cluster.snapshots(at).files().iter().find(|(file, _)| *file == snapshot);
                    assert_eq!(
                        loaded.map(|(_, state)| state.clone()),
                        Some(self.state_at(snapshot.last().index))
                    );
                    self.restored += 1;
                }
                Event::Capture { at, base } => {
                    assert_eq!(base.id.index, self.seen[&at].2, "{at} captures at its place");
                    self.captured += 1;
                }
                Event::Answer { ticket, answer, .. } => {
                    assert_eq!(self.answers.insert(ticket, answer), None, "t{ticket} is answered once");
                }
                Event::Halt { at, report } => panic!("{at} halted: {report:?}"),
                _ => {}
            }
        }
        for id in cluster.ids().into_iter().filter(|id| cluster.runs(*id)) {
            let status = cluster.status(id);
            let (term, commit, _) = self.seen.entry(id).or_default();
            assert!(status.term >= *term && status.commit >= *commit, "{id} went back");
            (*term, *commit) = (status.term, status.commit);
            assert!(status.applied <= status.commit.min(status.durable));
            if status.role == RoleName::Leader {
                assert_eq!(
                    *self.leaders.entry(status.term).or_insert(id),
                    id,
                    "one leader in {}",
                    status.term
                );
            }
        }
    }

    /// A new boot may begin with an older term if the newer one was never durable, and applies anew from its snapshot on.
    fn restarts(&mut self, cluster: &Cluster, id: u64) {
        self.seen.insert(id, (cluster.durable(id).hard.term, Index(0), cluster.status(id).applied));
    }

    /// What the application's state is after this index, by what was applied.
    fn state_at(&self, index: Index) -> String {
        self.applied.range(..=index).filter_map(|(_, entry)| command(entry)).map(|it| it + ";").collect()
    }

    /// Each answer against what was applied in the end.
    fn judge(&self) {
        let took_effect: BTreeMap<String, Index> =
            self.applied.values().filter_map(|entry| Some((command(entry)?, entry.index()))).collect();
        for (ticket, answer) in &self.answers {
            let at = self.proposed.get(ticket).and_then(|command| took_effect.get(command));
            match answer {
                Answer::Committed(id) if !self.proposed.contains_key(ticket) => {
                    let entry = &self.applied[&id.index];
                    assert!(matches!(entry.payload(), Payload::Membership(_)), "t{ticket}: {entry:?}");
                }
                Answer::Committed(id) => assert_eq!(at, Some(&id.index), "t{ticket}"),
                Answer::ReadAt(index) => assert!(*index >= self.read_from[ticket], "t{ticket} read the past"),
                Answer::HandingOver { .. } | Answer::Refused(_) => {}
                Answer::Lost | Answer::NotLeader { .. } | Answer::Busy(_) => {
                    assert_eq!(at, None, "t{ticket}")
                }
                Answer::Unknown => assert!(self.restored > 0, "t{ticket}: no snapshot, no halt"),
            }
        }
    }
}

fn command(entry: &Entry) -> Option<String> {
    match entry.payload() {
        Payload::Command(command) => String::from_utf8(command.to_vec()).ok(),
        _ => None,
    }
}

/// Where a durable log ends.
fn end(durable: &Recovered) -> Index {
    let base = durable.base.as_ref().map_or(Index(0), |base| base.id.index);
    durable.entries.last().map_or(base, Entry::index)
}

/// A promise leaves only when the disk would keep it over a crash at this moment.
fn promise_is_durable(cluster: &Cluster, packet: &Packet) {
    let durable = cluster.durable(packet.from);
    let (hard, term) = (durable.hard, packet.message.term);
    match packet.message.body {
        Body::VoteReply { answer } if answer.is_yes() => {
            assert!(
                hard.term > term || (hard.term, hard.vote) == (term, Some(NodeId(packet.to))),
                "{packet}"
            );
        }
        Body::Vote { last, .. } => {
            assert!(
                hard.term > term || (hard.term, hard.vote) == (term, Some(NodeId(packet.from))),
                "{packet}"
            );
            // A request that was taken late, when another leads the term, asks for nothing any more.
            let late = hard.term > term || cluster.status(packet.from).leader.is_some();
            assert!(end(&durable) >= last.index || late, "{packet}");
        }
        Body::Appended { matched } => {
            assert!(end(&durable) >= matched || hard.term > term, "{packet}");
        }
        _ => {}
    }
    assert!(hard.boot >= packet.message.from.boot, "{packet}: the boot is durable first");
}

const WORKS: [Work; 3] = [Work::Capture, Work::Fetch, Work::Store];

struct Storm {
    draw: Draw,
    cluster: Cluster,
    witness: Witness,
    /// Proposals to servers that have not crashed since.
    open: Vec<(u64, Ticket)>,
}

impl Storm {
    fn new(seed: u64, change: impl Fn(&mut Config)) -> Storm {
        let mut draw = Draw(seed);
        let (n, tiny, snapshots) = (1 + draw.below(5), draw.rarely(3), !draw.rarely(3));
        let (pre_vote, check_quorum) = (draw.rarely(2), draw.rarely(2));
        let cluster = Cluster::with(n, |config| {
            config.seed ^= seed;
            change(config);
            (config.pre_vote, config.check_quorum) = (pre_vote, check_quorum);
            if tiny {
                config.limits.batch_entries = 1;
                config.limits.inflight_appends = 2;
                config.limits.tickets = 2;
            }
            if snapshots {
                let limits = &mut config.limits;
                (limits.snapshot_entries, limits.retain_entries) = (3, 1 + config.id.0 % 2);
                (limits.chunk_bytes, limits.inflight_chunks) = (3, 1 + config.id.0 as usize % 3);
            }
        });
        let mut storm = Storm { draw, cluster, witness: Witness::default(), open: vec![] };
        for id in storm.cluster.ids() {
            storm.cluster.slow(id, true);
            WORKS.iter().for_each(|work| storm.cluster.hold(id, *work, true));
        }
        storm
    }

    /// One step of one server, or of the network.
    fn step(&mut self) {
        let Storm { draw, cluster, .. } = self;
        let id = draw.pick(&cluster.ids());
        cluster.patience = if draw.rarely(3) { draw.below(3) as usize } else { usize::MAX };
        match draw.below(30) {
            0..=9 if !cluster.network().is_empty() => self.network(),
            10..=14 => {
                if let Some(number) =
                    Some(cluster.writes(id)).filter(|all| !all.is_empty()).map(|all| draw.pick(&all))
                {
                    cluster.persist(id, |write| write == number);
                }
            }
            15 => cluster.sync(id),
            16 => cluster.tick(id, 1 + draw.below(12) as u32),
            17 => cluster.turn(id, vec![Input::Heartbeat]),
            18 if draw.rarely(2) => cluster.campaign(id),
            18..=20 => {
                if cluster.runs(id) {
                    let ticket = self.propose(id);
                    self.open.push((id, ticket));
                }
            }
            21 => {
                if cluster.runs(id) {
                    let newest = self.witness.applied.keys().next_back().copied().unwrap_or_default();
                    let ticket = if draw.rarely(2) { cluster.lease_read(id) } else { cluster.read(id) };
                    self.witness.read_from.insert(ticket, newest);
                    self.open.push((id, ticket));
                }
            }
            22 if draw.rarely(5) => drop(cluster.transfer(id, None)),
            23 if draw.rarely(3) => self.crash(id),
            23 if draw.rarely(3) => cluster.isolate(id),
            23 => cluster.heal(),
            24..=26 => self.work(id),
            27 if draw.rarely(3) => self.change(id),
            28 if draw.rarely(3) => cluster.turn(id, vec![Input::Capture]),
            28 => {
                let peer = NodeId(draw.below(6));
                cluster.turn(id, vec![Input::Unreachable { peer }]);
            }
            _ => cluster.turn(id, vec![]),
        }
        self.witness.look(&mut self.cluster);
    }

    /// Proposes a command that is proposed once.
    fn propose(&mut self, id: u64) -> Ticket {
        let command = self.witness.proposed.len().to_string();
        let ticket = self.cluster.propose(id, &[&command]);
        self.witness.proposed.insert(ticket, command);
        ticket
    }

    /// Work with snapshots is done, fails, or is forgotten where that is allowed.
    fn work(&mut self, id: u64) {
        let Storm { draw, cluster, .. } = self;
        let work = draw.pick(&WORKS);
        match draw.below(10) {
            0 => cluster.fail(id, work),
            1 => cluster.snapshots(id).lose(Work::Fetch),
            _ => drop(cluster.work(id, work)),
        }
    }

    /// Makes a voter a learner, or a learner a voter, or changes nothing but a context: all stay members.
    fn change(&mut self, id: u64) {
        let Storm { draw, cluster, open, .. } = self;
        let whom = NodeId(draw.pick(&cluster.ids()));
        let change = match draw.below(3) {
            0 => Change::Demote { id: whom },
            1 => Change::Promote { id: whom },
            _ => Change::Update { id: whom, context: draw.below(100).to_string().into() },
        };
        if cluster.runs(id) {
            open.push((id, cluster.change(id, vec![change], None)));
        }
    }

    /// Delivers, drops or repeats any message.
    fn network(&mut self) {
        let Storm { draw, cluster, .. } = self;
        let at = draw.below(cluster.network().len() as u64) as usize;
        match draw.below(10) {
            0 => cluster.repeat(&[at]),
            1 => drop(cluster.take_at(&[at])),
            _ => {
                let packet = cluster.take_at(&[at]).remove(0);
                cluster.receive(packet);
            }
        }
    }

    /// Crashes a server, and starts it again. What it had not put out is gone.
    fn crash(&mut self, id: u64) {
        self.cluster.crash(id);
        self.witness.look(&mut self.cluster);
        self.open.retain(|(server, _)| *server != id);
        self.cluster.restart(id);
        self.witness.restarts(&self.cluster, id);
        self.cluster.slow(id, true);
    }

    /// All is well again: one leader, one log, and every request answered.
    fn calm(&mut self) {
        let ids = self.cluster.ids();
        self.cluster.patience = usize::MAX;
        self.cluster.heal();
        for id in &ids {
            self.cluster.turn(*id, vec![]);
            self.cluster.slow(*id, false);
            WORKS.iter().for_each(|work| self.cluster.hold(*id, *work, false));
        }
        let equal = |cluster: &Cluster| {
            let first = cluster.status(1);
            ids.iter().any(|id| cluster.status(*id).role == RoleName::Leader)
                && ids.iter().map(|id| cluster.status(*id)).all(|status| {
                    (status.term, status.last, status.applied) == (first.term, first.last, first.last.index)
                })
        };
        for _ in 0..500 {
            if equal(&self.cluster) {
                break;
            }
            for id in &ids {
                self.cluster.tick(*id, 1);
            }
            self.cluster.deliver(|_| true);
            self.cluster.deliver(|_| true);
            self.witness.look(&mut self.cluster);
        }
        assert!(equal(&self.cluster), "no leader or no common log after the storm");
        // A proposal that was cut from the log is known to be lost when another entry is committed at its index.
        let leader = ids.iter().find(|id| self.cluster.status(**id).role == RoleName::Leader).unwrap();
        for _ in 0..200 {
            if self.open.iter().all(|(_, ticket)| self.witness.answers.contains_key(ticket)) {
                break;
            }
            self.propose(*leader);
            ids.iter().for_each(|id| self.cluster.tick(*id, 1));
            self.cluster.settle();
            self.cluster.turn(*leader, vec![Input::Heartbeat]);
            self.cluster.settle();
            self.witness.look(&mut self.cluster);
        }
        for (server, ticket) in &self.open {
            assert!(self.witness.answers.contains_key(ticket), "t{ticket} of {server} has no answer");
        }
        for status in ids.iter().map(|id| self.cluster.status(*id)) {
            assert_eq!((status.held, status.tickets), (0, 0));
        }
        self.witness.judge();
    }
}

/// Runs a schedule: a storm, then calm.
fn run(seed: u64, change: impl Fn(&mut Config)) -> Witness {
    let mut storm = Storm::new(seed, change);
    for _ in 0..600 {
        storm.step();
    }
    storm.calm();
    storm.witness
}

#[test]
fn any_order_of_carrying_out_outputs_is_safe() {
    let (mut committed, mut lost, mut read, mut elected) = (0, 0, 0, 0);
    let (mut captured, mut restored) = (0, 0);
    for seed in 0..600 {
        let witness = run(seed, |_| ());
        for answer in witness.answers.values() {
            committed += u32::from(matches!(answer, Answer::Committed(_)));
            lost += u32::from(matches!(answer, Answer::Lost));
            read += u32::from(matches!(answer, Answer::ReadAt(_)));
        }
        elected += witness.leaders.len();
        captured += witness.captured;
        restored += witness.restored;
    }
    let totals = format!("{committed} commits, {lost} lost, {read} reads, {elected} elections");
    let totals = format!("{totals}, {captured} captures, {restored} restores");
    assert!(committed > 1_000 && lost > 20 && read > 200 && elected > 1_000, "a calm storm: {totals}");
    assert!(captured > 500 && restored > 20, "no snapshots: {totals}");
}

/// The storm is strong enough to find what its checks are for.
#[cfg(feature = "planted")]
#[test]
fn planted_bugs_are_found() {
    use raft_core::planted::Bug;
    let bugs = [
        Bug::AckBeforeDurable,
        Bug::ApplyBeforeDurable,
        Bug::CampaignBeforeDurable,
        Bug::CommitGoesBack,
        Bug::HalfIsQuorum,
        Bug::LostOnStepDown,
        Bug::LostWindow,
        Bug::VoteBeforeDurable,
        Bug::VoteForgotten,
        Bug::AdoptsPreVoteTerm,
        Bug::CompactsPastSnapshot,
        Bug::HeartbeatUncapped,
        Bug::InstallAckBeforeDurable,
        Bug::LearnerCounts,
        Bug::ReceiptCoversEarlier,
        Bug::ReadBeforeOwnCommit,
        Bug::ReadWithoutRound,
        Bug::StaleLeaderNotTold,
    ];
    for bug in bugs {
        let found =
            |seed: &u64| std::panic::catch_unwind(|| run(*seed, |config| config.bug = Some(bug))).is_err();
        assert!((0..1_500).find(found).is_some(), "{bug:?} was not found");
    }
}
