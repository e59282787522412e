//! Whom the commands ask, and how they insist: one endpoint after another, until there is an answer for good.

use crate::call::{Call, CallError, Opened, Reply};
use crate::config;
use crate::exit::{Code, Exit};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// The longest time that a command may be given.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How much of its time an endpoint is not told of, at most: in it comes the answer that its time is over.
const GRACE: Duration = Duration::from_secs(2);

/// The pause before a request is sent again that was not applied and may succeed later.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// Where to ask and how to answer.
#[derive(Args)]
pub(super) struct Asking {
    /// Nodes to ask, by their addresses for clients; the config file's "apis" if not given
    #[arg(
        long,
        value_name = "HOST:PORT,..",
        value_delimiter = ',',
        env = "HTTPRAFT_ENDPOINTS",
        global = true
    )]
    endpoints: Vec<String>,
    /// The config file that names the endpoints; else ./peers.json, else ./config.json
    #[arg(long, value_name = "FILE", env = "HTTPRAFT_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    pub(super) output: Output,
    /// How long it may take, tries included, like 10s; at most 60s
    #[arg(long, value_name = "DURATION", default_value = "10s", global = true, value_parser = duration)]
    pub(super) timeout: Duration,
}

/// A time that can be counted on from now.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration <= LONGEST { Ok(duration) } else { Err("it is longer than a day".to_string()) }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
}

/// One request, sent until it is answered for good.
pub(super) struct Request {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// It has an idempotency key: it may be sent again although it may have been applied.
    keyed: bool,
}

impl Request {
    /// A read.
    pub(super) fn get(path: impl Into<String>) -> Request {
        Request::new(Method::GET, path)
    }

    /// A request without a body.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Request {
        Request { method, path: path.into(), headers: Vec::new(), body: Bytes::new(), keyed: false }
    }

    /// The same request with a body; null for none.
    pub(super) fn json(self, body: &Value) -> Request {
        if body.is_null() { self } else { Request { body: body.to_string().into(), ..self } }
    }

    /// The same request as a write of these bytes that takes effect once, however often it is sent.
    pub(super) fn once(mut self, body: Bytes) -> Request {
        self.headers.push(("idempotency-key", Uuid::now_v7().to_string()));
        Request { body, keyed: true, ..self }
    }

    /// The same request with one more header, if there is a value for it.
    pub(super) fn header(mut self, name: &'static str, value: Option<String>) -> Request {
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// To an endpoint that has until then.
    fn call(&self, until: Instant) -> Call {
        let (mut headers, time) = (self.headers.clone(), left(until));
        let told = time - GRACE.min(time / 3);
        headers.push(("raft-timeout", format!("{}ms", told.as_millis().max(1))));
        Call { method: self.method.clone(), path: self.path.clone(), headers, body: self.body.clone() }
    }
}

/// Whom to ask, and until when.
pub(super) struct Endpoints {
    pub(super) endpoints: Vec<String>,
    pub(super) deadline: Instant,
}

impl Asking {
    /// Runs a command that asks.
    pub(super) fn run<T>(&self, command: impl AsyncFnOnce(&Endpoints) -> Result<T, Exit>) -> Result<T, Exit> {
        let endpoints = self.endpoints()?;
        crate::start::runtime()?.block_on(async {
            command(&Endpoints { endpoints, deadline: Instant::now() + self.timeout }).await
        })
    }

    /// Runs a command that asks, and prints what it is told.
    pub(super) fn show(
        &self,
        table: fn(&Value) -> String,
        command: impl AsyncFnOnce(&Endpoints) -> Result<Value, Exit>,
    ) -> Result<Exit, Exit> {
        let answer = self.run(command)?;
        super::print(&match self.output {
            Output::Json => format!("{answer:#}"),
            Output::Table => table(&answer),
        })
    }

    pub(super) fn endpoints(&self) -> Result<Vec<String>, Exit> {
        if !self.endpoints.is_empty() {
            return Ok(self.endpoints.clone());
        }
        let none =
            |why: String| Exit::new(Code::Usage, format!("whom to ask? give --endpoints HOST:PORT ({why})"));
        let file = config::find(self.config.as_deref()).map_err(|error| none(error.to_string()))?;
        let given = config::read(&file).map_err(|error| none(error.to_string()))?;
        let apis = given.iter().find(|given| given.key == "apis").and_then(|given| given.value.as_array());
        let apis: Vec<String> =
            apis.into_iter().flatten().filter_map(|api| Some(api.as_str()?.to_string())).collect();
        if apis.is_empty() { Err(none(format!("{} lists no \"apis\"", file.display()))) } else { Ok(apis) }
    }
}

impl Endpoints {
    /// Ends a wait that has lasted for too long.
    pub(super) fn in_time(&self, why: &str) -> Result<(), Exit> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(Exit::new(Code::Temporary, why)) }
    }

    /// One of them alone.
    pub(super) fn only(&self, endpoint: &str) -> Endpoints {
        Endpoints { endpoints: vec![endpoint.to_string()], deadline: self.deadline }
    }

    /// Sends the request to one endpoint after another until there is an answer. What was not applied and may succeed
    /// later is sent again; what may have been applied only if it has a key, and what came of it stays unknown then until
    /// it is told.
    pub(super) async fn insist(&self, request: &Request) -> Result<Reply, Exit> {
        let mut unknown = false;
        self.try_all(async |endpoint, until| {
            let tried = ask(request, endpoint, until).await;
            tried.map_err(|mut failed| {
                unknown |= failed.exit.code == Code::OutcomeUnknown;
                if unknown {
                    failed.exit.code = Code::OutcomeUnknown;
                }
                failed
            })
        })
        .await
    }

    /// The same for an answer that comes bit by bit.
    pub(super) async fn open(&self, request: &Request) -> Result<(String, Opened), Exit> {
        self.try_all(async |endpoint, until| {
            let opened = request.call(until).open(endpoint, until).await;
            let opened = opened.map_err(|error| again(Code::Temporary, error))?;
            if opened.status.is_success() {
                return Ok((endpoint.to_string(), opened));
            }
            let reply = opened.whole().await.map_err(|error| again(Code::Temporary, error))?;
            Err(judge(&reply, endpoint, false))
        })
        .await
    }

    async fn try_all<T>(
        &self,
        mut one: impl AsyncFnMut(&str, Instant) -> Result<T, Failed>,
    ) -> Result<T, Exit> {
        // What each endpoint said: who can't be reached must not hide what another one knows.
        let mut said: Vec<Option<Failed>> = self.endpoints.iter().map(|_| None).collect();
        loop {
            let mut hopeless = true;
            for (nth, endpoint) in self.endpoints.iter().enumerate() {
                // One that stands still must leave time for the others.
                let share = left(self.deadline) / (self.endpoints.len() - nth) as u32;
                let failed = match one(endpoint, Instant::now() + share).await {
                    Ok(answer) => return Ok(answer),
                    Err(Failed { exit, next: Next::Nothing, .. }) => return Err(exit),
                    Err(failed) => failed,
                };
                hopeless &= failed.next == Next::Others;
                match &mut said[nth] {
                    // The last tries have little time: that they had no answer must not hide an earlier one.
                    Some(before) if failed.silent && !before.silent => {
                        before.exit.code = worse(before.exit.code, failed.exit.code);
                    }
                    said => *said = Some(failed),
                }
            }
            if hopeless || Instant::now() + AGAIN >= self.deadline {
                return Err(worst(said.into_iter().flatten().map(|failed| failed.exit).collect()));
            }
            sleep(AGAIN).await;
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Asks one endpoint, which has until then.
async fn ask(request: &Request, endpoint: &str, until: Instant) -> Result<Reply, Failed> {
    match request.call(until).send(endpoint, until).await {
        Ok(reply) if reply.status.is_success() => Ok(reply),
        Ok(reply) => Err(judge(&reply, endpoint, request.keyed)),
        Err(error @ CallError::NotSent { .. }) => Err(again(Code::Temporary, error)),
        Err(error @ CallError::NoAnswer { .. }) if request.method == Method::GET => {
            Err(again(Code::Temporary, error))
        }
        Err(error @ CallError::NoAnswer { .. }) => {
            let line = format!("{error}; whether it was done can't be told: look before you try again");
            let next = if request.keyed { Next::All } else { Next::Nothing };
            Err(Failed { exit: Exit::new(Code::OutcomeUnknown, line), next, silent: true })
        }
    }
}

/// What may have been done comes first, then the highest code.
fn worse(one: Code, other: Code) -> Code {
    std::cmp::max_by_key(one, other, |code| (*code == Code::OutcomeUnknown, *code as u8))
}

/// All of these as one.
pub(super) fn worst(failed: Vec<Exit>) -> Exit {
    let code = failed.iter().map(|exit| exit.code).reduce(worse).unwrap_or(Code::Temporary);
    Exit { code, line: failed.into_iter().map(|exit| exit.line).collect::<Vec<_>>().join("; ") }
}

/// A try that failed, and where another one makes sense.
struct Failed {
    exit: Exit,
    next: Next,
    /// It was not answered, whether it could be reached or not.
    silent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// This answer is for good.
    Nothing,
    /// This endpoint belongs to no cluster any more.
    Others,
    /// Any of them, also this one, later.
    All,
}

fn again(code: Code, error: CallError) -> Failed {
    Failed { exit: Exit::new(code, error), next: Next::All, silent: true }
}

/// What a failure means to a script: its exit code.
fn judge(reply: &Reply, endpoint: &str, keyed: bool) -> Failed {
    let said = reply.json();
    let detail = said["detail"].as_str().unwrap_or("no reason given");
    let line = format!("{endpoint}: {} ({detail})", said["title"].as_str().unwrap_or(reply.status.as_str()));
    let harmless = keyed || matches!(said["outcome"].as_str(), Some("not_applied") | None);
    let next = match said["code"].as_str() {
        Some("removed") if harmless => Next::Others,
        _ if harmless && said["retryable"] == true => Next::All,
        _ => Next::Nothing,
    };
    let code = match (said["outcome"].as_str(), reply.status.as_u16()) {
        (Some("unknown" | "applied"), _) => Code::OutcomeUnknown,
        (_, 503 | 504) => Code::Temporary,
        (_, 400) => Code::Usage,
        _ => Code::Failed,
    };
    Failed { exit: Exit::new(code, line), next, silent: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    #[test]
    fn a_time_that_no_clock_reaches_is_refused() {
        assert_eq!(duration("1day"), Ok(LONGEST));
        for text in ["300000000000years", "1day 1s", "10"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    /// What `try_all` makes of two endpoints that answer so, and how often it asked.
    fn tried(answers: [Result<&'static str, Next>; 2]) -> (Result<&'static str, String>, usize) {
        let endpoints = vec!["a".to_string(), "b".to_string()];
        let asking = Endpoints { endpoints, deadline: Instant::now() + 2 * AGAIN };
        let mut asked = 0;
        let answer = crate::start::runtime().unwrap().block_on(asking.try_all(async |endpoint: &str, _| {
            asked += 1;
            let answer = answers[usize::from(endpoint == "b")];
            let exit = || Exit::new(Code::Failed, format!("{endpoint} failed"));
            answer.map_err(|next| Failed { exit: exit(), next, silent: false })
        }));
        (answer.map_err(|exit| exit.line), asked)
    }

    #[test]
    fn who_was_removed_is_passed_by() {
        assert_eq!(tried([Err(Next::Others), Ok("done")]), (Ok("done"), 2));
        assert_eq!(tried([Err(Next::Others), Err(Next::Others)]), (Err("a failed; b failed".to_string()), 2));
        assert_eq!(tried([Err(Next::Nothing), Ok("done")]), (Err("a failed".to_string()), 1));
        assert!(tried([Err(Next::Others), Err(Next::All)]).1 > 2);
    }

    #[test]
    fn silence_hides_no_answer_and_a_newer_answer_hides_an_older_one() {
        let line = |rounds: [(&str, bool); 3]| {
            let deadline = Instant::now() + 10 * AGAIN;
            let asking = Endpoints { endpoints: vec!["a".to_string()], deadline };
            let mut rounds = rounds.into_iter();
            let asked = asking.try_all(async |_: &str, _| {
                let (line, silent) = rounds.next().expect("no try is begun with the time over");
                if rounds.len() == 0 {
                    tokio::time::sleep_until(deadline).await;
                }
                let code = if silent { Code::OutcomeUnknown } else { Code::Failed };
                Err::<(), _>(Failed { exit: Exit::new(code, line), next: Next::All, silent })
            });
            let exit = crate::start::runtime().unwrap().block_on(asked).unwrap_err();
            (exit.line, exit.code)
        };
        let unknown = |said: &str| (said.to_string(), Code::OutcomeUnknown);
        assert_eq!(line([("no leader", false), ("late", true), ("later", true)]), unknown("no leader"));
        assert_eq!(line([("late", true), ("later", true), ("refused", true)]), unknown("refused"));
        let newest = ("timeout".to_string(), Code::Failed);
        assert_eq!(line([("late", true), ("no leader", false), ("timeout", false)]), newest);
    }

    #[test]
    fn where_to_ask_next_follows_from_code_and_outcome() {
        let next = |code: &str, outcome: &str, retryable: bool, keyed| {
            let body = serde_json::json!({ "code": code, "outcome": outcome, "retryable": retryable });
            let reply =
                Reply { status: StatusCode::GONE, headers: HeaderMap::new(), body: body.to_string().into() };
            judge(&reply, "a", keyed).next
        };
        assert!(next("removed", "not_applied", false, false) == Next::Others);
        assert!(next("key_expired", "unknown", false, true) == Next::Nothing);
        assert!(next("no_leader", "not_applied", true, false) == Next::All);
        assert!(next("leadership_lost", "unknown", true, false) == Next::Nothing);
        assert!(next("leadership_lost", "unknown", true, true) == Next::All);
    }
}
