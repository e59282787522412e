//! A program of one's own: a counter that survives crashes and is the same on three machines. With a config file as
//! `httpraft config example` prints it, in a terminal each:
//!
//! ```sh
//! cargo run -p raft-http --example counter -- config.json 0        # and 1, and 2
//! curl -X POST localhost:9000/add/5                                # any node: a follower says where to go
//! curl localhost:9001/
//! ```

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use raft_http::config::{self, Config};
use raft_http::exit::{Code, Exit};
use raft_http::replica::{Replica, ReplicaError, StateMachine};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long a client waits at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// The replicated state.
#[derive(Clone, Default)]
struct Counter(i64);

impl StateMachine for Counter {
    /// A command is a number in decimal digits; the answer is the sum so far.
    fn apply(&mut self, command: &[u8]) -> Bytes {
        let number = std::str::from_utf8(command).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        self.0 = self.0.wrapping_add(number);
        self.0.to_string().into()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.0.to_le_bytes())
    }

    fn restore(input: &mut dyn Read) -> io::Result<Counter> {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes)?;
        Ok(Counter(i64::from_le_bytes(bytes)))
    }
}

/// Runs a node: its part of the cluster, and its routes, until `shutdown` completes.
pub(crate) async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<Exit, Exit> {
    let listener = TcpListener::bind(config.api()).await.map_err(|error| Exit::new(Code::Usage, error))?;
    let counter = Arc::new(Replica::<Counter>::start(config).await?);
    let routes = tokio::spawn(serve(listener, counter.clone()));
    let exit = counter.run(shutdown).await;
    routes.abort();
    Ok(exit)
}

async fn serve(listener: TcpListener, counter: Arc<Replica<Counter>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let counter = counter.clone();
        tokio::spawn(async move {
            let route = |request| answer(request, &counter);
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(route)).await
        });
    }
}

async fn answer<B>(
    request: Request<B>,
    counter: &Replica<Counter>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let done = match (request.method(), path.strip_prefix("/add/")) {
        (&Method::POST, Some(number)) => counter.propose(number.to_string(), PATIENCE).await,
        (&Method::GET, None) => counter.read(PATIENCE, |counter| counter.0.to_string().into()).await,
        _ => return Ok(with(StatusCode::NOT_FOUND, "POST /add/<number> or GET /".into())),
    };
    Ok(match done {
        Ok(sum) => with(StatusCode::OK, sum),
        Err(ReplicaError::NotLeader(leader)) => {
            let mut response = with(StatusCode::TEMPORARY_REDIRECT, leader.clone().into());
            let location =
                format!("http://{leader}{path}").parse().expect("an address and a path are a header");
            response.headers_mut().insert(http::header::LOCATION, location);
            response
        }
        Err(error) => with(StatusCode::SERVICE_UNAVAILABLE, error.to_string().into()),
    })
}

fn with(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

#[allow(dead_code, reason = "a test takes this file in as a module")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, id] = &arguments[..] else {
        eprintln!("usage: counter CONFIG-FILE ID");
        return Code::Usage.into();
    };
    let config = config::read(file.as_ref()).map_err(config::ConfigError::from);
    let config = config.and_then(|given| Config::new(id.parse().unwrap_or(usize::MAX), &given));
    let ended = match config {
        Ok(config) => run(config, async { drop(tokio::signal::ctrl_c().await) }).await,
        Err(error) => Err(error.into()),
    };
    let exit = ended.unwrap_or_else(|exit| exit);
    if !exit.line.is_empty() {
        eprintln!("counter: {}", exit.line);
    }
    exit.code.into()
}
