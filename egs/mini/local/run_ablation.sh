#!/usr/bin/env bash
# Table II on the mini corpus: every row with several seeds, the literal reading of the paper as one more row,
# the gates on the machinery, and the results page with paired differences. A stopped run goes on from where it was.
#
#   local/run_ablation.sh --size report

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
size=report                    # profile of the corpus and of the budgets
track=clean                    # or conditioned, under noise and coding
seeds="0 1 2"                  # each row is trained once for each
nj=2                           # jobs at a time; each trains one encoder with its systems
downloads=downloads            # where packages are kept
feats_format=ark               # what dumps are written as: ark or h5
literal=true                   # also run --variant paper_literal, with the first seed
results=""                     # the page to write [RESULTS.md for report, clean; else in exp]
. ../../utils/parse_options.sh

[ $# -eq 0 ] || { echo "run_ablation.sh: error: '$1' is not an option; --help lists them" >&2; exit 1; }
folder=$size
[ "$track" = clean ] || folder+=_$track
[ -n "$results" ] || [ "$folder" != report ] || results=RESULTS.md
exec ../../utils/run_table2.sh --size "$size" --folder "$folder" --seeds "$seeds" --nj "$nj" --literal "$literal" \
  --results "$results" \
  --command "local/run_ablation.sh --size $size --track $track --seeds '$seeds' --literal $literal" \
  -- --track "$track" --downloads "$downloads" --feats-format "$feats_format"
