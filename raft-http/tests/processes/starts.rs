//! Starts that must be refused, each with its exit code and a line that names the cure.

use crate::cluster::load::{Client, Load};
use crate::cluster::{Cluster, report};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

/// Runs a command that must end by itself. Gives the exit code and standard error.
fn refused(mut command: Command, cluster: &Cluster) -> (Option<i32>, String) {
    let log = cluster.directory().join(format!("refused-{:?}.log", Instant::now()));
    let process = crate::cluster::process::Process::start(&mut command, &log);
    let code = process.ended(SOON);
    (code, fs::read_to_string(log).expect("the log is there"))
}

#[test]
fn a_wiped_node_is_refused_and_told_how_to_come_back() {
    let mut cluster = Cluster::started(3);
    let load = Load::start("beside a wiped node", &cluster.apis, 3);
    for wiped in [(cluster.leader().id + 1) % 3, cluster.leader().id] {
        cluster.kill(wiped);
        cluster.leader();
        let whole = cluster.setups[wiped].data_dir.clone();
        let aside = whole.with_extension("aside");
        fs::rename(&whole, &aside).expect("the data directory goes");
        let (code, said) = refused(cluster.command(wiped), &cluster);
        assert_eq!(code, Some(2), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("member replace"), "the last line names the cure: {said}");
        // With its own disk back it is the old member again.
        fs::remove_dir_all(&whole).expect("what the refused start made goes");
        fs::rename(&aside, &whole).expect("the data directory comes back");
        cluster.start(wiped);
        cluster.leader();
    }
    let ledger = load.stop();
    ledger.check(&cluster);
    let (longest, _) = ledger.pauses(ledger.acknowledged[0].1);
    report(&format!(
        "wiped nodes: a follower and a leader refused; {} acknowledged meanwhile, longest pause {longest:?}",
        ledger.acknowledged.len()
    ));
}

#[test]
fn a_data_directory_belongs_to_one_process() {
    let mut cluster = Cluster::started(1);
    let (code, said) = refused(cluster.command(0), &cluster);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");

    let mut client = Client::new("undisturbed", &cluster.apis, 0);
    let began = Instant::now();
    client.write(0, || began.elapsed() > SOON).expect("the first process goes on");
    assert!(cluster.process(0).runs());
}
