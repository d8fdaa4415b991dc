#!/usr/bin/env bash
# Brings what a build and a run need and the machine lacks. Safe to call again: what is there is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; say "   do: $2"; exit 1; }

command -v cargo >/dev/null || fail "cargo was not found" "install Rust 1.88 or newer (rustup), then open a new shell"
command -v python3 >/dev/null || fail "python3 was not found" "apt-get install python3 python3-pip"
python3 -m pip --version >/dev/null 2>&1 || fail "pip was not found for $(command -v python3)" "apt-get install python3-pip"

if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing a C++ compiler (g++) ..."
    apt-get update -qq && apt-get install -y -qq g++ >/dev/null || fail "g++ could not be installed" "apt-get install g++"
  else
    fail "no C++ compiler was found" "sudo apt-get install g++"
  fi
fi

scripts/libtorch.sh
scripts/postgres.sh
