//! Whether what clients saw of a log is linearizable.

use std::time::Instant;

/// What a client did, and where in the log it took place: a write at its entry, a read behind the last one it saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) place: u64,
    pub(crate) is_write: bool,
    pub(crate) began: Instant,
    /// When the answer was there. Without one it may have taken place at any time after it began.
    pub(crate) ended: Option<Instant>,
}

/// The log gives each event its place; what ended before something began must have its place before it. Of a log, whose
/// reads say how long it was, this is all that linearizability asks for (Herlihy and Wing 1990).
pub(crate) fn check_linearizable(events: &mut [Event]) -> Result<(), String> {
    let mut ended: Vec<(Instant, u64)> =
        events.iter().filter_map(|event| Some((event.ended?, event.place))).collect();
    ended.sort_unstable();
    events.sort_unstable_by_key(|event| event.began);
    let (mut before, mut highest) = (ended.into_iter().peekable(), 0);
    for event in events {
        while let Some((_, place)) = before.next_if(|(ended, _)| *ended < event.began) {
            highest = highest.max(place);
        }
        let after = if event.is_write { event.place > highest } else { event.place >= highest };
        if !after {
            return Err(format!("{event:?} began after something at {highest} had ended"));
        }
    }
    Ok(())
}
