//! Bugs that consensus systems have shipped, each to be switched on at run time, so that the simulator can show that
//! it would have found them. The selector is compiled in only with the feature `planted`, which only a build of
//! `raft-sim` of its own turns on; without it every question here is the constant `false`.

/// Whether this build can behave as if written with a bug. A server asserts that it can't.
pub const COMPILED_IN: bool = cfg!(feature = "planted");

/// A planted bug of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// An entry of an older term is committed by counting copies (paper section 5.4.2, Figure 8).
    CommitOldTerm,
    /// A follower's commit is capped by its own last index, not by the last entry that this append covers.
    CommitByOwnLast,
    /// An append truncates everything after its previous entry before it compares.
    TruncateBeforeCompare,
    /// A majority is half of the voters.
    HalfIsQuorum,
    /// The leader counts itself before its own write is durable.
    LeaderCountsEarly,
    /// A late rejection moves the progress below what was matched.
    RejectBelowMatched,
    /// A full window, all lost, is never probed again.
    LostWindow,
    /// A granted vote leaves before it is durable.
    VoteBeforeDurable,
    /// The vote is forgotten when stepping down in the same term.
    VoteForgotten,
    /// The term is written after the entries of the same turn, in a later write.
    TermAfterEntries,
    /// A request for votes leaves before the term, the own vote and the advertised log tail are durable.
    CampaignBeforeDurable,
    /// Logs are compared by index before term.
    IndexBeforeTerm,
    /// An append is acknowledged before its entries are durable.
    AckBeforeDurable,
    /// A read is served before the first commit of the leader's own term.
    ReadBeforeOwnCommit,
    /// A read is answered without waiting for its round.
    ReadWithoutRound,
    /// The commit index goes back when a heartbeat says less.
    CommitGoesBack,
    /// An entry is applied before it is durable here.
    ApplyBeforeDurable,
    /// A proposal is answered `Lost` when its leader steps down, though it may still be committed.
    LostOnStepDown,
    /// Replies to an earlier boot of this node are counted.
    ReplyToEarlierBoot,
    /// A transfer that doesn't come about is never given up: the leader refuses proposals for ever.
    TransferNeverEnds,
    /// Heartbeats carry the leader's commit uncapped, and a follower takes it up to its own last index.
    HeartbeatUncapped,
    /// A wiped founder founds again without asking whether the cluster is formed.
    FoundsAgain,
    /// Learners count in quorums (rule 6).
    LearnerCounts,
    /// While joint, a quorum of the new half is enough (rule 6, dissertation 4.3).
    OneHalfDecides,
    /// The configuration is changed before a commit in the leader's own term (rule 11, Ongaro 2015).
    ChangeBeforeOwnCommit,
    /// The configuration is changed while the previous change is not committed (rule 11).
    ChangeOnChange,
    /// A joint configuration is left before it is committed.
    LeavesJointEarly,
    /// A leader leaves a joint configuration only if it entered it itself (rule 11).
    JointNotTakenUp,
    /// A configuration stays in force when its entry is truncated (rule 11).
    MembershipNotRolledBack,
    /// A leader that removed itself never steps down.
    RemovedLeaderStays,
    /// Who doesn't vote by its own log campaigns on timeout-now (rule 10).
    LearnerCampaigns,
    /// Votes and acknowledgements count from any disk (rule 16).
    AnyDiskCounts,
    /// A member's disk is put on record by whatever it answers first, however late that is (rule 16).
    LateDiskTaken,
    /// A log that reaches a snapshot's last index is taken to hold its last entry, whatever the term: a conflicting
    /// suffix is kept (rule 12; Figure 13, 6 asks for index and term).
    SuffixKept,
    /// A snapshot at or below the commit is installed (rule 12).
    SnapshotGoesBack,
    /// A snapshot is acknowledged before the log's new beginning is durable (rules 4 and 17).
    InstallAckBeforeDurable,
    /// The log forgets what no snapshot covers (rule 17).
    CompactsPastSnapshot,
    /// The snapshot's transfer is never asked about again when its chunks are lost.
    ChunksLost,
    /// The lease runs from the acknowledgement, not from the sending time of what it acknowledges (rule 14).
    LeaseFromReply,
    /// The lease goes on although a timeout-now has left (rule 14).
    LeaseOutlivesTransfer,
    /// The lease goes on although no quorum of the new configuration has answered (rule 14).
    LeaseOutlivesChange,
    /// Voters that hear a leader vote all the same (rule 14).
    VoterForgetsLeader,
    /// A restarted voter votes at once (rule 14).
    RestartForgetsLeader,
    /// A leader answers a follower's read without a round (rule 13).
    FollowerReadWithoutRound,
    /// A leader without a quorum goes on leading (rule 15).
    LeadsWithoutQuorum,
    /// A leader whose disk stalls goes on leading (rule 15).
    LeadsWithStalledDisk,
    /// A leader of an older term is not told of the newer one, so that a candidate of a newer term is stuck (rule 10).
    StaleLeaderNotTold,
    /// The term of a pre-vote is adopted (rule 10).
    AdoptsPreVoteTerm,
    /// What is committed is never taken off the count of uncommitted bytes (rule 18).
    UncommittedGrows,
    /// A receipt is taken for every write before its own, too (rule 1).
    ReceiptCoversEarlier,
    /// A truncation takes neither what was durable nor the held acknowledgements of what goes with it (rules 1 and 4).
    TruncationKeepsAcks,
    /// The acknowledgement of an empty or repeated append doesn't wait for the disk (rule 4).
    RepeatedAckEarly,
    /// The own vote counts before it is durable (rule 5).
    OwnVoteEarly,
    /// A leader's append of an older term is followed into that term (rule 7).
    TermGoesBack,
    /// A conflict at or below the commit is truncated like any other (rule 8).
    TruncatesBelowCommit,
    /// Answers to questions of an earlier term count (rule 9).
    ReplyToEarlierTerm,
    /// A probe of a restarted server ends with an acknowledgement of less than was known (rule 9).
    LateAckEndsProbe,
    /// A pre-vote is given whatever the candidate's log (rule 10).
    PreVoteAnyLog,
    /// A vote that is given doesn't start the voter's timer anew (rule 10).
    VoteKeepsTimer,
    /// A configuration counts from its commit on, not from its append (rule 11).
    MembershipFromCommit,
    /// A snapshot holds the newest configuration of the log, not the one at its last index (rule 11).
    SnapshotNewestMembership,
    /// Votes are given only to candidates that the voter's own configuration knows (rule 11).
    VotesForMembersOnly,
    /// The configuration of before stays in force behind an installed snapshot (rule 12).
    InstalledMembershipIgnored,
    /// A snapshot that tells nothing new is not answered (rule 12).
    KnownSnapshotUnanswered,
    /// A read joins a round that is on its way already (rule 13).
    ReadJoinsSentRound,
    /// The lease goes on as long as the periodic look at the quorum lets the leader lead (rule 14).
    LeaseByQuorumCheck,
    /// The lease is not looked at again when the answer leaves (rule 14).
    LeaseCheckedOnce,
    /// Commands are taken while leadership is handed over (dissertation 3.10).
    ProposesDuringTransfer,
    /// Messages leave before the boot counter is durable (rule 16).
    SpeaksBeforeBoot,
    /// An earlier boot than was seen of a disk is heard (rule 16).
    OlderBootHeard,
    /// Nobody tells a server that its disk was rolled back (rule 16).
    RollbackNotTold,
    /// A disk that was found to be rolled back starts again (rule 16).
    RollbackForgotten,
    /// A snapshot is asked for, or stored, before the term is durable in which what it covers was committed (rule 17).
    SnapshotBeforeTerm,
    /// The application is restored from a snapshot before the log's new beginning is durable (rule 17).
    RestoreBeforeDurable,
    /// There is no bound on requests that wait for an answer (rule 18).
    TicketsUnbounded,
    /// There is no bound on the parts of a snapshot that the disk is to store at once (rule 18).
    StoresUnbounded,
    /// There is no bound on the appends on their way to a member (rule 18).
    WindowUnbounded,
    /// There is no bound on the messages that wait for the disk (rule 18).
    HeldUnbounded,
    /// An append is acknowledged though the disk has lost what stands before (rule 8).
    AckWithDecay,
    /// A server stands for election though it has lost entries that its followers may need (rule 8).
    StandsWithDecay,
    /// The receipt of a later write makes lost commands durable (rule 8).
    LostIsDurable,
    /// What a peer gave back is not written again if a snapshot covers the last command that is still lost (rule 8).
    MendedNotRewritten,
    /// A leader's transfer that nobody goes on with keeps out what others give (rule 8).
    StaleTransferBlocks,
    /// Only a leader gives of its snapshot what covers a lost command (rule 8).
    OnlyLeadersGive,
    /// Who has lost commands asks the members that it knows of, and not the leader that it hears (rule 8).
    AsksMembersOnly,
    /// A founder that has not founded asks the other founders whether the cluster is formed, and not the leader that it hears (rule 16).
    AsksFoundersOnly,
    /// Who has lost commands, and knows of no other member, refuses to start, though its disk is on no record yet: it has the beginning
    /// of a log that others have (rule 8).
    AloneByOldLog,
    /// A joining server takes what its leader sends, and not what anybody gives of commands that it has lost (rule 8).
    JoinersTakeNoCopies,
    /// Who has lost commands refuses its vote to a candidate with an older log, as if it could lead itself (rule 8).
    LossRefuses,
    /// A blind vote counts as if it had compared the logs (rule 8).
    BlindCompares,
    /// A part of a snapshot takes its server into a later term though it hears a leader: a removed one deposes (rules 8 and 10).
    GiverDeposes,
    /// A part of a snapshot of a later term is taken without that term, so that earlier leaders are heard (rules 8 and 10).
    GiversTermIgnored,
    /// A ticket whose index a snapshot covers is answered `Lost`.
    CoveredIsLost,
    /// A newcomer stands for election since an earlier disk of its id was a voter, though it is none (rules 10 and 16).
    StandsForEarlierDisk,
    /// A vote is given again to whoever bears the id of the one that it was given to: a replaced disk and its successor may
    /// both win a term (rules 10 and 16).
    VotesForIdAlone,
    /// A server that must refuse a candidate with an older log stands only if it is a voter by its own log (rule 10).
    WantedStaysSilent,
    /// A voter that hears a leader takes the term of a candidate all the same, if that isn't a member by its own log: a removed
    /// server deposes every leader (rule 10, dissertation 4.2.3).
    RemovedDeposes,
}

#[cfg(feature = "planted")]
impl crate::config::Config {
    /// Whether to behave as if written with this bug.
    pub(crate) fn planted(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

#[cfg(not(feature = "planted"))]
impl crate::config::Config {
    /// Never: this build has no planted bugs.
    #[inline(always)]
    pub(crate) fn planted(&self, _: Bug) -> bool {
        false
    }
}
