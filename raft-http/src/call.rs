//! One request to a node's address for clients: how nodes forward to the leader, ask before they join, and what the
//! command line speaks. A connection a request: all of it is rare.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long one address may take to connect.
const CONNECT: Duration = Duration::from_secs(1);

/// Why an answer that comes later is none.
const LATE: &str = "its time is over";

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

/// An answer that has begun.
pub(crate) struct Opened {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    address: String,
    deadline: Instant,
    /// The connection, which ends with this.
    _driving: JoinSet<Result<(), hyper::Error>>,
    _sender: SendRequest<Full<Bytes>>,
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
        self.open(address, deadline).await?.whole().await
    }

    /// Sends it once, and waits for the beginning of the answer.
    pub(crate) async fn open(&self, address: &str, deadline: Instant) -> Result<Opened, CallError> {
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
            let mut driving = JoinSet::new();
            driving.spawn(connection);
            let (head, body) = sender.send_request(request).await?.into_parts();
            let address = address.to_string();
            Ok(Opened {
                status: head.status,
                headers: head.headers,
                body,
                address,
                deadline,
                _driving: driving,
                _sender: sender,
            })
        };
        match timeout_at(deadline, exchange).await {
            Ok(opened) => opened.map_err(|error: hyper::Error| no_answer(error.to_string())),
            Err(_) => Err(no_answer(LATE.to_string())),
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

impl Opened {
    /// The rest of the answer as a whole.
    pub(crate) async fn whole(self) -> Result<Reply, CallError> {
        let Opened { status, headers, body, address, deadline, .. } = self;
        let no_answer = |why: String| CallError::NoAnswer { address, why };
        match timeout_at(deadline, Limited::new(body, ANSWER_BYTES).collect()).await {
            Ok(Ok(body)) => Ok(Reply { status, headers, body: body.to_bytes() }),
            Ok(Err(error)) => Err(no_answer(error.to_string())),
            Err(_) => Err(no_answer(LATE.to_string())),
        }
    }

    /// The next piece, however long it takes; `None` at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let broke = |error: hyper::Error| CallError::NoAnswer {
                address: self.address.clone(),
                why: error.to_string(),
            };
            if let Ok(piece) = frame.map_err(broke)?.into_data() {
                return Ok(Some(piece));
            }
        }
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
