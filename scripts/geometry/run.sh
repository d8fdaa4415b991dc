#!/usr/bin/env bash
# The geometry of random paths beside numpy and scikit-learn.
# usage: scripts/geometry/run.sh
#   GEOMETRY_PYTHON   a Python that has numpy and scikit-learn; else one is made in .parity/geometry
set -euo pipefail
cd "$(dirname "$0")/../.."
has() { "$1" -c "import numpy, sklearn" 2>/dev/null; }

python=${GEOMETRY_PYTHON:-$PWD/.parity/geometry/bin/python}
if ! has "$python"; then
  [ -z "${GEOMETRY_PYTHON:-}" ] || { echo "error: GEOMETRY_PYTHON=$python lacks numpy or scikit-learn" >&2; exit 1; }
  python3 -m venv "$PWD/.parity/geometry"
  "$python" -m pip install --quiet --disable-pip-version-check numpy scikit-learn
fi
cargo test --quiet --no-default-features --lib printed_for_the_reference -- --ignored --nocapture | "$python" scripts/geometry/geometry.py
