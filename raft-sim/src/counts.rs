//! Counters that can be added up over runs.

macro_rules! counts {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
        }

        impl $name {
            /// Adds another run's.
            pub fn add(&mut self, other: &$name) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

pub(crate) use counts;

counts! {
    /// How often what happened in a run, beside what the judges' coverage counts.
    Counts {
        /// Inputs to nodes: the events of every figure.
        inputs,
        /// Processes that died.
        crashes,
        /// Times that all died at once.
        power_cuts,
        /// Writes that a crash left torn.
        torn,
        /// Writes that a crash swallowed.
        lost,
        /// Syncs that failed.
        failed_syncs,
        /// Writes that failed.
        failed_writes,
        /// Power cuts when a snapshot was on the disk and the log before it was not.
        outruns,
        /// New members that lost commands before their log named a configuration.
        newcomers,
        /// Processes that were paused.
        pauses,
        /// Disks that stalled.
        stalls,
        /// Disks that were wiped.
        wipes,
        /// Bits that flipped.
        rots,
        /// Servers whose program was replaced by a newer one.
        upgrades,
        /// Messages that an older program could not read.
        unread,
        /// Commands that decayed while another disk kept them.
        moths,
        /// Disks that lost commands of which a copy was left on one that lost others at the same time.
        crossed,
        /// Uncommitted commands that decayed with every copy.
        forlorn,
        /// Times that no member was left with a whole log.
        none_whole,
        /// Committed commands of which every copy decayed.
        ruins,
        /// Commands that a start found lost.
        decayed,
        /// Logs that got them back.
        repaired,
        /// Starts that were refused because of decay.
        refusals,
        /// Nodes that halted.
        halts,
        /// Operations of clients.
        operations,
        /// Requests that were sent again with their idempotency key.
        repeats,
        /// .. after they had ended for their clients.
        late_repeats,
        /// Times that a leader was to change what the table of idempotency keys keeps.
        retentions,
        /// Hand-overs of leadership that were asked for.
        transfers,
        /// Changes of the configuration that were asked for.
        changes,
        /// .. and came to be.
        changed,
        /// .. and were not made because no quorum would have been left.
        spared,
        /// Seats that got a fresh disk.
        seats,
        /// Snapshots that were captured.
        captures,
        /// .. and came to nothing.
        failed_captures,
        /// Chunks that were read.
        chunks,
        /// Chunks whose snapshot was gone.
        missing,
        /// Received snapshots that were damaged.
        damaged_snapshots,
        /// Snapshots that replaced a log.
        installs,
        /// Snapshots of which a bit flipped.
        spoilt,
        /// Starts from an older snapshot than the newest.
        older_starts,
        /// Segments that were deleted.
        released,
        /// Clocks that jumped.
        leaps,
        /// Clocks that stood still.
        standstills,
        /// Members that were said to be out of reach.
        reports,
        /// Reads that a lease may answer.
        lease_reads,
        /// Reads served from what any node has applied.
        stale_reads,
        /// Reads asked of a node that doesn't lead.
        follower_reads,
        /// Leaders that were cut off for long.
        exiles,
        /// Members that were cut off while others were added and removed.
        absences,
        /// Members that came back when all that they knew had left.
        exoduses,
        /// Disks that were put back to an earlier state.
        rollbacks,
        /// Leaders that were to begin a change that nobody hears of, and to be followed by one that is lost.
        bequests,
        /// Founders that lost their power when the others had founded, and stayed away.
        latecomers,
        /// Quorums whose disks lost what they had said they had synced.
        perjuries,
        /// Servers that came back on a disk that was given up.
        revenants,
        /// Followers that restarted when all was over.
        echoes,
        /// Disks that were full for a while.
        fills,
        /// Writes of clients that were refused since room was short.
        refused_writes,
        /// Writes that found no room.
        out_of_room,
        /// Snapshots, or parts of them, that found no room.
        roomless_snapshots,
        /// Starts when room was short.
        full_starts,
    }
}
