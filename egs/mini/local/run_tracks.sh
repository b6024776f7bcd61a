#!/usr/bin/env bash
# What `make mini` runs: MASD and its handcrafted features alone on the clean track, then on the conditioned one, on one
# page. One encoder serves both: it is pretrained on the clean track's training speakers and their copies.
#
#   local/run_tracks.sh

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
size=small                     # profile of the corpus and of the budgets
nj=2                           # parallel jobs
downloads=downloads            # where packages are kept
seed=0                         # seeds pretraining, fusion and every random choice
. ../../utils/parse_options.sh

[ $# -eq 0 ] || { echo "run_tracks.sh: error: '$1' is not an option; --help lists them" >&2; exit 1; }
command="local/run_tracks.sh --size $size --seed $seed"
run() { ./run.sh --size "$size" --nj "$nj" --downloads "$downloads" --seed "$seed" --command "$command" "$@"; }

run --system handcrafted --results-page false
run --nproc 2
run --track conditioned --system handcrafted --results-page false
run --track conditioned --ssl "exp/$size/ssl_adversarial_s$seed"
run --stage 7
sed -n '1p; /^## What it means/,/^EER in per cent/{/^EER in per cent/!p}' "exp/$size/RESULTS.md"
