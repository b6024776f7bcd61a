#!/usr/bin/env bash
# All that MASD has to show on a GPU, in at most eight minutes, on a machine with one NVIDIA GPU, Python 3.12, torch 2.11
# (and torchaudio) for CUDA, no network and nothing else. It has not been run on one: only its `--device cpu`.
#
#   tests/gpu/run.sh [--device cuda|cpu] [--wheels DIR] [--audio DIR] [--out DIR]
#
# --wheels DIR   what the machine lacks, carried along. On a machine with a network, in the repository's root:
#                  python3 -m pip download --dest wheels --no-deps --only-binary :all: --python-version 3.12 \
#                    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform any torchaudio==2.11.0 \
#                    jsonargparse typeshed-client importlib-resources docstring-parser kaldiio soundfile cffi pycparser \
#                    h5py av safetensors scipy threadpoolctl tensorboard absl-py grpcio markdown protobuf werkzeug markupsafe \
#                    pyyaml numpy packaging pillow pytest iniconfig pluggy pygments transformers tokenizers huggingface-hub \
#                    httpx2 httpcore2 h11 anyio idna truststore regex tqdm filelock typing-extensions
# --audio DIR    DIR/<speaker>/*.flac or .opus, up to 50 MB, for the pretraining [synthetic voices on the CPU; else none]
# --out DIR      the report and the pretrained encoder [gpu_report]
#
# Seconds of each part are at its `timeout`; what a part had made before its time was up is kept.
set -euo pipefail
device=cuda wheels="" audio="" out=gpu_report
while [ $# -gt 0 ]; do
  case $1 in
    --device | --wheels | --audio | --out) [ $# -gt 1 ] || { echo "run.sh: error: $1 needs a value" >&2; exit 1; }
      declare "${1#--}=$2"; shift 2 ;;
    *) echo "run.sh: error: unknown option $1; the top of this file lists them" >&2; exit 1 ;;
  esac
done
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
audio=${audio:+$(cd "$audio" && pwd)}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
export PYTHONPATH=$root:$site MASD_GPU_TESTS=$device OMP_NUM_THREADS=1 PYTHONUTF8=1
[ -z "$wheels" ] || python3 -m pip install --quiet --no-index --no-deps --target "$site" "$wheels"/*.whl
[ "$device" = cpu ] || nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/card.txt"
failed=0 slack=1
[ "$device" = cuda ] || slack=5  # a busy machine is to show that it runs, not how fast

# A part, at most so many seconds of it on a GPU: part NAME SECONDS COMMAND...
part() {
  local begin=$SECONDS status=0
  timeout "$(($2 * slack))" "${@:3}" > "$out/$1.log" 2>&1 || status=$?
  echo "run.sh: $1: status $status after $((SECONDS - begin)) s, $out/$1.log"
  [ "$status" -eq 0 ] || failed=1
}

part tests 100 python3 -m pytest -q -s -p no:cacheprovider -c /dev/null --rootdir "$root" "$root/tests/gpu/test_on_gpu.py"
part measure 130 python3 "$root/tests/gpu/measure.py" --device "$device" --out "$out/measured.json"
if [ "$device" = cpu ] && [ -z "$audio" ]; then
  audio=$site/voices
  python3 "$root/tests/gpu/voices.py" "$audio"
fi
small=()
[ "$device" = cuda ] || small=(--ssl.epochs 1 --ssl.batch 8 --ssl.workers 0 --encoder.channels "[8,8,8,8,8]")
[ -z "$audio" ] || part pretrain 250 "$root/tests/gpu/pretrain.sh" "$audio" "$out/encoder" "$device" 240 "${small[@]}"
exit "$failed"
