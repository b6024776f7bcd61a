#!/usr/bin/env bash
# The model that comes with the package: `plus` on the demo pages' training set as it is, with its degraded copies, and on
# mini's; calibrated on the demo pages' development set, whose generators training has not met.
#
#   (cd ../mini && ./run.sh --size report --track conditioned --stop-stage 1); local/package.sh --corpus DIR

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
corpus=""               # the folder that has the clips [they are cloned to downloads]
mini=../mini            # the recipe that has data/report_conditioned/train
conditions=false        # each half of the training set in two conditions more (docs/evidence.md says what that trades)
vectors=1200            # vectors of the SVM at most
out=../../masd/pretrained/plus   # the model folder
nj=4                    # parallel jobs
seed=0                  # seeds every random choice
. ../../utils/parse_options.sh
. ./path.sh

exp=exp/packaged train=data/packaged/train dump=dump/packaged dev=data/full_raw/dev
none=$(printf ' --augment.%s 0' codec noise equaliser low_pass room rates)
declare -A how=(
  [opus]="--augment.codec 1 --augment.codecs [opus] --augment.bit_rates [0.02,0.15]"
  [mp3]="--augment.codec 1 --augment.codecs [mp3] --augment.bit_rates [0.08,0.5]"
  [phone]="--augment.telephone 1 --augment.codec 1 --augment.codecs [ulaw,alaw,gsm]"
  [noise]="--augment.noise 1 --augment.noise_snr [8,25]"
)
conf=(--config ../../utils/conf/masd.yaml --config ../../utils/conf/plus.yaml)
./run.sh --corpus "$corpus" --track raw --system plus --stop-stage 2 --nj "$nj" --seed "$seed"
# paths in a recipe's lists begin at its own folder
python3 -P -m masd.bin.data subset --data "$mini/data/report_conditioned/train" --utt-list "$mini/data/report_conditioned/train/utt2lab" --out data/packaged/mini
sed -i "s| \([^/]\)| $(realpath "$mini")/\1|" data/packaged/mini/wav.scp
sets=data/full_raw/train_degraded,data/packaged/mini
[ "$conditions" = true ] && named="opus phone noise mp3" || named=""
for name in $named; do
  case $name in opus | phone) half=1 ;; *) half=0 ;; esac
  awk -v half="$half" 'NR % 2 == half {print $1}' data/full_raw/train/utt2lab > data/packaged/half
  python3 -P -m masd.bin.data subset --data data/full_raw/train --utt-list data/packaged/half --out "data/packaged/$name"
  # shellcheck disable=SC2086
  python3 -P -m masd.bin.data degrade --data "data/packaged/$name" --out "data/packaged/${name}_copies" \
    --wav-dir "data/packaged/wav_$name" --versions 1 --tag "$name" --num-jobs "$nj" --seed "$seed" $none ${how[$name]}
  sets+=,data/packaged/${name}_copies
done
python3 -P -m masd.bin.data merge --data "[$sets]" --out "$train"
mkdir -p exp/packaged/log
for set in train dev; do
  run.py JOB=1:"$nj" "exp/packaged/log/dump_feats_$set.JOB.log" python3 -P -m masd.bin.dump_feats "${conf[@]}" \
    --data "${!set}" --out "$dump/$set" --job JOB --num-jobs "$nj"
  python3 -P -m masd.bin.finish dump --out "$dump/$set" --num-jobs "$nj"
done
python3 -P -m masd.bin.train "${conf[@]}" --system plus --train-data "$train" --train-dump "$dump/train" --dev-data "$dev" \
  --dev-dump "$dump/dev" --out "$exp" --seed "$seed"
python3 -P -m masd.bin.export_model --model "$exp/model" --export.vectors "$vectors" --data "$dev" --dump "$dump/dev" \
  --out "$out"
cat "$out.cost.yaml"
