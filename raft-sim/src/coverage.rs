//! Which rare states a run reached. A mark that a large swarm never reaches is a hole in the generator.

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A state worth reaching, counted each time a run does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mark {
            $($(#[$doc])* $name,)*
        }

        impl Mark {
            /// Every mark, in order.
            pub const ALL: &[Mark] = &[$(Mark::$name,)*];

            /// Whether every large swarm must reach it. The others tell of the generator's luck, not of its holes.
            pub fn is_owed(self) -> bool {
                !matches!(self, Mark::LateLeader | Mark::SearchesGivenUp)
            }

            /// Its name, as it is printed.
            pub fn name(self) -> &'static str {
                match self {
                    $(Mark::$name => stringify!($name),)*
                }
            }
        }
    };
}

marks! {
    /// An election was won.
    Elections,
    /// An entry was committed for the first time anywhere.
    Commits,
    /// A node removed entries from the end of its log.
    Truncations,
    /// A node started on a disk that had been started before.
    Restarts,
    /// A restart found that the crash had lost a write.
    CrashLostWrite,
    /// A restart found a write that was in flight when the crash came.
    CrashKeptWrite,
    /// A power cut left a record of a write, and took another one of the same write.
    CrashPartedWrite,
    /// A leader was elected with uncommitted entries of three terms.
    LeaderWithThreeTerms,
    /// A leader was elected whose log ended with entries of older terms that were not committed.
    LeaderWithOldTail,
    /// A leader was elected after the leader of a later term.
    OldTermWonLate,
    /// A leader was elected, and blind votes made the quorum.
    ElectedBlindly,
    /// The same node won two elections in a row.
    Reelection,
    /// A vote was granted in a term that the voter had restarted in.
    VoteAfterRestartInTerm,
    /// The vote of a term was given again, to the same candidate.
    VoteRepeated,
    /// A vote was refused to a candidate of the same term because of an earlier vote.
    VoteRefusedInTerm,
    /// A leader committed an entry that its own disk didn't hold yet.
    CommitPassedOwnDisk,
    /// A node that was not the leader held a committed entry that was not durable there.
    FollowerCommitPassedOwnDisk,
    /// A command was committed in a later term than its own.
    OldTermCommitted,
    /// A ticket was answered as lost.
    LostAnswers,
    /// A ticket was refused because a limit was reached.
    BusyAnswers,
    /// A ticket was refused because the node didn't lead.
    NotLeaderAnswers,
    /// A read was answered.
    ReadAnswers,
    /// A crash left tickets without an answer.
    CrashWithTickets,
    /// A leader was told of a conflict at or before an index that the same node had acknowledged to it.
    LateConflict,
    /// A follower refused an append because entries before it were missing.
    Conflicts,
    /// A leader heard the reply to another start of itself.
    ReplyToEarlierBoot,
    /// A leader of an older term was told so.
    StaleLeaderTold,
    /// A client's put with an unknown outcome took effect.
    UnknownPutTookEffect,
    /// A client's put with an unknown outcome never took effect.
    UnknownPutVanished,
    /// A repeated command was answered as the first time.
    Replays,
    /// Keys left the table because their window was over.
    KeysLeftByAge,
    /// .. because the table was full.
    KeysLeftForOthers,
    /// A command was refused because its key may have been known.
    KeysExpired,
    /// A repeated command took effect again: its key had left.
    KeysAppliedAnew,
    /// A command was refused because the table was full of young keys.
    KeyTablesFull,
    /// A command was refused because its key was that of another.
    KeysMismatched,
    /// A command was refused because its key was made too far ahead.
    KeysAhead,
    /// The search for a linearization ran on a history.
    HistoriesSearched,
    /// The search for a linearization took too many steps.
    SearchesGivenUp,
    /// The first leader after the healing came later than 10 election timeouts.
    LateLeader,
    /// A cluster that had settled was watched for longer.
    Watched,
    /// .. beside a removed server that runs, would stand for election, and was never told.
    WatchedWithStranger,
    /// A change of the configuration was committed and its ticket answered.
    Reconfigurations,
    /// A leader appended a joint configuration.
    JointEntered,
    /// A joint configuration was left by another leader than the one that entered it.
    JointLeftByOther,
    /// A configuration was rolled back with the end of a log.
    MembershipRolledBack,
    /// An entrant or a learner was on its way to be a voter.
    LearnerPromoted,
    /// A leader appended a configuration in which it doesn't vote.
    LeaderRemovedItself,
    /// A voter became a learner.
    Demotions,
    /// A new disk was put on record for a member whose disk had been given up.
    Replacements,
    /// A change of the configuration was refused.
    ChangesRefused,
    /// An application was captured in a snapshot.
    Snapshots,
    /// A snapshot from a leader replaced a log.
    SnapshotsInstalled,
    /// .. whose configuration is joint.
    SnapshotInstalledWhileJoint,
    /// A snapshot at or below the commit of its receiver was acknowledged all the same.
    SnapshotRefusedAsOld,
    /// A snapshot whose last entry was in the log of its receiver left that log as it was.
    SuffixKept,
    /// A snapshot took the place of a log that went on behind its last entry with others.
    SuffixDropped,
    /// A follower that had restarted meanwhile still had a part of a snapshot.
    TransferResumed,
    /// A log in memory began later.
    CompactedLogs,
    /// A read was answered by a lease, without a round.
    LeaseReads,
    /// .. in the last tick of the lease.
    LeaseReadNearEnd,
    /// A stale read saw another value than the newest committed one.
    StaleReadBehind,
    /// A node that doesn't lead answered a read.
    FollowerReads,
    /// Leadership was handed over while a change was not complete.
    TransferWhileChanging,
    /// A leader was elected by a joint configuration.
    ElectedWhileJoint,
    /// A process began on a snapshot.
    StartedFromSnapshot,
    /// A command's fate couldn't be told because a snapshot covers its index.
    UnknownAnswers,
    /// A removed node was told so.
    RemovedTold,
    /// A disk that was put back to an earlier state was found out.
    RollbackFound,
    /// A process on an earlier disk of a seat asked for votes, beside the seat's own.
    RevenantStood,
    /// .. and won.
    RevenantElected,
    /// A process halted, since a leader had something else where it knew the log to be committed.
    ConflictBelowCommit,
    /// A leader answered a read when its own disk and those of a quorum were full.
    ReadWhenFull,
    /// A leader was elected on a full disk, with its log in its reserve.
    ElectedOnReserve,
}

/// How often each mark was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    counts: [u64; Mark::ALL.len()],
}

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage { counts: [0; Mark::ALL.len()] }
    }
}

impl Coverage {
    /// Counts a mark once more.
    pub fn reach(&mut self, mark: Mark) {
        self.add(mark, 1);
    }

    /// Counts a mark some more times.
    pub fn add(&mut self, mark: Mark, times: u64) {
        self.counts[mark as usize] += times;
    }

    /// How often a mark was reached.
    pub fn count(&self, mark: Mark) -> u64 {
        self.counts[mark as usize]
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Coverage) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
    }

    /// All marks with their counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Mark, u64)> + '_ {
        Mark::ALL.iter().map(|&mark| (mark, self.count(mark)))
    }

    /// The marks that should have been reached and never were.
    pub fn unreached(&self) -> impl Iterator<Item = Mark> + '_ {
        self.iter().filter(|(mark, count)| *count == 0 && mark.is_owed()).map(|(mark, _)| mark)
    }
}
