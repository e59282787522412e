//! `GET /v1/events`: the changes of this node's state as Server-Sent Events, each a line of the simulator's trace.

use super::Api;
use super::answer::Answer;
use crate::driver::{Told, since_start};
use bytes::Bytes;
use http::StatusCode;
use raft_core::Event;
use std::io;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

/// The media type.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// A client whose network vanished is noticed when something is sent to it.
const COMMENT: Duration = Duration::from_secs(10);

/// How many events may wait for a slow client.
const WAITING: usize = 16;

/// Follows the events from now on; the first ones say how things are.
pub(super) fn answer(api: &Api) -> Answer {
    let mut told = api.core.told.subscribe();
    let (sender, stream) = mpsc::channel(WAITING);
    let (now, closing) = (present(api), api.closing());
    tokio::spawn(async move {
        let following = async {
            for event in &now {
                send(&sender, event).await?;
            }
            loop {
                let next = tokio::time::timeout(COMMENT, told.recv()).await;
                match next {
                    Ok(Ok(event)) => send(&sender, &event).await?,
                    // It was too slow: what it missed is gone, and it begins anew with how things are.
                    Ok(Err(RecvError::Lagged(missed))) => {
                        let line = format!("missed {missed} events: connect again");
                        send(&sender, &Told { kind: "lagged", line }).await?;
                        return None;
                    }
                    Ok(Err(RecvError::Closed)) => return None,
                    Err(_) => sender.send(Ok(Bytes::from_static(b": still here\n\n"))).await.ok()?,
                }
            }
        };
        tokio::select! {
            ended = following => ended.unwrap_or(()),
            () = closing => {}
        }
    });
    Answer { content_type: EVENT_STREAM, stream: Some(stream), ..Answer::empty(StatusCode::OK) }
}

/// How things are, as the events that led there.
fn present(api: &Api) -> [Told; 2] {
    let status = api.core.status.borrow().clone();
    let role = Event::Role { role: status.role, term: status.term, leader: status.leader };
    let membership = Event::Membership { at: status.membership_at, membership: status.membership };
    [role, membership].map(|event| Told::new(api.id, since_start(), &event))
}

/// `None` if the client is gone.
async fn send(sender: &mpsc::Sender<io::Result<Bytes>>, Told { kind, line }: &Told) -> Option<()> {
    sender.send(Ok(format!("event: {kind}\ndata: {line}\n\n").into())).await.ok()
}
