//! A way through the states, in the notation of the golden scenarios: a line that begins with `>` for what happens, and
//! below it what comes of it.

use super::bounds::Bounds;
use super::model::{Move, State};
use super::server::Act;
use super::tables::Tables;
use crate::notation::{At, Packet, Text};
use raft_core::Output;
use std::fmt::Write;

/// Each state of the way with the move that was made from it.
pub(super) fn retold(tables: &Tables, path: &[(State, Move)]) -> String {
    let mut text = cluster(tables.bounds());
    for (state, step) in path {
        let _ = match step {
            Move::Lose { packet } => writeln!(text, "> drop {}", which(tables, *packet)),
            Move::Act { server, act, again } => {
                let number = state.servers[*server];
                let begun = begin(&mut text, tables, *server as u64 + 1, number, *act, *again);
                begun.and_then(|()| outputs(&mut text, tables, number, *act))
            }
        };
    }
    text
}

/// What founds the cluster. All its disks are slow from then on.
fn cluster(bounds: &Bounds) -> String {
    let all = bounds.to_string();
    let mut text = format!("> {}\n", all.split(',').next().unwrap_or_default());
    if bounds.settled {
        text += "> elect 1\n";
    }
    for id in bounds.voters + 1..=bounds.servers() as u64 {
        text += &format!("> join {id}\n");
    }
    (1..=bounds.servers()).fold(text, |text, id| text + &format!("> slow {id}\n"))
}

fn which(tables: &Tables, packet: u32) -> String {
    let packet = tables.packet(packet);
    format!("{}->{} {}", packet.sent.0, packet.to, packet.sent.1.body.name())
}

fn begin(
    text: &mut String,
    tables: &Tables,
    id: u64,
    server: u32,
    act: Act,
    again: bool,
) -> std::fmt::Result {
    match act {
        Act::Persist => writeln!(text, "> persist {id} #{}", tables.server(server).next_write()),
        Act::Campaign => writeln!(text, "> campaign {id}"),
        Act::Heartbeat => writeln!(text, "> heartbeat {id}"),
        Act::Transfer => writeln!(text, "> transfer {id}"),
        Act::Patience => writeln!(text, "> tick {id} {}", 1 << 20),
        Act::Propose(number) => writeln!(text, "> propose {id} k0={number}"),
        Act::Change => {
            write!(text, "> change {id}")?;
            let changes = &tables.bounds().changes;
            changes.iter().try_for_each(|change| write!(text, " {}", Text(change)))?;
            writeln!(text)
        }
        Act::Crash(kept) => {
            let writes = tables.server(server).writes();
            if writes > 0 {
                writeln!(text, "# {kept} of {writes} writes on their way are on the disk of {id}.")?;
            }
            writeln!(text, "> crash {id}\n> restart {id}")
        }
        Act::Deliver(packet) => {
            let verb = if again { "repeat" } else { "deliver" };
            let (from, message) = &tables.packet(packet).sent;
            let to = tables.packet(packet).to;
            writeln!(text, "# {}\n> {verb} {}", Packet(*from, to, message), which(tables, packet))
        }
    }
}

fn outputs(text: &mut String, tables: &Tables, server: u32, act: Act) -> std::fmt::Result {
    match tables.play(server, act) {
        Ok((after, outputs)) => {
            let told = outputs.iter().filter(|output| !matches!(output, Output::Event(_)));
            told.into_iter().try_for_each(|output| writeln!(text, "{}", At(after.id(), output)))
        }
        Err(said) => writeln!(text, "# panic: {said}"),
    }
}
