#!/usr/bin/env bash
# Loads a random model of Qwen2.5-0.5B's shape (1 GB, bfloat16) and answers with it; prints the time beside that of reading the file.
# usage: benches/loading.sh [threads]
set -euo pipefail
cd "$(dirname "$0")/.."
threads=${1:-2}
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
export OMP_WAIT_POLICY=passive
cargo build --quiet --release --bench loading
ours=$(ls -t "${CARGO_TARGET_DIR:-target}"/release/deps/loading-* | grep -v "\.d$" | head -1)
"$ours" "$folder" "$threads" | python3 -c '
import json, sys
numbers = json.load(sys.stdin)
print("{bytes} bytes: read in {read_seconds:.2f} s, loaded in {load_seconds:.2f} s, ratio {load_over_read:.2f}".format(**numbers))
print("an answer of {answer_tokens} tokens to a prompt of 32: {answer_seconds:.1f} s".format(**numbers))'
