#!/usr/bin/env bash
# Norms and vectors of a toy run with nine rank-1 adapters, ready to plot: scripts/norms/run.sh FOLDER
#
#   VIVARIUM_URL       a server that runs already; else one is started on a free port with a folder that vanishes
#   VIVARIUM_BINARY    the program to start; target/release/vivarium where not given
#   PYTHON             python3 where not given; needs nothing but the standard library
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:?give the folder to write to}
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
if [ -z "${VIVARIUM_URL:-}" ]; then
  binary=${VIVARIUM_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/vivarium}
  [ -x "$binary" ] || { echo "$binary is not there; run make build, or set VIVARIUM_BINARY"; exit 1; }
  # the private database runs as another account when this one is root
  chmod 755 "$scratch"
  VIVARIUM_SERVER__BIND=127.0.0.1:0 VIVARIUM_SERVER__ADDRESS_FILE=$scratch/address VIVARIUM_DATA__FOLDER=$scratch/data \
    VIVARIUM_LOG__LEVEL=warn "$binary" serve >"$scratch/server.log" 2>&1 &
  server=$!
  for _ in $(seq 1200); do
    [ -s "$scratch/address" ] && break
    kill -0 "$server" 2>/dev/null || { cat "$scratch/server.log"; echo "the server did not start"; exit 1; }
    sleep 0.1
  done
  VIVARIUM_URL=$(cat "$scratch/address")
fi
"${PYTHON:-python3}" "$here/nine_adapters.py" "$VIVARIUM_URL" "$folder" || { tail -30 "$scratch/server.log" 2>/dev/null; exit 1; }
