//! The commands of the golden scripts that show something and change nothing.

use crate::cluster::{Cluster, Text, Work, standing};
use raft_core::{Lag, NodeId, PeerStatus, RoleName, Status};
use std::fmt::Write as _;

/// What a command shows of these servers, or of all; `None` if it isn't one that shows something.
pub(crate) fn look(cluster: &mut Cluster, verb: &str, which: &[u64]) -> Option<String> {
    if !["status", "members", "peers", "state"].contains(&verb) {
        return None;
    }
    let mut out = String::new();
    let all = cluster.ids();
    for id in all.into_iter().filter(|id| which.is_empty() || which.contains(id)) {
        let lines = match verb {
            _ if !cluster.runs(id) => vec![format!("{id} is down")],
            "status" => vec![status(&cluster.status(id))],
            "members" => vec![members(&cluster.status(id))],
            "peers" => cluster.node(id).peers().iter().map(|it| format!("{id} to {}", peer(it))).collect(),
            _ => vec![state(cluster, id)],
        };
        lines.iter().for_each(|line| writeln!(out, "{line}").unwrap());
    }
    Some(out)
}

/// The logs as the paper's figures draw them: the term of each entry under its index.
pub(crate) fn logs(cluster: &Cluster) -> String {
    let running = || cluster.ids().into_iter().filter(|id| cluster.runs(*id));
    let longest = running().map(|id| cluster.status(id).last.index.0).max().unwrap_or_default();
    let row = |cells: Vec<u64>| cells.iter().map(|cell| format!("{cell:>3}")).collect::<String>();
    let mut out = format!("index{}\n", row((1..=longest).collect()));
    for id in running() {
        let (terms, status) = (row(cluster.terms(id)), cluster.status(id));
        let before = "  .".repeat(status.base.index.0.saturating_sub(1) as usize);
        let terms = before + &terms;
        let width = 3 * longest as usize;
        writeln!(out, "{id:>5}{terms:width$}  commit={} durable={}", status.commit, status.durable).unwrap();
    }
    out
}

fn status(status: &Status) -> String {
    let role = match status.role {
        RoleName::Follower => "follower",
        RoleName::PreCandidate => "pre-candidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "leader",
    };
    let who = |id: Option<NodeId>| id.map_or("-".into(), |id| id.to_string());
    let mut out = format!(
        "{} {role} term={} vote={} leader={} commit={} applied={} durable={} last={}",
        status.id,
        status.term,
        who(status.vote),
        who(status.leader),
        status.commit,
        status.applied,
        status.durable,
        status.last
    );
    if let Some(to) = status.transferring {
        write!(out, " transferring={to}").unwrap();
    }
    for (name, count) in [("held", status.held), ("tickets", status.tickets)] {
        if count > 0 {
            write!(out, " {name}={count}").unwrap();
        }
    }
    for (name, is) in [("unfounded", !status.founded), ("halted", status.halted)] {
        if is {
            write!(out, " {name}").unwrap();
        }
    }
    out
}

/// The configuration in force.
fn members(status: &Status) -> String {
    let committed = if status.membership_at <= status.commit { "committed" } else { "uncommitted" };
    format!("{} at {} {} {committed}", status.id, status.membership_at, Text(&status.membership))
}

fn peer(peer: &PeerStatus) -> String {
    let PeerStatus { id, flow, matched, next, silent, .. } = peer;
    let lag = match peer.lag {
        Lag::None => "holds all".into(),
        Lag::Silent => "silent".into(),
        Lag::Probing => "probing".into(),
        Lag::Snapshot { have, size } => format!("snapshot {have}/{size}"),
        Lag::WindowFull => "window full".into(),
        Lag::OnTheWay => "on the way".into(),
    };
    let standing = standing(peer.standing);
    format!("{id}{standing} {flow:?} matched={matched} next={next} silent={silent}: {lag}")
}

/// The application's state and its snapshots, and what is under way.
fn state(cluster: &mut Cluster, id: u64) -> String {
    let (base, snapshot) = (cluster.status(id).base, cluster.status(id).snapshot);
    let snapshots = cluster.snapshots(id);
    let mut out = format!("{id} state={} base={base}", snapshots.state);
    match snapshot {
        Some(last) => write!(out, " snapshot={last}").unwrap(),
        None => out += " snapshot=-",
    }
    let files: Vec<String> =
        snapshots.files().iter().map(|(file, state)| format!("{} {state}", file.last())).collect();
    write!(out, " files=[{}]", files.join(", ")).unwrap();
    if let Some((last, have)) = snapshots.partial() {
        write!(out, " partial={last} with {have} bytes").unwrap();
    }
    let works = [("captures", Work::Capture), ("fetches", Work::Fetch), ("stores", Work::Store)];
    for (name, waiting) in works.map(|(name, work)| (name, snapshots.waiting(work))) {
        if waiting > 0 {
            write!(out, " {name}={waiting}").unwrap();
        }
    }
    out
}
