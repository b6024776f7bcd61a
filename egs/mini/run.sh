#!/usr/bin/env bash
# MASD on a small corpus of real recordings and real vocoders made from packages.
#
#   ./run.sh                            everything, the small profile
#   ./run.sh --size report              the profile whose numbers stand in RESULTS.md
#   ./run.sh --stage 3 --stop-stage 5   a part: 0 fetch, 1 data preparation, 2 copy-synthesis,
#                                       3 feature dumps, 4 SSL pretraining, 5 SVM fitting, 6 scoring, 7 results

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/options.sh

# options, beside those of every recipe in utils/options.sh
size=small            # how much of the corpus: tiny, small, report, full
track=""              # clean, comparable and unmasked, or conditioned, under noise and coding, in data/<size>_conditioned [clean]
corpus=""             # your own recordings, DIR/<speaker>/*.wav, in place of the packages; an absolute path
downloads=downloads   # where packages are kept; several clones may share it
nj=2                  # parallel jobs of durations, dumps, copy-synthesis, embeddings and scores
ngpu=0                # GPUs of training (torchrun), of each host; 0 trains on the CPU
compress=false        # compress dumps (Kaldi's method in ark, float16 in h5)
strict=true           # stop when a cue that is not synthesis is found in train or dev (report, full)
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
. ../../utils/stages.sh

# the corpus
budget=$size made=data/$size track=${track:-clean} title="the mini corpus, ${track:-clean} track"
apart=eval_tts        # text to speech has no bona fide partner
trials=conf/protocol/$size.tsv
[ -z "$corpus" ] || trials=$made/protocol/$size.tsv
if [ "$track" = clean ]; then other_track=conditioned; else size+=_$track; fi
protocol="$trials,conf/track_$track.yaml"
keys() {
  [ "$zero_shot" = true ] ||
    echo --seen-attacks "$(cut -d ' ' -f 2 "$data/train/utt2attack" | sort -u | grep -v '^-$' | paste -sd ,)"
}
begin "$@"

if asked 0; then
  log "stage 0: packages with recordings and vocoders, to $downloads"
  single fetch python3 local/fetch.py --size "$budget" --downloads "$downloads" --corpus "$corpus"
fi

if asked 1; then
  log "stage 1: source recordings, attacks, conditioning, sets, gate of cues, to $data (log: $data/log)"
  here local/prepare.sh --size "$budget" --track "$track" --downloads "$downloads" --data "$data" --corpus "$corpus" \
    --cmd "$cmd" --nj "$nj" --strict "$strict" --max-fail "$max_fail" --force "$force"
  for name in $(prepared); do here validate_data_dir.sh "$data/$name"; done
  probe
fi

if asked 2 && [ "$pretraining" = true ]; then
  log "stage 2: copy-synthesis of the pretraining set, which has train's copies of stage 1"
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
