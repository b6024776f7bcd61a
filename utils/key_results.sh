#!/usr/bin/env bash
# The paper's Key Results on its four corpora, reported beside measured, from whichever recipes have been run.
#
#   utils/key_results.sh                      to standard output
#   utils/key_results.sh --out RESULTS.md     to a file

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/find_env.sh"

# options
egs="$MASD_ROOT/egs"   # the folder of the recipes
size=full              # the size that the recipes were run with: full, tiny
system=full            # Table II's row
reported=""            # YAML file of the paper's numbers [conf/reported.yaml of asvspoof2019_la]
out=""                 # the Markdown file to write [standard output]
. "$MASD_ROOT/utils/parse_options.sh"

[ $# -eq 0 ] || { echo "key_results.sh: error: '$1' is not an option; --help lists them" >&2; exit 1; }
reported=${reported:-$egs/asvspoof2019_la/conf/reported.yaml}
exec python3 -m masd.bin.key_results --egs "$egs" --reported "$reported" --size "$size" --system "$system" \
  ${out:+--out "$out"}
