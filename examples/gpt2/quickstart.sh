#!/usr/bin/env bash
# From a text to a trained, exported, sampled GPT-2, through the commands a user would type. `./dev quickstart` builds
# them first. STEPS, OUT and RANKS can be set.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../..")
bin=$root/build/release/bin
out=${OUT:-$root/out/quickstart}
steps=${STEPS:-500}
ranks=${RANKS:-2}
stop_at=$((steps / 2))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

say() { printf '\n== %s\n' "$*"; }

rm -rf "$out"
mkdir -p "$out/model"
say "the text: the King James Bible (public domain); every twentieth block of 50 verses is held out"
"$here/make_text.sh" "$out/kjv.txt"
awk -v train="$out/train.txt" -v held="$out/held_out.txt" '{ print > (int((NR - 1) / 50) % 20 == 19 ? held : train) }' "$out/kjv.txt"
wc -c "$out/train.txt" "$out/held_out.txt"

say "a byte-level BPE tokenizer of 4096 tokens learned from it"
"$bin/ds_tokenizer" train --input "$out/train.txt" --vocab-size 4096 --output "$out/model/tokenizer.json"
cp "$here/config.json" "$out/model/"

train=("$bin/deepspeed" --num_accelerators "$ranks" --master_port 0 "$bin/ds_train" --model "$out/model" --data "$out/train.txt"
       --deepspeed_config "$here/ds_config.json" --seq-length 128 --steps "$steps" --seed 7
       --save "$out/checkpoints" --save-every "$stop_at" --log-jsonl "$out/log.jsonl")

say "training on $ranks ranks with ZeRO-2, stopped after the checkpoint of step $stop_at"
"${train[@]}" &
launcher=$!
trap 'kill -INT $launcher 2>/dev/null || true' EXIT
until [ -f "$out/checkpoints/latest" ] || ! kill -0 $launcher 2>/dev/null; do sleep 0.2; done
if kill -0 $launcher 2>/dev/null; then kill -INT $launcher; fi
wait $launcher || true
trap - EXIT
[ -f "$out/checkpoints/latest" ] || { echo "quickstart: training ended before its first checkpoint" >&2; exit 1; }

say "resumed from $(cat "$out/checkpoints/latest")"
"${train[@]}" --load "$out/checkpoints" --eval-data "$out/held_out.txt" --eval-baselines --export "$out/exported" \
  --generate "In the beginning" --generate-tokens 80

say "done: log $out/log.jsonl, checkpoints $out/checkpoints, Hugging Face folder $out/exported"
