//! What a node tells about itself as it happens: each change of state once, typed. The feed of traces, metrics and
//! `/v1/events`; no part of the protocol.

use crate::ids::{EntryId, Index, NodeId, Term};
use crate::membership::Membership;
use crate::status::{FlowName, RoleName};

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Role, term or known leader changed.
    Role {
        /// The role now.
        role: RoleName,
        /// The term now.
        term: Term,
        /// The leader that is known now.
        leader: Option<NodeId>,
    },
    /// Another configuration is in force: appended, rolled back, or come with a snapshot.
    Membership {
        /// Where it stands.
        at: Index,
        /// The configuration.
        membership: Membership,
    },
    /// The configuration in force is committed.
    MembershipCommitted {
        /// Where it stands.
        at: Index,
    },
    /// Leadership is being handed over.
    TransferBegun {
        /// To whom.
        to: NodeId,
    },
    /// A hand-over came to nothing: this node goes on leading.
    TransferEnded {
        /// To whom it was to go.
        to: NodeId,
    },
    /// The way in which a member is sent the log changed.
    Flow {
        /// To whom.
        peer: NodeId,
        /// How now.
        flow: FlowName,
    },
    /// A learner has caught up and may be made a voter.
    CaughtUp {
        /// Who.
        peer: NodeId,
    },
    /// A snapshot began to arrive.
    Receiving {
        /// From whom.
        from: NodeId,
        /// The last entry that it covers.
        last: EntryId,
    },
    /// A snapshot from the leader replaced the log.
    Restored {
        /// The last entry that it covers.
        last: EntryId,
    },
    /// A snapshot of this node's own is on stable storage.
    Captured {
        /// The last entry that it covers.
        last: EntryId,
    },
    /// Nothing that the disk had lost is lacking any more.
    Repaired,
    /// The log in memory begins later.
    Compacted {
        /// The last entry that it does without.
        base: EntryId,
    },
}
