//! How a node on an empty disk takes part in a cluster that runs: it asks for the cluster's id, and then waits until
//! `member add` or `member replace` has named it. It never founds.

use crate::call::{Call, CallError};
use crate::config::{Config, Store};
use crate::data_dir::DataDir;
use crate::exit::{Code, Exit};
use raft_core::ClusterId;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// How long running nodes are looked for, and the pause between two rounds.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// How long one of them may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Finds out which cluster the node joins, if it is told to join one and its disk is empty. A disk that is in use stays
/// what it is; then it is only looked at whether it is of the same cluster, if somebody is there to ask.
pub async fn ask(config: &mut Config) -> Result<(), Exit> {
    if config.join.is_empty() {
        return Ok(());
    }
    let used = match &config.store {
        Store::Directory(path) if DataDir::is_used(path)? => Some(path.clone()),
        Store::Directory(_) | Store::Memory => None,
    };
    if let Some(path) = used {
        if let Ok((address, cluster)) = first_cluster(config).await {
            let own = DataDir::cluster_of(&path)?;
            if own.is_some_and(|own| own != cluster) {
                return Err(other_cluster(&format!("the data directory {path:?}"), own, &address, cluster));
            }
        }
        return Ok(());
    }
    let begun = Instant::now();
    let (address, cluster) = loop {
        match first_cluster(config).await {
            Ok(found) => break found,
            Err(why) if begun.elapsed() > PATIENCE => {
                return Err(Exit::new(
                    Code::Temporary,
                    format!(
                        "--join: none of {} could be asked ({why}): give the addresses for clients of running nodes",
                        config.join.join(", ")
                    ),
                ));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    for other in config.join.iter().filter(|other| **other != address) {
        if let Ok(theirs) = cluster_of(other).await
            && theirs != cluster
        {
            return Err(other_cluster(other, Some(theirs), &address, cluster));
        }
    }
    refuse_taken(config, &address).await?;
    tracing::info!(
        node = config.id,
        cluster = format_args!("{:016x}", cluster.0),
        "joins the cluster of {address}; waits until `httpraft member add {id}` or `member replace {id}` names it",
        id = config.id,
    );
    config.cluster_id = cluster;
    Ok(())
}

fn other_cluster(what: &str, own: Option<ClusterId>, address: &str, cluster: ClusterId) -> Exit {
    let own = own.map_or(String::new(), |own| format!(" ({:016x})", own.0));
    Exit::new(
        Code::Usage,
        format!(
            "--join: {what} is of another cluster{own} than {address} ({:016x}): name nodes of one cluster, and give this \
             node that cluster's --data-dir or an empty one",
            cluster.0
        ),
    )
}

/// The first node that answers, and its cluster.
async fn first_cluster(config: &Config) -> Result<(String, ClusterId), String> {
    let mut last = "no address".to_string();
    for address in &config.join {
        match cluster_of(address).await {
            Ok(cluster) => return Ok((address.clone(), cluster)),
            Err(why) => last = why,
        }
    }
    Err(last)
}

async fn cluster_of(address: &str) -> Result<ClusterId, String> {
    let said = get(address, "/v1/status").await.map_err(|error| error.to_string())?;
    let cluster = said["cluster_id"].as_str().and_then(|text| u64::from_str_radix(text, 16).ok());
    let cluster = cluster.ok_or_else(|| format!("{address} is no node of httpraft, or an older one"))?;
    if said["founded"] == true {
        Ok(ClusterId(cluster))
    } else {
        Err(format!("{address} is not part of a formed cluster itself"))
    }
}

async fn get(address: &str, path: &str) -> Result<Value, CallError> {
    Ok(Call::get(path).send(address, Instant::now() + ANSWER).await?.json())
}

/// Whether the id is another disk's: then that member must be replaced first. Who can't be asked just now is no reason
/// to wait: the core finds out, too.
async fn refuse_taken(config: &Config, address: &str) -> Result<(), Exit> {
    let members = get(address, "/v1/members").await.map_or(Value::Null, |said| said["members"].clone());
    let same = |member: &&Value| member["id"].as_u64() == Some(config.id as u64);
    let taken =
        members.as_array().into_iter().flatten().find(same).and_then(|member| member["disk"].as_str());
    match taken {
        None => Ok(()),
        Some(disk) => {
            let id = config.id;
            Err(Exit::new(
                Code::Usage,
                format!(
                    "--join: node {id} is a member with another disk ({disk}): bring that data directory back, give up \
                     that disk with `httpraft member replace {id}`, or take an id that is free"
                ),
            ))
        }
    }
}
