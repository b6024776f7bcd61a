# shellcheck shell=bash disable=SC2034
# Sourced by every run.sh before its own options, each of which may declare one of these otherwise: what all
# recipes have, and `./run.sh --help` lists after what is the recipe's.

# The call, as the results page names it.
invocation=./run.sh${*:+$(printf ' %q' "$@")}
_option_files=("${BASH_SOURCE[0]}")

# options
stage=0               # the first stage to run
stop_stage=7          # the last stage to run
zero_shot=false       # score with a trained model, --model, in place of training one
model=""              # the model folder for --zero-shot true, e.g. ../asvspoof2019_la/exp/full/full_s0/model [the packaged plus]
checkpoint=""         # or its authors' released weights of --system aasist, rawnet2, w2v2_aasist, ... (docs/systems.md), e.g. AASIST.pth
ssl=""                # a pretrained encoder, e.g. ../asvspoof2019_la/exp/full/ssl_adversarial_s0, in place of stages 2 and 4
system=full           # Table II's row: handcrafted, ssl_single, ..., full; plus or plus_encoder (docs/evidence.md); or one of docs/systems.md, e.g. aasist
front_ends=""         # pretrained weights of w2v2_aasist, sls, nes2net, mhfa, antideepfake; of hubert_wavlm "hubert_large.pt wavlm_large.pt"
features=""           # +tokens: acoustic tokens beside the handcrafted features
variant=masd          # the configuration <variant>.yaml of conf or utils/conf on top of masd.yaml, e.g. paper_literal
seed=0                # seeds pretraining, fusion and every random choice
degraded=0            # degraded copies of each training utterance to train on too: band, rate, room, noise, codec
nj=4                  # parallel jobs of durations, dumps, copy-synthesis, embeddings and scores
ngpu=""               # GPUs of each host, of training (torchrun); with 0 it, and copies by networks, are the CPU's [4 for full, 0 for tiny]
nproc=1               # processes of training where there is no GPU
num_nodes=1           # hosts of training; then run stage 4 (5 for --system aasist etc.) alone, on each host
node_rank=0           # which of them this host is, from 0
rdzv_endpoint=""      # where they meet, HOST:PORT of one of them
feats_format=ark      # what dumps are written as: ark or h5
compress=true         # compress dumps (Kaldi's method in ark, float16 in h5)
strict=true           # stop when the corpus is not as published; false goes on with what there is
max_fail=0.01         # share of a set's utterances, 0 to 1, that a stage may leave out because they cannot be used
results=""            # the results page [exp/<size>/RESULTS.md]
results_page=true     # whether stage 7 makes the page, or evaluates alone
command=""            # the command that the page names for scores and page made now [this one]
force=false           # redo the stages asked for though nothing they depend on has changed
