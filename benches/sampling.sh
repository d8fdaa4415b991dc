#!/usr/bin/env bash
# Draws answers of one fixed length from the same tiny model with the same adapter here and with transformers' generate + PEFT,
# in alternation, and prints medians.
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
"$python" benches/hf_sampling.py prepare "$folder" 2>/dev/null
for _ in $(seq "$rounds"); do
  "$ours" "$folder" "$threads" "$rows" "$tokens" "$slots" >>"$folder/ours"
  "$python" benches/hf_sampling.py run "$folder" "$threads" "$rows" "$tokens" 400 2>/dev/null >>"$folder/hf400"
  "$python" benches/hf_sampling.py run "$folder" "$threads" "$rows" "$tokens" 50 2>/dev/null >>"$folder/hf50"
done
"$python" - "$folder" "$slots" <<'END'
import json, pathlib, statistics, sys
folder, slots = pathlib.Path(sys.argv[1]), sys.argv[2]
def rates(side):
    runs = [json.loads(line) for line in (folder / side).read_text().splitlines()]
    return [statistics.median(run["tokens"] / run[key] for run in runs) for key in ("seconds", "cpu_seconds")]
(ours, ours_cpu), (large, large_cpu), (small, small_cpu) = rates("ours"), rates("hf400"), rates("hf50")
print(f"tokens/s here ({slots} slots) {ours:.0f}; transformers, one batch of 400: {large:.0f}, batches of 50: {small:.0f}")
print(f"ratio by wall time {ours / large:.2f} and {ours / small:.2f}; by processor time {ours_cpu / large_cpu:.2f} and {ours_cpu / small_cpu:.2f}")
END
