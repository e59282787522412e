//! The clients' listener: the seed's routes as in section 3 of the contract, and what operators ask. Every answer is
//! JSON, carries the common headers and names a leader that a client may go to.

mod about;
mod admin;
mod answer;
mod backup;
mod batch;
mod body;
mod changes;
mod cluster;
mod connections;
mod data;
mod entries;
mod events;
mod feed;
mod forward;
mod kv;
mod leadership;
mod members;
mod query;
mod reads;
mod routes;
mod seed;
mod socket;
mod space;
mod stream;
mod text;
mod upkeep;
mod waits;
mod watch_keys;
mod writes;

pub(crate) use connections::serve;
pub(crate) use upkeep::run as keep_up;

use crate::config::Limits;
use crate::contact::{AddressBook, Contact, founders};
use crate::driver::{Admission, Core, TickTimes};
use crate::machine::Retention;
use crate::patience::Patience;
use answer::{Answer, Outcome, Problem, ProblemCode};
use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use raft_core::{ClusterId, DiskId, Membership, NodeId};
use space::Space;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::Body;
use tokio::sync::watch;

/// The longest path with query that is answered.
const URI_BYTES: usize = 8 << 10;

/// The service on the clients' listener.
pub(crate) struct Api {
    core: Core,
    id: NodeId,
    disk: DiskId,
    cluster: ClusterId,
    book: Arc<AddressBook>,
    patience: Arc<Patience>,
    /// Who founds the cluster, to be shown until it is founded.
    founders: Membership,
    limits: Limits,
    /// Room for bodies that are not small.
    bodies: Admission,
    space: Space,
    election_timeout: Duration,
    /// How long one of the core's ticks is.
    tick: Duration,
    lease_reads: bool,
    /// How long idempotency keys are kept while this node leads.
    retention: Retention,
    /// How much of the clients' log is kept while this node leads.
    log_retention: Option<NonZeroU64>,
    /// How often the replicas compare their states.
    audit_interval: Duration,
    stage: watch::Sender<Stage>,
}

/// The headers of answers that HTTP does not know, made once.
static NODE: HeaderName = HeaderName::from_static("raft-node");
static TERM: HeaderName = HeaderName::from_static("raft-term");
static LEADER: HeaderName = HeaderName::from_static("raft-leader");
static INDEX: HeaderName = HeaderName::from_static("raft-index");
static CONSISTENCY: HeaderName = HeaderName::from_static("raft-consistency");
static LAST_CONTACT: HeaderName = HeaderName::from_static("raft-last-contact-ms");

/// Which cluster a request is meant for: its id in hexadecimal, as in `/v1/status`.
const CLUSTER: &str = "raft-cluster";

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It is not asked for.
    Serving,
    /// Leadership is being handed over; requests are answered, but no new client should come.
    Draining,
    /// What is under way is finished, nothing new is begun.
    Closing,
    /// The same, because the node is no member any more.
    Removed,
}

impl Api {
    pub(crate) fn new(
        core: Core,
        book: Arc<AddressBook>,
        patience: Arc<Patience>,
        config: &crate::config::Config,
        disk: DiskId,
    ) -> Api {
        Api {
            core,
            id: NodeId(config.id as u64),
            disk,
            cluster: config.cluster_id,
            book,
            patience,
            founders: founders(config).filter(|_| config.founds).unwrap_or_default(),
            limits: config.limits.clone(),
            bodies: Admission::new(usize::MAX, config.limits.body_bytes),
            space: Space::new(config),
            election_timeout: config.election_timeout,
            tick: TickTimes::new(config.heartbeat, config.election_timeout).length,
            lease_reads: config.lease_reads,
            retention: config.retention,
            log_retention: config.log_retention,
            audit_interval: config.audit_interval,
            stage: watch::Sender::new(Stage::Serving),
        }
    }

    /// Goes on to a later stage of stopping.
    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.send_if_modified(|now| std::mem::replace(now, stage.max(*now)) < stage);
    }

    fn is_in(&self, stage: Stage) -> bool {
        *self.stage.borrow() >= stage
    }

    /// Why this node begins nothing new.
    fn stopping(&self) -> Problem {
        if self.is_in(Stage::Removed) {
            Problem::new(ProblemCode::Removed, "this node was removed; ask another one")
        } else {
            Problem::new(ProblemCode::Draining, "this node is being stopped")
        }
    }

    /// Completes when what is under way is to be finished.
    fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stage = self.stage.subscribe();
        async move {
            // A service that is gone begins nothing new, either.
            let _ = stage.wait_for(|stage| *stage >= Stage::Closing).await;
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (began, method) = (Instant::now(), request.method().clone());
        let path = request.uri().path();
        let (versioned, route) = (path.starts_with("/v1/"), routes::name(path));
        // Held until the request is answered, whatever becomes of its body.
        let room = body::room(&request, &self.limits, &self.bodies);
        let answer = match room {
            Ok(_) => match self.route(request).await {
                Ok(answer) if method == Method::GET => answer.with_room(&self.bodies),
                // What was done is told, whatever it takes.
                answered => answered,
            },
            Err(problem) => {
                body::refuse(request).await;
                Err(problem)
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => {
                let answer = problem.answer(&self.leader_or_self().api);
                let content_type = if versioned { answer::PROBLEM_JSON } else { answer.content_type };
                Answer { content_type, ..answer }
            }
        };
        self.core.metrics.answered(&method, route, answer.status.as_u16(), began.elapsed());
        self.respond(answer)
    }

    /// When a request must be answered: as the client asks, or 5 s and time for two elections.
    fn deadline<B>(&self, request: &Request<B>) -> Result<tokio::time::Instant, Problem> {
        query::deadline(request, Duration::from_secs(5) + 2 * self.election_timeout)
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Answer, Problem> {
        let writes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
        self.check_head(&request).map_err(|problem| problem.of_write(writes))?;
        let method = request.method().clone();
        match (request.uri().path(), &method) {
            ("/request", &Method::POST) => seed::append(self, request).await,
            ("/request", _) => Err(Problem::method("POST").of_write(writes)),
            ("/log", &Method::GET) => seed::log(self, &request).await,
            ("/", &Method::PUT) => seed::put(self, request).await,
            ("/", &Method::GET) => seed::get(self, &request).await,
            ("/", _) => Err(Problem::method("GET, PUT").of_write(writes)),
            ("/log", _) => Err(Problem::method("GET").of_write(writes)),
            (path, _) if about::is_route(path) => about::answer(self, &request).await,
            (path, _) if data::is_route(path) => data::answer(self, request).await,
            (path, _) if admin::is_route(path) => admin::answer(self, request).await,
            _ => Err(Problem::new(ProblemCode::NoRoute, "there is no such path").of_write(writes)),
        }
    }

    /// What hyper lets pass and this service doesn't.
    fn check_head(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
        if uri > URI_BYTES {
            let detail = format!("path and query are longer than {URI_BYTES} bytes");
            return Err(Problem::new(ProblemCode::Uri, detail));
        }
        if header_bytes(request.headers()) > self.limits.headers {
            let detail = format!("the headers are longer than {} bytes", self.limits.headers);
            return Err(Problem::new(ProblemCode::Headers, detail));
        }
        let mut hosts = request.headers().get_all(http::header::HOST).iter();
        let one = hosts.next().is_none_or(|host| {
            // To read one costs an allocation, and most clients name this node as it names itself.
            host.as_bytes() == self.book.own().api.as_bytes() || Authority::try_from(host.as_bytes()).is_ok()
        });
        if !one || hosts.next().is_some() {
            let detail = "there may be one `Host`, and it is a name or an address, with or without a port";
            return Err(Problem::new(ProblemCode::BadHost, detail));
        }
        if let Some(meant) = request.headers().get(CLUSTER) {
            let own = format!("{:016x}", self.cluster.0);
            if meant.as_bytes() != own.as_bytes() {
                let detail = format!("this is cluster {own}; `Raft-Cluster` says {meant:?}");
                return Err(Problem::new(ProblemCode::WrongCluster, detail));
            }
        }
        Ok(())
    }

    /// Where the leader is, if one is known.
    fn leader(&self) -> Option<Arc<Contact>> {
        let leader = self.core.status.borrow().leader?;
        self.book.find(leader)
    }

    /// Where a client should go next: the leader, or this node while none is known.
    fn leader_or_self(&self) -> Arc<Contact> {
        self.leader().unwrap_or_else(|| self.book.own().clone())
    }

    /// Adds the headers that every answer has.
    fn respond(&self, answer: Answer) -> Response<Body> {
        let mut response = Response::new(match answer.stream {
            Some(pieces) => Body::Stream(pieces, None),
            None => Body::Whole(Full::new(answer.body)),
        });
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.reserve(8);
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(&NODE, short(format_args!("{}", self.id.0)));
        headers.insert(&TERM, short(format_args!("{}", self.core.status.borrow().term.0)));
        if let Some(leader) = self.leader().and_then(|leader| HeaderValue::try_from(&leader.api).ok()) {
            headers.insert(&LEADER, leader);
        }
        if let Some(index) = answer.index {
            headers.insert(&INDEX, short(format_args!("{}", index.0)));
        }
        if let Some(consistency) = answer.consistency {
            headers.insert(&CONSISTENCY, HeaderValue::from_static(consistency));
        }
        if let Some(ago) = answer.last_contact {
            headers.insert(&LAST_CONTACT, short(format_args!("{ago}")));
        }
        if let Some(at) = answer.etag {
            headers.insert(http::header::ETAG, short(format_args!("\"{at}\"")));
        }
        if let Some(location) = answer.location.and_then(|url| HeaderValue::try_from(url).ok()) {
            headers.insert(http::header::LOCATION, location);
        }
        if let Some(allow) = answer.allow {
            headers.insert(http::header::ALLOW, HeaderValue::from_static(allow));
        }
        for (name, value) in answer.marks {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if answer.retry_after {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// The answer to a request that never became one: hyper could not read its head.
    fn unreadable(&self, status: StatusCode) -> (Response<Body>, Bytes) {
        let problem = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(
                ProblemCode::Headers,
                format!(
                    "the headers are longer than {} bytes or more than 100, or the length of the body that they give is \
                     no size",
                    self.limits.headers
                ),
            ),
            StatusCode::URI_TOO_LONG => {
                Problem::new(ProblemCode::Uri, format!("path and query are longer than {URI_BYTES} bytes"))
            }
            _ => Problem::new(ProblemCode::BadRequest, "this is not HTTP/1.1"),
        };
        let answer = problem.with(Outcome::NotApplied).answer(&self.leader_or_self().api);
        let body = answer.body.clone();
        (self.respond(answer), body)
    }
}

/// A number as a header's value, maybe in quotation marks. http's own way from numbers allocates twice.
fn short(text: fmt::Arguments<'_>) -> HeaderValue {
    let mut place = [0; 24];
    let mut rest = place.as_mut_slice();
    rest.write_fmt(text).expect("a number has up to 20 digits");
    let left = rest.len();
    HeaderValue::from_bytes(&place[..place.len() - left]).expect("digits are a header value")
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
