//! Members come and go under load: no acknowledged write is lost, and writes hardly pause.

use crate::cluster::ledger::Ledger;
use crate::cluster::load::Load;
use crate::cluster::{Cluster, ends_within, http, httpraft, report};
use std::fs;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a change may take on a busy machine, and how long a removed process may take to end.
const CHANGED: Duration = Duration::from_secs(30);
/// A pause that is longer is no pause but a loss of service. The figures themselves are printed.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How long each state is kept under load.
const WHILE: Duration = Duration::from_millis(400);

/// An operator's command, asked of all nodes that run.
pub(crate) fn operate(cluster: &Cluster, arguments: &[&str]) -> Output {
    let up: Vec<&str> = cluster.up().into_iter().map(|id| cluster.apis[id].as_str()).collect();
    let mut command = httpraft(cluster.directory());
    command.args(arguments).args(["--endpoints", &up.join(","), "--timeout", "25s"]);
    command.output().expect("httpraft starts")
}

/// The same, and it must succeed.
fn operated(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = operate(cluster, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

fn add(cluster: &mut Cluster, id: usize) {
    cluster.start(id);
    let (peer, api) = (cluster.peers[id].clone(), cluster.apis[id].clone());
    operated(cluster, &["member", "add", &id.to_string(), "--peer", &peer, "--api", &api, "--wait"]);
}

/// Removes a member: its process ends with exit code 3, then and when it is started again.
fn remove(cluster: &mut Cluster, id: usize) {
    operated(cluster, &["member", "remove", &id.to_string()]);
    assert_eq!(cluster.take(id).ended(CHANGED), Some(3), "node {id} was removed");
    cluster.start(id);
    assert_eq!(cluster.take(id).ended(CHANGED), Some(3), "node {id} stays removed");
}

/// Brings a node whose disk is gone back under its old number.
fn replace(cluster: &mut Cluster, id: usize) {
    cluster.kill(id);
    fs::remove_dir_all(&cluster.setups[id].data_dir).expect("the disk goes");
    operated(cluster, &["member", "replace", &id.to_string()]);
    if !cluster.setups[id].arguments.contains(&"--join".to_string()) {
        let join = cluster.others(id);
        cluster.setups[id].arguments.extend(["--join".to_string(), join]);
    }
    cluster.start(id);
    wait_for_vote(cluster, id);
}

fn wait_for_vote(cluster: &Cluster, id: usize) {
    let votes = || {
        let any = cluster.up()[0];
        http::get(&cluster.apis[any], "/v1/members").is_ok_and(|answer| {
            let members = answer.json["members"].as_array().cloned().unwrap_or_default();
            let member = members.into_iter().find(|member| member["id"] == id);
            member.is_some_and(|member| member["standing"] == "voter") && answer.json["joint"] == false
        })
    };
    assert!(ends_within(CHANGED, votes), "node {id} votes again");
}

/// What happened from when on.
struct Steps {
    steps: Vec<(String, Instant)>,
}

impl Steps {
    fn step(&mut self, name: impl Into<String>) {
        self.steps.push((name.into(), Instant::now()));
    }

    /// Prints the longest time without an acknowledged write during each step, and checks that none was endless.
    fn report(&self, ledger: &Ledger) {
        let mut times: Vec<Instant> = ledger.acknowledged.iter().map(|(_, time)| *time).collect();
        times.sort_unstable();
        let end = *times.last().expect("writes were acknowledged");
        let ends = self.steps.iter().skip(1).map(|(_, from)| *from).chain([end]);
        for ((name, from), to) in self.steps.iter().zip(ends) {
            let within = times.iter().copied().filter(|time| (*from..to).contains(time));
            let all: Vec<Instant> = [*from].into_iter().chain(within).chain([to]).collect();
            let pause = all.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0])).max();
            let pause = pause.unwrap_or_default();
            let took = to.saturating_duration_since(*from);
            report(&format!("{name}: longest pause {pause:?} in {took:?}, {} writes", all.len() - 2));
            assert!(pause < LONGEST_PAUSE, "{name}: no write for {pause:?}");
        }
    }
}

#[test]
fn a_cluster_grows_is_replaced_node_by_node_and_shrinks() {
    let mut cluster = Cluster::growing(1, 8);
    cluster.start(0);
    cluster.leader();
    let load = Load::start("members", &cluster.apis, 4);
    let mut steps = Steps { steps: Vec::new() };
    sleep(WHILE);
    steps.step("1 -> 3");
    add(&mut cluster, 1);
    add(&mut cluster, 2);
    steps.step("3 -> 5");
    add(&mut cluster, 3);
    add(&mut cluster, 4);
    for (new, old) in [(5, 0), (6, 1), (7, 2)] {
        steps.step(format!("add {new}"));
        add(&mut cluster, new);
        let leads = cluster.leader().id == old;
        steps.step(format!("remove {old}{}", if leads { ", the leader" } else { "" }));
        remove(&mut cluster, old);
        sleep(WHILE);
    }
    for id in [3, 4] {
        let leads = cluster.leader().id == id;
        steps.step(format!("kill, wipe and replace {id}{}", if leads { ", the leader" } else { "" }));
        replace(&mut cluster, id);
        sleep(WHILE);
    }
    for id in [4, 3, 6, 5] {
        let leads = cluster.leader().id == id;
        steps.step(format!("remove {id}{}", if leads { ", the leader" } else { "" }));
        remove(&mut cluster, id);
    }
    steps.step("alone");
    sleep(WHILE);
    let ledger = load.stop();
    assert_eq!(cluster.up(), [7]);
    let log = ledger.check(&cluster);
    steps.report(&ledger);
    let acknowledged = ledger.acknowledged.len();
    report(&format!(
        "members: {acknowledged} acknowledged, {} in the log, {} unknown",
        log.len(),
        ledger.unknown
    ));
}

#[test]
fn a_wiped_node_comes_back_by_member_replace() {
    let mut cluster = Cluster::started(3);
    let load = Load::start("replaced", &cluster.apis, 3);
    let mut steps = Steps { steps: Vec::new() };
    sleep(WHILE);
    let leader = cluster.leader().id;
    let before = cluster.disk(leader);
    steps.step("kill, wipe and replace the leader");
    replace(&mut cluster, leader);
    steps.step("kill, wipe and replace a follower");
    replace(&mut cluster, (leader + 1) % 3);
    assert_ne!(cluster.disk(leader), before, "another disk is on record");
    // It counts: with another node away, the cluster goes on.
    steps.step("kill the third");
    cluster.kill((leader + 2) % 3);
    cluster.leader();
    sleep(WHILE);
    let ledger = load.stop();
    ledger.check(&cluster);
    steps.report(&ledger);
}

#[test]
fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::started(3);
    let load = Load::start("transfers", &cluster.apis, 4);
    let mut steps = Steps { steps: Vec::new() };
    sleep(WHILE);
    let first = cluster.leader();
    for to in [1, 2, 3, 4].map(|step| (first.id + step) % 3) {
        steps.step(format!("transfer to {to}"));
        let said = operated(&cluster, &["leader", "transfer", &to.to_string()]);
        assert!(said.contains(&cluster.apis[to]), "{said}");
        assert_eq!(cluster.leader().id, to);
        sleep(WHILE);
    }
    let refused = operate(&cluster, &["leader", "transfer", "7"]);
    assert_eq!(refused.status.code(), Some(1), "there is no node 7");
    let ledger = load.stop();
    ledger.check(&cluster);
    steps.report(&ledger);
    assert_eq!(cluster.leader().term, first.term + 4, "no election beside the hand-overs");
}

#[test]
fn every_node_takes_a_snapshot_when_it_is_told_to() {
    let cluster = Cluster::started(3);
    let load = Load::start("snapshots", &cluster.apis, 3);
    let mut last = 0;
    for _ in 0..2 {
        sleep(WHILE);
        let said: serde_json::Value =
            serde_json::from_str(&operated(&cluster, &["snapshot", "-o", "json"])).expect("JSON");
        let taken = said["snapshots"].as_array().expect("one a node");
        let least = taken.iter().map(|taken| taken["index"].as_u64().expect("an index")).min();
        assert_eq!(taken.len(), 3);
        assert!(least > Some(last), "{said}");
        last = least.unwrap_or_default();
    }
    let ledger = load.stop();
    ledger.check(&cluster);
    // Nothing was written since: the newest one is good still.
    let again = Instant::now();
    operated(&cluster, &["snapshot"]);
    operated(&cluster, &["snapshot"]);
    assert!(again.elapsed() < CHANGED / 3);
}

#[test]
fn who_may_not_join_is_told_why() {
    let mut cluster = Cluster::growing(1, 3);
    let mut strangers = Cluster::growing(1, 1);
    let ends = |cluster: &Cluster, id: usize, arguments: &[&str], code: i32, word: &str| {
        let mut command = httpraft(cluster.directory());
        command.arg(id.to_string()).arg("--data-dir").arg(cluster.directory().join("other"));
        let output = command.args(arguments).output().expect("httpraft starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.lines().last().is_some_and(|line| line.contains(word)), "{word:?} is not in {said}");
    };
    let (peer, api) = (cluster.peers[1].clone(), cluster.apis[1].clone());
    let own = ["--peer", &peer, "--api", &api];
    let with = |more: &[&str]| [&own, more].concat().iter().map(ToString::to_string).collect::<Vec<String>>();
    let run = |cluster: &Cluster, id, more: &[&str], code, word: &str| {
        let arguments = with(more);
        ends(cluster, id, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), code, word);
    };
    run(&cluster, 1, &[], 2, "member add 1");
    let seed = cluster.apis[0].clone();
    run(&cluster, 1, &["--join", &seed], 75, "give the addresses for clients of running nodes");
    cluster.start(0);
    strangers.start(0);
    cluster.leader();
    strangers.leader();
    let both = format!("{seed},{}", strangers.apis[0]);
    run(&cluster, 1, &["--join", &both], 2, "is of another cluster");
    run(&cluster, 0, &["--join", &seed], 2, "member replace 0");
    // Refused changes say so, too.
    assert_eq!(operate(&cluster, &["member", "remove", "0"]).status.code(), Some(1));
    assert_eq!(operate(&cluster, &["member", "remove", "9"]).status.code(), Some(1));
    assert_eq!(operate(&cluster, &["leader", "transfer"]).status.code(), Some(1));
}
