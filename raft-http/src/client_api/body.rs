//! Reading a request's body within its bounds on size and time.

use super::answer::{Problem, ProblemCode, SMALL_BODY};
use crate::config::Limits;
use crate::driver::{Admission, Admitted};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;

/// How much of a body that is too large is still read, and for how long, before it is refused: a client that is busy
/// sending would not see an answer on a connection that is reset under it.
const DISCARDED_BYTES: usize = 16 << 20;
const DISCARDING: Duration = Duration::from_secs(2);

/// Room for the request's body, for as long as the request lasts; a small one needs none. One of unknown length is taken
/// for as long as it may be.
pub(super) fn room(
    request: &Request<Incoming>,
    limits: &Limits,
    bodies: &Admission,
) -> Result<Option<Admitted>, Problem> {
    let size = request.body().size_hint();
    let bytes = size.upper().and_then(|upper| usize::try_from(upper).ok()).unwrap_or(limits.body);
    // What is too large is refused without being kept.
    if bytes <= SMALL_BODY || size.lower() > limits.body as u64 {
        return Ok(None);
    }
    let full = || {
        let detail = "too many large requests are under way";
        Problem::new(ProblemCode::Overloaded, detail).of_write(request.method() != Method::GET)
    };
    bodies.admit(bytes.min(limits.body)).map(Some).ok_or_else(full)
}

/// The body as JSON of this form.
pub(super) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Incoming,
    limits: &Limits,
    deadline: Instant,
) -> Result<T, Problem> {
    let bytes = read(headers, body, limits, deadline).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::new(ProblemCode::BadJson, error.to_string()))
}

/// The whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limits: &Limits,
    deadline: Instant,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is longer than {} bytes", limits.body);
        Err(Problem::new(ProblemCode::TooLarge, detail))
    };
    if body.size_hint().lower() > limits.body as u64 {
        discard_unless_asked(headers, body).await;
        return too_large();
    }
    let patience = deadline.min(Instant::now() + limits.body_read);
    match tokio::time::timeout_at(patience, collect(&mut body, limits.body)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            discard(body, limits.body).await;
            too_large()
        }
        Ok(Err(error)) => {
            Err(Problem::new(ProblemCode::BadRequest, format!("the body can't be read: {error}")))
        }
        Err(_) if patience == deadline => {
            Err(Problem::new(ProblemCode::Timeout, "the body was not here before the request's deadline"))
        }
        Err(_) => {
            let detail = format!("the body was not there after {:?}", limits.body_read);
            Err(Problem::new(ProblemCode::SlowBody, detail))
        }
    }
}

/// The body's bytes; `None` as soon as they are more than `limit`. A body that comes in one piece is not copied.
async fn collect(body: &mut Incoming, limit: usize) -> Result<Option<Bytes>, hyper::Error> {
    let mut whole = Bytes::new();
    let mut pieces = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        if whole.len() + pieces.len() + piece.len() > limit {
            return Ok(None);
        }
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&piece);
        }
    }
    Ok(Some(if pieces.is_empty() { whole } else { pieces.freeze() }))
}

/// Reads what comes of a request that is refused at once.
pub(super) async fn refuse(request: Request<Incoming>) {
    let (head, body) = request.into_parts();
    discard_unless_asked(&head.headers, body).await;
}

/// Who asked for leave to send (`Expect: 100-continue`) has sent nothing yet.
async fn discard_unless_asked(headers: &HeaderMap, body: Incoming) {
    if !headers.contains_key(header::EXPECT) {
        discard(body, 0).await;
    }
}

async fn discard(mut body: Incoming, read: usize) {
    let rest = async {
        let mut read = read;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DISCARDED_BYTES {
                break;
            }
        }
    };
    // At the end of its patience the connection is closed, whatever the client makes of it.
    let _ = tokio::time::timeout(DISCARDING, rest).await;
}
