//! The end of a run as one page that needs nothing else: the data of a recording inside a template of plain
//! JavaScript and SVG.

use crate::case::{Case, Origin};
use crate::record::{Arrow, Recording, State};
use crate::report::commit;
use raft_core::NodeId;
use std::fmt::Write;

const PAGE: &str = include_str!("view.html");
/// Where the data goes in the template.
const HOLE: &str = "\"DATA\"";

/// A page that shows the last steps of a case; and the exit code of what fell, 0 if nothing did.
pub fn view(case: &Case, steps: usize) -> (String, u8) {
    let recording = Recording::of(case, steps.max(1));
    let code = recording.ran.failure.as_ref().map_or(0, |failure| failure.exit_code());
    (PAGE.replacen(HOLE, &data(case, &recording), 1), code)
}

fn data(case: &Case, recording: &Recording) -> String {
    let ran = &recording.ran;
    let (title, said) = match &ran.failure {
        Some(failure) => (format!("{} fell", failure.invariant()), failure.to_string()),
        None => ("nothing fell".into(), String::new()),
    };
    let from = match &case.origin {
        Origin::Recipe { seed, forks } if forks.is_empty() => format!("seed {seed}"),
        Origin::Recipe { seed, forks } => format!("seed {seed} with {} forks", forks.len()),
        Origin::Tape(tape) => format!("a tape of {} choices", tape.weight()),
    };
    let planted = case.planted.map_or(String::new(), |planted| planted.name());
    let steps = recording
        .moments
        .iter()
        .map(|it| format!("[{},{},{},{}]", it.at, it.node, text(it.what.name()), text(&it.words)));
    let states =
        recording.states.iter().map(|(at, node, state)| format!("[{at},{node},{}]", self::state(state)));
    let cuts = recording
        .cuts
        .iter()
        .map(|(at, cuts)| format!("[{at},{}]", list(cuts.iter().map(|(from, to)| format!("[{from},{to}]")))));
    let mut out = String::from("{");
    for (name, value) in [
        ("title", text(&title)),
        ("said", text(&said)),
        ("fell", ran.failure.is_some().to_string()),
        ("from", text(&from)),
        ("commit", text(&commit())),
        ("planted", text(&planted)),
        ("story", list(case.story.iter().map(|line| text(line)))),
        ("options", text(&ran.options)),
        ("inputs", ran.counts.inputs.to_string()),
        ("trace", text(&format!("{:016x}", ran.hash))),
        ("nodes", recording.nodes.to_string()),
        ("steps", list(steps)),
        ("arrows", list(recording.arrows.iter().map(arrow))),
        ("states", list(states)),
        ("cuts", list(cuts)),
    ] {
        let comma = if out.len() == 1 { "" } else { ",\n" };
        write!(out, "{comma}\"{name}\":{value}").expect("a string takes any text");
    }
    out + "}"
}

fn arrow(arrow: &Arrow) -> String {
    let Arrow { post, kind, sent, heard, fate } = arrow;
    let sent = sent.map_or("-1".into(), |sent| sent.to_string());
    let heard = list(heard.iter().map(ToString::to_string));
    let (from, to, term) = (post.from, post.to, post.message.term);
    format!("[{},{from},{to},{sent},{heard},{},{term}]", text(kind), text(fate.name()))
}

fn state(state: &State) -> String {
    let who = |id: Option<NodeId>| id.map_or(0, |id| id.0);
    let mark = if !state.up {
        "down"
    } else if state.halted {
        "halted"
    } else if state.paused {
        "paused"
    } else {
        "up"
    };
    let log = list(state.log.iter().map(|(term, times)| format!("[{term},{times}]")));
    format!(
        "[{},{},{},{},{},{},{},{},{},{log},{}]",
        text(mark),
        text(&state.role.to_string()),
        state.term,
        who(state.vote),
        who(state.leader),
        state.commit,
        state.applied,
        state.durable,
        state.base.index,
        state.boot
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A string as JSON that may also stand inside a page: nothing in it ends a script.
fn text(words: &str) -> String {
    let mut out = String::from('"');
    for letter in words.chars() {
        match letter {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                write!(out, "\\u{:04x}", letter as u32).expect("a string takes any text");
            }
            other => out.push(other),
        }
    }
    out + "\""
}
