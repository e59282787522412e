//! What the other nodes send: the peer listener grants streams to nodes of this cluster, and reads frames from them.

mod reader;

use crate::contact::AddressBook;
use crate::driver::{Event, since_start};
use crate::listen::Listeners;
use crate::patience::Patience;
use crate::peers::Lane;
use crate::peers::handshake::{Caller, Identity, Refusal, UPGRADE};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use raft_core::NodeId;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::warn;

/// Connections that may be under way to a stream at the same time.
const CALLS: usize = 64;

/// How long a caller may take for its headers.
const HEADER_READ: Duration = Duration::from_secs(5);

/// How many different refusals are remembered, so that each is logged once.
const REMEMBERED: usize = 64;

/// The service on the peer listener.
pub(crate) struct PeerApi {
    identity: Arc<Identity>,
    /// Learns where the callers are.
    book: Arc<AddressBook>,
    /// .. and how long they wait.
    patience: Arc<Patience>,
    /// The way to the driver.
    events: mpsc::Sender<Event>,
    max_frame: usize,
    /// Ends the newest stream of each peer and lane, when the peer opens another one: the older is a leftover of a
    /// connection that the peer gave up.
    streams: Mutex<HashMap<(NodeId, Lane), Arc<Notify>>>,
    refused: Mutex<HashSet<String>>,
}

impl PeerApi {
    pub(crate) fn new(
        identity: Arc<Identity>,
        book: Arc<AddressBook>,
        patience: Arc<Patience>,
        events: mpsc::Sender<Event>,
        max_frame: usize,
    ) -> PeerApi {
        let (streams, refused) = (Mutex::default(), Mutex::default());
        PeerApi { identity, book, patience, events, max_frame, streams, refused }
    }

    /// Serves the listener's connections until aborted, and all streams with it.
    pub(crate) async fn run(self: Arc<PeerApi>, listeners: Listeners) {
        let mut accepting = JoinSet::new();
        let (_open, never) = watch::channel(false);
        let mut accepted = listeners.accept(&mut accepting, &never);
        let mut connections = JoinSet::new();
        let room = Arc::new(Semaphore::new(CALLS));
        while let Some(stream) = accepted.recv().await {
            while connections.try_join_next().is_some() {}
            // Over the limit a call is closed at once; a peer dials again.
            let Ok(permit) = room.clone().try_acquire_owned() else { continue };
            let api = self.clone();
            connections.spawn(async move {
                let granted = api.call(stream).await;
                drop(permit);
                if let Some(granted) = granted {
                    api.stream(granted).await;
                }
            });
        }
    }

    /// Answers the one request of a connection.
    async fn call(&self, stream: TcpStream) -> Option<Granted> {
        crate::listen::notice_half_open(&stream).ok()?;
        let granted = Mutex::new(None);
        let service = service_fn(|request| {
            let answer = self.answer(request, &granted);
            async move { Ok::<_, Infallible>(answer) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        // A broken call has no one to be told to: the peer sees it and dials again.
        served.ok().and_then(|()| granted.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, request: Request<Incoming>, granted: &Mutex<Option<Granted>>) -> Response<Full<Bytes>> {
        let lane = Lane::ALL.into_iter().find(|lane| lane.path() == request.uri().path());
        let upgrade = request.headers().get(header::UPGRADE).is_some_and(|value| value == UPGRADE);
        let Some(lane) = lane.filter(|_| upgrade) else {
            let detail = "this port is for the nodes of the cluster; clients use the addresses in \"apis\"";
            return refusal(StatusCode::NOT_FOUND, "no_route", detail);
        };
        let caller = match self.identity.check(request.headers(), |_| true) {
            Ok(caller) => caller,
            Err(refused) => {
                self.log_once(&refused);
                let (code, status) = refused.code();
                return refusal(status, code, &refused.to_string());
            }
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        self.identity.introduce(caller.node, response.headers_mut());
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(UPGRADE));
        let stream = Granted { caller, lane, stream: hyper::upgrade::on(request) };
        *granted.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        response
    }

    /// Reads a stream to its end, or until the peer opens another one in its place.
    async fn stream(&self, Granted { caller, lane, stream }: Granted) {
        let Ok(upgraded) = stream.await else { return };
        let parts = upgraded.downcast::<TokioIo<TcpStream>>().expect("the connection was made of this type");
        let superseded = Arc::new(Notify::new());
        let older = {
            let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            streams.insert((caller.node, lane), superseded.clone())
        };
        if let Some(older) = older {
            older.notify_one();
        }
        self.book.called(caller.node, caller.contact.clone());
        self.patience.called(caller.node, caller.stamp, caller.patience, since_start());
        let reading =
            reader::read(parts.io.into_inner(), &parts.read_buf, &caller, &self.events, self.max_frame);
        let ended = tokio::select! {
            ended = reading => ended,
            () = superseded.notified() => return,
        };
        if lane == Lane::Control {
            // Without a driver there is nobody to stand for election.
            let _ = self.events.send(Event::StreamEnded { from: caller.node }).await;
        }
        if let Err(error) = ended {
            warn!(node = self.identity.node.0, peer = caller.node.0, %error, "closed a stream");
        }
    }

    fn log_once(&self, refused: &Refusal) {
        let text = refused.to_string();
        let mut logged = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < REMEMBERED && logged.insert(text) {
            warn!(node = self.identity.node.0, "refused a stream: {refused}");
        }
    }
}

/// A stream that was granted, to be had when the answer is written.
struct Granted {
    caller: Caller,
    lane: Lane,
    stream: OnUpgrade,
}

fn refusal(status: StatusCode, code: &str, detail: &str) -> Response<Full<Bytes>> {
    let body = json!({ "code": code, "detail": detail }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
