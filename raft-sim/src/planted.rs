//! The bugs that can be planted, those of the core, of the machine and of drivers that lie, each with the invariants that
//! expose it. A bug counts as found only if one of its own invariants falls, on a seed that is clean without it.

use crate::facts::Time;
use crate::runner::{Failure, run_seed};
use crate::trace::Reader;
use crate::world::Setup;
pub use raft_core::planted::Bug;
use raft_core::wal::{Decay, Region};
pub use raft_machine::planted::Bug as Unsound;

/// A way for a driver to lie, about what its disk holds or to its clients: all that is left to get wrong around the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lie {
    /// The receipt is handed in when the write is handed to the disk, before any sync.
    ReceiptBeforeSync,
    /// Recovery takes the last record of a write that a power cut tore, as far as its bytes go.
    KeepsTorn,
    /// A received snapshot is said to be stored when it has its name, before the directory is synced.
    StoredBeforeSync,
    /// After a pause what waited is taken before the clock is looked at.
    ClockReadLate,
    /// A log whose synced part decayed is cut before the damage, as if a crash explained it.
    CutsDecay,
    /// Recovery doesn't take the word of a segment's header: the same, where no record is left to vouch for what decayed.
    HeadersUnheard,
    /// A snapshot is restored without its idempotency keys, so that a repeated command is applied twice.
    ForgetsKeys,
    /// A write that finds no room on the disk is taken for done, as far as it went.
    FullIsDone,
    /// The same of a write that fails otherwise.
    FailedIsDone,
    /// A client is told that there is no room when its write was handed in already.
    RefusedWhenBegun,
    /// A stale read names the commit index, which its machine has not reached.
    StaleNamesCommit,
    /// A stale read sees what stands in the log, committed or not.
    StaleSeesUncommitted,
    /// A snapshot that finds no room keeps its name, with as much as there was room for.
    FullSnapshotKept,
}

impl Lie {
    /// Whether a log that decayed so is cut before the damage.
    pub(crate) fn cuts(self, decay: &Decay) -> bool {
        self == Lie::CutsDecay || (self == Lie::HeadersUnheard && decay.evidence.region == Region::Header)
    }
}

/// What is planted in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Planted {
    /// In the core.
    Core(Bug),
    /// In the driver.
    Driver(Lie),
    /// In the replicated machine.
    Machine(Unsound),
}

impl Planted {
    /// Its name.
    pub fn name(self) -> String {
        match self {
            Planted::Core(bug) => format!("{bug:?}"),
            Planted::Driver(lie) => format!("{lie:?}"),
            Planted::Machine(bug) => format!("{bug:?}"),
        }
    }
}

/// A bug and the invariants that expose it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What is planted.
    pub planted: Planted,
    /// The invariants of which one must fall.
    pub exposed_by: &'static [&'static str],
}

const fn core(bug: Bug, exposed_by: &'static [&'static str]) -> Row {
    Row { planted: Planted::Core(bug), exposed_by }
}

const fn driver(lie: Lie, exposed_by: &'static [&'static str]) -> Row {
    Row { planted: Planted::Driver(lie), exposed_by }
}

const fn machine(bug: Unsound, exposed_by: &'static [&'static str]) -> Row {
    Row { planted: Planted::Machine(bug), exposed_by }
}

/// The table of planted bugs.
pub const TABLE: &[Row] = &[
    core(Bug::CommitOldTerm, &["commit_own_term"]),
    core(Bug::CommitByOwnLast, &["commit_told"]),
    core(Bug::TruncateBeforeCompare, &["acknowledged_stays"]),
    core(Bug::HalfIsQuorum, &["election_safety", "commit_quorum", "pre_vote"]),
    core(Bug::LeaderCountsEarly, &["commit_quorum"]),
    core(Bug::RejectBelowMatched, &["progress"]),
    core(Bug::LostWindow, &["liveness"]),
    core(Bug::VoteBeforeDurable, &["durable_before_sent"]),
    core(Bug::VoteForgotten, &["one_vote"]),
    core(Bug::TermAfterEntries, &["durable_before_sent"]),
    core(Bug::CampaignBeforeDurable, &["durable_before_sent"]),
    core(Bug::IndexBeforeTerm, &["up_to_date"]),
    core(Bug::AckBeforeDurable, &["durable_before_sent"]),
    core(Bug::ReadBeforeOwnCommit, &["read_after_own_commit", "reads"]),
    core(Bug::ReadWithoutRound, &["read_after_round", "reads"]),
    core(Bug::CommitGoesBack, &["monotone_commit"]),
    core(Bug::ApplyBeforeDurable, &["durable_before_sent"]),
    core(Bug::LostOnStepDown, &["tickets"]),
    core(Bug::ReplyToEarlierBoot, &["pre_vote", "commit_quorum"]),
    core(Bug::TransferNeverEnds, &["liveness"]),
    core(Bug::HeartbeatUncapped, &["state_machine_safety"]),
    core(Bug::FoundsAgain, &["one_vote"]),
    core(Bug::LearnerCounts, &["commit_quorum", "election_safety", "pre_vote"]),
    core(Bug::OneHalfDecides, &["commit_quorum", "election_safety", "read_after_round"]),
    core(Bug::ChangeBeforeOwnCommit, &["configuration_appended"]),
    core(Bug::ChangeOnChange, &["configuration_appended"]),
    core(Bug::LeavesJointEarly, &["configuration_appended"]),
    core(Bug::JointNotTakenUp, &["liveness"]),
    core(Bug::MembershipNotRolledBack, &["configuration_in_force"]),
    core(Bug::RemovedLeaderStays, &["liveness"]),
    core(Bug::LearnerCampaigns, &["only_voters_stand"]),
    core(Bug::AnyDiskCounts, &["commit_quorum", "election_safety"]),
    core(Bug::LateDiskTaken, &["disk_on_record"]),
    core(Bug::SuffixKept, &["state_machine_safety"]),
    core(Bug::SnapshotGoesBack, &["monotone_base", "acknowledged_stays", "state_machine_safety"]),
    core(Bug::InstallAckBeforeDurable, &["durable_before_sent"]),
    core(Bug::CompactsPastSnapshot, &["snapshot_order"]),
    core(Bug::ChunksLost, &["liveness"]),
    core(Bug::LeaseFromReply, &["leases"]),
    core(Bug::LeaseOutlivesTransfer, &["leases"]),
    core(Bug::LeaseOutlivesChange, &["leases"]),
    core(Bug::VoterForgetsLeader, &["patience", "leases", "reads"]),
    core(Bug::RestartForgetsLeader, &["patience", "leases", "reads"]),
    core(Bug::FollowerReadWithoutRound, &["read_after_round", "reads"]),
    core(Bug::LeadsWithoutQuorum, &["leads_with_a_quorum", "liveness"]),
    core(Bug::LeadsWithStalledDisk, &["leads_with_a_disk", "liveness"]),
    core(Bug::StaleLeaderNotTold, &["liveness"]),
    core(Bug::AdoptsPreVoteTerm, &["liveness"]),
    core(Bug::UncommittedGrows, &["tickets", "liveness"]),
    core(Bug::TruncationKeepsAcks, &["durable_before_sent"]),
    core(Bug::RepeatedAckEarly, &["durable_before_sent"]),
    core(Bug::OwnVoteEarly, &["election_safety"]),
    core(Bug::TermGoesBack, &["monotone_term"]),
    core(Bug::ReplyToEarlierTerm, &["election_safety", "commit_quorum"]),
    core(Bug::PreVoteAnyLog, &["up_to_date"]),
    core(Bug::VoteKeepsTimer, &["voter_waits"]),
    core(Bug::MembershipFromCommit, &["commit_quorum", "election_safety"]),
    core(Bug::SnapshotNewestMembership, &["snapshot_content"]),
    core(Bug::VotesForMembersOnly, &["liveness"]),
    core(Bug::InstalledMembershipIgnored, &["configuration_in_force"]),
    core(Bug::KnownSnapshotUnanswered, &["liveness"]),
    core(Bug::ReadJoinsSentRound, &["read_after_round", "reads"]),
    core(Bug::LeaseByQuorumCheck, &["leases"]),
    core(Bug::LeaseCheckedOnce, &["leases"]),
    core(Bug::ProposesDuringTransfer, &["hands_over_or_serves"]),
    core(Bug::SpeaksBeforeBoot, &["durable_before_sent"]),
    core(Bug::OlderBootHeard, &["rollback", "commit_quorum", "election_safety"]),
    core(Bug::RollbackNotTold, &["rollback"]),
    core(Bug::RollbackForgotten, &["rollback"]),
    core(Bug::RestoreBeforeDurable, &["snapshot_order"]),
    core(Bug::SnapshotBeforeTerm, &["commit_term"]),
    core(Bug::TicketsUnbounded, &["bounds"]),
    core(Bug::StoresUnbounded, &["bounds"]),
    core(Bug::WindowUnbounded, &["bounds"]),
    core(Bug::HeldUnbounded, &["bounds"]),
    core(Bug::CoveredIsLost, &["tickets"]),
    core(Bug::AckWithDecay, &["durable_before_sent"]),
    core(Bug::StandsWithDecay, &["repair"]),
    core(Bug::MendedNotRewritten, &["repair", "liveness", "service"]),
    core(Bug::StaleTransferBlocks, &["liveness", "service"]),
    core(Bug::LostIsDurable, &["durable_before_sent", "receipts"]),
    core(Bug::LossRefuses, &["liveness"]),
    core(Bug::BlindCompares, &["election_safety", "leader_completeness"]),
    core(Bug::AsksMembersOnly, &["liveness", "service"]),
    core(Bug::AloneByOldLog, &["refusal"]),
    core(Bug::JoinersTakeNoCopies, &["liveness"]),
    core(Bug::GiverDeposes, &["giver_deposes_nobody"]),
    core(Bug::GiversTermIgnored, &["commit_term"]),
    core(Bug::OnlyLeadersGive, &["liveness", "service"]),
    core(Bug::StandsForEarlierDisk, &["only_voters_stand"]),
    core(Bug::TruncatesBelowCommit, &["kept_commit"]),
    core(Bug::ReceiptCoversEarlier, &["receipts"]),
    core(Bug::AsksFoundersOnly, &["liveness"]),
    core(Bug::VotesForIdAlone, &["one_vote", "election_safety"]),
    core(Bug::WantedStaysSilent, &["liveness"]),
    core(Bug::LateAckEndsProbe, &["liveness"]),
    core(Bug::RemovedDeposes, &["liveness"]),
    driver(Lie::ReceiptBeforeSync, &["durable_before_sent"]),
    driver(Lie::KeepsTorn, &["recovery"]),
    driver(Lie::StoredBeforeSync, &["snapshot_order"]),
    driver(Lie::ClockReadLate, &["leases", "reads", "patience"]),
    driver(Lie::CutsDecay, &["recovery", "own_stamp"]),
    driver(Lie::HeadersUnheard, &["recovery", "own_stamp"]),
    driver(Lie::FullIsDone, &["recovery", "refusal", "own_stamp"]),
    driver(Lie::FailedIsDone, &["recovery", "refusal", "own_stamp"]),
    driver(Lie::RefusedWhenBegun, &["linearizable_by_log"]),
    driver(Lie::StaleNamesCommit, &["stale_reads"]),
    driver(Lie::StaleSeesUncommitted, &["stale_reads"]),
    driver(Lie::FullSnapshotKept, &["refusal"]),
    driver(Lie::ForgetsKeys, &["exactly_once", "key_tables"]),
    machine(Unsound::HorizonForgotten, &["exactly_once", "key_tables"]),
    machine(Unsound::YoungKeyLeaves, &["exactly_once", "key_tables"]),
    machine(Unsound::StampIsLogTime, &["exactly_once", "key_tables"]),
];

/// A seed that exposed a bug.
#[derive(Clone, Debug)]
pub struct Exposed {
    /// The seed.
    pub seed: u64,
    /// How many seeds were tried, this one included.
    pub seeds: u64,
    /// How many inputs that took.
    pub inputs: u64,
    /// How much simulated time.
    pub simulated: Time,
    /// What fell.
    pub failure: Failure,
}

/// What a search came to.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The seed that exposed the bug, if one did.
    pub exposed: Option<Exposed>,
    /// Other invariants that fell on the way, each with a seed.
    pub others: Vec<(&'static str, u64)>,
}

/// Tries seeds from `first` on, at most `most`, until a bug is found by one of its own invariants.
pub fn search(row: &Row, first: u64, most: u64) -> Search {
    let mut search = Search::default();
    let (mut inputs, mut simulated) = (0, 0);
    for seed in first..first + most {
        let ran = run_seed(seed, Setup { planted: Some(row.planted), reader: Reader::Nobody });
        inputs += ran.counts.inputs;
        simulated += ran.simulated;
        let Some(failure) = ran.failure else { continue };
        if !row.exposed_by.contains(&failure.invariant()) {
            search.others.push((failure.invariant(), seed));
        } else if run_seed(seed, Setup { planted: None, reader: Reader::Nobody }).failure.is_none() {
            search.exposed = Some(Exposed { seed, seeds: seed - first + 1, inputs, simulated, failure });
            return search;
        }
    }
    search
}
