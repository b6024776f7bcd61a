# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by every run.sh after its options: what stages are written with, so that a recipe's own text is its corpus
# and short calls of entry points. `begin "$@"` checks the options and settles what they come to (the variables it
# sets are listed there). Before that a recipe describes its corpus:
#
#   title="ASVspoof 2019 LA"           its name on the results page
#   protocol=conf/corpus_$size.yaml    files that fix corpus and trials, separated by commas
#   apart=""                           a set of spoofed speech alone that is scored and reported apart
#   places=corpus                      options that say where parts of the corpus are, separated by blanks
#   budget=""                          whose conf/<budget>.yaml is taken, where that is not the size's
#   other_track=""                     of the same trials, in exp/<budget>_<track>: its systems stand on the page too
#   training_options=()                what train is told of the corpus
#   keys() { ...; }                    prints what evaluate is told of a set: keys SET

# Say something, with the time. What begins with "stage N: " is the title of a part of a stage: it is said when the part's
# first command is started; a part in which nothing is started is unchanged.
log() {
  local line
  line="$(date '+%F %T') ${0##*/}: $*"
  if [ "$BASHPID" != $$ ]; then echo "$line"; return; fi
  settle
  case $* in
    stage\ [0-7]:*) _waiting=("$line") ;;
    *) echo "$line" ;;
  esac
}
fail() { echo "${0##*/}: error: $*" >&2; exit 1; }
# An option names a file or folder that is not there, or is not what it should be: missing OPTION PATH WHAT
missing() {
  local from=""
  [[ $2 = /* ]] || from=" (relative paths begin at $PWD)"
  fail "--${1//_/-} $2: $3$from"
}
# What an earlier stage makes, where that is not one of those asked for: need STAGE PATH
need() { [ "$stage" -le "$1" ] || [ -e "$2" ] || fail "no $2; run stage $1 first"; }
asked() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }
# Whether an option was given another value than it is declared with: changed NAME
changed() { [ "${_defaults[$1]-${!1-}}" != "${!1-}" ]; }

# A file of the recipe's conf, or where it has none of its own, of utils/conf: conf_of NAME
conf_of() { if [ -f "conf/$1" ]; then echo "conf/$1"; else echo "../../utils/conf/$1"; fi; }

title="" protocol="" apart="" places=corpus budget="" other_track="" training_options=()
keys() { :; }

# What is unchanged

# One process knows how the files of every command looked when it last ended well; skip_unchanged.py says how. `begin` starts it.
remember() { coproc MARKS { exec python3 "$MASD_ROOT/utils/skip_unchanged.py" "$logs/.fresh"; }; }
_waiting=()  # the title of a part that has not started anything yet, and warnings of then
tell_marks() {
  answer=run
  [ -n "${MARKS[1]-}" ] || return 0
  printf '%s\0' "$#" "$@" >&"${MARKS[1]}"
  read -r answer <&"${MARKS[0]}" || answer=run
}

# Whether a command is to be started, which says the title of its part: due COMMAND...
due() {
  tell_marks due "$@"
  [ "$answer" != unchanged ] || return 1
  [ "${#_waiting[@]}" -eq 0 ] || printf '%s\n' "${_waiting[@]}"
  _waiting=()
}

# The part that was begun last is complete.
settle() {
  if [ "${#_waiting[@]}" -gt 0 ]; then
    _waiting[0]="${_waiting[0]%% (log: *}: unchanged"
    printf '%s\n' "${_waiting[@]}"
    _waiting=()
  fi
  tell_marks settle
}

# Jobs

# A command that starts jobs of its own, or is over at once: here COMMAND...
here() {
  due "$@" || return 0
  "$@" || return
  tell_marks ended "$@"
}

# One set's work as $nj jobs: sharded LOG ENTRY_POINT ARGUMENT...; `jobs_by` is how they are started, `cmd` if it is unset
sharded() {
  local work=(python3 -P -m "masd.bin.$2" "${@:3}" --job JOB --num-jobs "$nj" --force "$force")
  due "${work[@]}" || return 0
  # shellcheck disable=SC2086  # a launcher may have options of its own
  ${jobs_by-$cmd} JOB=1:"$nj" "$logs/$1.JOB.log" "${work[@]}" || return
  tell_marks ended "${work[@]}"
}

# One piece of work, and what it warned of: single LOG COMMAND...
single() {
  if due "${@:2}"; then
    # shellcheck disable=SC2086
    $cmd "$logs/$1.log" "${@:2}" || return
    tell_marks ended "${@:2}"
  fi
  warnings "$logs/$1.log"
}

# The warnings of a log, or how many there are if they are more than 5: warnings LOG
warnings() {
  local found=() line
  [ ! -f "$1" ] || readarray -t found < <(sed -nE 's/^[0-9-]{10} [0-9:]{8} [^ ]+ WARNING: //p' "$1")
  found=("${found[@]/#/warning: }")
  [ "${#found[@]}" -le 5 ] || found=("${#found[@]} warnings, see $1")
  for line in "${found[@]}"; do
    line="$(date '+%F %T') ${0##*/}: $line"
    if [ "${#_waiting[@]}" -gt 0 ]; then _waiting+=("$line"); else echo "$line"; fi
  done
}

# Whether an entry point trains a network here; the others' models are fitted by one process: of_network ENTRY_POINT
of_network() {
  case "$1 $waveforms $system" in
    train\ false* | *\ lfcc_gmm | train*\ tokens) return 1 ;;
  esac
}

# One training, of a network on all GPUs and hosts asked for: trained LOG ENTRY_POINT ARGUMENT...
trained() {
  local start=(python3 -P) gpu=() file=$1
  ! of_network "$2" || { start=("${launch[@]}") gpu=(--gpu "$ngpu"); }
  [ "$node_rank" -eq 0 ] || file=${1%.log}.host$node_rank.log
  start+=(-m "masd.bin.$2" "${@:3}")
  # hosts that train together start together
  [ "$num_nodes" -gt 1 ] || due "${start[@]}" || return 0
  # shellcheck disable=SC2086
  $train_cmd "${gpu[@]}" "$file" "${start[@]}" || return
  [ "$num_nodes" -gt 1 ] || tell_marks ended "${start[@]}"
}

# Sets

sets() {
  [ "$zero_shot" = true ] || printf '%s\n' train dev
  echo eval
  [ -z "$apart" ] || [ ! -d "$data/$apart" ] || echo "$apart"
}
scored() { sets | grep -vx train; }
evaluated() { scored | grep -vx "${apart:-train}"; }
pretrain_sets() { [ "$pretraining" = false ] || printf '%s\n' pretrain pretrain_dev; }
enrolment_sets() { for name in dev eval; do [ ! -d "$data/enrol_$name" ] || echo "enrol_$name"; done; }
tags() { [ "$pretraining" = false ] || cat "$data/pretrain_tags"; }
prepared() { sets; pretrain_sets; enrolment_sets; }
# Dumps of a pretraining set's copies, <vocoder>=<dump>,...: copies SET
copies() { sed "s|.*|&=$dump/$1_&|" "$data/pretrain_tags" | paste -sd ,; }
# What evaluate is told of the attacks that a system trained here has heard.
seen() {
  [ "$zero_shot" = true ] || echo --seen-attacks "$(awk '$2 != "-" {print $2}' "$data/train/utt2attack" | sort -u | paste -sd ,)"
}
# The sets that are dumped: none but those of pretraining for a system that reads waveforms.
dumped() {
  [ "$waveforms" = true ] || sets | sed "s/^train\$/$fitted/"
  pretrain_sets
  tags | sed 's/^/pretrain_/; p; s/^pretrain_/pretrain_dev_/'
}

# Parts of stages

# Whether cues that are no trace of synthesis tell the classes of the sets apart; the results page says so
probe() {
  single cues python3 -P -m masd.bin.probe cues --data "[$(sets | grep -vxF "${apart:- }" | sed "s|^|$data/|" | paste -sd ,)]" \
    --out "$data/cues" --force "$force"
}

# Durations of a set's recordings from their headers: durations SET
durations() {
  sharded "utt2dur_$1" data utt2dur --data "$data/$1"
  single "utt2dur_$1.finish" python3 -P -m masd.bin.finish utt2dur --data "$data/$1" --num-jobs "$nj" \
    --max-fail "$([ "$strict" = true ] && echo 0 || echo 1)"
}

# Copies of a set by a vocoder, which is set up as chosen in stage 2 or 1, on GPUs where it is a network and there are some:
# copy_set SET VOCODER COPIES
copy_set() {
  local config=() device=cpu jobs_by=${copy_cmd:-$cmd}
  if [ "$ngpu" -gt 0 ] && [ -f "$data/network_tags" ] && grep -qxF "$2" "$data/network_tags"; then
    device=auto jobs_by+=" --gpu 1"
  fi
  [ ! -f "$data/vocoder/$2.yaml" ] || config=(--vocoder-config "$data/vocoder/$2.yaml" --available "$(conf_of vocoders.yaml)")
  sharded "copy_$3" copy_synthesis --data "$data/$1" --vocoder "$2" "${config[@]}" --out "$data/$3" \
    --wav-dir "$data/copies/$2/wav" --audio-format flac --device "$device"
  single "copy_$3.finish" python3 -P -m masd.bin.finish copy-synthesis --data "$data/$1" --vocoder "$2" --out "$data/$3" \
    --num-jobs "$nj" --max-fail "$max_fail"
}

of_ssl() { [ -z "$ssl_kind" ] || echo "$1"; }

# The training set with --degraded copies of each utterance, which stage 5 then trains on.
degrade() {
  log "stage 2: $degraded degraded copies of each training utterance"
  single degrade python3 -P -m masd.bin.data degrade --data "$data/train" --out "$data/train_copies" \
    --wav-dir "$data/copies/degraded" --versions "$degraded" --num-jobs "$nj" --max-fail "$max_fail"
  single degrade.merge python3 -P -m masd.bin.data merge --data "[$data/train,$data/train_copies]" --out "$data/$fitted"
}

# Features of one set: dump_set SET
dump_set() {
  local folder=$mel config=("${conf[@]}") name
  case $1 in pretrain*) folder=$dump config=("${base[@]}") ;; esac
  name=dump${folder#dump/"$size"}_$1
  sharded "$name" dump_feats "${config[@]}" "${like[@]}" --data "$data/$1" --out "$folder/$1" \
    --feats-format "$feats_format" --compress "$compress"
  single "$name.finish" python3 -P -m masd.bin.finish dump --out "$folder/$1" --num-jobs "$nj" --max-fail "$max_fail"
}

# Embeddings of the sets named, where the system has an encoder: embed SET...
embed() {
  local name
  [ "$waveforms" = false ] && [ -n "$ssl_kind" ] || return 0
  for name in "$@"; do
    sharded "embed_${tag}_$name" extract_embeddings "${conf[@]}" --model "$ssl" --dump "$mel/$name" --out "$emb/$name"
    single "embed_${tag}_$name.finish" python3 -P -m masd.bin.finish embeddings --out "$emb/$name" --num-jobs "$nj" \
      --max-fail "$max_fail"
  done
}

# With --features +tokens, the token model (before train), and its log-likelihood as one more handcrafted feature of
# the sets named; training utterances are judged by models of the other speakers: tokens SET...
tokens() {
  local name config=(--config "$systems/tokens.yaml" "${conf[@]}") by
  [ -n "$features" ] || return 0
  for name in "$@"; do
    by=(--model "$token_model")
    if [ "$name" = train ]; then
      single "tokens_$tag" python3 -P -m masd.bin.train "${config[@]}" "${training_options[@]}" --system tokens \
        --train-data "$data/train" --dev-data "$data/dev" --ssl "$ssl" --out "$exp/tokens" --seed "$seed" \
        --max-fail "$max_fail" --force "$force"
      by=(--ssl "$ssl")
    fi
    single "tokens_${tag}_$name" python3 -P -m masd.bin.add_tokens "${config[@]}" "${by[@]}" --data "$data/$name" \
      --dump "$mel/$name" --out "$hand/$name" --seed "$seed" --max-fail "$max_fail" --force "$force"
  done
}

# SAMO knows the speakers of a set by their enrolment, where stage 1 found some (data/<size>/enrol_<set>): enrolment SET
enrolment() { [ "$system" != samo ] || [ ! -d "$data/enrol_$1" ] || echo --enrolment-data "$data/enrol_$1"; }

# What a system takes in place of a set's recordings: stored SET [PREFIX], the options begin with --PREFIX
stored() {
  [ "$waveforms" = true ] || echo "--${2-}dump $hand/$1" "$(of_ssl "--${2-}embeddings $emb/$1")"
}

# Scores of one set: score SET
score() {
  local to=(--out "$exp/scores/$1" --command "$command" --max-fail "$max_fail") name=score_${tag}_$1
  embed "$1"
  tokens "$1"
  # shellcheck disable=SC2046
  sharded "$name" score "${scorer[@]}" --data "$data/$1" $(stored "$1") $(enrolment "$1") "${to[@]}"
  single "$name.finish" python3 -P -m masd.bin.finish scores --num-jobs "$nj" "${to[@]}"
}

# What evaluate is told of a set's scores, besides the corpus's keys: beside SET
beside() {
  local excused=$exp/scores/$1/failures dev=$exp/scores/dev
  if [ "$1" = eval ]; then
    [ "$zero_shot" = true ] ||
      echo --dev-scores "$dev/scores" --dev-data "$data/dev" --dev-excused "$dev/failures"
    if [ -n "$apart" ] && [ -d "$data/$apart" ]; then
      echo --apart-scores "$exp/scores/$apart/scores" --apart-data "$data/$apart"
      excused+=,$exp/scores/$apart/failures
    fi
  fi
  echo --excused "$excused"
}

# Evaluation of one set: evaluate SET
evaluate() {
  local told
  told="$(beside "$1") $(keys "$1")"
  # shellcheck disable=SC2086
  single "evaluate_${tag}_$1" python3 -P -m masd.bin.evaluate --scores "$exp/scores/$1/scores" --data "$data/$1" \
    "${calibration[@]}" $told --out "$exp/results/$1" --force "$force"
}

results_page() {
  local folder others=()
  for folder in "exp/${budget}_$other_track"/*/results/eval; do
    [ ! -d "$folder" ] || others+=("$(basename "${folder%/results/eval}") $other_track=$folder")
  done
  single results python3 -P -m masd.bin.results page --exp "exp/$size" --system "$row" --data "$data" \
    --sets "$( (sets; pretrain_sets) | paste -sd ,)" --protocol "$settings,$protocol" --reported conf/reported.yaml \
    --title "Results on $title, size $size" --command "$command" --out "$results" --report "exp/$size/report" \
    --evaluated "$(IFS=,; echo "${others[*]}")" --force "$force"
  log "results: $results, and with plots exp/$size/report/report.html"
}

# What the options come to

# Check the options and set, for the stages:
#   conf, base   --config of the run, of pretraining       data, dump, exp, logs   folders
#   settings     the files of method and budget, with commas
#   pretrain_conf   the files of base, with commas
#   system, row  what is run, and its row in tables        tag                     its folder's name below exp/<size>
#   ssl_kind     which encoder, "" for none                ssl, emb                its folder, its embeddings
#   pretraining  whether it is trained here                kind                    options of that
#   trainer      what train is told of the system          waveforms               whether it reads no dumps
#   mel, hand    dumps for embeddings, handcrafted ones    token_model             model of --features +tokens
#   fitted       the set that stage 5 trains on
#   scorer       what scores: options of the entry point   calibration             options of evaluate
#   like         options of dumping for a given model      launch                  what starts a training
begin() {
  local name method amount reading suffix=""
  [ $# -eq 0 ] || fail "'$1' is not an option; --help lists them"
  for name in stage stop_stage seed degraded nj ngpu nproc num_nodes node_rank; do
    [[ ${!name} =~ ^[0-9]+$ ]] || [ "$name${!name}" = ngpu ] || fail "--${name//_/-} takes a whole number, not '${!name}'"
  done
  [[ "$stage $stop_stage" =~ ^[0-7]\ [0-7]$ && $stage -le $stop_stage ]] ||
    fail "--stage $stage --stop-stage $stop_stage: stages are 0 to 7, and the last is not before the first"
  command -v "${cmd%% *}" > /dev/null || fail "no launcher '${cmd%% *}' (MASD_CMD, or cmd in cmd.sh)"
  [[ $max_fail =~ ^(0|0?\.[0-9]+|1|1\.0*)$ ]] || fail "--max-fail takes a share, 0 to 1, not '$max_fail'"
  for name in nj nproc num_nodes; do [ "${!name}" -ge 1 ] || fail "--${name//_/-} ${!name}: takes 1 or more"; done
  budget=${budget:-$size}
  method=$(conf_of masd.yaml) amount=$(conf_of "$budget.yaml") reading=$(conf_of "$variant.yaml")
  [ -f "$reading" ] || fail "no conf/$variant.yaml for --variant $variant"
  [ -f "$amount" ] || fail "no conf/$budget.yaml for --size $budget"
  settings=$method,$amount base=(--config "$method" --config "$amount") conf=() like=()
  data=data/$size dump=dump/$size logs=exp/$size/log systems=../../utils/conf/systems
  mel=$dump mel_kind="" fitted=train
  model=${model%/}
  [ "$degraded" -eq 0 ] || fitted=train_degraded
  choose_system
  conf=("${published[@]}" "${base[@]}" "${conf[@]}")
  if [ "$variant" != masd ]; then
    conf+=(--config "$reading") base+=(--config "$reading") suffix=_$variant
    # dumps of its own where features differ
    ! grep -q '^dump_feats:' "$reading" || { dump+=$suffix mel+=$suffix; }
  fi
  pretrain_conf=$(printf '%s\n' "${base[@]}" | grep -vxe --config | paste -sd ,)
  if [ "$zero_shot" = true ]; then use_model; else train_here "$suffix"; fi
  add_features
  check_places
  choose_launch
  results=${results:-exp/$size/RESULTS.md} command=${command:-$invocation}
  check_stages
  remember
  log "stages $stage to $stop_stage, size $size, $row, seed $seed"
}

# What --system is: a row of Table II, or a system that MASD is compared with, whose published settings stand in
# utils/conf/systems; the recipe's own conf/systems/<system>.yaml changes some of them, or is that of a system of your
# own, whose class it names as train's `type`.
choose_system() {
  local file type=""
  ssl_kind="" kind=() published=() trainer=() waveforms=false code=()
  case $system in
    handcrafted) return ;;
    ssl_single) ssl_kind=single kind=(--encoder.bands single --ssl.objectives "[mask,cpc]"); return ;;
    plus | plus_encoder)
      [ "$system" = plus ] || { ssl_kind=multi kind=(--encoder.bands multi --ssl.objectives "[mask,cpc]"); }
      conf=(--config "$(conf_of plus.yaml)") mel_kind=_plus mel=${dump}_plus
      return ;;
    ssl_multi | concat | attention) ssl_kind=multi kind=(--encoder.bands multi --ssl.objectives "[mask,cpc]"); return ;;
    full | tokens) ssl_kind=adversarial kind=(--encoder.bands multi --ssl.objectives "[mask,cpc,adv]") ;;
  esac
  [ "$system" != full ] || return 0
  for file in "$systems/$system.yaml" "conf/systems/$system.yaml"; do
    [ ! -f "$file" ] || { published+=(--config "$file"); type=$(sed -nE 's/^  type: *"?([^ "]+)"?.*/\1/p' "$file"); }
  done
  [ "${#published[@]}" -gt 0 ] ||
    fail "unknown --system $system; there are handcrafted, ssl_single, ssl_multi, concat, attention, full," \
      "plus, plus_encoder, $(basename -s .yaml "$systems"/*.yaml | paste -sd , | sed 's/,/, /g')"
  waveforms=true
  [ -z "$type" ] || code=(--type "$type")
  [ -z "$front_ends" ] || trainer=(--front_end.checkpoints "[${front_ends// /,}]")
}

# The system is trained on this corpus: train_here SUFFIX
train_here() {
  [ -z "$model$checkpoint" ] || fail "--model and --checkpoint score without training; give --zero-shot true too"
  row=$system$1
  [ -z "$features" ] || row+=_tokens
  tag=${row}_s$seed
  exp=exp/$size/$tag
  local own=exp/$size/ssl_$ssl_kind${1}_s$seed
  ssl=${ssl:-$own} emb=$own/emb pretraining=false
  # an encoder of this size, trained or not by this run, has its embeddings beside it
  [ "$(dirname "$ssl")" != "exp/$size" ] || emb=$ssl/emb$mel_kind
  [ -z "$ssl_kind" ] || [ "$ssl" != "$own" ] || pretraining=true
  scorer=(--model "$exp/model" "${code[@]}") calibration=(--model "$exp/model")
}

# What the stages asked for read of earlier ones is there.
check_stages() {
  local name
  need 1 "$data/eval"
  [ "$pretraining" = false ] || need 2 "$data/pretrain_tags"
  if asked 4 && [ "$pretraining" = true ]; then need 3 "$dump/pretrain/feats.yaml"; fi
  if asked 5 && [ "$zero_shot$pretraining" = falsetrue ]; then need 4 "$ssl/encoder.safetensors"; fi
  if asked 5 && [ "$zero_shot$waveforms" = falsefalse ]; then need 3 "$mel/$fitted/feats.yaml"; fi
  if asked 6; then
    [ "$zero_shot" = true ] || need 5 "$exp/model/model.yaml"
    [ "$waveforms" = true ] || for name in $(scored); do need 3 "$mel/$name/feats.yaml"; done
  fi
  if asked 7; then for name in $(scored); do need 6 "$exp/scores/$name/scores"; done; fi
}

# What options name is there, of the stages asked for.
check_places() {
  local name path
  if asked 0 || asked 1; then
    for name in $places; do
      [ -z "${!name}" ] || [ -e "${!name}" ] || missing "$name" "${!name}" "no such folder"
    done
  fi
  if asked 2 && [ "$pretraining" = true ] && changed checkpoints; then
    [ -d "$checkpoints" ] || missing checkpoints "$checkpoints" "no such folder"
  fi
  if asked 5; then
    for path in $front_ends; do [ -f "$path" ] || missing front_ends "$path" "no such file"; done
  fi
  if { asked 5 || asked 6; } && [ "$zero_shot$pretraining" = falsefalse ] && [ -n "$ssl_kind" ]; then
    [ -f "$ssl/encoder.safetensors" ] || missing ssl "$ssl" "no pretrained encoder, encoder.safetensors, in it"
  fi
}

# With a trained system, what says how one is trained would change nothing: refuse_idle --model|--checkpoint [OPTION...]
refuse_idle() {
  local name idle=(variant seed ssl vocoders checkpoints front_ends num_nodes node_rank rdzv_endpoint "${@:2}")
  [ "${ngpu:-0}" -eq 0 ] || idle+=(ngpu)
  [ "$nproc" -le 1 ] || idle+=(nproc)
  for name in "${idle[@]}"; do
    ! changed "$name" || fail "--${name//_/-} ${!name}: changes nothing of a trained system, $1; leave it out"
  done
}

# The system is a model trained elsewhere, or the authors' released weights.
use_model() {
  local given=${_defaults[system]+$system}
  pretraining=false
  if [ -n "$checkpoint" ]; then
    [ -z "$model" ] || fail "--checkpoint stands in place of --model; give one of them"
    [ "$waveforms" = true ] || fail "--checkpoint $checkpoint: whose weights are these? --system aasist or another of docs/systems.md"
    [[ -f $checkpoint || $checkpoint == hf:* ]] || missing checkpoint "$checkpoint" "no such file"
    tag=zero_shot_${system}_released row=zero_shot_${system}_released ssl_kind=""
    scorer=(--system "$system" --checkpoint "$checkpoint") calibration=()
    refuse_idle --checkpoint features
  else
    [ -n "$model" ] || [[ ${given:-plus} = plus ]] || fail "--system $given: give the model that is to be evaluated, --model DIR"
    model=${model:-../../masd/pretrained/plus}
    [ -f "$model/model.yaml" ] || missing model "$model" "no model folder of stage 5"
    tag=zero_shot_$(basename "${model%/model}")
    row=${tag%_s[0-9]*} system=$(sed -n 's/^system: *//p' "$model/model.yaml")
    [ "${given:-$system}" = "$system" ] ||
      fail "--system $given: --model says which system it is, $system; leave --system out"
    refuse_idle --model
    waveforms=false ssl_kind="" like=(--like "$model")
    if ! grep -q '^type: masd$' "$model/model.yaml"; then
      waveforms=true
    elif [ -f "$model/encoder.safetensors" ]; then
      ssl_kind=given
    elif [[ ! $system =~ ^(handcrafted|plus)$ ]]; then
      fail "--model $model: takes embeddings made elsewhere, which a recipe does not make; score it with masd.bin.score"
    fi
    scorer=(--model "$model" "${code[@]}") calibration=(--model "$model")
  fi
  exp=exp/$size/$tag ssl=$model emb=exp/$size/$tag/emb mel=$dump degraded=0
  # features as plus has them are dumped apart
  [ -z "$model" ] || ! grep -q '^ *families:' "$model/model.yaml" || mel=${dump}_plus
}

# --features +tokens: handcrafted features with the token model's beside them.
add_features() {
  hand=$mel token_model=$exp/tokens/model
  [ -n "$features" ] || return 0
  [ "$features" = +tokens ] || fail "--features $features: only +tokens can be added"
  hand=$exp/dump
  if [ "$zero_shot" = true ]; then
    token_model=${ssl%/model}/tokens/model
    [ -f "$token_model/model.yaml" ] || fail "--features +tokens: no $token_model, so --model was not trained with them"
  elif [[ ! $system =~ ^(concat|attention|full)$ ]]; then
    fail "--features +tokens: --system $system has no encoder, or no handcrafted features; take concat, attention or full"
  fi
}

# Whether the stages asked for train a network.
network_asked() {
  { asked 4 && [ "$pretraining" = true ]; } ||
    { asked 5 && [ "$zero_shot" = false ] && of_network train; }
}

# How many GPUs there are at most, told without torch; those of AMD and of WSL are not counted.
count_gpus() {
  local count visible
  count=$(nvidia-smi -L 2> /dev/null | grep -c '^GPU ') || count=$(find /dev -maxdepth 1 -name 'nvidia[0-9]*' | wc -l)
  [ ! -e /dev/kfd ] && [ ! -e /dev/dxg ] || count=$ngpu
  IFS=, read -ra visible <<< "${CUDA_VISIBLE_DEVICES-all}"
  case ${visible[*]} in
    all) ;;
    "" | -1* | NoDevFiles) count=0 ;;
    *) [ "${#visible[@]}" -ge "$count" ] || count=${#visible[@]} ;;
  esac
  echo "$count"
}

# A training on this machine finds its GPUs, or the run ends before the stages ahead of it have taken days.
need_gpus() {
  local count
  if [ "$ngpu" -eq 0 ] || [ "${train_cmd%% *}" != run.py ] || ! network_asked; then return 0; fi
  count=$(count_gpus)
  [ "$count" -ge "$ngpu" ] ||
    fail "--ngpu $ngpu$1: this host has $count GPUs for the training; give as many, or --ngpu 0 to train on the CPU"
}

# How a training is started: one process, or torchrun's on each of --num-nodes hosts.
choose_launch() {
  local each training=4 of=""
  [ -n "$ngpu" ] || { ngpu=0; [ "$budget" != full ] || ngpu=4 of=", as --size full takes"; }
  need_gpus "$of"
  each=$ngpu
  [ "$ngpu" -gt 0 ] || each=$nproc
  launch=(python3 -P)
  if [ "$num_nodes" -gt 1 ]; then
    [ "$waveforms" = false ] || [ "$pretraining" = true ] || training=5
    [ -n "$rdzv_endpoint" ] || fail "--num-nodes $num_nodes: where do they meet? --rdzv-endpoint HOST:PORT, the same on each"
    [ "$stage $stop_stage" = "$training $training" ] ||
      fail "--num-nodes $num_nodes is for the training, on each host: --stage $training --stop-stage $training; the rest runs on one"
    launch=(torchrun --nnodes "$num_nodes" --node-rank "$node_rank" --nproc-per-node "$each"
      --rdzv-backend c10d --rdzv-id "$tag" --rdzv-endpoint "$rdzv_endpoint")
  elif [ "$ngpu" -gt 0 ] || [ "$each" -gt 1 ]; then
    launch=(torchrun --standalone --nproc-per-node "$each")
  fi
}
