//! Beyond what a cluster can bear: of a committed entry no copy is left, neither on a disk, nor in a process, nor under way.
//! Then everybody stops before it. All other invariants go on, and this one adds what follows from them together: whoever
//! leads later has what was committed (Figure 3), so nobody ever leads; so nothing is committed there, and nothing is
//! answered; and who has lost it says so. Only that anything is served can't be asked any more.

use super::{Verdict, cluster::Step, demand};
use crate::facts::Class;
use raft_core::{Answer, Entry, EntryId, NodeId, RoleName};

/// The name of this invariant.
pub const NAME: &str = "ruin";

/// What nobody has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ruin(pub(crate) Option<EntryId>);

impl Ruin {
    /// A turn is over.
    pub(crate) fn stepped(self, step: &Step<'_>) -> Verdict {
        let Some(lost) = self.0.filter(|_| !step.after.halted) else { return Ok(()) };
        let (node, status) = (step.node, step.after);
        demand(status.role != RoleName::Leader, NAME, Class::Safety, || {
            format!("node {node} leads term {}, and nobody has {lost}, which is committed", status.term)
        })?;
        demand(status.commit < lost.index, NAME, Class::Safety, || {
            format!("node {node} knows of commits to {}, and nobody has {lost}", status.commit)
        })?;
        let says = step.log.id_at(lost.index) != Some(lost) || status.decayed > 0;
        demand(says, NAME, Class::Safety, || format!("node {node} does not say that it has lost {lost}"))
    }

    /// An entry is applied.
    pub(crate) fn applied(self, node: NodeId, entry: &Entry) -> Verdict {
        let Some(lost) = self.0 else { return Ok(()) };
        demand(entry.index() < lost.index, NAME, Class::Safety, || {
            format!("node {node} applies {}, and nobody has {lost}", entry.id())
        })
    }

    /// A ticket is answered.
    pub(crate) fn answered(self, node: NodeId, answer: Answer) -> Verdict {
        let Some(lost) = self.0 else { return Ok(()) };
        let tells = matches!(answer, Answer::Committed(_) | Answer::ReadAt(_));
        demand(!tells, NAME, Class::Safety, || {
            format!("node {node} answers {answer:?}, and nobody has {lost}, which is committed")
        })
    }
}
