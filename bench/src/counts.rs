//! What can be counted exactly, beside raft-rs, against the committed numbers of `bench/counts.txt`.

use crate::ours::Ours;
use crate::peer::Peer;
use crate::{commit_cost, heap_of};

/// The committed numbers.
const AT_MOST: &str = include_str!("../counts.txt");

/// One figure of ours, of raft-rs plain and batched.
struct Count {
    what: &'static str,
    /// How many were proposed at once, or which role.
    of: &'static str,
    decimals: usize,
    figures: [f64; 3],
}

/// Prints each figure beside raft-rs' and what is allowed. An error says what rose and where to look.
pub(crate) fn check() -> Result<(), String> {
    println!("\nCounts, 3 nodes, payloads of 256 bytes\n");
    println!("| what | of | ours | at most | raft-rs plain | raft-rs batched |\n|---|---|---|---|---|---|");
    let (mut risen, mut fallen) = (Vec::new(), Vec::new());
    for Count { what, of, decimals, figures } in all() {
        let allowed = allowed(what, of)?;
        let [ours, plain, batched] = figures.map(|figure| format!("{figure:.decimals$}"));
        println!("| {what} | {of} | {ours} | {allowed} | {plain} | {batched} |");
        // As written: what a growing table adds once in thousands of commits is no rise.
        let number =
            |text: &str| text.parse::<f64>().map_err(|_| format!("bench/counts.txt: {what} {of}: {text:?}"));
        let (now, most) = (number(&ours)?, number(allowed)?);
        if now < most {
            fallen.push(format!("{what} {of} {ours}"));
        }
        if now > most {
            risen.push(format!("{what} {of}: {ours}, at most {allowed} are allowed; {}", look(what, of)));
        }
    }
    if !fallen.is_empty() {
        println!("\nFewer than before; keep it, in bench/counts.txt:\n{}", fallen.join("\n"));
    }
    if risen.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nIf the rise is worth it, say why in the commit and write the new number into bench/counts.txt.",
        risen.join("\n")
    ))
}

fn all() -> Vec<Count> {
    let payload = [7; 256];
    let costs = [("1", 1), ("16", 16), ("256", 256)].map(|(of, batch)| {
        let ours = commit_cost::<Ours>(3, batch, &payload);
        let plain = commit_cost::<Peer<false>>(3, batch, &payload);
        (of, [ours, plain, commit_cost::<Peer<true>>(3, batch, &payload)])
    });
    let heap = |of, node| {
        let theirs = heap_of::<Peer<false>>(node);
        Count { what: "heap", of, decimals: 0, figures: [heap_of::<Ours>(node), theirs, theirs] }
    };
    let allocations = costs.map(|(of, costs)| Count {
        what: "allocations",
        of,
        decimals: 2,
        figures: costs.map(|cost| cost.allocations),
    });
    let messages = costs.map(|(of, costs)| Count {
        what: "messages",
        of,
        decimals: 3,
        figures: costs.map(|cost| cost.messages),
    });
    allocations.into_iter().chain(messages).chain([heap("follower", 1), heap("leader", 0)]).collect()
}

fn allowed(what: &str, of: &str) -> Result<&'static str, String> {
    let mut lines = AT_MOST.lines().filter(|line| !line.starts_with('#'));
    let found = lines.find_map(|line| line.strip_prefix(&format!("{what} {of} ")));
    found.ok_or_else(|| format!("bench/counts.txt has no line \"{what} {of} NUMBER\""))
}

fn look(what: &str, of: &str) -> String {
    match what {
        "allocations" => format!(
            "who calls malloc: valgrind --tool=callgrind --callgrind-out-file=calls bench/target/release/bench scenario \
             commit{of} 1000; callgrind_annotate --tree=caller calls"
        ),
        "messages" => {
            "when the outbox is drained and what is cut then: raft-core/src/outbox.rs, sending.rs".to_string()
        }
        _ => "what grew in the node's state, and what is reserved before it is used: raft-core/src/state.rs"
            .to_string(),
    }
}
