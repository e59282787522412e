#!/bin/sh
# Renews the committed inputs of one target from what its fuzzer has found: fuzz/minimise.sh TARGET
# Keeps a smallest set, of at most 512 bytes each, that reaches every place of the code that all of them reach.
set -eu
target=${1:?usage: fuzz/minimise.sh TARGET}
cd "$(dirname "$0")/.."
fuzz/run.sh "$target" 1 >/dev/null 2>&1 # builds it
triple=$(rustc -vV | sed -n 's/^host: //p')
new=$(mktemp -d)
"target/fuzz/$triple/release/fuzz-$target" -set_cover_merge=1 -use_counters=0 -max_len=512 \
    "$new" "fuzz/corpus/$target" "target/fuzz-corpus/$target"
rm -f "fuzz/corpus/$target"/*
mv "$new"/* "fuzz/corpus/$target"
rmdir "$new"
