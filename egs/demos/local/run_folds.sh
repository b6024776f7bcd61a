#!/usr/bin/env bash
# The yardstick: a system trained and tested on each fold, and all test clips pooled under one threshold. A stopped run
# goes on from where it was.
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
seed=0                 # seeds every random choice
nj=4                   # parallel jobs
folds="1 2 3 4 5"      # which folds
. ../../utils/parse_options.sh
. ./path.sh

part=$size
[ "${track:-clean}" = clean ] || part+=_$track
pooled=exp/${part}_folds/${system}_s$seed data=data/${part}_folds
scores="" sets=""
for fold in $folds; do
  ./run.sh --size "$size" --corpus "$corpus" --track "$track" --fold "$fold" --system "$system" --seed "$seed" \
    --nj "$nj" --results-page false "$@"
  scores+=" exp/${part}_fold$fold/${system}_s$seed/scores/eval/scores" sets+=,data/${part}_fold$fold/eval
done
mkdir -p "$pooled"
# shellcheck disable=SC2086
LC_ALL=C sort $scores > "$pooled/scores"
python3 -m masd.bin.data merge --data "[${sets#,}]" --out "$data" > "$pooled/merge.log"
python3 -m masd.bin.evaluate --scores "$pooled/scores" --data "$data" --breakdown "$(cat "data/${part}_fold${folds%% *}/breakdown")" \
  --out "$pooled/results"
cat "$pooled/results/metrics.txt"
