#!/bin/sh
# A long swarm and what it ran on: `raft-sim/coverage.sh 9000000..9050000 > docs/coverage.txt`.
set -eu
cd "$(dirname "$0")/.."
seeds=${1:?usage: raft-sim/coverage.sh FROM..TO}
if ! git diff --quiet HEAD -- raft-core raft-machine raft-sim; then
    echo "raft-core, raft-machine or raft-sim differ from the last commit: commit first, so that the hashes say what ran" >&2
    exit 2
fi
for folder in raft-core raft-machine raft-sim; do
    echo "tree of $folder: $(git rev-parse "HEAD:$folder")"
done
echo "seeds $seeds"
cargo run -q --profile sim -p raft-sim -- swarm --cover --seeds "$seeds"
