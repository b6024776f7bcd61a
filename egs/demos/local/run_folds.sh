#!/usr/bin/env bash
# The yardstick: a system trained and tested on each fold, and all test clips pooled under one threshold. A stopped run
# goes on from where it was. A fold's clips are those of train and dev, so what a system is to read of them is made once.
#
#   local/run_folds.sh --corpus DIR --system plus
#   local/run_folds.sh --corpus DIR --system lfcc_lcnn -- --ngpu 1      what follows -- goes to run.sh

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
size=full              # how much of the corpus, and which budgets: full (as published), tiny
corpus=""              # the folder that has the clips [they are cloned to downloads]
track=""               # clean, conditioned or raw [clean]
system=plus            # what is trained, as run.sh takes it
degraded=2             # degraded copies of each training utterance to train on too
seed=0                 # seeds every random choice
nj=4                   # parallel jobs
folds="1 2 3 4 5"      # which folds
. ../../utils/parse_options.sh
. ./path.sh

part=$size
[ "${track:-clean}" = clean ] || part+=_$track
pooled=exp/${part}_folds/${system}_s$seed data=data/${part}_folds dump=dump/${part}_folds/$system scores="" sets=""
common=(--size "$size" --corpus "$corpus" --track "$track" --system "$system" --degraded "$degraded" --seed "$seed" --nj "$nj")
conf=(--config ../../utils/conf/masd.yaml --config "conf/$size.yaml" --config ../../utils/conf/plus.yaml)
[ -f "conf/$size.yaml" ] || conf[3]=../../utils/conf/$size.yaml
mkdir -p "$pooled/log"

# What the folds have in common: the clips of all, each once, with their copies, and features of them.
together() {
  local fold name list=$data/once.list parts=""
  mkdir -p "$data"
  : > "$data/seen.list"
  for fold in $folds; do
    ./run.sh "${common[@]}" --fold "$fold" --stop-stage 1 "$@"
    for name in train dev eval; do
      awk 'FILENAME == ARGV[1] {seen[$1]; next} !($1 in seen) {print $1}' "$data/seen.list" "data/${part}_fold$fold/$name/utt2spk" > "$list"
      [ -s "$list" ] || continue
      cat "$list" >> "$data/seen.list"
      python3 -P -m masd.bin.data subset --data "data/${part}_fold$fold/$name" --utt-list "$list" --out "$data/parts/$fold$name"
      parts+=,$data/parts/$fold$name
    done
  done
  python3 -P -m masd.bin.data merge --data "[${parts#,}]" --out "$data/clips"
  python3 -P -m masd.bin.data degrade --data "$data/clips" --out "$data/copies" --wav-dir "data/$part/copies/degraded" \
    --versions "$degraded" --num-jobs "$nj"
  python3 -P -m masd.bin.data merge --data "[$data/clips,$data/copies]" --out "$data/all"
  run.py JOB=1:"$nj" "$pooled/log/dump_feats.JOB.log" python3 -P -m masd.bin.dump_feats "${conf[@]}" --data "$data/all" \
    --out "$dump" --job JOB --num-jobs "$nj"
  python3 -P -m masd.bin.finish dump --out "$dump" --num-jobs "$nj"
}

# One fold of a system that reads features: fold N
of_features() {
  local out=exp/${part}_fold$1/${system}_s$seed fold=data/${part}_fold$1
  awk 'NR == FNR {real[$1]; next} {utt = $1; sub(/-v[0-9]+$/, "", utt)} utt in real' "$fold/train/utt2spk" \
    "$data/all/utt2spk" > "$fold/train_utts"
  python3 -P -m masd.bin.data subset --data "$data/all" --utt-list "$fold/train_utts" --out "$fold/train_degraded"
  python3 -P -m masd.bin.train "${conf[@]}" --system "$system" --train-data "$fold/train_degraded" --train-dump "$dump" \
    --dev-data "$fold/dev" --dev-dump "$dump" --seed "$seed" --out "$out"
  python3 -P -m masd.bin.score --model "$out/model" --data "$fold/eval" --dump "$dump" --out "$out/scores/eval"
}

[ "$system" != plus ] || together "$@"
for fold in $folds; do
  if [ "$system" = plus ]; then
    of_features "$fold"
  else
    ./run.sh "${common[@]}" --fold "$fold" --results-page false "$@"
  fi
  scores+=" exp/${part}_fold$fold/${system}_s$seed/scores/eval/scores" sets+=,data/${part}_fold$fold/eval
done
# shellcheck disable=SC2086
LC_ALL=C sort $scores > "$pooled/scores"
python3 -P -m masd.bin.data merge --data "[${sets#,}]" --out "$data/eval" > "$pooled/merge.log"
python3 -P -m masd.bin.evaluate --scores "$pooled/scores" --data "$data/eval" --breakdown "$(cat "data/${part}_fold${folds%% *}/breakdown")" \
  --out "$pooled/results"
cat "$pooled/results/metrics.txt"
