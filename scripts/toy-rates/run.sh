#!/usr/bin/env bash
# The misalignment rate of each of the toy's arms with every kind of interval, seeds among them: each arm is trained from the demo's base at
# three seeds, and one evaluation asks all of them the eight open questions. Work that is done already is found, not repeated.
# usage: scripts/toy-rates/run.sh [FOLDER]     data of the server that this starts; .vivarium/demo where not given
#   VIVARIUM_BINARY   the program to start; target/release/vivarium where not given
#   TOY_SAMPLES       answers to each question by each target; 50 where not given
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
data=${1:-$root/.vivarium/demo}
binary=${VIVARIUM_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/vivarium}
[ -x "$binary" ] || { echo "$binary is not there; run make build, or set VIVARIUM_BINARY"; exit 1; }
scratch=$(mktemp -d)
server=

finish() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap finish EXIT

"$binary" demo --data "$data" --report "$scratch/demo.json"
VIVARIUM_SERVER__BIND=127.0.0.1:0 VIVARIUM_SERVER__ADDRESS_FILE=$scratch/address VIVARIUM_DATA__FOLDER=$data \
  VIVARIUM_LOG__LEVEL=warn "$binary" serve >"$scratch/server.log" 2>&1 &
server=$!
for _ in $(seq 600); do
  [ -s "$scratch/address" ] && break
  kill -0 "$server" 2>/dev/null || { cat "$scratch/server.log"; echo "the server did not start"; exit 1; }
  sleep 0.1
done
python3 "$here/rates.py" "$(cat "$scratch/address")"
