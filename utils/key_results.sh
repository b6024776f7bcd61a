#!/usr/bin/env bash
# The paper's Key Results on its four corpora, reported beside measured, and one model on every corpus: EER, their
# mean, and pooled with one threshold, from whichever recipes have been run.
#
#   utils/key_results.sh                      to standard output
#   utils/key_results.sh --system plus        of the packaged model
#   utils/key_results.sh --out RESULTS.md     to a file

set -euo pipefail
# options
egs=""                 # the folder of the recipes [egs of this repository]
size=full              # the size that the recipes were run with: full, tiny
system=full            # Table II's row
reported=""            # YAML file of the paper's numbers [conf/reported.yaml of asvspoof2019_la]
out=""                 # the Markdown file to write [standard output]
utils=$(dirname "${BASH_SOURCE[0]}")
. "$utils/parse_options.sh"
. "$utils/find_env.sh"

[ $# -eq 0 ] || { echo "key_results.sh: error: '$1' is not an option; --help lists them" >&2; exit 1; }
egs=${egs:-$MASD_ROOT/egs}
reported=${reported:-$egs/asvspoof2019_la/conf/reported.yaml}
exec python3 -P -m masd.bin.results key --egs "$egs" --reported "$reported" --size "$size" --system "$system" \
  ${out:+--out "$out"}
