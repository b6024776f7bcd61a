#!/usr/bin/env bash
# The systems that MASD is compared with, trained on mini and scored on the same trials: one table. Each has a
# budget of utterance-steps (conf/<size>.yaml, train: budgets). A stopped run goes on from where it was.
#
#   local/run_systems.sh --size report

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
size=report                    # profile of the corpus and of the budgets
track=clean                    # or conditioned, under noise and coding
systems="lfcc_gmm tokens lfcc_lcnn rawnet2 aasist_l aasist samo"   # in the order of their cost
trials=1000                    # utterances of eval that all are scored on, drawn once; 0 for all
seed=0                         # seeds each training, and the choice of trials
aasist_checkpoint=""           # released AASIST weights: one more row, zero-shot
nj=2                           # parallel jobs of dumps
downloads=downloads            # where packages are kept
results=""                     # the table [SYSTEMS.md for report, clean; else in exp]
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
. ../../utils/stages.sh

[ $# -eq 0 ] || fail "'$1' is not an option; --help lists them"
folder=$size
[ "$track" = clean ] || folder+=_$track
data=data/$folder exp=exp/$folder top=exp/$folder/systems logs=exp/$folder/log
run() { ./run.sh --size "$size" --track "$track" --downloads "$downloads" --nj "$nj" "$@"; }
[ -n "$results" ] || [ "$folder" != report ] || results=SYSTEMS.md
results=${results:-$top/SYSTEMS.md}

[ -f "$data/eval/utt2lab" ] || run --stage 0 --stop-stage 1

# The same trials for every system.
list=$data/eval
if [ "$trials" -gt 0 ] && [ "$trials" -lt "$(wc -l < "$data/eval/utt2lab")" ]; then
  list=$data/eval_systems
  single eval_systems python3 -P -m masd.bin.data subset --data "$data/eval" --out "$list" --random "$trials" --seed "$seed"
fi
seen=$(cut -d ' ' -f 2 "$data/train/utt2attack" | sort -u | grep -v '^-$' | paste -sd ,)

rows=()
# What is scored becomes a row: row NAME MODEL
row() {
  single "systems_evaluate_$1" python3 -P -m masd.bin.evaluate --scores "$top/$1/scores" --data "$list" \
    --excused "$top/$1/failures" --seen-attacks "$seen" --out "$top/$1" ${2:+--model "$2"}
  rows+=("$top/$1${2:+=$2}")
}

for system in $systems; do
  log "$system (log: $exp/${system}_s$seed/fit.log)"
  first=5
  [ "$system" != tokens ] || first=2  # its encoder is pretrained on copies too
  run --stage "$first" --stop-stage 5 --seed "$seed" --system "$system"
  single "systems_score_$system" python3 -P -m masd.bin.score --model "$exp/${system}_s$seed/model" --data "$list" \
    --out "$top/$system"
  row "$system" "$exp/${system}_s$seed/model"
done

if [ -n "$aasist_checkpoint" ]; then
  log "released AASIST weights, zero-shot"
  single systems_score_aasist_released python3 -P -m masd.bin.score --system aasist --data "$list" \
    --checkpoint "$aasist_checkpoint" --out "$top/aasist_released"
  row aasist_released ""
fi

# MASD and plus as they are, where run.sh has made them, on recordings as the others: ours NAME SYSTEM
ours() {
  local model=$exp/$2_s$seed/model
  [ -f "$model/model.yaml" ] || { log "no row $1: there is no $model yet (run.sh --system $2)"; return 0; }
  log "$1 as it is, $model"
  single "systems_score_$1" python3 -P -m masd.bin.score --model "$model" --data "$list" --out "$top/$1"
  row "$1" "$model"
}
ours masd full
ours plus plus

single systems_table python3 -P -m masd.bin.results systems --systems "[$(IFS=,; echo "${rows[*]}")]" --out "$results" \
  --title "Comparison systems on the mini corpus, $track track, size $size" \
  --command "local/run_systems.sh --size $size --track $track --trials $trials --seed $seed${aasist_checkpoint:+ --aasist-checkpoint ${aasist_checkpoint##*/}}"
log "done, $results"
