//! Which term a server is in. What it knows to be committed was committed in its own term or before: else it would hear a leader of
//! an earlier one, who may know nothing of it. And while it hears a leader, a part of a snapshot takes it into no later term: who
//! gives it may be a server that was removed and stands alone, ever again (rule 10 of DESIGN, dissertation 4.2.3).

use super::{
    Verdict,
    cluster::{Seat, Step},
    demand,
    leader_completeness::LeaderCompleteness,
};
use crate::facts::Class;
use raft_core::{Body, Index, Message, RoleName, Term};

/// The name of the invariant that a server's term is not behind its commit.
pub const COMMIT: &str = "commit_term";
/// The name of the invariant that who gives a snapshot deposes nobody.
pub const GIVEN: &str = "giver_deposes_nobody";

/// The newest terms in which a process is spoken to in the turn that is being taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spoken {
    /// With parts of snapshots that cover lost commands.
    given: Term,
    /// Otherwise.
    others: Term,
    /// Time passes, or it is told to stand: it may give up the leader that it heard before it is spoken to.
    stirred: bool,
    /// What it is told to be committed, and in which terms.
    told: Vec<(Term, Index)>,
}

impl Spoken {
    /// Whether a leader of this term or an earlier one tells it that an index is committed.
    pub(crate) fn tells(&self, term: Term, index: Index) -> bool {
        self.told.iter().any(|(told_in, told)| *told_in <= term && *told >= index)
    }

    /// It may give up its leader.
    pub(crate) fn stirred(&mut self) {
        self.stirred = true;
    }
}

/// A message reaches a node.
pub(crate) fn received(seat: &mut Seat, message: &Message) {
    seat.spoken.stirred |= matches!(message.body, Body::TimeoutNow);
    if let Body::Append { commit, .. } | Body::Heartbeat { commit, .. } = message.body {
        seat.spoken.told.push((message.term, commit));
    }
    let newest = match message.body {
        Body::Piece { .. } => &mut seat.spoken.given,
        _ => &mut seat.spoken.others,
    };
    *newest = message.term.max(*newest);
}

/// A turn is over.
pub(crate) fn stepped(seat: &mut Seat, step: &Step<'_>) -> Verdict {
    let Spoken { given, others, stirred, .. } = std::mem::take(&mut seat.spoken);
    let Some(before) = step.before.filter(|before| before.term < step.after.term) else { return Ok(()) };
    let by_gift = step.after.term == given && others <= before.term && step.after.role == RoleName::Follower;
    demand(before.leader.is_none() || stirred || !by_gift, GIVEN, Class::Liveness, || {
        format!(
            "node {} heard the leader of term {}, and is in term {given} now, by a part of a snapshot",
            step.node, before.term
        )
    })
}

/// A turn is over, and what was committed in it is known.
pub(crate) fn follows(completeness: &LeaderCompleteness, step: &Step<'_>) -> Verdict {
    let (commit, term) = (step.after.commit, step.after.term);
    let known = step.before.is_some_and(|before| before.commit == commit) || commit == Index(0);
    demand(known || completeness.has_committed(commit, term), COMMIT, Class::Safety, || {
        format!(
            "node {} knows {commit} as committed, and is in term {term}: nobody committed that much by then",
            step.node
        )
    })
}
