#!/usr/bin/env bash
# Table II of a recipe: every row with several seeds; as more rows, with the first seed, the full system without gradient
# reversal, with a strong one, the literal reading of the paper, and plus, which is not the paper's; the probe of the
# encoders, and the results page with paired differences. A stopped run goes on from where it was. Called in the
# recipe's folder; what follows -- are options of its run.sh.
#
#   ../../utils/run_table2.sh -- --corpus DIR/LA --librispeech DIR/LibriSpeech

set -euo pipefail

# options
size=full             # the recipe's --size
folder=""             # where its run.sh puts that, below data, dump and exp [size]
seeds="0 1 2"         # each row is trained once for each
nj=1                  # jobs at a time; each trains one encoder with its systems
threads=1             # threads of a job
literal=true          # also run --variant paper_literal
results=""            # the page to write [exp/<size>/RESULTS.md]
command=""            # the command that the page names [this one]
only_job=""           # internal: run this one job of the array
. "$(dirname "${BASH_SOURCE[0]}")/parse_options.sh"
[ -x ./run.sh ] || { echo "run_table2.sh: error: no ./run.sh here; call it in a recipe's folder" >&2; exit 1; }
# shellcheck source=/dev/null  # the recipe's own
. ./path.sh
# shellcheck source=/dev/null
. ./cmd.sh
. "$MASD_ROOT/utils/stages.sh"

common=(--size "$size" "$@")
folder=${folder:-$size}
exp=exp/$folder data=data/$folder dump=dump/$folder logs=exp/$folder/log
command=${command:-"../../utils/run_table2.sh --size $size --seeds '$seeds' --literal $literal --${*:+$(printf ' %q' "$@")}"}

# One line a job: seed, variant, systems that share one encoder. All rows with the first seed come first.
jobs() {
  for seed in $seeds; do
    echo "$seed masd full"
    echo "$seed masd ssl_multi concat attention"
    echo "$seed masd ssl_single"
    echo "$seed masd handcrafted"
    [ "$seed" = "${seeds%% *}" ] || continue
    echo "$seed no_reversal full"
    echo "$seed strong_reversal full"
    [ "$literal" = false ] || echo "$seed paper_literal full"
    echo "$seed masd plus"
  done
}

if [ -n "$only_job" ]; then
  read -r seed variant systems < <(jobs | sed -n "${only_job}p")
  for system in $systems; do
    first=4
    [ "$system" != plus ] || first=2  # fitted on more, and other, features
    ./run.sh "${common[@]}" --stage "$first" --stop-stage 7 --nj "$threads" --seed "$seed" --variant "$variant" \
      --system "$system" --results-page false --command "$command"
  done
  exit 0
fi

./run.sh "${common[@]}" --stage 0 --stop-stage 3
[ "$literal" = false ] || ./run.sh "${common[@]}" --stage 3 --stop-stage 3 --variant paper_literal

log "$(jobs | wc -l) jobs, $nj at a time (logs: $logs/table2.*.log)"
# shellcheck disable=SC2086,SC2154
$train_cmd --max-jobs-run "$nj" --num-threads "$threads" JOB=1:"$(jobs | wc -l)" "$logs/table2.JOB.log" \
  "$MASD_ROOT/utils/run_table2.sh" --size "$size" --folder "$folder" --seeds "$seeds" --threads "$threads" \
  --literal "$literal" --command "$command" --only-job JOB -- "$@"

first=${seeds%% *}
# Probe the encoder NAME into probe_<OUT>.json: probe NAME OUT [OPTION...]
probe() {
  single "probe_$2" python3 -P -m masd.bin.probe encoder --seed "$first" --model "$exp/$1" --out "$exp/probe_$2.json" \
    --dump "$dump/pretrain_dev" --vocoded "$(copies pretrain_dev)" \
    --train "$dump/pretrain" --train-vocoded "$(copies pretrain)" "${@:3}"
}
for seed in $seeds; do
  against=()
  [ "$seed" != "$first" ] || against=(--without-grl "$exp/ssl_adversarial_no_reversal_s$seed")
  probe "ssl_adversarial_s$seed" "s$seed" "${against[@]}"
done
probe "ssl_adversarial_strong_reversal_s$first" "strong_reversal_s$first" \
  --without-grl "$exp/ssl_adversarial_no_reversal_s$first"
./run.sh "${common[@]}" --stage 7 --seed "$first" --results "$results" --command "$command"
log "done, ${results:-$exp/RESULTS.md}"
