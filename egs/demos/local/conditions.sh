#!/usr/bin/env bash
# A model on a set as it is and through what recordings go through: EER, and how much genuine speech is called spoof.
#
#   local/conditions.sh --model ../../masd/pretrained/plus      after ./run.sh --track raw --stop-stage 1

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
data=data/full_raw/dev             # the set
model=../../masd/pretrained/plus   # the model
out=exp/full_raw/conditions        # where all goes
nj=4                               # parallel jobs
. ../../utils/parse_options.sh
. ./path.sh

declare -A how=(
  [as_it_is]="" [mp3_32_kbit]="--augment.codec 1 --augment.codecs [mp3] --augment.bit_rates [0.2,0.2]"
  [opus_16_kbit]="--augment.codec 1 --augment.codecs [opus] --augment.bit_rates [0.04,0.04]"
  [telephone]="--augment.telephone 1 --augment.codec 1 --augment.codecs [ulaw]"
  [noise_15_db]="--augment.noise 1 --augment.noise_snr [15,15]" [room]="--augment.room 1" [low_pass]="--augment.low_pass 1"
)
none=$(printf ' --augment.%s 0' codec noise equaliser low_pass room rates)
mkdir -p "$out"
echo "condition     EER  genuine called spoof  spoof called genuine, per cent, at P(fake) 0.5" > "$out/table.txt"
for name in as_it_is mp3_32_kbit opus_16_kbit telephone noise_15_db room low_pass; do
  set=$data
  if [ -n "${how[$name]}" ]; then
    set=$out/$name/data
    # shellcheck disable=SC2086
    python3 -P -m masd.bin.data degrade --data "$data" --out "$set" --wav-dir "$out/$name" --versions 1 --num-jobs "$nj" \
      $none ${how[$name]}
  fi
  python3 -P -m masd.bin.score --model "$model" --data "$set" --out "$out/$name/scores"
  python3 -P -m masd.bin.evaluate --scores "$out/$name/scores/scores" --data "$set" --model "$model" --out "$out/$name/results"
  python3 - "$name" "$out/$name/results/metrics.json" >> "$out/table.txt" << 'END'
import json, sys
metrics = json.load(open(sys.argv[2]))
at_half = metrics["decisions"][0]
rates = metrics["pooled"]["eer"], 1 + at_half["recall"] - 2 * at_half["balanced_accuracy"], 1 - at_half["recall"]
print(f"{sys.argv[1]:<12}", *(f"{100 * rate:5.1f}" for rate in rates))
END
done
cat "$out/table.txt"
