#!/usr/bin/env bash
# Draws answers of one fixed length from the same tiny models here and with transformers' generate (+ PEFT), in alternation,
# and prints medians; then ten (checkpoint, scale) pairs in one batch beside the same pairs one by one.
# usage: benches/sampling.sh [threads] [rounds] [slots]      PYTHON names a Python with torch, transformers and peft.
set -euo pipefail
cd "$(dirname "$0")/.."
threads=${1:-2} rounds=${2:-3} slots=${3:-400} rows=400 tokens=32
python=${PYTHON:-python3}
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
export OMP_WAIT_POLICY=passive
cargo build --quiet --profile "${PROFILE:-release}" --bench sampling
# the newest bench binary is the one just built
ours=$(ls -t "${CARGO_TARGET_DIR:-target}"/"${PROFILE:-release}"/deps/sampling-* | grep -v '\.d$' | head -1)

# SIZE ROWS SLOTS BATCHES…: one line a batch size of transformers'
compare() {
  local size=$1 rows=$2 slots=$3; shift 3
  local here="$folder/$size-$rows"; mkdir -p "$here"
  "$python" benches/hf_sampling.py prepare "$here" "$size" 2>/dev/null
  for _ in $(seq "$rounds"); do
    "$ours" draw "$here" "$threads" "$rows" "$tokens" "$slots" >>"$here/ours"
    for batch in "$@"; do
      "$python" benches/hf_sampling.py run "$here" "$threads" "$rows" "$tokens" "$batch" 2>/dev/null >>"$here/hf$batch"
    done
  done
  "$python" - "$here" "$size" "$rows" "$slots" "$@" <<'END'
import json, pathlib, statistics, sys
folder, size, rows, slots, *batches = sys.argv[1:]
def rates(side):
    runs = [json.loads(line) for line in (pathlib.Path(folder) / side).read_text().splitlines()]
    return [statistics.median(run["tokens"] / run[key] for run in runs) for key in ("seconds", "cpu_seconds")]
ours, ours_cpu = rates("ours")
for batch in batches:
    theirs, theirs_cpu = rates("hf" + batch)
    print(f"{size}, {rows} rows: tokens/s here ({slots} slots) {ours:.0f}; transformers, batches of {batch}: {theirs:.0f}; "
          f"ratio by wall time {ours / theirs:.2f}, by processor time {ours_cpu / theirs_cpu:.2f}")
END
}

compare toy "$rows" "$slots" 400 50
compare small "$rows" "$slots" 400
compare medium "$rows" "$slots" 400
# a long vocabulary's logits of 400 rows would need gigabytes on the other side
compare wide 48 48 48

echo "ten (checkpoint, scale) pairs of the toy, 40 answers each, 64 slots; one by one over together:"
for _ in $(seq "$rounds"); do
  "$ours" pairs "$folder/toy-$rows" "$threads" 40 96 64
done
