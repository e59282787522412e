//! What operators do to a running cluster: its members, its leader, its snapshots. Each command is one request to the
//! first endpoint that answers; any node passes it on to the leader.

use super::asking::{AGAIN, Asking, Request, worst};
use super::table;
use crate::exit::{Code, Exit};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use tokio::task::LocalSet;
use tokio::time::sleep;

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
pub(super) fn member(asking: &Asking, command: Member) -> Result<Exit, Exit> {
    let change = |method, path: String, body: Value| Request::new(method, path).json(&body);
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
    asking.show(table::members, async move |asking| {
        let mut answer = asking.insist(&request).await?.json();
        while let Some(id) = awaited
            && !votes(&answer, id)
        {
            sleep(AGAIN).await;
            asking.in_time(&format!("node {id} is a member, and does not vote yet: is it running?"))?;
            answer = asking.insist(&Request::get("/v1/members")).await?.json();
        }
        Ok(answer)
    })
}

/// Who leads, or another one.
pub(super) fn leader(asking: &Asking, command: Option<Leadership>) -> Result<Exit, Exit> {
    let request = match command {
        None => Request::get("/v1/members"),
        Some(Leadership::Transfer { id }) => {
            let body = id.map_or_else(|| json!({}), |id| json!({ "to": id }));
            Request::new(Method::POST, "/v1/leader/transfer").json(&body)
        }
    };
    asking.show(table::leader, async move |asking| {
        let answer = asking.insist(&request).await?.json();
        Ok(json!({ "leader_id": answer["leader_id"], "leader": answer["leader"] }))
    })
}

/// A snapshot on each of the endpoints, whatever becomes of the others: all at once, so that none waits for one that is
/// down.
pub(super) fn snapshot(asking: &Asking) -> Result<Exit, Exit> {
    let mut failed = Vec::new();
    asking.show(table::snapshots, async |asking| {
        let together = LocalSet::new();
        let ask = |endpoint: &String| {
            let only = asking.only(endpoint);
            let request = Request::new(Method::POST, "/v1/snapshot");
            (endpoint.clone(), together.spawn_local(async move { only.insist(&request).await }))
        };
        let tries: Vec<_> = asking.endpoints.iter().map(ask).collect();
        together.await;
        let mut rows = Vec::new();
        for (endpoint, tried) in tries {
            let mut row = json!({ "error": null });
            match tried.await.map_err(|error| Exit::new(Code::Failed, error))? {
                Ok(reply) => row = reply.json(),
                Err(exit) => {
                    row["error"] = json!(exit.line);
                    failed.push(exit);
                }
            }
            row["endpoint"] = json!(endpoint);
            rows.push(row);
        }
        Ok(json!({ "snapshots": rows }))
    })?;
    if failed.is_empty() { Ok(Exit::ok()) } else { Err(worst(failed)) }
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
