//! What operators do to a running cluster: its members, its leader, its snapshots. Each command is one request to the
//! first endpoint that answers; any node passes it on to the leader.

use super::table;
use crate::call::{Call, CallError, Reply};
use crate::config;
use crate::exit::{Code, Exit};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long beyond the server's own deadline an answer is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// The pause before a request is sent again that was not applied and may succeed later.
const AGAIN: Duration = Duration::from_millis(100);

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
    output: Output,
    /// How long it may take, tries included, like 10s; at most 60s
    #[arg(long, value_name = "DURATION", default_value = "10s", global = true, value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Subcommand)]
pub(super) enum Member {
    /// List the members, and how far each one is
    #[command(after_help = "Example: httpraft member list --endpoints localhost:9000")]
    List,
    /// Take a new node in: it receives the log, and votes as soon as it has caught up
    #[command(
        after_help = "Example: httpraft member add 3 --peer localhost:8003 --api localhost:9003 --wait"
    )]
    Add {
        /// Its number, which no other member has
        id: u64,
        /// Its address for the other nodes
        #[arg(long, value_name = "HOST:PORT")]
        peer: String,
        /// Its address for clients
        #[arg(long, value_name = "HOST:PORT")]
        api: String,
        /// It never votes by itself: it only receives the log
        #[arg(long)]
        learner: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Let a learner that has caught up vote
    #[command(after_help = "Example: httpraft member promote 3")]
    Promote {
        /// Which
        id: u64,
    },
    /// Take a member's vote; it still receives the log
    #[command(after_help = "Example: httpraft member demote 3")]
    Demote {
        /// Which
        id: u64,
    },
    /// Give up a member's disk: it comes back on an empty one, started with --join
    #[command(
        after_help = "Example: httpraft member replace 1, then on its machine: httpraft 1 --join localhost:9000"
    )]
    Replace {
        /// Which
        id: u64,
        /// Its new address for the other nodes, if it changes
        #[arg(long, value_name = "HOST:PORT")]
        peer: Option<String>,
        /// Its new address for clients, if it changes
        #[arg(long, value_name = "HOST:PORT")]
        api: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Remove a member; its process ends with exit code 3
    #[command(after_help = "Example: httpraft member remove 0")]
    Remove {
        /// Which
        id: u64,
    },
}

#[derive(Args)]
pub(super) struct Wait {
    /// Wait until it votes; it has to run meanwhile
    #[arg(long)]
    wait: bool,
}

#[derive(Subcommand)]
pub(super) enum Leadership {
    /// Hand leadership to another voter, by default to the one that is best up to date
    #[command(after_help = "Example: httpraft leader transfer 2 --endpoints localhost:9000")]
    Transfer {
        /// To whom
        id: Option<u64>,
    },
}

/// Runs a command on the members.
pub(super) fn member(asking: Asking, command: Member) -> Result<Exit, Exit> {
    let change = |method, path: String, body: Value| Request { method, path, body };
    let (request, awaited) = match command {
        Member::List => (change(Method::GET, "/v1/members".into(), Value::Null), None),
        Member::Add { id, peer, api, learner, wait } => {
            let body = json!({ "id": id, "peer": peer, "api": api, "voter": !learner });
            (change(Method::POST, "/v1/members".into(), body), wait.of(id))
        }
        Member::Promote { id } => {
            (change(Method::POST, format!("/v1/members/{id}/promote"), Value::Null), None)
        }
        Member::Demote { id } => {
            (change(Method::POST, format!("/v1/members/{id}/demote"), Value::Null), None)
        }
        Member::Replace { id, peer, api, wait } => {
            let given = [("peer", peer), ("api", api)];
            let given = given.into_iter().filter_map(|(key, value)| Some((key.to_string(), json!(value?))));
            let body = Value::Object(given.collect());
            (change(Method::POST, format!("/v1/members/{id}/replace"), body), wait.of(id))
        }
        Member::Remove { id } => (change(Method::DELETE, format!("/v1/members/{id}"), Value::Null), None),
    };
    run(asking, table::members, async move |asking| {
        let mut answer = asking.insist(&request).await?;
        while let Some(id) = awaited
            && !votes(&answer, id)
        {
            sleep(AGAIN).await;
            asking.in_time(&format!("node {id} is a member, and does not vote yet: is it running?"))?;
            answer = asking.insist(&change(Method::GET, "/v1/members".into(), Value::Null)).await?;
        }
        Ok(answer)
    })
}

/// Who leads, or another one.
pub(super) fn leader(asking: Asking, command: Option<Leadership>) -> Result<Exit, Exit> {
    let request = match command {
        None => Request { method: Method::GET, path: "/v1/members".into(), body: Value::Null },
        Some(Leadership::Transfer { id }) => {
            let body = id.map_or_else(|| json!({}), |id| json!({ "to": id }));
            Request { method: Method::POST, path: "/v1/leader/transfer".into(), body }
        }
    };
    run(asking, table::leader, async move |asking| {
        let answer = asking.insist(&request).await?;
        Ok(json!({ "leader_id": answer["leader_id"], "leader": answer["leader"] }))
    })
}

/// A snapshot on each of the endpoints.
pub(super) fn snapshot(asking: Asking) -> Result<Exit, Exit> {
    run(asking, table::snapshots, async |asking| {
        let request = Request { method: Method::POST, path: "/v1/snapshot".into(), body: Value::Null };
        let mut taken = Vec::new();
        for endpoint in asking.endpoints.clone() {
            let one = Endpoints { endpoints: vec![endpoint], deadline: asking.deadline };
            taken.push(one.insist(&request).await?);
        }
        Ok(json!({ "snapshots": taken }))
    })
}

fn votes(answer: &Value, id: u64) -> bool {
    let members = answer["members"].as_array();
    let mut of_id = members.into_iter().flatten().filter(|member| member["id"] == id);
    of_id.any(|member| member["standing"] == "voter") && answer["joint"] == false
}

impl Wait {
    fn of(self, id: u64) -> Option<u64> {
        self.wait.then_some(id)
    }
}

/// One request, sent until it is answered for good.
struct Request {
    method: Method,
    path: String,
    /// Null for none.
    body: Value,
}

/// Whom to ask, and until when.
struct Endpoints {
    endpoints: Vec<String>,
    deadline: Instant,
}

fn run(
    asking: Asking,
    table: fn(&Value) -> String,
    command: impl AsyncFnOnce(&Endpoints) -> Result<Value, Exit>,
) -> Result<Exit, Exit> {
    let endpoints = endpoints(&asking)?;
    let answer = crate::start::runtime()?.block_on(async {
        let endpoints = Endpoints { endpoints, deadline: Instant::now() + asking.timeout };
        command(&endpoints).await
    })?;
    super::print(&match asking.output {
        Output::Json => format!("{answer:#}"),
        Output::Table => table(&answer),
    })
}

fn endpoints(asking: &Asking) -> Result<Vec<String>, Exit> {
    if !asking.endpoints.is_empty() {
        return Ok(asking.endpoints.clone());
    }
    let none =
        |why: String| Exit::new(Code::Usage, format!("whom to ask? give --endpoints HOST:PORT ({why})"));
    let file = config::find(asking.config.as_deref()).map_err(|error| none(error.to_string()))?;
    let given = config::read(&file).map_err(|error| none(error.to_string()))?;
    let apis = given.iter().find(|given| given.key == "apis").and_then(|given| given.value.as_array());
    let apis: Vec<String> =
        apis.into_iter().flatten().filter_map(|api| Some(api.as_str()?.to_string())).collect();
    if apis.is_empty() { Err(none(format!("{} lists no \"apis\"", file.display()))) } else { Ok(apis) }
}

impl Endpoints {
    /// Ends a wait that has lasted for too long.
    fn in_time(&self, why: &str) -> Result<(), Exit> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(Exit::new(Code::Temporary, why)) }
    }

    /// Sends the request to one endpoint after another until there is an answer. What was not applied and may succeed
    /// later is sent again; what may have been applied is not.
    async fn insist(&self, request: &Request) -> Result<Value, Exit> {
        let mut last = Exit::new(Code::Temporary, "the time was over before anything was asked");
        loop {
            for endpoint in &self.endpoints {
                match self.ask(request, endpoint).await {
                    Ok(answer) => return Ok(answer),
                    Err(Failed { exit, again: false }) => return Err(exit),
                    Err(Failed { exit, again: true }) => last = exit,
                }
            }
            if Instant::now() + AGAIN >= self.deadline {
                return Err(last);
            }
            sleep(AGAIN).await;
        }
    }

    async fn ask(&self, request: &Request, endpoint: &str) -> Result<Value, Failed> {
        let left = self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let body = if request.body.is_null() { Bytes::new() } else { request.body.to_string().into() };
        let call = Call {
            method: request.method.clone(),
            path: request.path.clone(),
            headers: vec![("raft-timeout", format!("{}ms", left.as_millis()))],
            body,
        };
        match call.send(endpoint, self.deadline + GRACE).await {
            Ok(reply) => judge(&reply, endpoint),
            Err(error @ CallError::NotSent { .. }) => {
                Err(Failed { exit: Exit::new(Code::Temporary, error), again: true })
            }
            Err(error @ CallError::NoAnswer { .. }) if request.method == Method::GET => {
                Err(Failed { exit: Exit::new(Code::Temporary, error), again: true })
            }
            Err(error @ CallError::NoAnswer { .. }) => {
                let line =
                    format!("{error}; whether it was done can't be told: look at `httpraft member list`");
                Err(Failed { exit: Exit::new(Code::OutcomeUnknown, line), again: false })
            }
        }
    }
}

struct Failed {
    exit: Exit,
    again: bool,
}

/// What an answer means to a script: its exit code.
fn judge(reply: &Reply, endpoint: &str) -> Result<Value, Failed> {
    let said = reply.json();
    if reply.status.is_success() {
        return Ok(said);
    }
    let detail = said["detail"].as_str().unwrap_or("no reason given");
    let line = format!("{endpoint}: {} ({detail})", said["title"].as_str().unwrap_or(reply.status.as_str()));
    let again = said["retryable"] == true && matches!(said["outcome"].as_str(), Some("not_applied") | None);
    let code = match (said["outcome"].as_str(), reply.status.as_u16()) {
        (Some("unknown" | "applied"), _) => Code::OutcomeUnknown,
        (_, 503 | 504) => Code::Temporary,
        (_, 400) => Code::Usage,
        _ => Code::Failed,
    };
    Err(Failed { exit: Exit::new(code, line), again })
}
