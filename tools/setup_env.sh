#!/usr/bin/env bash
# Makes the virtual environment tools/venv from setup.cfg.
#
# Usage: tools/setup_env.sh [base | extra ...]        extras: recipes test vocoders mini onnx serve docs bench all
#
# base is what judging by the packaged model takes, without PyTorch, serve the page beside it, docs the site of the pages;
# recipes what training and scoring take, and is part of all other extras; no word means all, which is all but bench.
#
# MASD_PYTHON       the interpreter to use (default: python3); 3.11 or newer
# MASD_VENV         where the environment goes, relative to the repository (default: tools/venv)
# MASD_TORCH        what to install as torch, e.g. "torch==2.14.1 torchaudio==2.11.0" (default: what setup.cfg says)
# MASD_TORCH_INDEX  an index to take it from, e.g. the PyTorch project's index of CPU or ROCm builds
# MASD_LOCKED       1: the versions of tools/constraints.txt, which were tested together
# Nothing is done twice: the environment remembers what it was made from. Recipes prefer an active virtual or conda
# environment that has all requirements (utils/find_env.sh).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${MASD_VENV:-$root/tools/venv}
case $venv in /*) ;; *) venv=$root/$venv ;; esac
python=${MASD_PYTHON:-python3}
log=$root/tools/setup_env.log

fail() { echo "setup_env.sh: error: $*" >&2; exit 1; }
say() { echo "setup_env.sh: $*" >&2; }

extras=("$@")
[ ${#extras[@]} -gt 0 ] || extras=(all)
for extra in "${extras[@]}"; do
  case $extra in
    base | recipes | test | vocoders | mini | onnx | serve | docs | bench | all) ;;
    *) fail "unknown extra '$extra'; known: base recipes test vocoders mini onnx serve docs bench all" ;;
  esac
done

command -v "$python" > /dev/null || fail "no '$python'; install Python 3.11 or newer (Debian: apt-get install python3 python3-venv), or set MASD_PYTHON"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version 2>&1) is too old; MASD needs Python 3.11 or newer, set MASD_PYTHON"
"$python" -c 'import venv, ensurepip' 2> /dev/null ||
  fail "this Python cannot make virtual environments; install its venv package (Debian: apt-get install python3-venv)"

# What is asked for, with what was asked for before: a second extra never takes the first away.
wanted=$venv/masd.extras
mapfile -t all_extras < <({ [ -f "$wanted" ] && cat "$wanted"; printf '%s\n' "${extras[@]}"; } | sort -u)
joined=$(IFS=,; echo "${all_extras[*]}")
# `all` holds every other extra but bench, which is only to compare with.
case ,$joined, in *,all,*bench,*) joined=all,bench ;; *,all,*) joined=all ;; esac
joined=${joined#base} joined=${joined#,}  # no extra of setup.cfg; sorted, it stands first but for `all`
locked=()
[ "${MASD_LOCKED:-}" != 1 ] || locked=(--constraint "$root/tools/constraints.txt")
stamp=$(printf '%s\n' "$joined" "${MASD_TORCH:-}" "${MASD_TORCH_INDEX:-}" "$root" "${MASD_LOCKED:-}" |
  cat - "$root/setup.cfg" ${locked[1]:+"${locked[1]}"} | sha256sum | cut -d ' ' -f 1)
if [ -f "$venv/masd.stamp" ] && [ "$(cat "$venv/masd.stamp")" = "$stamp" ]; then
  say "the environment $venv is up to date"
  exit 0
fi

say "making the environment $venv with [${joined:-base}]; the log is $log"
[ -x "$venv/bin/python3" ] || "$python" -m venv "$venv" > "$log" 2>&1 || fail "python3 -m venv failed; see $log"
pip=("$venv/bin/python3" -m pip --disable-pip-version-check)
if [ -n "${MASD_TORCH:-}" ]; then
  say "installing ${MASD_TORCH}"
  read -r -a torch_packages <<< "$MASD_TORCH"
  "${pip[@]}" install "${locked[@]}" ${MASD_TORCH_INDEX:+--index-url "$MASD_TORCH_INDEX"} "${torch_packages[@]}" >> "$log" 2>&1 ||
    fail "pip could not install $MASD_TORCH; the last line of $log: $(tail -n 1 "$log")"
fi
heavy=", torch, torchaudio"
case $joined in "" | serve | docs | docs,serve) heavy= ;; esac
say "installing masd and what it needs${heavy:+ (PyTorch is the large one: a few minutes)}"
"${pip[@]}" install "${locked[@]}" --editable "${root}${joined:+[$joined]}" >> "$log" 2>&1 ||
  fail "pip could not install the requirements; the last line of $log: $(tail -n 1 "$log")"
"$venv/bin/python3" -c "import masd.judge.verdict$heavy" >> "$log" 2>&1 ||
  fail "masd${heavy:+, torch and torchaudio} cannot be imported; choose another pair with MASD_TORCH; see $log"
printf '%s\n' "${all_extras[@]}" > "$wanted"
echo "$stamp" > "$venv/masd.stamp"
say "done"
