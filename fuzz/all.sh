#!/bin/sh
# Searches with every fuzzer, one after the other, each for so long: fuzz/all.sh SECONDS [libFuzzer options]
set -eu
: "${1:?usage: fuzz/all.sh SECONDS}"
cd "$(dirname "$0")/.."
for file in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$file" .rs)
    echo "== $target"
    fuzz/run.sh "$target" "$@"
done
