//! A leader never overwrites or removes entries of its log; it only appends (Figure 3).

use super::{Verdict, cluster::Step, demand};
use crate::facts::Class;
use raft_core::RoleName;

/// The name of this invariant.
pub const NAME: &str = "leader_append_only";

/// A turn of a node that led before it. Nobody else leads that term, so its log stays whole until the term is over.
pub(crate) fn stepped(step: &Step<'_>) -> Verdict {
    let led =
        step.before.is_some_and(|before| before.role == RoleName::Leader && before.term == step.after.term);
    demand(!led || !(step.truncated() || step.installed), NAME, Class::Safety, || {
        format!(
            "node {} led term {} with a log to {}, and then kept it only to index {}",
            step.node, step.after.term, step.ended, step.kept
        )
    })
}
