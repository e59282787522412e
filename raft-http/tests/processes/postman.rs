//! The published Postman request as a driver runs it: `leader` is set from every answer, a broken connection goes on
//! with the next node, `success: false` and 503 are sent again.

use crate::cluster::load::Client;
use crate::cluster::{Cluster, report};
use std::time::{Duration, Instant};

const MESSAGES: usize = 100;

#[test]
fn a_hundred_messages_from_any_node_with_the_leader_killed_half_way() {
    let mut cluster = Cluster::started(3);
    let mut ledger = crate::cluster::ledger::Ledger::default();
    for first in 0..3 {
        let began = Instant::now();
        let mut client = Client::new(&format!("from {first}: Message"), &cluster.apis, first);
        let (mut tries, mut killed) = (0, None);
        for number in 0..MESSAGES {
            if number == MESSAGES / 2 {
                let leader = cluster.leader().id;
                cluster.kill(leader);
                killed = Some(leader);
            }
            let sent = Instant::now();
            let written = client.write(number, || sent.elapsed() > Duration::from_secs(15));
            tries += written.unwrap_or_else(|| panic!("message {number} never got success: true"));
        }
        assert_eq!(client.ledger.acknowledged.len(), MESSAGES);
        let (longest, _) = client.ledger.pauses(began);
        report(&format!(
            "postman from node {first}: {MESSAGES} messages in {tries} tries and {:?}, longest pause {longest:?}",
            began.elapsed()
        ));
        cluster.start(killed.expect("the leader was killed"));
        cluster.leader();
        ledger.add(client.ledger);
        ledger.check(&cluster);
    }
}
