#!/usr/bin/env bash
# MASD on FoR (Fake-or-Real): a model trained elsewhere, zero-shot, or one trained on its own sets.
#
#   ./run.sh --corpus DIR --model ../asvspoof2019_la/exp/full/full_s0/model                 its testing sets
#   ./run.sh --corpus DIR --zero-shot false --versions for-norm                             training on its own
#   ./run.sh --stage 3 --stop-stage 5   a part: 0 corpus, 1 data preparation, 2 copy-synthesis,
#                                       3 feature dumps, 4 SSL pretraining, 5 SVM fitting, 6 scoring, 7 results

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh
. ./cmd.sh
invocation=./run.sh${*:+$(printf ' %q' "$@")}

# options
stage=0               # the first stage to run
stop_stage=7          # the last stage to run
size=full             # how much of the corpus, and which budgets: full (as published), tiny
corpus=""             # FoR: the folder with for-norm, for-2sec, ..., or one of these
versions=""           # which versions, e.g. "for-norm for-2sec" [all that are there but for-original]
vocoders=""           # vocoders of stage 2, e.g. "world griffin_lim" [those of the size in conf/vocoders.yaml]
checkpoints=downloads/vocoders   # where the vocoders' weights are, as conf/vocoders.yaml names them
zero_shot=true        # score with a trained model, --model, in place of training one
model=""              # the model folder for --zero-shot true, e.g. ../asvspoof2019_la/exp/full/full_s0/model
checkpoint=""         # or the authors' released weights of --system aasist, aasist_l or rawnet2, e.g. AASIST.pth
ssl=""                # a pretrained encoder, e.g. ../asvspoof2019_la/exp/full/ssl_adversarial_s0, in place of stages 2 and 4
system=full           # Table II's row: handcrafted, ssl_single, ..., full; plus or plus_encoder (docs/evidence.md); or one of docs/systems.md, e.g. aasist
front_ends=""         # pretrained weights of w2v2_aasist or hubert_wavlm, e.g. "hubert_large.pt wavlm_large.pt"
features=""           # +tokens: acoustic tokens beside the handcrafted features
variant=masd          # the configuration conf/<variant>.yaml on top of conf/masd.yaml, e.g. paper_literal
seed=0                # seeds pretraining, fusion and every random choice
nj=4                  # parallel jobs of durations, dumps, copy-synthesis, embeddings and scoring by networks
ngpu=""               # GPUs of training (torchrun), of each host; 0 trains on the CPU [4 for full, 0 for tiny]
nproc=1               # processes of training where there is no GPU
num_nodes=1           # hosts of training; then run stage 4 (5 for --system aasist etc.) alone, on each host
node_rank=0           # which of them this host is, from 0
rdzv_endpoint=""      # where they meet, HOST:PORT of one of them
feats_format=ark      # what dumps are written as: ark or h5
compress=true         # compress dumps (Kaldi's method in ark, float16 in h5)
strict=true           # stop when the corpus is not as published; false goes on with what there is
max_fail=0.01         # share of a set's utterances, 0 to 1, that a stage may leave out because they cannot be used
results=""            # the results page [exp/<size>/RESULTS.md]
results_page=true     # whether stage 7 makes the page, or evaluates alone
command=""            # the command that the page names for scores and page made now [this one]
force=false           # redo the stages asked for though nothing they depend on has changed
. "$MASD_ROOT/utils/parse_options.sh"
. "$MASD_ROOT/utils/stages.sh"

# the corpus
title="FoR"
protocol="conf/corpus_$size.yaml,conf/vocoders.yaml"
keys() { echo --breakdown "$(cat "$data/breakdown")"; }
begin "$@"

if asked 0; then
  log "stage 0: locate the corpus"
  single locate python3 local/locate.py --corpus "$corpus" --versions "$versions"
fi

if asked 1; then
  log "stage 1: data preparation, to $data (log: $logs/prepare.log)"
  single prepare python3 local/prepare.py --corpus "$corpus" --versions "$versions" \
    --zero-shot "$zero_shot" --part "conf/corpus_$size.yaml" --out "$data" --strict "$strict"
  for name in $(prepared); do
    sharded "utt2dur_$name" make_utt2dur --data "$data/$name"
    single "utt2dur_$name.finish" python3 -m masd.bin.finish_utt2dur --data "$data/$name" --num-jobs "$nj" \
      --max-fail "$([ "$strict" = true ] && echo 0 || echo 1)"
    here validate_data_dir.sh "$data/$name"
  done
  probe
fi

if asked 2 && [ "$pretraining" = true ]; then
  single vocoders python3 -m masd.bin.choose_vocoders --available conf/vocoders.yaml --size "$size" \
    --vocoders "$vocoders" --checkpoints "$checkpoints" --pretraining "$pretrain_conf" --out "$data"
  for vocoder in $(tags); do
    log "stage 2: copy-synthesis of the pretraining set by $vocoder"
    for name in $(pretrain_sets); do
      sharded "copy_${name}_$vocoder" copy_synthesis --data "$data/$name" --vocoder "$vocoder" \
        --vocoder-config "$data/vocoder/$vocoder.yaml" --out "$data/${name}_$vocoder" \
        --wav-dir "$data/copies/$vocoder/wav" --audio-format flac
      single "copy_${name}_$vocoder.finish" python3 -m masd.bin.finish_copy_synthesis --data "$data/$name" \
        --vocoder "$vocoder" --out "$data/${name}_$vocoder" --num-jobs "$nj" --max-fail "$max_fail"
    done
  done
fi

if asked 2 && [ "$widened" = true ]; then
  widen train
fi

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
  if [ "${#detector[@]}" -gt 0 ]; then
    log "stage 5: training and calibration of $system, $exp/model (log: $exp/fit.log)"
    # shellcheck disable=SC2046
    trained "$exp/fit.log" train_detector "${detector[@]}" "${conf[@]}" "${training_options[@]}" --system "$system" \
      --train-data "$data/train" --dev-data "$data/dev" $(of_ssl "--ssl $ssl") --out "$exp" --seed "$seed" \
      --max-fail "$max_fail" --force "$force"
  else
    log "stage 5: embeddings, fusion, SVM and calibration, $exp/model (log: $exp/fit.log)"
    embed "$fitted" dev
    tokens train dev
    # shellcheck disable=SC2046
    trained "$exp/fit.log" fit_svm "${conf[@]}" "${training_options[@]}" --system "$system" --out "$exp" \
      --train-data "$data/$fitted" --train-dump "$hand/$fitted" --dev-data "$data/dev" --dev-dump "$hand/dev" \
      $(of_ssl "--ssl $ssl --train-embeddings $emb/$fitted --dev-embeddings $emb/dev") --seed "$seed" \
      --max-fail "$max_fail" --force "$force"
  fi
fi

if asked 6; then
  for name in $(scored); do
    log "stage 6: scores of $name, $exp/scores/$name"
    score "$name"
  done
fi

if asked 7; then
  log "stage 7: results, $exp/results"
  for name in $(evaluated); do
    told="$(beside "$name") $(keys "$name")"
    # shellcheck disable=SC2086
    single "evaluate_${tag}_$name" python3 -m masd.bin.evaluate --scores "$exp/scores/$name/scores" \
      --data "$data/$name" "${calibration[@]}" $told --out "$exp/results/$name" --force "$force"
  done
  if [ "$results_page" = true ]; then
    single results python3 -m masd.bin.results --exp "exp/$size" --system "$row" --data "$data" \
      --sets "$( (sets; pretrain_sets) | paste -sd ,)" --protocol "$settings,$protocol" \
      --reported conf/reported.yaml --title "Results on $title, size $size" --command "$command" --out "$results" \
      --report "exp/$size/report" --force "$force"
    log "results: $results, and with plots exp/$size/report/report.html"
  fi
fi

log "done, $SECONDS seconds"
