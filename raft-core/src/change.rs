//! How one configuration becomes the next (dissertation 4.1 to 4.3). Whatever changes the set of voters goes through a
//! joint configuration; everything else changes at once. Pure arithmetic: who may change what when is the leader's.

use crate::ids::{Index, NodeId};
use crate::membership::{Member, Membership, Standing};
use alloc::vec::Vec;
use bytes::Bytes;

/// One change of one member. Several make one change of the configuration, each member named once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A new member receives the log. Its first answer puts its disk on record.
    Add {
        /// Who. An id that was removed may come again, with another disk.
        id: NodeId,
        /// See [`Member::context`].
        context: Bytes,
        /// Whether it is made a voter on its own once it has caught up.
        votes: bool,
    },
    /// A learner that has caught up becomes a voter.
    Promote {
        /// Who.
        id: NodeId,
    },
    /// A voter becomes a learner, and an entrant stays one.
    Demote {
        /// Who.
        id: NodeId,
    },
    /// A member is one no more.
    Remove {
        /// Who.
        id: NodeId,
    },
    /// The member lost its disk, or will: it comes back with a new one, as a learner that is made a voter again if it was
    /// one. The old disk counts no more from the moment on that this is in force.
    Replace {
        /// Who.
        id: NodeId,
        /// A new context, if it changes.
        context: Option<Bytes>,
    },
    /// A member's context changes.
    Update {
        /// Who.
        id: NodeId,
        /// See [`Member::context`].
        context: Bytes,
    },
}

impl Change {
    /// Whom it changes.
    pub fn id(&self) -> NodeId {
        match self {
            Change::Add { id, .. }
            | Change::Promote { id }
            | Change::Demote { id }
            | Change::Remove { id }
            | Change::Replace { id, .. }
            | Change::Update { id, .. } => *id,
        }
    }
}

/// Why a configuration isn't changed, or leadership not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The leader has not committed an entry of its own term yet (Ongaro 2015): try again soon.
    TermNotCommitted,
    /// An earlier change is not complete.
    InProgress {
        /// Where its configuration stands.
        at: Index,
    },
    /// The configuration is not the one that was expected.
    Moved {
        /// Where the one in force stands.
        at: Index,
    },
    /// Leadership is being handed over.
    Transferring,
    /// There is no such member.
    UnknownMember {
        /// Who.
        id: NodeId,
    },
    /// It is a member already.
    AlreadyMember {
        /// Who.
        id: NodeId,
    },
    /// It doesn't vote, and so can't lead.
    NotAVoter {
        /// Who.
        id: NodeId,
    },
    /// It votes already.
    AlreadyVoter {
        /// Who.
        id: NodeId,
    },
    /// It leads: hand leadership over first.
    Leads {
        /// Who.
        id: NodeId,
    },
    /// The learner has not caught up yet, or its disk is not on record.
    NotCaughtUp {
        /// Who.
        id: NodeId,
    },
    /// The new configuration has no quorum of voters that are heard at the moment.
    WouldLoseQuorum,
    /// Nobody would vote, a member is named twice, or the configuration is too long: see [`Membership::new`].
    NotAConfiguration,
    /// Nothing would change.
    NoChange,
    /// There is no other voter to hand over to.
    NoSuccessor,
}

impl Membership {
    /// The configuration that these changes lead to at once: a joint one if the voters change.
    ///
    /// # Errors
    /// A [`Refusal`] that depends on the configuration alone.
    pub fn change(&self, changes: &[Change]) -> Result<Membership, Refusal> {
        let mut members: Vec<Member> = self.members().to_vec();
        for (at, change) in changes.iter().enumerate() {
            if changes.iter().take(at).any(|earlier| earlier.id() == change.id()) {
                return Err(Refusal::NotAConfiguration);
            }
            alter(&mut members, change)?;
        }
        let changed = Membership::new(members).ok_or(Refusal::NotAConfiguration)?;
        if changed == *self { Err(Refusal::NoChange) } else { Ok(changed) }
    }

    /// What follows a joint configuration: the new half alone. `None` if this one isn't joint.
    pub fn leave(&self) -> Option<Membership> {
        if !self.is_joint() {
            return None;
        }
        let settled = |member: &Member| {
            let standing = match member.standing {
                Standing::Leaving => return None,
                Standing::Joining => Standing::Voter,
                Standing::Demoting if member.replaced.is_some() => Standing::Entrant,
                Standing::Demoting => Standing::Learner,
                stays @ (Standing::Voter | Standing::Learner | Standing::Entrant) => stays,
            };
            Some(Member { standing, ..member.clone() })
        };
        Membership::new(self.members().iter().filter_map(settled).collect())
    }
}

fn alter(members: &mut Vec<Member>, change: &Change) -> Result<(), Refusal> {
    let id = change.id();
    let place = members.iter().position(|member| member.id == id);
    let Some(member) = place.and_then(|at| members.get_mut(at)) else {
        let Change::Add { context, votes, .. } = change else { return Err(Refusal::UnknownMember { id }) };
        let standing = if *votes { Standing::Entrant } else { Standing::Learner };
        members.push(Member::new(id, standing, context.clone()));
        return Ok(());
    };
    let votes = member.standing.votes();
    match change {
        Change::Add { .. } => return Err(Refusal::AlreadyMember { id }),
        Change::Promote { .. } if votes => return Err(Refusal::AlreadyVoter { id }),
        Change::Promote { .. } if member.disk.is_none() => return Err(Refusal::NotCaughtUp { id }),
        Change::Promote { .. } => member.standing = Standing::Joining,
        Change::Demote { .. } => member.standing = if votes { Standing::Demoting } else { Standing::Learner },
        Change::Remove { .. } if votes => member.standing = Standing::Leaving,
        Change::Remove { .. } => members.retain(|member| member.id != id),
        // There is no disk to give up.
        Change::Replace { .. } if votes && member.disk.is_none() => return Err(Refusal::NoChange),
        Change::Replace { context, .. } => {
            member.replaced = member.disk.take().or(member.replaced);
            if votes {
                member.standing = Standing::Demoting;
            }
            if let Some(context) = context {
                member.context = context.clone();
            }
        }
        Change::Update { context, .. } => member.context = context.clone(),
    }
    Ok(())
}
