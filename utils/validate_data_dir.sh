#!/usr/bin/env bash
# Check a data folder, called as Kaldi's script of this name is:
#   utils/validate_data_dir.sh [--no-feats] [--no-text] [--no-spk-sort] [--non-print] [--strict] <data-dir>
# Features, text and the order of speakers are never asked for here, so those options change nothing;
# audio is what MASD reads, so --no-wav is refused. --strict decodes every file too.
set -euo pipefail

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0"; }

data=
strict=false
for argument in "$@"; do
  case "$argument" in
    --no-feats | --no-text | --no-spk-sort | --non-print) ;;
    --strict) strict=true ;;
    --help | -h) usage; exit 0 ;;
    -*) echo "$0: error: no option $argument here" >&2; usage >&2; exit 1 ;;
    *)
      if [ -n "$data" ]; then echo "$0: error: one data folder at a time" >&2; exit 1; fi
      data=$argument
      ;;
  esac
done
if [ -z "$data" ]; then usage >&2; exit 1; fi

# shellcheck source=utils/find_env.sh
. "$(dirname "${BASH_SOURCE[0]}")/find_env.sh"
exec python3 -P -m masd.bin.data validate --data "$data" --strict "$strict"
