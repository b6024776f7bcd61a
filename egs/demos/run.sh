#!/usr/bin/env bash
# MASD on clips of public demo pages: many generators, real ones, and recordings of the same pages.
#
#   ./run.sh --corpus DIR --system plus                      trained on its own sets
#   ./run.sh --corpus DIR --zero-shot true --model MODEL     its eval set, by a model trained elsewhere
#   ./run.sh --system plus                                   clips cloned from their repositories
#   ./run.sh --stage 3 --stop-stage 5   a part: 0 corpus, 1 data preparation, 2 copy-synthesis,
#                                       3 feature dumps, 4 SSL pretraining, 5 SVM fitting, 6 scoring, 7 results

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/options.sh

# options, beside those of every recipe in utils/options.sh
size=full             # how much of the corpus, and which budgets: full (as published), tiny
corpus=""             # the folder that has the clips [they are cloned to --downloads]
downloads=downloads   # where clips of cloned repositories are kept
repositories=""       # where repositories are cloned from [https://github.com/{repo}]
track=""              # clean, comparable and unmasked; conditioned, under noise and coding; raw, as they are; in data/<size>_<track> [clean]
fold=""               # 1 to 5: train and test on that fold in place of the sets, in data/<size>_fold<n> (local/run_folds.sh)
vocoders=""           # vocoders of stage 2, e.g. "world griffin_lim" [those of the size in vocoders.yaml]
degraded=2            # degraded copies of each training utterance to train on too: band, rate, room, noise, codec
checkpoints=downloads/vocoders   # where the vocoders' weights are, as vocoders.yaml names them
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
. ../../utils/stages.sh

# the corpus
budget=$size track=${track:-clean} title="demo pages, ${track:-clean} track"
[ "$track" = clean ] || size+=_$track
[ -z "$fold" ] || size+=_fold$fold
protocol="conf/corpus_$budget.yaml,conf/track_$track.yaml,conf/protocol.tsv,$(conf_of vocoders.yaml)"
keys() { echo --breakdown "$(cat "$data/breakdown")"; }
begin "$@"

if asked 0; then
  log "stage 0: the corpus, clips of a folder or of cloned repositories (log: $logs/gather.log)"
  single gather python3 local/gather.py --corpus "$corpus" --downloads "$downloads" --repositories "$repositories" \
    --strict "$strict"
fi

if asked 1; then
  log "stage 1: data preparation, to $data (log: $logs/prepare.log)"
  single prepare python3 local/prepare.py --corpus "$corpus" --downloads "$downloads" --zero-shot "$zero_shot" \
    --part "conf/corpus_$budget.yaml" --track "$track" --fold "$fold" --out "$data" --max-fail "$max_fail" \
    --num-jobs "$nj"
  for name in $(prepared); do
    durations "$name"
    here validate_data_dir.sh "$data/$name"
  done
  probe
fi

if asked 2 && [ "$pretraining" = true ]; then
  single vocoders python3 -P -m masd.bin.choose_vocoders --available "$(conf_of vocoders.yaml)" --size "$size" \
    --vocoders "$vocoders" --checkpoints "$checkpoints" --pretraining "$pretrain_conf" --out "$data"
  for vocoder in $(tags); do
    log "stage 2: copy-synthesis of the pretraining set by $vocoder"
    for name in $(pretrain_sets); do copy_set "$name" "$vocoder" "${name}_$vocoder"; done
  done
fi

if asked 2 && [ "$degraded" -gt 0 ]; then degrade; fi

if asked 3; then
  for name in $(dumped); do
    log "stage 3: features of $name"
    dump_set "$name"
  done
fi

if asked 4 && [ "$pretraining" = true ]; then
  log "stage 4: self-supervised pretraining, $ssl (log: $ssl/train.log)"
  trained "$ssl/pretrain.log" pretrain "${conf[@]}" "${kind[@]}" --train "$dump/pretrain" --dev "$dump/pretrain_dev" \
    --vocoded "$(copies pretrain)" --dev-vocoded "$(copies pretrain_dev)" --out "$ssl" --seed "$seed" --force "$force"
fi

if asked 5 && [ "$zero_shot" = false ]; then
  log "stage 5: embeddings, training and calibration of $system, $exp/model (log: $exp/fit.log)"
  embed "$fitted" dev
  tokens train dev
  # shellcheck disable=SC2046
  trained "$exp/fit.log" train "${conf[@]}" "${trainer[@]}" "${training_options[@]}" --system "$system" --out "$exp" \
    --train-data "$data/$fitted" $(stored "$fitted" train-) --dev-data "$data/dev" $(stored dev dev-) \
    $(of_ssl "--ssl $ssl") --seed "$seed" --max-fail "$max_fail" --force "$force"
fi

if asked 6; then
  for name in $(scored); do
    log "stage 6: scores of $name, $exp/scores/$name"
    score "$name"
  done
fi

if asked 7; then
  log "stage 7: results, $exp/results"
  for name in $(evaluated); do evaluate "$name"; done
  [ "$results_page" = false ] || results_page
fi

log "done, $SECONDS seconds"
