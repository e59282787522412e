//! The end of a failed run on one or two screens: its last steps in the notation of the golden scenarios, the two facts
//! that contradict each other, and what all nodes were like at that moment.

use crate::case::Case;
use crate::notation::Text;
use crate::record::{Moment, Recording, State, What};
use std::fmt::Write;

/// How many entries of the logs are drawn.
const DRAWN: u64 = 24;

/// How a case ended, in words, and its exit code: 0 if nothing fell.
pub fn explain(case: &Case, steps: usize) -> (String, u8) {
    // Ticks that lead to nothing are left out: some more are recorded than are shown.
    let recording = Recording::of(case, 8 * steps);
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes any text");
    let ran = &recording.ran;
    let code = ran.failure.as_ref().map_or(0, |failure| failure.exit_code());
    match &ran.failure {
        Some(failure) => line(format_args!("{} fell (exit code {code})", failure.invariant())),
        None => line(format_args!("nothing fell")),
    }
    case.story.iter().for_each(|words| line(format_args!("{words}")));
    line(format_args!(""));
    let told: Vec<&Moment> = telling(&recording.moments).collect();
    let shown = &told[told.len().saturating_sub(steps)..];
    let (inputs, at) = (ran.counts.inputs, ran.simulated);
    line(format_args!(
        "the last {} steps, of {inputs} inputs up to {at} us (ticks that change nothing are left out):",
        shown.len()
    ));
    for moment in shown {
        line(format_args!("{:>10} {}", moment.at, moment.words));
    }
    line(format_args!(""));
    if let Some(failure) = &ran.failure {
        line(format_args!("the facts that contradict each other:"));
        line(format_args!("  {failure}"));
        line(format_args!(""));
    }
    line(format_args!("the nodes at that moment:"));
    let states = recording.last_states();
    for (node, state) in &states {
        line(format_args!("{}", standing(*node, state)));
    }
    line(format_args!(""));
    line(format_args!("{}", logs(&states)));
    (out.trim_end().to_string() + "\n", code)
}

/// All but the ticks after which the same node does nothing.
fn telling(moments: &[Moment]) -> impl Iterator<Item = &Moment> {
    moments.iter().enumerate().filter_map(|(at, moment)| {
        let next = moments.get(at + 1);
        let acts = next.is_some_and(|next| {
            next.node == moment.node && next.at == moment.at && !matches!(next.what, What::Tick | What::World)
        });
        (moment.what != What::Tick || acts).then_some(moment)
    })
}

fn standing(node: usize, state: &State) -> String {
    let State { term, commit, applied, durable, last, .. } = state;
    let whether = match (state.up, state.paused, state.halted) {
        (false, ..) if state.boot == 0 => return format!("{node} has not run in these steps"),
        (false, ..) => "down, was ",
        (_, true, _) => "paused ",
        (.., true) => "halted ",
        _ => "",
    };
    let (vote, leader) = (Text(&state.vote).to_string(), Text(&state.leader).to_string());
    format!(
        "{node} {whether}{} term={term} vote={vote} leader={leader} commit={commit} applied={applied} \
         durable={durable} last={last}",
        state.role
    )
}

/// The ends of the logs as the paper's figures draw them: the term of each entry under its index.
fn logs(states: &[(usize, &State)]) -> String {
    let longest = states.iter().map(|(_, state)| state.last.index.0).max().unwrap_or_default();
    let first = longest.saturating_sub(DRAWN) + 1;
    let width = |number: u64| number.to_string().len() + 1;
    let terms = states.iter().map(|(_, state)| state.term.0).max().unwrap_or_default();
    let cell = width(longest.max(terms)).max(3);
    let row = |cells: &mut dyn Iterator<Item = String>| -> String {
        cells.map(|text| format!("{text:>cell$}")).collect()
    };
    let mut out = format!("index{}\n", row(&mut (first..=longest).map(|index| index.to_string())));
    for (node, state) in states {
        let mut terms = state.log.iter().flat_map(|(term, times)| (0..*times).map(move |_| *term));
        let base = state.base.index.0;
        let skipped = first.saturating_sub(base + 1);
        let mut terms = terms.by_ref().skip(skipped as usize);
        let mut cells = (first..=longest).map(|index| match index {
            _ if index <= base => ".".to_string(),
            _ => terms.next().map(|term| term.to_string()).unwrap_or_default(),
        });
        let cells = row(&mut cells);
        let down = if state.up { "" } else { " (down)" };
        writeln!(out, "{node:>5}{cells}  commit={} durable={}{down}", state.commit, state.durable)
            .expect("a string takes any text");
    }
    out
}
