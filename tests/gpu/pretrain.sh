#!/usr/bin/env bash
# A real pretraining of `full` on carried recordings, for as many of the published 100 epochs as the time allows: copies,
# dumps, training. What there is of it at the end (encoder.safetensors, encoder.yaml, metrics.jsonl, train.log) is in OUT.
#
# Usage: tests/gpu/pretrain.sh AUDIO OUT DEVICE SECONDS [argument of pretrain ...]
# AUDIO holds <speaker>/*.flac (or .opus); every tenth speaker is held out.
set -euo pipefail
audio=$1 out=$2 device=$3 seconds=$4
shift 4
end=$((SECONDS + seconds)) jobs=$(nproc)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# One entry point as jobs side by side: sharded ENTRY_POINT ARGUMENT...
sharded() {
  local job pids=()
  for job in $(seq "$jobs"); do
    MASD_LOGLEVEL=ERROR python3 -m "masd.bin.$1" "${@:2}" --job "$job" --num-jobs "$jobs" & pids+=($!)
  done
  for job in "${pids[@]}"; do wait "$job"; done
}

python3 "$root/tests/gpu/carried.py" "$audio" "$work"
copies=()
for name in train dev; do
  for vocoder in griffin_lim lpc; do
    sharded copy_synthesis --data "$work/$name" --vocoder "$vocoder" --out "$work/${name}_$vocoder" --wav-dir "$work/wav/$vocoder"
    python3 -m masd.bin.finish copy-synthesis --data "$work/$name" --vocoder "$vocoder" --out "$work/${name}_$vocoder" --num-jobs "$jobs" --max-fail 0.1
  done
  copies+=("griffin_lim=$work/dump/${name}_griffin_lim,lpc=$work/dump/${name}_lpc")
  for set in "$name" "${name}_griffin_lim" "${name}_lpc"; do
    sharded dump_feats --config "$root/utils/conf/masd.yaml" --data "$work/$set" --out "$work/dump/$set"
    python3 -m masd.bin.finish dump --out "$work/dump/$set" --num-jobs "$jobs" --max-fail 0.1
  done
done
status=0
timeout --signal INT "$((end - SECONDS > 20 ? end - SECONDS : 20))" python3 -m masd.bin.pretrain \
  --config "$root/utils/conf/masd.yaml" --config "$root/utils/conf/full.yaml" --train "$work/dump/train" --dev "$work/dump/dev" \
  --vocoded "${copies[0]}" --dev-vocoded "${copies[1]}" --out "$work/exp" --ssl.device "$device" "$@" || status=$?
mkdir -p "$out"
for file in encoder.safetensors encoder.yaml metrics.jsonl train.log; do
  [ ! -f "$work/exp/$file" ] || cp "$work/exp/$file" "$out"
done
[ -f "$out/encoder.safetensors" ] || { echo "pretrain.sh: error: no epoch ended, status $status" >&2; exit 1; }
echo "pretraining: $(wc -l < "$out/metrics.jsonl") epochs of 100, encoder in $out"
