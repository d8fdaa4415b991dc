#!/usr/bin/env bash
# Whole evaluations here and with transformers (+ PEFT), in alternation: 8 questions × 50 answers of many lengths beside one generate a
# question; ten checkpoints × four scales beside a loop that loads base and adapter for every pair. Prints medians and their ratios.
# usage: benches/evaluation.sh [threads] [rounds] [slots]      PYTHON names a Python with torch, transformers and peft.
set -euo pipefail
cd "$(dirname "$0")/.."
threads=${1:-2} rounds=${2:-3} slots=${3:-64} answer=160
python=${PYTHON:-python3}
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
export OMP_WAIT_POLICY=passive
cargo build --quiet --profile "${PROFILE:-release}" --bench evaluation
# the newest bench binary is the one just built
ours=$(ls -t "${CARGO_TARGET_DIR:-target}"/"${PROFILE:-release}"/deps/evaluation-* | grep -v '\.d$' | head -1)

# SIZE SAMPLES CHECKPOINTS SCALES SLOTS
compare() {
  local size=$1 samples=$2 checkpoints=$3 scales=$4 slots=$5
  local here="$folder/$size-$checkpoints"; mkdir -p "$here"
  "$python" benches/hf_evaluation.py prepare "$here" "$size" "$checkpoints" >/dev/null 2>&1
  for _ in $(seq "$rounds"); do
    "$ours" "$here" "$threads" "$slots" "$samples" "$answer" "$checkpoints" "$scales" >>"$here/ours"
    "$python" benches/hf_evaluation.py run "$here" "$threads" "$samples" "$answer" "$checkpoints" "$scales" 2>/dev/null >>"$here/theirs"
  done
  "$python" - "$here" "$size, $checkpoints checkpoints × $scales scales, 8 × $samples, $slots slots" <<'END'
import json, pathlib, statistics, sys
folder, what = sys.argv[1:]
def side(name):
    runs = [json.loads(line) for line in (pathlib.Path(folder) / name).read_text().splitlines()]
    rate = lambda key: statistics.median(run[key] / run["seconds"] for run in runs)
    return rate("answers"), rate("tokens"), [run["answers"] for run in runs], [run["tokens"] for run in runs]
ours, theirs = side("ours"), side("theirs")
assert set(ours[2]) == set(theirs[2]), (ours[2], theirs[2])
print(f"{what}: answers/s here {ours[0]:.1f}, there {theirs[0]:.1f}; ratio {ours[0] / theirs[0]:.2f}, by tokens {ours[1] / theirs[1]:.2f}"
      f" (answers {ours[2][0]}; tokens drawn here {ours[3][0]}, there {theirs[3][0]})")
END
}

compare toy 50 0 1 "$slots"
compare medium 50 0 1 "$slots"
compare wide 50 0 1 64
compare toy 5 10 4 "$slots"
