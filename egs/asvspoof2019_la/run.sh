#!/usr/bin/env bash
# MASD on ASVspoof 2019 LA, pretrained on LibriSpeech train-clean-360: the paper's in-domain experiment.
#
#   ./run.sh --corpus DIR/LA --librispeech DIR/LibriSpeech                 everything, the published budgets
#   ./run.sh --corpus DIR/LA --librispeech DIR/LibriSpeech --size tiny     a smoke run over a small part of it
#   ./run.sh --stage 3 --stop-stage 5   a part: 0 corpus, 1 data preparation, 2 copy-synthesis,
#                                       3 feature dumps, 4 SSL pretraining, 5 SVM fitting, 6 scoring, 7 results

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh
. ./cmd.sh
invocation="./run.sh $*"

# options
stage=0               # the first stage to run
stop_stage=7          # the last stage to run
size=full             # how much of the corpus, and which budgets: full (as published), tiny
corpus=""             # ASVspoof 2019 LA: the folder LA, or the one it is in
librispeech=""        # LibriSpeech: the folder with SPEAKERS.TXT and train-clean-360, for pretraining
vocoders=""           # vocoders of stage 2, e.g. "world griffin_lim" [those of the size in conf/vocoders.yaml]
checkpoints=downloads/vocoders   # where the vocoders' weights are, as conf/vocoders.yaml names them
zero_shot=false       # score with a trained model, --model, in place of training one
model=""              # the model folder for --zero-shot true, e.g. ../asvspoof2019_la/exp/full/full_s0/model
ssl=""                # a pretrained encoder, e.g. ../asvspoof2019_la/exp/full/ssl_adversarial_s0, in place of stages 2 and 4
system=full           # Table II's row: handcrafted, ssl_single, ssl_multi, concat, attention, full
variant=masd          # the configuration conf/<variant>.yaml on top of conf/masd.yaml, e.g. paper_literal
seed=0                # seeds pretraining, fusion and every random choice
nj=4                  # parallel jobs of durations, dumps, copy-synthesis and embeddings
ngpu=""               # GPUs of pretraining (torchrun); 0 trains on the CPU [4 for full, 0 for tiny]
feats_format=ark      # what dumps are written as: ark or h5
compress=true         # compress dumps (Kaldi's method in ark, float16 in h5)
strict=true           # stop when the corpus is not as published; false goes on with what there is
results=""            # the results page [exp/<size>/RESULTS.md]
results_page=true     # whether stage 7 makes the page, or evaluates alone
command=""            # the command that the page names [this one]
force=false           # redo the stages asked for though nothing they depend on has changed
. "$MASD_ROOT/utils/parse_options.sh"

[ $# -eq 0 ] || { echo "run.sh: error: '$1' is not an option; --help lists them" >&2; exit 1; }
case $system in
  handcrafted) ssl_kind="" kind=() ;;
  ssl_single) ssl_kind=single kind=(--encoder.bands single --ssl.objectives "[mask,cpc]") ;;
  ssl_multi | concat | attention) ssl_kind=multi kind=(--encoder.bands multi --ssl.objectives "[mask,cpc]") ;;
  full) ssl_kind=adversarial kind=(--encoder.bands multi --ssl.objectives "[mask,cpc,adv]") ;;
  *) echo "run.sh: error: unknown --system $system; --help lists the rows of Table II" >&2; exit 1 ;;
esac
[ -f "conf/$variant.yaml" ] || { echo "run.sh: error: no conf/$variant.yaml for --variant $variant" >&2; exit 1; }
[ -f "conf/$size.yaml" ] || { echo "run.sh: error: no conf/$size.yaml for --size $size" >&2; exit 1; }

conf=(--config conf/masd.yaml --config "conf/$size.yaml") feats=() suffix=""
[ "$variant" = masd ] || { conf+=(--config "conf/$variant.yaml"); suffix=_$variant; }
data=data/$size                          # what stages 1 and 2 make
dump=dump/$size; ! grep -q '^dump_feats:' "conf/$variant.yaml" || dump+=$suffix   # stage 3; own if features differ
own=exp/$size/ssl_$ssl_kind${suffix}_s$seed   # stage 4, unless --ssl names an encoder
exp=exp/$size/$system${suffix}_s$seed    # stages 5 and 6
logs=exp/$size/log
row=$system$suffix ssl=${ssl:-$own} emb=$own/emb model=${model%/}
[ "$zero_shot" = true ] || [ -z "$model" ] || { echo "run.sh: error: --model needs --zero-shot true" >&2; exit 1; }
if [ "$zero_shot" = true ]; then
  [ -f "$model/model.yaml" ] || { echo "run.sh: error: --model '$model': no model folder of stage 5" >&2; exit 1; }
  tag=zero_shot_$(basename "${model%/model}")
  exp=exp/$size/$tag row=${tag%_s[0-9]*} ssl=$model emb=exp/$size/$tag/emb feats=(--like "$model")
  [ -f "$model/encoder.safetensors" ] || ssl_kind=""
fi
model=${model:-$exp/model}
pretraining=false                        # whether an encoder is trained here
[ "$zero_shot" = true ] || [ -z "$ssl_kind" ] || [ "$ssl" != "$own" ] || pretraining=true
[ -n "$ngpu" ] || { [ "$size" = full ] && ngpu=4 || ngpu=0; }
results=${results:-exp/$size/RESULTS.md} command=${command:-$invocation} launch=(python3)
[ "$ngpu" -eq 0 ] || launch=(torchrun --standalone --nproc-per-node "$ngpu")
log() { echo "$(date '+%F %T') run.sh: $*"; }
# One set's work as $nj jobs: sharded LOG ENTRY_POINT ARGUMENT...
sharded() {
  # shellcheck disable=SC2086  # a launcher may have options of its own
  $cmd JOB=1:"$nj" "$logs/$1.JOB.log" python3 -m "masd.bin.$2" "${@:3}" --job JOB --num-jobs "$nj" --force "$force"
}
# One piece of work: single LOG COMMAND...
single() {
  # shellcheck disable=SC2086
  $cmd "$logs/$1.log" "${@:2}"
}
need() { [ -e "$1" ] || { echo "run.sh: error: no $1; run stage $2 first" >&2; exit 1; }; }
asked() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }
sets() { [ "$zero_shot" = true ] || printf '%s\n' train dev; echo eval; }
pretrain_sets() { [ "$pretraining" = false ] || echo pretrain pretrain_dev; }
tags() { [ "$pretraining" = false ] || cat "$data/pretrain_tags"; }
# What evaluation is told of this corpus: keys SET; eval's A16 and A19 are the algorithms of A04 and A06
keys() {
  echo --seen-attacks "A01,A02,A03,A04,A05,A06,A16,A19"
  [ ! -f "$data/asv_scores/$1" ] || echo --asv-scores "$data/asv_scores/$1"
  [ "$1 $zero_shot" != "eval false" ] || echo --dev-scores "$exp/scores/dev/scores" --dev-data "$data/dev" \
    --dev-excused "$exp/scores/dev/failures"
}

log "stages $stage to $stop_stage, size $size, $row, seed $seed"

if asked 0; then
  log "stage 0: locate the corpus"
  single locate python3 local/locate.py --corpus "$corpus" --librispeech "$librispeech" --pretrain "$pretraining"
fi

if asked 1; then
  log "stage 1: data preparation, to $data (log: $logs/prepare.log)"
  single prepare python3 local/prepare.py --corpus "$corpus" --librispeech "$librispeech" --pretrain "$pretraining" \
    --zero-shot "$zero_shot" --part "conf/corpus_$size.yaml" --out "$data" --strict "$strict"
  for name in $(sets) $(pretrain_sets); do
    sharded "utt2dur_$name" make_utt2dur --data "$data/$name"
    single "utt2dur_$name.finish" python3 -m masd.bin.finish_utt2dur --data "$data/$name" --num-jobs "$nj" \
      --max-fail "$([ "$strict" = true ] && echo 0 || echo 1)"
    validate_data_dir.sh "$data/$name"
  done
fi

[ "$stage" -le 1 ] || need "$data/eval" 1
[ "$stage" -le 2 ] || [ "$pretraining" = false ] || need "$data/pretrain_tags" 2

if asked 2 && [ "$pretraining" = true ]; then
  single vocoders python3 -m masd.bin.choose_vocoders --available conf/vocoders.yaml --size "$size" \
    --vocoders "$vocoders" --checkpoints "$checkpoints" --out "$data"
  for tag in $(tags); do
    log "stage 2: copy-synthesis of the pretraining set by $tag"
    for name in $(pretrain_sets); do
      sharded "copy_${name}_$tag" copy_synthesis --data "$data/$name" --vocoder "$tag" \
        --vocoder-config "$data/vocoder/$tag.yaml" --out "$data/${name}_$tag" \
        --wav-dir "$data/copies/$tag/wav" --audio-format flac
      single "copy_${name}_$tag.finish" python3 -m masd.bin.finish_copy_synthesis --data "$data/$name" \
        --vocoder "$tag" --out "$data/${name}_$tag" --num-jobs "$nj"
    done
  done
fi

if asked 3; then
  for name in $(sets) $(pretrain_sets) $(tags | sed 's/^/pretrain_/; p; s/^pretrain_/pretrain_dev_/'); do
    log "stage 3: features of $name"
    sharded "dump_$name" dump_feats "${conf[@]}" "${feats[@]}" --data "$data/$name" --out "$dump/$name" \
      --feats-format "$feats_format" --compress "$compress"
    single "dump_$name.finish" python3 -m masd.bin.finish_dump --out "$dump/$name" --num-jobs "$nj"
  done
fi

if asked 4 && [ "$pretraining" = true ]; then
  log "stage 4: self-supervised pretraining, $ssl (log: $ssl/train.log)"
  # shellcheck disable=SC2086
  $train_cmd --gpu "$ngpu" "$ssl/pretrain.log" "${launch[@]}" -m masd.bin.pretrain "${conf[@]}" "${kind[@]}" \
    --train "$dump/pretrain" --dev "$dump/pretrain_dev" --out "$ssl" --seed "$seed" --force "$force" \
    --vocoded "$(tags | sed "s|.*|&=$dump/pretrain_&|" | paste -sd ,)" \
    --dev-vocoded "$(tags | sed "s|.*|&=$dump/pretrain_dev_&|" | paste -sd ,)"
fi

# Embeddings of the sets named, where the system has an encoder.
embed() {
  [ -n "$ssl_kind" ] || return 0
  for name in "$@"; do
    sharded "embed_$(basename "$exp")_$name" extract_embeddings "${conf[@]}" --model "$ssl" --dump "$dump/$name" \
      --out "$emb/$name"
    single "embed_$(basename "$exp")_$name.finish" python3 -m masd.bin.finish_embeddings --out "$emb/$name" \
      --num-jobs "$nj"
  done
}
of_ssl() { [ -z "$ssl_kind" ] || echo "$1"; }

if asked 5 && [ "$zero_shot" = false ]; then
  log "stage 5: embeddings, fusion, SVM and calibration, $exp/model (log: $exp/fit_svm.log)"
  embed train dev
  # shellcheck disable=SC2046,SC2086
  $train_cmd "$exp/fit_svm.log" python3 -m masd.bin.fit_svm "${conf[@]}" --system "$system" --out "$exp" \
    --train-data "$data/train" --train-dump "$dump/train" --dev-data "$data/dev" --dev-dump "$dump/dev" \
    $(of_ssl "--ssl $ssl --train-embeddings $emb/train --dev-embeddings $emb/dev") \
    --seed "$seed" --force "$force"
fi

if asked 6; then
  for name in $(sets | grep -v train); do
    log "stage 6: scores of $name, $exp/scores/$name"
    embed "$name"
    # shellcheck disable=SC2046
    single "score_$(basename "$exp")_$name" python3 -m masd.bin.score --model "$model" --dump "$dump/$name" \
      $(of_ssl "--embeddings $emb/$name") --data "$data/$name" --out "$exp/scores/$name" --force "$force"
  done
fi

if asked 7; then
  log "stage 7: results, $exp/results"
  for name in $(sets | grep -v train); do
    # shellcheck disable=SC2046
    single "evaluate_$(basename "$exp")_$name" python3 -m masd.bin.evaluate --scores "$exp/scores/$name/scores" \
      --data "$data/$name" --excused "$exp/scores/$name/failures" --model "$model" $(keys "$name") \
      --out "$exp/results/$name" --force "$force"
  done
  if [ "$results_page" = true ]; then
    single results python3 -m masd.bin.results --exp "exp/$size" --system "$row" --data "$data" \
      --sets "$( (sets; pretrain_sets) | paste -sd ' ' | tr ' ' ,)" \
      --protocol "conf/masd.yaml,conf/$size.yaml,conf/corpus_$size.yaml,conf/vocoders.yaml" \
      --reported conf/reported.yaml --title "Results on ASVspoof 2019 LA, size $size" --command "$command" --out "$results"
    log "results: $results, and with plots exp/$size/report/report.html"
  fi
fi

log "done, $SECONDS seconds"
