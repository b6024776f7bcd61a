#!/usr/bin/env bash
# Stage 1 of the mini corpus: source utterances and their copies through the vocoders, which all tracks share, and the
# sets of a track.
#
# Usage: local/prepare.sh --size small --track clean --downloads downloads --data data/small [--cmd "run.py"] [--nj 2]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
cmd=run.py            # launcher of jobs
nj=2                  # number of parallel jobs
size=small            # tiny, small, report or full
track=clean           # what both classes go through, conf/track_<track>.yaml
downloads=downloads   # where stage 0 unpacked the packages
data=                 # where the sets go (default: data/<size>); recordings and copies go to data/<size>
corpus=               # your own folder of recordings by speaker, instead of the packages
strict=true           # whether a cue found in train or dev stops report and full
max_fail=0.01         # share of utterances, 0 to 1, that may fail
force=false           # make everything again
. ../../utils/parse_options.sh
. ./path.sh

made=data/$size data=${data:-data/$size}
[ "$force" = false ] || rm -rf "$made" "$data"
if [ -n "$corpus" ]; then
  protocol=$made/protocol/$size.tsv
  if [ ! -f "$protocol" ]; then
    $cmd "$made/log/make_protocol.log" python3 local/make_protocol.py \
      --sizes "[$size]" --corpus "$corpus" --out "$made/protocol"
  fi
else
  protocol=conf/protocol/$size.tsv
fi

$cmd JOB=1:"$nj" "$made/log/make_source.JOB.log" python3 local/make_source.py cut --protocol "$protocol" \
  --downloads "$downloads" --corpus "$corpus" --data "$made" --job JOB --num-jobs "$nj"
$cmd "$made/log/finish_source.log" python3 local/make_source.py finish --protocol "$protocol" \
  --size "$size" --downloads "$downloads" --data "$made" --corpus "$corpus"

while read -r tag; do
  $cmd JOB=1:"$nj" "$made/log/copy_$tag.JOB.log" python3 -P -m masd.bin.copy_synthesis \
    --data "$made/copies/$tag/source" --vocoder "$tag" --vocoder-config "$made/vocoder/$tag.yaml" \
    --out "$made/copies/$tag" --wav-dir "$made/copies/$tag/wav" --audio-format flac \
    --device cpu --job JOB --num-jobs "$nj"  # the same copies on any machine
  $cmd "$made/log/finish_copy_$tag.log" python3 -P -m masd.bin.finish copy-synthesis \
    --data "$made/copies/$tag/source" --vocoder "$tag" --out "$made/copies/$tag" --num-jobs "$nj" \
    --max-fail "$max_fail"
done < "$made/copy_tags"

while read -r attack; do
  $cmd "$made/log/speak_$attack.log" python3 local/speak.py --attack "$attack" --size "$size" \
    --downloads "$downloads" --data "$made"
done < "$made/tts_attacks"

$cmd JOB=1:"$nj" "$data/log/make_sets.JOB.log" python3 local/make_sets.py condition --protocol "$protocol" \
  --size "$size" --track "$track" --made "$made" --data "$data" --job JOB --num-jobs "$nj"
$cmd "$data/log/finish_sets.log" python3 local/make_sets.py finish --protocol "$protocol" --size "$size" \
  --track "$track" --made "$made" --data "$data" --max-fail "$max_fail"

# The gate reads what the guards may be mended by; sizes tiny and small have too few recordings to judge.
if [ "$strict" = true ] && { [ "$size" = report ] || [ "$size" = full ]; }; then
  python3 -P -m masd.bin.probe cues --data "[$data/train,$data/dev]" --gate true --out "$data/cues" ||
    { echo "prepare.sh: mend conf/track_$track.yaml, or go on with --strict false" >&2; exit 1; }
fi
