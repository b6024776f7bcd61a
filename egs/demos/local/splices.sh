#!/usr/bin/env bash
# A model on recordings that are fake in part: 12 s of speech of a page with 8 s of one of its generators in it, and as
# many of speech alone. EER of recordings, by their mean and by the most suspicious window; segment EER.
#
#   local/splices.sh --model ../../masd/pretrained/plus      after ./run.sh --track raw --stop-stage 1

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# options
data=data/full_raw/dev             # the set
model=../../masd/pretrained/plus   # the model
out=exp/full_raw/splices           # where all goes
by=repo                            # what the joined clips share: repo, or spk
genuine=12                         # seconds of speech around
fake=8                             # seconds that are fake
versions=2                         # recordings of each generator of a page
hop=""                             # seconds from one window to the next [a window's length, 4]
. ../../utils/parse_options.sh
. ./path.sh

rm -rf "$out/wav"
python3 -P -m masd.bin.data splice --data "$data" --out "$out/data" --wav-dir "$out/wav" --by "$by" --genuine "$genuine" \
  --fake "$fake" --versions "$versions"
python3 -P -m masd.bin.detect --json --model "$model" ${hop:+--hop "$hop"} "$out/wav" > "$out/verdicts.json"
python3 -P -m masd.bin.evaluate --scores "$out/verdicts.json" --segments "$out/verdicts.json" --data "$out/data" \
  --out "$out/results"
python3 - "$out/verdicts.json" "$out/data/utt2lab" << 'END'
import json, pathlib, sys
label = dict(line.split() for line in open(sys.argv[2]))
rows = [json.loads(line) for line in open(sys.argv[1])]
told = {"called fake": lambda row: row["label"] == "spoof", "a window of it": lambda row: row["highest"]["p_fake"] >= 0.5,
        "part of it may be fake": lambda row: row["label"] == "spoof" or row["stretch"]["p_fake"] >= 0.5}
for name, tells in told.items():
    found = [[tells(row) for row in rows if label[pathlib.Path(row["file"]).stem] == kind] for kind in ("spoof", "bonafide")]
    print(f"{name}: {sum(found[0])} of {len(found[0])} fake in part, {sum(found[1])} of {len(found[1])} genuine")
END
