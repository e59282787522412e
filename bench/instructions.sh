#!/usr/bin/env bash
# Instructions of fixed pieces of work, counted by callgrind and compared with bench/instructions.txt. A rise of more
# than 3% fails. `bench/instructions.sh --accept` writes the new numbers down.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind"; exit 2; }
cargo build -q --profile sim -p raft-sim
target=$(realpath "${CARGO_TARGET_DIR:-target}")
cd bench
cargo build -q --release --target-dir target
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The instructions of a command; what it prints goes to $scratch/said, where they are to $scratch/profile. A swarm of few
# seeds can't have everything that a swarm has to have, and ends with 20.
count() {
    valgrind --tool=callgrind --callgrind-out-file="$scratch/profile" "$@" >"$scratch/said" 2>"$scratch/log" || (($? == 20)) ||
        { cat "$scratch/said" "$scratch/log" >&2; return 1; }
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$scratch/log"
}

# Two lengths of the same work: what they differ by is the work itself, without the start of the process.
of_scenario() {
    local less more
    less=$(count target/release/bench scenario "$1" "$2")
    more=$(count target/release/bench scenario "$1" $((2 * $2)))
    echo $(((more - less) / ($2 * $3)))
}

# Whole runs of the simulator as a swarm makes them, without words for a reader; a piece is an input to a node.
of_seeds() {
    local all inputs
    all=$(count "$target/sim/raft-sim" swarm --seeds "$1..$2" --jobs 1)
    inputs=$(sed -n 's/^ *\([0-9]*\) inputs to nodes$/\1/p' "$scratch/said")
    echo $((all / inputs))
}

failed=0
while read -r name times each expected; do
    case $name in
        seeds) now=$(of_seeds "$times" "$each") ;;
        *) now=$(of_scenario "$name" "$times" "$each") ;;
    esac
    echo "$name $times $each $now" >>"$scratch/now"
    echo "$name $times $each: $now instructions each, $expected before"
    if ((now * 100 > expected * 103)); then
        failed=1
        echo "That is more than 3% up. Look at what grew:"
        callgrind_annotate "$scratch/profile" 2>/dev/null | grep -E '^ *[0-9,]+ \(' | sed -n 1,12p
    fi
done < <(grep -v '^#' instructions.txt)
if [[ ${1:-} == --accept ]]; then
    { grep '^#' instructions.txt; cat "$scratch/now"; } >"$scratch/new"
    cp "$scratch/new" instructions.txt
elif ((failed)); then
    echo "If the rise is worth it, say why in the commit and run bench/instructions.sh --accept."
    exit 1
fi
