#!/usr/bin/env bash
# Trains the same random models on the same batches here and with transformers + PEFT, in alternation, and prints medians of
# tokens a second, their ratios beside the goals, and what the norms of every step take of it.
# usage: benches/training.sh [threads] [steps] [rounds] [device] [shapes…]
#   device   cpu (float32) or cuda (bfloat16 base, float32 pairs); shapes of hf_training.py, all tiny ones unless named
#   PYTHON   a Python with torch, transformers and peft; PROFILE=dev takes an unoptimised build of this side
set -euo pipefail
cd "$(dirname "$0")/.."
threads=${1:-2} steps=${2:-20} rounds=${3:-3} device=${4:-cpu}
shapes=("${@:5}")
[ ${#shapes[@]} -gt 0 ] || shapes=(toy tinyA tinyB tinyC)
python=${PYTHON:-python3}
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
# as the server sets them for itself: waiting threads sleep, and freed memory stays with the process
export OMP_WAIT_POLICY=passive
export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864
cargo build --quiet --profile "${PROFILE:-release}" --bench training
# the newest bench binary is the one just built
folder_of=$([ "${PROFILE:-release}" = dev ] && echo debug || echo "${PROFILE:-release}")
ours=$(ls -t "${CARGO_TARGET_DIR:-target}/$folder_of"/deps/training-* | grep -v "\.d$" | head -1)

# MICRO: the other side's examples a pass
theirs() { "$python" benches/hf_training.py run "$1" "$2" "$threads" "$steps" "$3" "$device" 2>/dev/null; }

for shape in "${shapes[@]}"; do
  here="$folder/$shape"; mkdir "$here"
  "$python" benches/hf_training.py prepare "$here" "$shape" "$device" 2>/dev/null
  works=(lora); [ "$shape" = toy ] && works=(lora full text)
  for work in "${works[@]}"; do
    for _ in $(seq "$rounds"); do
      "$ours" "$here" "$work" "$threads" "$steps" norms "$device" >>"$here/$work-ours"
      theirs "$here" "$work" 2 >>"$here/$work-hf2"
      theirs "$here" "$work" 16 >>"$here/$work-hf16" || echo "$shape, $work: the other side failed at 16 examples a pass" >&2
    done
  done
  # a share of two percent needs many pairs of steps; those of a large shape end after four minutes
  for work in "${works[@]%text}"; do
    [ -z "$work" ] || "$ours" "$here" "$work" "$threads" $((steps * 20)) both "$device" >"$here/norms-$work"
  done
  "$python" - "$here" "$shape" <<'END'
import json, pathlib, statistics, sys
folder, shape = pathlib.Path(sys.argv[1]), sys.argv[2]
GOALS = {"tinyA": 1.6, "tinyB": 1.6, "tinyC": 1.6, "0.5B": 8.0, "7B": 2.5}
def runs(work, side):
    path = folder / f"{work}-{side}"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
def median(work, side, key):
    found = [run[key] for run in runs(work, side)]
    return statistics.median(found) if found else float("nan")
for work in ("lora", "full", "text"):
    if not runs(work, "ours"):
        continue
    ours, small, large = (median(work, side, "tokens_per_second") for side in ("ours", "hf2", "hf16"))
    cpu, cpu2, cpu16 = (median(work, side, "cpu_ms") for side in ("ours", "hf2", "hf16"))
    goal = GOALS.get(shape)
    verdict = "" if goal is None else f", goal {goal}: {'reached' if ours / small >= goal else 'missed'}"
    print(f"{shape} {work}: tokens/s here {ours:.0f}; transformers + PEFT 2x8 {small:.0f}, 16 at once {large:.0f}; ratio by wall "
          f"time {ours / small:.2f} and {ours / large:.2f}, by processor time {cpu2 / cpu:.2f} and {cpu16 / cpu:.2f}{verdict}")
    # LoRA starts from another A on each side; what all weights lose must agree
    if work != "lora" and runs(work, "hf16"):
        pairs = zip(runs(work, "ours")[0]["losses"], runs(work, "hf16")[0]["losses"])
        print(f"{shape} {work}: losses of both sides differ by at most {max(abs(a - b) / b for a, b in pairs):.1e} of themselves")
for work in ("lora", "full"):
    path = folder / f"norms-{work}"
    if not path.exists():
        continue
    norms = json.loads(path.read_text())
    # with fewer, the interval of the median is that of nearly all pairs
    if norms["pairs"] < 24:
        print(f"{shape} {work}: {norms['pairs']} pairs of steps are too few to tell what norms add to one of {norms['plain_ms']:.1f} ms")
        continue
    told = []
    for clock, name in (("wall", "wall"), ("cpu", "processor")):
        low, high = norms[clock]["interval"]
        told.append(f"{norms[clock]['median']:.1%} of {name} time ({low:.1%} to {high:.1%}; between fastest steps {norms['fastest'][clock]:.1%})")
    print(f"{shape} {work}: norms add {' and '.join(told)} to a step of {norms['plain_ms']:.1f} ms; medians of {norms['pairs']} pairs with their 95 % intervals")
END
  rm -rf "$here"
done
