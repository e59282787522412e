//! One client's connection, kept alive and made anew when it broke.

use super::Workload;
use crate::call::connect;
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

pub(super) struct Connection {
    endpoint: String,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// The connection, which ends with this.
    _driving: JoinSet<hyper::Result<()>>,
}

/// Why a request has no good answer.
#[derive(Debug)]
pub(super) struct Trouble {
    /// The server's word for it, or `not_sent`, `no_answer`, `timeout`, `too_late`.
    pub(super) code: String,
    /// No byte of the request has left.
    pub(super) not_sent: bool,
}

impl Trouble {
    pub(super) fn code(code: impl Into<String>) -> Trouble {
        Trouble { code: code.into(), not_sent: false }
    }
}

impl Connection {
    pub(super) fn new(endpoint: &str) -> Connection {
        Connection { endpoint: endpoint.to_string(), open: None }
    }

    /// The next request gets a new connection.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Sends the workload's request of this number and takes in the whole answer.
    pub(super) async fn exchange(&mut self, workload: &Workload, number: u64) -> Result<(), Trouble> {
        let not_sent = || Trouble { code: "not_sent".to_string(), not_sent: true };
        // An idle connection may have been closed meanwhile.
        if self.open.as_ref().is_none_or(|open| open.sender.is_closed()) {
            let stream = connect(&self.endpoint).await.map_err(|_| not_sent())?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| not_sent())?;
            let mut driving = JoinSet::new();
            driving.spawn(connection);
            self.open = Some(Open { sender, _driving: driving });
        }
        let Open { sender, .. } = self.open.as_mut().expect("opened above");
        sender.ready().await.map_err(|_| not_sent())?;
        let mut request = workload.request(number);
        let host = HeaderValue::try_from(&self.endpoint).map_err(|_| not_sent())?;
        request.headers_mut().insert(header::HOST, host);
        let answered = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            hyper::Result::Ok((head.status, body.collect().await?.to_bytes()))
        };
        match answered.await {
            Ok((status, body)) => workload.judge(status, &body).map_err(Trouble::code),
            Err(_) => {
                self.close();
                Err(Trouble::code("no_answer"))
            }
        }
    }
}
