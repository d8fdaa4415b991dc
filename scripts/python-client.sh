#!/usr/bin/env bash
# The Python client's tests against a live server: its shapes beside openapi.json, mypy --strict, pytest.
#
#   $1, or VIVARIUM_BINARY   the program to start; target/debug/vivarium where neither is given
#   PYTHON_CLIENT=required   fail where the packages cannot be had, rather than saying so and going on
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
binary=$(realpath -m "${1:-${VIVARIUM_BINARY:-$target/debug/vivarium}}")
client=$PWD/clients/python
venv=$target/python-client

say() { printf '%s\n' "$*" >&2; }
without() {
  say "python client: $1"
  if [ "${PYTHON_CLIENT:-}" = required ]; then exit 1; fi
  say "python client: NOT TESTED"
  exit 0
}

python3 "$client/generate.py" --check
[ -x "$binary" ] || { say "$binary is not there; build it, or set VIVARIUM_BINARY"; exit 1; }
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || without "the packages that its tests are pinned to need Python 3.11 or newer"

# An own environment that needs no more of the machine than pip; made anew when the pins change.
pins=$(python3 -VV; cat "$client/requirements-dev.txt")
if [ "$(cat "$venv/pins" 2>/dev/null)" != "$pins" ]; then
  say "python client: installing what its tests need into $venv"
  rm -rf "$venv"
  python3 -m venv --without-pip "$venv"
  python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check -r "$client/requirements-dev.txt" >&2 \
    || without "pip could not install its requirements; see pip's message above"
  printf '%s\n' "$pins" >"$venv/pins"
fi
python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall "$client" >&2

cd "$client"
export PYTHONDONTWRITEBYTECODE=1
"$venv/bin/python" -m mypy --cache-dir "$venv/mypy"
VIVARIUM_BINARY=$binary "$venv/bin/python" -m pytest -p no:cacheprovider
