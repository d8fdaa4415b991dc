#!/usr/bin/env bash
# Makes .libtorch/{torch,nvidia}: libtorch 2.11.0 with its headers, from what is there or from PyPI's wheels.
#
# Order: $LIBTORCH, what an earlier call made, a PyTorch 2.11.0 of python3, else the wheels: with an NVIDIA GPU PyTorch's whole
# CUDA set (4 GB), without one the four wheels that libtorch_cpu.so needs (544 MB down, 505 MB kept).
set -euo pipefail
cd "$(dirname "$0")/.."
version=2.11.0
dir=.libtorch

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; say "   do: $2"; exit 1; }
usable() { [ -e "$1/lib/libtorch_cpu.so" ] && [ -d "$1/include/ATen" ]; }

if [ -n "${LIBTORCH:-}" ]; then
  usable "$LIBTORCH" || fail "LIBTORCH=$LIBTORCH holds no lib/libtorch_cpu.so with include/" "unset LIBTORCH, or point it at libtorch $version"
  exit 0
fi
if usable "$dir/torch" && [ -e "$dir/complete" ]; then exit 0; fi
rm -rf "$dir" && mkdir -p "$dir"

site=$(python3 - <<PY 2>/dev/null || true
import importlib.util, pathlib
from importlib.metadata import version
spec = importlib.util.find_spec("torch")
if spec and version("torch").split("+")[0] == "$version":
    print(pathlib.Path(spec.origin).resolve().parent.parent)
PY
)
if [ -n "$site" ] && usable "$site/torch"; then
  say "libtorch: using PyTorch $version of $(command -v python3)"
  ln -s "$site/torch" "$dir/torch"
  [ -d "$site/nvidia" ] && ln -s "$site/nvidia" "$dir/nvidia"
  touch "$dir/complete"
  exit 0
fi

[ "$(uname -sm)" = "Linux x86_64" ] || fail "there is no recipe for $(uname -sm)" \
  "install PyTorch $version for python3, or set LIBTORCH to a libtorch $version"

has_gpu() { [ -e /dev/nvidia0 ] || { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }; }
if has_gpu; then
  say "libtorch: fetching the CUDA set (4 GB; some minutes) ..."
  python3 -m pip install --disable-pip-version-check --no-compile --progress-bar on --target "$dir" "torch==$version" >&2 \
    || fail "pip could not fetch torch $version" "see pip's message above; a proxy or an index is set in pip's own configuration"
  touch "$dir/complete"
  exit 0
fi

say "libtorch: fetching the CPU set (544 MB) ..."
wheels=$dir/wheels
python3 -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 --implementation cp \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 --dest "$wheels" \
  "torch==$version" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85 nvidia-cuda-crt==13.0.88 >&2 \
  || fail "pip could not fetch the wheels of libtorch $version" "see pip's message above; the index must carry manylinux_2_28 wheels"
say "libtorch: unpacking ..."
python3 - "$wheels" "$dir" "$version" <<'PY'
import pathlib, sys, zipfile
wheels, out, version = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
libraries = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}

def wanted(wheel, name):
    if not wheel.startswith("torch-"):
        return name.startswith("nvidia/")
    return name.startswith("torch/include/") or (name.startswith("torch/lib/") and name.split("/")[-1] in libraries)

for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if wanted(wheel.name, name):
                archive.extract(name, out)
# torch-sys links -ltorch; the wheel's libtorch.so would pull in CUDA, this linker script does not.
(out / "torch/lib/libtorch.so").write_text("INPUT(-ltorch_cpu)\n")
(out / "torch/build-version").write_text(version + "\n")
PY
rm -rf "$wheels"
usable "$dir/torch" || fail "the wheels did not hold libtorch" "remove $dir and try again"
touch "$dir/complete"
say "libtorch: ready in $dir"
