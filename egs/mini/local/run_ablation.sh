#!/usr/bin/env bash
# Table II on the mini corpus: every row with several seeds, the full system without gradient reversal and the
# literal reading of the paper as two more rows, the gates on the machinery, and the results page with paired
# differences. A stopped run goes on from where it was.
#
#   local/run_ablation.sh --size report

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ./path.sh

# options
size=report                    # profile of the corpus and of the budgets
seeds="0 1 2"                  # each row is trained once for each
nj=2                           # jobs at a time; each trains one encoder with its systems
downloads=downloads            # where packages are kept
feats_format=ark               # what dumps are written as: ark or h5
literal=true                   # also run conf/paper_literal.yaml, with the first seed
results=""                     # the page to write [RESULTS.md for report, else exp/<size>/RESULTS.md]
. "$MASD_ROOT/utils/parse_options.sh"

<<<<<<< HEAD
common=(--size "$size" --downloads "$downloads" --feats-format "$feats_format")
exp=exp/$size
[ -n "$results" ] || { [ "$size" = report ] && results=RESULTS.md || results=$exp/RESULTS.md; }

# One line a job: seed, variant, systems that share one encoder. All rows with the first seed come first.
jobs() {
  for seed in $seeds; do
    echo "$seed masd full"
    echo "$seed masd ssl_multi concat attention"
    echo "$seed masd ssl_single"
    echo "$seed masd handcrafted"
    echo "$seed no_reversal full"
    [ "$literal" = true ] && [ "$seed" = "${seeds%% *}" ] && echo "$seed paper_literal full"
  done
}

if [ -n "$only_job" ]; then
  read -r seed variant systems < <(jobs | sed -n "${only_job}p")
  for system in $systems; do
    ./run.sh "${common[@]}" --stage 4 --stop-stage 7 --nj 1 --seed "$seed" --variant "$variant" --system "$system" \
      --results-page false
  done
  exit 0
fi

./run.sh "${common[@]}" --stage 0 --stop-stage 3 --nj "$nj"
[ "$literal" = false ] || ./run.sh "${common[@]}" --stage 3 --stop-stage 3 --nj "$nj" --variant paper_literal

echo "$(date '+%F %T') run_ablation.sh: $(jobs | wc -l) jobs, $nj at a time (logs: $exp/log/ablation.*.log)"
# shellcheck disable=SC2086
$train_cmd --max-jobs-run "$nj" --num-threads 1 JOB=1:"$(jobs | wc -l)" "$exp/log/ablation.JOB.log" \
  local/run_ablation.sh --size "$size" --seeds "$seeds" --downloads "$downloads" --feats-format "$feats_format" \
  --literal "$literal" --only-job JOB

copies() { sed "s|.*|&=dump/$size/$1_&|" "data/$size/pretrain_tags" | paste -sd ,; }
for seed in $seeds; do
  # shellcheck disable=SC2086
  $cmd "$exp/log/probe_s$seed.log" python3 -m masd.bin.probe_encoder --model "$exp/ssl_adversarial_s$seed" \
    --without-grl "$exp/ssl_adversarial_no_reversal_s$seed" --out "$exp/probe_s$seed.json" --seed "$seed" \
    --dump "dump/$size/pretrain_dev" --vocoded "$(copies pretrain_dev)" \
    --train "dump/$size/pretrain" --train-vocoded "$(copies pretrain)"
done
./run.sh "${common[@]}" --stage 7 --seed "${seeds%% *}" --results "$results" \
  --command "local/run_ablation.sh --size $size --seeds '$seeds' --literal $literal"
echo "$(date '+%F %T') run_ablation.sh: done, $results"
=======
[ $# -eq 0 ] || { echo "run_ablation.sh: error: '$1' is not an option; --help lists them" >&2; exit 1; }
[ -n "$results" ] || [ "$size" != report ] || results=RESULTS.md
exec ../../utils/run_table2.sh --size "$size" --seeds "$seeds" --nj "$nj" --literal "$literal" --results "$results" \
  --command "local/run_ablation.sh --size $size --seeds '$seeds' --literal $literal" \
  -- --downloads "$downloads" --feats-format "$feats_format"
>>>>>>> 5bc7f807218927005d37c4125f1f1c5dcf8428e5
