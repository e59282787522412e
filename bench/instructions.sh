#!/usr/bin/env bash
# Instructions of fixed pieces of work, counted by callgrind and compared with bench/instructions.txt. A rise of more
# than 3% fails. `bench/instructions.sh --accept` writes the new numbers down.
set -euo pipefail
cd "$(dirname "$0")"
cargo build -q --release
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind"; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Two lengths of the same work: what they differ by is the work itself, without the start of the process.
count() {
    valgrind --tool=callgrind --callgrind-out-file="$scratch/$1.$2" target/release/bench scenario "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

failed=0
while read -r name times each expected; do
    less=$(count "$name" "$times")
    more=$(count "$name" $((2 * times)))
    now=$(((more - less) / (times * each)))
    echo "$name $times $each $now" >>"$scratch/now"
    if ((now * 100 > expected * 103)); then
        failed=1
        echo "$name: $now instructions each, $expected before: more than 3% up. Look at what grew:"
        callgrind_annotate "$scratch/$name.$((2 * times))" 2>/dev/null | grep -E '^ *[0-9,]+ \(' | sed -n 1,12p
    else
        echo "$name: $now instructions each, $expected before"
    fi
done < <(grep -v '^#' instructions.txt)
if [[ ${1:-} == --accept ]]; then
    { grep '^#' instructions.txt; cat "$scratch/now"; } >"$scratch/new"
    cp "$scratch/new" instructions.txt
elif ((failed)); then
    echo "If the rise is worth it, say why in the commit and run bench/instructions.sh --accept."
    exit 1
fi
