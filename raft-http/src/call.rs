//! One request to a node's address for clients: how nodes forward to the leader, ask before they join, and what the
//! command line speaks. A connection a request: all of it is rare.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// How long one address may take to connect.
const CONNECT: Duration = Duration::from_secs(1);

/// How much of an answer is taken.
const ANSWER_BYTES: usize = 16 << 20;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// Headers beside the usual ones.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No byte of the request has left.
    #[error("{address} can't be reached: {why}")]
    NotSent { address: String, why: String },
    /// The request may have arrived.
    #[error("{address} gave no answer: {why}")]
    NoAnswer { address: String, why: String },
}

impl Call {
    /// Asks for a path.
    pub(crate) fn get(path: impl Into<String>) -> Call {
        Call { method: Method::GET, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// Sends it once, and waits for the whole answer.
    pub(crate) async fn send(&self, address: &str, deadline: Instant) -> Result<Reply, CallError> {
        let not_sent = |why: String| CallError::NotSent { address: address.to_string(), why };
        let no_answer = |why: String| CallError::NoAnswer { address: address.to_string(), why };
        let request = self.request(address).map_err(&not_sent)?;
        let connecting = deadline.min(Instant::now() + CONNECT);
        let stream = match timeout_at(connecting, connect(address)).await {
            Ok(stream) => stream.map_err(|error| not_sent(error.to_string()))?,
            Err(_) => return Err(not_sent("no connection in time".to_string())),
        };
        let exchange = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
            connection.abort();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Reply {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        match timeout_at(deadline, exchange).await {
            Ok(reply) => reply.map_err(|error| no_answer(error.to_string())),
            Err(_) => Err(no_answer("its time is over".to_string())),
        }
    }

    fn request(&self, address: &str) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse::<Uri>().map_err(|error| error.to_string())?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::try_from(address).map_err(|error| error.to_string())?);
        for (name, value) in &self.headers {
            headers.insert(*name, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
        }
        Ok(request)
    }
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Connects to the first address of the name that answers.
pub(crate) async fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(address).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
