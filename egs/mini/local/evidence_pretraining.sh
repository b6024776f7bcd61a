#!/usr/bin/env bash
# Part of the evidence study: encoders pretrained without one attack's copies, by objective and by number and kind of
# vocoders, each judged by local/evidence_encoder.py; then the encoder trained further with labels. What is done is
# not done again.
#
#   local/evidence_pretraining.sh --size report       after stage 3 of ./run.sh --size report

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ./path.sh

# options
size=report           # profile of the corpus
leave_out=A01         # HiFi-GAN: the one neural vocoder of train
nj=2                  # encoders pretrained side by side, a thread each
. "$MASD_ROOT/utils/parse_options.sh"

dump=dump/$size
out=exp/$size/evidence/encoders
log=$out/log
mkdir -p "$log"
export OMP_NUM_THREADS=1

# name of the row, objectives, vocoders of the pretraining (all but the one left out)
rows() {
  cat <<'END'
mask [mask] griffin_lim,mlsa,world
cpc [cpc] griffin_lim,mlsa,world
mask_cpc [mask,cpc] griffin_lim,mlsa,world
adv [adv] griffin_lim,mlsa,world
all [mask,cpc,adv] griffin_lim,mlsa,world
all_mlsa [mask,cpc,adv] mlsa
all_griffin_lim [mask,cpc,adv] griffin_lim
all_mlsa_world [mask,cpc,adv] mlsa,world
END
}

# name of the row, what is trained with labels, whether from random weights
tunings() {
  cat <<'END'
tuned_last last false
tuned_all all false
tuned_fresh all true
END
}

copies() { echo "$2" | tr , '\n' | sed "s|.*|&=$dump/$1_&|" | paste -sd ,; }

judge() {
  local name=$1 encoder=$2
  shift 2
  [ "$out/$name.json" -nt "$encoder/encoder.safetensors" ] || python3 local/evidence_encoder.py --data "data/$size" \
    --dump "$dump" --encoder "$encoder" --leave_out "$leave_out" --out "$out/$name.json" "$@" >> "$log/$name.log" 2>&1
}

row() {
  local name=$1 objectives=$2 vocoders=$3
  python3 -m masd.bin.pretrain --config conf/masd.yaml --config "conf/$size.yaml" --train "$dump/pretrain" \
    --dev "$dump/pretrain_dev" --vocoded "$(copies pretrain "$vocoders")" \
    --dev_vocoded "$(copies pretrain_dev "$vocoders")" --ssl.objectives "$objectives" --out "$out/$name" \
    >> "$log/$name.log" 2>&1
  judge "$name" "$out/$name"
}

tuning() { judge "$1" "$out/all" --tune.what "$2" --tune.fresh "$3"; }

echo "$0: the log of each row is $log/<row>.log"
export -f row tuning judge copies
export dump out log size leave_out
rows | xargs -P "$nj" -L 1 bash -euo pipefail -c 'row "$@"' row
tunings | xargs -P "$nj" -L 1 bash -euo pipefail -c 'tuning "$@"' tuning
# EER in per cent
for found in "$out"/*.json; do
  printf '%-16s %s\n' "$(basename "$found" .json)" "$(tr -d '\n{}' < "$found")"
done
