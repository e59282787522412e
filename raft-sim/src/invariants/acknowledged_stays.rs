//! What a follower has acknowledged to the leader of a term stays in its log for that term: that leader's log only
//! grows, so nothing that it sends can contradict what it was told it has (paper section 5.3; a delayed append must
//! not truncate).

use super::{
    Verdict,
    cluster::{Seat, Step},
    demand,
};
use crate::facts::Class;

/// The name of this invariant.
pub const NAME: &str = "acknowledged_stays";

/// A turn that may have truncated.
pub(crate) fn stepped(seat: &Seat, step: &Step<'_>) -> Verdict {
    if !step.truncated() {
        return Ok(());
    }
    let Some(ack) = seat.acks.get(&(step.after.term, seat.stamp.disk)) else { return Ok(()) };
    demand(step.kept >= ack.matched, NAME, Class::Safety, || {
        format!(
            "node {} acknowledged index {} to the leader of term {}, and then kept its log only to index {}",
            step.node, ack.matched, step.after.term, step.kept
        )
    })
}
