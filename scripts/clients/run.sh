#!/usr/bin/env bash
# Runs the openai client, inspect_ai and lm_eval against a server and prints what passed; 1 where something did not.
#
#   CLIENTS_PYTHON     a Python that has them already; else a virtual environment is made in .clients (CLIENTS_VENV)
#   VIVARIUM_URL       a server that runs already; else one is started on a free port with a folder that vanishes
#   VIVARIUM_BINARY    the program to start; target/release/vivarium where not given
#   REFERENCE_PYTHON   a Python with transformers (and peft); log-likelihoods are compared with theirs where there is one
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
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

python=${CLIENTS_PYTHON:-}
if [ -z "$python" ]; then
  venv=${CLIENTS_VENV:-$root/.clients}
  python=$venv/bin/python
  if ! "$python" -c 'import openai, inspect_ai, lm_eval' 2>/dev/null; then
    echo "installing openai, inspect-ai and lm-eval[api] into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --upgrade pip
    "$venv/bin/pip" install --quiet --upgrade openai inspect-ai 'lm-eval[api]'
  fi
fi

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
  export VIVARIUM_DATA=$scratch/data
fi
export VIVARIUM_URL

status=0
"$python" "$here/check.py" "$scratch" || status=$?
if [ "$status" -ne 0 ] && [ -s "$scratch/server.log" ]; then
  echo "--- the server's log"
  tail -30 "$scratch/server.log"
fi
exit "$status"
