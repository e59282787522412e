//! Commands that decayed on the disks of two nodes of three come back from the one that has them all.

use crate::cluster::{Cluster, ends_within, http, httpraft};
use crate::snapshots::{number, wait_until_caught_up};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn verify(directory: &Path, data: &Path) -> Output {
    httpraft(directory).args(["wal", "verify"]).arg(data).output().expect("it runs")
}

/// Turns a bit of a command in a stopped node's log, where it stands once.
fn rot(data: &Path, command: &str) {
    let mut places = Vec::new();
    for file in fs::read_dir(data.join("wal")).expect("the log's directory") {
        let path = file.expect("a file").path();
        let bytes = fs::read(&path).expect("it can be read");
        let found = bytes.windows(command.len()).position(|window| window == command.as_bytes());
        places.extend(found.map(|at| (path, bytes, at)));
    }
    let [(path, bytes, at)] = &mut places[..] else { panic!("{command} stands in {} files", places.len()) };
    bytes[*at] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

#[test]
fn lost_commands_come_back_from_whoever_has_them() {
    let mut cluster = Cluster::started(3);
    let api = cluster.apis[cluster.leader().id].clone();
    let commands: Vec<String> = (0..40).map(|at| format!("a command that may rot, number {at:03}")).collect();
    for command in &commands {
        http::append(&api, command, SOON).expect("it is taken");
    }
    (0..3).for_each(|id| wait_until_caught_up(&cluster, id, SOON));
    cluster.kill_all();

    let data: Vec<_> = cluster.setups.iter().map(|setup| setup.data_dir.clone()).collect();
    for (id, lost) in [(0, [5, 30]), (1, [20, 30])] {
        lost.iter().for_each(|at| rot(&data[id], &commands[*at]));
        let said = verify(cluster.directory(), &data[id]);
        assert_eq!(said.status.code(), Some(65), "{said:?}");
        let text = String::from_utf8_lossy(&said.stdout);
        assert_eq!(text.matches("its command is lost: entry").count(), 2, "{text}");
    }

    // Without the one that has all, nobody serves, and nobody makes anything up.
    cluster.start(0);
    cluster.start(1);
    cluster.process(0).says("the disk decays: the command of entry", SOON);
    let lacks_one = |cluster: &Cluster, id| number(cluster, id, "decayed") == 1;
    let given = ends_within(SOON, || lacks_one(&cluster, 0) && lacks_one(&cluster, 1));
    assert!(given, "each has what the other lost alone: {:?}", cluster.status(0));
    let answer = http::append(&cluster.apis[0], "too early", Duration::from_secs(2));
    assert!(answer.as_ref().map_or(true, |answer| answer.status >= 500), "{answer:?}");
    cluster.start(2);
    let whole = |cluster: &Cluster, id| cluster.status(id).is_some_and(|status| status["decayed"] == 0);
    assert!(ends_within(SOON, || (0..3).all(|id| whole(&cluster, id))), "{:?}", cluster.status(0));
    cluster.leader();
    for id in 0..3 {
        wait_until_caught_up(&cluster, id, SOON);
        let log = cluster.log(id);
        assert!(
            commands.iter().all(|command| log.iter().filter(|entry| entry.text == *command).count() == 1)
        );
    }
    cluster.kill_all();
    for data in &data {
        let said = verify(cluster.directory(), data);
        assert_eq!(said.status.code(), Some(0), "{said:?}");
    }
}
