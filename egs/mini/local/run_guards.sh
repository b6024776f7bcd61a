#!/usr/bin/env bash
# What do the guards against other cues cost? Log-mel statistics and a logistic regression, fitted on train and
# tested on dev (local/mel_probe.py), on the conditioned sets and on the same audio before conditioning.
#
#   local/run_guards.sh --size report       after stage 3

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
size=report           # profile of the corpus
nj=2                  # parallel jobs
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh

data=data/$size
logs=exp/$size/log

# Dump the features of a data folder: dump NAME
dump() {
  # shellcheck disable=SC2086
  $cmd JOB=1:"$nj" "$logs/dump_$1.JOB.log" python3 -m masd.bin.dump_feats --config conf/masd.yaml \
    --data "$data/$1" --out "dump/$size/$1" --job JOB --num-jobs "$nj"
  # shellcheck disable=SC2086
  $cmd "$logs/dump_$1.finish.log" python3 -m masd.bin.finish dump --out "dump/$size/$1" --num-jobs "$nj"
}

if [ ! -f "$data/unguarded_dev/utt2spk" ]; then
  parts=()
  mkdir -p "$data/unguarded"
  cut -d ' ' -f 1 "$data/pretrain_dev/utt2spk" > "$data/unguarded/dev_utts"
  python3 -m masd.bin.data subset --data "$data/source" --utt-list "$data/unguarded/dev_utts" --out "$data/unguarded/dev"
  while read -r tag; do
    sed "s/^/$tag-/" "$data/unguarded/dev_utts" | grep -Fwf - "$data/copies/$tag/utt2spk" | cut -d ' ' -f 1 > "$data/unguarded/dev_utts.$tag"
    python3 -m masd.bin.data subset --data "$data/copies/$tag" --utt-list "$data/unguarded/dev_utts.$tag" \
      --out "$data/unguarded/dev_$tag"
    parts+=("$data/unguarded/dev_$tag")
  done < "$data/pretrain_tags"
  python3 -m masd.bin.data merge --out "$data/unguarded_train" \
    --data "[$data/pretrain_source$(sed "s|.*|,$data/pretrain_raw_&|" "$data/pretrain_tags" | tr -d '\n')]"
  python3 -m masd.bin.data merge --out "$data/unguarded_dev" --data "[$data/unguarded/dev$(printf ',%s' "${parts[@]}")]"
fi
dump unguarded_train
dump unguarded_dev
for name in "" unguarded_; do
  python3 local/mel_probe.py --train-data "$data/${name}train" --train-dump "dump/$size/${name}train" \
    --dev-data "$data/${name}dev" --dev-dump "dump/$size/${name}dev" --out "exp/$size/mel_${name}dev.json"
done
