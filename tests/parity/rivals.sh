#!/usr/bin/env bash
# Checks that need other people's programs: TensorBoard's own reader on the event files of our monitor, and MiniLM
# fine-tuned beside DeepSpeed. Each runs where its program is there and says why it is left out where not.
#   ./dev rivals        builds first; `./dev test --slow` ends with it
# benchmarks/peers/env.sh makes the environment (PEERS_DIR says where), ./dev models fetches MiniLM.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
bin=build/release/bin
python=${PEERS_DIR:-$HOME/.cache/deepspeed-peers}/ds/bin/python
models=${DEEPSPEED_MODELS:-$HOME/.cache/deepspeed-models}
failed=0

skip() { printf 'skipped: %s: %s\n' "$1" "$2" >&2; }
report() {
  if "${@:2}"; then printf 'passed: %s\n' "$1" >&2; else printf 'failed: %s\n' "$1" >&2; failed=1; fi
}

read_events() {
  local folder outcome=0 read=0
  folder=$(mktemp -d)
  DS_KEEP_EVENTS=$folder OMP_NUM_THREADS=1 "$bin/engine_tests" --gtest_brief=1 --gtest_filter='Runs/MonitorGolden.*' || outcome=1
  for golden in tests/observe/goldens/*/events.json; do
    local name
    name=$(basename "$(dirname "$golden")")
    [ -d "$folder/$name" ] || { printf '%s: no event file was kept\n' "$name" >&2; outcome=1; continue; }
    "$python" tests/observe/read_events.py "$folder/$name" --expect "$golden" >/dev/null || outcome=1
    read=$((read + 1))
  done
  rm -rf "$folder"
  [ "$read" -gt 0 ] && return "$outcome"
}

minilm() { DS_ACCELERATOR=cpu PATH="$(dirname "$python"):$PATH" "$python" tests/parity/minilm_mlm.py; }

if [ ! -x "$python" ]; then
  why="no environment of rivals at $python (benchmarks/peers/env.sh ds makes it)"
  skip "TensorBoard's reader" "$why"
  skip "MiniLM beside DeepSpeed" "$why"
  exit 0
fi
if "$python" -c 'import tensorboard' 2>/dev/null; then
  report "TensorBoard's reader" read_events
else
  skip "TensorBoard's reader" "tensorboard is not installed there ($python -m pip install tensorboard)"
fi
if [ ! -f "$models/all-MiniLM-L6-v2/model.safetensors" ]; then
  skip "MiniLM beside DeepSpeed" "the model is not in $models (./dev models fetches it)"
elif ! command -v bible >/dev/null; then
  skip "MiniLM beside DeepSpeed" "there is no King James text (Debian's bible-kjv)"
else
  report "MiniLM beside DeepSpeed" minilm
fi
exit "$failed"
