#!/bin/sh
# Searches with one fuzzer for a while: fuzz/run.sh TARGET SECONDS [libFuzzer options]
# TARGET is a file of fuzz/fuzz_targets; the words of its inputs are in fuzz/dictionaries, if they are text. Stable Rust
# and a C++ compiler are enough. Fails on the first crash, hang or input that takes too much memory, and says where the
# input is. New inputs go to target/fuzz-corpus/TARGET.
set -eu
target=${1:?usage: fuzz/run.sh TARGET SECONDS}
seconds=${2:?usage: fuzz/run.sh TARGET SECONDS}
shift 2
cd "$(dirname "$0")/.."
triple=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags="$flags -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags="$flags -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks"
# --target keeps the flags off build scripts; without LTO the targets share all that they link.
CARGO_PROFILE_RELEASE_LTO=off RUSTFLAGS=$flags cargo build --quiet --release -p raft-fuzz --features libfuzzer --bin "fuzz-$target" \
    --target "$triple" --target-dir target/fuzz
found=target/fuzz-corpus/$target
crashes=target/fuzz-crashes/$target
mkdir -p "$found" "$crashes" "fuzz/corpus/$target"
words=fuzz/dictionaries/$target
if [ -f "$words" ]; then
    set -- "-dict=$words" "$@"
fi
# The outer timeout is for a fuzzer that doesn't end by itself.
timeout -k 10 $((seconds + 60)) "target/fuzz/$triple/release/fuzz-$target" "$found" "fuzz/corpus/$target" \
    -max_total_time="$seconds" -max_len=1024 -timeout=10 -rss_limit_mb=1024 \
    -artifact_prefix="$crashes/" -print_final_stats=1 "$@"
