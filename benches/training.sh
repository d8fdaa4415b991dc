#!/usr/bin/env bash
# Trains the same tiny model on the same batches here and with transformers + PEFT, in alternation, and prints medians.
# usage: benches/training.sh [threads] [steps] [rounds]      PYTHON names a Python with torch, transformers and peft.
set -euo pipefail
cd "$(dirname "$0")/.."
threads=${1:-2} steps=${2:-20} rounds=${3:-3}
python=${PYTHON:-python3}
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
# as the server sets them for itself: waiting threads sleep, and freed memory stays with the process
export OMP_WAIT_POLICY=passive
export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864
cargo build --quiet --profile "${PROFILE:-release}" --bench training
# the newest bench binary is the one just built
folder_of=$([ "${PROFILE:-release}" = dev ] && echo debug || echo "${PROFILE:-release}")
ours=$(ls -t "${CARGO_TARGET_DIR:-target}/$folder_of"/deps/training-* | grep -v "\.d$" | head -1)
"$python" benches/hf_training.py prepare "$folder" 2>/dev/null
for work in lora full text; do
  for _ in $(seq "$rounds"); do
    "$ours" "$folder" "$work" "$threads" "$steps" norms >>"$folder/$work-ours"
    "$python" benches/hf_training.py run "$folder" "$work" "$threads" "$steps" 2 2>/dev/null >>"$folder/$work-hf2"
    "$python" benches/hf_training.py run "$folder" "$work" "$threads" "$steps" 16 2>/dev/null >>"$folder/$work-hf16"
  done
done
"$ours" "$folder" lora "$threads" "$((steps * 20))" both >"$folder/norms"
"$python" - "$folder" <<'END'
import json, pathlib, statistics, sys
folder = pathlib.Path(sys.argv[1])
def median(work, side, key):
    lines = (folder / f"{work}-{side}").read_text().splitlines()
    return statistics.median(json.loads(line)[key] for line in lines)
def losses(work, side):
    return json.loads((folder / f"{work}-{side}").read_text().splitlines()[0])["losses"]
print("work  tokens/s ours  hf 2x8  hf 16  ratio 2x8  ratio 16  cpu ratio 2x8  cpu ratio 16")
for work in ("lora", "full", "text"):
    ours, small, large = (median(work, side, "tokens_per_second") for side in ("ours", "hf2", "hf16"))
    cpu, cpu2, cpu16 = (median(work, side, "cpu_ms") for side in ("ours", "hf2", "hf16"))
    print(f"{work}  {ours:9.0f}  {small:9.0f}  {large:9.0f}  {ours / small:9.2f}  {ours / large:9.2f}  {cpu2 / cpu:9.2f}  {cpu16 / cpu:9.2f}")
norms = json.loads((folder / "norms").read_text())
low, high = norms["quartiles"]
print(f"norms add {norms['norms_share']:.1%} to a LoRA step (median of {norms['pairs']} pairs, quartiles {low:.1%} to {high:.1%})")
# LoRA starts from another A on each side; what all weights lose must agree
for work in ("full", "text"):
    gap = max(abs(a - b) / b for a, b in zip(losses(work, "ours"), losses(work, "hf16")))
    print(f"{work}: losses of both sides differ by at most {gap:.1e} of themselves")
END
