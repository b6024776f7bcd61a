#!/usr/bin/env bash
# MASD on PartialSpoof: a model trained elsewhere, zero-shot, or one trained on its own sets.
#
#   ./run.sh --corpus DIR                         its evaluation set, by the packaged model
#   ./run.sh --corpus DIR --zero-shot false       training on its own
#   ./run.sh --stage 3 --stop-stage 5   a part: 0 corpus, 1 data preparation, 2 copy-synthesis,
#                                       3 feature dumps, 4 SSL pretraining, 5 SVM fitting, 6 scoring, 7 results

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/options.sh

# options, beside those of every recipe in utils/options.sh
size=full             # how much of the corpus, and which budgets: full (as published), tiny
corpus=""             # PartialSpoof: the folder database, with protocols, segment_labels, train, dev and eval
vocoders=""           # vocoders of stage 2, e.g. "world griffin_lim" [those of the size in vocoders.yaml]
checkpoints=downloads/vocoders   # where the vocoders' weights are, as vocoders.yaml names them
zero_shot=true        # score with a trained model, --model, in place of training one
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
. ../../utils/stages.sh

# the corpus
title="PartialSpoof"
protocol="conf/corpus_$size.yaml,$(conf_of vocoders.yaml)"
keys() { seen; }
begin "$@"

if asked 0; then
  log "stage 0: locate the corpus"
  single locate python3 local/corpus.py locate --corpus "$corpus" --zero-shot "$zero_shot"
fi

if asked 1; then
  log "stage 1: data preparation, to $data (log: $logs/prepare.log)"
  single prepare python3 local/corpus.py prepare --corpus "$corpus" \
    --zero-shot "$zero_shot" --part "conf/corpus_$size.yaml" --out "$data" --strict "$strict"
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
