#!/bin/sh
# A few seeds give the same trace twice with the `sim` profile, and once more in a debug build.
# Usage: raft-sim/determinism.sh [SEED..]
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 1 2 3 4 5 6
cargo build --quiet -p raft-sim
cargo build --quiet --profile sim -p raft-sim
target=${CARGO_TARGET_DIR:-target}
for seed; do
    release=$("$target/sim/raft-sim" run --seed "$seed" --hash)
    again=$("$target/sim/raft-sim" run --seed "$seed" --hash)
    debug=$("$target/debug/raft-sim" run --seed "$seed" --hash)
    if [ "$release" != "$again" ] || [ "$release" != "$debug" ]; then
        echo "seed $seed: $release, then $again, and $debug in a debug build: NOT DETERMINISTIC" >&2
        exit 15
    fi
    echo "seed $seed: $release"
done
