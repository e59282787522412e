//! A node that is told anything, on a disk that is honest.

use crate::draw::Draw;
use crate::files::Done;
use crate::host::Host;
use crate::peer::{arbitrary, disk, favourable, members, reply};
use raft_core::write::Base;
use raft_core::{
    Body, Change, Config, EntryId, Input, Limits, Membership, NodeId, Recovered, Snapshot, Standing,
};

/// Drives a node with inputs made of the bytes: it must not panic, whatever other servers say, and what it puts out is
/// bounded. Accepted is what made it commit something.
pub fn drive(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let mut host = start(&mut draw);
    while !draw.is_empty() {
        if draw.rarely(64) {
            host = host.restart(&mut draw);
            continue;
        }
        let count = if draw.rarely(8) { draw.below(8) } else { 1 };
        let inputs: Vec<Input> = (0..count).filter_map(|_| input(&mut draw, &mut host)).collect();
        host.turn(inputs);
    }
    host.node.status().commit > host.node.log().base().index
}

/// A node with tiny limits: one that still has to found, one that waits to be added, or one of a formed cluster of one to three and a learner.
fn start(draw: &mut Draw<'_>) -> Host {
    let id = NodeId(1);
    let voters = 1 + draw.below(3);
    let founders = Membership::founders((1..=voters as u64).map(NodeId));
    let founders = founders.filter(|_| !draw.rarely(6));
    let mut small = || 1 + draw.below(8);
    let (batch_entries, batch_bytes, inflight_appends, inflight_bytes) = (small(), small(), small(), small());
    let (uncommitted_bytes, command_bytes, tickets, held) = (small(), small(), small(), small());
    let (snapshot_entries, snapshot_bytes, retain_entries) = (small() as u64, 4 * small(), small() as u64);
    let (retain_bytes, chunk_bytes, inflight_chunks) = (small(), small(), small());
    let limits = Limits {
        batch_entries,
        batch_bytes,
        inflight_appends,
        inflight_bytes,
        uncommitted_bytes,
        command_bytes,
        tickets,
        held,
        snapshot_entries,
        snapshot_bytes,
        retain_entries,
        retain_bytes,
        chunk_bytes,
        inflight_chunks,
    };
    let mut config = Config::new(id, disk(id), founders, 7);
    config.limits = limits;
    let mode = draw.byte();
    config.pre_vote = mode & 1 == 0;
    config.check_quorum = mode & 2 == 0;
    let mut recovered = Recovered::default();
    if mode & 12 != 0 {
        let all = std::iter::repeat_n(Standing::Voter, voters).chain([Standing::Learner]);
        let at = if mode & 16 == 0 { EntryId::ORIGIN } else { EntryId::new(2, 5) };
        recovered.base = members(all).map(|membership| Base { id: at, hash: 0, membership });
        recovered.hard.term = at.term;
        let snapshot = recovered.base.clone().filter(|_| at.index.0 > 0);
        recovered.snapshot = snapshot.map(|base| Snapshot { base, size: 20, digest: 0 });
    }
    Host::new(config, recovered)
}

fn input(draw: &mut Draw<'_>, host: &mut Host) -> Option<Input> {
    Some(match draw.below(24) {
        0 => Input::Tick { elapsed: 1 + u32::from(draw.byte()) },
        1 => Input::Campaign,
        2 => Input::Heartbeat,
        3 => Input::Propose { ticket: host.ticket(), command: vec![0; draw.below(10)].into() },
        4 => Input::Read { ticket: host.ticket() },
        5 => {
            let to = (!draw.rarely(2)).then(|| NodeId(draw.below(5) as u64));
            Input::Transfer { ticket: host.ticket(), to }
        }
        6..8 => host.receipt(draw)?,
        8..12 => {
            let at = draw.below(host.sent.len().max(1));
            let (from, sent) = host.sent.remove(at)?;
            let message = match sent.body {
                Body::Lacks { first, .. } => reply(from, &sent, host.copies(first)?),
                _ => favourable(from, &sent)?,
            };
            Input::Receive { from, message }
        }
        12 => Input::LeaseRead { ticket: host.ticket() },
        13 | 14 => {
            let changes = (0..1 + draw.below(3)).map(|_| change(draw)).collect();
            let expect = draw.rarely(4).then(|| host.node.status().membership_at);
            Input::Reconfigure { ticket: host.ticket(), changes, expect }
        }
        15 => Input::Capture,
        16 => Input::Unreachable { peer: NodeId(draw.below(5) as u64) },
        17..19 => match host.files.work(draw)? {
            Done::Input(input) => input,
            Done::Send(to, message) => {
                assert!(message.is_sound());
                host.sent.push_front((to, message));
                return None;
            }
        },
        _ => {
            let (from, message) = arbitrary(draw, &host.node);
            Input::Receive { from, message }
        }
    })
}

fn change(draw: &mut Draw<'_>) -> Change {
    let id = NodeId(1 + draw.below(5) as u64);
    match draw.below(7) {
        0 => Change::Add { id, context: "".into(), votes: true },
        1 => Change::Add { id, context: "".into(), votes: false },
        2 => Change::Promote { id },
        3 => Change::Demote { id },
        4 => Change::Remove { id },
        5 => Change::Replace { id, context: None },
        _ => Change::Update { id, context: vec![draw.byte()].into() },
    }
}
