//! Opening one stream to a peer: resolve, connect, ask for the upgrade.

use super::Lane;
use super::handshake::{Identity, Refusal, UPGRADE};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use raft_core::NodeId;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long resolving, connecting and the answer may take altogether.
const DIAL: Duration = Duration::from_secs(2);

/// How much of a refusal's text is read.
const REFUSAL_BYTES: usize = 4096;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("no answer within {} s", DIAL.as_secs())]
    Late,
    #[error("{0}")]
    Connect(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Stranger(#[from] Refusal),
    #[error("it answers with {status} instead of a stream: {body}")]
    Refused { status: StatusCode, body: String },
}

/// Opens a stream to node `to`. The address is resolved each time: it may have moved.
pub(super) async fn dial(
    identity: &Identity,
    to: NodeId,
    address: &str,
    lane: Lane,
) -> Result<TcpStream, DialError> {
    let opened = tokio::time::timeout(DIAL, async {
        let stream = crate::call::connect(address).await?;
        crate::listen::notice_half_open(&stream)?;
        upgrade(identity, to, address, lane, stream).await
    });
    opened.await.unwrap_or(Err(DialError::Late))
}

async fn upgrade(
    identity: &Identity,
    to: NodeId,
    address: &str,
    lane: Lane,
    stream: TcpStream,
) -> Result<TcpStream, DialError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection.with_upgrades());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = http::Uri::from_static(lane.path());
    let headers = request.headers_mut();
    identity.introduce(to, headers);
    headers.insert(header::CONNECTION, http::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, http::HeaderValue::from_static(UPGRADE));
    if let Ok(host) = http::HeaderValue::try_from(address) {
        headers.insert(header::HOST, host);
    }
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body = Limited::new(response.into_body(), REFUSAL_BYTES).collect().await;
        let body =
            body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_string()).unwrap_or_default();
        connection.abort();
        return Err(DialError::Refused { status, body });
    }
    identity.check(response.headers(), |id| id == to)?;
    let upgraded = hyper::upgrade::on(response).await?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().expect("the connection was made of this type");
    // The receiver never speaks first, so nothing was read beyond its answer.
    Ok(parts.io.into_inner())
}
