#!/usr/bin/env bash
# MASD with the acoustic tokens' log-likelihood as a fourth handcrafted feature: what run.sh --features +tokens runs.
# Everything is that of --system full but for that feature; the results stand in exp/<size>/full_tokens_s<seed>.
#
#   local/with_tokens.sh --size report

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ./path.sh
. ./cmd.sh

# options
features=+tokens      # what is added; there is nothing else yet
size=small            # profile of the corpus and of the budgets
seed=0                # seeds pretraining, tokens and fusion
nj=2                  # parallel jobs of dumps and embeddings
downloads=downloads   # where packages are kept
. "$MASD_ROOT/utils/parse_options.sh"

[ "$features" = +tokens ] || { echo "with_tokens.sh: error: --features $features: only +tokens can be added" >&2; exit 1; }
data=data/$size dump=dump/$size ssl=exp/$size/ssl_adversarial_s$seed exp=exp/$size/full_tokens_s$seed
tokens=exp/$size/tokens_s$seed/model logs=exp/$size/log
conf=(--config conf/masd.yaml --config "conf/$size.yaml")
common=(--size "$size" --seed "$seed" --nj "$nj" --downloads "$downloads")
# shellcheck disable=SC2086  # a launcher may have options of its own
single() { $cmd "$logs/$1.log" "${@:2}"; }

./run.sh "${common[@]}" --system full --results-page false
./run.sh "${common[@]}" --system tokens --stage 5 --stop-stage 5

echo "$(date '+%F %T') with_tokens.sh: features, $dump/*_tokens"
single tokens_train python3 -m masd.bin.add_tokens --config conf/systems/tokens.yaml "${conf[@]}" --ssl "$ssl" \
  --data "$data/train" --dump "$dump/train" --out "$dump/train_tokens" --seed "$seed"
for name in dev eval; do
  single "tokens_$name" python3 -m masd.bin.add_tokens --model "$tokens" --data "$data/$name" --dump "$dump/$name" \
    --out "$dump/${name}_tokens"
done

echo "$(date '+%F %T') with_tokens.sh: fusion, SVM, scores, $exp"
single fit_tokens python3 -m masd.bin.fit_svm "${conf[@]}" --system full --out "$exp" --ssl "$ssl" --seed "$seed" \
  --train-data "$data/train" --train-dump "$dump/train_tokens" --train-embeddings "$ssl/emb/train" \
  --dev-data "$data/dev" --dev-dump "$dump/dev_tokens" --dev-embeddings "$ssl/emb/dev"
seen=$(cut -d ' ' -f 2 "$data/train/utt2attack" | sort -u | grep -v '^-$' | paste -sd ,)
for name in dev eval; do
  single "score_tokens_$name" python3 -m masd.bin.score --model "$exp/model" --data "$data/$name" --out "$exp/scores/$name" \
    --dump "$dump/${name}_tokens" --embeddings "$ssl/emb/$name"
  single "evaluate_tokens_$name" python3 -m masd.bin.evaluate --scores "$exp/scores/$name/scores" --model "$exp/model" \
    --data "$data/$name" --excused "$exp/scores/$name/failures" --seen-attacks "$seen" --out "$exp/scores/$name"
done
echo "$(date '+%F %T') with_tokens.sh: done; EER with and without tokens:"
grep -h 'all attacks' "exp/$size/full_s$seed/results/eval/metrics.txt" "$exp/scores/eval/metrics.txt"
