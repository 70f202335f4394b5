#!/usr/bin/env bash
# check.sh BUILD OUTSIDE [CXX_FLAGS]: installs BUILD into a scratch folder, builds the program in OUTSIDE against it, runs it; then a
# libtorch that is not where it was must be a clear error.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$1" --prefix "$scratch/tree" >/dev/null
"$scratch/tree/bin/deepspeed" --version
cmake -S "$2" -B "$scratch/build" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/tree" -DCMAKE_CXX_FLAGS="${3:-}" >/dev/null
cmake --build "$scratch/build"
"$scratch/build/outside"
if cmake -S "$2" -B "$scratch/moved" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/tree" -DDEEPSPEED_TORCH_ROOT=/nowhere 2>"$scratch/error"; then
  echo "a libtorch that is not there was accepted" >&2
  exit 1
fi
grep -q "was built with the libtorch in /nowhere" "$scratch/error"
