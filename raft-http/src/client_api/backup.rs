//! `GET /v1/backup`: all that was acknowledged before it was asked for, as a snapshot with its checksums.

use super::answer::{Answer, Problem, ProblemCode};
use super::stream::Pieces;
use super::writes::Refused;
use super::{Api, leadership};
use crate::driver::Event;
use crate::snapshot_thread::Copied;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use raft_core::Index;
use std::os::unix::fs::FileExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// How much is read at once.
const PIECE: u64 = 256 << 10;

/// How many pieces may wait for a slow client.
const WAITING: usize = 4;

/// Answers with a stream; what goes wrong later breaks it off.
pub(super) async fn answer(api: &Api, deadline: Instant) -> Result<Answer, Problem> {
    api.read(false, deadline).await.map_err(Problem::without_outcome)?;
    let wanted = api.core.status.borrow().applied;
    let copied = loop {
        let (snapshot, file) = newest(api, wanted, deadline).await?;
        // The one that was under way when it was asked for may be too old.
        if snapshot.last().index >= wanted {
            break (snapshot, file);
        }
        api.pause(deadline).await.map_err(Problem::without_outcome)?;
    };
    let index = copied.0.last().index;
    let (stream, content_type) = (Some(stream(copied)), "application/octet-stream");
    Ok(Answer { content_type, stream, ..Answer::empty(StatusCode::OK) }.at(index))
}

async fn newest(api: &Api, wanted: Index, deadline: Instant) -> Result<Copied, Problem> {
    let covered = |last: raft_core::EntryId| last.index >= wanted;
    if !api.core.status.borrow().snapshot.is_some_and(covered) {
        leadership::snapshot(api, deadline).await.map_err(|refused| match refused {
            Refused::Problem(problem) => problem.without_outcome(),
            Refused::NotLeader => Problem::new(ProblemCode::NoLeader, "no leader has committed anything yet"),
        })?;
    }
    let (answer, answered) = oneshot::channel();
    api.hand_in(Event::Newest { answer }, deadline).await.map_err(Problem::without_outcome)?;
    let none = |code, detail| Problem::new(code, detail);
    match timeout_at(deadline, answered).await {
        Err(_) => Err(none(ProblemCode::Timeout, "the disk of the snapshots did not answer in time")),
        Ok(Err(_)) => Err(none(ProblemCode::ShuttingDown, "this node stopped")),
        Ok(Ok(copied)) => copied.ok_or_else(|| none(ProblemCode::Starting, "there is nothing to copy yet")),
    }
}

/// The bytes of the file, as fast as the client takes them.
fn stream((snapshot, file): Copied) -> Pieces {
    let (sender, pieces) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut at = 0;
        while at < snapshot.size {
            let length = PIECE.min(snapshot.size - at);
            let mut bytes = BytesMut::zeroed(usize::try_from(length).unwrap_or(0));
            let read = file.read_exact_at(&mut bytes, at).map(|()| Bytes::from(bytes));
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
            at += length;
        }
    });
    pieces
}
